"""Reductions and the largest values: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.export.graph.forms import Forms

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()

for kind in (
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSumExp",
):
    old = 11 if kind == "ReduceSum" else 17
    FORMS.add(f"{kind}-channels", lambda g, kind=kind: g.add(kind, g.map(), axes=[1]), old)
    FORMS.add(f"{kind}-map-dropped", lambda g, kind=kind: g.add(kind, g.map(), axes=[2, 3], keepdims=0), old)
    FORMS.add(f"{kind}-input", lambda g, kind=kind: g.add(kind, g.map(), g.const([-1], np.int64)), 18)
    FORMS.add(f"{kind}-all", lambda g, kind=kind: g.add(kind, g.map()), 18)
FORMS.add("argmax", lambda g: g.add("ArgMax", g.map(), axis=1))
FORMS.add(
    "argmax-dropped",
    lambda g: str(
        g.add("ArgMax", g.add("Reshape", g.map(), g.const([1, 8, 120], np.int64)), axis=2, keepdims=0)
    ),
)
FORMS.add("argmin", lambda g: g.add("ArgMin", g.map(), axis=3, keepdims=0))
FORMS.add(
    "topk",
    lambda g: str(
        g.add(
            "TopK",
            g.add("Reshape", g.map(), g.const([1, 8, 120], np.int64)),
            g.const([5], np.int64),
            outputs=2,
        )[0]
    ),
)
FORMS.add("topk-channels", lambda g: g.add("TopK", g.map(), g.const([3], np.int64), axis=1, outputs=2)[1])


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)
