"""Reductions along axes, wherever those lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.graph.convert.arithmetic import add, combine, multiply, unary
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.node import Node
from quant.tflite.records import Tensor

REDUCERS = {
    "ReduceMean": "MEAN", "ReduceSum": "SUM", "ReduceMax": "REDUCE_MAX", "ReduceMin": "REDUCE_MAX",
    "ReduceProd": "REDUCE_PROD", "ReduceL1": "SUM", "ReduceL2": "SUM", "ReduceSumSquare": "SUM",
    "ReduceLogSum": "SUM", "ReduceLogSumExp": "SUM",
}  # fmt: skip


def reduce(scope: Scope, kind: str, tensor: Tensor, places: list[int]) -> Tensor:
    """Reduce along the tensor's axes and keep them, one long."""
    shape = [1 if place in places else n for place, n in enumerate(tensor.shape)]
    return scope.emit(kind, [tensor, scope.integers(sorted(places))], shape, keep_dims=True)


@converts(*REDUCERS)
def convert_reduction(scope: Scope, node: Node) -> None:
    """The axes are an attribute or, since opset 13 and 18, an input."""
    axes = scope.parameter(node, "axes", 1)
    value = scope.input(node)
    if axes is None or len(axes) == 0:
        if node.get("noop_with_empty_axes", 0):
            scope.keep(node, value.tensor, value.order)
            return
        axes = range(len(value.order))
    reduced = {int(axis) % len(value.order) for axis in axes}
    tensor = value.tensor
    if node.kind == "ReduceMin" and tensor.dtype == np.float32:  # XNNPACK has no minimum in INT8
        tensor = multiply(scope, tensor, -1.0)
    elif node.kind in ("ReduceL2", "ReduceSumSquare"):
        tensor = multiply(scope, tensor, tensor)
    elif node.kind == "ReduceL1":
        tensor = unary(scope, "ABS", tensor)
    elif node.kind == "ReduceLogSumExp":
        top = reduce(scope, "REDUCE_MAX", tensor, [value.place(axis) for axis in reduced])
        tensor = unary(scope, "EXP", combine(scope, "SUB", tensor, top))
    kind = "REDUCE_MIN" if node.kind == "ReduceMin" and tensor.dtype != np.float32 else REDUCERS[node.kind]
    result = reduce(scope, kind, tensor, [value.place(axis) for axis in reduced])
    if kind == "REDUCE_MAX" and node.kind == "ReduceMin":
        result = multiply(scope, result, -1.0)
    elif node.kind == "ReduceL2":
        result = unary(scope, "SQRT", result)
    elif node.kind in ("ReduceLogSum", "ReduceLogSumExp"):
        result = unary(scope, "LOG", result)
        result = add(scope, result, top) if node.kind == "ReduceLogSumExp" else result
    keep_reduced(scope, node, result, value.order, reduced)


def keep_reduced(scope: Scope, node: Node, tensor: Tensor, order: tuple[int, ...], reduced: set[int]) -> None:
    """Keep a result whose reduced axes are one long, without them where the node says so."""
    if not node.get("keepdims", 1):
        kept = [axis for axis in order if axis not in reduced]
        sizes = dict(zip(order, tensor.shape, strict=True))
        tensor = scope.reshape(tensor, [sizes[axis] for axis in kept])
        order = tuple(axis - sum(gone < axis for gone in reduced) for axis in kept)
    scope.keep(node, tensor, order)


@converts("ArgMax", "ArgMin")
def convert_arg(scope: Scope, node: Node) -> None:
    """Convert it; TFLite's operator drops the axis and takes the first of equal values."""
    if node.get("select_last_index", 0):
        raise RefusalError("it takes the last of equal values; TFLite takes the first")
    value, axis = scope.input(node), int(node.get("axis", 0)) % len(scope.input(node).order)
    place = value.place(axis)
    shape = [n for i, n in enumerate(value.tensor.shape) if i != place]
    kind = "ARG_MAX" if node.kind == "ArgMax" else "ARG_MIN"
    inputs = [value.tensor, scope.hold(np.array(place, np.int32))]
    result = scope.emit(kind, inputs, shape, np.int32, output_type="INT32")
    keeping = [1 if i == place else n for i, n in enumerate(value.tensor.shape)]
    keep_reduced(scope, node, scope.reshape(result, keeping), value.order, {axis})


@converts("TopK")
def convert_top(scope: Scope, node: Node) -> None:
    """TFLite's sorts along the last axis, largest first."""
    if not node.get("largest", 1):
        raise RefusalError("it takes the smallest; TFLite takes the largest")
    value, axis = scope.input(node), int(node.get("axis", -1)) % len(scope.input(node).order)
    count = int(np.asarray(scope.parameter(node, "k", 1)).item())
    order = (*(a for a in value.order if a != axis), axis)
    tensor = scope.arranged(node.inputs[0], order)
    shape = (*tensor.shape[:-1], count)
    inputs: list[Any] = [tensor, scope.hold(np.array(count, np.int32))]
    values = scope.emit("TOPK_V2", inputs, shape)
    indices = scope.beside(values, shape, np.int32)
    scope.keep(node, values, order)
    scope.keep(node, indices, order, 1)
