"""Attention as one operator, as exporters write it from opset 23 on."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from export.graph.convert.arithmetic import NEVER, add, multiply, unary
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.node import Node
from quant.tflite.records import Tensor

QUERY, KEY, VALUE, MASK = range(4)
HEADS: tuple[int, ...] = (0, 1, 2, 3)  # (batch, heads, positions, size of a head)
TURNED: tuple[int, ...] = (0, 1, 3, 2)


@converts("Attention")
def convert_attention(scope: Scope, node: Node) -> None:
    """Products of queries and keys, their softmax, and its product with the values."""
    if any(node.has(index) for index in (4, 5, 6)) or any(node.outputs[1:]):
        raise RefusalError("it keeps keys and values of earlier runs, or gives its weights; expected neither")
    if node.get("softcap", 0.0):
        raise RefusalError("its softcap is not 0; expected none")
    heads = int(node.get("q_num_heads", 0)), int(node.get("kv_num_heads", 0))
    query = _operand(scope, node, QUERY, heads[0], HEADS)
    key = _operand(scope, node, KEY, heads[1], TURNED)
    value = _operand(scope, node, VALUE, heads[1], HEADS)
    key, value = (_repeated(scope, tensor, query.shape[1]) for tensor in (key, value))
    scale = float(node.get("scale", 0.0)) or 1 / sqrt(query.shape[3])
    shape = (*query.shape[:3], key.shape[3])
    scores = scope.emit("BATCH_MATMUL", [multiply(scope, query, scale), key], shape)
    scores = _masked(scope, node, scores)
    weights = unary(scope, "SOFTMAX", scores, beta=1.0)
    mixed = scope.emit("BATCH_MATMUL", [weights, value], (*query.shape[:3], value.shape[3]))
    if len(node.shape) == 4:
        scope.keep(node, mixed, HEADS)
    else:  # (batch, positions, heads * size)
        joined = scope.rearrange_axes(mixed, (0, 2, 1, 3))
        scope.keep(node, scope.reshape(joined, node.shape), (0, 1, 2))


def _operand(scope: Scope, node: Node, index: int, heads: int, order: tuple[int, ...]) -> Tensor:
    """An operand with an axis for the heads, its axes in this order."""
    name = node.inputs[index]
    shape = node.shapes[name]
    if len(shape) == 4:
        return scope.arranged(name, order)
    if len(shape) != 3 or not heads:
        raise RefusalError(
            f"its operand {name} is {shape}; expected three axes and a number of heads, or four"
        )
    apart = scope.reshape(scope.arranged(name, (0, 1, 2)), (*shape[:2], heads, shape[2] // heads))
    return scope.rearrange_axes(apart, [(0, 2, 1, 3)[axis] for axis in order])


def _repeated(scope: Scope, tensor: Tensor, heads: int) -> Tensor:
    """Keys or values of fewer heads than the queries have: each serves several in a row."""
    own = tensor.shape[1]
    if own == heads:
        return tensor
    apart = scope.reshape(tensor, (tensor.shape[0], own, 1, *tensor.shape[2:]))
    ones = np.ones((1, 1, heads // own, 1, 1), np.float32)
    return scope.reshape(multiply(scope, apart, ones), (tensor.shape[0], heads, *tensor.shape[2:]))


def _masked(scope: Scope, node: Node, scores: Tensor) -> Tensor:
    """Add what a mask says, and what lies in the future."""
    hidden: Any = np.zeros((1, 1, 1, 1), np.float32)
    if node.get("is_causal", 0):
        rows, columns = scores.shape[2:]
        hidden = np.where(np.tri(rows, columns, dtype=bool), np.float32(0), -NEVER)[None, None]
    if node.has(MASK):
        known = scope.constant(node, MASK)
        if known is None:
            scores = add(scope, scores, _computed_mask(scope, node))
        else:
            values = np.where(known, np.float32(0), -NEVER) if known.dtype == np.bool_ else known
            hidden = hidden + np.clip(values, -NEVER, NEVER)
    return add(scope, scores, np.asarray(hidden, np.float32)) if hidden.any() else scores


def _computed_mask(scope: Scope, node: Node) -> Tensor:
    name = node.inputs[MASK]
    rank = len(node.shapes[name])
    if node.dtypes[name] == np.bool_:
        raise RefusalError(
            "its mask is computed, and says yes or no; expected constants, or what is to be added"
        )
    tensor = scope.arranged(name, tuple(range(rank)))
    return scope.reshape(tensor, (1,) * (4 - rank) + tensor.shape)
