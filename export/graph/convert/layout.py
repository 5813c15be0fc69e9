"""Where the axes of an ONNX value lie in a tensor of the .tflite.

ONNX has channels first, TFLite's operators want them last. Nothing is transposed for that alone: each value remembers
which of its axes is where, a transposition of ONNX's changes only what is remembered, and a reshape works on the axes
where they are, as long as those that it joins lie side by side. Only an operator that needs another arrangement than
the one that is there gets a TRANSPOSE.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from quant.tflite.records import Tensor

Order = tuple[int, ...]
Shape = tuple[int, ...]

CHANNELS_LAST: Order = (0, 2, 3, 1)

# Where a reshape joins axes that lie apart: with the first of them, with the last, or as the result usually lies.
# Which one spares the most later depends on the whole network.
Meeting = Literal["first", "last", "usual"]
MEETINGS: tuple[Meeting, ...] = ("first", "last", "usual")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Value:
    """A value of the ONNX graph, and the tensor that holds it.

    Attributes
    ----------
    tensor : Tensor
    order : tuple of int
        The tensor's axis i is ONNX's axis ``order[i]``.
    """

    tensor: Tensor
    order: Order

    def __post_init__(self) -> None:
        assert sorted(self.order) == list(range(len(self.tensor.shape))), (self.order, self.tensor.shape)

    @property
    def shape(self) -> Shape:
        """The shape that ONNX sees."""
        sizes = dict(zip(self.order, self.tensor.shape, strict=True))
        return tuple(sizes[axis] for axis in range(len(sizes)))

    def place(self, axis: int) -> int:
        """The tensor's axis that holds an axis of ONNX's, which may count from the end."""
        return self.order.index(axis % len(self.order))


def usual_order(rank: int) -> Order:
    """The arrangement to begin with: maps with their channels last, all else as ONNX has it."""
    return CHANNELS_LAST if rank == 4 else tuple(range(rank))


def permuted(order: Order, permutation: Order) -> Order:
    """The order after ONNX's Transpose, which moves no data: new axis j is old axis ``permutation[j]``."""
    return tuple(permutation.index(axis) for axis in order)


def plan_reshape(
    shape: Shape, order: Order, target: Shape, meeting: Meeting = "first"
) -> tuple[Order, Order]:
    """Plan a reshape that leaves the axes where they are, as far as possible.

    Parameters
    ----------
    shape, target : tuple of int
        ONNX's shapes before and after.
    order : tuple of int
        Where the axes lie before.
    meeting : {"first", "last", "usual"}
        Where axes that have to be moved go.

    Returns
    -------
    before, after : tuple of int
        The order that the reshape needs, `order` itself where it will do, and the order that results.
    """
    groups = _axis_groups(shape, target)
    rank = {axis: place for place, axis in enumerate(order)}
    sites = _sites(groups, shape, rank, meeting)
    sequence = sorted(range(len(groups)), key=lambda index: sites[index])
    wanted = [axis for index in sequence for axis in groups[index][0] if shape[axis] > 1]
    present = [axis for axis in order if shape[axis] > 1]
    if wanted != present and meeting == "usual":
        places = usual_order(len(target))
        sequence.sort(key=lambda index: [places.index(axis) for axis in groups[index][1][:1]])
    before = tuple(axis for index in sequence for axis in groups[index][0])
    after = tuple(axis for index in sequence for axis in groups[index][1])
    return (order if wanted == present else before), after


def _sites(
    groups: list[tuple[list[int], list[int]]], shape: Shape, rank: dict[int, int], meeting: Meeting
) -> list[tuple[int, int]]:
    """Where each group lies: with one of its axes that are more than one; one without such goes with its neighbour."""
    sites: list[tuple[int, int]] = []
    last = -1
    for index, (inputs, _) in enumerate(groups):
        real = [rank[axis] for axis in inputs if shape[axis] > 1]
        if real:
            last = max(real) if meeting == "last" else min(real)
        sites.append((last, index))
    return sites


def _axis_groups(shape: Shape, target: Shape) -> list[tuple[list[int], list[int]]]:
    """The finest split of both shapes into runs of axes with equal products."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(shape) or j < len(target):
        inputs, outputs = list(range(i, min(i + 1, len(shape)))), list(range(j, min(j + 1, len(target))))
        while (have := prod(shape[a] for a in inputs)) != (want := prod(target[a] for a in outputs)):
            if have < want:
                inputs.append(inputs[-1] + 1 if inputs else i)
            else:
                outputs.append(outputs[-1] + 1 if outputs else j)
        i, j = i + len(inputs), j + len(outputs)
        groups.append((inputs, outputs))
    return groups
