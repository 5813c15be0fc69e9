"""Weights in float16: the file computes what float32 computes with rounded weights, however much that is."""

from __future__ import annotations

import numpy as np

from quant.quantize.halve import rounded_to_halves, to_halves
from quant.tflite.records import Model, Operator, Tensor
from quant.tflite.run import run_model


def cancelling() -> Model:
    """A 1x1 convolution of equal channels by weights that nearly cancel: rounded to halves, they cancel altogether."""
    image = Tensor(name="image", shape=(1, 4, 4, 16))
    found = Tensor(name="found", shape=(1, 4, 4, 2))
    values = np.tile(np.float32([1000.1, -1000.05]), 8)[None, None, None].repeat(2, axis=0)
    weights = Tensor.constant("weights", values)
    bias = Tensor.constant("bias", np.zeros(2, np.float32))
    conv = Operator(
        name="CONV_2D", inputs=[image, weights, bias], outputs=[found],
        options={"padding": "VALID", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1},
    )  # fmt: skip
    return Model(inputs={"image": image}, outputs={"found": found}, operators=[conv])


def test_halves_compute_what_the_rounded_network_computes() -> None:
    model = cancelling()
    image = np.ones((1, 4, 4, 16), np.float32)
    before, rounded, halves = (
        run_model(m, image)["found"] for m in (model, rounded_to_halves(model), to_halves(model))
    )
    np.testing.assert_allclose(before, 0.4, atol=1e-3)
    assert not rounded.any()  # 1000.1 and 1000.05 are both 1000 as halves
    np.testing.assert_array_equal(halves, rounded)


def test_the_network_itself_stays_as_it_is() -> None:
    model = cancelling()
    weights = model.operators[0].inputs[1]
    assert weights is not None
    assert weights.data is not None
    before = weights.data.copy()
    to_halves(model), rounded_to_halves(model)
    assert model.operators[0].inputs[1] is weights
    np.testing.assert_array_equal(weights.data, before)
