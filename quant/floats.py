"""Compute in float what INT8 has no sound kernel for, inside the one XNNPACK partition.

XNNPACK takes DEQUANTIZE, QUANTIZE and nearly every operation in float, so an island of float in an INT8 graph costs its
own arithmetic and two conversions, and no border of partitions. Two kinds are made:

tables
    Functions of one value in a row, between a DEQUANTIZE and a QUANTIZE: hard-swish, GELU, an exponential. XNNPACK
    turns all of it into a table of 256 bytes, so that such an island is an INT8 operation in all but name.
    Measured (LiteRT 2.3, x86-64, 393,216 values, one thread, `python -m tests.benchmarks.operators --tables`):
    35 to 40 us, whichever functions stand there, where the float kernels alone take 41 to 106 us each.
chains
    Quotients, softmax, exponentials that are summed up, roots of variances, products of two computed matrices, and
    what lies between them: INT8 steps are too coarse there. Squares have twice the range of values in logarithms, a
    softmax over 3,072 positions has weights far below its fixed output step 1/256, and XNNPACK takes a BATCH_MATMUL in
    INT8 only where its right operand has the zero point 0.

A chain is grown from such an operation along what is computed for it alone, and ends where its result is as tame as any
other value: at a layer, at a sum or product with a value of the same size from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import prod

import numpy as np

from quant.speed.boards import SPEEDS, Speed, total
from quant.speed.work import Work, work_of_operator
from quant.tflite.records import Model, Operator, Tensor

# Functions of one value that XNNPACK has in float and not in INT8, and those of which tables may hold more.
FUNCTIONS = frozenset(
    ("HARD_SWISH", "ABS", "GELU", "RELU", "RELU6", "RELU_N1_TO_1", "NEG", "FLOOR", "CEIL", "ROUND", "SQUARE", "EXP",
     "LOG", "SQRT", "RSQRT", "SIN", "COS")
)  # fmt: skip
TABULATED = FUNCTIONS | {"LOGISTIC", "TANH", "ELU"}
# Other operations that XNNPACK has in float and not in INT8.
ALONE = frozenset(("PRELU", "MAXIMUM", "MINIMUM", "AVERAGE_POOL_2D"))
# What begins a chain, and what a chain goes on through.
FRAGILE = frozenset(
    (
        "EXP",
        "DIV",
        "SQRT",
        "RSQRT",
        "SQUARED_DIFFERENCE",
        "SOFTMAX",
        "LOG",
        "POW",
        "SIN",
        "COS",
        "BATCH_MATMUL",
    )
)
MOVES = frozenset(("RESHAPE", "TRANSPOSE"))
CHAINED = (
    FUNCTIONS | FRAGILE | MOVES | {"ADD", "SUB", "MUL", "MEAN", "SUM", "REDUCE_MAX", "MAXIMUM", "MINIMUM"}
)
# Part of the predicted time that chains may take together; beyond it, a file is hardly faster than its float file.
LARGEST_SHARE = 0.75
BOARD, THREADS = "pi4", 4
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")

Chain = list[Operator]


@dataclass(frozen=True, slots=True, kw_only=True)
class Island:
    """Operations computed in float.

    Attributes
    ----------
    kind : {"table", "chain", "layers"}
        Layers have an INT8 kernel and are in float because a recipe leaves them there (`quant.quantize.mixed`).
    operations : tuple of str
    share : float
        Its part of the file's predicted time on a Raspberry Pi 4, conversions included.
    tensors : frozenset of Tensor
        Their inputs and outputs in the file.
    """

    kind: str
    operations: tuple[str, ...]
    share: float
    tensors: frozenset[Tensor] = field(repr=False, compare=False)


def choose_floats(model: Model) -> set[Operator]:
    """Return the operations of a float network that INT8 has no sound kernel for: tables and chains."""
    graph = _Graph(model)
    chosen: set[Operator] = set()
    for op in model.operators:
        if _computes_real(op) and graph.is_fragile(op) and op not in chosen:
            chosen |= graph.chain(op)
    return chosen | {op for op in model.operators if op.name in FUNCTIONS | ALONE and _computes_real(op)}


class _Graph:
    """Who makes and who reads a network's tensors."""

    def __init__(self, model: Model) -> None:
        self.producers, self.readers = model.producers(), model.readers()
        self.outputs = frozenset(model.outputs.values())

    def is_fragile(self, op: Operator) -> bool:
        return op.name in FRAGILE and (op.name != "BATCH_MATMUL" or len(_computed(op)) > 1)

    def chain(self, seed: Operator) -> set[Operator]:
        """What has to be computed in float together with an operation."""
        chain = {seed}
        while grown := {op for op in self._neighbours(chain) if self._belongs(op, chain)} - chain:
            chain |= grown
        if all(op.name in FUNCTIONS for op in chain):
            return chain | self._table(chain)
        return self._without_moves(chain)

    def _neighbours(self, chain: AbstractSet[Operator]) -> Iterator[Operator]:
        for op in chain:
            yield from (self.producers[t] for t in _computed(op) if t in self.producers)
            yield from (reader for t in op.outputs for reader in self.readers.get(t, ()))

    def _belongs(self, op: Operator, chain: AbstractSet[Operator]) -> bool:
        """Whether an operation beside a chain is part of it."""
        if op.name not in CHAINED or not _computes_real(op):
            return False
        if self.is_fragile(op):
            return True
        operands = _computed(op)
        inner = [t for t in operands if t in self.producers and self.producers[t] in chain]
        if len(inner) == len(operands):  # nothing comes from elsewhere
            return True
        if any(
            prod(t.shape) < prod(op.outputs[0].shape) for t in inner
        ):  # a factor or weights for a whole map
            return True
        alone = all(reader in chain for t in op.outputs for reader in self.readers.get(t, ()))
        return alone and not self.outputs.intersection(op.outputs) and not _is_join(op)

    def _table(self, chain: AbstractSet[Operator]) -> set[Operator]:
        """Functions of one value before and behind others that only they read, or that only read them."""
        found = set(chain)
        while True:
            beside = set(self._neighbours(found)) - found
            more = {op for op in beside if op.name in TABULATED and self._in_a_row(op, found)}
            if not more:
                return found
            found |= more

    def _in_a_row(self, op: Operator, found: AbstractSet[Operator]) -> bool:
        """Whether nothing else reads the value between an operation and those that it stands beside."""
        (entry,), result = _computed(op), op.outputs[0]
        between = entry if entry in self.producers and self.producers[entry] in found else result
        return between not in self.outputs and len(self.readers.get(between, ())) == 1

    def _without_moves(self, chain: AbstractSet[Operator]) -> set[Operator]:
        """Leave out what only arranges values at the chain's ends: bytes move faster than floats."""
        kept = set(chain)
        while ends := {op for op in kept if op.name in MOVES and not self._between(op, kept)}:
            kept -= ends
        return kept

    def _between(self, op: Operator, chain: AbstractSet[Operator]) -> bool:
        (entry,) = _computed(op)
        before = entry in self.producers and self.producers[entry] in chain
        return before and any(reader in chain for reader in self.readers.get(op.outputs[0], ()))


def _computed(op: Operator) -> list[Tensor]:
    """The different operands that are computed, not constant."""
    return list(dict.fromkeys(t for t in op.inputs if t is not None and t.data is None))


def _is_join(op: Operator) -> bool:
    """Whether it combines two values of its result's size."""
    return sum(prod(t.shape) == prod(op.outputs[0].shape) for t in _computed(op)) > 1


def find_islands(model: Model) -> list[Island]:
    """Return what a file computes in float: operations with float outputs, joined where one feeds the other."""
    real = {op for op in model.operators if _computes_real(op) and op.name not in CONVERSIONS}
    found = []
    producers, readers = model.producers(), model.readers()
    groups = list(_connected_groups(model, real, producers, readers))
    times = [_seconds(group, producers, readers) for group in groups]
    rest = set(model.operators) - {
        op for group in groups for op in _with_conversions(group, producers, readers)
    }
    whole = sum(times) + sum(_predicted(op) for op in rest)
    for group, seconds in zip(groups, times, strict=True):
        found.append(
            Island(
                kind=_kind(group, readers),
                operations=tuple(op.name for op in group),
                share=seconds / whole,
                tensors=frozenset(t for op in group for t in (*op.inputs, *op.outputs) if t is not None),
            )
        )
    return found


def share_in_float(islands: Iterable[Island]) -> float:
    """Return the part of a file's predicted time that float takes; tables run in INT8."""
    return sum(island.share for island in islands if island.kind != "table")


Makers = dict[Tensor, Operator]
Users = dict[Tensor, Chain]


def _connected_groups(
    model: Model, real: AbstractSet[Operator], producers: Makers, readers: Users
) -> Iterator[Chain]:
    places = {op: place for place, op in enumerate(model.operators)}
    seen: set[Operator] = set()
    for first in model.operators:
        waiting, group = [first], list[Operator]()
        while waiting:
            op = waiting.pop()
            if op in seen or op not in real:
                continue
            seen.add(op)
            group.append(op)
            waiting += [producers[t] for t in op.inputs if t is not None and t in producers]
            waiting += [reader for t in op.outputs for reader in readers.get(t, [])]
        if group:
            yield sorted(group, key=places.__getitem__)


def _is_table(group: Chain, readers: Users) -> bool:
    """Whether operations are functions of one value in a row, at least one of which INT8 lacks."""
    inner = [t for op in group[:-1] for t in op.outputs]
    return (
        all(op.name in TABULATED and len(_computed(op)) == 1 for op in group)
        and any(op.name in FUNCTIONS for op in group)
        and all(readers.get(t, []) == [after] for t, after in zip(inner, group[1:], strict=True))
    )


def _kind(group: Chain, readers: Users) -> str:
    if _is_table(group, readers):
        return "table"
    return "layers" if (FUNCTIONS | ALONE | FRAGILE).isdisjoint(op.name for op in group) else "chain"


def _with_conversions(group: Chain, producers: Makers, readers: Users) -> list[Operator]:
    """Operations and the conversions at their borders."""
    inputs = [producers.get(t) for op in group for t in op.inputs if t is not None]
    behind = [reader for op in group for t in op.outputs for reader in readers.get(t, [])]
    borders = [op for op in (*inputs, *behind) if op is not None and op.name in CONVERSIONS]
    return list(dict.fromkeys((*group, *borders)))


def _seconds(group: Chain, producers: Makers, readers: Users) -> float:
    """Predicted time of an island; a table reads and writes bytes once."""
    if _is_table(group, readers):
        size = prod(group[-1].outputs[0].shape)
        return _time([Work(kernel="other", macs=0, traffic=2 * size)], _speed("int8"))
    return sum(_predicted(op) for op in _with_conversions(group, producers, readers))


def _predicted(op: Operator) -> float:
    kind = "float32" if op.name not in CONVERSIONS and _computes_real(op) else "int8"
    return _time(work_of_operator(op), _speed(kind))


def _speed(kind: str) -> Speed:
    return SPEEDS[BOARD, kind]


def _time(work: list[Work], speed: Speed) -> float:
    return speed.milliseconds(total(work), THREADS)


def _computes_real(op: Operator) -> bool:
    return any(tensor.dtype == np.float32 for tensor in op.outputs)
