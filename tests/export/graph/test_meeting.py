"""Where axes that a reshape joins meet: every place computes the same, and the one that moves the least is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.graph import cheapest
from export.graph.cheapest import CALL, convert_cheapest, transposing_cost
from export.graph.convert.layout import MEETINGS, Meeting, usual_order
from export.graph.convert.network import convert
from export.graph.convert.scope import Scope
from export.graph.from_onnx import from_onnx
from quant.tflite.records import Model
from quant.tflite.write import write_model
from rpi_runtime.errors import ParityError
from rpi_runtime.model.card import InputSpec
from tests.export.graph.convert.test_matrix import attention
from tests.export.graph.forms import Form
from tests.export.graph.onnxgraphs import Graph, plain, run_onnx, run_tflite

pytestmark = pytest.mark.usefixtures("in_process")


def patches_to_tokens(g: Graph) -> Any:
    """As MobileViT: pixels at one place of their patch side by side."""
    apart = g.add("Reshape", g.map(8), g.const([48, 2, 5, 2], np.int64))
    turned = g.add("Transpose", apart, perm=[0, 2, 1, 3])
    spread = g.add("Reshape", turned, g.const([1, 8, 30, 4], np.int64))
    tokens = g.add("Reshape", g.add("Transpose", spread, perm=[0, 3, 2, 1]), g.const([4, 30, 8], np.int64))
    return g.add("MatMul", tokens, g.normal(8, 6))


def windows(g: Graph) -> Any:
    """As Swin: a map with its channels last in windows, and back."""
    x = g.add("Transpose", g.map(8), perm=[0, 2, 3, 1])
    apart = g.add("Reshape", x, g.const([1, 3, 4, 2, 5, 8], np.int64))
    tokens = g.add(
        "Reshape", g.add("Transpose", apart, perm=[0, 1, 3, 2, 4, 5]), g.const([6, 20, 8], np.int64)
    )
    mixed = g.add("Reshape", g.add("MatMul", tokens, g.normal(8, 8)), g.const([1, 3, 2, 4, 5, 8], np.int64))
    back = g.add(
        "Reshape", g.add("Transpose", mixed, perm=[0, 1, 3, 2, 4, 5]), g.const([1, 12, 10, 8], np.int64)
    )
    return g.add("Add", g.map(8), g.add("Transpose", back, perm=[0, 3, 1, 2]))


FORMS: dict[str, Form] = {f.__name__: f for f in (attention, patches_to_tokens, windows)}


@pytest.mark.parametrize("meeting", MEETINGS)
@pytest.mark.parametrize("name", list(FORMS))
def test_every_place_computes_what_onnx_runtime_computes(name: str, meeting: Meeting) -> None:
    g = Graph(17)
    output = FORMS[name](g)
    model = g.model(output)
    graph = plain(model, g.size)
    order = usual_order(len(graph.shapes[output]))
    scope = Scope(graph.opset, dict(graph.constants), meeting)
    converted = convert(scope, graph.nodes, graph.image, graph.size, {output: order})
    image = np.random.default_rng(1).uniform(-1, 1, (1, *g.size, 3)).astype(np.float32)
    found, _ = run_tflite(write_model(converted), image)
    want = run_onnx(model, image)[output].transpose(order)
    np.testing.assert_allclose(found[output], want, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize(("name", "most"), [("attention", 4), ("windows", 2)])
def test_the_place_is_taken_that_moves_the_least(name: str, most: int) -> None:
    g = Graph(17)
    output = FORMS[name](g)
    made = from_onnx(g.model(output), "net.onnx", InputSpec(width=g.size[1], height=g.size[0]), [output])
    assert made.model.count_operators()["TRANSPOSE"] <= most


@pytest.mark.parametrize("fail", [MEETINGS[:1], MEETINGS[1:], MEETINGS])
def test_a_place_that_does_not_convert_leaves_the_others(
    fail: tuple[Meeting, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(scope: Scope, *args: Any) -> Model:
        if scope.meeting in fail:
            raise ParityError(f"no {scope.meeting}")
        return convert(scope, *args)

    monkeypatch.setattr(cheapest, "convert", refusing)
    g = Graph(17)
    output = windows(g)
    graph = plain(g.model(output), g.size)
    orders = {output: usual_order(len(graph.shapes[output]))}
    if fail == MEETINGS:
        with pytest.raises(ParityError, match=f"no {MEETINGS[0]}"):
            convert_cheapest(graph, orders)
    else:
        assert convert_cheapest(graph, orders)[1] not in fail


@pytest.mark.parametrize(
    ("shape", "permutation", "calls"),
    [
        ((1, 96, 64, 48), [0, 2, 3, 1], 1),  # a map to channels last
        ((768, 4, 2, 48), [1, 2, 0, 3], 1),  # the last axis goes along
        ((3072, 2, 24, 2), [0, 2, 1, 3], 3072),
        ((24, 2, 3072, 2), [2, 0, 3, 1], 3072 * 24),
        ((4, 768, 96), [2, 1, 0], 96),
    ],
)
def test_a_transposition_costs_its_values_and_its_calls(
    shape: tuple[int, ...], permutation: list[int], calls: int
) -> None:
    result = [shape[p] for p in permutation]
    assert transposing_cost(result, permutation) == np.prod(shape) + CALL * calls


def test_a_transposition_of_axes_of_size_one_costs_nothing() -> None:
    assert transposing_cost((1, 1, 5, 7), [0, 3, 1, 2]) == 0
