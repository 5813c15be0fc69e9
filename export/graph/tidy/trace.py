"""Run a graph in ONNX Runtime to learn the shape and type of every value, and the values that no image changes.

The run has its own process: if a damaged file crashes native code, only that process ends.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph.tidy.cut import read_by
from rpi_runtime.errors import InputError
from rpi_runtime.scratch import scratch_folder

PATIENCE_S = 120.0
CHILD = (sys.executable, "-m", "export.graph.tidy.trace_child")
SHAPES = ("Shape", "Size")
NEVER_STATIC = (
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The results of one run.

    Attributes
    ----------
    shapes, dtypes : dict
        Shape and type of every value, by name.
    constants : dict
        Values that are the same for every image.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, np.dtype[Any]]
    constants: dict[str, NDArray[Any]]


def static_values(graph: onnx.GraphProto) -> set[str]:
    """Return the names of values that do not depend on the image, whose size is fixed."""
    static = {t.name for t in graph.initializer}
    for node in graph.node:
        # of CastLike's second input, only the type counts
        read = set(node.input[:1]) if node.op_type == "CastLike" else read_by(node)
        fixed = node.op_type in SHAPES or read <= static
        if fixed and node.op_type not in NEVER_STATIC and node.domain in ("", "ai.onnx", "com.microsoft"):
            static.update(name for name in node.output if name)
    return static


def trace(model: onnx.ModelProto, path: str) -> Trace:
    """Run a model once on noise.

    Raises
    ------
    InputError
        The model is not valid, ONNX Runtime cannot run it, it takes too long or too much memory, it ends the process,
        or it computes values that are not finite.
    """
    inputs = {i.name for i in model.graph.input}
    computed = {name for node in model.graph.node for name in node.output}
    static = sorted((static_values(model.graph) & computed) - inputs)
    with scratch_folder() as folder:
        answer, arrays = _ask(model, static, folder, path)
    if "error" in answer:
        raise InputError(f"{path}: {answer['error']}; export it again with opset 17")
    for name, finite in answer["finite"].items():
        if not finite:
            raise InputError(
                f"{path}: output {name} is not finite on noise; weights hold NaN, or it overflows or divides by zero"
            )
    constants = dict(zip(answer["kept"], arrays, strict=True))
    return Trace(
        shapes={name: tuple(shape) for name, (shape, _) in answer["known"].items()},
        dtypes={name: np.dtype(dtype) for name, (_, dtype) in answer["known"].items()},
        constants=constants,
    )


def _ask(
    model: onnx.ModelProto, values: list[str], folder: Path, path: str
) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    request, place, arrays = folder / "request.json", folder / "model.onnx", folder / "arrays.npz"
    place.write_bytes(model.SerializeToString())
    outputs = [o.name for o in model.graph.output]
    request.write_text(
        json.dumps({"model": str(place), "values": values, "outputs": outputs, "arrays": str(arrays)})
    )
    command = [*CHILD, str(request)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as err:
        raise InputError(
            f"{path}: ONNX Runtime did not come to an end in {PATIENCE_S:.0f} s; it holds a loop that never ends"
        ) from err
    if done.returncode < 0:
        cause = signal.Signals(-done.returncode).name
        raise InputError(
            f"{path}: ONNX Runtime crashed on it ({cause}); the file is damaged: export it again"
        )
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or not lines:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"{path}: ONNX Runtime cannot run it ({last[:200]}); export it again")
    answer = json.loads(lines[-1])
    if "error" in answer:
        return answer, []
    with np.load(arrays, allow_pickle=False) as stored:
        return answer, [stored[name] for name in stored.files]
