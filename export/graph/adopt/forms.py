"""Replace TFLite operators that XNNPACK lacks by operators that it has, as the converters of ONNX do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from export.graph.convert.activations import clip
from export.graph.convert.arithmetic import add, combine, multiply, unary
from export.graph.convert.convolution import convolve
from export.graph.convert.refusal import RefusalError
from export.graph.convert.resize import nearest_of_tflite, resize
from export.graph.convert.scope import Scope
from export.graph.convert.slicing import JOINED, SPLIT, cut, join, pick
from export.graph.convert.windows import Windows, same_padding
from quant.tflite.records import Operator, Tensor

Inputs = list[Tensor | None]
Form = Callable[[Scope, Operator, Inputs], list[Tensor] | None]


def _first(inputs: Inputs) -> Tensor:
    assert inputs[0] is not None
    return inputs[0]


def _constant(inputs: Inputs, index: int) -> np.ndarray[Any, Any]:
    tensor = inputs[index] if index < len(inputs) else None
    if tensor is None or tensor.data is None:
        raise RefusalError(f"its operand {index} is computed at run time; expected a constant")
    return tensor.data


def _hard_swish(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    tensor = _first(inputs)
    gate = unary(scope, "RELU6", add(scope, tensor, 3.0))
    return [multiply(scope, multiply(scope, tensor, gate), 1 / 6)]


def _prelu(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    tensor, slope = _first(inputs), _constant(inputs, 1)
    if np.all(slope == slope.flat[0]):
        return [unary(scope, "LEAKY_RELU", tensor, alpha=float(slope.flat[0]))]
    positive = multiply(scope, unary(scope, "RELU", tensor), 1 - slope)
    return [add(scope, multiply(scope, tensor, slope), positive)]


def _relu_0_to_1(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    return [clip(scope, _first(inputs), 0.0, 1.0)]


def _extreme(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor] | None:
    for index in (0, 1):
        bound, other = inputs[index], inputs[1 - index]
        if bound is None or other is None or bound.data is None or bound.data.size != 1:
            continue
        if other.shape == op.outputs[0].shape and other.dtype == np.float32:
            number = float(bound.data.reshape(-1)[0])
            limits = (number, None) if op.name == "MAXIMUM" else (None, number)
            return [clip(scope, other, *limits)]
    return None


def _squared_difference(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    left, right = inputs[0], inputs[1]
    assert left is not None and right is not None
    difference = combine(scope, "SUB", left, right)
    return [multiply(scope, difference, difference)]


def _square(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    return [multiply(scope, _first(inputs), _first(inputs))]


def _power(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor] | None:
    exponent = inputs[1]
    if exponent is None or exponent.data is None or not np.all(exponent.data == 2):
        return None
    return [multiply(scope, _first(inputs), _first(inputs))]


def _reshape(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    return [scope.reshape(_first(inputs), op.outputs[0].shape)]


def _average_pool(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    tensor = _first(inputs)
    size, channels = (tensor.shape[1], tensor.shape[2]), tensor.shape[3]
    kernel = (_whole(op, "filter_height"), _whole(op, "filter_width"))
    strides = (_whole(op, "stride_h"), _whole(op, "stride_w"))
    none = ((0, 0), (0, 0))
    before, after = same_padding(size, kernel, strides) if op.options.get("padding") == "SAME" else none
    windows = Windows(kernel=kernel, strides=strides, dilations=(1, 1), before=before, after=after)
    area = kernel[0] * kernel[1]
    weights = np.full((channels, 1, *kernel), 1 / area, np.float32)
    result = convolve(scope, tensor, weights, np.zeros(channels, np.float32), windows, channels)
    each = []
    for axis in (0, 1):
        inside = np.pad(np.ones(size[axis]), (before[axis], after[axis] + kernel[axis]))
        starts = np.arange(windows.output(size)[axis]) * strides[axis]
        each.append(inside[starts[:, None] + np.arange(kernel[axis])].sum(axis=1))
    holds = np.outer(*each)
    if not np.all(holds == area):
        result = multiply(scope, result, (area / holds).astype(np.float32)[None, :, :, None])
    return [_clamped(scope, result, op)]


def _clamped(scope: Scope, tensor: Tensor, op: Operator) -> Tensor:
    return tensor if op.activation == "NONE" else unary(scope, op.activation, tensor)


def _whole(op: Operator, option: str, default: int = 1) -> int:
    value = op.options.get(option, default)
    assert isinstance(value, int)
    return value


def _nearest(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    tensor = _first(inputs)
    align, half = bool(op.options.get("align_corners")), bool(op.options.get("half_pixel_centers"))
    matrices = [
        nearest_of_tflite(tensor.shape[axis], op.outputs[0].shape[axis], align, half) for axis in (1, 2)
    ]
    return [resize(scope, tensor, matrices)]


def _strided_slice(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    tensor = _first(inputs)
    begins, ends, steps = (_constant(inputs, i) for i in (1, 2, 3))
    if _whole(op, "ellipsis_mask", 0) or _whole(op, "new_axis_mask", 0):
        raise RefusalError("it has an ellipsis or a new axis; expected begin, end and steps alone")
    result = tensor
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        shrink = _whole(op, "shrink_axis_mask", 0) >> axis & 1
        start = None if _whole(op, "begin_mask", 0) >> axis & 1 and not shrink else int(begin)
        stop = None if _whole(op, "end_mask", 0) >> axis & 1 else int(end)
        size = tensor.shape[axis]
        indices = [int(begin) % size] if shrink else range(size)[start : stop : int(step)]
        result = pick(scope, result, axis, list(indices))
    return [scope.reshape(result, op.outputs[0].shape)]


def _split(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor] | None:
    at_axis, at_data = (0, 1) if op.name == "SPLIT" else (2, 0)
    if op.name == "SPLIT" and len(op.outputs) <= SPLIT:
        return None
    tensor = inputs[at_data]
    assert tensor is not None
    axis = int(_constant(inputs, at_axis).reshape(-1)[0]) % len(tensor.shape)
    begins = np.cumsum([0, *(t.shape[axis] for t in op.outputs)])
    return [
        cut(scope, tensor, axis, int(begin), t.shape[axis])
        for begin, t in zip(begins[:-1], op.outputs, strict=True)
    ]


def _concatenation(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor] | None:
    if len(inputs) <= JOINED and op.activation == "NONE":
        return None
    axis = _whole(op, "axis", 0) % len(op.outputs[0].shape)
    return [_clamped(scope, join(scope, [t for t in inputs if t is not None], axis), op)]


def _pack(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    shape = op.outputs[0].shape
    axis = _whole(op, "axis", 0) % len(shape)
    parts = [
        scope.reshape(t, [1 if i == axis else n for i, n in enumerate(shape)])
        for t in inputs
        if t is not None
    ]
    return [join(scope, parts, axis)]


def _unpack(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    tensor = _first(inputs)
    axis = _whole(op, "axis", 0) % len(tensor.shape)
    return [scope.reshape(cut(scope, tensor, axis, index, 1), t.shape) for index, t in enumerate(op.outputs)]


def _mirror_pad(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor]:
    result = _first(inputs)
    mode: Any = "reflect" if op.options.get("mode", "REFLECT") == "REFLECT" else "symmetric"
    for axis, (before, after) in enumerate(_constant(inputs, 1)):
        indices = np.pad(np.arange(result.shape[axis]), (int(before), int(after)), mode=mode)
        result = pick(scope, result, axis, [int(i) for i in indices])
    return [result]


def _gather(scope: Scope, op: Operator, inputs: Inputs) -> list[Tensor] | None:
    tensor, indices = _first(inputs), inputs[1]
    if indices is None or indices.data is None or indices.data.ndim > 1 or _whole(op, "batch_dims", 0):
        return None
    axis = _whole(op, "axis", 0) % len(tensor.shape)
    result = pick(scope, tensor, axis, [int(i) for i in indices.data.reshape(-1)])
    return [scope.reshape(result, op.outputs[0].shape)]


FORMS: dict[str, Form] = {
    "HARD_SWISH": _hard_swish, "PRELU": _prelu, "RELU_0_TO_1": _relu_0_to_1, "MAXIMUM": _extreme,
    "MINIMUM": _extreme, "SQUARED_DIFFERENCE": _squared_difference, "SQUARE": _square, "POW": _power,
    "SQUEEZE": _reshape, "EXPAND_DIMS": _reshape, "RESHAPE": _reshape, "AVERAGE_POOL_2D": _average_pool,
    "RESIZE_NEAREST_NEIGHBOR": _nearest, "STRIDED_SLICE": _strided_slice, "SPLIT": _split, "SPLIT_V": _split,
    "CONCATENATION": _concatenation, "PACK": _pack, "UNPACK": _unpack, "MIRROR_PAD": _mirror_pad,
    "GATHER": _gather,
}  # fmt: skip
