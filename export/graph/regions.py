"""Where channels can be rescaled: from the convolutions that make a map to those that read it.

In between may lie what multiplies each channel through: ReLU, pools, zero padding, the interleaving of phases or copies
(`export.graph.rewrite`), and the product with a gate that is made elsewhere. A squeeze-excite gate is made from the map
itself, but by a convolution, which is divided like any other reader: the gate does not change. Sums are not crossed:
all that is added would have to share its factors, and residual streams tie half a network together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from export.graph.graph import OnnxGraph, attribute

POOLS = ("GlobalAveragePool", "GlobalMaxPool")
THROUGH = ("Relu", "MaxPool", "AveragePool", "Pad", *POOLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Convolutions that make a map, channel for channel, and the convolutions that alone read it.

    Attributes
    ----------
    writers : tuple of str
        One, or the phases of a transposed convolution.
    tensor : str
        The map as most readers see it.
    others : tuple of str
        Other maps of the same channels on the way, as before a gate.
    readers : tuple of str
        Convolutions of maps.
    pooled : tuple of str
        Convolutions of means over a map.
    into_depthwise : bool
        Whether all of `readers` are depthwise.
    """

    writers: tuple[str, ...]
    tensor: str
    others: tuple[str, ...]
    readers: tuple[str, ...]
    pooled: tuple[str, ...]
    into_depthwise: bool

    @property
    def first(self) -> str:
        """The first of `writers`."""
        return self.writers[0]


def find_pairs(graph: OnnxGraph) -> list[Pair]:
    """Return every pair, in the order of their first writers; no convolution writes in two, or reads in two."""
    search, pairs = _Search(graph), list[Pair]()
    written, read = set[str](), set[str]()
    for conv in [n for n in graph.nodes if n.op_type == "Conv"]:
        pair = None if conv.name in written else search.from_writer(conv)
        # the product of two maps can be scaled by way of either
        if pair is not None and not read.intersection(pair.readers):
            pairs.append(pair)
            written.update(pair.writers)
            read.update(pair.readers)
    return pairs


class _Search:
    """Walks from a convolution's output in both directions, as far as channels are multiplied through."""

    def __init__(self, graph: OnnxGraph) -> None:
        self._graph, self._outputs = graph, set(graph.outputs)
        self._consumers = graph.consumers()
        self._producers = {o: n for n in graph.nodes for o in n.output}
        self._order = {n.name: i for i, n in enumerate(graph.nodes)}

    def from_writer(self, conv: Any) -> Pair | None:
        """The pair that a convolution writes in, None where something else than convolutions depends on its scale."""
        tensors: dict[str, bool] = {}  # by name: whether it is a mean over a map
        waiting, writers, readers = [(conv.output[0], False)], [], []
        while waiting:
            tensor, pooled = waiting.pop()
            if tensor in tensors:
                continue
            tensors[tensor] = pooled
            before, after = self._before(tensor, tensors), self._after(tensor)
            if before is None or after is None:
                return None
            writers += [self._producers[name] for name in before if name == tensor]
            waiting += [(name, pooled) for name in before if name != tensor]
            for node, output in after:
                if node.op_type == "Conv":
                    readers.append((node, tensor))
                else:
                    waiting.append((output, pooled or node.op_type in POOLS))
        return self._pair(writers, readers, tensors)

    def _before(self, tensor: str, known: dict[str, bool]) -> list[str] | None:
        """The tensor itself where a convolution makes it, else the maps that it is made of; None where it ends."""
        node = self._producers.get(tensor)
        if node is None or tensor in self._outputs:
            return None
        if node.op_type == "Conv":
            return [tensor] if _owns_constants(self._graph, node, self._consumers) else None
        if node.op_type == "DepthToSpace":
            copies = self._producers[node.input[0]]
            return [n for n in dict.fromkeys(copies.input) if n not in known]
        operands = [n for n in node.input if n in known]
        if not operands and node.op_type == "Relu":  # come to from the other phases of an interleaving
            return [node.input[0]]
        return [] if len(operands) == 1 else None  # of a product only one

    def _after(self, tensor: str) -> list[tuple[Any, str]] | None:
        """Nodes that read the tensor, and what carries its channels on; None where one of them ends it."""
        found = []
        for node in self._consumers.get(tensor, []):
            output = node.output[0]
            if node.op_type == "Conv":
                if not _takes(self._graph, node, tensor, self._consumers):
                    return None
            elif node.op_type == "Concat":
                behind = self._interleaving(node)
                if behind is None:
                    return None
                output = behind
            elif node.op_type == "Mul":
                if list(node.input).count(tensor) != 1:
                    return None
            elif node.op_type not in THROUGH or node.input[0] != tensor or not self._keeps_scale(node):
                return None
            found.append((node, output))
        return found

    def _keeps_scale(self, node: Any) -> bool:
        """Whether an operation has one output, and pads with nothing but zeros."""
        value = (
            self._graph.constants.get(node.input[2])
            if node.op_type == "Pad" and any(node.input[2:3])
            else None
        )
        zero = value is None or not np.any(value)
        known = node.op_type != "Pad" or all(n in self._graph.constants for n in node.input[1:] if n)
        return len(node.output) == 1 and zero and known

    def _interleaving(self, concat: Any) -> str | None:
        """The output of the DepthToSpace that makes of a Concat's inputs the phases of one larger map."""
        readers = self._consumers.get(concat.output[0], [])
        if len(readers) != 1 or readers[0].op_type != "DepthToSpace" or concat.output[0] in self._outputs:
            return None
        whole = attribute(readers[0], "blocksize", 1) ** 2 == len(concat.input)
        return readers[0].output[0] if whole and attribute(concat, "axis", 0) == 1 else None

    def _pair(
        self, writers: list[Any], readers: list[tuple[Any, str]], tensors: dict[str, bool]
    ) -> Pair | None:
        kernels = self._graph.constants
        counts = {kernels[w.input[1]].shape[0] for w in writers}
        counts |= {_input_channels(kernels[r.input[1]], attribute(r, "group", 1)) for r, _ in readers}
        of_maps = [(r, t) for r, t in readers if not tensors[t]]
        if len(counts) != 1 or not of_maps:
            return None
        of_maps.sort(key=lambda item: self._order[item[0].name])
        read = [t for _, t in of_maps]
        main = max(dict.fromkeys(read), key=read.count)
        return Pair(
            writers=tuple(sorted((w.name for w in writers), key=self._order.__getitem__)),
            tensor=main,
            others=tuple(sorted(self._quantized(tensors) - {main})),
            readers=tuple(r.name for r, _ in of_maps),
            pooled=tuple(r.name for r, t in readers if tensors[t]),
            into_depthwise=all(attribute(r, "group", 1) > 1 for r, _ in of_maps),
        )

    def _quantized(self, tensors: dict[str, bool]) -> set[str]:
        """Maps that will be tensors in INT8: not those that a ReLU alone reads, which is part of what makes them."""
        found = {t for t, pooled in tensors.items() if not pooled}
        fused = {t for t in found if [n.op_type for n in self._consumers[t]] == ["Relu"]}
        return found - fused


def _owns_constants(graph: OnnxGraph, conv: Any, consumers: dict[str, list[Any]]) -> bool:
    """Whether a convolution's weights and bias are constants that nothing else reads."""
    return all(n in graph.constants and len(consumers[n]) == 1 for n in conv.input[1:] if n)


def _takes(graph: OnnxGraph, node: Any, tensor: str, consumers: dict[str, list[Any]]) -> bool:
    """Whether a node is a convolution whose input channels can be rescaled: ordinary or depthwise."""
    if node.input[0] != tensor or not _owns_constants(graph, node, consumers):
        return False
    kernel, group = graph.constants[node.input[1]], attribute(node, "group", 1)
    return bool(group == 1 or (kernel.shape[1] == 1 and kernel.shape[0] == group))


def _input_channels(kernel: np.ndarray[Any, Any], group: int) -> int:
    return int(kernel.shape[1] * group)
