"""Pools: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.export.graph.forms import Form, Forms

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


def pool(kind: str, kernel: list[int], **attributes: Any) -> Form:
    return lambda g: g.add(kind, g.map(), kernel_shape=kernel, **attributes)


for kind in ("MaxPool", "AveragePool"):
    for label, kernel_shape, attributes in (
        ("plain", [2, 2], {"strides": [2, 2]}), ("padded", [3, 3], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("same", [3, 3], {"pads": [1, 1, 1, 1]}), ("ceil", [3, 3], {"strides": [2, 2], "ceil_mode": 1}),
        ("ceil-padded", [3, 3], {"strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
        ("upper", [3, 3], {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("lower", [2, 2], {"strides": [1, 1], "auto_pad": "SAME_LOWER"}), ("five", [5, 5], {"pads": [2, 2, 2, 2]}),
        ("uneven", [3, 2], {"strides": [1, 2], "pads": [0, 1, 2, 0]}),
    ):  # fmt: skip
        opsets = (11, 17) if "ceil_mode" in attributes else (8, 17)
        FORMS.add(f"{kind.lower()}-{label}", pool(kind, kernel_shape, **attributes), *opsets)
FORMS.add(
    "averagepool-counting",
    pool("AveragePool", [3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
)
FORMS.add(
    "averagepool-counting-ceil",
    pool("AveragePool", [3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1, ceil_mode=1),
    19,
)
FORMS.add(
    "maxpool-behind-relu",
    lambda g: str(
        g.add("MaxPool", g.add("Relu", g.map()), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    ),
)
FORMS.add("global-average", lambda g: g.add("GlobalAveragePool", g.map()))
FORMS.add("global-max", lambda g: g.add("GlobalMaxPool", g.map()))


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)
