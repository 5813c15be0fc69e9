"""Islands of float: tables for one function, chains for what INT8 has no sound kernel for; the rest stays INT8."""

from __future__ import annotations

import numpy as np
import pytest

from quant.floats import LARGEST_SHARE, find_islands, share_in_float
from quant.judge.gate import check_floats
from quant.tflite.records import Model, Tensor
from tests.quant.toynetwork import Builder, delegation, error, network, quantized


def attention(builder: Builder, x: Tensor) -> Tensor:
    """The weighted mean over positions, added to all positions."""
    for _ in range(4):  # so that the chain is a small part of the network
        x = builder.conv(x, 8, size=1, activation="RELU", scale=0.3)
    axes = builder.constant(np.int32([1, 2]))
    small = builder.conv(x, 4, size=1)
    flat = (1, x.shape[1] * x.shape[2], 4)
    logits = builder.op("RESHAPE", [small, builder.constant(np.int32(flat))], flat)
    weights = builder.same("SOFTMAX", logits, beta=1.0)
    back = builder.op("RESHAPE", [weights, builder.constant(np.int32(small.shape))], small.shape)
    mean = builder.op("MEAN", [builder.same("MUL", back, small), axes], (1, 1, 1, 4), keep_dims=True)
    return builder.op("ADD", [x, builder.conv(mean, 8, size=1)], x.shape)


def test_a_hard_swish_becomes_a_table_in_the_one_partition() -> None:
    real = network(lambda b, x: b.same("HARD_SWISH", b.conv(x, 8)))
    made = quantized(real).model
    (island,) = find_islands(made)
    assert (island.kind, island.operations) == ("table", ("HARD_SWISH",))
    assert island.kind != "layers"
    counts = made.count_operators()
    assert (counts["DEQUANTIZE"], counts["HARD_SWISH"], counts["QUANTIZE"]) == (1, 1, 1)
    found = delegation(made)
    assert (found.partitions, found.fell_back) == (1, ())
    assert error(real, made) < 0.05


@pytest.fixture(scope="module")
def attending() -> tuple[Model, Model]:
    real = network(attention)
    return real, quantized(real).model


def test_a_softmax_is_computed_in_float_and_not_the_sum_of_the_whole_map_behind_it(
    attending: tuple[Model, Model],
) -> None:
    (chain,) = find_islands(attending[1])
    assert chain.kind != "layers"
    assert "SOFTMAX" in chain.operations
    assert not {"CONV_2D", "ADD"} & set(chain.operations)
    assert delegation(attending[1]).partitions == 1
    assert error(*attending) < 0.05


def test_every_float_tensor_lies_between_conversions(attending: tuple[Model, Model]) -> None:
    for op in attending[1].operators:
        tensors = [t for t in (*op.inputs, *op.outputs) if t is not None]
        types = {t.dtype.name for t in tensors} - {"int32"}
        assert types == {"int8", "float32"} if op.name in ("QUANTIZE", "DEQUANTIZE") else len(types) == 1


@pytest.mark.parametrize("name", ["ELU", "LOGISTIC"])
def test_what_int8_has_stays_int8(name: str) -> None:
    assert find_islands(quantized(network(lambda b, x: b.same(name, x))).model) == []


def test_functions_in_a_row_are_one_table() -> None:
    def body(builder: Builder, x: Tensor) -> Tensor:
        return builder.same("LOG", builder.same("LOGISTIC", builder.same("ABS", builder.conv(x, 8))))

    real = network(body)
    made = quantized(real).model
    (island,) = find_islands(made)
    assert (island.kind, island.operations) == ("table", ("ABS", "LOGISTIC", "LOG"))
    assert check_floats(made)[0].passed
    assert delegation(made).partitions == 1
    assert error(real, made) < 0.05


def test_a_function_whose_argument_others_read_is_a_table_alone() -> None:
    def body(builder: Builder, x: Tensor) -> Tensor:
        gate = builder.same("LOGISTIC", builder.conv(x, 8))
        return builder.same("ADD", gate, builder.same("LOG", gate))

    (island,) = find_islands(quantized(network(body)).model)
    assert (island.kind, island.operations) == ("table", ("LOG",))


def normalised(builder: Builder, x: Tensor) -> Tensor:
    """Layer norm over the channels, and what the branch adds to its input, as transformers have it."""
    axes = builder.constant(np.int32([3]))
    narrow = (*x.shape[:3], 1)
    mean = builder.op("MEAN", [x, axes], narrow, keep_dims=True)
    centred = builder.same("SUB", x, mean)
    variance = builder.op("MEAN", [builder.same("MUL", centred, centred), axes], narrow, keep_dims=True)
    above = builder.same("ADD", variance, builder.constant(np.float32(1e-5)))
    done = builder.same("MUL", centred, builder.same("RSQRT", above))
    scaled = builder.same("MUL", done, builder.constant(builder.draw.normal(1, 0.2, 8).astype(np.float32)))
    gate = builder.same("LOGISTIC", builder.conv(builder.op("MEAN", [scaled, builder.constant(np.int32([1, 2]))],
                                                            (1, 1, 1, 8), keep_dims=True), 8, size=1))  # fmt: skip
    return builder.same("ADD", x, builder.conv(builder.same("MUL", scaled, gate), 8))


def test_a_norm_is_a_chain_from_its_mean_to_its_weights_and_neither_gates_nor_sums_behind_it() -> None:
    real = network(lambda b, x: normalised(b, normalised(b, x)))
    made = quantized(real).model
    islands = find_islands(made)
    # the mean over positions, which the gate is made of, is computed from the norm alone
    assert [sorted(i.operations) for i in islands] == [
        ["ADD", "MEAN", "MEAN", "MEAN", "MUL", "MUL", "MUL", "RSQRT", "SUB"]
    ] * 2
    assert delegation(made).partitions == 1
    assert error(real, made) < 0.06


def heads(builder: Builder, x: Tensor) -> Tensor:
    """Attention between all positions, two heads of four channels."""
    _, height, width, _ = x.shape
    count = height * width

    def split(tensor: Tensor) -> Tensor:
        parts = builder.op(
            "RESHAPE", [tensor, builder.constant(np.int32([1, count, 2, 4]))], (1, count, 2, 4)
        )
        return builder.op("TRANSPOSE", [parts, builder.constant(np.int32([0, 2, 1, 3]))], (1, 2, count, 4))

    query, key, value = (split(builder.conv(x, 8, size=1)) for _ in range(3))
    scores = builder.op("BATCH_MATMUL", [query, key], (1, 2, count, count), adj_y=True)
    mixed = builder.op("BATCH_MATMUL", [builder.same("SOFTMAX", scores, beta=1.0), value], (1, 2, count, 4))
    turned = builder.op("TRANSPOSE", [mixed, builder.constant(np.int32([0, 2, 1, 3]))], (1, count, 2, 4))
    return builder.op("RESHAPE", [turned, builder.constant(np.int32(x.shape))], x.shape)


def test_attention_is_a_chain_between_its_products_and_positions_are_arranged_in_bytes() -> None:
    real = network(heads)
    made = quantized(real).model
    (island,) = find_islands(made)
    assert island.operations == ("BATCH_MATMUL", "SOFTMAX", "BATCH_MATMUL")
    found = delegation(made)
    assert (found.partitions, found.fell_back) == (1, ())
    assert error(real, made) < 0.05


def test_chains_that_take_most_of_the_predicted_time_are_refused() -> None:
    def body(builder: Builder, x: Tensor) -> Tensor:
        for _ in range(6):
            ones = builder.same("ADD", builder.same("ABS", x), builder.constant(np.float32(1)))
            x = builder.op("DIV", [x, ones], x.shape)
        return x

    made = quantized(network(body)).model
    islands = find_islands(made)
    assert all(island.kind != "layers" for island in islands)
    assert share_in_float(islands) > LARGEST_SHARE
    (check,) = check_floats(made)
    assert not check.passed
    assert "of the time predicted on a Raspberry Pi 4" in check.found


def test_the_predicted_share_is_the_same_each_time() -> None:
    made = quantized(network(attention)).model
    assert share_in_float(find_islands(made)) == share_in_float(find_islands(made))
