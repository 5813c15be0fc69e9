"""Slices that are assigned to: every form against ONNX Runtime, before and after the edits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.graph.convert.network import convert
from export.graph.convert.scope import Scope
from export.graph.convert.writing import box_of
from rpi_runtime.errors import ParityError
from tests.export.graph.forms import Form, Forms
from tests.export.graph.onnxgraphs import Graph, plain

pytestmark = pytest.mark.usefixtures("in_process")

FORMS = Forms()


def box(*runs: tuple[int, int]) -> Any:
    """Indices (..., axes) of a box; each run is the first index and the one behind the last."""
    return np.stack(np.meshgrid(*(np.arange(*r) for r in runs), indexing="ij"), axis=-1).astype(np.int64)


def assigned(indices: Any, perm: list[int] | None = None) -> Form:
    """A map of which a box becomes what lies there in another map."""

    def build(g: Graph) -> Any:
        x, y = (g.add("Transpose", g.map(), perm=perm) if perm else g.map() for _ in range(2))
        runs = [(int(i.min()), int(i.max()) + 1) for i in np.moveaxis(indices, -1, 0)]
        bounds = [g.const([r[side] for r in runs], np.int64) for side in (0, 1)]
        taken = g.add("Slice", y, *bounds, g.const(range(len(runs)), np.int64))
        return g.add("ScatterND", x, g.const(indices), taken)

    return build


def of_all_axes(known: bool = False) -> Form:
    """As ``z[:, :, 1:-1, 2:5] = y[:, :, 1:-1, 2:5]`` with an index for every value."""
    runs = ((0, 1), (0, 8), (1, 11), (2, 5))

    def build(g: Graph) -> Any:
        x = g.const(np.zeros((1, 8, 12, 10), np.float32)) if known else g.map()
        bounds = [g.const([r[side] for r in runs], np.int64) for side in (0, 1)]
        part = g.add("Slice", g.map(), *bounds, g.const(range(4), np.int64))
        return g.add("ScatterND", x, g.const(box(*runs)), part)

    return build


FORMS.add("channels", assigned(box((0, 1), (0, 3))), 11, 18)
FORMS.add("channels-first-in-the-indices", assigned(box((2, 5)), perm=[1, 0, 2, 3]), 18)
FORMS.add("rows", assigned(box((0, 1), (0, 8), (3, 12))), 18)
FORMS.add("a-window", of_all_axes(), 11, 18)
FORMS.add("a-window-of-zeros", of_all_axes(known=True), 18)
FORMS.add("everything", assigned(box((0, 1), (0, 8))), 18)


@FORMS.each()
def test_form_computes_what_onnx_runtime_computes(name: str, opset: int) -> None:
    FORMS.check(name, opset)


@pytest.mark.parametrize("rows", [[[0], [2]], [[1], [0]], [[0, 0], [1, 1]], [[-1]], [[0], [0]]])
def test_indices_that_are_no_box(rows: list[list[int]]) -> None:
    assert box_of(np.array(rows)) is None


def test_indices_that_are_no_box_are_named() -> None:
    g = Graph(18)
    x = g.add("ScatterND", g.map(), g.const([[0, 1], [0, 4]], np.int64), g.normal(2, 12, 10))
    graph = plain(g.model(x), g.size)
    with pytest.raises(ParityError, match=r"operator ScatterND .*no box"):
        convert(Scope(graph.opset, dict(graph.constants)), graph.nodes, graph.image, graph.size, {})
