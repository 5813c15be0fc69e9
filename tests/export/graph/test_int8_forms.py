"""Forms that people's networks are made of, in INT8: one XNNPACK partition, nothing beside it, near the float file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.graph.from_onnx import from_onnx
from export.integers import input_grid
from quant.judge.gate import check_floats, check_structure
from quant.quantize.quantizer import Quantizer
from quant.recipe import load_recipe
from quant.tflite.records import Model
from rpi_runtime.model.card import InputSpec
from tests.export.graph.forms import Form
from tests.export.graph.onnxgraphs import Graph
from tests.quant.toynetwork import delegation, run

pytestmark = pytest.mark.usefixtures("in_process")

SIZE = (16, 24)
LEAST_DB = 25.0  # signal over noise: 8 bits over the range of its values, less what some ten operations add
FORMS: dict[str, Form] = {}


def form(function: Form) -> Form:
    FORMS[function.__name__] = function
    return function


def conv(g: Graph, x: str, before: int = 8, after: int = 8, **attributes: Any) -> Any:
    return g.add(
        "Conv", x, g.normal(after, before, 3, 3, scale=0.2), g.normal(after), pads=[1] * 4, **attributes
    )


@form
def coordinates_beside_the_channels(g: Graph) -> Any:
    rows, columns = np.meshgrid(np.linspace(-1, 1, 16), np.linspace(-1, 1, 24), indexing="ij")
    places = g.const(np.stack([columns, rows])[None], np.float32)
    return conv(g, g.add("Concat", g.map(), places, axis=1), 10)


@form
def constants_before_and_between(g: Graph) -> Any:
    x, first, second = g.map(4), g.normal(1, 2, 16, 24), g.normal(1, 3, 16, 24)
    return conv(g, g.add("Concat", first, x, second, conv(g, x, 4, 3), axis=1), 12)


@form
def learned_tokens_beside_those_of_the_picture(g: Graph) -> Any:
    patches = g.add("Conv", g.map(), g.normal(16, 8, 4, 4, scale=0.1), g.normal(16), strides=[4, 4])
    tokens = g.add("Transpose", g.add("Reshape", patches, g.const([1, 16, -1], np.int64)), perm=[0, 2, 1])
    joined = g.add("Concat", g.normal(1, 5, 16), tokens, axis=1)
    return g.add("MatMul", joined, g.normal(16, 12))


@form
def nearest_to_an_odd_size(g: Graph) -> Any:
    half = conv(g, g.map(), strides=[2, 2])
    small = g.add(
        "Slice", half, g.const([0, 0], np.int64), g.const([7, 9], np.int64), g.const([2, 3], np.int64)
    )
    sizes = g.const([1, 8, 13, 17], np.int64)
    up = g.add("Resize", small, "", "", sizes, mode="nearest", coordinate_transformation_mode="asymmetric",
               nearest_mode="floor")  # fmt: skip
    return conv(g, up)


@form
def nearest_to_any_size(g: Graph) -> Any:
    small = conv(g, g.map(), strides=[2, 2])
    sizes = g.const([1, 8, 20, 29], np.int64)
    up = g.add("Resize", small, "", "", sizes, mode="nearest", coordinate_transformation_mode="asymmetric",
               nearest_mode="floor")  # fmt: skip
    return conv(g, up)


@form
def channels_in_another_order(g: Graph) -> Any:
    order = np.random.default_rng(0).permutation(24)
    return conv(g, g.add("Gather", g.map(24), g.const(order, np.int64), axis=1), 24)


@form
def a_map_from_right_to_left(g: Graph) -> Any:
    bounds = (g.const([n], np.int64) for n in (-1, -(2**31), 3, -1))
    return conv(g, g.add("Slice", g.map(), *bounds))


@form
def constants_that_two_kinds_of_operators_read(g: Graph) -> Any:
    joined = g.add("Concat", g.map(4), g.normal(1, 2, 16, 24), axis=1)
    return g.add("Add", conv(g, joined, 6, 6), g.add("Sigmoid", joined))


@form
def rows_of_constants_round_a_map(g: Graph) -> Any:
    x = g.map()
    joined = g.add("Concat", g.normal(1, 8, 2, 24), x, g.normal(1, 8, 1, 24), x, axis=2)
    return conv(g, joined)


@form
def a_constant_matrix_on_the_left(g: Graph) -> Any:
    pixels = g.add("Reshape", g.map(), g.const([1, 8, -1], np.int64))
    return g.add("MatMul", g.normal(5, 8), g.add("MatMul", pixels, g.normal(1, 384, 30, scale=0.05)))


@form
def a_constant_matrix_in_an_einsum(g: Graph) -> Any:
    pixels = g.add("Reshape", g.map(), g.const([1, 8, -1], np.int64))
    inner = g.add("Einsum", g.normal(20, 384, scale=0.05), pixels, equation="kn,bcn->bkc")
    return g.add("Einsum", inner, g.normal(8, 6), equation="bkc,cd->bkd")


@form
def copies_of_channels(g: Graph) -> Any:
    return conv(g, g.add("Tile", g.map(), g.const([1, 2, 1, 1], np.int64)), 16)


@form
def a_constant_choice(g: Graph) -> Any:
    x = g.map()
    mask = g.const(np.random.default_rng(0).random((1, 1, 16, 24)) > 0.3)
    return conv(g, g.add("Where", mask, x, g.const(-0.5)))


@form
def a_constant_choice_of_two_maps(g: Graph) -> Any:
    mask = g.const(np.random.default_rng(0).random((1, 8, 1, 1)) > 0.5)
    return conv(g, g.add("Where", mask, g.map(), g.add("Neg", g.map())))


@form
def a_masked_softmax(g: Graph) -> Any:
    x = g.add("Reshape", conv(g, g.map(), 8, 1, strides=[2, 2]), g.const([1, 8, 12], np.int64))
    mask = g.const(np.tri(8, 12, dtype=bool))
    weights = g.add("Softmax", g.add("Where", mask, x, g.const(-np.inf, np.float32)), axis=-1)
    return g.add("MatMul", weights, g.normal(12, 6))


@form
def the_least_channel(g: Graph) -> Any:
    x = g.map()
    return conv(g, g.add("Sub", x, g.add("ReduceMin", x, g.const([1], np.int64))))


def pointwise(kind: str, **attributes: Any) -> Form:
    return lambda g: conv(g, g.add(kind, conv(g, g.map()), **attributes))


for kind in ("Softplus", "Mish", "Gelu", "HardSwish", "Selu", "Softsign", "Erf", "Exp", "Sin"):
    FORMS[kind.lower()] = pointwise(kind)
FORMS["softmax_over_channels"] = pointwise("Softmax", axis=1)
FORMS["log_softmax_over_channels"] = pointwise("LogSoftmax", axis=1)


@form
def log_sigmoid(g: Graph) -> Any:
    return conv(g, g.add("Log", g.add("Sigmoid", g.map())))


@form
def instance_norm(g: Graph) -> Any:
    return conv(g, g.add("InstanceNormalization", conv(g, g.map()), g.positive(8), g.normal(8)))


@form
def attention(g: Graph) -> Any:
    wide = conv(g, conv(g, g.map(16), 16, 16), 16, 16)
    patches = g.add("Conv", wide, g.normal(8, 16, 4, 4, scale=0.1), g.normal(8), strides=[4, 4])
    pixels = g.add("Transpose", g.add("Reshape", patches, g.const([1, 8, -1], np.int64)), perm=[0, 2, 1])
    tokens = g.add("LayerNormalization", pixels, g.positive(8), g.normal(8))
    query, key, value = (
        g.add("Transpose", g.add("Reshape", g.add("MatMul", tokens, g.normal(8, 8)), g.const([1, -1, 2, 4], np.int64)),
              perm=[0, 2, 1, 3]) for _ in range(3)
    )  # fmt: skip
    scores = g.add("MatMul", query, g.add("Transpose", key, perm=[0, 1, 3, 2]))
    mixed = g.add("MatMul", g.add("Softmax", g.add("Mul", scores, g.const(0.5)), axis=-1), value)
    back = g.add("Reshape", g.add("Transpose", mixed, perm=[0, 2, 1, 3]), g.const([1, -1, 8], np.int64))
    return g.add("MatMul", g.add("Add", tokens, back), g.normal(8, 12))


@form
def attention_without_softmax(g: Graph) -> Any:
    def tokens(source: str) -> Any:
        return g.add("Reshape", conv(g, source), g.const([1, 8, -1], np.int64))

    x = g.map()
    query, key, value = g.add("Relu", tokens(x)), g.add("Relu", tokens(x)), tokens(x)
    context = g.add("MatMul", value, g.add("Transpose", key, perm=[0, 2, 1]))
    mixed = g.add("MatMul", context, query)
    whole = g.add("MatMul", g.add("ReduceSum", key, g.const([2], np.int64), keepdims=0), query)
    ratio = g.add("Div", mixed, g.add("Add", whole, g.const(1e-3)))
    return conv(g, g.add("Reshape", ratio, g.const([1, 8, 16, 24], np.int64)))


def images(count: int = 6) -> list[np.ndarray]:
    draw = np.random.default_rng(9)
    return [draw.uniform(-0.5, 0.5, (1, *SIZE, 3)).astype(np.float32) for _ in range(count)]


def made(build: Form) -> tuple[Model, Model]:
    """The float and the INT8 network of one form."""
    graph = Graph(20, SIZE)
    output = build(graph)
    spec = InputSpec(width=SIZE[1], height=SIZE[0])
    real = from_onnx(graph.model(output), "form.onnx", spec, [output]).model
    return real, Quantizer(real, images(), input_grid(spec)).quantize(load_recipe("w8c_a8_eqr")).model


@pytest.mark.parametrize("name", list(FORMS))
def test_form_is_one_partition_in_int8_and_near_the_float_file(name: str) -> None:
    real, quantized = made(FORMS[name])
    for model in (real, quantized):
        found = delegation(model)
        assert (found.partitions, found.fell_back) == (1, ())
    spec = InputSpec(width=SIZE[1], height=SIZE[0])
    assert [c for c in (*check_structure(quantized, spec), *check_floats(quantized)) if not c.passed] == []
    signal = noise = 0.0
    for image in images():
        (want,), (got,) = (run(model, image).values() for model in (real, quantized))
        signal += float(np.square(want - want.mean()).sum())
        noise += float(np.square(want - got).sum())
    assert 10 * np.log10(signal / noise) > LEAST_DB
