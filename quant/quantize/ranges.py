"""From the values that a tensor takes to the grid of 256 steps that holds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.quantize.observe import Statistics
from quant.tflite.records import Quantization

STEPS = 255
LEAST = -128
TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From where to where a grid reaches; always over zero, which padding needs exactly."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= 0 <= self.high:
            raise ValueError(f"range {self.low}..{self.high}: expected one over zero")

    def grid(self) -> Quantization:
        """The grid whose steps fill the range, with zero on a step."""
        scale = max((self.high - self.low) / STEPS, TINY)
        zero = round(LEAST - self.low / scale)
        return Quantization.of(scale, int(np.clip(zero, LEAST, LEAST + STEPS)))


def extremes(found: list[Statistics]) -> Range:
    """From the least to the largest value of any image."""
    return Range(low=min(0.0, *(s.low for s in found)), high=max(0.0, *(s.high for s in found)))


def averages(found: list[Statistics]) -> Range:
    """From the mean of the images' least values to the mean of their largest: what most images reach."""
    low = min(0.0, *(s.low_sum / s.images for s in found))
    return Range(low=low, high=max(0.0, *(s.high_sum / s.images for s in found)))
