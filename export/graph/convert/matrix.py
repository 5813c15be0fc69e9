"""Matrix products, and what attention is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.graph.convert.arithmetic import combine, multiply, unary
from export.graph.convert.reduction import reduce
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.node import Node
from quant.tflite.records import Tensor


@converts("MatMul")
def convert_matmul(scope: Scope, node: Node) -> None:
    """With a constant matrix it is FULLY_CONNECTED, else BATCH_MATMUL."""
    left, right = node.shapes[node.inputs[0]], node.shapes[node.inputs[1]]
    weights = _one_matrix(scope.constant(node, 1), len(left))
    if weights is not None and len(left) > 1:
        _connect(scope, node, weights.T, None)
        return
    weights = _one_matrix(scope.constant(node, 0), len(right))
    if weights is not None and len(right) > 1:
        _connect(scope, node, weights, None, index=1, axis=-2)
        return
    if len(left) < 2 or len(right) < 2:
        raise RefusalError(f"it multiplies {left} and {right}; expected matrices")
    rank = max(len(left), len(right))
    operands = [_matrices(scope, node, index, rank) for index in (0, 1)]
    shape = (*np.broadcast_shapes(*(t.shape[:-2] for t in operands)), left[-2], right[-1])
    scope.keep(node, scope.emit("BATCH_MATMUL", operands, shape), tuple(range(rank)))


def _one_matrix(values: np.ndarray[Any, Any] | None, rank: int) -> np.ndarray[Any, Any] | None:
    """A constant that is one matrix for a whole batch of that many axes, as a matrix."""
    if values is None or not 2 <= values.ndim <= max(rank, 2) or any(n > 1 for n in values.shape[:-2]):
        return None
    return values.reshape(values.shape[-2:])


def _matrices(scope: Scope, node: Node, index: int, rank: int) -> Tensor:
    own = len(node.shapes[node.inputs[index]])
    tensor = scope.arranged(node.inputs[index], tuple(range(own)))
    return scope.reshape(tensor, (1,) * (rank - own) + tensor.shape)


def _connect(
    scope: Scope,
    node: Node,
    weights: np.ndarray[Any, Any],
    bias: np.ndarray[Any, Any] | None,
    *,
    index: int = 0,
    axis: int = -1,
) -> None:
    """Multiply an input along one axis by weights (outputs, inputs); the other axes stay where they are."""
    value = scope.input(node, index)
    along = axis % len(value.order)
    order = (*(other for other in value.order if other != along), along)
    tensor = scope.arranged(node.inputs[index], order)
    zeros = np.zeros(len(weights), np.float32)
    inputs = [tensor, scope.hold(weights, "weights"), scope.hold(zeros if bias is None else bias, "bias")]
    shape = (*tensor.shape[:-1], len(weights))
    scope.keep(node, scope.emit("FULLY_CONNECTED", inputs, shape, keep_num_dims=True), order)


@converts("Gemm")
def convert_gemm(scope: Scope, node: Node) -> None:
    """``alpha * A B + beta * C`` with constant B and C."""
    alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
    weights, bias = scope.constant(node, 1), scope.constant(node, 2)
    if weights is None or (node.has(2) and bias is None) or node.get("transA", 0):
        raise RefusalError(
            "it multiplies what is computed at run time; expected constant B and C, and A as it is"
        )
    weights = weights if node.get("transB", 0) else weights.T
    spread = None if bias is None else np.broadcast_to(bias.reshape(-1) * beta, (len(weights),))
    _connect(scope, node, weights * np.float32(alpha), None if spread is None else spread.astype(np.float32))


@converts("Einsum")
def convert_einsum(scope: Scope, node: Node) -> None:
    """Products of two operands whose letters are batch, rows, columns and what is summed over."""
    equation = str(node.get("equation", "")).replace(" ", "")
    terms, _, result = equation.partition("->")
    parts = terms.split(",")
    if (
        len(parts) != 2
        or not result
        or "." in equation
        or any(len(set(p)) != len(p) for p in (*parts, result))
    ):
        raise RefusalError(f"its equation is {equation!r}; expected two operands with every letter once")
    left, right = parts
    batch = [c for c in result if c in left and c in right]
    summed = [c for c in left if c in right and c not in result]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]
    if set(result) != {*batch, *rows, *columns} or not summed:
        raise RefusalError(
            f"its equation is {equation!r}; expected a sum over letters that both operands have"
        )
    letters = [*batch, *rows, *columns]
    if not batch and scope.constant(node, 0) is not None:
        a = _grouped(scope, node, 0, left, (rows, summed))
        b = _grouped(scope, node, 1, right, (columns, summed))
        product, letters = _layer(scope, b, a), [*columns, *rows]
    elif not batch and scope.constant(node, 1) is not None:
        a = _grouped(scope, node, 0, left, (rows, summed))
        product = _layer(scope, a, _grouped(scope, node, 1, right, (columns, summed)))
    else:
        a = _grouped(scope, node, 0, left, (batch, rows, summed))
        b = _grouped(scope, node, 1, right, (batch, summed, columns))
        product = scope.emit("BATCH_MATMUL", [a, b], (a.shape[0], a.shape[1], b.shape[2]))
    sizes = dict(zip(left, node.shapes[node.inputs[0]], strict=True))
    sizes |= dict(zip(right, node.shapes[node.inputs[1]], strict=True))
    spread = scope.reshape(product, [sizes[c] for c in letters])
    scope.keep(node, spread, tuple(result.index(c) for c in letters))


def _layer(scope: Scope, rows: Tensor, weights: Tensor) -> Tensor:
    """Multiply (rows, inputs) by constant weights (outputs, inputs)."""
    bias = scope.hold(np.zeros(weights.shape[0], np.float32), "bias")
    return scope.emit(
        "FULLY_CONNECTED", [rows, weights, bias], (rows.shape[0], weights.shape[0]), keep_num_dims=True
    )


def _grouped(scope: Scope, node: Node, index: int, letters: str, groups: tuple[list[str], ...]) -> Tensor:
    """An operand with the axes of each group side by side, joined into one."""
    tensor = scope.arranged(node.inputs[index], tuple(letters.index(c) for group in groups for c in group))
    sizes = dict(zip(letters, node.shapes[node.inputs[index]], strict=True))
    return scope.reshape(tensor, [int(np.prod([sizes[c] for c in group], dtype=int)) for group in groups])


@converts("Softmax", "LogSoftmax")
def convert_softmax(scope: Scope, node: Node) -> None:
    """TFLite's works along the last axis; before opset 13 ONNX's works along all axes from the given one on."""
    value = scope.input(node)
    rank = len(value.order)
    axis = int(node.get("axis", -1 if scope.opset >= 13 else 1)) % rank
    along = [axis] if scope.opset >= 13 else [a for a in range(axis, rank) if value.shape[a] > 1] or [axis]
    order = (*(a for a in value.order if a not in along), *along)
    tensor = scope.arranged(node.inputs[0], order)
    outer = tensor.shape[: rank - len(along)]
    joined = scope.reshape(tensor, (*outer, int(np.prod(tensor.shape[len(outer) :]))))
    if node.kind == "Softmax":
        result = unary(scope, "SOFTMAX", joined, beta=1.0)
    else:  # XNNPACK has no LOG_SOFTMAX
        last = [len(joined.shape) - 1]
        below = combine(scope, "SUB", joined, reduce(scope, "REDUCE_MAX", joined, last))
        whole = reduce(scope, "SUM", unary(scope, "EXP", below), last)
        result = combine(scope, "SUB", below, unary(scope, "LOG", whole))
    scope.keep(node, scope.reshape(result, tensor.shape), order)


@converts("LpNormalization")
def convert_unit_length(scope: Scope, node: Node) -> None:
    """Divide by the length along one axis."""
    value = scope.input(node)
    place = value.place(int(node.get("axis", -1)))
    shape = [1 if i == place else n for i, n in enumerate(value.tensor.shape)]
    squared = int(node.get("p", 2)) == 2
    inner = multiply(scope, value.tensor, value.tensor) if squared else unary(scope, "ABS", value.tensor)
    length = scope.emit("SUM", [inner, scope.integers([place])], shape, keep_dims=True)
    length = unary(scope, "SQRT", length) if squared else length
    scope.keep(node, combine(scope, "DIV", value.tensor, length), value.order)
