"""Islands of float: tables for one function, chains for what INT8 has no sound kernel for; the rest stays INT8."""

from __future__ import annotations

import numpy as np
import pytest

from quant.floats import LARGEST_SHARE, find_islands
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
    assert island.allowed
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
    assert chain.allowed
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


def test_a_chain_of_the_whole_map_is_named_and_not_allowed() -> None:
    made = quantized(network(lambda b, x: b.same("EXP", b.conv(x, 8, scale=0.05)))).model
    (island,) = find_islands(made)
    assert island.share > LARGEST_SHARE
    assert not island.allowed
