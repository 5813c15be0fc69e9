"""Check a model and run it once, in a process of its own because the code it calls is native.

``python -m export.graph.tidy.trace_child REQUEST.json``: the request names the model, the values to return
and the file to write them to. The answer is one line of JSON on standard output.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from rpi_runtime.errors import first_line

MEMORY = 6 << 30  # bytes of address space
MOST_TEXT = 300  # characters of a library's message
# numbers of one value: the widest networks make some 64 maps of the picture's own size, small pictures aside
MOST_A_PIXEL, MOST = 256, 1 << 24


def _inferred(model: onnx.ModelProto) -> dict[str, list[Any]]:
    """Return shapes and types by name, as far as ONNX's inference finds them."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, list[Any]] = {}
    for info in (*graph.value_info, *graph.output, *graph.input):
        kind = info.type.tensor_type
        if kind.elem_type and kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
            found[info.name] = [[d.dim_value for d in kind.shape.dim], np.dtype(dtype).name]
    return found


def _too_large(model: onnx.ModelProto, known: dict[str, list[Any]]) -> str:
    """Return what is wrong where a value is larger than any of a pose network; empty if none is."""
    pixels = math.prod(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]) // 3
    most = max(MOST, MOST_A_PIXEL * pixels)
    for name, (shape, _) in known.items():
        if math.prod(shape) > most:
            return f"its value {name!r} of shape {shape[:8]} is larger than any of a pose network"
    return ""


def _with_types(model: onnx.ModelProto) -> bytes:
    """Return the model with a type for every output, which the checker requires without comparing it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for output in copy.graph.output:
        output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        output.type.tensor_type.shape.SetInParent()
    return bytes(copy.SerializeToString())


def _session(model: onnx.ModelProto, extra: list[str]) -> onnxruntime.InferenceSession:
    wanted = onnx.ModelProto()
    wanted.CopyFrom(model)
    have = {o.name for o in wanted.graph.output}
    wanted.graph.output.extend(onnx.ValueInfoProto(name=n) for n in extra if n not in have)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        wanted.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Check and run the model; report a fault under ``error``."""
    model = onnx.load_from_string(Path(request["model"]).read_bytes())
    try:
        onnx.checker.check_model(_with_types(model))
    except onnx.checker.ValidationError as err:
        return {"error": f"not a valid ONNX graph ({first_line(err)[:MOST_TEXT]})"}
    try:
        known = _inferred(model)
    except Exception:  # inference only saves time here; ONNX Runtime's run below decides
        known = {}
    if error := _too_large(model, known):
        return {"error": error}
    made = [name for node in model.graph.node for name in node.output if name]
    unknown = [name for name in made if name not in known]
    try:
        session = _session(model, [*request["values"], *unknown])
        names = [o.name for o in session.get_outputs()]
        values = dict(zip(names, session.run(None, _feed(session)), strict=True))
    except Exception as err:  # ONNX Runtime's exceptions have no common base class
        return {"error": f"ONNX Runtime cannot run it ({first_line(err)[:MOST_TEXT]})"}
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            known[name] = [list(value.shape), value.dtype.name]
    if error := _too_large(model, known):
        return {"error": error}
    arrays = [values[name] for name in request["values"] if isinstance(values.get(name), np.ndarray)]
    kept = [name for name in request["values"] if isinstance(values.get(name), np.ndarray)]
    np.savez(request["arrays"], *arrays)
    finite = {
        o: bool(np.isfinite(values[o]).all()) for o in request["outputs"] if values[o].dtype.kind == "f"
    }
    return {"known": known, "kept": kept, "finite": finite}


def _feed(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    """Return seeded noise for the image."""
    (entry,) = session.get_inputs()
    dtype = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(entry.type, np.float32)
    return {entry.name: np.random.default_rng(0).uniform(-1, 1, entry.shape).astype(dtype)}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(json.dumps(answer(json.loads(Path(sys.argv[1]).read_text()))))
