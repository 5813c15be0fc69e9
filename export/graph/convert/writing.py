"""Values that are written into a part of others, as a slice that is assigned to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph.convert.layout import Value, plan_reshape
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.convert.slicing import cut, join
from export.graph.node import Node
from quant.tflite.records import Tensor

Run = tuple[int, int]  # first index of an axis, and number of indices


@converts("ScatterND")
def convert_assignment(scope: Scope, node: Node) -> None:
    """Where the indices are those of a box: what lies before it, the new values, and what lies behind it."""
    indices = scope.constant(node, 1)
    runs = None if indices is None else box_of(indices)
    if runs is None or node.get("reduction", "none") != "none":
        raise RefusalError(
            "its indices are computed, or no box; expected those of a slice that is assigned to"
        )
    data = scope.input(node)
    shape = (*(size for _, size in runs), *data.shape[len(runs) :])
    inner = scope.rearrange(_reshaped(scope, node.inputs[2], shape), data.order)
    places = [data.place(axis) for axis in range(len(runs))]
    for axis in reversed(range(len(runs))):
        around = data.tensor
        for place, (begin, size) in zip(places[:axis], runs[:axis], strict=True):
            around = _part(scope, around, place, begin, size)
        inner = _put(scope, around, inner, places[axis], runs[axis])
    scope.keep(node, inner, data.order)


def box_of(indices: NDArray[Any]) -> list[Run] | None:
    """Return the run of each axis where indices (..., axes) are all those of a box in their order, else None."""
    rows = indices.reshape(-1, indices.shape[-1])
    if not len(rows) or rows.min() < 0:
        return None
    first, last = rows.min(axis=0), rows.max(axis=0)
    ranges = [np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]
    if np.prod([len(r) for r in ranges]) != len(rows):
        return None
    whole = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(rows.shape)
    return [(int(r[0]), len(r)) for r in ranges] if np.array_equal(rows, whole) else None


def _reshaped(scope: Scope, name: str, shape: tuple[int, ...]) -> Value:
    value = scope.value(name)
    before, after = plan_reshape(value.shape, value.order, shape, scope.meeting)
    scope.moved |= before != value.order
    tensor = scope.reshape(scope.arranged(name, before), [shape[axis] for axis in after])
    return Value(tensor=tensor, order=after)


def _put(scope: Scope, around: Tensor, inner: Tensor, axis: int, run: Run) -> Tensor:
    """Replace a run of one axis."""
    begin, size = run
    behind = around.shape[axis] - begin - size
    parts = [inner]
    if begin:
        parts.insert(0, _part(scope, around, axis, 0, begin))
    if behind:
        parts.append(_part(scope, around, axis, begin + size, behind))
    return join(scope, parts, axis)


def _part(scope: Scope, tensor: Tensor, axis: int, begin: int, size: int) -> Tensor:
    if tensor.data is None:
        return cut(scope, tensor, axis, begin, size)
    return scope.hold(np.take(tensor.data, range(begin, begin + size), axis=axis))
