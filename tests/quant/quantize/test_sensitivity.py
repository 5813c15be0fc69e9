"""Ranges by what errors cost the outputs: large values that matter stay, an empty image sets nothing."""

from __future__ import annotations

import numpy as np
import pytest

from quant.quantize.ranges import Range
from quant.quantize.sensitivity import Sensitivity, least_cost, measure_sensitivity
from quant.tflite.records import Tensor
from tests.quant.toynetwork import images, network


def test_an_image_on_which_the_outputs_are_nearly_empty_does_not_cut_off_the_others() -> None:
    model = network()
    for op in model.operators:  # without biases a faint image gives faint outputs
        assert op.inputs[2] is not None
        assert op.inputs[2].data is not None
        op.inputs[2].data = np.zeros_like(op.inputs[2].data)
    full = list(images(3))
    faint = full[0] * np.float32(1e-3)
    output = model.outputs["fields"]
    whole = Range(low=-10.0, high=10.0)
    plain, mixed = (
        least_cost([measure_sensitivity(model, chosen).values[output]], whole)
        for chosen in (full, [*full, faint])
    )
    assert (mixed.low, mixed.high) == pytest.approx((plain.low, plain.high), rel=0.1)


def _sensitivity(*factors: float) -> tuple[Sensitivity, Tensor]:
    """Of one tensor on images of equal values, (1, 8, 8, 4), each with a factor of what errors cost."""
    draw = np.random.default_rng(0)
    tensor = Tensor(name="values", shape=(1, 8, 8, 4))
    found = Sensitivity()
    for factor in factors:
        values = draw.normal(size=(1, 8, 8, 4)).astype(np.float32)
        found.add(tensor, values, np.float32(factor) * draw.uniform(0.5, 1, values.shape).astype(np.float32))
    found.bound()
    return found, tensor


def test_one_image_at_an_edge_does_not_outweigh_all_others() -> None:
    found, tensor = _sensitivity(*np.linspace(0.5, 1.5, 23), 1e4)
    parts = np.array([c.sum() for c in found.values[tensor].costs])
    assert parts[-1] == pytest.approx(3 * np.median(parts), rel=0.1)
    places = np.array([p.sum() for p in found.places[tensor]])
    np.testing.assert_allclose(places, parts, rtol=1e-4)


def test_images_of_nobody_do_not_take_the_weight_from_those_with_people() -> None:
    found, tensor = _sensitivity(*[1e-4] * 5, *[1.0] * 3)
    parts = np.array([c.sum() for c in found.values[tensor].costs])
    assert parts[-3:].sum() / parts.sum() > 0.99


def test_usual_differences_between_images_stay() -> None:
    factors = np.array([0.5, 0.7, 1, 1, 1, 1.5, 2, 3])
    found, tensor = _sensitivity(*factors)
    parts = np.array([c.sum() for c in found.values[tensor].costs])
    np.testing.assert_allclose(parts / parts[2], factors, rtol=0.1)


def test_a_tensor_that_only_one_image_knows_keeps_its_costs() -> None:
    alone, other = _sensitivity(1.0)
    found, tensor = _sensitivity(1.0, *[0.0] * 7)
    np.testing.assert_array_equal(found.values[tensor].costs[0], alone.values[other].costs[0])
