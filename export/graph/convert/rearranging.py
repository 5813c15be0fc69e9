"""Operators that only arrange data: most of them change no more than what is remembered of the axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.graph.convert.layout import CHANNELS_LAST, Shape, permuted, plan_reshape
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.convert.slicing import join
from export.graph.node import Node

COPIES = 64  # of a value side by side that are worth more than a TILE, which leaves XNNPACK


@converts("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def convert_reshape(scope: Scope, node: Node) -> None:
    """The shapes are known from ONNX Runtime's own run; how the node describes them does not matter."""
    keep_reshaped(scope, node, node.inputs[0], node.shape)


def keep_reshaped(scope: Scope, node: Node, source: str, shape: Shape) -> None:
    """Let a node's output be another value in this shape."""
    value = scope.value(source)
    before, after = plan_reshape(value.shape, value.order, shape, scope.meeting)
    scope.moved |= before != value.order
    tensor = scope.arranged(source, before)
    scope.keep(node, scope.reshape(tensor, [shape[axis] for axis in after]), after)


@converts("Transpose")
def convert_transpose(scope: Scope, node: Node) -> None:
    """Moves nothing: only what is remembered of the axes changes."""
    value = scope.input(node)
    permutation = tuple(int(p) for p in node.get("perm", range(len(value.order))[::-1]))
    scope.keep(node, value.tensor, permuted(value.order, permutation))


@converts("DepthToSpace", "SpaceToDepth")
def convert_blocks(scope: Scope, node: Node) -> None:
    """TFLite has the depth-major form (DCR); the other one (CRD, PixelShuffle) orders the channels first."""
    block = int(node.get("blocksize", 0))
    tensor = scope.channels_last(node)
    _, channels, height, width = node.shape
    shape = (1, height, width, channels)
    if node.kind == "SpaceToDepth":
        scope.keep(node, scope.emit("SPACE_TO_DEPTH", [tensor], shape, block_size=block), CHANNELS_LAST)
        return
    mode = node.get("mode", "DCR")
    if mode == "CRD":
        inner = (1, *tensor.shape[1:3], channels, block * block)
        turned = scope.rearrange_axes(scope.reshape(tensor, inner), (0, 1, 2, 4, 3))
        tensor = scope.reshape(turned, tensor.shape)
    elif mode != "DCR":
        raise RefusalError(f"its mode is {mode!r}; expected DCR or CRD")
    scope.keep(node, scope.emit("DEPTH_TO_SPACE", [tensor], shape, block_size=block), CHANNELS_LAST)


@converts("Expand", "Tile")
def convert_expand(scope: Scope, node: Node) -> None:
    """Repeat; along axes of size one by a product with ones, else by copies: XNNPACK has no TILE."""
    value = scope.input(node)
    missing = len(node.shape) - len(value.shape)
    order = tuple(range(missing)) + tuple(axis + missing for axis in value.order)
    sizes = tuple(node.shape[axis] for axis in order)
    tensor = scope.reshape(value.tensor, (1,) * missing + value.tensor.shape)
    if all(have in (1, want) for have, want in zip(tensor.shape, sizes, strict=True)):
        ones = [1 if have == want else want for have, want in zip(tensor.shape, sizes, strict=True)]
        result = repeat_by_product(scope, tensor, ones)
    else:
        counts = [want // have for have, want in zip(tensor.shape, sizes, strict=True)]
        if max(counts) > COPIES:
            result = scope.emit("TILE", [tensor, scope.integers(counts)], sizes)
        else:
            result = tensor
            for axis, count in enumerate(counts):
                result = join(scope, [result] * count, axis)
    scope.keep(node, result, order)


def repeat_by_product(scope: Scope, tensor: Any, ones: list[int]) -> Any:
    """Broadcast a tensor against ones of this shape."""
    if all(n == 1 for n in ones):
        return tensor
    shape = np.broadcast_shapes(tensor.shape, tuple(ones))
    if tensor.dtype == np.bool_:
        raise RefusalError("it repeats booleans; expected numbers")
    return scope.emit("MUL", [tensor, scope.hold(np.ones(ones, tensor.dtype))], shape)
