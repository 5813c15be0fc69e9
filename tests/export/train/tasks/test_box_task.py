"""What a detector in training is compared with."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from export.train.tasks.box_task import focal, missed  # noqa: E402
from export.train.tasks.taught import Taught  # noqa: E402


def sides(left: float, top: float, right: float, bottom: float) -> Any:
    """Distances of one cell."""
    return torch.tensor([left, top, right, bottom]).reshape(1, 4, 1, 1)


def test_the_same_box_misses_nothing_and_half_of_it_half() -> None:
    assert float(missed(sides(1, 2, 3, 4), sides(1, 2, 3, 4))) == pytest.approx(0)
    # half the area inside, and no room around that is neither's
    assert float(missed(sides(1, 2, 1, 2), sides(1, 2, 3, 2))) == pytest.approx(0.5)


def test_a_box_that_reaches_elsewhere_misses_more_than_a_small_one() -> None:
    # 2x2 of each, 1x1 in common: 1 - 1/7; the box around both has 9 cells of which 2 are neither's
    apart = missed(sides(1, 1, 1, 1), sides(0, 0, 2, 2))
    assert float(apart) == pytest.approx(1 - 1 / 7 + 2 / 9)


def test_scores_that_agree_cost_nothing_more_than_their_entropy_weighs() -> None:
    wanted = torch.tensor([0.0, 0.5, 1.0])
    exact = torch.tensor([-20.0, 0.0, 20.0])
    assert float(focal(exact, wanted)) == pytest.approx(0, abs=1e-6)
    assert float(focal(torch.tensor([2.0]), torch.tensor([0.0]))) > 1


def test_the_teacher_is_no_part_of_what_is_trained() -> None:
    net, teacher = torch.nn.Conv2d(3, 1, 1), torch.nn.Conv2d(3, 1, 1)
    both = Taught(net, teacher)
    assert {id(p) for p in both.parameters()} == {id(p) for p in net.parameters()}
    found, taught = both(torch.ones(1, 3, 2, 2))
    assert found.requires_grad
    assert not taught.requires_grad
