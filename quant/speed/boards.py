"""The speed of XNNPACK's kernels on a Raspberry Pi: four figures per board and type, fitted to published latencies.

The milliseconds of a network are

    convolution_macs / (convolution * threads) + depthwise_macs / (depthwise * threads)
    + traffic / bandwidth + operations * overhead

The threads share the memory, so traffic does not become faster with them. Traffic also stands for everything else that
does not run in parallel. `python -m tests.benchmarks.pi.fit` has the published figures, the fit, and its error; a test
compares the constants here with that fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.speed.work import Work

BOARDS = {"pi4": "Raspberry Pi 4", "pi5": "Raspberry Pi 5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """A board's figures for one type of values.

    Attributes
    ----------
    convolution, depthwise : float
        10^9 multiply-adds per second and thread.
    bandwidth : float
        10^9 bytes per second.
    overhead : float
        Microseconds per operation.
    factor : float
        Typical error of the fit: the root mean square of the logarithm of predicted over published, over families of
        networks that were left out of the fit one at a time. 1.2 means 20 %.
    """

    convolution: float
    depthwise: float
    bandwidth: float
    overhead: float
    factor: float

    def milliseconds(self, amounts: NDArray[np.float64], threads: int) -> float:
        """Return the time for `total` amounts of work."""
        dense, depthwise, traffic, operations = amounts
        return float(
            dense / (self.convolution * threads) / 1e6
            + depthwise / (self.depthwise * threads) / 1e6
            + traffic / self.bandwidth / 1e6
            + operations * self.overhead / 1e3
        )


def total(work: Sequence[Work]) -> NDArray[np.float64]:
    """Return multiply-adds of convolutions and of depthwise convolutions, bytes of traffic, number of operations."""
    dense = sum(w.macs for w in work if w.kernel == "convolution")
    depthwise = sum(w.macs for w in work if w.kernel == "depthwise")
    return np.array([dense, depthwise, sum(w.traffic for w in work), len(work)], np.float64)


# By board and "int8" or "float32"; the fit of 2026-11-29.
SPEEDS = {
    ("pi4", "float32"): Speed(convolution=2.99, depthwise=3.24, bandwidth=3.31, overhead=4.99, factor=1.16),
    ("pi4", "int8"): Speed(convolution=6.78, depthwise=2.36, bandwidth=3.3, overhead=5.07, factor=1.23),
    ("pi5", "float32"): Speed(convolution=16.1, depthwise=8.81, bandwidth=4.9, overhead=3.01, factor=1.45),
    ("pi5", "int8"): Speed(convolution=41.7, depthwise=5.95, bandwidth=7.2, overhead=3.36, factor=2.13),
}
