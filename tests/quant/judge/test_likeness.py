"""AP where the float network's people are the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.cards.read import read_own_card
from quant.judge.likeness import LIKELY, Likeness
from rpi_runtime.model.card import ModelCard
from tests.quant.judge.test_people import FINDER, POSES, boxed, posed


def likeness(card: ModelCard, *images: tuple[list, list]) -> float | None:
    found = Likeness(card)
    for real, other in images:
        found.add(real, other)
    return found.percent()


def test_the_same_people_are_alike() -> None:
    assert likeness(FINDER, ([boxed(0), boxed(200)], [boxed(200), boxed(0)])) == pytest.approx(100)
    assert likeness(POSES, ([posed()], [posed()])) == pytest.approx(100)


def test_a_shift_costs_the_strict_thresholds_first() -> None:
    values = [likeness(FINDER, ([boxed(0)], [boxed(shift)])) for shift in (2.0, 8.0, 30.0)]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert values[0] == pytest.approx(100)
    assert values[-1] == pytest.approx(10)  # the overlap is 0.54


def test_small_moves_of_keypoints_cost_at_strict_thresholds_only() -> None:
    def both(shift: float) -> list[float | None]:
        found = Likeness(POSES)
        found.add([posed()], [posed(shift)])
        return [found.percent(), found.strict_percent()]

    assert both(0) == pytest.approx([100, 100])
    usual, strict = both(1.5)
    assert usual == pytest.approx(100)
    assert strict == pytest.approx(90)  # the similarity is 0.97
    usual, strict = both(4)
    assert strict < usual < 100  # type: ignore[operator]


def test_boxes_and_crops_have_no_strict_likeness() -> None:
    for card, person in (
        (FINDER, boxed(0)),
        (read_own_card("pp-tinypose-128x96"), replace(posed(), box=None)),
    ):
        found = Likeness(card)
        found.add([person], [person])
        assert found.percent() == pytest.approx(100)
        assert found.strict_percent() is None


def test_background_that_is_surer_than_a_person_costs() -> None:
    """Nobody is lost, nobody has moved: only the order differs."""
    real = [boxed(0, 0.5)]
    below = likeness(FINDER, (real, [boxed(0, 0.5), boxed(300, 0.4)]))
    above = likeness(FINDER, (real, [boxed(0, 0.5), boxed(300, 0.6)]))
    assert below == pytest.approx(100)
    assert above == pytest.approx(50)


def test_doubtful_people_count_neither_way() -> None:
    doubtful = boxed(300, LIKELY - 0.01)
    assert likeness(FINDER, ([boxed(0), doubtful], [boxed(0)])) == pytest.approx(100)
    assert likeness(
        FINDER, ([boxed(0), doubtful], [boxed(0), replace(doubtful, score=0.95)])
    ) == pytest.approx(100)


def test_keypoints_that_the_float_network_did_not_find_may_lie_anywhere() -> None:
    real, other = posed(), posed()
    real.keypoints[3:, 2] = other.keypoints[3:, 2] = 0.1
    other.keypoints[3:, :2] += 500
    assert likeness(POSES, ([real], [other])) == pytest.approx(100)
    real.keypoints[3:, 2] = 0.9
    assert likeness(POSES, ([real], [other])) == pytest.approx(0)


def test_without_a_person_or_a_measure_there_is_no_figure() -> None:
    assert likeness(FINDER, ([], [boxed(0)])) is None
    other = replace(POSES, skeleton=replace(POSES.skeleton, coco=()))
    assert likeness(other, ([posed()], [posed()])) is None


def test_crops_have_one_person_whatever_the_score() -> None:
    crops = read_own_card("pp-tinypose-128x96")
    sure = replace(posed(), score=np.float32(0.1), box=None)
    assert likeness(crops, ([sure], [sure])) == pytest.approx(100)
