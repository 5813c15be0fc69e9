"""Products of matrices: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.export.graph.forms import Forms
from tests.export.graph.onnxgraphs import Graph

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


@FORMS.form()
def attention(g: Graph) -> Any:
    tokens = g.add("Transpose", g.add("Reshape", g.map(8), g.const([1, 8, 120], np.int64)), perm=[0, 2, 1])
    qkv = g.add("Add", g.add("MatMul", tokens, g.normal(8, 24, scale=0.3)), g.normal(24))
    heads = g.add(
        "Transpose", g.add("Reshape", qkv, g.const([1, 120, 3, 2, 4], np.int64)), perm=[2, 0, 3, 1, 4]
    )
    q, k, v = (g.add("Gather", heads, g.const(i, np.int64), axis=0) for i in range(3))
    scores = g.add("Mul", g.add("MatMul", q, g.add("Transpose", k, perm=[0, 1, 3, 2])), g.const(0.5))
    mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), v)
    joined = g.add("Reshape", g.add("Transpose", mixed, perm=[0, 2, 1, 3]), g.const([1, 120, 8], np.int64))
    back = g.add("Transpose", g.add("MatMul", joined, g.normal(8, 8)), perm=[0, 2, 1])
    return g.add("Reshape", back, g.const([1, 8, 12, 10], np.int64))


@FORMS.form(7, 17)
def gemm(g: Graph) -> Any:
    flat = g.add("Flatten", g.map(4))
    return g.add("Gemm", flat, g.normal(480, 7, scale=0.1), g.normal(7), alpha=0.5, beta=2.0)


FORMS.add(
    "gemm-transposed",
    lambda g: str(
        g.add("Gemm", g.add("Flatten", g.map(4)), g.normal(7, 480, scale=0.1), g.normal(7), transB=1)
    ),
)
FORMS.add("gemm-without-bias", lambda g: g.add("Gemm", g.add("Flatten", g.map(4)), g.normal(480, 7)), 13)
FORMS.add("matmul-left-constant", lambda g: g.add("MatMul", g.normal(5, 12), g.map(4)))
FORMS.add("matmul-columns", lambda g: g.add("MatMul", g.map(4), g.normal(10, 6)))
FORMS.add("matmul-maps", lambda g: g.add("MatMul", g.map(4), g.add("Transpose", g.map(4), perm=[0, 1, 3, 2])))
for equation in ("bchw,bcij->bhwij", "bchw,bkhw->bck"):
    FORMS.add(
        f"einsum-{equation}",
        lambda g, equation=equation: g.add("Einsum", g.map(4), g.map(4), equation=equation),
    )


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)
