"""Losses, each as its paper or its published code defines it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

WeightFunction = Literal["none", "x", "2x", "x^2", "e^x"]


def stage_loss(pred: Tensor, target: Tensor, mask: Tensor, weighting: float = 0.0) -> Tensor:
    """Return the squared error of one stage's maps.

    Parameters
    ----------
    pred, target : Tensor, shape (N, C, h, w)
    mask : Tensor, shape (N, 1, h, w)
        0 where no label is known, 1 elsewhere.
    weighting : float
        0: ``sum((mask * (pred - target))^2) / 2 / N``, as in Lightweight OpenPose. Above 0 each cell counts
        ``1 + weighting * |target|`` times: with 1 the heatmap-weighting loss's ``F(x) = x`` (Li et al. 2022,
        arXiv:2205.10611), which keeps the many empty cells from dominating.

    Returns
    -------
    Tensor, scalar
    """
    error = ((pred - target) * mask) ** 2
    if weighting:
        error = error * (1 + weighting * target.abs())
    return error.sum() / (2 * len(pred))


def openpose_loss(
    stages: list[tuple[Tensor, Tensor]], maps: Tensor, mask: Tensor, weighting: float = 0.0
) -> Tensor:
    """Return the sum of `stage_loss` over heatmaps and PAFs of every stage; `maps` (N, 19 + 38, h, w) are targets."""
    kinds = stages[0][0].shape[1]
    total = maps.new_zeros(())
    for heatmaps, pafs in stages:
        total = total + stage_loss(heatmaps.float(), maps[:, :kinds], mask, weighting)
        total = total + stage_loss(pafs.float(), maps[:, kinds:], mask, weighting)
    return total


def masked_mse(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the heatmap loss of HigherHRNet and EfficientHRNet: the mean over channels and cells, masked ones as 0.

    Parameters
    ----------
    pred, target : Tensor, shape (N, C, h, w)
    mask : Tensor, shape (N, 1, h, w)

    Returns
    -------
    Tensor, shape (N,)
    """
    return ((pred - target) ** 2 * mask).mean(dim=(1, 2, 3))


def tag_losses(tags: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses of associative embedding (Newell et al. 2017, arXiv:1611.05424), pushing in exponential form.

    Parameters
    ----------
    tags : Tensor, shape (N, K, h, w)
    joints : Tensor, shape (N, P, K, 2), integer
        For each person and keypoint: the index into the flattened tags of the picture, and 1 if it counts.

    Returns
    -------
    push : Tensor, shape (N,)
        Half the mean of ``exp(-(m_i - m_j)^2)`` over the ordered pairs of people, m a person's mean tag; 0 for one.
    pull : Tensor, shape (N,)
        Mean over people of the mean squared distance of a person's tags from their mean.
    """
    index, counts = joints[..., 0].long(), joints[..., 1].to(tags.dtype)
    found = tags.flatten(1).gather(1, index.flatten(1)).view(index.shape)
    seen = counts.sum(dim=2)
    people = (seen > 0).to(tags.dtype)
    total = people.sum(dim=1)
    mean = (found * counts).sum(dim=2) / seen.clamp(min=1)
    spread = ((found - mean[..., None]) ** 2 * counts).sum(dim=2) / seen.clamp(min=1)
    pull = spread.sum(dim=1) / total.clamp(min=1)
    near = torch.exp(-((mean[:, :, None] - mean[:, None, :]) ** 2)) * people[:, :, None] * people[:, None, :]
    pairs = near.sum(dim=(1, 2)) - total  # less the pairs of a person with itself
    return 0.5 * pairs / (total * (total - 1)).clamp(min=1), pull


def heatmap_weighting_loss(
    pred: Tensor, target: Tensor, weight: Tensor, function: WeightFunction = "x"
) -> Tensor:
    """Return the mean squared error, each cell counted ``F(target) + 1`` times (Li et al. 2022, arXiv:2205.10611).

    Parameters
    ----------
    pred, target : Tensor, shape (N, K, h, w)
    weight : Tensor, shape (N, K)
        0 for keypoints that are not labelled.
    function : {"none", "x", "2x", "x^2", "e^x"}
        The function F; "none" for plain squared error.

    Returns
    -------
    Tensor, scalar
        As in the published code: the mean over keypoints, pictures and cells, without a factor of one half.
    """
    error = ((pred - target) * weight[:, :, None, None]) ** 2
    factors = {"x": lambda: target, "2x": lambda: 2 * target, "x^2": lambda: target**2, "e^x": target.exp}
    return (error if function == "none" else error * (factors[function]() + 1)).mean()


def joints_mse(pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return half the mean squared error of labelled keypoints, as HRNet and LPN do; shapes as above."""
    return 0.5 * heatmap_weighting_loss(pred, target, weight, "none")
