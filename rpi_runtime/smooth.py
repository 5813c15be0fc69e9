"""The one-euro filter on keypoints: still when a person stands, quick when a person moves.

Casiez, Roussel, Vogel: "1 euro filter: a simple speed-based low-pass filter for noisy input in interactive
systems", CHI 2012, algorithms 1 and 2. Each coordinate is filtered on its own; speeds are counted in person
sizes a second, so that the settings hold for every resolution and distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import UsageError

NANOSECONDS = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothSpec:
    """Settings of the filter.

    Attributes
    ----------
    min_cutoff_hz : float
        Cut-off for a point at rest: lower trembles less and lags more.
    beta : float
        Hz of cut-off gained per person size a second of speed: higher lags less.
    speed_cutoff_hz : float
        Cut-off of the speed estimate; 1 Hz in the paper.
    forget_ms : int
        A point not seen for this long starts afresh.
    """

    min_cutoff_hz: float = 1.0
    beta: float = 4.0
    speed_cutoff_hz: float = 1.0
    forget_ms: int = 300

    def __post_init__(self) -> None:
        if not (self.min_cutoff_hz > 0 and self.speed_cutoff_hz > 0 and self.beta >= 0):
            raise UsageError(
                f"smoothing min_cutoff_hz {self.min_cutoff_hz}, beta {self.beta}, speed_cutoff_hz "
                f"{self.speed_cutoff_hz}: expected cut-offs above 0 and beta at least 0"
            )
        if self.forget_ms < 0:
            raise UsageError(f"smoothing forget_ms {self.forget_ms}: expected 0 or more")


class OneEuro:
    """The filter for the keypoints of one person.

    Parameters
    ----------
    count : int
        Keypoints.
    spec : SmoothSpec
    """

    def __init__(self, count: int, spec: SmoothSpec) -> None:
        self.spec = spec
        self._point = np.zeros((count, 2), np.float64)
        self._speed = np.zeros((count, 2), np.float64)
        self._seen_ns = np.full(count, np.iinfo(np.int64).min // 2, np.int64)

    def __call__(self, keypoints: NDArray[np.float32], timestamp_ns: int, size: float) -> NDArray[np.float32]:
        """Filter one frame's keypoints.

        Parameters
        ----------
        keypoints : ndarray, shape (K, 3), float32
            x, y, score; rows with score 0 are missing, stay (0, 0, 0) and leave the filter as it is.
        timestamp_ns : int
            A timestamp that is not after the last one starts the filter afresh.
        size : float
            The person's size in pixels.

        Returns
        -------
        ndarray, shape (K, 3), float32
            A new array; scores are unchanged.
        """
        found = keypoints[:, 2] > 0
        elapsed_ns = timestamp_ns - self._seen_ns
        known = found & (elapsed_ns > 0) & (elapsed_ns <= self.spec.forget_ms * 1_000_000)
        fresh = found & ~known
        self._point[fresh] = keypoints[fresh, :2]
        self._speed[fresh] = 0
        if known.any():
            self._advance(known, keypoints[known, :2], elapsed_ns[known, None] * NANOSECONDS, size)
        self._seen_ns[found] = timestamp_ns
        smooth = keypoints.copy()
        smooth[found, :2] = self._point[found]
        return smooth

    def _advance(
        self, rows: NDArray[np.bool_], points: NDArray[np.float32], seconds: NDArray[np.float64], size: float
    ) -> None:
        """Algorithm 1 of the paper for the rows that have a past."""
        spec = self.spec
        speed = (points - self._point[rows]) / seconds
        speed = _low_pass(speed, self._speed[rows], seconds, spec.speed_cutoff_hz)
        cutoff = spec.min_cutoff_hz + spec.beta * np.abs(speed) / max(size, 1.0)
        self._speed[rows] = speed
        self._point[rows] = _low_pass(points, self._point[rows], seconds, cutoff)


def _low_pass(
    new: NDArray[np.float32] | NDArray[np.float64],
    old: NDArray[np.float64],
    seconds: NDArray[np.float64],
    cutoff_hz: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Exponential smoothing: ``alpha = 1 / (1 + tau / T)`` with ``tau = 1 / (2 pi f)``."""
    alpha = 1 / (1 + 1 / (2 * np.pi * cutoff_hz * seconds))
    mixed: NDArray[np.float64] = old + alpha * (new - old)
    return mixed
