"""Layers fitted anew bring a network with other activations near to what it was."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from export.train.start.refit import record, refit  # noqa: E402


def network(activation: type[nn.Module]) -> nn.Sequential:
    """Plain, depthwise and strided convolutions."""
    torch.manual_seed(0)
    layers = [
        nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), activation()),
        nn.Sequential(nn.Conv2d(16, 16, 5, 1, 2, groups=16), activation()),
        nn.Sequential(nn.Conv2d(16, 24, 1), activation()),
        nn.Conv2d(24, 4, 1),
    ]
    return nn.Sequential(*layers)


def test_what_is_left_is_far_less_than_with_the_old_values() -> None:
    trained, other = network(nn.SiLU), network(nn.ReLU)
    seen, unseen = torch.randn(8, 3, 32, 32), torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        wanted, before = trained(unseen), other(unseen)
        left = refit(other, record(trained, seen), seen)
        after = other(unseen)
    assert set(left) == {"0.0", "1.0", "2.0", "3"}
    assert (after - wanted).square().mean() < 0.25 * (before - wanted).square().mean()


def test_the_same_activations_stay_as_they_are() -> None:
    trained, same = network(nn.ReLU), network(nn.ReLU)
    pictures = torch.randn(4, 3, 32, 32)
    left = refit(same, record(trained, pictures), pictures)
    assert left["3"] < 3e-2


def test_it_is_the_same_every_time() -> None:
    pictures = torch.randn(2, 3, 32, 32)
    targets = record(network(nn.SiLU), pictures)
    nets = [network(nn.ReLU) for _ in range(2)]
    for net in nets:
        refit(net, targets, pictures)
    assert all(torch.equal(a, b) for a, b in zip(*(n.state_dict().values() for n in nets), strict=True))
