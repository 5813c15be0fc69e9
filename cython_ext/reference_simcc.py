"""The NumPy oracle of the SimCC kernel: the definition of what it must return, bit for bit.

A network of crops gives for each keypoint two distributions, over the crop's columns and over its rows, finer than
pixels (SimCC, Li 2021, arXiv:2107.03332). The position is where each is largest; the value is the smaller of the two
largest numbers, as RTMPose (arXiv:2303.07399) publishes it, or of their probabilities.
"""

from __future__ import annotations

import numpy as np

from cython_ext.activations import softmax_table
from cython_ext.reference import dequantize
from cython_ext.rules import Quantized, SimccRules
from cython_ext.simcc import check_axes
from cython_ext.specs import Floats
from cython_ext.tables import power2

LOG2_E = np.float32(1.4426950408889634)
LEAST_EXPONENT = np.float32(-40)


def find_simcc(across: Quantized, down: Quantized, rules: SimccRules) -> Floats:
    """Find keypoints, as `cython_ext.simcc.SimccFinder` does; (K, 3) bin along x, bin along y, value."""
    check_axes(across, down, rules)
    points = np.zeros((rules.keypoints, 3), np.float32)
    for k in range(rules.keypoints):
        axes = [(_real(bins, k), bins) for bins in (across, down)]
        if not all(np.isfinite(real).any() for real, _ in axes):
            continue
        best = [int(np.where(np.isfinite(real), real, -np.inf).argmax()) for real, _ in axes]
        values = [real[i] for (real, _), i in zip(axes, best, strict=True)]
        if rules.softmax:
            values = [_probability(bins, k, i) for (_, bins), i in zip(axes, best, strict=True)]
        points[k] = *best, min(values)
    return points


def _real(bins: Quantized, k: int) -> Floats:
    return dequantize(bins.values[k], bins.scale, bins.zero_point)


def _probability(bins: Quantized, k: int, best: int) -> np.float32:
    """The largest number's part in a softmax: its weight is 1; summed one after the other."""
    stored = bins.values[k]
    if stored.dtype == np.int8:
        weights = softmax_table(bins.scale)[stored[best].astype(np.intp) - stored]
    else:
        with np.errstate(all="ignore"):
            t = (stored - stored[best]) * LOG2_E
        near = (t > LEAST_EXPONENT) & (t <= 0)
        weights = np.where(near, power2(np.where(near, t, np.float32(0))), np.float32(0))
    total: np.float32 = np.cumsum(weights, dtype=np.float32)[-1]
    return np.float32(1) / total
