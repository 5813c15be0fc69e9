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

from quant.importance import Weigh, evenly
from quant.quantize.ranges import LEAST, STEPS, Range
from quant.quantize.simulate import Value, parameters_of, reproducible, simulate
from quant.tflite.records import Model, Quantization, Tensor

BINS = 512  # of one image's values
EVEN = 0.01  # of the mean cost: what an error costs at least
FAR = 3.0  # interquartile ranges above the third quartile, where outliers are "far out" (Tukey 1977)
# of each end, tried
SHRINKS = np.concatenate([[0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25], np.linspace(0.3, 1, 29)])


class Weighted:
    """Values of one tensor, each with what an error there costs; in bins of their own for each image."""

    def __init__(self) -> None:
        self.values: list[NDArray[np.float64]] = []
        self.counts: list[NDArray[np.float64]] = []
        self.costs: list[NDArray[np.float64]] = []

    def add(self, values: NDArray[np.float32], costs: NDArray[np.float32]) -> None:
        """Take one image's values and squared gradients, of one shape."""
        low, high = float(values.min()), float(values.max())
        width = max(high - low, 1e-12) / BINS
        places = np.minimum(((values.ravel() - low) / np.float32(width)).astype(np.int64), BINS - 1)
        self.values.append(low + (np.arange(BINS) + 0.5) * width)  # type: ignore[arg-type]
        self.counts.append(np.bincount(places, minlength=BINS).astype(np.float64))
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

    def bound(self) -> None:
        """Let an image that is far out (`FAR`) in most tensors count for no more than one at that limit.

        On single pictures a network stands at an edge: the least change of any early value tips a late score. There
        gradients say nothing about errors of a usual size, and one such picture may outweigh all others together. The
        limit follows the upper quartile, since up to three quarters of the pictures may show nobody.
        """
        totals = np.array([[c.sum() for c in w.costs] for w in self.values.values()])  # (tensors, images)
        first, third = np.quantile(totals, (0.25, 0.75), axis=1)
        limits = third + FAR * (third - first)
        known = limits > 0  # hardly an image knows of the other tensors
        if not known.any():
            return
        beyond = np.median(totals[known] / limits[known, None], axis=0)
        factors = 1 / np.maximum(beyond, 1)
        for weighted in self.values.values():
            weighted.costs = [c * f for c, f in zip(weighted.costs, factors, strict=True)]
        for tensor, places in self.places.items():
            self.places[tensor] = [p * np.float32(f) for p, f in zip(places, factors, strict=True)]


@reproducible()
def measure_sensitivity(
    model: Model, images: Iterable[NDArray[np.float32]], weigh: Weigh = evenly
) -> Sensitivity:
    """Return what errors in each computed tensor cost, over some images.

    Parameters
    ----------
    model : Model
        Float.
    images : iterable of ndarray, (1, H, W, 3)
    weigh : callable
        Gives the factors of the outputs' squared errors (`quant.importance`). They are relative to all images: one
        on which an output is empty, because there is no person, must not set the range of the others.

    Returns
    -------
    Sensitivity
        With every image's part bounded.
    """
    parameters, images = parameters_of(model), list(images)
    weights = weigh(run_all(model, images, parameters))
    draw = torch.Generator().manual_seed(0)
    found = Sensitivity()
    for image, factors in zip(images, weights, strict=True):
        kept: dict[Tensor, Value] = {}
        outputs = simulate(model, _leaf(image), parameters, after=partial(_keep, kept))
        sums = []
        for name, tensor in model.outputs.items():
            value = outputs[tensor]
            signs = torch.where(torch.rand(value.shape, generator=draw) < 0.5, -1.0, 1.0)
            sums.append((value * signs * torch.from_numpy(factors[name]).sqrt()).sum())
        torch.stack(sums).sum().backward()
        for tensor, value in kept.items():
            if value.grad is not None:
                found.add(tensor, value.detach().numpy(), np.square(value.grad.numpy()))
    found.bound()
    return found


def _leaf(image: NDArray[np.float32]) -> Value:
    return torch.tensor(image).requires_grad_(True)


def _keep(kept: dict[Tensor, Value], tensor: Tensor, value: Value) -> Value:
    if not value.is_leaf:
        value.retain_grad()
    kept[tensor] = value
    return value


def run_all(
    model: Model, images: Iterable[NDArray[np.float32]], parameters: dict[Tensor, Value]
) -> list[dict[str, NDArray[np.float32]]]:
    """Return the outputs of each image, by name."""
    runs = []
    with torch.no_grad():
        for image in images:
            outputs = simulate(model, torch.from_numpy(image), parameters)
            runs.append({name: outputs[tensor].numpy() for name, tensor in model.outputs.items()})
    return runs


def least_cost(found: list[Weighted], whole: Range) -> Range:
    """Return the part of the whole range whose grid costs the outputs least.

    Both ends are tried in steps: rounding costs ``scale^2 / 12`` times all sensitivity, clipping its square where it
    happens.
    """
    values, costs = _joined(found)
    lows, highs = whole.low * SHRINKS, whole.high * SHRINKS
    below = np.square(np.maximum(lows[:, None] - values, 0)) @ costs
    above = np.square(np.maximum(values - highs[:, None], 0)) @ costs
    scales = (highs[None, :] - lows[:, None]) / STEPS
    total = below[:, None] + above[None, :] + costs.sum() * scales**2 / 12
    i, j = np.unravel_index(int(total.argmin()), total.shape)
    return Range(low=float(lows[i]), high=float(highs[j]))


def error_of(found: Weighted, grid: Quantization) -> float:
    """Return the squared error of the outputs that rounding and clipping a tensor to a grid causes, to first order."""
    values, costs = np.concatenate(found.values), np.concatenate(found.costs)
    low, high = ((edge - grid.zero_point) * grid.scale for edge in (LEAST, LEAST + STEPS))
    outside = np.maximum(low - values, 0) + np.maximum(values - high, 0)
    return float(np.square(outside) @ costs + costs.sum() * grid.scale**2 / 12)


def _joined(found: list[Weighted]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values with what errors there cost, and a little (`EVEN`) that costs the same everywhere.

    Behind a gate that is saturated on all images gradients are zero, and nothing would keep a range from collapsing.
    """
    counts = np.concatenate([c for w in found for c in w.counts])
    costs = np.concatenate([c for w in found for c in w.costs])
    even = EVEN * costs.sum() / counts.sum() if costs.any() else 1.0
    return np.concatenate([v for w in found for v in w.values]), costs + even * counts
