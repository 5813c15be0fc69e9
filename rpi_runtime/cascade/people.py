"""The state of a person that the cascade keeps from frame to frame, and where it expects the person next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.cascade.boxes import ease_box, move_box, person_box
from rpi_runtime.poses import Box, Pose
from rpi_runtime.track.tracker import VELOCITY_FADE_MS

NEW = 1 << 30  # frames waited, for a person who was never refined
FADE_S = VELOCITY_FADE_MS * 1e-3  # time constant of the velocity of a person who is not seen
CARRY_S = 0.5  # how long refined keypoints go along with a person who is found but not refined again
DUPLICATE_OKS = 0.7  # two people whose keypoints are more alike than this are one person, found twice


@dataclass(slots=True, kw_only=True)
class Person:
    """A person known to the cascade.

    Attributes
    ----------
    pose : Pose
        Poses in the run's skeleton.
    coarse : ndarray, shape (K, 3)
        Keypoints as found on the whole picture, or where they are expected when the finder did not run.
    score : float
        Score from the network that finds people.
    sure : float
        Behind a detector, the mean value of the keypoints that a crop gave; 1 before. The pose's score is the product.
    box : tuple of float or None
        The part of the picture that the person's crop shows.
    velocity : ndarray, shape (2,)
        Pixels per second.
    waited : int
        Frames since the person was last refined.
    stale_s : float
        Seconds since the keypoints last came from a crop.
    refined : bool
        Whether they come from a crop of this frame.
    lost : bool
        Whether a crop no longer showed the person.
    seen : Pose or None
        The person when last seen, on a crop or on the whole picture; None for a new one.
    unseen_s : float
        Seconds since then.
    looked : tuple of float or None
        The detector's box on the last full-frame pass.
    looked_s : float
        Seconds since then.
    """

    pose: Pose
    coarse: NDArray[np.float32]
    score: float
    box: Box | None
    velocity: NDArray[np.float64]
    sure: float = 1.0
    waited: int = NEW
    stale_s: float = math.inf
    refined: bool = False
    lost: bool = False
    seen: Pose | None = None
    unseen_s: float = 0.0
    looked: Box | None = None
    looked_s: float = 0.0

    @property
    def need(self) -> tuple[int, float]:
        """Sort key: the longest wait first, then the largest person."""
        assert self.box is not None
        return -self.waited, -self.box[2] * self.box[3]


def expect(person: Person, seconds: float, margin: float) -> Person:
    """Return the person one frame later, moved by the velocity."""
    moved = person.velocity * seconds
    keypoints = _moved(person.pose.keypoints, moved)
    around = person_box(keypoints, margin)
    return Person(
        pose=Pose(keypoints=keypoints, score=person.pose.score, box=move_box(person.pose.box, moved)),
        coarse=keypoints,
        score=person.score,
        sure=person.sure,
        box=ease_box(person.box, around) if around is not None else move_box(person.box, moved),
        velocity=person.velocity * math.exp(-seconds / FADE_S),
        waited=min(person.waited + 1, NEW),
        stale_s=person.stale_s + seconds,
        seen=person.seen,
        unseen_s=person.unseen_s + seconds,
        looked=person.looked,
        looked_s=person.looked_s + seconds,
    )


def carry(past: Person, found: Pose) -> NDArray[np.float32]:
    """Return refined keypoints for a person who is found again and may not be reached on this frame.

    Keypoints that a crop gave a moment ago are better than those of the whole picture, so they move along with the
    person as found, instead of jumping to the coarse ones and back. Behind a detector, they move by that part of the
    way between its last two boxes that belongs to the time since they were last right. A box of now is never compared
    with keypoints: where a person's keypoints lie in a detector's box differs from person to person.

    Parameters
    ----------
    past : Person
        The person where the cascade expects them.
    found : Pose
        The person as found on the whole picture; these keypoints fill in those that were not refined.

    Returns
    -------
    ndarray, shape (K, 3)
    """
    keypoints = past.pose.keypoints
    if found.found.any():
        moved = movement(keypoints, found.keypoints)
        carried = _moved(keypoints, moved)
        return np.where(carried[:, 2:] > 0, carried, found.keypoints)
    assert found.box is not None
    if past.seen is None or past.looked is None:
        return keypoints
    way = _middle(found.box) - _middle(past.looked)
    return _moved(past.seen.keypoints, way * (past.unseen_s / past.looked_s))


def movement(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the median movement of the keypoints that both have, (2,); 0 without any."""
    both = (old[:, 2] > 0) & (new[:, 2] > 0)
    count = np.count_nonzero(both)
    if not count:
        return np.zeros(2)
    moved = np.sort(new[both, :2] - old[both, :2], axis=0)  # numpy.median takes four times as long for so few
    return np.asarray(moved[(count - 1) // 2] + moved[count // 2], np.float64) / 2


def duplicates(oks: NDArray[np.float64], scores: Sequence[float]) -> list[int]:
    """Return the indices of duplicate people, given their pairwise similarity (N, N).

    Of two people the one with the higher score stays; ties keep the lower index.
    """
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    kept: list[int] = []
    gone: list[int] = []
    for i in order:
        (gone if any(oks[i, j] > DUPLICATE_OKS for j in kept) else kept).append(i)
    return gone


def _moved(keypoints: NDArray[np.float32], moved: NDArray[np.float64]) -> NDArray[np.float32]:
    copy = keypoints.copy()
    copy[copy[:, 2] > 0, :2] += moved.astype(np.float32)
    return copy


def _middle(box: Box) -> NDArray[np.float64]:
    return np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])
