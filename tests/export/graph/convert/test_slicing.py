"""Slices, splits, concatenations, gathers and pads: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.export.graph.forms import Form, Forms
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


def sliced(starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None = None) -> Form:
    def build(g: Graph) -> Any:
        if g.opset < 10:
            return g.add("Slice", g.map(), starts=starts, ends=ends, axes=axes)
        bounds = [g.const(v, np.int64) for v in (starts, ends, axes, *([steps] if steps else []))]
        return g.add("Slice", g.map(), *bounds)

    return build


FORMS.add("slice-channels", sliced([2], [6], [1]), 9, 17)
FORMS.add("slice-window", sliced([1, -7], [-1, 2**40], [2, 3]), 9, 17)
FORMS.add("slice-rows", sliced([0], [12], [2], [2]))
FORMS.add("slice-columns", sliced([1], [10], [3], [2]))
FORMS.add("slice-third-rows", sliced([2], [12], [2], [3]))
FORMS.add("slice-third-columns-of-ten", sliced([0], [10], [3], [3]))
FORMS.add("slice-rows-and-columns", sliced([3, 1], [12, 9], [2, 3], [2, 2]))
FORMS.add("slice-every-channel", sliced([1], [8], [1], [2]))
FORMS.add("slice-back", sliced([-1], [-100], [3], [-1]))
FORMS.add("split-two", lambda g: g.add("Sub", *g.add("Split", g.map(), axis=1, outputs=2)), 7, 13, 17)
FORMS.add(
    "split-even-18",
    lambda g: g.add("Sub", *g.add("Split", g.map(), axis=1, num_outputs=2, outputs=2)),
    18,
)
FORMS.add(
    "split-uneven-old",
    lambda g: g.add("Concat", *g.add("Split", g.map(), axis=1, split=[3, 5], outputs=2)[::-1], axis=1),
    11,
)
FORMS.add(
    "split-uneven",
    lambda g: str(
        g.add(
            "Concat", *g.add("Split", g.map(), g.const([1, 2, 5], np.int64), axis=1, outputs=3)[::-1], axis=1
        )
    ),
)


def split_to_sequence(sizes: Any, *places: int, **attributes: Any) -> Form:
    def build(g: Graph) -> Any:
        parts = g.add("SplitToSequence", g.map(), g.const(sizes, np.int64), **attributes)
        taken = [g.add("SequenceAt", parts, g.const(place, np.int64)) for place in places]
        return g.add("Concat", *taken, axis=1)

    return build


FORMS.add("sequence-of-sizes", split_to_sequence([1, 2, 5], 2, 0, -2, axis=1), 11, 17)
FORMS.add("sequence-of-equal-parts", split_to_sequence(3, 2, 0, 1, axis=1), 18)
FORMS.add("sequence-of-rows", split_to_sequence([3, 3, 6], 0, 1, axis=2), 17)
FORMS.add("split-six", lambda g: g.add("Concat", *g.add("Split", g.map(12), axis=1, outputs=6)[::-1], axis=1))
FORMS.add("concat-nine", lambda g: g.add("Concat", *[g.map(2 + i % 3) for i in range(9)], axis=1))
FORMS.add("concat-rows", lambda g: g.add("Concat", g.map(4), g.map(4), axis=2))
FORMS.add("concat-constant", lambda g: g.add("Concat", g.map(4), g.normal(1, 2, 12, 10), axis=1))
FORMS.add("gather-scalar", lambda g: g.add("Gather", g.map(), g.const(3, np.int64), axis=1))
FORMS.add("gather-list", lambda g: g.add("Gather", g.map(), g.const([5, 0, 1, -1], np.int64), axis=1))
FORMS.add(
    "gather-many",
    lambda g: str(
        g.add("Gather", g.map(24), g.const(np.random.default_rng(0).permutation(24), np.int64), axis=1)
    ),
)
FORMS.add(
    "gather-table", lambda g: g.add("Gather", g.map(), g.const([[1, 2, 3], [4, 5, 6]], np.int64), axis=1)
)


def padded(pads: list[int], **attributes: Any) -> Form:
    def build(g: Graph) -> Any:
        if g.opset < 11:
            return g.add("Pad", g.map(), pads=pads, **attributes)
        value = [g.const(attributes.pop("value"), np.float32)] if "value" in attributes else []
        return g.add("Pad", g.map(), g.const(pads, np.int64), *value, **attributes)

    return build


FORMS.add("pad-zero", padded([0, 0, 1, 2, 0, 0, 3, 0]), 9, 17)
FORMS.add("pad-channels", padded([0, 1, 0, 0, 0, 2, 0, 0]))
FORMS.add("pad-negative", padded([0, 0, -1, 2, 0, 0, 1, -3]))
FORMS.add("pad-reflect", padded([0, 0, 2, 1, 0, 0, 1, 3], mode="reflect"), 9, 17)
FORMS.add("pad-edge", padded([0, 0, 1, 1, 0, 0, 1, 2], mode="edge"))
FORMS.add("pad-wrap", padded([0, 0, 1, 1, 0, 0, 1, 2], mode="wrap"), 19)
FORMS.add(
    "pad-number",
    lambda g: g.add("Pad", g.map(), g.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64), g.const(0.5)),
)


for axis in (1, 2, -1):
    for exclusive in (0, 1):
        for reverse in (0, 1):
            FORMS.add(
                f"sums-{axis}-{exclusive}-{reverse}",
                lambda g, axis=axis, options={"exclusive": exclusive, "reverse": reverse}: g.add(
                    "CumSum", g.map(), g.const(axis, np.int64), **options
                ),
                11,
            )


@FORMS.form()
def pad_then_padded_conv(g: Graph) -> Any:
    x = g.add("Pad", g.map(), g.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    return g.add("Conv", x, g.normal(6, 8, 5, 5, scale=0.2), g.normal(6), pads=[1, 1, 1, 1])


@FORMS.form()
def focus(g: Graph) -> Any:
    parts = []
    for top, left in ((0, 0), (1, 0), (0, 1), (1, 1)):
        rows = g.add("Slice", "image", *(g.const([v], np.int64) for v in (top, 2**31, 2, 2)))
        parts.append(g.add("Slice", rows, *(g.const([v], np.int64) for v in (left, 2**31, 3, 2))))
    x = g.add("Concat", *parts, axis=1)
    return g.add("Conv", x, g.normal(8, 12, 3, 3, scale=0.2), g.normal(8), pads=[1, 1, 1, 1])


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)
