"""Losses of the training, each as its paper or its published code states it."""

from __future__ import annotations

from torch import Tensor


def stage_loss(pred: Tensor, target: Tensor, mask: Tensor, weighting: float = 0.0) -> Tensor:
    """Squared error of one stage's maps.

    Parameters
    ----------
    pred, target : Tensor, shape (N, C, h, w)
    mask : Tensor, shape (N, 1, h, w)
        0 where nothing is known, 1 elsewhere.
    weighting : float
        0: ``sum((mask * (pred - target))^2) / 2 / N``, Lightweight OpenPose's. Above 0 each cell counts
        ``1 + weighting * |target|`` times: with 1 the heatmap-weighting loss's ``F(x) = x`` (Li et al. 2022,
        arXiv:2205.10611), which keeps the many empty cells from teaching the network to say nothing.

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
    """Sum of `stage_loss` over every stage's heatmaps and PAFs; `maps` (N, 19 + 38, h, w) holds both targets."""
    kinds = stages[0][0].shape[1]
    total = maps.new_zeros(())
    for heatmaps, pafs in stages:
        total = total + stage_loss(heatmaps.float(), maps[:, :kinds], mask, weighting)
        total = total + stage_loss(pafs.float(), maps[:, kinds:], mask, weighting)
    return total
