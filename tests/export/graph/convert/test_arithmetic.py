"""Arithmetic, with constants and between maps: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.graph.convert.network import convert
from export.graph.convert.scope import Scope
from rpi_runtime.errors import ParityError
from tests.export.graph.forms import Form, Forms
from tests.export.graph.onnxgraphs import Graph, plain

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


def binary(kind: str, *shape: int, swapped: bool = False, computed: bool = False) -> Form:
    def build(g: Graph) -> Any:
        other = g.add("Exp", g.add("Mul", g.map(8), g.const(0.3))) if computed else g.positive(*shape)
        operands = [g.map(8), other]
        return g.add(kind, *(operands[::-1] if swapped else operands))

    return build


for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
    FORMS.add(f"{kind.lower()}-channels", binary(kind, 8, 1, 1))
    FORMS.add(f"{kind.lower()}-maps", binary(kind, computed=True))
    FORMS.add(f"{kind.lower()}-row", binary(kind, 10))
    FORMS.add(f"{kind.lower()}-column", binary(kind, 1, 1, 12, 1))
for kind in ("Sub", "Mul", "Add"):
    FORMS.add(f"{kind.lower()}-from-constant", binary(kind, 1, 8, 1, 1, swapped=True))
for power in (2.0, 0.5, 3.0, 1.0, 1.7, 4.0, 1.5, -0.5, -1.0, -2.0):
    FORMS.add(f"pow-{power}", lambda g, power=power: g.add("Pow", g.add("Exp", g.map()), g.const(power)))
for name, given in (("upper", []), ("above", [2]), ("below", [-1])):
    FORMS.add(
        f"triangle-{name}",
        lambda g, given=given: g.add("Trilu", g.map(), *(g.const(k, np.int64) for k in given)),
    )
FORMS.add("lower-triangle", lambda g: g.add("Trilu", g.map(), g.const(1, np.int64), upper=0))
FORMS.add("cast-like", lambda g: g.add("Mul", g.map(), g.add("CastLike", g.const(3, np.int64), "image")))
FORMS.add("cast-like-computed", lambda g: g.add("CastLike", g.map(), "image"))
FORMS.add("mean-of-three", lambda g: g.add("Mean", g.map(), g.map(), g.map()))
FORMS.add("sum-of-three", lambda g: g.add("Sum", g.map(), g.map(), g.map()))
FORMS.add("max-of-three", lambda g: g.add("Max", g.map(), g.map(), g.map()))
FORMS.add("where", lambda g: g.add("Where", g.add("Greater", g.map(), g.const(0.1)), g.map(), g.const(0.0)))
FORMS.add("where-equal", lambda g: g.add("Where", g.add("LessOrEqual", g.map(), g.map()), g.map(), g.map()))
FORMS.add("cast", lambda g: g.add("Cast", g.add("Cast", g.map(), to=7), to=1))


@FORMS.form()
def sum_with_itself(g: Graph) -> Any:
    x = g.map()
    return g.add("Add", x, g.add("Mul", x, x))


@FORMS.form()
def gate_of_channels(g: Graph) -> Any:
    x = g.map(8)
    return g.add("Mul", x, g.add("Sigmoid", g.map(8, g.add("GlobalAveragePool", x))))


@FORMS.form()
def lower_rank_operand(g: Graph) -> Any:
    x = g.map(8)
    row = g.add("ReduceMean", x, axes=[0, 1, 2], keepdims=0)
    return g.add("Add", x, row)


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)


@pytest.mark.parametrize(("kind", "axis"), [("CumSum", [1]), ("Trilu", [])])
def test_a_matrix_of_ones_over_whole_numbers_is_refused_by_name(kind: str, axis: list[int]) -> None:
    g = Graph(17)
    whole = g.add(kind, g.add("Cast", g.map(), to=6), *(g.const(a, np.int64) for a in axis))
    graph = plain(g.model(g.add("Cast", whole, to=1)), g.size)
    with pytest.raises(ParityError, match=rf"operator {kind} .*it computes with int32"):
        convert(Scope(graph.opset, dict(graph.constants)), graph.nodes, graph.image, graph.size, {})
