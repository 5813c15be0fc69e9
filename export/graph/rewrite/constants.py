"""Compute at export what does not depend on the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from export.graph.graph import OnnxGraph


def fold_constants(graph: OnnxGraph) -> int:
    """Evaluate nodes that read only constants; return how many."""
    count = 0
    for node in graph.nodes:
        known = [n for n in node.input if n]
        if any(n not in graph.constants for n in known) or set(node.output) & set(graph.outputs):
            continue
        for name, value in zip(node.output, _evaluate(graph, node), strict=True):
            graph.replace_constant(name, np.asarray(value))
        graph.model.graph.node.remove(node)
        count += 1
    return count


def _evaluate(graph: OnnxGraph, node: Any) -> list[Any]:
    inputs = [n for n in dict.fromkeys(node.input) if n]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node],
            "constant",
            [onnx.ValueInfoProto(name=n) for n in inputs],
            [onnx.ValueInfoProto(name=n) for n in node.output],
        ),
        opset_imports=graph.model.opset_import,
    )
    return list(ReferenceEvaluator(model).run(None, {n: graph.constants[n] for n in inputs}))
