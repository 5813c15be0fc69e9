"""Elementwise arithmetic on tensors, and ONNX's operators of two operands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph.convert.layout import Order, usual_order
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.node import Node
from quant.tflite.records import Tensor

Operand = Tensor | float | np.ndarray[Any, Any]

BINARY = {
    "Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Max": "MAXIMUM", "Min": "MINIMUM",
    "Greater": "GREATER", "Less": "LESS", "GreaterOrEqual": "GREATER_EQUAL", "LessOrEqual": "LESS_EQUAL",
    "Equal": "EQUAL", "And": "LOGICAL_AND", "Or": "LOGICAL_OR",
}  # fmt: skip
# masks of attention hold minus infinity, or the least float; both are nothing behind a softmax
NEVER = np.float32(1e9)
POWERS = (1.0, 2.0, 3.0, 4.0, 0.5, 1.5, -0.5, -1.0, -2.0)
LEAST = 1e-30  # a smaller divisor's inverse is beyond float32, or nearly
COMPARISONS = {"GREATER", "LESS", "GREATER_EQUAL", "LESS_EQUAL", "EQUAL", "LOGICAL_AND", "LOGICAL_OR"}


def combine(scope: Scope, kind: str, left: Operand, right: Operand, activation: str = "NONE") -> Tensor:
    """Apply an operator of two operands; numbers and arrays become constants, arrays as the tensor lies."""
    a, b = (operand if isinstance(operand, Tensor) else _held(scope, operand) for operand in (left, right))
    shape = np.broadcast_shapes(a.shape, b.shape)
    options = {"fused_activation_function": activation} if activation != "NONE" else {}
    return scope.emit(kind, [a, b], shape, np.bool_ if kind in COMPARISONS else None, **options)


def _held(scope: Scope, operand: float | np.ndarray[Any, Any]) -> Tensor:
    return scope.hold(np.asarray(operand, np.float32), "number")


def add(scope: Scope, left: Operand, right: Operand, activation: str = "NONE") -> Tensor:
    """Return ``left + right``."""
    return combine(scope, "ADD", left, right, activation)


def multiply(scope: Scope, left: Operand, right: Operand, activation: str = "NONE") -> Tensor:
    """Return ``left * right``."""
    return combine(scope, "MUL", left, right, activation)


def unary(scope: Scope, kind: str, tensor: Tensor, **options: Any) -> Tensor:
    """Apply an operator that keeps the shape."""
    return scope.emit(kind, [tensor], tensor.shape, **options)


def common_order(scope: Scope, node: Node, names: tuple[str, ...]) -> Order:
    """The order of the largest operand that is computed, with axes in front for what it lacks.

    Of operands of one size, the usual order is taken, which the layers behind will need.
    """
    rank = max(len(node.shapes[name]) for name in names)
    computed = [name for name in names if not scope.is_constant(name)] or list(names)

    def size(name: str) -> tuple[int, int, bool]:
        shape = node.shapes[name]
        return len(shape), int(np.prod(shape)), scope.value(name).order == usual_order(len(shape))

    order = scope.value(max(computed, key=size)).order
    missing = rank - len(order)
    return tuple(range(missing)) + tuple(axis + missing for axis in order)


def aligned(scope: Scope, node: Node, name: str, order: Order) -> Tensor:
    """An operand with as many axes as the result, in this order."""
    missing = len(order) - len(node.shapes[name])
    if scope.is_constant(name):
        data = scope.known(name)
        return scope.hold(data.reshape((1,) * missing + data.shape).transpose(order), name)
    if not missing:
        return scope.arranged(name, order)
    inner = tuple(axis - missing for axis in order if axis >= missing)
    tensor = scope.arranged(name, inner)
    sizes = dict(zip(inner, tensor.shape, strict=True))
    return scope.reshape(tensor, [1 if axis < missing else sizes[axis - missing] for axis in order])


@converts("Div")
def convert_quotient(scope: Scope, node: Node) -> None:
    """By a constant it is a product, which exists in INT8."""
    divisor = scope.constant(node, 1)
    if divisor is None or divisor.dtype != np.float32 or not (np.abs(divisor) > LEAST).all():
        convert_binary(scope, node)
        return
    order = common_order(scope, node, node.inputs)
    inverse = (1 / divisor).reshape((1,) * (len(order) - divisor.ndim) + divisor.shape).transpose(order)
    scope.keep(node, multiply(scope, aligned(scope, node, node.inputs[0], order), inverse), order)


@converts(*(kind for kind in BINARY if kind not in ("Div", "Max", "Min")))
def convert_binary(scope: Scope, node: Node) -> None:
    """ONNX broadcasts like NumPy, and some of these operators take more than two operands."""
    order = common_order(scope, node, node.inputs)
    result = aligned(scope, node, node.inputs[0], order)
    for name in node.inputs[1:]:
        result = combine(scope, BINARY[node.kind], result, aligned(scope, node, name, order))
    scope.keep(node, result, order)


@converts("Sum", "Mean")
def convert_sum(scope: Scope, node: Node) -> None:
    """The sum or mean of any number of operands."""
    order = common_order(scope, node, node.inputs)
    result = aligned(scope, node, node.inputs[0], order)
    for name in node.inputs[1:]:
        result = add(scope, result, aligned(scope, node, name, order))
    if node.kind == "Mean":
        result = multiply(scope, result, 1 / len(node.inputs))
    scope.keep(node, result, order)


@converts("Pow")
def convert_power(scope: Scope, node: Node) -> None:
    """Squares and cubes are products, which exist in INT8; roots and inverses exist in XNNPACK, which has no POW."""
    exponent = scope.constant(node, 1)
    order = common_order(scope, node, node.inputs)
    base = aligned(scope, node, node.inputs[0], order)
    if exponent is not None and exponent.size == 1 and float(exponent.item()) in POWERS:
        result = _power(scope, base, float(exponent.item()))
    else:
        if node.dtypes[node.inputs[0]] != node.dtypes[node.inputs[1]]:
            raise RefusalError("base and exponent have different types; expected float32 both")
        result = combine(scope, "POW", base, aligned(scope, node, node.inputs[1], order))
    scope.keep(node, result, order)


def _power(scope: Scope, base: Tensor, power: float) -> Tensor:
    if power == -0.5:
        return unary(scope, "RSQRT", base)
    if power < 0:
        return combine(scope, "DIV", 1.0, _power(scope, base, -power))
    if power in (0.5, 1.5):
        root = unary(scope, "SQRT", base)
        return root if power == 0.5 else multiply(scope, root, base)
    if power == 1:
        return base
    square = multiply(scope, base, base)
    return square if power == 2 else multiply(scope, square, base if power == 3 else square)


@converts("Trilu")
def convert_triangle(scope: Scope, node: Node) -> None:
    """Keep what is above or below a diagonal of the last two axes: a product with ones and zeros."""
    value = scope.real_input(node)
    distance = int(np.asarray(scope.parameter(node, "k", 1, 0)).item())
    ones = np.ones(value.shape[-2:], np.float32)
    mask = np.triu(ones, distance) if node.get("upper", 1) else np.tril(ones, distance)
    spread = mask.reshape((1,) * (len(value.order) - 2) + mask.shape).transpose(value.order)
    scope.keep(node, multiply(scope, value.tensor, spread), value.order)


@converts("Where")
def convert_where(scope: Scope, node: Node) -> None:
    """A choice between two operands, element by element."""
    order = common_order(scope, node, node.inputs)
    operands = [aligned(scope, node, name, order) for name in node.inputs]
    shape = np.broadcast_shapes(*(t.shape for t in operands))
    mask = operands[0].data
    if mask is not None and operands[1].dtype == np.float32:
        scope.keep(node, _masked(scope, np.asarray(mask, np.bool_), operands[1], operands[2]), order)
    else:
        scope.keep(node, scope.emit("SELECT_V2", operands, shape, operands[1].dtype), order)


def _masked(scope: Scope, mask: NDArray[np.bool_], left: Tensor, right: Tensor) -> Tensor:
    """Choose by a constant: a product with ones and zeros, and a sum, which XNNPACK has; it has no SELECT_V2."""
    total: Tensor | None = None
    known = np.zeros((), np.float32)
    for tensor, chosen in ((left, mask), (right, ~mask)):
        if tensor.data is None:
            part = multiply(scope, tensor, chosen.astype(np.float32))
            total = part if total is None else add(scope, total, part)
        else:
            finite = np.clip(tensor.data, -NEVER, NEVER)
            known = known + np.where(chosen, finite, np.float32(0))
    assert total is not None
    return add(scope, total, known.astype(np.float32)) if known.any() else total


@converts("Mod")
def convert_modulo(scope: Scope, node: Node) -> None:
    """TFLite's FLOOR_MOD has the divisor's sign, as ONNX's without ``fmod``."""
    if node.get("fmod", 0):
        raise RefusalError("its fmod is 1; TFLite has the remainder with the divisor's sign only")
    order = common_order(scope, node, node.inputs)
    left, right = (aligned(scope, node, name, order) for name in node.inputs)
    scope.keep(node, combine(scope, "FLOOR_MOD", left, right), order)
