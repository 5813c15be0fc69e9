"""Convolutions, ordinary, grouped and depthwise, and transposed ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph.convert.layout import CHANNELS_LAST
from export.graph.convert.refusal import RefusalError
from export.graph.convert.registry import converts
from export.graph.convert.scope import Scope
from export.graph.convert.slicing import cut, join, pad_map
from export.graph.convert.windows import Two, Windows, windows_of
from export.graph.node import Node
from quant.tflite.records import Tensor

Kernel = NDArray[np.float32]


@converts("Conv")
def convert_conv(scope: Scope, node: Node) -> None:
    """Kernel and bias have to be known at export; a 1-D convolution is one along the width."""
    kernel, bias = _weights(scope, node, lambda kernel: kernel.shape[0])
    tensor = _map(scope, node)
    windows = windows_of(node, (tensor.shape[1], tensor.shape[2]), (kernel.shape[2], kernel.shape[3]))
    _keep_map(scope, node, convolve(scope, tensor, kernel, bias, windows, int(node.get("group", 1))))


def _weights(scope: Scope, node: Node, outputs: Any) -> tuple[Kernel, Kernel]:
    kernel = scope.constant(node, 1)
    bias = scope.constant(node, 2)
    if kernel is None or (node.has(2) and bias is None):
        raise RefusalError("its weights are computed at run time; expected constants")
    if kernel.ndim not in (3, 4):
        raise RefusalError(f"its kernel has {kernel.ndim - 2} axes; expected one or two")
    kernel = kernel if kernel.ndim == 4 else kernel[:, :, None]
    return kernel, np.zeros(outputs(kernel), np.float32) if bias is None else bias


def _map(scope: Scope, node: Node) -> Tensor:
    """The input as (1, H, W, C); a row (1, C, W) is a map one pixel high."""
    value = scope.input(node)
    if len(value.order) == 4:
        return scope.channels_last(node)
    if len(value.order) != 3:
        raise RefusalError(
            f"its input {node.inputs[0]} has {len(value.order)} axes; expected a map (1, C, H, W)"
        )
    tensor = scope.arranged(node.inputs[0], (0, 2, 1))
    batch, width, channels = tensor.shape
    return scope.reshape(tensor, (batch, 1, width, channels))


def _keep_map(scope: Scope, node: Node, tensor: Tensor) -> None:
    if len(node.shape) == 4:
        scope.keep(node, tensor, CHANNELS_LAST)
    else:
        scope.keep(node, scope.reshape(tensor, (tensor.shape[0], *tensor.shape[2:])), (0, 2, 1))


def convolve(
    scope: Scope, tensor: Tensor, kernel: Kernel, bias: Kernel, windows: Windows, group: int
) -> Tensor:
    """Convolve a map (1, H, W, C) with a kernel (outputs, inputs of a group, kh, kw)."""
    size = (tensor.shape[1], tensor.shape[2])
    height, width = windows.output(size)
    windows = windows.reaching(size, (height, width))
    padding = "VALID"
    if windows.padded and windows.same(size):
        padding = "SAME"
    elif windows.padded:
        tensor = pad_map(scope, tensor, *windows.before, *windows.after)
    shape = (tensor.shape[0], height, width, kernel.shape[0])
    options: dict[str, Any] = {"padding": padding}
    options |= {"stride_h": windows.strides[0], "stride_w": windows.strides[1]}
    options |= {"dilation_h_factor": windows.dilations[0], "dilation_w_factor": windows.dilations[1]}
    if group == tensor.shape[3] and group > 1:
        options["depth_multiplier"] = kernel.shape[0] // group
        weights = kernel.transpose(1, 2, 3, 0)  # (outputs, 1, kh, kw) -> (1, kh, kw, outputs)
        kind = "DEPTHWISE_CONV_2D"
    else:
        weights, kind = kernel.transpose(0, 2, 3, 1), "CONV_2D"
    inputs = [tensor, scope.hold(weights, "weights"), scope.hold(bias, "bias")]
    return scope.emit(kind, inputs, shape, **options)


@converts("ConvTranspose")
def convert_transposed(scope: Scope, node: Node) -> None:
    """Several groups become a convolution for each phase of the output, which are interleaved."""
    group = int(node.get("group", 1))
    kernel, bias = _weights(scope, node, lambda kernel: kernel.shape[1] * group)
    tensor = _map(scope, node)
    windows = windows_of(node, (1, 1), (kernel.shape[2], kernel.shape[3]))
    kernel = dilated(kernel, windows.dilations)
    target = node.shape[2:] if len(node.shape) == 4 else (1, node.shape[2])
    before = _before(node, (tensor.shape[1], tensor.shape[2]), kernel, windows, (target[0], target[1]))
    if group == 1:
        result = transposed(scope, tensor, kernel, bias, windows.strides, before, (target[0], target[1]))
    else:
        result = _phases(scope, tensor, kernel, bias, windows.strides, before, (target[0], target[1]), group)
    _keep_map(scope, node, result)


def dilated(kernel: Kernel, dilations: Two) -> Kernel:
    """Write a dilated kernel out, zeros in between."""
    if dilations == (1, 1):
        return kernel
    height, width = ((n - 1) * d + 1 for n, d in zip(kernel.shape[2:], dilations, strict=True))
    result = np.zeros((*kernel.shape[:2], height, width), kernel.dtype)
    result[:, :, :: dilations[0], :: dilations[1]] = kernel
    return result


def _before(node: Node, size: Two, kernel: Kernel, windows: Windows, target: Two) -> Two:
    """What is cut off at top and left; an output size that is given, or auto_pad, decides the sum of both sides.

    ONNX's specification splits an odd sum so that SAME_UPPER has more behind, and everything else more in front.
    """
    if "output_shape" not in node.attributes and node.get("auto_pad", "NOTSET") == "NOTSET":
        return windows.before
    extra = [int(n) for n in node.get("output_padding", (0, 0))]
    result = []
    for n, k, s, t, more in zip(
        size, kernel.shape[2:], windows.strides, target, [0] * (2 - len(extra)) + extra, strict=True
    ):
        total = max((n - 1) * s + k + more - t, 0)
        upper = node.get("auto_pad", "NOTSET") == "SAME_UPPER"
        result.append(total // 2 if upper else total - total // 2)
    return result[0], result[1]


def transposed(
    scope: Scope, tensor: Tensor, kernel: Kernel, bias: Kernel, strides: Two, before: Two, target: Two
) -> Tensor:
    """A TRANSPOSE_CONV with a kernel (inputs, outputs, kh, kw).

    TFLite's SAME cuts the smaller half of what is too much in front. A kernel with zeros added behind makes both
    halves right without a copy of the result; where that does not help, all is computed and cut.
    """
    size = (tensor.shape[1], tensor.shape[2])
    for rows in range(strides[0] + 1):
        for columns in range(strides[1] + 1):
            longer = (kernel.shape[2] + rows, kernel.shape[3] + columns)
            if _cuts(size, longer, strides, before, target):
                return _emit_transposed(
                    scope, tensor, _extended(kernel, rows, columns), bias, strides, target, "SAME"
                )
    needed = [b + t - (n - 1) * s for b, t, n, s in zip(before, target, size, strides, strict=True)]
    whole = _extended(kernel, max(needed[0] - kernel.shape[2], 0), max(needed[1] - kernel.shape[3], 0))
    full = [(n - 1) * s + max(k, s) for n, k, s in zip(size, whole.shape[2:], strides, strict=True)]
    result = _emit_transposed(scope, tensor, whole, bias, strides, (full[0], full[1]), "VALID")
    result = cut(scope, result, 1, before[0], target[0])
    return cut(scope, result, 2, before[1], target[1])


def _cuts(size: Two, kernel: Two, strides: Two, before: Two, target: Two) -> bool:
    """Whether TFLite's SAME cuts `before` in front, where the kernel covers the whole target."""
    for n, k, s, b, t in zip(size, kernel, strides, before, target, strict=True):
        total = (n - 1) * s + k - t
        if -(-t // s) != n or total < 0 or total // 2 != b:
            return False
    return True


def _extended(kernel: Kernel, rows: int, columns: int) -> Kernel:
    return np.pad(kernel, ((0, 0), (0, 0), (0, rows), (0, columns)))


def _emit_transposed(
    scope: Scope, tensor: Tensor, kernel: Kernel, bias: Kernel, strides: Two, target: Two, padding: str
) -> Tensor:
    shape = (tensor.shape[0], *target, kernel.shape[1])
    weights = scope.hold(kernel.transpose(1, 2, 3, 0), "weights")
    inputs = [scope.integers(shape), weights, tensor, scope.hold(bias, "bias")]
    options: dict[str, Any] = {"padding": padding, "stride_h": strides[0], "stride_w": strides[1]}
    return scope.emit("TRANSPOSE_CONV", inputs, shape, np.float32, **options)


def _phases(
    scope: Scope,
    tensor: Tensor,
    kernel: Kernel,
    bias: Kernel,
    strides: Two,
    before: Two,
    target: Two,
    group: int,
) -> Tensor:
    """A grouped transposed convolution: for each phase of the output an ordinary one, then all interleaved.

    Output row y takes input row i with kernel row ``y + before - stride * i``; rows of one phase, equal modulo the
    stride, use every stride-th row of the kernel.
    """
    if strides[0] != strides[1]:
        raise RefusalError(
            f"its strides are {strides} with {group} groups; expected the same along both axes"
        )
    inputs, outputs = kernel.shape[0] // group, kernel.shape[1]
    # (inputs, outputs of a group, kh, kw) -> (outputs, inputs of a group, kh, kw), turned round
    ordinary = kernel.reshape(group, inputs, outputs, *kernel.shape[2:]).transpose(0, 2, 1, 3, 4)
    ordinary = ordinary.reshape(group * outputs, inputs, *kernel.shape[2:])
    stride = strides[0]
    counts = (-(-target[0] // stride), -(-target[1] // stride))
    parts = []
    for top in range(stride):
        for left in range(stride):
            rows, columns = (
                _taps(
                    phase,
                    ordinary.shape[axis],
                    stride,
                    before[axis - 2],
                    counts[axis - 2],
                    tensor.shape[axis - 1],
                )
                for phase, axis in ((top, 2), (left, 3))
            )
            part = ordinary[:, :, rows[0]][:, :, :, columns[0]]
            windows = Windows(
                kernel=(part.shape[2], part.shape[3]), strides=(1, 1), dilations=(1, 1),
                before=(rows[1], columns[1]), after=(rows[2], columns[2]),
            )  # fmt: skip
            parts.append(_cropping(scope, tensor, part, bias, windows, group))
    if stride == 1:
        return parts[0]
    shape = (tensor.shape[0], counts[0] * stride, counts[1] * stride, len(bias))
    result = scope.emit("DEPTH_TO_SPACE", [join(scope, parts, 3)], shape, block_size=stride)
    return cut(scope, cut(scope, result, 1, 0, target[0]), 2, 0, target[1])


def _cropping(
    scope: Scope, tensor: Tensor, kernel: Kernel, bias: Kernel, windows: Windows, group: int
) -> Tensor:
    """Convolve with paddings of which some may be negative: those rows and columns are cut off."""
    for axis, index in ((1, 0), (2, 1)):
        front, behind = max(-windows.before[index], 0), max(-windows.after[index], 0)
        tensor = cut(scope, tensor, axis, front, tensor.shape[axis] - front - behind)
    inside = Windows(
        kernel=windows.kernel, strides=windows.strides, dilations=windows.dilations,
        before=(max(windows.before[0], 0), max(windows.before[1], 0)),
        after=(max(windows.after[0], 0), max(windows.after[1], 0)),
    )  # fmt: skip
    return convolve(scope, tensor, kernel, bias, inside, group)


def _taps(
    phase: int, kernel: int, stride: int, before: int, count: int, size: int
) -> tuple[list[int], int, int]:
    """The kernel's indices for one phase along one axis, in the order of the input, and the padding on both sides.

    Output ``y = stride * j + phase`` reads input i with tap ``y + before - stride * i``; tap ``t`` is read where
    ``i = j + (phase + before - t) / stride``.
    """
    taps = [t for t in range(kernel) if (phase + before - t) % stride == 0][::-1]
    if not taps:
        raise RefusalError(
            "its kernel is smaller than its stride with several groups; expected at least as large"
        )
    first, last = ((phase + before - t) // stride for t in (taps[0], taps[-1]))
    return taps, -first, count - 1 + last - (size - 1)
