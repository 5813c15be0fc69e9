"""The tables that kernels and oracles share, against other implementations: a wrong one would fool both alike."""

from __future__ import annotations

import numpy as np
import pytest

from cython_ext.tables import LEAST_EXPONENT, cubic_weights, exp2, falling_weights, weight_table

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_cubic_weights_are_those_of_opencv(factor: int) -> None:
    """An impulse, enlarged by OpenCV's bicubic interpolation, shows the weight of its cell at every pixel near it."""
    impulse = np.zeros((1, 9), np.float32)
    impulse[0, 4] = 1
    response = cv2.resize(impulse, (9 * factor, 1), interpolation=cv2.INTER_CUBIC)[0]
    ours = np.zeros(9 * factor, np.float32)
    for pixel in range(9 * factor):
        first = int(np.floor((pixel + 0.5) / factor - 0.5)) - 1
        if 0 <= 4 - first < 4:
            ours[pixel] = cubic_weights(factor)[pixel % factor, 4 - first]
    np.testing.assert_allclose(ours, response, atol=2e-6)
    np.testing.assert_allclose(cubic_weights(factor).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("beta", [1.0, 10.0, 160.0])
@pytest.mark.parametrize("scale", [1 / 256, 0.02])
def test_falling_weights_are_exponentials(scale: float, beta: float) -> None:
    exact = np.exp(-beta * np.arange(256) * np.float64(np.float32(scale)))
    exact[exact < 2.0**LEAST_EXPONENT] = 0
    np.testing.assert_allclose(weight_table(scale, beta), exact, rtol=2e-5, atol=1e-12)


def test_weights_of_what_is_no_number_or_above_the_largest_are_zero() -> None:
    drops = np.array([np.nan, np.inf, -1.0, 0.0], np.float32)
    assert falling_weights(drops, 1.0).tolist() == [0, 0, 0, 1]


def test_exp2_is_double_precisions() -> None:
    x = np.linspace(0, 1, 1001, dtype=np.float32)
    np.testing.assert_allclose(exp2(x), 2 ** x.astype(np.float64), atol=1e-6)
