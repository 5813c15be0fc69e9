"""Published weights of Lightweight OpenPose, whichever form they have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.graph.topology import SUFFIX, Topology
from export.weights.find import Weights
from export.weights.openvino_ir import IrGraph, Layer, malformed
from export.weights.openvino_run import run_ir
from export.weights.state import State, check_state
from export.zoo.lw_openpose.widths import HEATMAPS, PAFS, Form
from rpi_runtime.errors import WeightsError

LATER = ("refinement_stages.1.", "refinement_stages.2.")  # stages of training that nothing deployed has


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LwWeights:
    """Published weights in the form that they were trained for.

    Attributes
    ----------
    form : {"osokin", "omz"}
    state : dict of str to ndarray
        Checked against the graph only where they come from an OpenVINO file.
    scale : float
        Scale of the input: the network sees ``(value - 128) * scale``.
    """

    form: Form
    state: State
    scale: float


def find_form(weights: Weights) -> LwWeights:
    """Return weights, whichever file they came in, by the keys of the original repository.

    Raises
    ------
    WeightsError
        They are of an OpenVINO file of another network.
    """
    if weights.ir is not None:
        with malformed(weights.ir.path):
            return _from_ir(weights.ir, weights.source)
    form: Form = "omz" if any(k.startswith("cpm.reduce.") for k in weights.state) else "osokin"
    return LwWeights(form=form, state=weights.state, scale=1 / 255 if form == "omz" else 1 / 256)


def notes_of(form: Form, left_out: list[str]) -> list[str]:
    """Return what the user should know: the graph, and what was left out on purpose."""
    notes = [f"graph {form}"]
    if left_out:
        notes.append(
            f"refinement stages 2 and 3 dropped on purpose ({len(left_out)} keys): deployed with one"
        )
    return notes


def topology(name: str, form: Form) -> Topology:
    """Return the stored graph of a network of this family; the narrow ones have the ``omz`` form only."""
    kind = form if name == "lw-openpose" else "omz"
    return Topology(Path(__file__).parent / f"{name}-{kind}{SUFFIX}")


def _from_ir(ir: IrGraph, source: str) -> LwWeights:
    slots = dict(zip(_chain(), _chain_layers(ir), strict=True)) | _head_layers(ir)
    state: State = {}
    for key, layer in slots.items():
        state[f"{key}.weight"], state[f"{key}.bias"] = ir.kernel(layer), ir.bias(layer)
    stored = topology("lw-openpose", "omz")
    state, _ = check_state(stored.shapes, state, source)
    mean, scale = _normalisation(ir)
    if abs(mean - 128) > 0.5:
        raise WeightsError(
            f"{source}: the graph subtracts {mean:.2f} from its input, expected 128; "
            "give the file as Open Model Zoo publishes it, or the network as ONNX by --onnx with a --card"
        )
    _check_against_ir(stored, state, ir, scale, source)
    return LwWeights(form="omz", state=state, scale=scale)


def _chain() -> list[str]:
    """Keys of the convolutions outside the four heads, in the order of the data."""
    keys = ["model.0.0"] + [f"model.{i}.{j}" for i in range(1, 12) for j in (0, 2)]
    keys += ["cpm.align.0", "cpm.reduce.0"] + [f"cpm.trunk.{i}.{j}" for i in range(3) for j in (0, 2)]
    keys += ["cpm.conv.0"] + [f"initial_stage.trunk.{i}.0" for i in range(3)]
    for i in range(5):
        block = f"refinement_stages.0.trunk.{i}"
        keys += [f"{block}.initial.0", f"{block}.trunk.0.0", f"{block}.trunk.1.0"]
    return keys


def _heads(ir: IrGraph) -> list[tuple[Layer, Layer]]:
    """Hidden and last convolution of each head, first stage before second."""
    by_id = {c.id: c for c in ir.convolutions()}
    last = [c for c in by_id.values() if ir.kernel(c).shape[0] in (HEATMAPS, PAFS)]
    pairs = [(by_id.get(ir.source(c)), c) for c in last]
    if len(pairs) != 4 or any(hidden is None for hidden, _ in pairs):
        raise WeightsError(
            f"{ir.path}: {len(last)} outputs of {HEATMAPS} or {PAFS} channels; expected the four of "
            "human-pose-estimation-0001"
        )
    return [(hidden, c) for hidden, c in pairs if hidden is not None]


def _head_layers(ir: IrGraph) -> dict[str, Layer]:
    slots = {}
    for index, (hidden, last) in enumerate(_heads(ir)):
        stage = "initial_stage" if index < 2 else "refinement_stages.0"
        head = "heatmaps" if ir.kernel(last).shape[0] == HEATMAPS else "pafs"
        slots[f"{stage}.{head}.0.0"], slots[f"{stage}.{head}.1.0"] = hidden, last
    return slots


def _chain_layers(ir: IrGraph) -> list[Layer]:
    in_heads = {c.id for pair in _heads(ir) for c in pair}
    chain = [c for c in ir.convolutions() if c.id not in in_heads]
    if len(chain) != len(_chain()):
        raise WeightsError(
            f"{ir.path}: {len(chain) + 8} convolutions, expected {len(_chain()) + 8}; "
            "this is not human-pose-estimation-0001"
        )
    return chain


def _normalisation(ir: IrGraph) -> tuple[float, float]:
    """Mean and scale that the graph itself applies to pixel values before its first convolution.

    float16 files round them; 1 / scale is a whole number in every published file.
    """
    first = ir.layers[ir.convolutions()[0].inputs[0]]
    factor, shift = 1.0, 0.0
    while first.type != "Parameter":
        live = [i for i in first.inputs if i not in ir.constants]
        constants = [i for i in first.inputs if i in ir.constants]
        if first.type in ("Multiply", "Add") and constants:
            value = float(ir.constants[constants[0]].astype(np.float32).mean())
            shift = shift + factor * value if first.type == "Add" else shift
            factor = factor * value if first.type == "Multiply" else factor
        first = ir.layers[live[0]]
    mean = -shift / factor
    return mean, 1 / round(1 / factor)


def _check_against_ir(stored: Topology, state: State, ir: IrGraph, scale: float, source: str) -> None:
    """Run both graphs on the same noise: proves that every tensor sits where it belongs."""
    pixels: NDArray[np.float64] = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 96))
    expected = run_ir(ir, pixels)
    outputs = stored.run(state, ((pixels - 128) * scale).astype(np.float32))
    for out in outputs.values():
        want = expected.get(out.shape[1])
        # leaves room for the f16 rounding of the file's own normalisation
        if want is None or not np.allclose(out, want, atol=1e-3 * float(np.abs(want).max())):
            raise WeightsError(f"{source}: the network computes something else than its OpenVINO graph")
