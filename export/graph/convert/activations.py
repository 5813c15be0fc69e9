"""Activations, in operators that XNNPACK runs in INT8 wherever that can be done exactly.

XNNPACK has LOGISTIC, TANH, ELU and LEAKY_RELU in INT8, and clamps (RELU, RELU6, RELU_N1_TO_1) as the end of another
operator. So every clip becomes one of those clamps between a shift and a factor, which fold into neighbours; and
what is a product with a clip or a sigmoid is written as one.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from export.graph.convert.arithmetic import add, combine, convert_binary, multiply, unary
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.node import Node
from quant.tflite.records import Tensor

UNBOUNDED = 1e30  # exporters write the largest float, or infinity, for no bound
PLAIN = {
    "Sigmoid": "LOGISTIC", "Tanh": "TANH", "Relu": "RELU", "Exp": "EXP", "Log": "LOG", "Sqrt": "SQRT", "Abs": "ABS",
    "Floor": "FLOOR", "Ceil": "CEIL", "Round": "ROUND", "Sin": "SIN", "Cos": "COS", "Sign": "SIGN",
    "Not": "LOGICAL_NOT",
}  # fmt: skip


@converts(*PLAIN)
def convert_plain(scope: Scope, node: Node) -> None:
    """Operators that TFLite has under another name."""
    value = scope.input(node)
    scope.keep(node, unary(scope, PLAIN[node.kind], value.tensor), value.order)


@converts("Neg")
def convert_negative(scope: Scope, node: Node) -> None:
    """A product with -1, which weights behind take in."""
    value = scope.input(node)
    real = value.tensor.dtype == np.float32
    result = multiply(scope, value.tensor, -1.0) if real else unary(scope, "NEG", value.tensor)
    scope.keep(node, result, value.order)


@converts("Clip")
def convert_clip(scope: Scope, node: Node) -> None:
    """Bounds are attributes before opset 11, inputs since."""
    low, high = (_bound(scope.parameter(node, name, index)) for name, index in (("min", 1), ("max", 2)))
    value = scope.input(node)
    scope.keep(node, clip(scope, value.tensor, low, high), value.order)


@converts("Max", "Min")
def convert_extreme(scope: Scope, node: Node) -> None:
    """With a number they are clips, for which there are clamps in INT8."""
    for index in (0, 1) if len(node.inputs) == 2 else ():
        bound = scope.constant(node, index)
        if bound is None or bound.size != 1 or bound.dtype != np.float32:
            continue
        value = scope.input(node, 1 - index)
        if value.shape == node.shape:
            number = float(bound.item())
            limits = (number, None) if node.kind == "Max" else (None, number)
            scope.keep(node, clip(scope, value.tensor, *limits), value.order)
            return
    convert_binary(scope, node)


def _bound(value: Any) -> float | None:
    if value is None or np.size(value) == 0:
        return None
    number = float(np.asarray(value).item())
    return None if abs(number) > UNBOUNDED else number


def clip(scope: Scope, tensor: Tensor, low: float | None, high: float | None) -> Tensor:
    """Limit the values of a tensor."""
    if low is None and high is None:
        return tensor
    if tensor.dtype != np.float32:
        return _clip_integers(scope, tensor, low, high)
    if low is not None and high is not None and low > high:
        low = high  # as ONNX Runtime has it
    if high is None:
        assert low is not None
        return _shifted(scope, unary(scope, "RELU", _shifted(scope, tensor, -low)), low)
    if low is None:
        return combine(scope, "SUB", high, unary(scope, "RELU", combine(scope, "SUB", high, tensor)))
    if (low, high) == (-1.0, 1.0):
        return unary(scope, "RELU_N1_TO_1", tensor)
    if low == high:
        return _shifted(scope, multiply(scope, tensor, 0.0), low)
    factor = 6 / (high - low)
    inner = _scaled(scope, _shifted(scope, tensor, -low), factor)
    return _shifted(scope, _scaled(scope, unary(scope, "RELU6", inner), 1 / factor), low)


def _clip_integers(scope: Scope, tensor: Tensor, low: float | None, high: float | None) -> Tensor:
    for kind, bound in (("MAXIMUM", low), ("MINIMUM", high)):
        if bound is not None:
            limit = scope.hold(np.array(bound, tensor.dtype))
            tensor = combine(scope, kind, tensor, limit)
    return tensor


def _shifted(scope: Scope, tensor: Tensor, offset: float) -> Tensor:
    return tensor if offset == 0 else add(scope, tensor, offset)


def _scaled(scope: Scope, tensor: Tensor, factor: float) -> Tensor:
    return tensor if factor == 1 else multiply(scope, tensor, factor)


def hard_sigmoid(scope: Scope, tensor: Tensor, slope: float, offset: float) -> Tensor:
    """``clip(slope * x + offset, 0, 1)``, by the clamp to 0..6."""
    inner = _shifted(scope, _scaled(scope, tensor, slope * 6), offset * 6)
    return multiply(scope, unary(scope, "RELU6", inner), 1 / 6)


@converts("HardSigmoid")
def convert_hard_sigmoid(scope: Scope, node: Node) -> None:
    """The slope is 0.2 where it is not given."""
    value = scope.input(node)
    result = hard_sigmoid(scope, value.tensor, node.get("alpha", 0.2), node.get("beta", 0.5))
    scope.keep(node, result, value.order)


@converts("HardSwish")
def convert_hard_swish(scope: Scope, node: Node) -> None:
    """``x * relu6(x + 3) / 6``; the sixth stands last, where it folds into the convolution behind."""
    value = scope.input(node)
    gate = unary(scope, "RELU6", add(scope, value.tensor, 3.0))
    product = multiply(scope, value.tensor, gate)
    scope.keep(node, multiply(scope, product, 1 / 6), value.order)


@converts("Swish")
def convert_swish(scope: Scope, node: Node) -> None:
    """``x * sigmoid(alpha x)``."""
    value = scope.input(node)
    gate = unary(scope, "LOGISTIC", _scaled(scope, value.tensor, node.get("alpha", 1.0)))
    scope.keep(node, multiply(scope, value.tensor, gate), value.order)


@converts("LeakyRelu")
def convert_leaky(scope: Scope, node: Node) -> None:
    """The slope is 0.01 where it is not given."""
    value = scope.input(node)
    result = unary(scope, "LEAKY_RELU", value.tensor, alpha=float(node.get("alpha", 0.01)))
    scope.keep(node, result, value.order)


@converts("PRelu")
def convert_prelu(scope: Scope, node: Node) -> None:
    """``slope * x + (1 - slope) * relu(x)``: XNNPACK has no PRELU in INT8; one slope for all is LEAKY_RELU."""
    slope = scope.parameter(node, "slope", 1)
    value = scope.input(node)
    if np.all(slope == slope.flat[0]):
        result = unary(scope, "LEAKY_RELU", value.tensor, alpha=float(slope.flat[0]))
    else:
        spread = slope.reshape((1,) * (len(value.order) - slope.ndim) + slope.shape).transpose(value.order)
        straight = multiply(scope, value.tensor, spread)
        result = add(scope, straight, multiply(scope, unary(scope, "RELU", value.tensor), 1 - spread))
    scope.keep(node, result, value.order)


@converts("Elu")
def convert_elu(scope: Scope, node: Node) -> None:
    """TFLite's ELU has alpha 1."""
    value = scope.input(node)
    scope.keep(node, _elu(scope, value.tensor, node.get("alpha", 1.0)), value.order)


def _elu(scope: Scope, tensor: Tensor, alpha: float) -> Tensor:
    """``alpha * elu(x) + (1 - alpha) * relu(x)``."""
    result = unary(scope, "ELU", tensor)
    if alpha == 1:
        return result
    positive = multiply(scope, unary(scope, "RELU", tensor), 1 - alpha)
    return add(scope, multiply(scope, result, alpha), positive)


@converts("Selu")
def convert_selu(scope: Scope, node: Node) -> None:
    """``gamma * elu(x)`` with an alpha of its own."""
    value = scope.input(node)
    # defaults of the ONNX specification, the fixed point of Klambauer et al. 2017
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    scope.keep(node, multiply(scope, _elu(scope, value.tensor, alpha), gamma), value.order)


@converts("Celu")
def convert_celu(scope: Scope, node: Node) -> None:
    """``alpha * elu(x / alpha)``."""
    value, alpha = scope.input(node), node.get("alpha", 1.0)
    scope.keep(
        node, _scaled(scope, unary(scope, "ELU", _scaled(scope, value.tensor, 1 / alpha)), alpha), value.order
    )


@converts("Softplus")
def convert_softplus(scope: Scope, node: Node) -> None:
    """``log(1 + exp(x))``, written so that it cannot overflow."""
    value = scope.input(node)
    scope.keep(node, softplus(scope, value.tensor), value.order)


def softplus(scope: Scope, tensor: Tensor) -> Tensor:
    """``relu(x) - log(sigmoid(|x|))``: three functions of one value in a row, which are one table in INT8."""
    size = unary(scope, "ABS", tensor)
    small = unary(scope, "LOG", unary(scope, "LOGISTIC", size))
    return combine(scope, "SUB", unary(scope, "RELU", tensor), small)


@converts("Mish")
def convert_mish(scope: Scope, node: Node) -> None:
    """``x * tanh(softplus(x))``."""
    value = scope.input(node)
    scope.keep(node, mish(scope, value.tensor), value.order)


def mish(scope: Scope, tensor: Tensor) -> Tensor:
    """``-x * tanh(log(sigmoid(-x)))``: one table in INT8 and a product; nothing overflows, tanh(-inf) is -1."""
    turned = multiply(scope, tensor, -1.0)
    gate = unary(scope, "TANH", unary(scope, "LOG", unary(scope, "LOGISTIC", turned)))
    return multiply(scope, turned, gate)


@converts("Gelu")
def convert_gelu(scope: Scope, node: Node) -> None:
    """Exact or by the hyperbolic tangent, as the node says."""
    value = scope.input(node)
    approximate = node.get("approximate", "none") == "tanh"
    scope.keep(node, gelu(scope, value.tensor, approximate), value.order)


def gelu(scope: Scope, tensor: Tensor, approximate: bool) -> Tensor:
    """``x * Phi(x)``; Hendrycks and Gimpel 2016 give the approximation."""
    if not approximate:
        return unary(scope, "GELU", tensor, approximate=False)
    cube = multiply(scope, multiply(scope, tensor, tensor), 0.044715)
    inner = multiply(scope, multiply(scope, add(scope, cube, 1.0), tensor), 2 * sqrt(2 / pi))
    return multiply(scope, tensor, unary(scope, "LOGISTIC", inner))


@converts("Erf")
def convert_erf(scope: Scope, node: Node) -> None:
    """Abramowitz and Stegun 7.1.26, right to 1.5e-7; TFLite has the error function inside GELU only."""
    value = scope.input(node)
    size = unary(scope, "ABS", value.tensor)
    t = combine(scope, "DIV", 1.0, add(scope, multiply(scope, size, 0.3275911), 1.0))
    series: Tensor | float = 1.061405429
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = add(scope, multiply(scope, series, t), coefficient)
    decay = unary(scope, "EXP", multiply(scope, multiply(scope, size, size), -1.0))
    result = combine(scope, "SUB", 1.0, multiply(scope, multiply(scope, series, t), decay))
    sign = combine(scope, "DIV", value.tensor, add(scope, size, 1e-30))  # XNNPACK has no SIGN
    scope.keep(node, multiply(scope, sign, result), value.order)


@converts("Softsign")
def convert_softsign(scope: Scope, node: Node) -> None:
    """``x / (1 + |x|)``."""
    value = scope.input(node)
    bottom = add(scope, unary(scope, "ABS", value.tensor), 1.0)
    scope.keep(node, combine(scope, "DIV", value.tensor, bottom), value.order)


@converts("ThresholdedRelu")
def convert_thresholded(scope: Scope, node: Node) -> None:
    """What is above the threshold, else nothing."""
    value = scope.input(node)
    above = combine(scope, "GREATER", value.tensor, float(node.get("alpha", 1.0)))
    nothing = scope.hold(np.zeros((), np.float32))
    scope.keep(
        node,
        scope.emit("SELECT_V2", [above, value.tensor, nothing], value.tensor.shape, np.float32),
        value.order,
    )


@converts("Reciprocal")
def convert_reciprocal(scope: Scope, node: Node) -> None:
    """One over it."""
    value = scope.input(node)
    scope.keep(node, combine(scope, "DIV", 1.0, value.tensor), value.order)


@converts("Cast", "CastLike")
def convert_cast(scope: Scope, node: Node) -> None:
    """A change of type; the .tflite stores int64 as int32 and double as float."""
    value = scope.input(node)
    same = value.tensor.dtype == node.dtype
    result = value.tensor if same else scope.emit("CAST", [value.tensor], value.tensor.shape, node.dtype)
    scope.keep(node, result, value.order)


@converts("Identity", "Dropout")
def convert_identity(scope: Scope, node: Node) -> None:
    """Nothing, at inference; ONNX's Dropout in training mode draws numbers."""
    if node.kind == "Dropout" and scope.constant(node, 2) is not None and bool(scope.constant(node, 2)):
        raise RefusalError("it is in training mode: call net.eval() and export the network again")
    value = scope.input(node)
    scope.keep(node, value.tensor, value.order)
