"""Tables that kernels and oracles share, so that neither imports the other.

`tests/cython_ext/test_tables.py` checks them against OpenCV and double precision.
"""

from __future__ import annotations

import numpy as np

from cython_ext.specs import Floats

LOG2_E = 1.4426950408889634
EXP2_POLYNOMIAL = np.array([0.693147568, 0.240207194, 0.0556570544, 0.0091993876, 0.00178836874])
LEAST_EXPONENT = -40.0


def cubic_weights(factor: int) -> Floats:
    """Weights of the four cells around each of the `factor` pixels of a cell, (factor, 4); Keys 1981."""
    centre = (np.arange(factor) + 0.5) / factor - 0.5
    x = (centre - np.floor(centre)).astype(np.float32)
    a, near, far = np.float32(-0.75), x, 1 - x
    weights = [
        ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a,
        ((a + 2) * near - (a + 3)) * near * near + 1,
        ((a + 2) * far - (a + 3)) * far * far + 1,
    ]
    weights.append(1 - weights[0] - weights[1] - weights[2])
    return np.asarray(np.stack(weights, axis=1), np.float32)


def weight_table(scale: float, beta: float) -> Floats:
    """Weight of a cell of int8 maps by how many steps it is below the largest, (256,)."""
    return falling_weights(np.arange(256, dtype=np.float32) * np.float32(scale), beta)


def power2(t: Floats) -> Floats:
    """2 to the power of t, for t from -126 to 0."""
    whole = np.floor(t)
    return np.asarray(np.ldexp(exp2(t - whole), whole.astype(np.int32)), np.float32)


def falling_weights(drop: Floats, beta: float | None) -> Floats:
    """``exp(-beta * drop)``; 0 where that is below 2 ** -40. Without beta `drop` counts powers of 2."""
    with np.errstate(all="ignore"):
        t = -drop if beta is None else drop * np.float32(-beta * LOG2_E)
        near = (t > np.float32(LEAST_EXPONENT)) & (t <= 0)
    return np.where(near, power2(np.where(near, t, np.float32(0))), np.float32(0))


def exp2(x: Floats) -> Floats:
    """2 to the power of x, for x clipped to 0..1, within 1e-6."""
    x = np.where(x < 1, np.where(x > 0, x, np.float32(0)), np.float32(1))
    c = EXP2_POLYNOMIAL.astype(np.float32)
    return np.asarray(((((c[4] * x + c[3]) * x + c[2]) * x + c[1]) * x + c[0]) * x + np.float32(1))
