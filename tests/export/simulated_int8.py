"""What INT8 would add as noise to a graph, simulated in ONNX: no conversion, so it takes milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from export.graph.graph import OnnxGraph, run

ROUNDED = ("Conv", "Relu", "Mul", "Add", "DepthToSpace", "GlobalAveragePool")


def rounded_graph(graph: OnnxGraph, images: Sequence[np.ndarray]) -> OnnxGraph:
    """A copy with weights on int8 grids per output channel, and activations on 255 steps over their range."""
    coarse, readers = graph.copy(), graph.consumers()
    for node in [n for n in coarse.nodes if n.op_type == "Conv"]:
        kernel = coarse.constants[node.input[1]]
        step = np.maximum(np.abs(kernel).max(axis=(1, 2, 3), keepdims=True), 1e-12) / 127
        coarse.replace_constant(node.input[1], (np.rint(kernel / step) * step).astype(np.float32))
    tensors = [n.output[0] for n in graph.nodes if n.op_type in ROUNDED and n.output[0] in readers]
    tensors = [t for t in tensors if [r.op_type for r in readers[t]] not in (["Relu"], ["Clip"], ["Concat"])]
    probe = graph.copy()
    probe.model.graph.output.extend(
        helper.make_tensor_value_info(t, TensorProto.FLOAT, None) for t in tensors
    )
    found = [run(probe, image) for image in images]
    for tensor in tensors:
        low = min(0.0, *(float(f[tensor].min()) for f in found))
        high = max(0.0, *(float(f[tensor].max()) for f in found))
        _round(coarse, tensor, max(high - low, 1e-9) / 255)
    return coarse


def _round(graph: OnnxGraph, tensor: str, step: float) -> None:
    """Give every reader of a tensor its values on a grid; not QuantizeLinear, which ONNX Runtime would fuse."""
    graph.replace_constant(f"{tensor}.step", np.array(step, np.float32))
    for node in graph.model.graph.node:
        for index, name in enumerate(node.input):
            if name == tensor:
                node.input[index] = f"{tensor}.real"
    maker = next(n for n in graph.nodes if n.output[0] == tensor)
    chain: list[Any] = [maker]
    for kind, sources, end in (
        ("Div", [tensor, f"{tensor}.step"], "steps"),
        ("Round", [f"{tensor}.steps"], "stored"),
        ("Mul", [f"{tensor}.stored", f"{tensor}.step"], "real"),
    ):
        chain.append(helper.make_node(kind, sources, [f"{tensor}.{end}"], name=f"{tensor}.{end}"))
    graph.replace([maker], chain)


def int8_noise(graph: OnnxGraph, images: Sequence[np.ndarray]) -> float:
    """Noise over signal at the first output."""
    coarse = rounded_graph(graph, images)
    signal = noise = 0.0
    for image in images:
        real, rough = (next(iter(run(g, image).values())) for g in (graph, coarse))
        signal += float(np.square(real).sum())
        noise += float(np.square(real - rough).sum())
    return float(np.sqrt(noise / signal))
