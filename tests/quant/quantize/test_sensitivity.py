"""Ranges by what errors cost the outputs: large values that matter stay, an empty image sets nothing."""

from __future__ import annotations

import numpy as np
import pytest

from quant.quantize.ranges import Range
from quant.quantize.sensitivity import least_cost, measure_sensitivity
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
