"""Run an OpenVINO graph as its file describes it, by ONNX Runtime: to prove that its weights were taken rightly."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.weights.openvino_ir import CONVOLUTIONS, OTHERWISE, IrGraph, Layer, ints, malformed
from rpi_runtime.errors import WeightsError, first_line

OPSET = 17
SAME = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "ReLU": "Relu"}
IGNORED = ("FakeQuantize", "Convert")  # the float network is wanted


def run_ir(graph: IrGraph, image: NDArray[Any]) -> dict[int, NDArray[np.float32]]:
    """Run the float network on (1, 3, H, W), any size; outputs by their number of channels.

    Raises
    ------
    WeightsError
        The graph has an operation that no pose network here has, or does not fit together.
    """
    with malformed(graph.path):
        model = _model(graph, image.shape)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    data = model.SerializeToString()
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        values = session.run(None, {model.graph.input[0].name: np.asarray(image, np.float32)})
    except Exception as err:  # ONNX Runtime's own exceptions have no common base of their own
        raise WeightsError(
            f"{graph.path}: its operations do not fit each other ({first_line(err)}); fetch it again"
        ) from err
    return {value.shape[1]: value for value in values}


def _model(graph: IrGraph, shape: tuple[int, ...]) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(_live(c), i) for i, c in graph.constants.items()]
    live = [layer for layer in graph.layers.values() if layer.id not in graph.constants]
    inputs = [layer.id for layer in live if layer.type == "Parameter"]
    outputs = [layer.inputs[0] for layer in live if layer.type == "Result"]
    nodes = [_node(graph, layer) for layer in live if layer.type not in ("Parameter", "Result")]
    kernels = [
        numpy_helper.from_array(graph.kernel(layer), f"{layer.id}.kernel")
        for layer in live
        if layer.type in CONVOLUTIONS
    ]
    infos = [helper.make_tensor_value_info(i, onnx.TensorProto.FLOAT, shape) for i in inputs]
    results = [helper.make_tensor_value_info(o, onnx.TensorProto.FLOAT, None) for o in dict.fromkeys(outputs)]
    body = helper.make_graph(nodes, "ir", infos, results, [*constants, *kernels])
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _node(graph: IrGraph, layer: Layer) -> onnx.NodeProto:
    inputs = list(layer.inputs)
    if layer.type in CONVOLUTIONS:
        return _convolution(graph, layer)
    if layer.type in SAME:
        return helper.make_node(SAME[layer.type], inputs, [layer.id])
    if layer.type == "Elu":
        return helper.make_node("Elu", inputs, [layer.id], alpha=float(layer.attributes["alpha"]))
    if layer.type == "Concat":
        return helper.make_node("Concat", inputs, [layer.id], axis=int(layer.attributes["axis"]))
    if layer.type in IGNORED:
        return helper.make_node("Identity", inputs[:1], [layer.id])
    raise WeightsError(
        f"{graph.path}: operation {layer.type} ({layer.name}) is not one of the published network; {OTHERWISE}"
    )


def _convolution(graph: IrGraph, layer: Layer) -> onnx.NodeProto:
    pads = [*ints(layer.attributes["pads_begin"]), *ints(layer.attributes["pads_end"])]
    groups = graph.constants[layer.inputs[1]].shape[0] if layer.type == "GroupConvolution" else 1
    return helper.make_node(
        "Conv",
        [layer.inputs[0], f"{layer.id}.kernel"],
        [layer.id],
        strides=ints(layer.attributes["strides"]),
        dilations=ints(layer.attributes["dilations"]),
        pads=pads,
        group=groups,
    )


def _live(constant: NDArray[Any]) -> NDArray[Any]:
    """Return a constant as float32 where it is a number that activations meet, as it is elsewhere."""
    return constant.astype(np.float32) if constant.dtype.kind == "f" else constant
