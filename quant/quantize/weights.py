"""Constants in integers: weights with a scale for each output channel, 32-bit biases, operands of sums and products.

Source of the formats: TensorFlow Lite's 8-bit quantization specification.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quant.quantize.ranges import Range
from quant.quantize.rules import BIAS_PLACES, WEIGHT_AXES
from quant.tflite.records import Operator, Quantization, Tensor

LARGEST = 127  # weights are symmetric: -128 is not used
BIAS_ROOM = 2.0**30  # a bias may use half of 32 bits; the sum of products needs the rest
# XNNPACK's requantization: input scale * weight scale / output scale
LEAST_RATIO, LARGEST_RATIO = 2.0**-32, 2.0**8
LEAST_SUMMED = 2.0**-10  # of a sum: input scale / output scale

Scales = NDArray[np.float32]


def weight_scales(op: Operator, entry: Quantization, result: Quantization) -> Scales:
    """Return the scale of each output channel of an operator's weights, (C,).

    The largest weight of the channel is 127, unless the bias or the ratios of scales that the kernels accept ask for
    another: a channel without weights still adds its bias, and one that its grid cuts off anyway may lose its largest.
    """
    weights, axis = op.inputs[1], WEIGHT_AXES[op.name]
    assert weights is not None
    others = tuple(i for i in range(len(weights.shape)) if i != axis)
    largest = np.abs(weights.real()).max(axis=others).astype(np.float64) / LARGEST
    least = np.full_like(largest, 1.01 * LEAST_RATIO * result.scale / entry.scale)
    bias = bias_of(op)
    if bias is not None:
        least = np.maximum(least, np.abs(bias) / (BIAS_ROOM * entry.scale))
    most = 0.99 * LARGEST_RATIO * result.scale / entry.scale
    scales: Scales = np.minimum(np.maximum(largest, least), most).astype(np.float32)
    return scales


def bias_of(op: Operator) -> NDArray[np.float32] | None:
    """Return an operator's bias; None without one."""
    place = BIAS_PLACES[op.name]
    tensor = op.inputs[place] if len(op.inputs) > place else None
    return None if tensor is None else tensor.real()


def integer_weights(op: Operator, scales: Scales) -> Tensor:
    """Return the weights in int8."""
    weights, axis = op.inputs[1], WEIGHT_AXES[op.name]
    assert weights is not None
    grid = Quantization(scales=scales, zero_points=np.zeros(len(scales), np.int64), axis=axis)
    spread, _ = grid.spread(len(weights.shape))
    stored = np.clip(np.rint(weights.real() / spread), -LARGEST, LARGEST).astype(np.int8)
    return Tensor.constant(weights.name, stored, grid)


def integer_bias(op: Operator, scales: Scales, entry: Quantization) -> Tensor:
    """Return the bias in int32, of zeros where the operator has none."""
    bias = bias_of(op)
    tensor = op.inputs[BIAS_PLACES[op.name]] if bias is not None else None
    steps = scales.astype(np.float64) * entry.scale
    stored = np.zeros(len(scales)) if bias is None else np.clip(np.rint(bias / steps), -BIAS_ROOM, BIAS_ROOM)
    name = f"{op.outputs[0].name}/bias" if tensor is None else tensor.name
    grid = Quantization(scales=steps.astype(np.float32), zero_points=np.zeros(len(scales), np.int64))
    return Tensor.constant(name, stored.astype(np.int32), grid)


def integer_operand(tensor: Tensor, total: Quantization | None = None) -> Tensor:
    """Return a constant operand of a sum or product in int8: a single value exactly, others from end to end.

    Parameters
    ----------
    tensor : Tensor
        Float.
    total : Quantization or None
        The grid of the sum. XNNPACK leaves a sum to TFLite's kernels where a constant's steps are too small beside it
        (an epsilon) or too large (a zero has no size of its own).
    """
    values = tensor.real()
    grid = constant_grid(values) if total is None or values.any() else Quantization.of(total.scale)
    if total is not None and grid.scale < LEAST_SUMMED * total.scale:
        grid = Quantization.of(1.01 * LEAST_SUMMED * total.scale)
    stored = np.clip(np.rint(values / grid.scale) + grid.zero_point, -LARGEST - 1, LARGEST).astype(np.int8)
    return Tensor.constant(tensor.name, stored, grid)


def constant_grid(values: NDArray[np.float32]) -> Quantization:
    """Return the grid of a constant operand."""
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low == high:
        return Quantization.of(1.0)
    if low == 0 or high == 0:  # one sign: the largest value lies on a step
        return Quantization.of((high - low) / (2 * LARGEST + 1), -LARGEST - 1 if low == 0 else LARGEST)
    return Range(low=low, high=high).grid()
