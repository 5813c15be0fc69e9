"""Operators that exporters write out in several nodes, read as the one that TFLite or our converters have."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph.node import Node

Constants = dict[str, NDArray[Any]]


def read_patterns(nodes: list[Node], constants: Constants, outputs: tuple[str, ...]) -> list[Node]:
    """Replace GELU by the error function, Mish by softplus and group norms by instance norms of one node each.

    What they were made of is left out; constants that the new nodes need are added.
    """
    return _Reader(nodes, constants, outputs).read()


class _Reader:
    """Looks up who makes and who reads a value."""

    def __init__(self, nodes: list[Node], constants: Constants, outputs: tuple[str, ...]) -> None:
        self.nodes, self.constants, self.outputs = nodes, constants, outputs
        self.makers = {name: node for node in nodes for name in node.outputs}
        self.readers: dict[str, list[Node]] = {}
        for node in nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def read(self) -> list[Node]:
        gone: set[str] = set()
        new: dict[str, Node] = {}
        for node in self.nodes:
            readings = {"Erf": self._gelu, "Softplus": self._mish, "InstanceNormalization": self._group_norm}
            found = readings[node.kind](node) if node.kind in readings else None
            if found is not None:
                whole, parts = found
                new[whole.outputs[0]] = whole
                gone.update(name for part in parts for name in part.outputs)
        kept = []
        for node in self.nodes:
            if node.outputs[0] in new:
                kept.append(new[node.outputs[0]])
            elif node.outputs[0] not in gone:
                kept.append(node)
        return kept

    def _only_reader(self, name: str) -> Node | None:
        found = self.readers.get(name, [])
        return found[0] if len(found) == 1 and name not in self.outputs else None

    def _number(self, name: str) -> float | None:
        known = self.constants.get(name)
        return float(known.reshape(-1)[0]) if known is not None and known.size == 1 else None

    def _scaled(self, name: str) -> tuple[str, float, Node] | None:
        """What a value is a multiple of, by which factor, and the node that multiplies."""
        node = self.makers.get(name)
        if node is None or node.kind not in ("Mul", "Div") or self._only_reader(name) is None:
            return None
        left, right = (self._number(n) for n in node.inputs)
        if right is not None and left is None and right:
            return node.inputs[0], right if node.kind == "Mul" else 1 / right, node
        if left is not None and right is None and node.kind == "Mul":
            return node.inputs[1], left, node
        return None

    def _gelu(self, erf: Node) -> tuple[Node, list[Node]] | None:
        """``x * (1 + erf(x / sqrt(2))) / 2``, its factors in any order."""
        inner = self._scaled(erf.inputs[0])
        if inner is None or abs(inner[1] * sqrt(2) - 1) > 1e-4:
            return None
        x, _, scaling = inner
        plus = self._only_reader(erf.outputs[0])
        if plus is None or plus.kind != "Add" or 1.0 not in [self._number(n) for n in plus.inputs]:
            return None
        parts, value, factors = [scaling, erf, plus], plus.outputs[0], []
        for _ in range(2):
            product = self._only_reader(value)
            if product is None or product.kind not in ("Mul", "Div"):
                break
            other = [n for n in product.inputs if n != value]
            if len(other) != 1 or (product.kind == "Div" and product.inputs[0] != value):
                return None
            number = self._number(other[0])
            factors.append(other[0] if number is None else number if product.kind == "Mul" else 1 / number)
            parts.append(product)
            value = product.outputs[0]
        half = [f for f in factors if f == 0.5]
        if factors and not half:  # x / 2 may be a product of its own
            own = self._scaled(str(factors[0]))
            if own is not None and own[0] == x and own[1] == 0.5:
                return self._whole("Gelu", x, parts[3]), [*parts[:4], own[2]]
        if sorted(map(str, factors)) != sorted(["0.5", x]):
            return None
        return self._whole("Gelu", x, parts[-1]), parts

    def _mish(self, softplus: Node) -> tuple[Node, list[Node]] | None:
        """``x * tanh(softplus(x))``."""
        x = softplus.inputs[0]
        tanh = self._only_reader(softplus.outputs[0])
        product = None if tanh is None or tanh.kind != "Tanh" else self._only_reader(tanh.outputs[0])
        if tanh is None or product is None or product.kind != "Mul" or x not in product.inputs:
            return None
        return self._whole("Mish", x, product), [softplus, tanh, product]

    def _group_norm(self, norm: Node) -> tuple[Node, list[Node]] | None:
        """An instance norm of a map whose groups of channels were made rows, and back."""
        before, after = self.makers.get(norm.inputs[0]), self._only_reader(norm.outputs[0])
        vectors = [self.constants[name] for name in norm.inputs[1:3] if name in self.constants]
        if before is None or after is None or self._only_reader(norm.inputs[0]) is None or len(vectors) < 2:
            return None
        shape, rows = norm.shapes[before.inputs[0]], before.shape
        if (before.kind, after.kind) != ("Reshape", "Reshape") or after.shape != shape or len(shape) != 4:
            return None
        if len(rows) != 3 or rows[0] != shape[0] or shape[1] % rows[1]:
            return None
        names = []
        for name, vector in zip(("scale", "bias"), vectors, strict=True):
            names.append(f"{norm.outputs[0]}/{name}")
            self.constants[names[-1]] = np.repeat(vector, shape[1] // rows[1])
        attributes = {"num_groups": rows[1], "epsilon": norm.get("epsilon", 1e-5)}
        inputs = (before.inputs[0], *names)
        whole = replace(after, kind="GroupNormalization", inputs=inputs, attributes=attributes)
        return whole, [before, norm, after]

    def _whole(self, kind: str, x: str, last: Node) -> Node:
        return replace(last, kind=kind, inputs=(x,), attributes={})
