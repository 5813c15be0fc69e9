"""Scale channels so that each fills the grid that it shares with the others; exact in float.

A tensor has one grid for all channels: one channel with large values leaves the others a few steps. Each class of
channels (`channels`) gets the factor that brings its values, over all tensors that it occurs in, to the level of the
other channels there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.quantize.channels import Classes, find_classes
from quant.quantize.observe import Statistics
from quant.quantize.rules import BIAS_PLACES, WEIGHT_AXES, image_of
from quant.tflite.records import Model, Operator, Tensor

Factors = NDArray[np.float64]
SWEEPS = 30
# a channel below 1/256 of the largest of its tensor is as good as dead: it is not enlarged further
LARGEST = 2.0**8
CLAMP = 6.0
ROOM = 1.05  # below the clamp, for images that calibration has not seen
APART = 4.0  # maximum over median from which a tensor is reported
TINY = 1e-30


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """A tensor whose largest channel is far above the usual one before equalization.

    Attributes
    ----------
    tensor : str
    channel : int
        The largest.
    maximum, next_maximum, median : float
        Largest magnitude of that channel, of the next one and of the median channel.
    left : float
        Maximum over median once channels are scaled; 1 is even.
    """

    tensor: str
    channel: int
    maximum: float
    next_maximum: float
    median: float
    left: float


def equalize(
    model: Model, statistics: Mapping[Tensor, Statistics], grids: list[list[Tensor]], level: float = 1.0
) -> list[Outlier]:
    """Scale the channels of a network in place; return where they were far apart, worst first.

    Parameters
    ----------
    model : Model
        Float; only its operators' constants are exchanged.
    statistics : mapping of Tensor to Statistics
    grids : list of list of Tensor
        Tensors that share a grid.
    level : float
        How far to go, in logarithms: 1 evens the channels out, 0.5 takes the square root of that factor, as between
        weights and activations Nagel et al. 2019 do; rounding of the weights behind a channel loses less then.
    """
    classes = find_classes(model)
    factors = _solve(classes, statistics, grids) ** level
    scale_channels(model, classes, factors)
    return _outliers(classes, factors, statistics)


def _outliers(classes: Classes, factors: Factors, statistics: Mapping[Tensor, Statistics]) -> list[Outlier]:
    found = []
    for tensor, kinds in classes.of.items():
        size = statistics[tensor].channel_size if tensor in statistics else np.zeros(0, np.float32)
        median = float(np.median(size)) if len(size) > 1 else 0.0
        if median == 0 or size.max() < APART * median:
            continue
        after = size * factors[kinds]
        maximum, following = np.sort(size)[::-1][:2].tolist()
        found.append(
            Outlier(
                tensor=tensor.name,
                channel=int(size.argmax()),
                maximum=maximum,
                next_maximum=following,
                median=median,
                left=float(after.max() / np.median(after)),
            )
        )
    return sorted(found, key=lambda o: -o.maximum / o.median)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Levels:
    """Every channel of every tensor: its grid, its class and the logarithm of its largest magnitude."""

    grid: NDArray[np.int64]
    kind: NDArray[np.int64]
    level: Factors


def _levels(classes: Classes, statistics: Mapping[Tensor, Statistics], grids: list[list[Tensor]]) -> _Levels:
    members = [(n, t) for n, group in enumerate(grids) for t in group if t in classes.of and t in statistics]
    grid = np.concatenate([np.full(len(classes.of[t]), n) for n, t in members])
    kind = np.concatenate([classes.of[t] for _, t in members])
    size = np.concatenate([statistics[t].channel_size for _, t in members]).astype(np.float64)
    top = np.zeros(len(grids))
    np.maximum.at(top, grid, size)
    return _Levels(grid=grid, kind=kind, level=np.log(np.maximum(size, top[grid] / LARGEST) + TINY))


def _solve(classes: Classes, statistics: Mapping[Tensor, Statistics], grids: list[list[Tensor]]) -> Factors:
    """Fixed point: each class moves by the mean, in logarithms, of what its channels miss to the level of their grids.

    The level is the mean of a grid's channels; where there are clamps or fixed classes, it is the largest of those. The
    largest of all would rise with each sweep where a class has large values in one tensor and none in this one.
    """
    all_ = _levels(classes, statistics, grids)
    limit = np.full(classes.count, np.inf)
    np.minimum.at(limit, all_.kind, np.log(CLAMP / ROOM) - all_.level)
    limit = np.where(classes.clamped, np.maximum(limit, 0), np.inf)
    holding = (classes.fixed | classes.clamped)[all_.kind]
    sizes = np.maximum(np.bincount(all_.grid, minlength=len(grids)), 1)
    counts = np.maximum(np.bincount(all_.kind, minlength=classes.count), 1)
    factor = np.zeros(classes.count)
    for _ in range(SWEEPS):
        filled = factor[all_.kind] + all_.level
        mean = np.bincount(all_.grid, weights=filled, minlength=len(grids)) / sizes
        top = np.full(len(grids), -np.inf)
        np.maximum.at(top, all_.grid[holding], filled[holding])
        missing = np.where(np.isfinite(top), top, mean)[all_.grid] - filled
        step = np.bincount(all_.kind, weights=missing, minlength=classes.count) / counts
        factor = np.minimum(np.where(classes.fixed, 0.0, factor + step), limit)
    return np.exp(factor)


def scale_channels(model: Model, classes: Classes, factors: Factors) -> None:
    """Write a factor for each class into weights, biases and the constants of sums."""

    def of(tensor: Tensor) -> Factors:
        return factors[classes.of[tensor]] if tensor in classes.of else np.ones(tensor.shape[-1])

    for op in model.operators:
        if op.name in WEIGHT_AXES and op.inputs[1] is not None and op.inputs[1].data is not None:
            _scale_weights(op, of(image_of(op)), of(op.outputs[0]))
        elif op.name in ("ADD", "SUB"):
            _scale_constants(op, of(op.outputs[0]))


def _scale_weights(op: Operator, before: Factors, after: Factors) -> None:
    weights = op.inputs[1]
    assert weights is not None
    values = weights.real().astype(np.float64)
    if op.name == "DEPTHWISE_CONV_2D":
        values *= after / np.repeat(before, len(after) // len(before))
    else:
        middle = (1,) * (values.ndim - 2)
        groups = len(before) // values.shape[-1]
        inputs = np.repeat(before.reshape(groups, *middle, -1), len(after) // groups, axis=0)
        values *= after.reshape(-1, *middle, 1) / inputs
    op.inputs[1] = Tensor.constant(weights.name, values.astype(np.float32))
    place = BIAS_PLACES[op.name]
    bias = op.inputs[place] if len(op.inputs) > place else None
    if bias is not None:
        op.inputs[place] = Tensor.constant(bias.name, (bias.real() * after).astype(np.float32))


def _scale_constants(op: Operator, after: Factors) -> None:
    for place, tensor in enumerate(op.inputs):
        if tensor is not None and tensor.data is not None and tensor.real().any() and (after != 1).any():
            op.inputs[place] = Tensor.constant(tensor.name, (tensor.real() * after).astype(np.float32))
