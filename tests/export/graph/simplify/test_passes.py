"""Edits keep what a network computes, and leave what XNNPACK takes in INT8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.export.graph.onnxgraphs import Graph, check

pytestmark = pytest.mark.usefixtures("in_process")


def norm(g: Graph, x: str) -> Any:
    return g.add("BatchNormalization", x, g.normal(8), g.normal(8), g.normal(8), g.positive(8))


def conv(g: Graph, x: str, **attributes: Any) -> Any:
    return g.add("Conv", x, g.normal(8, 8, 3, 3, scale=0.2), g.normal(8), pads=[1, 1, 1, 1], **attributes)


def test_batch_norm_and_relu_are_part_of_the_convolution_before_them() -> None:
    g = Graph()
    assert check(g.model(g.add("Relu", norm(g, conv(g, g.map()))))) == {"CONV_2D": 2}


def test_batch_norm_and_relu_are_part_of_a_transposed_convolution() -> None:
    g = Graph()
    up = g.add("ConvTranspose", g.map(), g.normal(8, 8, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])
    assert check(g.model(g.add("Relu", norm(g, up)))) == {"CONV_2D": 1, "TRANSPOSE_CONV": 1}


def test_a_batch_norm_in_front_of_a_block_is_one_depthwise_convolution() -> None:
    g = Graph()
    x = g.map()
    block = conv(g, g.add("Relu", norm(g, x)))
    count = check(g.model(g.add("Add", x, block)))
    assert count == {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 1, "ADD": 1}


@pytest.mark.parametrize("shape", [(1,), (8, 1, 1), (1, 8, 1, 1)])
@pytest.mark.parametrize("kind", ["Mul", "Add", "Sub", "Div"])
def test_frozen_norms_fold(kind: str, shape: tuple[int, ...]) -> None:
    g = Graph()
    assert check(g.model(g.add(kind, conv(g, g.map()), g.positive(*shape)))) == {"CONV_2D": 2}


def test_a_value_that_is_an_output_is_not_folded_away() -> None:
    g = Graph()
    inner = conv(g, g.map())
    count = check(g.model(inner, g.add("Relu", inner)))
    assert count == {"CONV_2D": 2, "ADD": 1}  # the clamp stands alone, as a sum with zero


def test_hard_swish_has_its_sixth_in_the_next_convolution() -> None:
    g = Graph()
    x = g.map()
    count = check(g.model(conv(g, g.add("HardSwish", x))))
    assert count == {"CONV_2D": 2, "ADD": 1, "MUL": 1}


def test_a_factor_goes_through_a_gate_into_all_that_reads_it() -> None:
    g = Graph()
    x = g.add("HardSwish", g.map())
    gate = g.add("Sigmoid", g.add("Conv", g.add("GlobalAveragePool", x), g.normal(8, 8, 1, 1)))
    count = check(g.model(conv(g, g.add("Mul", x, gate))))
    assert count["MUL"] == 2  # the activation's product and the gate's


def test_a_factor_that_an_output_shows_stays() -> None:
    g = Graph()
    x = g.add("HardSwish", g.map())
    assert check(g.model(x, conv(g, x)))["MUL"] == 2


def shuffle(g: Graph, x: Any) -> Any:
    parts = g.add("Reshape", x, g.const([1, 2, 4, 12, 10], np.int64))
    turned = g.add("Transpose", parts, perm=[0, 2, 1, 3, 4])
    return g.add("Reshape", turned, g.const([1, 8, 12, 10], np.int64))


def test_shuffles_cost_one_transposition() -> None:
    g = Graph()
    count = check(g.model(conv(g, shuffle(g, g.add("Concat", g.map(4), g.map(4), axis=1)))))
    assert count == {"CONV_2D": 3, "CONCATENATION": 1, "RESHAPE": 2, "TRANSPOSE": 1}


def test_shuffles_behind_a_layer_cost_nothing() -> None:
    g = Graph()
    assert check(g.model(conv(g, shuffle(g, g.add("Relu", g.map()))))) == {"CONV_2D": 2}


def test_transpositions_of_a_channels_last_block_fall_out() -> None:
    g = Graph()
    last = g.add("Transpose", g.map(), perm=[0, 2, 3, 1])
    dense = g.add("Add", g.add("MatMul", last, g.normal(8, 8)), g.normal(8))
    count = check(g.model(g.add("Transpose", g.add("Relu", dense), perm=[0, 3, 1, 2])))
    assert count == {"CONV_2D": 1, "FULLY_CONNECTED": 1}


def test_a_clamp_behind_a_concat_is_the_end_of_its_parts() -> None:
    g = Graph()
    x = g.map()
    joined = g.add("Concat", conv(g, x), conv(g, x), axis=1)
    assert check(g.model(g.add("Relu", joined))) == {"CONV_2D": 3, "CONCATENATION": 1}


def test_a_pad_is_part_of_the_convolution_behind_it() -> None:
    g = Graph()
    padded = g.add("Pad", g.map(), g.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    count = check(g.model(g.add("Conv", padded, g.normal(8, 8, 3, 3))))
    assert count == {"CONV_2D": 2}


def test_no_relu_is_left_where_xnnpack_has_none_in_int8() -> None:
    g = Graph()
    x = g.map()
    total = g.add("Add", x, g.add("Sigmoid", x))
    enlarged = g.add("Resize", total, g.const([], np.float32), g.const([1, 1, 2, 2], np.float32), mode="nearest",
                     coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    count = check(g.model(g.add("Relu", enlarged), total))
    assert not {"RELU", "RELU6", "RESIZE_NEAREST_NEIGHBOR"} & set(count)


def test_very_many_copies_are_one_operator() -> None:
    g = Graph()
    line = g.add("ReduceMean", g.map(), axes=[2, 3], keepdims=0)
    assert check(g.model(g.add("Tile", line, g.const([1, 500], np.int64))))["TILE"] == 1


def test_the_same_work_is_done_once() -> None:
    g = Graph()
    x = g.map()
    count = check(g.model(g.add("Add", g.add("Sigmoid", x), g.add("Mul", x, g.add("Sigmoid", x)))))
    assert count == {"CONV_2D": 1, "LOGISTIC": 1, "MUL": 1, "ADD": 1}


def tokens(g: Graph) -> Any:
    rows = g.add("Reshape", g.map(), g.const([1, 8, 120], np.int64))
    return g.add("Transpose", rows, perm=[0, 2, 1])


def layer_norm(g: Graph, x: Any) -> Any:
    return g.add("LayerNormalization", x, g.normal(8), g.normal(8))


def test_what_a_layer_norm_multiplies_and_adds_is_part_of_the_layers_behind_it() -> None:
    g = Graph()
    x = layer_norm(g, tokens(g))
    a, b = (g.add("MatMul", x, g.normal(8, 6)) for _ in range(2))
    count = check(g.model(g.add("Mul", a, b)))
    assert count == {
        "CONV_2D": 1, "RESHAPE": 1, "MEAN": 2, "SUB": 1, "MUL": 3, "ADD": 1, "RSQRT": 1, "FULLY_CONNECTED": 2,
    }  # fmt: skip


def test_a_layer_norm_that_a_sum_reads_too_keeps_what_it_adds() -> None:
    g = Graph()
    x = layer_norm(g, tokens(g))
    count = check(g.model(g.add("Add", x, g.add("MatMul", x, g.normal(8, 8)))))
    assert (count["MUL"], count["ADD"]) == (3, 3)


@pytest.mark.parametrize(("pads", "folded"), [([0, 0, 0, 0], True), ([1, 1, 1, 1], False)])
def test_a_batch_norm_is_part_of_a_convolution_behind_it_that_pads_nothing(
    pads: list[int], folded: bool
) -> None:
    g = Graph()
    x = norm(g, g.add("Tanh", g.map()))
    y = g.add("Conv", x, g.normal(4, 8, 3, 3), pads=pads)
    count = check(g.model(y))
    assert count == {"CONV_2D": 2, "TANH": 1} | ({} if folded else {"DEPTHWISE_CONV_2D": 1})


def test_a_batch_norm_before_groups_stays() -> None:
    g = Graph()
    x = norm(g, g.add("Tanh", g.map()))
    count = check(g.model(g.add("Conv", x, g.normal(4, 4, 1, 1), group=2)))
    assert count == {"CONV_2D": 2, "TANH": 1, "DEPTHWISE_CONV_2D": 1}


def test_a_normalisation_in_three_steps_is_one_operator_without_a_quotient() -> None:
    g = Graph(size=(12, 12))
    x = g.add("Div", "image", g.const(255.0))
    x = g.add("Div", g.add("Sub", x, g.positive(1, 3, 1, 1)), g.positive(1, 3, 1, 1))
    y = g.add("Conv", x, g.normal(8, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2])
    assert check(g.model(y), (12, 12)) == {"DEPTHWISE_CONV_2D": 1, "PAD": 1, "CONV_2D": 1}


def test_factors_of_both_operands_of_a_product_are_one() -> None:
    g = Graph()
    heads = [
        g.add(
            "Mul",
            g.add(
                "Transpose", g.add("Reshape", tokens(g), g.const([1, 120, 2, 4], np.int64)), perm=[0, 2, 1, 3]
            ),
            g.const(factor),
        )
        for factor in (0.5, 0.7)
    ]
    count = check(g.model(g.add("MatMul", heads[0], g.add("Transpose", heads[1], perm=[0, 1, 3, 2]))))
    assert (count["BATCH_MATMUL"], count["MUL"]) == (1, 1)


def test_constants_that_are_added_in_a_row_are_one_and_zeros_and_ones_none() -> None:
    g = Graph()
    x = g.add("Add", g.add("Add", tokens(g), g.normal(1, 120, 8)), g.normal(1, 1, 8))
    x = g.add("Mul", g.add("Add", x, g.const(np.zeros((1, 1, 8)))), g.const(np.ones((1, 1, 8))))
    assert check(g.model(g.add("Tanh", x))) == {"CONV_2D": 1, "RESHAPE": 1, "ADD": 1, "TANH": 1}


@pytest.mark.parametrize("groups", [1, 4])
def test_a_group_norm_by_instance_norms_moves_no_axes(groups: int) -> None:
    g = Graph()
    x = conv(g, g.map())
    rows = g.add("Reshape", x, g.const([0, groups, -1], np.int64))
    unit = g.add("InstanceNormalization", rows, g.positive(groups), g.normal(groups))
    back = g.add("Reshape", unit, g.const([1, 8, 12, 10], np.int64))
    y = g.add("Add", g.add("Mul", back, g.normal(8, 1, 1)), g.normal(8, 1, 1))
    count = check(g.model(conv(g, y)))
    assert count["TRANSPOSE"] == 0
    assert count["RSQRT"] == 1


def pixel_shuffle(g: Graph, x: Any) -> Any:
    return g.add("DepthToSpace", x, blocksize=2, mode="CRD")


@pytest.mark.parametrize("kind", ["Relu", "HardSigmoid"])
def test_a_pixel_shuffle_behind_a_layer_moves_no_channels(kind: str) -> None:
    g = Graph()
    count = check(g.model(g.add(kind, pixel_shuffle(g, conv(g, g.map())))))
    assert (count["TRANSPOSE"], count["RESHAPE"]) == (0, 0)


def test_a_pixel_shuffle_behind_groups_or_with_another_reader_moves_them() -> None:
    for groups in (1, 2):
        g = Graph()
        x = g.add("Conv", g.map(), g.normal(8, 8 // groups, 3, 3), pads=[1] * 4, group=groups)
        outputs = [pixel_shuffle(g, x)] + ([x] if groups == 1 else [])
        assert check(g.model(*outputs))["TRANSPOSE"] == 1
