"""Refuse files that cannot be converted correctly: quantized or optimized ones, and ones in training mode."""

from __future__ import annotations

import onnx

from export.graph.tidy.trace import static_values
from rpi_runtime.errors import InputError

QUANTIZED = (
    "QuantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
)


def refuse_unfit(model: onnx.ModelProto, path: str) -> None:
    """Raise `InputError` that names the first operator of such a file."""
    static = static_values(model.graph)
    for node in model.graph.node:
        what = f"{path}: {node.op_type} (node {node.name!r}, tensor {node.output[0]!r})"
        if set(node.output) <= static:
            continue
        if node.op_type in QUANTIZED or node.op_type.startswith("QLinear"):
            raise InputError(f"{what}: the network is already quantized; give the float network")
        if node.domain not in ("", "ai.onnx") and node.op_type not in ("Gelu",):
            raise InputError(
                f"{what} is of {node.domain}, not of ONNX itself: save the network without "
                "ONNX Runtime's optimizations (or export it again with ONNX's own operators)"
            )
        attributes = {a.name: a for a in node.attribute}
        training = "training_mode" in attributes and attributes["training_mode"].i
        if node.op_type == "BatchNormalization" and (training or len([o for o in node.output if o]) > 1):
            raise InputError(
                f"{what}: the network was exported in training mode; call net.eval() and export it again"
            )
        if node.op_type == "Dropout" and _trains(model.graph, node):
            raise InputError(
                f"{what}: the network was exported in training mode; call net.eval() and export it again"
            )


def _trains(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Return whether the third input of a Dropout sets training mode."""
    if len(node.input) < 3 or not node.input[2]:
        return False
    for tensor in graph.initializer:
        if tensor.name == node.input[2]:
            return bool(onnx.numpy_helper.to_array(tensor).any())
    for other in graph.node:
        if other.op_type == "Constant" and other.output[0] == node.input[2]:
            return any(a.HasField("t") and onnx.numpy_helper.to_array(a.t).any() for a in other.attribute)
    return True
