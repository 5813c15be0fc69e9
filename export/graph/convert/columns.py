"""Columns of blocks put back into a map, as ``torch.nn.functional.fold`` does."""

from __future__ import annotations

import numpy as np

from export.graph.convert.convolution import dilated, transposed
from export.graph.convert.layout import CHANNELS_LAST, Value, plan_reshape
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.convert.windows import Windows, windows_of
from export.graph.node import Node
from quant.tflite.records import Tensor


@converts("Col2Im")
def convert_columns(scope: Scope, node: Node) -> None:
    """Blocks side by side by DEPTH_TO_SPACE; blocks that overlap are summed, by a transposed convolution of ones."""
    block = [int(n) for n in np.ravel(scope.parameter(node, "block_shape", 2))]
    if len(block) != 2 or len(node.shape) != 4:
        raise RefusalError(f"its blocks have {len(block)} axes; expected two")
    if node.shape[0] != 1:
        raise RefusalError(f"it puts {node.shape[0]} maps together; expected one")
    channels, target = node.shape[1], (node.shape[2], node.shape[3])
    windows = windows_of(node, target, (block[0], block[1]))
    height, width = windows.output(target)
    columns = _map(scope, node.inputs[0], (1, node.shapes[node.inputs[0]][1], height, width))
    if _side_by_side(windows, target, (height, width)):
        inner = scope.reshape(columns, (1, height, width, channels, block[0] ** 2))
        turned = scope.reshape(scope.rearrange_axes(inner, (0, 1, 2, 4, 3)), columns.shape)
        shape = (1, *target, channels)
        result = scope.emit("DEPTH_TO_SPACE", [turned], shape, block_size=block[0])
    else:
        ones = np.eye(columns.shape[3], dtype=np.float32).reshape(-1, channels, *block)
        kernel, bias = dilated(ones, windows.dilations), np.zeros(channels, np.float32)
        result = transposed(scope, columns, kernel, bias, windows.strides, windows.before, target)
    scope.keep(node, result, CHANNELS_LAST)


def _map(scope: Scope, name: str, shape: tuple[int, ...]) -> Tensor:
    """A value in the shape of a map, its channels last."""
    value = scope.value(name)
    before, after = plan_reshape(value.shape, value.order, shape, scope.meeting)
    scope.moved |= before != value.order
    tensor = scope.reshape(scope.arranged(name, before), [shape[axis] for axis in after])
    return scope.rearrange(Value(tensor=tensor, order=after), CHANNELS_LAST)


def _side_by_side(windows: Windows, target: tuple[int, int], counts: tuple[int, int]) -> bool:
    """Whether square blocks fill the map without a gap, an overlap or anything beyond its border."""
    block = windows.kernel
    fills = all(count * size == whole for count, size, whole in zip(counts, block, target, strict=True))
    apart = windows.strides == block and windows.dilations == (1, 1) and not windows.padded
    return block[0] == block[1] > 1 and apart and fills
