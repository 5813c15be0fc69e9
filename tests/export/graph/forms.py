"""Forms of ONNX operators: small graphs by name, each for one or more opsets, compared with ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.export.graph.onnxgraphs import Graph, check

Form = Callable[[Graph], Any]


class Forms:
    """The forms of one family of operators."""

    def __init__(self) -> None:
        self._forms: dict[str, tuple[Form, tuple[int, ...]]] = {}

    def add(self, name: str, form: Form, *opsets: int) -> None:
        """Add one form; opset 17 where none is given."""
        assert name not in self._forms, name
        self._forms[name] = form, opsets or (17,)

    def form(self, *opsets: int) -> Callable[[Form], Form]:
        """Add the decorated function under its own name."""

        def register(function: Form) -> Form:
            self.add(function.__name__, function, *opsets)
            return function

        return register

    def each(self) -> pytest.MarkDecorator:
        """Run a test with `name` and `opset` of each form."""
        cases = [(name, opset) for name, (_, opsets) in self._forms.items() for opset in opsets]
        return pytest.mark.parametrize(("name", "opset"), cases, ids=[f"{n}@{o}" for n, o in cases])

    def check(self, name: str, opset: int = 17) -> Counter[str]:
        """Compare a form with ONNX Runtime before and after the edits; return the operators of the converted graph."""
        graph = Graph(opset)
        return check(graph.model(self._forms[name][0](graph)))
