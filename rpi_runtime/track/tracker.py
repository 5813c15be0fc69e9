"""Follow people from frame to frame and give each one a lasting id.

Each track predicts the current position of its keypoints: the last observed position, extrapolated with the person's
velocity, which decays while the person is out of sight. Poses and tracks are paired by object keypoint
similarity (OKS, cocodataset.org/#keypoints-eval), best pair first. A track without a pose is
kept for a while, so that a person who was hidden gets the old id back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import UsageError
from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Pose, Track
from rpi_runtime.track.known import TrackedPeople
from rpi_runtime.track.match import TOLERANCE, Comparison, Matcher, Places, pair
from rpi_runtime.track.places import BOX_POINTS, box_of, person_scales, places_of
from rpi_runtime.track.smooth import NANOSECONDS, OneEuro, SmoothSpec

LONGEST_REACH_S = 0.1
KEEP_INTERVALS = 2.5  # frames that a person may miss when they come more seldom than once a second
_INTERVALS = 8
_SLOW_NS = 1_000_000_000  # of the interval: below one frame a second
VELOCITY_FADE_MS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSpec:
    """Settings of the tracker.

    Attributes
    ----------
    min_oks : float
        Minimum similarity of a pose and a track that are paired.
    tolerance : float
        Factor on COCO's sigmas, which describe the spread of annotators, not the movement of people.
    max_speed, slack : float
        A pose that is not similar enough still continues a track if it lies within `slack` person sizes plus the
        distance travelled at `max_speed` person sizes per second.
    keep_ms : int
        A person out of sight for longer gets a new id; below one frame a second, after `KEEP_INTERVALS`.
    velocity_fade_ms : int
        Time constant with which the velocity of a person out of sight fades.
    new_margin : float
        Behind a detector, a new person's score lies this far above the least score of a person, at least; a known
        person needs no more than that. ByteTrack's margin (Zhang et al. 2022, arXiv:2110.06864, its published code).
    """

    min_oks: float = 0.2
    tolerance: float = TOLERANCE
    max_speed: float = 12.0
    slack: float = 0.5
    keep_ms: int = 1000
    velocity_fade_ms: int = VELOCITY_FADE_MS
    new_margin: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.min_oks < 1:
            raise UsageError(f"tracking min_oks {self.min_oks}: expected above 0 and below 1")
        if min(self.max_speed, self.slack) < 0:
            raise UsageError(f"tracking max_speed {self.max_speed}, slack {self.slack}: expected 0 or more")
        if not 0 <= self.new_margin < 1:
            raise UsageError(f"tracking new_margin {self.new_margin}: expected at least 0 and below 1")
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
        self._count = len(skeleton.keypoints)
        self._matcher = Matcher(skeleton, self.spec.tolerance)
        self._people = TrackedPeople.none(self._count + BOX_POINTS)
        self._smoother = OneEuro(self._count + BOX_POINTS, smooth) if smooth is not None else None
        self._last_id = 0
        self._now_ns: int | None = None
        self._intervals_ns: deque[int] = deque(maxlen=_INTERVALS)
        self._keep_ns = self.spec.keep_ms * 1_000_000

    def update(
        self, poses: Sequence[Pose], timestamp_ns: int, sure: Sequence[bool] | None = None
    ) -> tuple[Track, ...]:
        """Assign an id to each pose of a frame.

        Parameters
        ----------
        poses : sequence of Pose
        timestamp_ns : int
            Time of the frame. If it lies before that of the last frame (a file that starts over), all tracks end.
        sure : sequence of bool, optional
            Which poses may be new people; by default all. The others continue tracks only, except on a frame that
            follows no other: what is on a single picture is all that is known.

        Returns
        -------
        tuple of Track
            One for each pose that is known or sure, in the same order; the others have the id 0.
        """
        follows = self._forget(timestamp_ns)
        if not poses:
            return ()
        keypoints = places_of(poses, self._count)  # (N, K + 3, 3)
        scales = person_scales(keypoints)
        rows = self._assign(keypoints, scales, *self._predict(timestamp_ns))
        tracks = [Track(id=0, pose=pose) for pose in poses]
        everyone = sure is None or not follows
        which = np.flatnonzero((rows >= 0) | (True if everyone else np.asarray(sure, bool)))
        taken = [poses[i] for i in which.tolist()]
        given = self._take(taken, timestamp_ns, rows[which], keypoints[which], scales[which])
        for i, track in zip(which.tolist(), given, strict=True):
            tracks[i] = track
        return tuple(tracks)

    def _take(
        self,
        poses: Sequence[Pose],
        timestamp_ns: int,
        rows: NDArray[np.intp],
        keypoints: NDArray[np.float32],
        scales: NDArray[np.float64],
    ) -> list[Track]:
        """Continue the tracks in `rows`, (N,), and open one for each -1."""
        new = rows < 0
        if new.any():
            rows = self._welcome(rows, new)
        predicted, known = self._predict(timestamp_ns)
        self._people.take(rows, keypoints, scales, timestamp_ns, predicted, known)
        if self._smoother is not None:
            smooth = self._smoother(rows, keypoints, timestamp_ns, self._people.scales[rows])
            poses = [self._smoothed(pose, points) for pose, points in zip(poses, smooth, strict=True)]
        ids, ages = self._people.ids[rows].tolist(), self._people.ages[rows].tolist()
        return [Track(id=i, pose=p, age=a) for i, p, a in zip(ids, poses, ages, strict=True)]

    def _predict(self, now_ns: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return where each known person's points are expected, (P, K, 2), and which of them are known, (P, K)."""
        return self._people.predict(now_ns, self.spec.velocity_fade_ms, self._keep_ns)

    def _smoothed(self, pose: Pose, points: NDArray[np.float32]) -> Pose:
        """The pose with smoothed keypoints, and box where it has one."""
        box = box_of(points[self._count :]) if pose.box is not None else None
        return Pose(keypoints=points[: self._count], score=pose.score, box=box)

    def _forget(self, now_ns: int) -> bool:
        """Drop the people who have been out of sight for too long; return whether the frame follows another."""
        before_ns = self._now_ns
        backwards = self._now_ns is not None and now_ns < self._now_ns
        if self._now_ns is not None and not backwards:
            self._intervals_ns.append(now_ns - self._now_ns)
        self._now_ns = now_ns
        # the shortest of the last intervals: a pause after many quick frames is a pause, not a slow camera
        usual_ns = min(self._intervals_ns, default=0)
        slow_ns = round(KEEP_INTERVALS * usual_ns) if usual_ns > _SLOW_NS else 0
        self._keep_ns = max(self.spec.keep_ms * 1_000_000, slow_ns)
        gone = now_ns - self._people.seen_ns > self._keep_ns
        if backwards or gone.any():
            self._keep(np.flatnonzero(~gone & (not backwards)), 0)
        return before_ns is not None and 0 <= now_ns - before_ns <= self.spec.keep_ms * 1_000_000

    def _welcome(self, rows: NDArray[np.intp], new: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Open tracks for the poses without one and return the rows of all poses."""
        count, before = int(new.sum()), len(self._people.ids)
        self._keep(np.arange(before), count)
        self._people.ids[before:] = self._last_id + 1 + np.arange(count)
        self._last_id += count
        rows = rows.copy()
        rows[new] = before + np.arange(count)
        return rows

    def _keep(self, rows: NDArray[np.intp], new: int) -> None:
        self._people = self._people.keep(rows, new)
        if self._smoother is not None:
            self._smoother.keep(rows, new)

    def _assign(
        self,
        keypoints: NDArray[np.float32],
        scales: NDArray[np.float64],
        predicted: NDArray[np.float64],
        known: NDArray[np.bool_],
    ) -> NDArray[np.intp]:
        """Return the row of each pose's person, (N,); -1 for a new person."""
        people = Places(points=predicted, known=known, scales=self._people.scales)
        poses = Places(points=keypoints[..., :2], known=keypoints[..., 2] > 0, scales=scales)
        compared = self._matcher.compare(people, poses)  # (P, N)
        rows = pair(np.where(compared.oks >= self.spec.min_oks, compared.alike, 0.0))
        if (rows < 0).any() and (rows >= 0).sum() < len(people.scales):
            rows = pair(self._reach(compared), rows)
        return rows

    def _reach(self, compared: Comparison) -> NDArray[np.float64]:
        """Return how easily each person could have reached each pose since the last frame, (P, N); 0 if impossible.

        A second chance for people who moved farther than OKS allows, for example close to the camera while the
        track's velocity is still unknown.
        """
        assert self._now_ns is not None
        seconds = (self._now_ns - self._people.seen_ns) * NANOSECONDS
        reach = self.spec.slack + self.spec.max_speed * np.minimum(seconds, LONGEST_REACH_S)  # (P,)
        ordered = np.sort(np.where(compared.both, compared.distance2, np.inf), axis=2)
        shared = compared.both.sum(axis=2)
        middle = np.take_along_axis(ordered, np.maximum(shared - 1, 0)[..., None] // 2, axis=2)[..., 0]
        near = 1 - np.sqrt(middle) / (compared.scale * np.maximum(reach[:, None], 1e-9))
        possible: NDArray[np.float64] = np.where(
            (shared >= 1) & (reach[:, None] > 0), np.maximum(near, 0), 0.0
        )
        return possible
