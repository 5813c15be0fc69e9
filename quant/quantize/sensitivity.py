"""How much each value of each tensor matters to the network's outputs, and the ranges that follow.

A step of rounding or a clipped value at some place changes the outputs by its size times the gradient there. With
outputs weighed by random signs, the mean of the gradient's square is the exact first-order factor between the square of
an error and the squared error of all outputs that it causes (Hutchinson's estimator; the idea of weighing quantization
error so is that of Dong et al. 2019, HAWQ, arXiv:1905.03696). A range that is chosen by it cuts off large values where
they do not matter, and keeps them where they do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from quant.quantize.ranges import STEPS, Range
from quant.quantize.simulate import Value, parameters_of, simulate
from quant.tflite.records import Model, Tensor

BINS = 512  # of one image's values
SHRINKS = np.concatenate(
    [[0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25], np.linspace(0.3, 1, 29)]
)  # of each end, tried


class Weighted:
    """Values of one tensor, each with what an error there costs; in bins of their own for each image."""

    def __init__(self) -> None:
        self.values: list[NDArray[np.float64]] = []
        self.costs: list[NDArray[np.float64]] = []

    def add(self, values: NDArray[np.float32], costs: NDArray[np.float32]) -> None:
        """Take one image's values and squared gradients, of one shape."""
        low, high = float(values.min()), float(values.max())
        width = max(high - low, 1e-12) / BINS
        places = np.minimum(((values.ravel() - low) / np.float32(width)).astype(np.int64), BINS - 1)
        self.values.append(low + (np.arange(BINS) + 0.5) * width)  # type: ignore[arg-type]
        self.costs.append(np.bincount(places, weights=costs.ravel(), minlength=BINS).astype(np.float64))


@dataclass(slots=True, kw_only=True)
class Sensitivity:
    """What errors cost the outputs.

    Attributes
    ----------
    values : dict of Tensor to Weighted
        By value.
    places : dict of Tensor to list of ndarray, (H, W) float32
        By place in each image, summed over channels; of tensors with four axes.
    """

    values: dict[Tensor, Weighted] = field(default_factory=dict)
    places: dict[Tensor, list[NDArray[np.float32]]] = field(default_factory=dict)

    def add(self, tensor: Tensor, values: NDArray[np.float32], costs: NDArray[np.float32]) -> None:
        """Take one image's values and squared gradients."""
        self.values.setdefault(tensor, Weighted()).add(values, costs)
        if costs.ndim == 4:
            self.places.setdefault(tensor, []).append(costs[0].sum(axis=-1))


def measure_sensitivity(model: Model, images: Iterable[NDArray[np.float32]]) -> Sensitivity:
    """Return what errors in each computed tensor cost, over some images.

    Each output counts by its error relative to its norm over all images. An image on which an output is empty, because
    there is no person, must not set the range of the others.
    """
    parameters, images = parameters_of(model), list(images)
    units = _norms(model, images, parameters)
    draw = torch.Generator().manual_seed(0)
    found = Sensitivity()
    for image in images:
        kept: dict[Tensor, Value] = {}
        outputs = simulate(model, _leaf(image), parameters, after=partial(_keep, kept))
        signs = (torch.where(torch.rand(v.shape, generator=draw) < 0.5, -1.0, 1.0) for v in outputs.values())
        sums = [(v * s).sum() / units[t] for (t, v), s in zip(outputs.items(), signs, strict=True)]
        torch.stack(sums).sum().backward()
        for tensor, value in kept.items():
            if value.grad is not None:
                found.add(tensor, value.detach().numpy(), np.square(value.grad.numpy()))
    return found


def _leaf(image: NDArray[np.float32]) -> Value:
    return torch.from_numpy(image.copy()).requires_grad_(True)


def _keep(kept: dict[Tensor, Value], tensor: Tensor, value: Value) -> Value:
    if not value.is_leaf:
        value.retain_grad()
    kept[tensor] = value
    return value


def _norms(
    model: Model, images: list[NDArray[np.float32]], parameters: dict[Tensor, Value]
) -> dict[Tensor, float]:
    """Norm of each output over all images, the unit in which its error counts."""
    squares: dict[Tensor, float] = {}
    with torch.no_grad():
        for image in images:
            for tensor, value in simulate(model, torch.from_numpy(image), parameters).items():
                squares[tensor] = squares.get(tensor, 0.0) + float(value.square().sum())
    return {tensor: max(total**0.5, 1e-12) for tensor, total in squares.items()}


def least_cost(found: list[Weighted], whole: Range) -> Range:
    """Return the part of the whole range whose grid costs the outputs least.

    Both ends are tried in steps: rounding costs ``scale^2 / 12`` times all sensitivity, clipping its square where it
    happens.
    """
    values = np.concatenate([v for w in found for v in w.values])
    costs = np.concatenate([c for w in found for c in w.costs])
    lows, highs = whole.low * SHRINKS, whole.high * SHRINKS
    below = np.square(np.maximum(lows[:, None] - values, 0)) @ costs
    above = np.square(np.maximum(values - highs[:, None], 0)) @ costs
    scales = (highs[None, :] - lows[:, None]) / STEPS
    total = below[:, None] + above[None, :] + costs.sum() * scales**2 / 12
    i, j = np.unravel_index(int(total.argmin()), total.shape)
    return Range(low=float(lows[i]), high=float(highs[j]))
