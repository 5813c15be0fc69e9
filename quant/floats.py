"""Compute in float what INT8 has no sound kernel for, inside the one XNNPACK partition.

XNNPACK takes DEQUANTIZE, QUANTIZE and nearly every operation in float, so an island of float in an INT8 graph costs its
own arithmetic and two conversions, and no border of partitions. Two kinds are made:

tables
    One function between a DEQUANTIZE and a QUANTIZE, for which XNNPACK has no INT8 kernel: hard-swish above all. The
    XNNPACK of LiteRT 2.1.0 turns the three into a table of 256 bytes; one that does not computes them in float.
    Measured there (x86-64, 415,000 values, one thread): 41 us; the interpreter's own INT8 kernel 1,490; a clamped sum
    and a product, all INT8, 132.
chains
    Exponentials, quotients and roots, and the sums, products and means between them: INT8 steps are too coarse there
    (a softmax over 3,072 positions has weights far below its fixed output step 1/256).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from quant.tflite.records import Model, Operator, Tensor

# Functions that XNNPACK has in float and not in INT8.
TABLES = (
    "HARD_SWISH", "ABS", "GELU", "RELU", "RELU6", "RELU_N1_TO_1", "PRELU", "NEG", "FLOOR", "CEIL", "ROUND", "SQUARE",
    "MAXIMUM", "MINIMUM", "AVERAGE_POOL_2D",
)  # fmt: skip
# What begins a chain, and what a chain goes on through.
FRAGILE = ("EXP", "DIV", "SQRT", "RSQRT", "SQUARED_DIFFERENCE", "SOFTMAX", "LOG", "POW", "SIN", "COS")
CHAINED = (*FRAGILE, "ADD", "SUB", "MUL", "MEAN", "SUM", "SQUARE", "NEG", "RESHAPE", "RELU", "TRANSPOSE",
           "BATCH_MATMUL")  # fmt: skip
# A chain that is too large is grown again through less: not into sums of whole maps, at last the fragile ones alone.
REACHES = (CHAINED, tuple(name for name in CHAINED if name not in ("ADD", "SUB")), FRAGILE)
# A chain that would hold a larger part of the network's activations all the same is left for the gate to name.
LARGEST_SHARE = 0.1
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")

Chain = list[Operator]


@dataclass(frozen=True, slots=True, kw_only=True)
class Island:
    """Operations computed in float.

    Attributes
    ----------
    kind : {"table", "chain"}
    operations : tuple of str
    elements : int
        Values that they compute.
    share : float
        `elements` over those of the whole network.
    tensors : frozenset of Tensor
        Their inputs and outputs in the file.
    """

    kind: str
    operations: tuple[str, ...]
    elements: int
    share: float
    tensors: frozenset[Tensor] = field(repr=False, compare=False)

    @property
    def allowed(self) -> bool:
        """Whether it is a table, or a chain that begins with something fragile."""
        if self.kind == "table" and self.operations[0] in TABLES:
            return True
        return bool(set(FRAGILE) & set(self.operations)) and self.share <= LARGEST_SHARE


def choose_floats(model: Model) -> set[Operator]:
    """Return the operations of a float network that INT8 has no sound kernel for: tables and chains."""
    computing = [op for op in model.operators if _computes_real(op)]
    chosen = {op for op in computing if op.name in TABLES}
    whole = _elements(computing)
    seeds = [op for op in computing if op.name in FRAGILE]
    for reach in REACHES:
        left = [seed for seed in seeds if seed not in chosen]
        allowed = {op for op in computing if op.name in reach}
        for chain in _grown(model, left, allowed.__contains__):
            if _elements(chain) <= LARGEST_SHARE * whole:
                chosen.update(chain)
    return chosen


def find_islands(model: Model) -> list[Island]:
    """Return what a file computes in float: operations with float outputs, joined where one feeds the other."""
    real = {op for op in model.operators if _computes_real(op) and op.name not in CONVERSIONS}
    whole = _elements(op for op in model.operators if op.name not in CONVERSIONS)
    found = []
    for chain in _grown(model, [op for op in model.operators if op in real], lambda op: op in real):
        elements = _elements(chain)
        island = Island(
            kind="table" if len(chain) == 1 else "chain",
            operations=tuple(op.name for op in chain),
            elements=elements,
            share=elements / whole,
            tensors=frozenset(t for op in chain for t in (*op.inputs, *op.outputs) if t is not None),
        )
        found.append(island)
    return found


def _computes_real(op: Operator) -> bool:
    return any(tensor.dtype == np.float32 for tensor in op.outputs)


def _elements(operators: Iterable[Operator]) -> int:
    return sum(int(np.prod(tensor.shape)) for op in operators for tensor in op.outputs)


def _grown(model: Model, seeds: Chain, through: Callable[[Operator], bool]) -> list[Chain]:
    """Connected sets of operations that pass `through` and hold a seed, each in the order of execution."""
    producers, readers = model.producers(), model.readers()
    places = {op: place for place, op in enumerate(model.operators)}
    chains: list[Chain] = []
    seen: set[Operator] = set()
    for seed in seeds:
        chain = _connected(seed, producers, readers, through, seen)
        if chain:
            chains.append(sorted(chain, key=places.__getitem__))
    return chains


def _connected(
    seed: Operator,
    producers: dict[Tensor, Operator],
    readers: dict[Tensor, list[Operator]],
    through: Callable[[Operator], bool],
    seen: set[Operator],
) -> AbstractSet[Operator]:
    chain: set[Operator] = set()
    waiting = [seed]
    while waiting:
        op = waiting.pop()
        if op in seen or not through(op):
            continue
        seen.add(op)
        chain.add(op)
        waiting += [producers[t] for t in op.inputs if t is not None and t in producers]
        waiting += [reader for t in op.outputs for reader in readers.get(t, [])]
    return chain
