"""Which channels of which tensors can be scaled together without changing what the network computes.

A convolution takes any factor per channel into its weights, at its input and at its output. Between convolutions lie
operators that pass a factor on: those that move values (concatenation, split, channel shuffle), that treat each channel
alone (pooling, resizing), sums (whose operands must have the same factor) and ReLU, for which
``relu(s x) = s relu(x)``. So the channels of all tensors fall into classes, each with one factor. Where an operator
allows none (a sigmoid, the network's inputs and outputs), the class is fixed.

Source of the idea, for pairs of layers: Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias
Correction (arXiv:1906.04721).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.quantize.rules import WEIGHT_AXES, image_of
from quant.tflite.records import Model, Operator, Tensor

Labels = NDArray[np.int64]  # of a tensor, its shape with 1 where the label does not depend on the place
NONE = -1  # of padding: zero times any factor

PASSES = frozenset(
    ("MEAN", "SUM", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RELU", "RELU6",
     "LEAKY_RELU", "PRELU", "REDUCE_MAX")
)  # fmt: skip
REARRANGES = frozenset(
    ("RESHAPE", "TRANSPOSE", "SPLIT", "SPLIT_V", "CONCATENATION", "SLICE", "STRIDED_SLICE", "DEPTH_TO_SPACE",
     "SPACE_TO_DEPTH", "PAD", "SQUEEZE", "EXPAND_DIMS", "GATHER")
)  # fmt: skip
FREE_ACTIVATIONS = ("NONE", "RELU", "RELU6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The classes of a network's channels.

    Attributes
    ----------
    of : dict of Tensor to ndarray
        For each float tensor whose last axis has one class an index: the classes, (C,).
    count : int
    fixed : ndarray, (count,) bool
        Classes whose factor is 1.
    clamped : ndarray, (count,) bool
        Classes with a clamp to 6 somewhere: their factor must not push values over it.
    """

    of: dict[Tensor, Labels]
    count: int
    fixed: NDArray[np.bool_]
    clamped: NDArray[np.bool_]


def find_classes(model: Model) -> Classes:
    """Return the classes of a float network."""
    return _Finder(model).find()


class _Finder:
    """Labels spread from operator to operator; equal ones are joined in a forest."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.parents: list[int] = []
        self.labels: dict[Tensor, Labels] = {}
        self.per_channel: dict[Tensor, Labels] = {}
        self.fixed: list[int] = []
        self.clamped: list[int] = []

    def find(self) -> Classes:
        for tensor in self.model.inputs.values():
            self.fixed += self._channels(tensor, self._fresh(tensor)).tolist()
        for op in self.model.operators:
            self._spread(op)
            for tensor in op.outputs:
                if op.activation == "RELU6" or op.name == "RELU6":
                    self.clamped += self.labels[tensor].ravel().tolist()
                if op.activation not in FREE_ACTIVATIONS:
                    self._fix(tensor)
        for tensor in self.model.outputs.values():
            self._fix(tensor)
        for tensor in self.labels:
            self._channels(tensor, self.labels[tensor], join=False)
        return self._numbered()

    def _numbered(self) -> Classes:
        roots = np.array([self._root(i) for i in range(len(self.parents))], np.int64)
        numbers, place = np.unique(roots, return_inverse=True)
        marks = []
        for chosen in (self.fixed, self.clamped):
            mark = np.zeros(len(numbers), bool)
            mark[place[[i for i in chosen if i != NONE]]] = True
            marks.append(mark)
        of = {tensor: place[labels] for tensor, labels in self.per_channel.items()}
        return Classes(of=of, count=len(numbers), fixed=marks[0], clamped=marks[1])

    def _spread(self, op: Operator) -> None:
        if op.name in WEIGHT_AXES and op.inputs[1] is not None and op.inputs[1].data is not None:
            self._channels(image_of(op), self._of(image_of(op)))
            self._fresh(op.outputs[0])
        elif op.name in REARRANGES:
            self._rearrange(op)
        elif op.name in PASSES:
            self.labels[op.outputs[0]] = self._reduced(op)
        elif op.name in ("ADD", "SUB"):
            self._sum(op)
        elif op.name == "MUL":
            self._multiply(op)
        else:
            for tensor in [*op.inputs, *op.outputs]:
                if tensor is not None and tensor.data is None:
                    self._fix(tensor)

    def _of(self, tensor: Tensor) -> Labels:
        return self.labels[tensor] if tensor in self.labels else self._fresh(tensor)

    def _fresh(self, tensor: Tensor) -> Labels:
        """New labels, one for each index of the last axis."""
        count = tensor.shape[-1] if tensor.shape else 1
        made = np.arange(len(self.parents), len(self.parents) + count)
        self.parents += made.tolist()
        self.labels[tensor] = made.reshape((1,) * max(len(tensor.shape) - 1, 0) + (count,))
        return self.labels[tensor]

    def _fix(self, tensor: Tensor) -> None:
        self.fixed += np.unique(self._of(tensor)).tolist()

    def _channels(self, tensor: Tensor, labels: Labels, *, join: bool = True) -> Labels:
        """One label for each index of the last axis; several are joined, or the tensor is left out."""
        rows = labels.reshape(-1, labels.shape[-1])
        first: Labels = rows.max(axis=0)
        if len(rows) > 1 and join:
            self._join(*np.broadcast_arrays(rows, first))
        elif len(rows) > 1 and not self._is_one(rows, first):
            return first
        if (first != NONE).all():
            self.per_channel[tensor] = first
        return first

    def _is_one(self, rows: Labels, first: Labels) -> bool:
        """Whether all labels of each column have been joined."""
        known = {NONE: NONE, **{int(i): self._root(int(i)) for i in np.unique(rows) if i != NONE}}
        roots = np.vectorize(known.__getitem__, otypes=[np.int64])(rows)
        return bool(((roots == roots.max(axis=0)) | (roots == NONE)).all())

    def _rearrange(self, op: Operator) -> None:
        """Do to the labels what the operator does to the values."""
        for tensor, labels in zip(op.outputs, rearranged(op, self._of), strict=True):
            labels = _compressed(labels)
            nothing = (labels == NONE).reshape(-1, labels.shape[-1]).all(axis=0)
            if nothing.any():  # channels of padding alone have values as soon as something is added to them
                labels[..., nothing] = np.arange(len(self.parents), len(self.parents) + nothing.sum())
                self.parents += labels[..., nothing].reshape(-1, nothing.sum())[0].tolist()
            self.labels[tensor] = labels

    def _reduced(self, op: Operator) -> Labels:
        """Pools, resizes and means treat each channel alone; other forms of them fix it."""
        (image, *_), result = op.inputs, op.outputs[0]
        assert image is not None
        labels = self._of(image)
        same_channels = bool(image.shape) and bool(result.shape) and image.shape[-1] == result.shape[-1]
        if not same_channels or labels[..., :1].size > 1:
            self._fix(image)
            self._fix(result)
            return self.labels[result]
        return np.asarray(labels.reshape((1,) * (len(result.shape) - 1) + (-1,)))

    def _sum(self, op: Operator) -> None:
        """All operands that are computed have one factor; constants take it in."""
        computed = [t for t in op.inputs if t is not None and t.data is None]
        labels = [self._of(t) for t in computed]
        while len(labels) > 1:
            a, b = np.broadcast_arrays(labels.pop(), labels.pop())
            self._join(a, b)
            labels.append(_compressed(a))
        result, (first,) = op.outputs[0], labels
        if first.ndim != len(result.shape) or first.shape[-1] != result.shape[-1]:
            for tensor in [*computed, result]:
                self._fix(tensor)
            return
        self.labels[result] = first

    def _multiply(self, op: Operator) -> None:
        """The larger operand passes its factor on, the other (a gate) has none; a constant for each channel is free."""
        computed = sorted(
            (t for t in op.inputs if t is not None and t.data is None), key=lambda t: -int(np.prod(t.shape))
        )
        image, result = computed[0], op.outputs[0]
        for gate in computed[1:]:
            self._fix(gate)
        if image.shape != result.shape:
            self._fix(image)
            self._fix(result)
            return
        self.labels[result] = self._of(image)

    def _join(self, a: Labels, b: Labels) -> None:
        joint = a.ravel() * np.int64(len(self.parents) + 1) + b.ravel()
        for code in np.unique(joint[(a.ravel() != NONE) & (b.ravel() != NONE)]).tolist():
            left, right = divmod(code, len(self.parents) + 1)
            if left != right:
                roots = self._root(left), self._root(right)
                self.parents[max(roots)] = min(roots)

    def _root(self, label: int) -> int:
        while self.parents[label] != label:
            self.parents[label] = self.parents[self.parents[label]]
            label = self.parents[label]
        return label


def rearranged(op: Operator, labels_of: Callable[[Tensor], Labels]) -> list[Labels]:
    """Do to labels what an operator of `REARRANGES` does to values; padding is `NONE`."""
    images = [t for t in op.inputs if t is not None and t.data is None]
    whole = [np.broadcast_to(labels_of(t), t.shape) for t in images]
    constants = [t.data for t in op.inputs if t is not None and t.data is not None]
    name, first = op.name, whole[0]
    if name in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
        return [first.reshape(op.outputs[0].shape)]
    if name == "TRANSPOSE":
        return [first.transpose(constants[0].tolist())]
    if name == "CONCATENATION":
        return [np.concatenate(whole, axis=op.number("axis"))]
    if name in ("SPLIT", "SPLIT_V"):
        axis = int(np.asarray(constants[-1] if name == "SPLIT_V" else constants[0]).item())
        ends = np.cumsum([t.shape[axis] for t in op.outputs])[:-1]
        return list(np.split(first, ends.tolist(), axis=axis))
    if name == "SLICE":
        begin, shape = constants[0].tolist(), op.outputs[0].shape
        return [first[tuple(slice(b, b + n) for b, n in zip(begin, shape, strict=True))]]
    if name == "STRIDED_SLICE":
        return [first[strides_of(op)]]
    if name == "PAD":
        return [np.pad(first, constants[0].tolist(), constant_values=NONE)]
    if name == "GATHER":
        return [np.take(first, constants[0], axis=op.number("axis"))]
    return [_blocks(op, first)]


def strides_of(op: Operator) -> tuple[Any, ...]:
    """Return the index that a STRIDED_SLICE is."""
    begin, end, step = (np.asarray(t.data).tolist() for t in op.inputs[1:4] if t is not None)
    parts: list[Any] = []
    for axis in range(len(begin)):
        if op.number("shrink_axis_mask") >> axis & 1:
            parts.append(begin[axis])
            continue
        low = None if op.number("begin_mask") >> axis & 1 else begin[axis]
        high = None if op.number("end_mask") >> axis & 1 else end[axis]
        parts.append(slice(low, high, step[axis]))
    return tuple(parts)


def _blocks(op: Operator, labels: Labels) -> Labels:
    """DEPTH_TO_SPACE, and SPACE_TO_DEPTH."""
    n, h, w, c = labels.shape
    block = op.number("block_size")
    if op.name == "DEPTH_TO_SPACE":
        apart = labels.reshape(n, h, w, block, block, c // block**2).transpose(0, 1, 3, 2, 4, 5)
        return apart.reshape(n, h * block, w * block, -1)
    apart = labels.reshape(n, h // block, block, w // block, block, c).transpose(0, 1, 3, 2, 4, 5)
    return apart.reshape(n, h // block, w // block, -1)


def _compressed(labels: Labels) -> Labels:
    """Axes along which nothing changes become 1; the last stays."""
    for axis in range(labels.ndim - 1):
        first = np.take(labels, [0], axis=axis)
        if labels.shape[axis] > 1 and (labels == first).all():
            labels = first
    return np.ascontiguousarray(labels)
