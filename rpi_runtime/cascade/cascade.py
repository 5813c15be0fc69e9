"""The cascade: people found on the whole picture, or where they last were, and refined one by one on crops.

Per frame:

1. Look at the whole picture when it is due, when somebody was lost, when nobody is known; otherwise expect
   everybody where they last were, moved on by their velocity.
2. In the order of need (who waited longest, of equals the largest) refine each on a crop, as long as the next one
   will end within the budget.
3. Refined keypoints replace coarse ones. Whoever was not reached keeps the coarse ones.

A tracker with ids comes behind this and sees nothing of it; here people are known by their likeness alone.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.cascade.boxes import ease_box, person_box
from rpi_runtime.cascade.budget import NS_PER_MS, Budget
from rpi_runtime.cascade.match import Likeness, doubles, pair
from rpi_runtime.cascade.refine import Refiner, refiner_for
from rpi_runtime.cascade.skeletons import Merger
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.errors import CardError
from rpi_runtime.model.card import ModelCard, Skeleton
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Box, Pose
from rpi_runtime.track.smooth import NANOSECONDS

log = logging.getLogger(__name__)

NEW = 1 << 30  # frames that a person has waited who was never refined
LEAST_LIKE = 0.15  # a refined person less like the coarse one is somebody else
LONGEST_GAP_S = 0.5  # after a longer one nobody is where they were
FADE_S = 0.3  # time constant of the velocity of somebody who is not seen, as in tracking
FEWEST_FOUND = 3  # keypoints by which a person on a crop is recognised


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refined:
    """The people of one frame.

    Attributes
    ----------
    poses : tuple of Pose
        In the run's skeleton.
    refined : tuple of bool
        Whose keypoints come from a crop of this frame.
    looked : bool
        Whether the whole picture was looked at.
    """

    poses: tuple[Pose, ...]
    refined: tuple[bool, ...]
    looked: bool


@dataclass(slots=True, kw_only=True)
class _Person:
    """What is remembered of a person from frame to frame."""

    pose: Pose
    box: Box | None
    velocity: NDArray[np.float64]  # (2,), pixels a second
    waited: int = NEW  # frames since a crop was looked at
    refined: bool = False
    lost: bool = False


class Cascade:
    """Refines people on crops, within a budget; for one thread.

    Parameters
    ----------
    refiner : Refiner
    card : ModelCard
        Of the refining network.
    skeleton : Skeleton
        Of the run.
    spec : RefineConfig
    clock : callable, optional
        Nanoseconds, monotonic.

    Raises
    ------
    CardError
        The two networks have too few keypoints in common.
    """

    def __init__(
        self,
        refiner: Refiner,
        card: ModelCard,
        skeleton: Skeleton,
        spec: RefineConfig,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.spec, self._refiner, self._clock = spec, refiner, clock
        try:
            self._merger = Merger(skeleton, card.skeleton)
        except CardError as err:
            raise CardError(f"{spec.model}: {err}") from err
        self._likeness = Likeness(skeleton)
        self.budget = Budget(spec.budget_ms, clock)
        self._people: list[_Person] = []
        self._unlooked = 0
        self._lost = False
        self._now_ns = 0
        self._warm_up(card)

    def wants_look(self, timestamp_ns: int) -> bool:
        """Whether the next frame needs people from its whole picture."""
        gap_s = (timestamp_ns - self._now_ns) * NANOSECONDS
        return (
            not self._people
            or self._lost
            or self._unlooked + 1 >= self.spec.look_every
            or self.budget.hopeless
            or not 0 < gap_s <= LONGEST_GAP_S
        )

    def __call__(self, image: NDArray[np.uint8], coarse: Sequence[Pose] | None, timestamp_ns: int) -> Refined:
        """Refine one frame's people.

        Parameters
        ----------
        image : ndarray, shape (H, W, 3), uint8, BGR
        coarse : sequence of Pose or None
            As found on the whole picture; None where nobody looked, which `wants_look` must allow.
        timestamp_ns : int
        """
        self.budget.begin()
        seconds = (timestamp_ns - self._now_ns) * NANOSECONDS
        self._now_ns = timestamp_ns
        looked = coarse is not None
        before = self._people
        if coarse is None:
            self._people = [_expect(person, seconds) for person in before]
        else:
            self._people = self._recognise(coarse, seconds)
        self._unlooked = 0 if looked else self._unlooked + 1
        self._refine(image, fresh=looked)
        self._drop(seconds, before)
        return Refined(
            poses=tuple(p.pose for p in self._people),
            refined=tuple(p.refined for p in self._people),
            looked=looked,
        )

    def forget(self) -> None:
        """Know nobody: the next picture has nothing to do with the last."""
        self._people = []

    def _warm_up(self, card: ModelCard) -> None:
        """Learn what a crop costs: not from the first one, which allocates."""
        picture = np.full((card.input.height, card.input.width, 3), 128, np.uint8)
        box = (0.0, 0.0, float(card.input.width), float(card.input.height))
        for _ in range(2):
            begin = self._clock()
            self._refiner(picture, box)
            cost = self._clock() - begin
        self.budget.learn(cost)
        if self.budget.hopeless:
            log.warning(
                "%s: one crop takes %.1f ms here, the budget is %g ms a frame: nobody will be refined; "
                "raise --refine-budget-ms, or take a smaller network",
                self.spec.model,
                self.budget.cost_ns / NS_PER_MS,
                self.spec.budget_ms,
            )

    def _recognise(self, coarse: Sequence[Pose], seconds: float) -> list[_Person]:
        """People as the whole picture shows them, with the past of those who are known."""
        known = [_expect(person, seconds) for person in self._people] if 0 < seconds <= LONGEST_GAP_S else []
        alike = self._likeness([p.pose.keypoints for p in known], [pose.keypoints for pose in coarse])
        people = []
        for pose, row in zip(coarse, pair(alike, LEAST_LIKE), strict=True):
            box, past = person_box(pose.keypoints), known[row] if row >= 0 else None
            if past is None:
                people.append(_Person(pose=pose, box=box, velocity=np.zeros(2)))
                continue
            people.append(
                _Person(
                    pose=pose,
                    box=ease_box(past.box, box),
                    velocity=past.velocity,
                    waited=past.waited,
                )
            )
        return people

    def _refine(self, image: NDArray[np.uint8], *, fresh: bool) -> None:
        """Look at crops in the order of need until the time is over."""
        begun = False
        waiting = [p for p in self._people if p.box is not None]
        for person in sorted(waiting, key=_need):
            if not self.budget.allows():
                break
            begun = True
            begin = self._clock()
            self._refine_one(image, person, fresh=fresh)
            self.budget.learn(self._clock() - begin)
        if waiting and not begun:
            self.budget.relieve()

    def _refine_one(self, image: NDArray[np.uint8], person: _Person, *, fresh: bool) -> None:
        assert person.box is not None
        coarse, person.waited = person.pose.keypoints, 0
        found = [self._merger.carry_over(pose.keypoints) for pose in self._refiner(image, person.box)]
        (alike,) = self._likeness([coarse], found)
        best = int(alike.argmax()) if len(found) else -1
        if best < 0 or alike[best] < LEAST_LIKE or (found[best][:, 2] > 0).sum() < FEWEST_FOUND:
            person.lost = not fresh
            return
        keypoints = self._merger.merge(coarse, found[best], fresh=fresh)
        person.pose = Pose(keypoints=keypoints, score=person.pose.score)
        person.refined = True

    def _drop(self, seconds: float, before: list[_Person]) -> None:
        """Forget who was lost or is somebody else again, and learn how the others move."""
        people = [p for p in self._people if not p.lost]
        points = [p.pose.keypoints for p in people]
        twice = doubles(self._likeness(points, points), [p.pose.score for p in people])
        self._lost = len(people) < len(self._people) or bool(twice)
        self._people = [p for i, p in enumerate(people) if i not in twice]
        self._learn(seconds, before)

    def _learn(self, seconds: float, before: list[_Person]) -> None:
        """Boxes and velocities for the next frame."""
        now = [p.pose.keypoints for p in self._people]
        rows = [-1] * len(now)
        if 0 < seconds <= LONGEST_GAP_S and before:
            rows = pair(self._likeness([p.pose.keypoints for p in before], now), LEAST_LIKE)
        for person, row in zip(self._people, rows, strict=True):
            if person.refined:
                person.box = ease_box(person.box, person_box(person.pose.keypoints))
            if row >= 0 and (person.refined or self._unlooked == 0):
                moved = _movement(before[row].pose.keypoints, person.pose.keypoints)
                person.velocity = person.velocity + 0.5 * (moved / seconds - person.velocity)


def open_cascade(spec: RefineConfig, skeleton: Skeleton, *, threads: int | None = None) -> Cascade:
    """Load the refining network and return the cascade for a run with `skeleton`.

    Raises
    ------
    PiposeError
        The model cannot be read, or does not fit the run's.
    """
    model = Model(spec.model, threads=threads)
    log.info("refines: %s", model.describe())
    return Cascade(refiner_for(model), model.card, skeleton, spec)


def _need(person: _Person) -> tuple[int, float]:
    """Sorts whoever has waited longest first, of equals the largest."""
    assert person.box is not None
    return -person.waited, -person.box[2] * person.box[3]


def _expect(person: _Person, seconds: float) -> _Person:
    """The person where the velocity leads, one frame later."""
    moved = person.velocity * seconds
    keypoints = person.pose.keypoints.copy()
    keypoints[person.pose.found, :2] += moved.astype(np.float32)
    return _Person(
        pose=Pose(keypoints=keypoints, score=person.pose.score),
        box=ease_box(person.box, person_box(keypoints)),
        velocity=person.velocity * math.exp(-seconds / FADE_S),
        waited=min(person.waited + 1, NEW),
    )


def _movement(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float64]:
    """Median movement of the keypoints that both have, (2,); 0 without any."""
    both = (old[:, 2] > 0) & (new[:, 2] > 0)
    if not both.any():
        return np.zeros(2)
    return np.asarray(np.median(new[both, :2] - old[both, :2], axis=0), np.float64)
