"""Operators that cut and join tensors: Slice, Split, Concat, Pad, Gather.

In INT8 XNNPACK has SLICE, an even SPLIT into at most four, CONCATENATION of at most five computed tensors and PAD with
zeros. It has no TILE, GATHER, MIRROR_PAD and STRIDED_SLICE with steps: those are made of the others where that can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph.convert.arithmetic import add, aligned, common_order
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.node import Node
from quant.tflite.records import Tensor

JOINED = 5  # inputs of a CONCATENATION that XNNPACK takes
SPLIT = 4  # outputs of a SPLIT that XNNPACK takes
PIECES = 8  # slices that are worth more than a matrix
CHOSEN = 1 << 18  # largest matrix that chooses indices: 256 KiB in INT8
LARGEST = np.iinfo(np.int32).max


def cut(scope: Scope, tensor: Tensor, axis: int, begin: int, size: int) -> Tensor:
    """A run of indices of one of the tensor's axes."""
    if begin == 0 and size == tensor.shape[axis]:
        return tensor
    starts = [0] * len(tensor.shape)
    sizes = list(tensor.shape)
    starts[axis], sizes[axis] = begin, size
    return scope.emit("SLICE", [tensor, scope.integers(starts), scope.integers(sizes)], sizes)


def join(scope: Scope, tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Put tensors behind each other, in steps where there are more than XNNPACK takes."""
    parts: list[Tensor] = []
    for tensor in tensors:
        if parts and parts[-1].data is not None and tensor.data is not None:
            parts[-1] = scope.hold(np.concatenate([parts[-1].data, tensor.data], axis=axis))
        else:
            parts.append(tensor)
    while len(parts) > 1:
        parts = [_join_few(scope, parts[i : i + JOINED], axis) for i in range(0, len(parts), JOINED)]
    return parts[0]


def _join_few(scope: Scope, tensors: list[Tensor], axis: int) -> Tensor:
    if len(tensors) == 1:
        return tensors[0]
    shape = list(tensors[0].shape)
    shape[axis] = sum(t.shape[axis] for t in tensors)
    return scope.emit("CONCATENATION", tensors, shape, axis=axis)


def pick(scope: Scope, tensor: Tensor, axis: int, indices: Sequence[int]) -> Tensor:
    """Chosen indices of one axis: slices where they come in few runs, else a matrix that takes them.

    A GATHER, which leaves XNNPACK, remains where that matrix would be large.
    """
    step = len(indices) > 1 and indices[1] - indices[0]
    if (
        step
        and step > 1
        and list(indices) == list(range(indices[0], indices[-1] + 1, step))
        and axis in (1, 2)
    ):
        thinned = _every(scope, tensor, axis, int(indices[0]), int(step), len(indices))
        if thinned is not None:
            return thinned
    runs = _runs(indices)
    if len(runs) <= PIECES:
        return join(scope, [cut(scope, tensor, axis, begin, size) for begin, size in runs], axis)
    shape = list(tensor.shape)
    if tensor.dtype == np.float32 and len(indices) * shape[axis] <= CHOSEN:
        return along(scope, tensor, axis, np.eye(shape[axis], dtype=np.float32)[list(indices)])
    shape[axis] = len(indices)
    return scope.emit("GATHER", [tensor, scope.integers(indices)], shape, axis=axis)


def along(scope: Scope, tensor: Tensor, axis: int, matrix: NDArray[Any]) -> Tensor:
    """Apply a matrix (target, size) along one axis of a tensor."""
    permutation = [i for i in range(len(tensor.shape)) if i != axis] + [axis]
    moves = permutation != sorted(permutation)
    turned = scope.rearrange_axes(tensor, permutation) if moves else tensor
    weights, bias = scope.hold(matrix.astype(np.float32)), scope.hold(np.zeros(len(matrix), np.float32))
    shape = (*turned.shape[:-1], len(matrix))
    result = scope.emit("FULLY_CONNECTED", [turned, weights, bias], shape, keep_num_dims=True)
    if not moves:
        return result
    return scope.rearrange_axes(result, [permutation.index(i) for i in range(len(permutation))])


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index in (int(i) for i in indices):
        if runs and index == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((index, 1))
    return runs


def _every(scope: Scope, tensor: Tensor, axis: int, begin: int, step: int, count: int) -> Tensor | None:
    """Take every n-th row or column of a map: n of them in one, of which a slice keeps the first.

    XNNPACK has neither STRIDED_SLICE with steps nor a pool of one by one.
    """
    if len(tensor.shape) != 4 or tensor.dtype != np.float32:
        return None
    whole = count * step
    first = max(min(begin, tensor.shape[axis] - whole), 0)
    tensor = cut(scope, tensor, axis, first, min(whole, tensor.shape[axis]))
    missing = [(0, whole - tensor.shape[axis] if place == axis else 0) for place in range(4)]
    tensor = pad(scope, tensor, missing)
    shape = list(tensor.shape)
    size = shape[axis + 1]
    shape[axis : axis + 2] = [count, step * size]
    return cut(scope, scope.reshape(tensor, shape), axis + 1, (begin - first) * size, size)


@converts("CumSum")
def convert_sums(scope: Scope, node: Node) -> None:
    """The sums up to each index of an axis: a matrix of ones and zeros, which TFLite has not in INT8 otherwise."""
    value, axis = scope.real_input(node), int(np.asarray(scope.parameter(node, "axis", 1)).item())
    size = value.shape[axis]
    if size * size > CHOSEN:
        raise RefusalError(f"it sums up {size} values; expected at most {int(CHOSEN**0.5)}")
    matrix = np.tri(size, size, -1 if node.get("exclusive", 0) else 0, dtype=np.float32)
    matrix = matrix.T if node.get("reverse", 0) else matrix
    scope.keep(node, along(scope, value.tensor, value.place(axis), matrix), value.order)


@converts("Slice")
def convert_slice(scope: Scope, node: Node) -> None:
    """Bounds are attributes before opset 10, inputs since; they are clamped to the axis."""
    value = scope.input(node)
    starts = [int(i) for i in scope.parameter(node, "starts", 1)]
    ends = [int(i) for i in scope.parameter(node, "ends", 2)]
    axes = [int(i) for i in scope.parameter(node, "axes", 3, range(len(starts)))]
    steps = [int(i) for i in scope.parameter(node, "steps", 4, [1] * len(starts))]
    tensor = value.tensor
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = value.place(axis)
        indices = range(value.shape[axis])[start:end:step]
        if not indices:
            raise RefusalError(f"it keeps nothing of axis {axis}")
        tensor = pick(scope, tensor, place, indices)
    scope.keep(node, tensor, value.order)


@converts("Split")
def convert_split(scope: Scope, node: Node) -> None:
    """The sizes are known from ONNX Runtime's run."""
    value, axis = scope.input(node), int(node.get("axis", 0)) % len(scope.input(node).shape)
    place, sizes = value.place(axis), [node.shapes[name][axis] for name in node.outputs if name]
    if len(sizes) != len(node.outputs):
        raise RefusalError("it leaves outputs without a name; expected one each")
    if len(set(sizes)) == 1 and 1 < len(sizes) <= SPLIT and sum(sizes) == value.shape[axis]:
        shape = list(value.tensor.shape)
        shape[place] = sizes[0]
        inputs = [scope.hold(np.array(place, np.int32)), value.tensor]
        options = {"num_splits": len(sizes)}
        parts = scope.emit_many("SPLIT", inputs, [tuple(shape)] * len(sizes), value.tensor.dtype, **options)
    else:
        begins = np.cumsum([0, *sizes])
        parts = [
            cut(scope, value.tensor, place, int(begin), size)
            for begin, size in zip(begins[:-1], sizes, strict=True)
        ]
    for index, part in enumerate(parts):
        scope.keep(node, part, value.order, index)


@converts("Concat")
def convert_concat(scope: Scope, node: Node) -> None:
    """All operands are arranged like the largest."""
    order = common_order(scope, node, node.inputs)
    axis = int(node.get("axis", 1)) % len(order)
    tensors = [aligned(scope, node, name, order) for name in node.inputs if 0 not in node.shapes[name]]
    scope.keep(node, join(scope, tensors, order.index(axis)), order)


@converts("Pad")
def convert_pad(scope: Scope, node: Node) -> None:
    """Zeros by PAD, another number on top of them, a mirrored or repeated border by slices."""
    value = scope.input(node)
    pads = [int(n) for n in scope.parameter(node, "pads", 1)]
    axes = [int(n) for n in scope.parameter(node, "axes", 3, range(len(pads) // 2))]
    both = [(0, 0)] * len(value.order)
    for index, axis in enumerate(axes):
        both[value.place(axis)] = (pads[index], pads[index + len(axes)])
    tensor = value.tensor
    for axis, (before, after) in enumerate(both):  # negative pads cut
        if before < 0 or after < 0:
            begin = max(-before, 0)
            tensor = cut(scope, tensor, axis, begin, tensor.shape[axis] - begin - max(-after, 0))
    both = [(max(before, 0), max(after, 0)) for before, after in both]
    mode = node.get("mode", "constant")
    if mode == "constant":
        fill = scope.parameter(node, "value", 2)
        number = 0.0 if fill is None or np.size(fill) == 0 else float(np.asarray(fill).item())
        tensor = pad(scope, tensor, both, number)
    else:
        for axis, (before, after) in enumerate(both):
            tensor = pick(scope, tensor, axis, _border(tensor.shape[axis], before, after, mode))
    scope.keep(node, tensor, value.order)


def pad(scope: Scope, tensor: Tensor, both: Sequence[tuple[int, int]], number: float = 0.0) -> Tensor:
    """Pad every axis of a tensor with a number; XNNPACK pads with zeros alone, so another is added to the border."""
    if not any(n for pair in both for n in pair):
        return tensor
    shape = [size + sum(pair) for size, pair in zip(tensor.shape, both, strict=True)]
    amounts = scope.hold(np.array(both, np.int32))
    if number == 0:
        return scope.emit("PAD", [tensor, amounts], shape)
    if tensor.dtype == np.float32 and np.isfinite(number):
        inside = tuple(
            slice(before, before + size) for size, (before, _) in zip(tensor.shape, both, strict=True)
        )
        border = np.full(
            [size if any(pair) else 1 for size, pair in zip(shape, both, strict=True)], number, np.float32
        )
        border[inside] = 0
        return add(scope, scope.emit("PAD", [tensor, amounts], shape), scope.hold(border))
    return scope.emit("PADV2", [tensor, amounts, scope.hold(np.array(number, tensor.dtype))], shape)


def _border(size: int, before: int, after: int, mode: str) -> list[int]:
    """Which indices a border is made of."""
    modes = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    if mode not in modes:
        raise RefusalError(f"its mode is {mode!r}; expected constant, reflect, edge or wrap")
    return [int(i) for i in np.pad(np.arange(size), (before, after), mode=modes[mode])]  # type: ignore[call-overload]


@converts("Gather")
def convert_gather(scope: Scope, node: Node) -> None:
    """With constant indices it is slices."""
    axis, indices = int(node.get("axis", 0)), scope.constant(node, 1)
    value = scope.input(node)
    axis %= len(value.order)
    place = value.place(axis)
    if indices is None:
        _gather_computed(scope, node, axis)
        return
    flat = [int(i) % value.shape[axis] for i in indices.reshape(-1)]
    tensor = pick(scope, value.tensor, place, flat)
    kept = tuple(a for a in value.order if a != axis)
    if indices.ndim == 1:
        scope.keep(node, tensor, value.order)
    elif indices.ndim == 0:
        order = tuple(a - (a > axis) for a in kept)
        scope.keep(node, scope.reshape(tensor, [n for i, n in enumerate(tensor.shape) if i != place]), order)
    else:
        spread = [a if a < axis else a + indices.ndim - 1 for a in value.order]
        spread[place : place + 1] = [axis + i for i in range(indices.ndim)]
        shape = list(tensor.shape)
        shape[place : place + 1] = indices.shape
        scope.keep(node, scope.reshape(tensor, shape), tuple(spread))


def _gather_computed(scope: Scope, node: Node, axis: int) -> None:
    plain = tuple(range(len(node.shapes[node.inputs[0]])))
    data = scope.arranged(node.inputs[0], plain)
    indices = scope.arranged(node.inputs[1], tuple(range(len(node.shapes[node.inputs[1]]))))
    result = scope.emit("GATHER", [data, indices], node.shape, axis=axis)
    scope.keep(node, result, tuple(range(len(node.shape))))


def pad_map(scope: Scope, tensor: Tensor, top: int, left: int, bottom: int, right: int) -> Tensor:
    """Pad a map (1, H, W, C) with zeros."""
    return pad(scope, tensor, [(0, 0), (top, bottom), (left, right), (0, 0)])


def repeat_edges(scope: Scope, tensor: Tensor, top: int, left: int, bottom: int, right: int) -> Tensor:
    """Pad a map (1, H, W, C) with its own border."""
    for axis, before, after in ((1, top, bottom), (2, left, right)):
        tensor = pick(scope, tensor, axis, _border(tensor.shape[axis], before, after, "edge"))
    return tensor
