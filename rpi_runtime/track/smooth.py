"""The one-euro filter on keypoints: still when a person stands, quick when a person moves.

Casiez, Roussel, Vogel: "1 euro filter: a simple speed-based low-pass filter for noisy input in interactive
systems", CHI 2012, algorithms 1 and 2. Each coordinate is filtered on its own; speeds are in person
sizes per second, so that the settings hold for every resolution and distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import UsageError

NANOSECONDS = 1e-9
NEVER_NS = np.iinfo(np.int64).min // 2  # half, so that differences do not overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothSpec:
    """Settings of the filter.

    Attributes
    ----------
    min_cutoff_hz : float
        Cut-off for a point at rest. Lower values reduce jitter and increase lag.
    beta : float
        Increase of the cut-off in Hz per unit of speed (person sizes per second). Higher values reduce lag.
    speed_cutoff_hz : float
        Cut-off of the speed estimate; 1 Hz in the paper.
    forget_ms : int
        A point not seen for this long starts afresh.
    """

    min_cutoff_hz: float = 0.5
    beta: float = 3.0
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
    """The filter for the keypoints of several people at once.

    Parameters
    ----------
    keypoints : int
        Number of keypoints per person.
    spec : SmoothSpec
    """

    def __init__(self, keypoints: int, spec: SmoothSpec) -> None:
        self.spec = spec
        self._points = np.zeros((0, keypoints, 2))
        self._speeds = np.zeros((0, keypoints, 2))
        self._seen_ns = np.zeros((0, keypoints), np.int64)

    def keep(self, rows: NDArray[np.intp], new: int) -> None:
        """Keep only the people in `rows`, in that order, and add `new` people without history."""
        added = (new, *self._points.shape[1:])
        self._points = np.concatenate([self._points[rows], np.zeros(added)])
        self._speeds = np.concatenate([self._speeds[rows], np.zeros(added)])
        never = np.full(added[:2], NEVER_NS, np.int64)
        self._seen_ns = np.concatenate([self._seen_ns[rows], never])

    def __call__(
        self,
        rows: NDArray[np.intp],
        keypoints: NDArray[np.float32],
        timestamp_ns: int,
        sizes: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """Filter one frame's keypoints.

        Parameters
        ----------
        rows : ndarray, shape (N,), int
            The person that each set of keypoints belongs to; each row at most once.
        keypoints : ndarray, shape (N, K, 3), float32
            x, y, score. Keypoints with score 0 are missing: they stay (0, 0, 0) and do not change the filter.
        timestamp_ns : int
            A timestamp that is not after the last one starts the filter afresh.
        sizes : ndarray, shape (N,)
            The people's sizes in pixels.

        Returns
        -------
        ndarray, shape (N, K, 3), float32
            A new array; scores are unchanged.
        """
        found = keypoints[..., 2] > 0
        seen_ns = self._seen_ns[rows]
        elapsed_ns = timestamp_ns - seen_ns
        known = found & (elapsed_ns > 0) & (elapsed_ns <= self.spec.forget_ms * 1_000_000)
        seconds = np.where(known, elapsed_ns, 1)[..., None] * NANOSECONDS
        points, speeds = self._advance(rows, keypoints[..., :2], seconds, sizes)
        known, found = known[..., None], found[..., None]
        points = np.where(known, points, keypoints[..., :2])
        self._points[rows] = np.where(found, points, self._points[rows])
        self._speeds[rows] = np.where(known, speeds, np.where(found, 0, self._speeds[rows]))
        self._seen_ns[rows] = np.where(found[..., 0], timestamp_ns, seen_ns)
        smooth = keypoints.copy()
        np.copyto(smooth[..., :2], points, where=found, casting="same_kind")
        return smooth

    def _advance(
        self,
        rows: NDArray[np.intp],
        points: NDArray[np.float32],
        seconds: NDArray[np.float64],
        sizes: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Algorithm 1 of the paper: the new points and speeds."""
        spec, old = self.spec, self._points[rows]
        moved = points - old
        old_speed = self._speeds[rows]
        speed = old_speed + _alpha(spec.speed_cutoff_hz, seconds) * (moved / seconds - old_speed)
        cutoff = spec.min_cutoff_hz + spec.beta * np.abs(speed) / np.maximum(sizes, 1)[:, None, None]
        return old + _alpha(cutoff, seconds) * moved, speed


def _alpha(cutoff_hz: float | NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of the new value: ``1 / (1 + tau / T)`` with ``tau = 1 / (2 pi f)``."""
    turns = (2 * np.pi * cutoff_hz) * seconds
    weight: NDArray[np.float64] = turns / (turns + 1)
    return weight
