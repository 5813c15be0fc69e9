"""Hard sigmoids as clamped convolutions, and sums of gated copies of one map as one product.

XNNPACK clamps a convolution's output to 0..6 for nothing, but has no minimum in INT8. So with a convolution z before it
``clip(alpha z + beta, 0, 1)`` becomes ``clip(6 alpha z + 6 beta, 0, 6) / 6``: the factors go into the convolution, and
the division is of the gate, which is one vector or one channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from export.graph.graph import OnnxGraph, attribute

TOP = 6.0  # of the clamp that convolutions have built in


def clamp_hard_sigmoids(graph: OnnxGraph) -> int:
    """Rewrite every HardSigmoid right behind a convolution; return how many."""
    count = 0
    for node in [n for n in graph.nodes if n.op_type == "HardSigmoid"]:
        found = _convolution_before(graph, node)
        if found is None:
            continue
        conv, between, factor = found
        alpha = attribute(node, "alpha", 0.2) * factor * TOP
        _scale_convolution(graph, conv, alpha, attribute(node, "beta", 0.5) * TOP)
        name = f"{node.name}/clamp"
        for constant, value in (("low", 0.0), ("high", TOP), ("share", 1 / TOP)):
            graph.replace_constant(f"{name}/{constant}", np.array(value, np.float32))
        limits = [conv.output[0], f"{name}/low", f"{name}/high"]
        clip = onnx.helper.make_node("Clip", limits, [name], name=name)
        share = onnx.helper.make_node(
            "Mul", [name, f"{name}/share"], list(node.output), name=f"{name}/scaled"
        )
        graph.replace([*between, node], [clip, share])
        count += 1
    return count


def _convolution_before(graph: OnnxGraph, node: Any) -> tuple[Any, list[Any], float] | None:
    """The convolution whose output only this node reads, what multiplies it by a number in between, that number."""
    producers = {o: n for n in graph.nodes for o in n.output}
    consumers = graph.consumers()
    between: list[Any] = []
    factor, value = 1.0, node.input[0]
    while True:
        producer = producers.get(value)
        if producer is None or len(consumers[value]) != 1 or value in graph.outputs:
            return None
        if producer.op_type == "Conv":
            known = all(n in graph.constants for n in producer.input[1:] if n)
            return (producer, between, factor) if known else None
        number = _number(graph, producer) if producer.op_type == "Mul" else None
        if number is None:
            return None
        value = next(n for n in producer.input if n not in graph.constants)
        factor *= number
        between.append(producer)


def _number(graph: OnnxGraph, node: Any) -> float | None:
    """The one number among a node's inputs."""
    known = [graph.constants[n] for n in node.input if n in graph.constants]
    return float(known[0].reshape(-1)[0]) if len(known) == 1 and known[0].size == 1 else None


def _scale_convolution(graph: OnnxGraph, conv: Any, factor: float, offset: float) -> None:
    """Make a convolution compute ``factor * z + offset``."""
    kernel = graph.constants[conv.input[1]]
    bias = graph.constants[conv.input[2]] if any(conv.input[2:]) else np.zeros(kernel.shape[0])
    names = [f"{conv.name}.clamped.weight", f"{conv.name}.clamped.bias"]
    graph.replace_constant(names[0], (kernel.astype(np.float64) * factor).astype(np.float32))
    graph.replace_constant(names[1], (bias.astype(np.float64) * factor + offset).astype(np.float32))
    data = conv.input[0]
    del conv.input[:]
    conv.input.extend([data, *names])


def join_gated_sums(graph: OnnxGraph) -> int:
    """``x + x * g + x * h`` -> ``x * (1 + g + h)``: one product and one sum of the map's size instead of four."""
    count = 0
    for add in reversed(graph.nodes):
        if add.op_type == "Add" and add.name in {n.name for n in graph.nodes}:
            count += _join(graph, add)
    return count


def _join(graph: OnnxGraph, add: Any) -> int:
    producers = {o: n for n in graph.nodes for o in n.output}
    consumers = graph.consumers()

    def single(name: str) -> Any:
        node = producers.get(name)
        return node if node and len(consumers[name]) == 1 and name not in graph.outputs else None

    old, plain, products, waiting = [add], [], [], list(add.input)
    while waiting:
        node = single(waiting[-1])
        name = waiting.pop()
        if node is not None and node.op_type == "Add":
            old.append(node)
            waiting += node.input
        elif node is not None and node.op_type == "Mul":
            products.append(node)
        else:
            plain.append(name)
    if len(plain) != 1 or not products or not all(plain[0] in m.input for m in products):
        return 0
    gates = [next(n for n in m.input if n != plain[0]) for m in products]
    one = f"{add.name}/one"
    graph.replace_constant(one, np.ones((1, 1, 1, 1), np.float32))
    new, total = [], one
    for index, gate in enumerate(gates):
        output = f"{add.name}/gate{index}"
        new.append(onnx.helper.make_node("Add", [gate, total], [output], name=output))
        total = output
    name = f"{add.name}/gated"
    new.append(onnx.helper.make_node("Mul", [plain[0], total], list(add.output), name=name))
    graph.replace([*old, *products], new)
    return 1
