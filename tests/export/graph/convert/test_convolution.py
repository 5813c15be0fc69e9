"""Convolutions and transposed convolutions: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.export.graph.forms import Form, Forms
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


def conv(channels: int, outputs: int, kernel: tuple[int, int], group: int = 1, **attributes: Any) -> Form:
    def build(g: Graph) -> Any:
        weights = g.normal(outputs, channels // group, *kernel, scale=0.3)
        return g.add("Conv", g.map(channels), weights, g.normal(outputs), group=group, **attributes)

    return build


for label, attributes in {
    "plain": {}, "padded": {"pads": [1, 1, 1, 1]}, "stride": {"pads": [1, 1, 1, 1], "strides": [2, 2]},
    "uneven": {"pads": [0, 2, 1, 0]}, "behind": {"pads": [0, 0, 1, 1], "strides": [2, 2]},
    "dilated": {"pads": [2, 2, 2, 2], "dilations": [2, 2]}, "upper": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "lower": {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, "valid": {"auto_pad": "VALID"},
    "strides": {"strides": [1, 2], "pads": [1, 0, 1, 0]}, "dilated-stride": {"dilations": [2, 1], "strides": [2, 1]},
}.items():  # fmt: skip
    FORMS.add(f"conv-{label}", conv(8, 6, (3, 3), **attributes))
    FORMS.add(f"depthwise-{label}", conv(8, 8, (3, 3), 8, **attributes))
    FORMS.add(f"multiplier-{label}", conv(8, 16, (3, 3), 8, **attributes))
    FORMS.add(f"grouped-{label}", conv(8, 12, (3, 3), 4, **attributes))
FORMS.add("conv-even", conv(8, 6, (4, 2), pads=[1, 0, 2, 1]))
FORMS.add("conv-row", conv(8, 6, (1, 7), pads=[0, 3, 0, 3]))


@FORMS.form(7, 17)
def conv_without_bias(g: Graph) -> Any:
    return g.add("Conv", g.map(8), g.normal(4, 8, 3, 3))


@FORMS.form()
def conv_of_a_row(g: Graph) -> Any:
    row = g.add("Reshape", g.map(8), g.const([1, 8, 120], np.int64))
    return g.add("Conv", row, g.normal(6, 8, 3), g.normal(6), pads=[1, 1], strides=[2])


def transposed(kernel: int, group: int = 1, channels: int = 8, outputs: int = 8, **attributes: Any) -> Form:
    def build(g: Graph) -> Any:
        weights = g.normal(channels, outputs // group, kernel, kernel, scale=0.3)
        return str(
            g.add("ConvTranspose", g.map(channels), weights, g.normal(outputs), group=group, **attributes)
        )

    return build


for group in (1, 2, 8):
    for label, kernel, attributes in (
        ("k4", 4, {"strides": [2, 2], "pads": [1, 1, 1, 1]}), ("k2", 2, {"strides": [2, 2]}),
        ("k3", 3, {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ("k5", 5, {"strides": [2, 2], "pads": [2, 2, 2, 2], "output_padding": [1, 1]}),
        ("k3-plain", 3, {"strides": [2, 2]}), ("k3-odd", 3, {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("k3-stride1", 3, {"pads": [1, 1, 1, 1]}), ("k4-uneven", 4, {"strides": [2, 2], "pads": [1, 0, 0, 2]}),
        ("k7-stride4", 7, {"strides": [4, 4], "pads": [2, 2, 2, 2], "output_padding": [1, 1]}),
        ("k3-stride3", 3, {"strides": [3, 3]}), ("k8-stride4", 8, {"strides": [4, 4], "pads": [2, 2, 2, 2]}),
        ("same", 3, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("lower", 3, {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
        ("shape", 3, {"strides": [2, 2], "output_shape": [24, 20]}),
        ("dilated", 3, {"strides": [2, 2], "dilations": [2, 2]}),
    ):  # fmt: skip
        FORMS.add(f"transposed-{label}-g{group}", transposed(kernel, group, **attributes))
FORMS.add("transposed-small-kernel", transposed(1, strides=[2, 2]))
FORMS.add("transposed-extra", transposed(2, strides=[3, 3], output_padding=[2, 1]))
FORMS.add("transposed-g2-more-outputs", transposed(4, 2, 8, 12, strides=[2, 2], pads=[1, 1, 1, 1]), 9, 17)


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)
