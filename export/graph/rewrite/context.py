"""Global context by attention over all positions, and layer norm, as operations on four axes.

GCNet's block takes the mean of x over all positions under weights softmax(m), m = one channel made of x, and sends it
through a 1x1 convolution. Both are linear, so the convolution can go first:

    W (sum_i p_i x_i) + b  =  sum_i e_i (W x_i) / sum_i e_i + b,    e_i = exp(m_i - max m)

and the mean is of the convolution's few channels instead of all. The whole is elementwise products and means on maps,
which need no transposition. What is behind the exponential stays in float (`quant.floats`): TFLite's INT8 softmax has
the fixed output step 1/256, which is above every weight as soon as there are more than a few hundred positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from export.graph.graph import OnnxGraph, attribute

LAYOUT = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")


def average_before_softmax(graph: OnnxGraph) -> int:
    """Rewrite every softmax over positions that weights the map it was made from; return how many."""
    count = 0
    for softmax in [n for n in graph.nodes if n.op_type == "Softmax"]:
        found = _match(graph, softmax)
        if found is not None:
            _rewrite(graph, softmax, *found)
            count += 1
    graph.drop_unused()
    return count


def _match(graph: OnnxGraph, softmax: Any) -> tuple[str, str, Any] | None:
    """The logits, the map, and the 1x1 convolution that reads the weighted mean."""
    logits = _through_layout(graph, softmax.input[0])
    mask = _producer(graph, logits)
    if mask is None or mask.op_type != "Conv" or graph.constants[mask.input[1]].shape[0] != 1:
        return None
    product = _reader(graph, softmax.output[0])
    if product is None or product.op_type != "MatMul":
        return None
    values = [_through_layout(graph, name) for name in product.input]
    conv = _reader(graph, product.output[0])
    if (
        conv is None
        or conv.op_type != "Conv"
        or mask.input[0] not in values
        or softmax.output[0] not in values
    ):
        return None
    kernel = graph.constants.get(conv.input[1])
    plain = kernel is not None and kernel.shape[2:] == (1, 1) and attribute(conv, "group", 1) == 1
    return (logits, mask.input[0], conv) if plain else None


def _producer(graph: OnnxGraph, name: str) -> Any:
    return next((n for n in graph.nodes if name in n.output), None)


def _through_layout(graph: OnnxGraph, name: str) -> str:
    """Where a value comes from, past operations that only arrange it."""
    node = _producer(graph, name)
    while node is not None and node.op_type in LAYOUT:
        name = node.input[0]
        node = _producer(graph, name)
    return name


def _reader(graph: OnnxGraph, name: str) -> Any:
    """The one node that reads a value, past operations that only arrange it."""
    readers = graph.consumers().get(name, [])
    while len(readers) == 1 and readers[0].op_type in LAYOUT:
        name = readers[0].output[0]
        readers = graph.consumers().get(name, [])
    return readers[0] if len(readers) == 1 and name not in graph.outputs else None


def _rewrite(graph: OnnxGraph, softmax: Any, logits: str, data: str, conv: Any) -> None:
    name = f"{conv.name}/context"
    kernel = graph.constants[conv.input[1]]
    bias = graph.constants[conv.input[2]] if any(conv.input[2:]) else np.zeros(len(kernel), np.float32)
    norm = graph.consumers()[conv.output[0]]
    if len(norm) == 1 and _is_channel_norm(norm[0]):
        # layer norm takes the mean over channels away: rather here, exactly, than in arithmetic at run time
        kernel, bias = kernel - kernel.mean(axis=0), bias - bias.mean()
        graph.replace_constant(f"{norm[0].name}/centred", np.zeros(1, np.float32))
    graph.replace_constant(f"{name}/weight", kernel)
    graph.replace_constant(f"{name}/bias", bias.reshape(1, -1, 1, 1))

    def node(kind: str, inputs: list[str], what: str, **attributes: Any) -> Any:
        output = conv.output[0] if what == "out" else f"{name}/{what}"
        return onnx.helper.make_node(kind, inputs, [output], name=f"{name}/{what}", **attributes)

    new = [
        node("Conv", [data, f"{name}/weight"], "values", kernel_shape=[1, 1]),
        node("GlobalMaxPool", [logits], "top"),
        node("Sub", [logits, f"{name}/top"], "lowered"),
        node("Exp", [f"{name}/lowered"], "weights"),
        node("Mul", [f"{name}/values", f"{name}/weights"], "weighted"),
        node("GlobalAveragePool", [f"{name}/weighted"], "sum"),
        node("GlobalAveragePool", [f"{name}/weights"], "total"),
        node("Div", [f"{name}/sum", f"{name}/total"], "mean"),
        node("Add", [f"{name}/mean", f"{name}/bias"], "out"),
    ]
    graph.replace([conv], new)


def _is_channel_norm(node: Any) -> bool:
    """Whether a node is layer norm over (channels, 1, 1)."""
    return node.op_type == "LayerNormalization" and attribute(node, "axis", -1) in (1, -3)


def write_out_layer_norms(graph: OnnxGraph) -> int:
    """Rewrite layer norm over the channels of one vector, (1, C, 1, 1), in products and means; return how many.

    The mean is taken away before, in the convolution (`average_before_softmax`), or here where that was not possible.
    """
    count = 0
    for norm in [n for n in graph.nodes if _is_channel_norm(n) and len(n.input) == 3 and len(n.output) == 1]:
        gamma, beta = (graph.constants.get(n) for n in norm.input[1:])
        if gamma is None or beta is None or gamma.shape[1:] != (1, 1):
            continue
        name = norm.name
        graph.replace_constant(f"{name}/gamma", gamma[None])
        graph.replace_constant(f"{name}/beta", beta[None])
        epsilon = np.full((1, 1, 1, 1), attribute(norm, "epsilon", 1e-5), np.float32)
        graph.replace_constant(f"{name}/epsilon", epsilon)
        new, centred = [], norm.input[0]
        if f"{name}/centred" not in graph.constants:
            axes: dict[str, Any] = {"axes": [1], "keepdims": 1}
            new.append(
                onnx.helper.make_node("ReduceMean", [centred], [f"{name}/mean"], name=f"{name}/mean", **axes)
            )
            new.append(
                onnx.helper.make_node(
                    "Sub", [centred, f"{name}/mean"], [f"{name}/minus"], name=f"{name}/minus"
                )
            )
            centred = f"{name}/minus"
        for kind, inputs, output, attributes in (
            ("Mul", [centred, centred], f"{name}/square", {}),
            ("ReduceMean", [f"{name}/square"], f"{name}/variance", {"axes": [1], "keepdims": 1}),
            ("Add", [f"{name}/variance", f"{name}/epsilon"], f"{name}/positive", {}),
            ("Sqrt", [f"{name}/positive"], f"{name}/deviation", {}),
            ("Div", [centred, f"{name}/deviation"], f"{name}/unit", {}),
            ("Mul", [f"{name}/unit", f"{name}/gamma"], f"{name}/scaled", {}),
            ("Add", [f"{name}/scaled", f"{name}/beta"], norm.output[0], {}),
        ):
            new.append(onnx.helper.make_node(kind, inputs, [output], name=f"{output}/node", **attributes))
        graph.replace([norm], new)
        count += 1
    return count
