"""Weights and biases that make up for what the integers before them have lost; layer by layer, in closed form.

The network runs twice side by side, in float and with all grids simulated. At each layer with weights the second run's
input is known with its noise. Three steps, each the exact solution of a least squares problem over the images:

1. the weights that come nearest to the float layer's result, given the noisy input (ridge regression);
2. their rounding, one input after the other, each error spread over those that follow (Frantar et al. 2022, GPTQ,
   arXiv:2210.17323);
3. the bias that leaves no mean error (Nagel et al. 2019, arXiv:1906.04721, with measured means).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from quant.quantize.plan import Plan
from quant.quantize.rules import BIAS_PLACES, MOVES, WEIGHT_AXES, image_of
from quant.quantize.simulate import (
    ACTIVATIONS,
    KERNELS,
    Value,
    Values,
    first,
    padded,
    pair,
    reproducible,
    uses,
)
from quant.quantize.weights import LARGEST, bias_of, weight_scales
from quant.recipe import RecipeError
from quant.tflite.records import Model, Operator, Tensor

ROWS = 20_000  # places of the images that a layer's problem takes, drawn by what an error there costs
EVEN = 0.1  # part of the draw that is the same everywhere
DAMP_FIT, DAMP_ROUND = 0.05, 0.01  # of the mean variance of an input
LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D")

Matrix = NDArray[np.float64]
Places = Mapping[Tensor, list[NDArray[np.float32]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Which steps to take."""

    fit: bool = True
    round: bool = True
    bias: bool = True


def reconstruct(model: Model, plan: Plan, images: Value, places: Places, steps: Steps = Steps()) -> None:
    """Change weights and biases in place, and note the weights' scales in the plan.

    Parameters
    ----------
    model : Model
        Float.
    plan : Plan
    images : torch.Tensor, (N, H, W, 3)
        Normalised inputs.
    places : mapping of Tensor to list of ndarray, (H, W)
        What an error costs at each place of each image (`quant.quantize.sensitivity`).
    steps : Steps
    """
    mixed = next((op for op in model.operators if any(t.shape and t.shape[0] != 1 for t in op.outputs)), None)
    if mixed is not None:
        raise RecipeError(
            f"{mixed.name} ({mixed.outputs[0].name!r}) puts parts of a picture where pictures stand, so that layers "
            "cannot be fitted on several"
        )
    with torch.no_grad(), reproducible():
        _Walk(model, plan, images, places, steps).go()


class _Walk:
    """Both runs, at the same operator."""

    def __init__(self, model: Model, plan: Plan, images: Value, places: Places, steps: Steps) -> None:
        self.model, self.plan, self.places, self.steps = model, plan, places, steps
        (entry,) = model.inputs.values()
        self.real: Values = {entry: images}
        self.noisy: Values = {entry: self._on_grid(entry, images)}
        self.draw = np.random.default_rng(0)

    def go(self) -> None:
        left = uses(self.model)
        for op in self.model.operators:
            self._run(op, self.real, noisy=False)
            if op in self.plan.integer and op.name in LAYERS:
                self._improve(op)
            self._run(op, self.noisy, noisy=True)
            for tensor in dict.fromkeys(op.inputs):
                if tensor in self.real and tensor is not None:
                    left[tensor] -= 1
                    if not left[tensor]:
                        del self.real[tensor], self.noisy[tensor]

    def _run(self, op: Operator, values: Values, *, noisy: bool) -> None:
        operands = [_operand(t, values) for t in op.inputs]
        if noisy and op in self.plan.weight_scales:
            scales = torch.from_numpy(self.plan.weight_scales[op])
            zeros = torch.zeros(len(scales), dtype=torch.int32)
            axis = WEIGHT_AXES[op.name]
            operands[1] = torch.fake_quantize_per_channel_affine(
                operands[1], scales, zeros, axis, -LARGEST, LARGEST
            )
        results = KERNELS[op.name](op, operands)
        for tensor, value in zip(
            op.outputs, results if isinstance(results, tuple) else (results,), strict=True
        ):
            value = ACTIVATIONS[op.activation](value)
            values[tensor] = self._on_grid(tensor, value) if noisy and op.name not in MOVES else value

    def _on_grid(self, tensor: Tensor, value: Value) -> Value:
        grid = self.plan.grids.get(tensor)
        if grid is None:
            return value
        return torch.fake_quantize_per_tensor_affine(value, grid.scale, grid.zero_point, -128, 127)

    def _improve(self, op: Operator) -> None:
        weights = op.inputs[1]
        assert weights is not None
        matrix = _to_rows(op, weights.real())  # (groups, outputs, inputs)
        real, noisy = self._columns(op)  # (groups, inputs, places)
        before = real.mean(axis=2), noisy.mean(axis=2)
        real, noisy = real - before[0][..., None], noisy - before[1][..., None]
        count = noisy.shape[2]
        inner = noisy @ noisy.transpose(0, 2, 1) / count
        fitted = matrix
        if self.steps.fit:
            cross = real @ noisy.transpose(0, 2, 1) / count
            damp = _damp(inner, DAMP_FIT)
            fitted = np.linalg.solve(inner + damp, ((matrix @ (cross + damp)).transpose(0, 2, 1))).transpose(
                0, 2, 1
            )
        op.inputs[1] = Tensor.constant(weights.name, _from_rows(op, fitted, weights.shape))
        grids = self.plan.grids
        scales = weight_scales(op, grids[image_of(op)], grids[op.outputs[0]])
        self.plan.weight_scales[op] = scales
        spread = scales.reshape(fitted.shape[0], -1)
        rounded = np.clip(np.rint(fitted / spread[..., None]), -LARGEST, LARGEST) * spread[..., None]
        if self.steps.round:
            rounded = _rounded(fitted, spread.astype(np.float64), inner + _damp(inner, DAMP_ROUND))  # type: ignore[assignment]
        op.inputs[1] = Tensor.constant(weights.name, _from_rows(op, rounded, weights.shape))  # type: ignore[arg-type]
        if self.steps.bias:
            shift = np.einsum("goi,gi->go", matrix, before[0]) - np.einsum("goi,gi->go", rounded, before[1])
            self._shift_bias(op, shift.reshape(-1))

    def _shift_bias(self, op: Operator, shift: Matrix) -> None:
        bias, place = bias_of(op), BIAS_PLACES[op.name]
        values = shift if bias is None else bias + shift
        tensor = op.inputs[place] if bias is not None else None
        name = f"{op.outputs[0].name}/bias" if tensor is None else tensor.name
        op.inputs[place:] = [Tensor.constant(name, values.astype(np.float32))]

    def _columns(self, op: Operator) -> tuple[Matrix, Matrix]:
        """What the layer's weights meet in both runs, at the same places drawn at random: (groups, inputs, places)."""
        image, weights = image_of(op), op.inputs[1]
        assert weights is not None
        kernel = tuple(weights.shape[1:3])
        places = self._drawn(op)
        found = []
        for values in (self.real, self.noisy):
            unfolded = _unfold(op, values[image], kernel)  # (N, C * kh * kw, places of an image)
            flat = unfolded.permute(1, 0, 2).reshape(unfolded.shape[1], -1)[:, places]
            groups = _groups(op)
            found.append(flat.reshape(groups, -1, flat.shape[1]).numpy().astype(np.float64))
        return found[0], found[1]

    def _drawn(self, op: Operator) -> Value:
        """Places of the layer's result over all images, as indices: often where an error there costs much."""
        shape = op.outputs[0].shape
        count = self.real[image_of(op)].shape[0] * shape[1] * shape[2]
        costs = np.concatenate(
            [c.ravel() for c in self.places.get(op.outputs[0], [])] or [np.ones(count, np.float32)]
        )
        chance = np.resize(costs.astype(np.float64), count) + 1e-30
        chance = (1 - EVEN) * chance / chance.sum() + EVEN / count
        return torch.from_numpy(self.draw.choice(count, min(count, ROWS), p=chance / chance.sum()))


def _operand(tensor: Tensor | None, values: Values) -> Any:
    if tensor is None:
        return None
    if tensor.data is None:
        return values[tensor]
    # torch.tensor copies into aligned memory, on which the last bits of a convolution may depend
    return torch.tensor(tensor.real()) if tensor.dtype.kind == "f" else tensor.data


def _groups(op: Operator) -> int:
    image, weights = image_of(op), op.inputs[1]
    assert weights is not None
    return image.shape[3] if op.name == "DEPTHWISE_CONV_2D" else image.shape[3] // weights.shape[3]


def _unfold(op: Operator, value: Value, kernel: tuple[int, ...]) -> Value:
    image = padded(op, first(value), (kernel[0], kernel[1]))
    steps = pair(op, "stride_h", "stride_w")
    if kernel == (1, 1):
        return image[:, :, :: steps[0], :: steps[1]].flatten(2)
    dilation = pair(op, "dilation_h_factor", "dilation_w_factor")
    return functional.unfold(image, kernel, dilation=dilation, stride=steps)


def _to_rows(op: Operator, weights: NDArray[np.float32]) -> Matrix:
    """(groups, outputs of a group, inputs of a group), the inputs in the order of `unfold`: channel, row, column."""
    groups = _groups(op)
    depthwise = op.name == "DEPTHWISE_CONV_2D"  # (1, h, w, C * multiplier), others (C, h, w, inputs)
    rows = weights[0].transpose(2, 0, 1) if depthwise else weights.transpose(0, 3, 1, 2)
    matrix: Matrix = rows.reshape(groups, rows.shape[0] // groups, -1).astype(np.float64)
    return matrix


def _from_rows(op: Operator, matrix: Matrix, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if op.name == "DEPTHWISE_CONV_2D":
        values = matrix.reshape(shape[3], *shape[1:3]).transpose(1, 2, 0)[None]
    else:
        values = matrix.reshape(shape[0], shape[3], *shape[1:3]).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(values, np.float32)


def _damp(inner: Matrix, share: float) -> Matrix:
    """A multiple of the identity for each group, (groups, inputs, inputs)."""
    mean = np.trace(inner, axis1=1, axis2=2) / inner.shape[1]
    return np.asarray(np.maximum(share * mean, 1e-12)[:, None, None] * np.eye(inner.shape[1]))


def _rounded(matrix: Matrix, scales: Matrix, inner: Matrix) -> Matrix:
    """Round one input after the other, largest variance first; what follows makes up for each error."""
    order = np.argsort(-np.einsum("gii->gi", inner), axis=1, kind="stable")
    rows = np.take_along_axis(matrix, order[:, None, :], axis=2).copy()
    sorted_inner = np.take_along_axis(np.take_along_axis(inner, order[:, :, None], 1), order[:, None, :], 2)
    upper = np.linalg.cholesky(np.linalg.inv(sorted_inner)).transpose(0, 2, 1)
    for column in range(rows.shape[2]):
        value = rows[:, :, column]
        near = np.clip(np.rint(value / scales), -LARGEST, LARGEST) * scales
        error = (value - near) / upper[:, column, column][:, None]
        rows[:, :, column] = near
        rows[:, :, column + 1 :] -= error[..., None] * upper[:, None, column, column + 1 :]
    result = np.empty_like(rows)
    np.put_along_axis(result, np.broadcast_to(order[:, None, :], rows.shape), rows, axis=2)
    return result
