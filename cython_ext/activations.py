"""Tables of what an int8 becomes behind a network's last activation; kernels and their oracles read the same ones.

Made with NumPy's double precision; `tests/cython_ext/test_activations.py` checks them against other arithmetic.
"""

from __future__ import annotations

import numpy as np

from cython_ext.specs import Floats, dequantization_table

STEPS = 256


def logistic_table(scale: float, zero_point: int) -> Floats:
    """Return ``1 / (1 + exp(-real))`` for each int8, from -128; (256,) float32."""
    real = dequantization_table(scale, zero_point).astype(np.float64)
    decay = np.exp(-np.abs(real))
    return np.asarray(np.where(real >= 0, 1 / (1 + decay), decay / (1 + decay)), np.float32)


def softmax_table(scale: float) -> Floats:
    """Return ``exp(-scale * steps)``: a number's weight by how many steps it is below the largest; (256,) float32."""
    return np.asarray(np.exp(-np.float64(np.float32(scale)) * np.arange(STEPS)), np.float32)


def score_table(scale: float, zero_point: int, *, logits: bool) -> Floats:
    """Return the score of each int8: behind the logistic function where the network gives logits."""
    return logistic_table(scale, zero_point) if logits else dequantization_table(scale, zero_point)
