"""Activations, clips and softmax: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.export.graph.forms import Form, Forms
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


def activation(kind: str, **attributes: Any) -> Form:
    return lambda g: g.add(kind, g.map(), **attributes)


for kind in (
    "Relu",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Erf",
    "Exp",
    "Abs",
    "Neg",
    "Floor",
    "Ceil",
    "Sign",
    "Sin",
    "Cos",
):
    FORMS.add(kind.lower(), activation(kind), *((9, 17) if kind == "Relu" else (17,)))
FORMS.add("elu", activation("Elu"))
FORMS.add("elu-alpha", activation("Elu", alpha=0.3))
FORMS.add("selu", activation("Selu"))
FORMS.add("celu", activation("Celu", alpha=2.0))
FORMS.add("leaky", activation("LeakyRelu", alpha=0.1))
FORMS.add("hardsigmoid", activation("HardSigmoid"), 9, 17)
FORMS.add("hardsigmoid-sixth", activation("HardSigmoid", alpha=1 / 6, beta=0.5))
FORMS.add("hardswish", activation("HardSwish"))
FORMS.add("mish", activation("Mish"), 18)
FORMS.add("gelu", activation("Gelu"), 20)
FORMS.add("gelu-tanh", activation("Gelu", approximate="tanh"), 20)
FORMS.add("thresholded", activation("ThresholdedRelu", alpha=0.4))
FORMS.add("softmax-1-old", activation("Softmax", axis=1), 11)
FORMS.add("softmax-2-old", activation("Softmax", axis=2), 11)
FORMS.add("softmax-1", activation("Softmax", axis=1), 13, 17)
FORMS.add("softmax-3", activation("Softmax", axis=3))
FORMS.add("softmax-2", activation("Softmax", axis=-2))
FORMS.add("logsoftmax", activation("LogSoftmax", axis=1))
FORMS.add("dropout", activation("Dropout"), 7, 12, 17)
FORMS.add("identity", activation("Identity"))
FORMS.add("unit-length", activation("LpNormalization", axis=1))
FORMS.add("clip-attributes", lambda g: g.add("Clip", g.map(), min=-0.5, max=1.5), 7, 10)


def clip(low: float | None, high: float | None) -> Form:
    def build(g: Graph) -> Any:
        bounds = ["" if b is None else g.const(b, np.float32) for b in (low, high)]
        return g.add("Clip", g.map(), *bounds)

    return build


for low, high in (
    (0, 6),
    (0, 1),
    (-1, 1),
    (None, 2),
    (0.5, None),
    (-2, 3),
    (None, None),
    (1, 1),
    (0, 3.4e38),
):
    FORMS.add(f"clip-{low}-{high}", clip(low, high), 11, 17)
FORMS.add("relu6-min-max", lambda g: g.add("Min", g.add("Max", g.map(), g.const(0.0)), g.const(6.0)))
FORMS.add("sqrt", lambda g: g.add("Sqrt", g.add("Abs", g.map())))
FORMS.add("log", lambda g: g.add("Log", g.add("Add", g.add("Abs", g.map()), g.const(0.1))))
FORMS.add("reciprocal", lambda g: g.add("Reciprocal", g.add("Add", g.add("Abs", g.map()), g.const(0.5))))
FORMS.add("prelu", lambda g: g.add("PRelu", g.map(), g.normal(8, 1, 1)), 9, 17)
FORMS.add("prelu-one", lambda g: g.add("PRelu", g.map(), g.const([0.2])))


@FORMS.form(9, 17)
def hardswish_by_clip(g: Graph) -> Any:
    x = g.map()
    bounds = {"min": 0.0, "max": 6.0} if g.opset < 11 else {}
    limits = [] if g.opset < 11 else [g.const(0.0), g.const(6.0)]
    gate = g.add("Clip", g.add("Add", x, g.const(3.0)), *limits, **bounds)
    return g.add("Div", g.add("Mul", x, gate), g.const(6.0))


@FORMS.form()
def gelu_by_erf(g: Graph) -> Any:
    x = g.map()
    inner = g.add("Add", g.add("Erf", g.add("Div", x, g.const(2**0.5))), g.const(1.0))
    return g.add("Mul", g.add("Mul", x, inner), g.const(0.5))


@FORMS.form()
def gelu_by_erf_halved_first(g: Graph) -> Any:
    x = g.map()
    half = g.add("Mul", x, g.const(0.5))
    return g.add("Mul", half, g.add("Add", g.const(1.0), g.add("Erf", g.add("Mul", x, g.const(0.5**0.5)))))


@FORMS.form()
def gelu_by_erf_halved_last(g: Graph) -> Any:
    x = g.map()
    inner = g.add("Add", g.add("Erf", g.add("Div", x, g.const(2**0.5))), g.const(1.0))
    return g.add("Div", g.add("Mul", x, inner), g.const(2.0))


@FORMS.form()
def mish_by_softplus(g: Graph) -> Any:
    x = g.map()
    return g.add("Mul", x, g.add("Tanh", g.add("Softplus", x)))


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)


@pytest.mark.parametrize("name", ["gelu_by_erf", "gelu_by_erf_halved_first", "gelu_by_erf_halved_last"])
def test_gelu_is_read_as_one_operator(name: str) -> None:
    count = FORMS.check(name)
    assert count["GELU"] == 1
    assert sum(count.values()) == 2  # the convolution before it, and GELU
