"""Resizing, in every mode: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.export.graph.forms import Form, Forms
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


def resized(
    mode: str,
    scales: tuple[float, float] | None = None,
    sizes: tuple[int, int] | None = None,
    **attributes: Any,
) -> Form:
    def build(g: Graph) -> Any:
        x = g.map(4)
        if g.opset == 9:
            return g.add("Upsample", x, g.const([1, 1, *(scales or ())], np.float32), mode=mode)
        if g.opset == 10:
            return g.add("Resize", x, g.const([1, 1, *(scales or ())], np.float32), mode=mode)
        empty = g.const([], np.float32)
        if sizes:
            return str(
                g.add("Resize", x, empty, empty, g.const([1, 4, *sizes], np.int64), mode=mode, **attributes)
            )
        return str(
            g.add("Resize", x, empty, g.const([1, 1, *(scales or ())], np.float32), mode=mode, **attributes)
        )

    return build


FORMS.add(
    "nearest-2", resized("nearest", (2, 2), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
)
FORMS.add("nearest-old", resized("nearest", (2, 2)), 9, 10)
FORMS.add("linear-old", resized("linear", (2, 2)), 9, 10)
FORMS.add(
    "nearest-3", resized("nearest", (3, 3), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
)
FORMS.add("nearest-4", resized("nearest", (4, 4)))
FORMS.add("nearest-6", resized("nearest", (6, 6)))
FORMS.add("nearest-2-1", resized("nearest", (2, 1), nearest_mode="floor"))
FORMS.add(
    "nearest-half",
    resized("nearest", (0.5, 0.5), coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
)
for transform in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
    for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        for label, given in (("1.5", {"scales": (1.5, 1.5)}), ("sizes", {"sizes": (7, 23)})):
            FORMS.add(
                f"nearest-{transform}-{rounding}-{label}",
                resized("nearest", coordinate_transformation_mode=transform, nearest_mode=rounding, **given),
                13,
            )
    for label, given in (
        ("2", {"scales": (2, 2)}),
        ("1.7", {"scales": (1.7, 1.7)}),
        ("half", {"scales": (0.5, 0.5)}),
        ("sizes", {"sizes": (31, 9)}),
        ("one", {"sizes": (1, 20)}),
    ):
        for mode in ("linear", "cubic"):
            FORMS.add(
                f"{mode}-{transform}-{label}",
                resized(mode, coordinate_transformation_mode=transform, **given),
            )
FORMS.add("cubic-outside", resized("cubic", (2, 2), cubic_coeff_a=-0.5, exclude_outside=1))


@FORMS.form(11, 17)
def resize_to_the_size_of_another(g: Graph) -> Any:
    x = g.map(4)
    small = g.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    shape = g.add("Shape", x)
    tail = g.add("Slice", shape, g.const([2], np.int64), g.const([4], np.int64), g.const([0], np.int64))
    head = g.add(
        "Slice", g.add("Shape", small), g.const([0], np.int64), g.const([2], np.int64), g.const([0], np.int64)
    )
    sizes = g.add("Concat", head, g.add("Cast", tail, to=7), axis=0)
    empty = g.const([], np.float32)
    up = g.add(
        "Resize",
        small,
        empty,
        empty,
        sizes,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return g.add("Add", x, up)


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)
