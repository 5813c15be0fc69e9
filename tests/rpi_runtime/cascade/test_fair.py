"""Properties of a frame's budget and of who is refined, for any number of people, costs and budgets."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpi_runtime.cascade.cascade import Cascade
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Pose
from tests.rpi_runtime.cascade.test_cascade import BLANK, FRAME, MS, Clock, pose
from tests.rpi_runtime.cascade.test_detector import seen
from tests.rpi_runtime.dots import CROPS, person

FRAMES = 24


class OwnCrop:
    """Gives the one person in the middle of the crop; takes `cost_ms`; counts whom it gave on each frame."""

    def __init__(self, clock: Clock, cost_ms: int) -> None:
        self.clock, self.cost_ms = clock, cost_ms
        self.truth: list[np.ndarray] = []
        self.given: list[int] = []

    def __call__(self, frame: np.ndarray, box: tuple[float, float, float, float]) -> tuple[Pose, ...]:
        self.clock.now += self.cost_ms * MS
        if not self.truth:
            return ()
        middle = box[0] + box[2] / 2
        nearest = min(range(len(self.truth)), key=lambda n: abs(float(self.truth[n][:, 0].mean()) - middle))
        self.given.append(nearest)
        return (pose(self.truth[nearest], score=0.5, value=0.9),)


def walkers(count: int, frame: int) -> list[np.ndarray]:
    """People side by side who walk to the right."""
    return [person(20 + 40 * n + frame, 60) for n in range(count)]


@settings(max_examples=40, deadline=None)
@given(
    people=st.integers(1, 6),
    cost_ms=st.integers(1, 12),
    look_ms=st.integers(0, 40),
    budget_ms=st.integers(1, 60),
    look_every=st.integers(1, 6),
)
def test_a_frame_keeps_its_budget_and_the_longest_wait_comes_first(
    people, cost_ms, look_ms, budget_ms, look_every
):
    clock = Clock()
    refiner = OwnCrop(clock, cost_ms)
    config = RefineConfig(model="toy.tflite", budget_ms=budget_ms, look_every=look_every)
    cascade = Cascade(refiner, CROPS, Skeleton(), config, clock=clock)
    last = [0] * people  # the frame on which each was refined
    for frame in range(1, FRAMES + 1):
        refiner.truth, refiner.given = walkers(people, frame), []
        begin, look = clock.now, cascade.wants_look(frame * FRAME)
        cascade.begin()
        clock.now += look_ms * MS * look
        found = cascade(BLANK, [seen(t) for t in refiner.truth] if look else None, frame * FRAME)
        spent_ms = (clock.now - begin) // MS
        assert spent_ms <= max(budget_ms, look_ms * look), "no crop is begun that would end too late"
        assert len(found.poses) == people and sum(found.refined) == len(refiner.given)
        assert len(set(refiner.given)) == len(refiner.given), "nobody has two turns on a frame"
        fit = max((budget_ms - look_ms * look) // cost_ms, 0)
        assert len(refiner.given) == min(people, fit), "and as many are refined as fit"
        others = [last[n] for n in range(people) if n not in refiner.given]
        assert max((last[n] for n in refiner.given), default=0) <= min(others, default=frame), (
            "longest wait first"
        )
        for n in refiner.given:
            last[n] = frame


@settings(max_examples=30, deadline=None)
@given(
    people=st.integers(2, 6),
    crops=st.integers(1, 3),
    look_every=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_who_is_not_reached_moves_on_and_neither_keypoints_nor_score_jump(people, crops, look_every, seed):
    clock = Clock()
    refiner = OwnCrop(clock, 10)
    config = RefineConfig(model="toy.tflite", budget_ms=10 * crops, look_every=look_every)
    cascade = Cascade(refiner, CROPS, Skeleton(), config, clock=clock)
    rng = np.random.default_rng(seed)
    for frame in range(1, FRAMES + 1):
        refiner.truth = walkers(people, frame)
        look = cascade.wants_look(frame * FRAME)
        boxes = [seen(t + rng.normal(0, 0.3)) for t in refiner.truth]  # a detector's edges tremble
        found = cascade(BLANK, boxes if look else None, frame * FRAME)
        if frame <= 2 * ceil(people / crops):
            continue
        for p, truth in zip(sorted(found.poses, key=lambda p: p.keypoints[0, 0]), refiner.truth, strict=True):
            assert np.abs(p.keypoints[:, :2] - truth).max() < 3
            assert p.score == pytest.approx(0.8 * 0.5), "that of both networks, on this frame or a moment ago"
