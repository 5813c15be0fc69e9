"""Parts of a network are cut out with what they read, and timed against the whole."""

from __future__ import annotations

import numpy as np
import pytest

from quant.cost import cut_out, least_times, share_of_time
from quant.tflite.records import Model, Tensor
from tests.quant.toynetwork import Builder, images, network, quantized, run


@pytest.fixture(scope="module")
def model() -> Model:
    return quantized(network()).model


def test_a_part_reads_what_the_rest_made_and_gives_what_it_gave(model: Model) -> None:
    first, *others = model.operators
    head, tail = cut_out(model, {first}), cut_out(model, set(others))
    assert [op.name for op in tail.operators] == [op.name for op in others]
    assert list(tail.inputs.values()) == first.outputs
    image = next(images())
    (value,) = run(head, image).values()
    found = {v.shape: v for v in run(tail, value).values()}
    for whole in run(model, image).values():
        np.testing.assert_array_equal(found[whole.shape], whole)


def test_shares_of_time(model: Model) -> None:
    assert share_of_time(model, set()) == 0
    assert 0 < share_of_time(model, {model.operators[0]}, repeats=5) < 1.5


def test_the_parts_shares_add_up_to_about_all() -> None:
    body = quantized(network(wide)).model
    total = sum(share_of_time(body, {op}, repeats=30) for op in body.operators)
    assert 0.6 < total < 1.6


def wide(builder: Builder, x: Tensor) -> Tensor:
    """Convolutions that take long enough to be timed one by one."""
    return builder.conv(builder.conv(x, 256, scale=0.1), 8, scale=0.1)


def test_runs_are_in_turn_and_the_first_does_not_count() -> None:
    order: list[str] = []

    class Standin:
        def __init__(self, name: str) -> None:
            self.name = name

        def invoke(self) -> None:
            order.append(self.name)

    assert len(least_times([Standin("a"), Standin("b")], 2)) == 2
    assert order == ["a", "b"] * 3
