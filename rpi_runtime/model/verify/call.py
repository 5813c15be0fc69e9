"""One operation as its rule sees it, and the plainest rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rpi_runtime.model.verify.flatbuffer import Table, want
from rpi_runtime.model.verify.graph import Tensor

Shape = tuple[int, ...]
MOST_STEP = 1 << 16  # of strides, dilations, filters and blocks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One operation with the tensors it reads (None for one left out) and writes, and its options."""

    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Table

    def shape(self, index: int) -> Shape:
        """Shape of an input, which must be there."""
        return self.tensor(index).shape

    def tensor(self, index: int) -> Tensor:
        """Return an input, which must be there."""
        found = self.inputs[index] if index < len(self.inputs) else None
        want(found is not None, f"input {index} is missing")
        assert found is not None
        return found

    def numbers(self, index: int) -> tuple[int, ...]:
        """Return the values of an input that must be constant integers, one dimension at most."""
        tensor = self.tensor(index)
        want(tensor.data is not None, f"input {index} is computed, expected a constant")
        want(tensor.dtype.kind in "iu" and len(tensor.shape) <= 1, f"input {index}: expected integers")
        assert tensor.data is not None
        return tuple(map(int, tensor.data.reshape(-1).tolist()))

    def axis(self, value: int, rank: int) -> int:
        """Return an axis counted from the front; `MalformedError` where there is no such axis."""
        want(-rank <= value < rank, f"axis {value} of {rank} dimensions")
        return value % rank


Rule = Callable[[Call], Sequence[Shape | None]]


def same(call: Call) -> Sequence[Shape | None]:
    """One output of the first input's shape."""
    return (call.shape(0),)


def broadcast(call: Call) -> Sequence[Shape | None]:
    """NumPy's broadcasting of all inputs."""
    return (broadcast_shapes([call.shape(i) for i in range(len(call.inputs))]),)


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """Return what shapes become together by NumPy's rules."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    result = []
    for sizes in zip(*padded, strict=True):
        largest = max(sizes)
        want(all(n in (1, largest) for n in sizes), f"shapes {', '.join(map(str, shapes))} do not broadcast")
        result.append(largest)
    return tuple(result)


def check_bias(call: Call, index: int, out: int) -> None:
    """Refuse a bias, an input that may be left out, which is not one value for each of `out` channels."""
    if index < len(call.inputs) and call.inputs[index] is not None:
        want(math.prod(call.shape(index)) == out, f"a bias of {call.shape(index)} for {out} channels")
