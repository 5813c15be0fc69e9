from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.lw_openpose.prune import prune
from export.zoo.lw_openpose.widths import BACKBONE, Widths


def widths(width: int) -> Widths:
    rows = tuple((width, width, stride, dilation) for _, _, stride, dilation in BACKBONE)
    return Widths(backbone=rows, features=width, hidden=width, refinement=width)


def awaken(net: LwOpenPose) -> None:
    """Random weights of a size that keeps signals, biases that keep channels awake."""
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter, 0.0, 0.3)
        elif parameter.shape[1] > 1:
            torch.nn.init.normal_(parameter, std=(1 / parameter[0].numel()) ** 0.5)


@pytest.fixture(scope="module")
def large() -> LwOpenPose:
    """Random weights, biases that keep channels awake, and every second channel a copy of the one before."""
    torch.manual_seed(0)
    net = LwOpenPose("omz", widths=widths(16)).eval()
    awaken(net)
    for parameter in net.parameters():
        if len(parameter) == 16:  # outputs, 19 and 38 channels, have none to spare
            parameter.data[1::2] = parameter.data[::2]
    return net


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(1)) - 0.5


def error(small: LwOpenPose, large: LwOpenPose, pictures: torch.Tensor) -> float:
    with torch.inference_mode():
        pairs = zip(small(pictures), large(pictures), strict=True)
        return max(float((s - w).norm() / w.norm()) for s, w in pairs)


def test_all_channels_kept_is_the_same_function(large: LwOpenPose, pictures: torch.Tensor) -> None:
    small = LwOpenPose("omz", widths=widths(16)).eval()
    prune(large, small, pictures)
    assert error(small, large, pictures) < 0.02


def test_channels_that_are_copies_cost_nothing(large: LwOpenPose, pictures: torch.Tensor) -> None:
    small = LwOpenPose("omz", widths=widths(8)).eval()
    prune(large, small, pictures)
    other = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(2)) - 0.5
    assert error(small, large, other) < 0.02


def test_fewer_channels_cost_more(large: LwOpenPose, pictures: torch.Tensor) -> None:
    small = LwOpenPose("omz", widths=widths(4)).eval()
    prune(large, small, pictures)
    assert error(small, large, pictures) > 0.02


@pytest.mark.parametrize("rank_one", [True, False])
def test_kernels_of_rank_one_become_separable_at_little_cost(pictures: torch.Tensor, rank_one: bool) -> None:
    torch.manual_seed(3)
    large = LwOpenPose("omz", widths=widths(16)).eval()
    awaken(large)
    for parameter in large.parameters():
        if rank_one and parameter.shape[1:] == (16, 3, 3):
            outer = parameter.data[:, :, 1:2, 1:2] * parameter.data[:1]
            parameter.data.copy_(outer / outer.norm() * parameter.norm())
    separable = LwOpenPose("omz", widths=replace(widths(16), separable=True)).eval()
    prune(large, separable, pictures)
    assert (error(separable, large, pictures) < 0.06) == rank_one
