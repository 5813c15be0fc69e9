"""The people whom the tracker knows: where each was last, how fast, and where each is expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.track.smooth import NANOSECONDS, NEVER_NS

T = TypeVar("T", np.int64, np.float64)

VELOCITY_GAIN = 0.5  # part of a new speed in the smoothed one


@dataclass(slots=True, kw_only=True)
class TrackedPeople:
    """The state of all tracks, one row per person."""

    ids: NDArray[np.int64]  # (P,)
    ages: NDArray[np.int64]  # (P,), -1 before the first pose
    seen_ns: NDArray[np.int64]  # (P,)
    scales: NDArray[np.float64]  # (P,), pixels
    velocities: NDArray[np.float64]  # (P, 2), pixels per second
    points: NDArray[np.float64]  # (P, K, 2), where each keypoint was at `seen_ns`
    points_seen_ns: NDArray[np.int64]  # (P, K)

    @classmethod
    def none(cls, keypoints: int) -> TrackedPeople:
        """Return the state before the first frame, for people of this many points."""
        return cls(
            ids=np.zeros(0, np.int64),
            ages=np.zeros(0, np.int64),
            seen_ns=np.zeros(0, np.int64),
            scales=np.zeros(0),
            velocities=np.zeros((0, 2)),
            points=np.zeros((0, keypoints, 2)),
            points_seen_ns=np.zeros((0, keypoints), np.int64),
        )

    def keep(self, rows: NDArray[np.intp], new: int) -> TrackedPeople:
        """Return the people in `rows`, followed by `new` people without history."""

        def cut(old: NDArray[T], fill: int = 0) -> NDArray[T]:
            return np.concatenate([old[rows], np.full((new, *old.shape[1:]), fill, old.dtype)])

        return TrackedPeople(
            ids=cut(self.ids),
            ages=cut(self.ages, -1),
            seen_ns=cut(self.seen_ns, NEVER_NS),
            scales=cut(self.scales),
            velocities=cut(self.velocities),
            points=cut(self.points),
            points_seen_ns=cut(self.points_seen_ns, NEVER_NS),
        )

    def predict(
        self, now_ns: int, velocity_fade_ms: int, keep_ns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the predicted keypoints, (P, K, 2), and whether each is known at all, (P, K)."""
        fade = velocity_fade_ms * 1e-3
        seconds = (now_ns - self.seen_ns) * NANOSECONDS
        travelled = fade * (1 - np.exp(-seconds / fade))  # integral of the fading velocity
        predicted = self.points + (self.velocities * travelled[:, None])[:, None]
        known: NDArray[np.bool_] = now_ns - self.points_seen_ns <= keep_ns
        return predicted, known

    def take(
        self,
        rows: NDArray[np.intp],
        keypoints: NDArray[np.float32],
        scales: NDArray[np.float64],
        now_ns: int,
        predicted: NDArray[np.float64],
        known: NDArray[np.bool_],
    ) -> None:
        """Update position, size and velocity from the poses of this frame."""
        found = keypoints[..., 2] > 0
        both = found & known[rows]
        points = keypoints[..., :2].astype(np.float64)
        seconds = np.maximum(now_ns - self.seen_ns[rows], 1) * NANOSECONDS
        moved = _median(points - self.points[rows], both)
        shared = both.any(axis=1)
        learn = VELOCITY_GAIN * (shared & (now_ns > self.seen_ns[rows]))
        self.velocities[rows] += learn[:, None] * (moved / seconds[:, None] - self.velocities[rows])
        # hidden keypoints move with the visible ones
        hidden = np.where(shared[:, None, None], self.points[rows] + moved[:, None], predicted[rows])  # type: ignore[index]
        self.points[rows] = np.where(found[..., None], points, hidden)
        self.points_seen_ns[rows] = np.where(found, now_ns, self.points_seen_ns[rows])
        self.scales[rows] = np.maximum(scales, 0.9 * self.scales[rows])
        self.seen_ns[rows] = now_ns
        self.ages[rows] += 1


def _median(values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the lower median over the valid keypoints, (N, K, 2) -> (N, 2); 0 where no keypoint is valid."""
    ordered = np.sort(np.where(valid[..., None], values, np.inf), axis=1)
    count = valid.sum(axis=1)
    middle = ordered[np.arange(len(values)), np.maximum(count - 1, 0) // 2]
    median: NDArray[np.float64] = np.where(count[:, None] > 0, middle, 0.0)
    return median
