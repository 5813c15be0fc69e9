"""ONNX Runtime in a process of its own: what sends it astray ends in one line."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import helper

from export.graph.tidy import trace as tracing
from export.graph.tidy.plain import tidy
from rpi_runtime.errors import InputError
from tests.export.graph.onnxgraphs import Graph

SIZE = (12, 10)


def tidied(model: onnx.ModelProto) -> None:
    tidy(model, SIZE[1], SIZE[0], [o.name for o in model.graph.output], "net.onnx")


def endless() -> onnx.ModelProto:
    """A Loop without a bound whose condition stays true, on constants alone."""
    g = Graph(17, SIZE)
    kinds = {"i": onnx.TensorProto.INT64, "go": onnx.TensorProto.BOOL, "v": onnx.TensorProto.FLOAT}
    values = {name: helper.make_tensor_value_info(name, kind, []) for name, kind in kinds.items()}
    ends = [helper.make_tensor_value_info(n, kinds[k], []) for n, k in (("goes", "go"), ("w", "v"))]
    steps = [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Identity", ["v"], ["w"])]
    body = helper.make_graph(steps, "body", list(values.values()), ends)
    looped = g.add("Loop", "", g.const(True), g.const(1.0), body=body)
    return g.model(str(g.add("Mul", g.map(8), looped)))


def test_a_loop_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "PATIENCE_S", 6.0)
    with pytest.raises(InputError, match="did not come to an end"):
        tidied(endless())


def test_a_crash_of_onnx_runtime_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(tracing, "CHILD", (sys.executable, "-c", script))
    g = Graph(17, SIZE)
    with pytest.raises(InputError, match=r"crashed on it \(SIGSEGV\)"):
        tidied(g.model(g.map(8)))


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("unknown", [False, True])
def test_a_value_far_larger_than_the_picture_is_refused(static: bool, unknown: bool) -> None:
    """Copies of a Tile, their number a constant or computed where shape inference does not follow."""
    g = Graph(17, SIZE)
    x = g.const(np.ones((1, 8, *SIZE), np.float32)) if static else g.map(8)
    counts = g.const([65_537, 1, 1, 1], np.int64)
    if unknown:
        counts = g.add("Cast", g.add("Cast", counts, to=11), to=7)
    x = g.add("ReduceMean", g.add("Tile", x, counts), axes=[0], keepdims=1)
    with pytest.raises(InputError, match="larger than any of a pose network"):
        tidied(g.model(str(g.add("Add", g.map(8), x))))


def test_shapes_and_what_no_image_changes_are_known() -> None:
    g = Graph(17, SIZE)
    x = g.map(8)
    height = g.add("Gather", g.add("Shape", x), g.const(2, np.int64))
    model = g.model(str(g.add("Mul", x, g.add("Cast", height, to=1))))
    seen = tracing.trace(model, "net.onnx")
    assert seen.constants[height] == 12
    assert seen.shapes[x] == (1, 8, *SIZE)
