"""Attention as one operator: every form against ONNX Runtime, before and after the edits."""

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
TOKENS, SIZE = 30, 4


def tokens(g: Graph, channels: int) -> Any:
    patches = g.add("Conv", g.map(), g.normal(channels, 8, 2, 2, scale=0.3), strides=[2, 2])
    return g.add("Transpose", g.add("Reshape", patches, g.const([1, channels, -1], np.int64)), perm=[0, 2, 1])


def heads(g: Graph, count: int) -> Any:
    apart = g.add("Reshape", tokens(g, count * SIZE), g.const([1, TOKENS, count, SIZE], np.int64))
    return g.add("Transpose", apart, perm=[0, 2, 1, 3])


def attention(mask: str = "", kv: int = 2, **attributes: Any) -> Form:
    def build(g: Graph) -> Any:
        masks = {
            "added": lambda: g.normal(1, 1, TOKENS, TOKENS),
            "never": lambda: g.const(np.where(np.tri(TOKENS, TOKENS, 3, bool), 0, -np.inf), np.float32),
            "chosen": lambda: g.const(np.random.default_rng(1).random((TOKENS, TOKENS)) > 0.4),
            "computed": lambda: g.add(
                "Reshape", tokens(g, TOKENS), g.const([1, 1, TOKENS, TOKENS], np.int64)
            ),
        }
        last = [masks[mask]()] if mask else []
        return g.add("Attention", heads(g, 2), heads(g, kv), heads(g, kv), *last, **attributes)

    return build


def of_three_axes(g: Graph) -> Any:
    q, k, v = (tokens(g, 2 * SIZE) for _ in range(3))
    return g.add("Attention", q, k, v, q_num_heads=2, kv_num_heads=2)


def queries_of_four_heads(g: Graph) -> Any:
    q, k, v = tokens(g, 4 * SIZE), tokens(g, 2 * SIZE), tokens(g, 2 * SIZE)
    return g.add("Attention", q, k, v, q_num_heads=4, kv_num_heads=2)


FORMS.add("heads", attention(), 23, 24)
FORMS.add("scaled", attention(scale=0.3), 23)
FORMS.add("one-head-of-keys", attention(kv=1), 23)
FORMS.add("causal", attention(is_causal=1), 23)
for name in ("added", "never", "chosen", "computed"):
    FORMS.add(f"mask-{name}", attention(name), 23)
FORMS.add("causal-and-mask", attention("chosen", is_causal=1), 23)
FORMS.add("three-axes", of_three_axes, 23)
FORMS.add("queries-of-four-heads", queries_of_four_heads, 23)


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)


def test_a_soft_limit_is_named() -> None:
    g = Graph(23)
    graph = plain(g.model(attention(softcap=5.0)(g)), g.size)
    with pytest.raises(ParityError, match=r"operator Attention .*softcap"):
        convert(Scope(graph.opset, dict(graph.constants)), graph.nodes, graph.image, graph.size, {})
