from __future__ import annotations

import pytest
import torch
from torch import nn

from export.train.run.optimizer import Group, MovingAverage, Schedule, parameter_groups
from rpi_runtime.errors import InputError


def test_cosine_rises_then_falls_to_the_last_part() -> None:
    schedule = Schedule(rate=1.0, warmup=10, last=0.1)
    assert schedule.at(0, 1000) == pytest.approx(0.1, rel=1e-3)
    assert schedule.at(10, 1000) == pytest.approx(1.0, rel=1e-3)
    assert schedule.at(1000, 1000) == pytest.approx(0.1)


def test_steps_fall_at_milestones() -> None:
    schedule = Schedule(rate=1.0, warmup=0, kind="steps", milestones=(0.5, 0.75), factor=0.1)
    assert [schedule.at(s, 100) for s in (49, 50, 75)] == pytest.approx([1.0, 0.1, 0.01])


def test_groups_take_what_they_match_and_the_rest_is_left() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1))
    rows = parameter_groups(net, (Group(match=r"bias$", rate=2.0), Group(match=r"^0\.", decay=0.5)))
    assert [len(r["params"]) for r in rows] == [2, 1, 1]  # type: ignore[arg-type]
    assert [(r["factor"], r["weight_decay"]) for r in rows] == [(2.0, 0.0), (1.0, 0.5), (1.0, 0.0)]


def test_a_group_for_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no parameter left"):
        parameter_groups(nn.Conv2d(3, 4, 1), (Group(match="wieght"),))


def test_the_average_follows_the_weights() -> None:
    net = nn.Conv2d(1, 1, 1, bias=False)
    average = MovingAverage(net, decay=0.5)
    with torch.no_grad():
        net.weight.fill_(1.0)
    for _ in range(30):
        average.update(net)
    assert float(average.state["weight"]) == pytest.approx(1.0, abs=1e-6)


def test_a_group_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(InputError, match="no regular expression"):
        Group(match="[")
