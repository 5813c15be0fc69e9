"""Optimizer groups, the learning rate over time, and the moving average of the weights."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rpi_runtime.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parameters whose name matches the regular expression `match`: factor on the rate, and weight decay."""

    match: str
    rate: float = 1.0
    decay: float = 0.0

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except re.error as err:
            raise InputError(f"recipe: group {self.match!r}: no regular expression ({err})") from err


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The learning rate over time.

    Attributes
    ----------
    rate : float
        Largest learning rate.
    warmup : int
        Number of steps of linear rise.
    kind : {"cosine", "steps"}
        Decay to `last` of the rate along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983), or
        multiplication by `factor` at each of `milestones`, which are fractions of the run.
    """

    rate: float
    warmup: int = 100
    kind: Literal["cosine", "steps"] = "cosine"
    last: float = 0.02
    milestones: tuple[float, ...] = ()
    factor: float = 0.1

    def at(self, step: int, steps: float) -> float:
        """Return the learning rate of step `step` of `steps`."""
        rise = min((step + 1) / max(self.warmup, 1), 1.0)
        part = step / max(steps, 1)
        if self.kind == "cosine":
            return self.rate * rise * (self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * part)))
        passed = sum(part >= m for m in self.milestones)
        return self.rate * rise * self.factor**passed


def parameter_groups(net: nn.Module, groups: tuple[Group, ...]) -> list[dict[str, object]]:
    """Sort every parameter into the first group that matches its name.

    Raises
    ------
    InputError
        A group matches no parameter, most likely because its pattern is misspelt.
    """
    found: list[list[Tensor]] = [[] for _ in groups]
    rest: list[Tensor] = []
    for name, parameter in net.named_parameters():
        home = next((f for f, g in zip(found, groups, strict=True) if re.search(g.match, name)), rest)
        home.append(parameter)
    for group, parameters in zip(groups, found, strict=True):
        if not parameters:
            raise InputError(
                f"recipe: no parameter left for the group {group.match!r}; see their names in the network"
            )
    rows: list[dict[str, object]] = [
        {"params": p, "factor": g.rate, "weight_decay": g.decay} for g, p in zip(groups, found, strict=True)
    ]
    return [*rows, {"params": rest, "factor": 1.0, "weight_decay": 0.0}]


def adam(net: nn.Module, groups: tuple[Group, ...], rate: float) -> torch.optim.Optimizer:
    """Return Adam with decoupled weight decay (Loshchilov and Hutter 2019); without decay it is Adam."""
    return torch.optim.AdamW(parameter_groups(net, groups), lr=rate)


class MovingAverage:
    """Exponential moving average of the weights (Polyak and Juditsky 1992), which is evaluated and shipped.

    Early steps count less: the decay at step n is ``min(decay, (1 + n) / (10 + n))``.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay, self.count = decay, 0
        self.state = {k: v.detach().clone().float() for k, v in net.state_dict().items()}

    def update(self, net: nn.Module) -> None:
        """Update the average with one step's weights."""
        keep = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        now = net.state_dict()
        moving = [key for key, value in now.items() if value.is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([self.state[k] for k in moving], [now[k].float() for k in moving], 1 - keep)
            self.state.update({k: v.detach().clone() for k, v in now.items() if not v.is_floating_point()})
