"""Find the first operator of a converted graph that computes something else."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from cython_ext.specs import Floats
from export.graph.convert.layout import Meeting
from export.graph.convert.network import convert
from export.graph.convert.scope import Scope
from export.graph.parity import TOLERANCE
from export.graph.tidy.plain import PlainGraph
from quant.tflite.run import run_model
from rpi_runtime.errors import ParityError


def first_difference(graph: PlainGraph, image: Floats, meeting: Meeting) -> str:
    """Return the name of the first node whose result differs from ONNX Runtime's, or an empty text if all agree.

    The graph is converted once more, as before but without edits and with every value as an output.
    """
    made = [name for node in graph.nodes for name in node.outputs if name]
    floats = [name for name in made if graph.nodes[0].dtypes.get(name) == np.float32]
    scope = Scope(graph.opset, dict(graph.constants), meeting)
    try:
        plain = {name: tuple(range(len(graph.shapes[name]))) for name in floats}
        found = run_model(convert(scope, graph.nodes, graph.image, graph.size, plain), image)
        expected = _all_values(graph, floats, image)
    except (ParityError, RuntimeError, ValueError):
        return ""
    for node in graph.nodes:
        for name in node.outputs:
            want, have = expected.get(name), found.get(name)
            if want is None or have is None:
                continue
            allowed = TOLERANCE * max(float(np.abs(want).max(initial=0)), 1e-12)
            if not np.abs(want - have).max(initial=0) <= allowed:
                return f"operator {node.kind}, node {node.name!r}, tensor {name!r}"
    return ""


def _all_values(graph: PlainGraph, names: list[str], image: Floats) -> dict[str, Floats]:
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    have = {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in have)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kept = [o.name for o in session.get_outputs()]
    values = session.run(kept, {graph.image: image.transpose(0, 3, 1, 2)})
    return {name: np.asarray(v, np.float32) for name, v in zip(kept, values, strict=True)}
