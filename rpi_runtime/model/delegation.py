"""Which operations of a loaded model run in a delegate such as XNNPACK, and which fell back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """The operations inside and outside a delegate.

    Attributes
    ----------
    partitions : int
        Number of delegate nodes. Each border between two costs time.
    delegated : int
        Number of the model's operations inside them.
    fell_back : tuple of str
        Names of the operations that the interpreter's own kernels run, in their order, with repetitions.
    """

    partitions: int
    delegated: int
    fell_back: tuple[str, ...]

    @property
    def total(self) -> int:
        """Number of operations of the model."""
        return self.delegated + len(self.fell_back)

    def __str__(self) -> str:
        parts = "1 partition" if self.partitions == 1 else f"{self.partitions} partitions"
        text = f"{self.delegated} of {self.total} operations in XNNPACK ({parts})"
        if self.fell_back:
            counts = ", ".join(f"{n} {name}" for name, n in Counter(self.fell_back).items())
            text += f", not: {counts}"
        return text


def delegation_of(ops: Sequence[Mapping[str, Any]]) -> Delegation:
    """Derive the delegation from an interpreter's list of operations.

    When a delegate has claimed operations, the list keeps the originals and appends one DELEGATE per
    partition with the partition's inputs and outputs. A partition runs the operations between them: those reached by
    walking from its outputs back through the producers to its inputs.

    Parameters
    ----------
    ops : sequence of mapping
        ``op_name``, ``inputs`` and ``outputs`` (tensor indices) of each.
    """
    originals = [op for op in ops if op["op_name"] != "DELEGATE"]
    delegates = [op for op in ops if op["op_name"] == "DELEGATE"]
    producer = {int(t): i for i, op in enumerate(originals) for t in op["outputs"]}
    taken: set[int] = set()
    for delegate in delegates:
        taken |= _between(delegate, originals, producer)
    fell_back = tuple(op["op_name"] for i, op in enumerate(originals) if i not in taken)
    return Delegation(partitions=len(delegates), delegated=len(taken), fell_back=fell_back)


def _between(
    delegate: Mapping[str, Any], originals: Sequence[Mapping[str, Any]], producer: Mapping[int, int]
) -> set[int]:
    """Indices of the operations that compute the delegate's outputs from its inputs."""
    stop = {int(t) for t in delegate["inputs"]}
    waiting = [int(t) for t in delegate["outputs"]]
    found: set[int] = set()
    while waiting:
        tensor = waiting.pop()
        if tensor in stop or tensor not in producer or producer[tensor] in found:
            continue
        found.add(producer[tensor])
        waiting += [int(t) for t in originals[producer[tensor]]["inputs"]]
    return found
