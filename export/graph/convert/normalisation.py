"""Normalisations: batch norm by constants, the others by means over the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.graph.convert.arithmetic import add, combine, multiply, unary
from export.graph.convert.layout import CHANNELS_LAST
from export.graph.convert.reduction import reduce
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.node import Node
from quant.tflite.records import Tensor

Vector = np.ndarray[Any, Any]


@converts("BatchNormalization")
def convert_batch_norm(scope: Scope, node: Node) -> None:
    """A factor and an offset for each channel, which fold into a convolution next to them."""
    if node.get("training_mode", 0) or len([name for name in node.outputs if name]) > 1:
        raise RefusalError("it is in training mode: call net.eval() and export the network again")
    known = [scope.constant(node, index) for index in range(1, 5)]
    if any(v is None for v in known):
        raise RefusalError("its statistics are computed at run time; expected constants")
    gamma, beta, mean, variance = (np.asarray(v, np.float64) for v in known)
    factor = gamma / np.sqrt(variance + float(node.get("epsilon", 1e-5)))
    value = scope.input(node)
    scaled = multiply(scope, value.tensor, _spread(factor, value.order))
    scope.keep(node, add(scope, scaled, _spread(beta - mean * factor, value.order)), value.order)


def _spread(vector: Vector, order: tuple[int, ...]) -> Vector:
    """A value for each channel, in a shape that broadcasts against the tensor."""
    shape = [1] * len(order)
    shape[order.index(1)] = -1
    return np.asarray(vector.reshape(shape), np.float32)


def normalised(scope: Scope, tensor: Tensor, places: list[int], epsilon: float) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon)`` over these axes of the tensor."""
    centred = combine(scope, "SUB", tensor, reduce(scope, "MEAN", tensor, places))
    return of_unit_size(scope, centred, places, epsilon)


def of_unit_size(scope: Scope, tensor: Tensor, places: list[int], epsilon: float) -> Tensor:
    """``x / sqrt(mean(x^2) + epsilon)`` over these axes of the tensor."""
    square = reduce(scope, "MEAN", multiply(scope, tensor, tensor), places)
    return multiply(scope, tensor, unary(scope, "RSQRT", add(scope, square, epsilon)))


@converts("LayerNormalization", "RMSNormalization")
def convert_layer_norm(scope: Scope, node: Node) -> None:
    """Over all axes from the given one on; by the root of the mean square alone in the second form."""
    if len([name for name in node.outputs if name]) > 1:
        raise RefusalError("it also gives mean and deviation; expected the result alone")
    value = scope.input(node)
    rank = len(value.order)
    axis = int(node.get("axis", -1)) % rank
    places = [value.place(a) for a in range(axis, rank)]
    step = normalised if node.kind == "LayerNormalization" else of_unit_size
    result = step(scope, value.tensor, places, float(node.get("epsilon", 1e-5)))
    for index, operation in ((1, multiply), (2, add)):
        vector = scope.parameter(node, ("", "scale", "bias")[index], index)
        if vector is not None:
            spread = vector.reshape((1,) * (rank - vector.ndim) + vector.shape).transpose(value.order)
            result = operation(scope, result, spread)
    scope.keep(node, result, value.order)


@converts("MeanVarianceNormalization")
def convert_mean_variance(scope: Scope, node: Node) -> None:
    """Over the pixels of all pictures for each channel, where no axes are given."""
    value = scope.input(node)
    places = [value.place(int(a)) for a in node.get("axes", (0, 2, 3))]
    scope.keep(node, normalised(scope, value.tensor, places, 1e-9), value.order)


@converts("InstanceNormalization")
def convert_instance_norm(scope: Scope, node: Node) -> None:
    """Over the pixels of each channel."""
    value = scope.input(node)
    places = [value.place(a) for a in range(2, len(value.order))]
    result = normalised(scope, value.tensor, places, float(node.get("epsilon", 1e-5)))
    result = multiply(scope, result, _spread(scope.parameter(node, "scale", 1), value.order))
    result = add(scope, result, _spread(scope.parameter(node, "bias", 2), value.order))
    scope.keep(node, result, value.order)


@converts("GroupNormalization")
def convert_group_norm(scope: Scope, node: Node) -> None:
    """Over groups of channels, with a factor for each channel: the form of opset 21; ONNX withdrew the one before."""
    tensor = scope.channels_last(node)
    groups, channels = int(node.get("num_groups", 1)), tensor.shape[3]
    inner = scope.reshape(tensor, (1, tensor.shape[1] * tensor.shape[2], groups, channels // groups))
    result = normalised(scope, inner, [1, 3], float(node.get("epsilon", 1e-5)))
    result = scope.reshape(result, tensor.shape)
    for index, operation in ((1, multiply), (2, add)):
        vector = scope.parameter(node, ("", "scale", "bias")[index], index)
        result = operation(scope, result, _spread(vector, CHANNELS_LAST))
    scope.keep(node, result, CHANNELS_LAST)
