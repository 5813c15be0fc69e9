"""Convert half and double precision to float32, in which XNNPACK computes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

OTHER = (onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)


def to_float32(model: onnx.ModelProto) -> bool:
    """Convert every half and double of a model to float32, in place; return whether there were any."""
    return _graph(model.graph)


def _graph(graph: onnx.GraphProto) -> bool:
    found = False
    for tensor in graph.initializer:
        found |= _tensor(tensor)
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.tensor_type.elem_type in OTHER:
            info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            found = True
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                found |= _tensor(attribute.t)
            if attribute.name in ("to", "dtype") and attribute.i in OTHER:
                attribute.i = onnx.TensorProto.FLOAT
                found = True
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                found |= _graph(inner)
    return found


def _tensor(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type not in OTHER:
        return False
    values = np.asarray(numpy_helper.to_array(tensor), np.float32)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return True
