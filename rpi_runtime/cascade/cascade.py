"""The cascade finds people on the whole picture, or expects them where they last were, and refines them on crops.

Per frame:

1. Run the finder on the whole picture when it is due, when a person was lost or when no person is known; otherwise
   expect all people where they last were, moved on by their velocity. The finder is a detector, which gives boxes
   alone, or a network that gives poses.
2. Refine people on crops in the order of need (longest wait first, then largest), as long as the next crop will end
   within the frame's budget.
3. Refined keypoints replace coarse ones. A person who was not refined on this frame keeps the refined keypoints of a
   moment ago, moved along, or else the coarse ones; a detector gives no coarse keypoints, only the box.

The tracker that assigns ids comes after this and does not depend on it; the cascade recognises people by similarity
alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.cascade.boxes import DETECTED_MARGIN, MARGIN, clip_box, ease_box, move_box, person_box
from rpi_runtime.cascade.budget import NS_PER_MS, Budget
from rpi_runtime.cascade.people import CARRY_S, Person, carry, duplicates, expect, movement
from rpi_runtime.cascade.refine import Refiner, refiner_for
from rpi_runtime.cascade.skeletons import Merger
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.decode.mode import Mode
from rpi_runtime.errors import CardError
from rpi_runtime.model.card import ModelCard, Skeleton
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Image, Pose
from rpi_runtime.track.known import VELOCITY_GAIN
from rpi_runtime.track.match import Matcher, pair
from rpi_runtime.track.places import places_of
from rpi_runtime.track.smooth import NANOSECONDS

log = logging.getLogger(__name__)

LEAST_LIKE = 0.15  # a refined person less similar to the coarse one is another person
LONGEST_GAP_S = 0.5  # after a longer gap people are no longer where they were
FEWEST_FOUND = 3  # keypoints needed to recognise a person on a crop


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refined:
    """The people of one frame.

    Attributes
    ----------
    poses : tuple of Pose
        Poses in the run's skeleton.
    found : tuple of float
        Each person's score of the network that finds people, when it last ran.
    refined : tuple of bool
        Whether the keypoints of each come from a crop of this frame.
    looked : bool
        Whether the finder ran on the whole picture.
    """

    poses: tuple[Pose, ...]
    found: tuple[float, ...]
    refined: tuple[bool, ...]
    looked: bool


class Cascade:
    """Refines people on crops, within a budget, in one thread.

    Parameters
    ----------
    refiner : Refiner
    card : ModelCard
        Card of the refining network.
    finder : Skeleton
        Skeleton of the network that finds people; without keypoints it is a detector, and the run uses the skeleton
        of the refining network.
    spec : RefineConfig
    clock : callable, optional
        Nanoseconds, monotonic.

    Raises
    ------
    CardError
        The two networks have too few keypoints in common.

    Attributes
    ----------
    skeleton : Skeleton
        Skeleton of the run.
    network : str
        Name and size of the network that refines.
    """

    def __init__(
        self,
        refiner: Refiner,
        card: ModelCard,
        finder: Skeleton,
        spec: RefineConfig,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.spec, self._refiner, self._clock = spec, refiner, clock
        self._detects = not finder.keypoints
        self.network = f"{card.name} {card.input.size}"
        self.skeleton = card.skeleton if self._detects else finder
        try:
            self._merger = Merger(self.skeleton, card.skeleton)
        except CardError as err:
            raise CardError(f"{spec.model}: {err}") from err
        self._matcher = Matcher(self.skeleton)
        self.budget = Budget(spec.budget_ms, clock)
        self._people: list[Person] = []
        self._unlooked = 0
        self._lost = False
        self._now_ns = 0
        self._begun = False
        self._margin = DETECTED_MARGIN if self._detects else MARGIN
        self._warm_up(card)

    def begin(self) -> None:
        """Start a frame's time; work done before the cascade is called counts, too."""
        self.budget.begin()
        self._begun = True

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

    def __call__(self, image: Image, coarse: Sequence[Pose] | None, timestamp_ns: int) -> Refined:
        """Refine one frame's people.

        Parameters
        ----------
        image : ndarray, shape (H, W, 3), uint8, BGR
        coarse : sequence of Pose or None
            The people found on the whole picture; None when the finder did not run, which `wants_look` must allow.
        timestamp_ns : int
        """
        if not self._begun:
            self.budget.begin()
        self._begun = False
        seconds = (timestamp_ns - self._now_ns) * NANOSECONDS
        self._now_ns = timestamp_ns
        looked = coarse is not None
        if coarse is None:
            self._people = [expect(person, seconds, self._margin) for person in self._people]
        else:
            self._people = self._recognise(coarse, seconds, image.shape[:2])
        self._unlooked = 0 if looked else self._unlooked + 1
        self._refine(image, fresh=looked)
        self._drop()
        self._learn()
        return Refined(
            poses=tuple(p.pose for p in self._people),
            found=tuple(p.score for p in self._people),
            refined=tuple(p.refined for p in self._people),
            looked=looked,
        )

    def forget(self) -> None:
        """Forget all people: the next picture has nothing to do with the last."""
        self._people = []

    def _warm_up(self, card: ModelCard) -> None:
        """Measure what a crop costs; the first one allocates and does not count."""
        picture = np.full((card.input.height, card.input.width, 3), 128, np.uint8)
        box = (0.0, 0.0, float(card.input.width), float(card.input.height))
        for _ in range(2):
            begin = self._clock()
            self._refiner(picture, box)
            cost = self._clock() - begin
        self.budget.learn(cost)
        if self.budget.hopeless:
            log.warning(
                "%s: one crop takes %.1f ms here, the budget is %g ms per frame: no person will be refined; "
                "raise --refine-budget-ms, or take a smaller network",
                self.spec.model,
                self.budget.cost_ns / NS_PER_MS,
                self.spec.budget_ms,
            )

    def _recognise(self, coarse: Sequence[Pose], seconds: float, size: tuple[int, ...]) -> list[Person]:
        """Return people as found on the whole picture, with the past of those who are known."""
        known: list[Person] = []
        if 0 < seconds <= LONGEST_GAP_S:
            known = [expect(person, seconds, self._margin) for person in self._people]
        found = [self._complete(pose, size) for pose in coarse]
        rows = self._pair([p.pose for p in known], found)
        return [
            self._found(pose, known[row] if row >= 0 else None) for pose, row in zip(found, rows, strict=True)
        ]

    def _pair(self, ours: Sequence[Pose], theirs: Sequence[Pose]) -> NDArray[np.intp]:
        """Return which of `ours` each of `theirs` is, -1 for a new person."""
        oks = self._matcher.oks(ours, theirs)
        return pair(np.where(oks >= LEAST_LIKE, oks, 0.0))

    def _complete(self, pose: Pose, size: tuple[int, ...]) -> Pose:
        """Return the pose in the run's skeleton, with its box clipped to the picture."""
        if pose.box is None and not self._detects:
            return pose
        box = None if pose.box is None else clip_box(pose.box, size[1], size[0])
        keypoints = pose.keypoints
        if self._detects:
            keypoints = np.zeros((len(self.skeleton.keypoints), 3), np.float32)
        return Pose(keypoints=keypoints, score=pose.score, box=box)

    def _found(self, pose: Pose, past: Person | None) -> Person:
        """Return a person as found on the whole picture."""
        box = pose.box if pose.box is not None else person_box(pose.keypoints)
        if past is None:
            return Person(
                pose=pose,
                coarse=pose.keypoints,
                score=pose.score,
                box=box,
                velocity=np.zeros(2),
                looked=pose.box,
            )
        coarse, score, sure = pose.keypoints, pose.score, 1.0
        if past.stale_s <= CARRY_S and (pose.found.any() or pose.box is not None):
            sure = past.sure
            pose = Pose(keypoints=carry(past, pose), score=score * sure, box=pose.box)
        return Person(
            pose=pose,
            coarse=coarse,
            score=score,
            sure=sure,
            box=ease_box(past.box, box),
            velocity=past.velocity,
            waited=past.waited,
            stale_s=past.stale_s,
            seen=past.seen,
            unseen_s=past.unseen_s,
            looked=pose.box,
        )

    def _refine(self, image: Image, *, fresh: bool) -> None:
        """Refine people in the order of need until the budget is used up."""
        begun = False
        waiting = [p for p in self._people if p.box is not None]
        for person in sorted(waiting, key=lambda person: person.need):
            if not self.budget.allows():
                break
            begun = True
            begin = self._clock()
            self._refine_one(image, person, fresh=fresh)
            self.budget.learn(self._clock() - begin)
        if waiting and not begun:
            self.budget.relieve()

    def _refine_one(self, image: Image, person: Person, *, fresh: bool) -> None:
        assert person.box is not None
        person.waited = 0
        answers = self._refiner(image, person.box)
        found = [Pose(keypoints=self._merger.carry_over(a.keypoints), score=a.score) for a in answers]
        best = self._same(person, found, fresh=fresh)
        if best < 0 or found[best].found.sum() < FEWEST_FOUND:
            person.lost = not fresh
            return
        keypoints = self._merger.merge(person.coarse, found[best].keypoints, fresh=fresh)
        if self._detects:
            person.sure = found[best].score
        box = person.pose.box
        if not fresh:  # the detector's box goes along with the keypoints
            box = move_box(box, movement(person.coarse, keypoints))
        person.pose = Pose(keypoints=keypoints, score=person.score * person.sure, box=box)
        person.refined, person.stale_s = True, 0.0

    def _same(self, person: Person, found: Sequence[Pose], *, fresh: bool) -> int:
        """Return the index of the person among the people found on a crop; -1 when no one matches.

        Where a detector has just seen the person in this very box, the best answer is taken without a least similarity:
        the keypoints may have moved more than the threshold forgives. So it is for a person who has no keypoints yet.
        """
        if self._detects and (fresh or not person.coarse[:, 2].any()):
            if len(found) <= 1:
                return len(found) - 1
            boxed = [
                replace(p, keypoints=p.keypoints[:0], box=person_box(p.keypoints, self._margin))
                for p in found
            ]
            (alike,) = self._matcher.oks([replace(person.pose, keypoints=person.pose.keypoints[:0])], boxed)
            return int(alike.argmax())
        (alike,) = self._matcher.oks([replace(person.pose, keypoints=person.coarse, box=None)], found)
        best = int(alike.argmax()) if len(found) else -1
        return best if best >= 0 and alike[best] >= LEAST_LIKE else -1

    def _drop(self) -> None:
        """Drop lost and duplicate people."""
        people = [p for p in self._people if not p.lost]
        twice: list[int] = []
        if len(people) > 1:
            # keypoints alone where there are some: boxes of one person, found twice, may be those of half of the person
            poses = [replace(p.pose, box=None) if p.pose.found.any() else p.pose for p in people]
            places = self._matcher.places(poses)
            twice = duplicates(self._matcher.compare(places, places).oks, [p.pose.score for p in people])
        # a detector that found a person twice on this picture would do so again, so another pass does not help
        again = bool(twice) and (self._unlooked > 0 or not self._detects)
        self._lost = len(people) < len(self._people) or again
        self._people = [p for i, p in enumerate(people) if i not in twice]

    def _learn(self) -> None:
        """Update boxes and velocities for the next frame, from where people were when they were last seen."""
        for person in self._people:
            if person.refined:
                person.box = ease_box(person.box, person_box(person.pose.keypoints, self._margin))
            if not person.refined and self._unlooked > 0:
                continue
            if person.seen is not None and 0 < person.unseen_s <= LONGEST_GAP_S:
                moved = self._moved(person.seen, person.pose) / person.unseen_s
                person.velocity = person.velocity + VELOCITY_GAIN * (moved - person.velocity)
            person.seen, person.unseen_s = person.pose, 0.0

    def _moved(self, old: Pose, new: Pose) -> NDArray[np.float64]:
        """Return the median movement of keypoints, or of the box's points when no keypoint is in both."""
        if (old.found & new.found).any():
            return movement(old.keypoints, new.keypoints)
        one, other = places_of([old, new], len(self.skeleton.keypoints))
        return movement(one, other)


def open_cascade(
    spec: RefineConfig, finder: Skeleton, *, threads: int | None = None, mode: Mode = "fast"
) -> Cascade:
    """Load the refining network and return the cascade behind a network that finds people with skeleton `finder`.

    Parameters
    ----------
    spec : RefineConfig
    finder : Skeleton
        Without keypoints for a detector.
    threads : int, optional
    mode : {"fast", "exact"}
        How crops are decoded: keypoints below the card's threshold are not found, or all are given, as papers evaluate.

    Raises
    ------
    PiposeError
        The model cannot be read, or does not fit the run's.
    """
    model = Model(spec.model, threads=threads)
    log.info("refines: %s", model.describe())
    return Cascade(refiner_for(model, mode), model.card, finder, spec)
