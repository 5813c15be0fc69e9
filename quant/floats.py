"""Compute operations without a sound INT8 kernel in float, inside the one XNNPACK partition.

XNNPACK supports DEQUANTIZE, QUANTIZE and nearly every operation in float. Therefore an island of float in an INT8 graph
costs its own arithmetic and two conversions, but no border between partitions. Two kinds are made:

tables
    One function of one tensor, between a DEQUANTIZE and a QUANTIZE: hard-swish above all, for which XNNPACK has no INT8
    kernel. The XNNPACK of LiteRT 2.1.0 turns the three into a table of 256 bytes; one that does not computes them in
    float. Measured there (x86-64, 415,000 values, one thread): 41 us; the interpreter's own INT8 kernel 1,490; a
    clamped sum and a product, all INT8, 132.
chains
    Exponentials, quotients and roots, and the sums, products and means between them: INT8 steps are too coarse there
    (a softmax over 3,072 positions has weights far below its fixed output step 1/256).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from quant.flatbuffer import TFLiteFile
from quant.unused import drop_unused

# Functions of one tensor that XNNPACK has in float and not in INT8.
TABLES = ("HARD_SWISH", "ABS", "GELU")
# Operations that start a chain, and operations through which a chain continues.
FRAGILE = ("EXP", "DIV", "SQRT", "RSQRT", "SQUARED_DIFFERENCE", "SOFTMAX")
CHAINED = (*FRAGILE, "ADD", "SUB", "MUL", "MEAN", "SUM", "SQUARE", "NEG", "RESHAPE", "RELU")
# A chain with a larger part of the network's activations stays INT8, and the gate names it.
LARGEST_SHARE = 0.1
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
FLOAT, INT8 = schema.TensorType.FLOAT32, schema.TensorType.INT8


@dataclass(frozen=True, slots=True, kw_only=True)
class Island:
    """Operations computed in float.

    Attributes
    ----------
    kind : {"table", "chain"}
    operations : tuple of str
    elements : int
        Number of values that they compute.
    share : float
        `elements` over the number of values of the whole network.
    tensors : frozenset of int
        Their inputs and outputs in the file.
    """

    kind: str
    operations: tuple[str, ...]
    elements: int
    share: float
    tensors: frozenset[int] = field(repr=False, compare=False)

    @property
    def allowed(self) -> bool:
        """Whether `compute_in_float` makes islands of this form."""
        if self.kind == "table":
            return self.operations[0] in TABLES
        return bool(set(FRAGILE) & set(self.operations)) and self.share <= LARGEST_SHARE


def compute_in_float(data: bytes) -> tuple[bytes, list[Island]]:
    """Return the file with its tables and chains in float, and a list of them."""
    file = TFLiteFile(data)
    graph = _Graph(file)
    islands = [*graph.tables(), *graph.chains()]
    if not islands:
        return data, []
    graph.retype({i for island in islands for i in island})
    drop_unused(file)
    made = file.to_bytes()
    return made, find_islands(made)


def find_islands(data: bytes) -> list[Island]:
    """Return a file's islands of float: operations with float outputs, joined where one feeds the other."""
    graph = _Graph(TFLiteFile(data))
    return [graph.describe(island) for island in graph.float_islands()]


@dataclass(slots=True)
class _Graph:
    """A file's operations without their conversions between number formats."""

    file: TFLiteFile
    operators: list[Any] = field(init=False)  # all but conversions
    root: dict[int, int] = field(init=False)  # tensor -> the tensor whose value it holds in another format
    producer: dict[int, int] = field(init=False)
    readers: dict[int, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.root, self.operators = {}, []
        for op in self.file.graph.operators:
            if self._converts(op):
                entry = int(op.inputs[0])
                self.root[int(op.outputs[0])] = self.root.get(entry, entry)
            else:
                self.operators.append(op)
        self.producer = {int(t): i for i, op in enumerate(self.operators) for t in op.outputs}
        self.readers = {}
        for index, op in enumerate(self.operators):
            for tensor in self.activations(op):
                self.readers.setdefault(tensor, []).append(index)

    def _converts(self, op: Any) -> bool:
        """Whether an operation changes the number format. A change of scale alone does not count."""
        if self.file.operator_name(op) not in CONVERSIONS:
            return False
        return self.type_of(int(op.inputs[0])) != self.type_of(int(op.outputs[0]))

    def type_of(self, tensor: int) -> int:
        return int(self.file.graph.tensors[tensor].type)

    def name(self, index: int) -> str:
        return self.file.operator_name(self.operators[index])

    def activations(self, op: Any) -> list[int]:
        """Return the roots of an operation's inputs that are not constants."""
        inputs = [int(t) for t in op.inputs if t >= 0 and self.file.constant(int(t)) is None]
        return [self.root.get(t, t) for t in inputs]

    def elements(self, indices: Iterable[int]) -> int:
        tensors = self.file.graph.tensors
        return sum(int(np.prod(tensors[int(t)].shape)) for i in indices for t in self.operators[i].outputs)

    def describe(self, island: Iterable[int]) -> Island:
        indices = sorted(island)
        names = tuple(self.name(i) for i in indices)
        elements = self.elements(indices)
        return Island(
            kind="table" if len(names) == 1 else "chain",
            operations=names,
            elements=elements,
            share=elements / self.elements(range(len(self.operators))),
            tensors=frozenset(
                int(t) for i in indices for t in (*self.operators[i].inputs, *self.operators[i].outputs)
            ),
        )

    def tables(self) -> list[set[int]]:
        """Return the single operations to compute in float."""
        found = [i for i, op in enumerate(self.operators) if self.name(i) in TABLES]
        return [{i} for i in found if self.type_of(int(self.operators[i].outputs[0])) == INT8]

    def chains(self) -> list[set[int]]:
        """Return a set of operations around each fragile one, unless it exceeds `LARGEST_SHARE`."""
        whole = self.elements(range(len(self.operators)))
        seeds = {i for i in range(len(self.operators)) if self.name(i) in FRAGILE}
        found = self._grown(seeds, CHAINED)
        return [chain for chain in found if self.elements(chain) <= LARGEST_SHARE * whole]

    def float_islands(self) -> list[set[int]]:
        """Return the sets of operations whose outputs are already float."""
        floats = {
            i for i, op in enumerate(self.operators) if any(self.type_of(int(t)) == FLOAT for t in op.outputs)
        }
        names = tuple({self.name(i) for i in floats})
        return [chain & floats for chain in self._grown(floats, names, floats)]

    def _grown(
        self, seeds: set[int], through: tuple[str, ...], within: set[int] | None = None
    ) -> list[set[int]]:
        """Return the connected sets of operations of the kinds `through` that contain a seed."""
        chains, left = [], set(seeds)
        while left:
            chain: set[int] = set()
            waiting = [min(left)]
            while waiting:
                index = waiting.pop()
                if index in chain or self.name(index) not in through or (within and index not in within):
                    continue
                chain.add(index)
                op = self.operators[index]
                waiting += [self.producer[t] for t in self.activations(op) if t in self.producer]
                waiting += [i for t in op.outputs for i in self.readers.get(int(t), [])]
            chains.append(chain)
            left -= chain
        return chains

    def retype(self, chosen: set[int]) -> None:
        """Make the chosen operations float, and convert each value that is needed in its other format."""
        forms = _Forms(self)
        operators = []
        for index, op in enumerate(self.operators):
            real = index in chosen or self.type_of(int(op.outputs[0])) == FLOAT
            made, op.inputs = forms.inputs(op, real)
            operators += [*made, op]
            if index in chosen:
                op.outputs = np.array([forms.computed_in_float(int(t)) for t in op.outputs], np.int32)
        outputs = []
        for tensor in map(int, self.file.graph.outputs):
            made, wanted = forms.form(self.root.get(tensor, tensor), self.type_of(tensor))
            operators += made
            outputs.append(wanted)
        renamed = dict(zip(map(int, self.file.graph.outputs), outputs, strict=True))
        for signature in self.file.model.signatureDefs or []:
            for entry in signature.outputs:
                entry.tensorIndex = renamed[entry.tensorIndex]
        self.file.graph.outputs = np.array(outputs, np.int32)
        self.file.graph.operators = operators


class _Forms:
    """The float and the int8 tensor of each value. A conversion is added when the missing one is first needed."""

    def __init__(self, graph: _Graph) -> None:
        self._graph, self._file = graph, graph.file
        self._known: dict[tuple[int, int], int] = {}  # of what has been computed so far
        self._quantized: dict[int, int] = {}  # int8 tensors with a scale, by root
        for tensor in range(len(self._file.graph.tensors)):
            if graph.type_of(tensor) == INT8:
                self._quantized.setdefault(graph.root.get(tensor, tensor), tensor)

    def inputs(self, op: Any, real: bool) -> tuple[list[Any], Any]:
        """Return the conversions that an operation needs, and its inputs after them."""
        nodes, inputs = [], []
        for tensor in map(int, op.inputs):
            if tensor >= 0 and self._file.constant(tensor) is not None:
                inputs.append(self._real_constant(tensor) if real else tensor)
                continue
            if tensor < 0 or self._graph.type_of(tensor) not in (FLOAT, INT8):
                inputs.append(tensor)
                continue
            made, found = self.form(self._graph.root.get(tensor, tensor), FLOAT if real else INT8)
            nodes += made
            inputs.append(found)
        return nodes, np.array(inputs, np.int32)

    def form(self, root: int, wanted: int) -> tuple[list[Any], int]:
        """Return the tensor of a value in a format, and the operation that converts it if it is new."""
        if (root, wanted) in self._known:
            return [], self._known[root, wanted]
        other = INT8 if wanted == FLOAT else FLOAT
        source = self._known.get((root, other))
        if source is None:  # computed by an operation that keeps its format
            if self._graph.type_of(root) == wanted:
                return [], root
            source = root
        if wanted == FLOAT:
            target, code = self._float_like(source), "DEQUANTIZE"
        else:
            target, code = self._quantized[root], "QUANTIZE"
        self._known[root, wanted] = target
        self._known.setdefault((root, other), source)
        op = schema.OperatorT()
        op.opcodeIndex = self._file.operator_code(code)
        op.inputs, op.outputs = np.array([source], np.int32), np.array([target], np.int32)
        return [op], target

    def computed_in_float(self, tensor: int) -> int:
        """Return the float tensor that replaces an int8 operation's output; float tensors are kept."""
        if self._graph.type_of(tensor) == FLOAT:
            return tensor
        made = self._float_like(tensor)
        self._known[tensor, FLOAT] = made
        return made

    def _float_like(self, tensor: int) -> int:
        return self._new(tensor, 0)

    def _real_constant(self, tensor: int) -> int:
        """Return a constant in float; integers that steer an operation stay as they are."""
        item, raw = self._file.graph.tensors[tensor], self._file.constant(tensor)
        if item.type != INT8:
            return tensor
        quant = item.quantization
        assert raw is not None
        real = (raw.view(np.int8).astype(np.float32) - quant.zeroPoint[0]) * np.float32(quant.scale[0])
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(real.tobytes(), np.uint8)
        self._file.model.buffers.append(buffer)
        return self._new(tensor, len(self._file.model.buffers) - 1)

    def _new(self, like: int, buffer: int) -> int:
        tensors = self._file.graph.tensors
        item, made = tensors[like], schema.TensorT()
        made.shape, made.shapeSignature, made.buffer = item.shape, item.shapeSignature, buffer
        made.type, made.name = FLOAT, item.name + b"/float"
        tensors.append(made)
        return len(tensors) - 1
