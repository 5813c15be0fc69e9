"""Ids that stay with people from frame to frame.

Each track predicts where its keypoints are now: the last place where each was seen, moved on by the person's
velocity, which fades while the person is out of sight. Poses and tracks are paired by object keypoint
similarity (OKS, cocodataset.org/#keypoints-eval), best pair first. A track without a pose lives on for a
while, so that a person who was hidden gets the old id back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.card import Skeleton
from rpi_runtime.errors import UsageError
from rpi_runtime.poses import Pose, Track
from rpi_runtime.smooth import NANOSECONDS, OneEuro, SmoothSpec

DEFAULT_SIGMA = 0.072  # mean of COCO's 17
# COCO takes 0.53 of the box for a person's area; sqrt(0.53 * 0.4) of the height for one 0.4 times as wide.
SCALE_OF_LONG_SIDE = 0.46
FEWEST_SHARED = 3  # fewer keypoints in common count as if the rest were unlike


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSpec:
    """Settings of the tracker.

    Attributes
    ----------
    min_oks : float
        A pose and a track less alike than this are not paired.
    tolerance : float
        Factor on COCO's sigmas, which describe how well annotators agree and not how far people move.
    keep_ms : int
        A person out of sight for longer gets a new id.
    velocity_fade_ms : int
        Time constant with which the velocity of a person out of sight fades.
    """

    min_oks: float = 0.2
    tolerance: float = 2.0
    keep_ms: int = 1000
    velocity_fade_ms: int = 300

    def __post_init__(self) -> None:
        if not 0 < self.min_oks < 1:
            raise UsageError(f"tracking min_oks {self.min_oks}: expected above 0 and below 1")
        if self.tolerance <= 0 or self.keep_ms < 0 or self.velocity_fade_ms < 1:
            raise UsageError(
                f"tracking tolerance {self.tolerance}, keep_ms {self.keep_ms}, velocity_fade_ms "
                f"{self.velocity_fade_ms}: expected above 0, at least 0, at least 1"
            )


class Tracker:
    """Follow people; optionally smooth their keypoints.

    Parameters
    ----------
    skeleton : Skeleton
    spec : TrackSpec, optional
    smooth : SmoothSpec, optional
        None leaves the keypoints as they are found.
    """

    def __init__(
        self, skeleton: Skeleton, spec: TrackSpec | None = None, smooth: SmoothSpec | None = None
    ) -> None:
        self.spec = spec or TrackSpec()
        self.smooth = smooth
        self._count = len(skeleton.keypoints)
        sigmas = np.array(skeleton.sigmas or [DEFAULT_SIGMA] * self._count)
        # OKS is exp(-d^2 / (2 s^2 k^2)) with k = 2 sigma
        self._variance = 2 * (2 * sigmas * self.spec.tolerance) ** 2  # (K,)
        self._people: list[_Person] = []
        self._last_id = 0
        self._now_ns: int | None = None

    def update(self, poses: Sequence[Pose], timestamp_ns: int) -> tuple[Track, ...]:
        """Give each pose of a frame its id.

        Parameters
        ----------
        poses : sequence of Pose
        timestamp_ns : int
            The frame's time. When it is before the last one (a file that starts over), all tracks end.

        Returns
        -------
        tuple of Track
            One for each pose, in the same order.
        """
        if self._now_ns is not None and timestamp_ns < self._now_ns:
            self._people.clear()
        self._now_ns = timestamp_ns
        keep_ns = self.spec.keep_ms * 1_000_000
        self._people = [p for p in self._people if timestamp_ns - p.seen_ns <= keep_ns]
        for person in self._people:
            person.predict(timestamp_ns, self.spec)
        owners = self._assign(poses)
        return tuple(
            self._follow(person, pose, timestamp_ns) for person, pose in zip(owners, poses, strict=True)
        )

    def _assign(self, poses: Sequence[Pose]) -> list[_Person | None]:
        """Best pair first; of equal ones the older id, then the earlier pose.

        Taking the best pair first differs from the optimal assignment only where two people are nearly in the
        same place, and there the better pair is the better evidence.
        """
        owners: list[_Person | None] = [None] * len(poses)
        if not poses or not self._people:
            return owners
        likeness = self._oks(poses)  # (people, poses)
        for flat in np.argsort(-likeness, axis=None, kind="stable"):
            row, column = divmod(int(flat), len(poses))
            if likeness[row, column] < self.spec.min_oks:
                break
            if owners[column] is None and self._people[row] not in owners:
                owners[column] = self._people[row]
        return owners

    def _oks(self, poses: Sequence[Pose]) -> NDArray[np.float64]:
        """OKS of each person's prediction (rows) with each pose (columns), over the keypoints of both."""
        people = self._people
        predicted = np.stack([p.predicted for p in people])[:, None]  # (P, 1, K, 2)
        seen = np.stack([p.known for p in people])[:, None]
        points = np.stack([pose.keypoints for pose in poses])[None]  # (1, N, K, 3)
        both = seen & (points[..., 2] > 0)  # (P, N, K)
        scale = np.maximum(
            np.array([p.scale for p in people])[:, None], np.array([pose_scale(p) for p in poses])[None]
        )
        distance2 = ((predicted - points[..., :2]) ** 2).sum(axis=-1)
        likeness = np.exp(-distance2 / (self._variance * scale[..., None] ** 2)) * both
        oks: NDArray[np.float64] = likeness.sum(axis=-1) / np.maximum(both.sum(axis=-1), FEWEST_SHARED)
        return oks

    def _follow(self, person: _Person | None, pose: Pose, timestamp_ns: int) -> Track:
        if person is None:
            self._last_id += 1
            smoother = OneEuro(self._count, self.smooth) if self.smooth is not None else None
            person = _Person(self._last_id, self._count, smoother)
            self._people.append(person)
        else:
            person.age += 1
        person.take(pose, timestamp_ns)
        if person.smoother is not None:
            keypoints = person.smoother(pose.keypoints, timestamp_ns, person.scale)
            pose = Pose(keypoints=keypoints, score=pose.score)
        return Track(id=person.id, pose=pose, age=person.age)


def pose_scale(pose: Pose) -> float:
    """A person's size in pixels (square root of the area in OKS) from the longer side of the keypoints."""
    points = pose.keypoints[pose.found, :2]
    if len(points) == 0:
        return 1.0
    return max(float(np.ptp(points, axis=0).max()) * SCALE_OF_LONG_SIDE, 1.0)


class _Person:
    """What the tracker knows of one person."""

    def __init__(self, id_: int, count: int, smoother: OneEuro | None) -> None:
        self.id = id_
        self.age = 0
        self.smoother = smoother
        self.seen_ns = 0
        self.scale = 1.0
        self.predicted = np.zeros((count, 2))  # pixels
        self.known = np.zeros(count, np.bool_)
        self._points = np.zeros((count, 2))  # as of `seen_ns`
        self._point_seen_ns = np.zeros(count, np.int64)
        self._velocity = np.zeros(2)  # pixels a second

    def predict(self, now_ns: int, spec: TrackSpec) -> None:
        """Move the known keypoints on to `now_ns`, and forget those that were not seen for long."""
        fade = spec.velocity_fade_ms * 1e-3
        seconds = (now_ns - self.seen_ns) * NANOSECONDS
        travelled = fade * (1 - np.exp(-seconds / fade))  # integral of the fading velocity
        self.predicted = self._points + self._velocity * travelled
        self.known &= now_ns - self._point_seen_ns <= spec.keep_ms * 1_000_000

    def take(self, pose: Pose, now_ns: int) -> None:
        """Learn place, size and velocity from the pose of this frame."""
        found = pose.found
        points = pose.keypoints[:, :2].astype(np.float64)
        both = found & self.known
        seconds = (now_ns - self.seen_ns) * NANOSECONDS
        if both.any() and seconds > 0:
            measured = np.median(points[both] - self._points[both], axis=0) / seconds
            self._velocity += 0.5 * (measured - self._velocity)
        self._points = self.predicted
        if both.any():
            self._points = self.predicted + np.median(points[both] - self.predicted[both], axis=0)
        self._points[found] = points[found]  # the hidden ones have travelled along
        self._point_seen_ns[found] = now_ns
        self.known |= found
        self.scale = max(pose_scale(pose), 0.9 * self.scale)
        self.seen_ns = now_ns
