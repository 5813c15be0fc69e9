"""Signal to noise per layer, on the runtime tests' toys and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from quant.layers import _mean_db, _short, layer_noise
from quant.tflite.records import Operator, Tensor
from tests.quant.toynetwork import Builder, images, network, quantized


def test_decibels_are_the_mean_over_channels_that_carry_signal() -> None:
    signal = np.array([100.0, 1e6, 0.0], np.float32)
    noise = np.array([1.0, 1.0, 5.0], np.float32)
    assert _mean_db(signal, noise) == pytest.approx((20 + 60) / 2, rel=1e-6)
    assert _mean_db(np.zeros(2, np.float32), noise[:2]) == 0.0
    assert _mean_db(signal, np.zeros(3, np.float32)) == pytest.approx(100.0, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("model/tf.nn.relu_3/Relu;model/tf.math.add/Add;x", "relu_3"),
        ("model/tf.compat.v1.nn.conv2d/Conv2D", "conv2d"),
        ("serving_default_image:0", "serving_default_image:0"),
    ],
)
def test_short_names(name: str, short: str) -> None:
    assert _short(name) == short


def test_comparisons_and_places_are_left_out() -> None:
    def body(builder: Builder, x: Tensor) -> Tensor:
        high = Tensor(name="high", shape=x.shape, dtype=np.dtype(bool))
        half = builder.constant(np.full((1, 1, 1, 1), 0.5, np.float32))
        builder.operators.append(Operator(name="GREATER", inputs=[x, half], outputs=[high]))
        return builder.op("SELECT_V2", [high, x, half], x.shape)

    real = network(body)
    noise = layer_noise(real, quantized(real).model, images())
    assert "GREATER" not in {n.operation for n in noise}
    assert len(noise) >= 4


def test_a_network_against_itself_has_no_noise_and_against_int8_a_little() -> None:
    real = network()
    same = layer_noise(real, real, images())
    assert {n.operation for n in same} >= {"CONV_2D", "DEPTHWISE_CONV_2D"}
    assert all(n.snr_db == pytest.approx(100.0, abs=0.01) for n in same)
    noise = layer_noise(real, quantized(real).model, images())
    assert len(noise) >= 3
    assert all(20 < n.snr_db < 70 for n in noise)
