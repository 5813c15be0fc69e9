"""Parts of one tensor become tensors of their own: the same values, each with its own grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from export.graph import heads
from export.graph.float_model import FloatModel
from export.graph.heads import Part, own_outputs, split_outputs
from quant.quantize.quantizer import Quantizer
from quant.recipe import load_recipe
from quant.tflite.records import Model, Quantization
from rpi_runtime.errors import ParityError
from rpi_runtime.model.card import OutputSpec
from tests.export.graph.onnxgraphs import Graph, converted, plain

HEIGHT, WIDTH = 12, 10
SCORES, BOXES = (
    OutputSpec(name="v", role="scores", channels=1),
    OutputSpec(name="v", role="boxes", channels=4, first=1),
)


IMAGE = np.random.default_rng(0).normal(size=(1, HEIGHT, WIDTH, 3)).astype(np.float32)


def network(graph: Graph, name: str) -> Model:
    return converted(plain(graph.model(name), (HEIGHT, WIDTH)))


def joined(graph: Graph) -> str:
    """A score beside four distances; a product with the stride behind the distances alone."""
    logits = graph.add("Conv", graph.map(), graph.normal(1, 8, 1, 1), graph.normal(1), kernel_shape=[1, 1])
    distances = graph.add("Relu", graph.map(4))
    return str(graph.add("Concat", logits, graph.add("Mul", distances, graph.const(32.0)), axis=1))


def one_layer(graph: Graph) -> str:
    weights, bias = graph.normal(5, 8, 3, 3), graph.normal(5)
    return str(graph.add("Conv", graph.map(), weights, bias, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))


def depthwise(graph: Graph) -> str:
    weights = graph.normal(5, 1, 3, 3)
    return str(graph.add("Conv", graph.map(5), weights, kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=5))


def scaled(graph: Graph) -> str:
    """A factor for each channel behind a sum."""
    total = graph.add("Add", graph.map(5), graph.map(5))
    return str(graph.add("Mul", graph.add("Sigmoid", total), graph.positive(1, 5, 1, 1)))


def in_rows(graph: Graph) -> str:
    rows = graph.add("Reshape", one_layer(graph), graph.const([1, 5, HEIGHT * WIDTH], np.int64))
    return str(graph.add("Transpose", rows, perm=[0, 2, 1]))


def read_again(graph: Graph) -> str:
    """Something else in the way: the whole tensor counts in a softmax over its channels."""
    return str(graph.add("Softmax", one_layer(graph), axis=1))


@pytest.mark.parametrize(
    ("build", "sliced"),
    [(joined, 0), (one_layer, 0), (depthwise, 0), (scaled, 0), (in_rows, 0), (read_again, 2)],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_parts_are_what_they_were(build: Callable[[Graph], str], sliced: int) -> None:
    graph = Graph(size=(HEIGHT, WIDTH))
    name = build(graph)
    model = network(graph, name)
    axis = model.outputs[name].shape.index(5)
    parts = {name: (Part(name="a", axis=axis, first=0, count=1), Part(name="b", axis=axis, first=1, count=4))}
    made = split_outputs(FloatModel(model=model, parities=()), parts, IMAGE)  # raises where they differ
    assert list(made.model.outputs) == ["a", "b"]
    assert [p.output for p in made.parities] == ["a", "b"]
    assert made.model.count_operators()["SLICE"] == sliced
    assert name in model.outputs


def test_a_wrong_part_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(size=(HEIGHT, WIDTH))
    name = joined(graph)
    right = heads._THROUGH["CONCATENATION"]
    monkeypatch.setitem(
        heads._THROUGH,
        "CONCATENATION",
        lambda split, op, axis, first, count: right(split, op, axis, 0, count),
    )
    with pytest.raises(ParityError, match="_boxes"):
        split_outputs(FloatModel(model=network(graph, name), parities=()), own_parts(name), IMAGE)


def test_each_part_has_its_own_grid() -> None:
    graph = Graph(size=(HEIGHT, WIDTH))
    name = joined(graph)
    model = FloatModel(model=network(graph, name), parities=())
    split = split_outputs(model, own_parts(name), IMAGE)
    entry = Quantization.of(1 / 32)
    whole, apart = (
        Quantizer(m.model, [IMAGE] * 4, entry).quantize(load_recipe("w8c_a8")).model.outputs
        for m in (model, split)
    )
    scales = {tensor.quantization.scale for tensor in apart.values() if tensor.quantization}
    assert len(scales) == 2
    (old,) = (tensor.quantization.scale for tensor in whole.values() if tensor.quantization)
    assert min(scales) < old / 4


def own_parts(name: str) -> dict[str, tuple[Part, ...]]:
    outputs, parts = own_outputs([OutputSpec(name=name, role="scores", channels=1),
                                  OutputSpec(name=name, role="boxes", channels=4, first=1)])  # fmt: skip
    assert [o.name for o in outputs] == [f"{name}_scores", f"{name}_boxes"]
    return parts


def test_a_card_names_the_parts() -> None:
    outputs, parts = own_outputs([SCORES, BOXES])
    assert [(o.name, o.first) for o in outputs] == [("v_scores", 0), ("v_boxes", 0)]
    assert [(p.name, p.axis, p.first, p.count) for p in parts["v"]] == [
        ("v_scores", -1, 0, 1),
        ("v_boxes", -1, 1, 4),
    ]


def test_what_is_one_tensor_alone_or_overlaps_stays() -> None:
    alone = (SCORES, OutputSpec(name="w", role="boxes", channels=4))
    assert own_outputs(alone) == (alone, {})
    both = (SCORES, OutputSpec(name="v", role="boxes", channels=4))
    assert own_outputs(both) == (both, {})


def test_levels_in_rows_share_their_parts() -> None:
    levels = [
        OutputSpec(name="v", role=role, channels=n, first=f, stride=s, axes="columns", rows=20, first_row=r)  # type: ignore[arg-type]
        for s, r in ((8, 0), (16, 16))
        for role, n, f in (("boxes", 4, 0), ("scores", 1, 4))
    ]
    outputs, parts = own_outputs(levels)
    assert [o.name for o in outputs] == ["v_boxes", "v_scores"] * 2
    assert [(p.name, p.axis) for p in parts["v"]] == [("v_boxes", 1), ("v_scores", 1)]
