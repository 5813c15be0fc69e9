"""Operations that move a window over height and width: convolutions, poolings, resizing."""

from __future__ import annotations

from collections.abc import Sequence

from rpi_runtime.model.verify.call import MOST_STEP, Call, Shape, check_bias
from rpi_runtime.model.verify.flatbuffer import want


def conv(call: Call) -> Sequence[Shape | None]:
    """CONV_2D: (N, H, W, C) by (O, h, w, C / groups)."""
    n, height, width, channels = _four(call, 0)
    out, kernel_h, kernel_w, depth = _four(call, 1)
    want(depth > 0 and channels % depth == 0, f"{channels} channels for a filter of {depth}")
    want(out % (channels // depth) == 0, f"{out} filters in {channels // depth} groups")
    check_bias(call, 2, out)
    return ((n, *_windows(call, (height, width), (kernel_h, kernel_w)), out),)


def depthwise(call: Call) -> Sequence[Shape | None]:
    """DEPTHWISE_CONV_2D: (N, H, W, C) by (1, h, w, C * multiplier)."""
    n, height, width, channels = _four(call, 0)
    one, kernel_h, kernel_w, out = _four(call, 1)
    want(one == 1 and channels > 0 and out % channels == 0, f"a filter of {out} for {channels} channels")
    given = call.options["multiplier"]
    want(given * channels == out, f"multiplier {given} for {channels} channels and a filter of {out}")
    check_bias(call, 2, out)
    return ((n, *_windows(call, (height, width), (kernel_h, kernel_w)), out),)


def transposed(call: Call) -> Sequence[Shape | None]:
    """TRANSPOSE_CONV: the output's shape is a constant, which a convolution would make the input of."""
    shape = call.numbers(0)
    want(len(shape) == 4 and all(0 < n <= MOST_STEP for n in shape), f"output shape {shape}")
    out, kernel_h, kernel_w, depth = _four(call, 1)
    n, height, width, channels = _four(call, 2)
    want((depth, out, n) == (channels, shape[3], shape[0]), f"filter {call.shape(1)} for {shape}")
    back = _windows(call, (shape[1], shape[2]), (kernel_h, kernel_w))
    want(back == (height, width), f"input {height}x{width}, the output's shape needs {back}")
    check_bias(call, 3, out)
    return (shape,)


def pool(call: Call) -> Sequence[Shape | None]:
    """AVERAGE_POOL_2D, MAX_POOL_2D."""
    n, height, width, channels = _four(call, 0)
    return (
        (n, *_windows(call, (height, width), (call.options["filter_h"], call.options["filter_w"])), channels),
    )


def _windows(call: Call, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
    options = call.options
    want(options["padding"] in (0, 1), f"padding {options['padding']}")
    steps = (options["stride_h"], options["stride_w"])
    dilations = (options.get("dilation_h", 1), options.get("dilation_w", 1))
    for name, pair in (("stride", steps), ("dilation", dilations), ("filter", kernel)):
        want(all(0 < v <= MOST_STEP for v in pair), f"{name} {pair}, expected 1 or more")
    result = []
    for length, k, step, dilation in zip(size, kernel, steps, dilations, strict=True):
        reach = 0 if options["padding"] == 0 else (k - 1) * dilation
        want(length > reach, f"{length} pixels for a filter of {reach + 1}")
        result.append(-(-(length - reach) // step))
    return result[0], result[1]


def _four(call: Call, index: int) -> tuple[int, int, int, int]:
    shape = call.shape(index)
    want(len(shape) == 4 and 0 not in shape, f"input {index} is {shape}, expected four dimensions")
    return shape[0], shape[1], shape[2], shape[3]


def resize(call: Call) -> Sequence[Shape | None]:
    """RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR: height and width are a constant."""
    n, _, _, channels = _four(call, 0)
    size = call.numbers(1)
    want(len(size) == 2 and all(0 < v <= MOST_STEP for v in size), f"size {size}")
    want(not (call.options["align"] and call.options["half_pixel"]), "both ways to align")
    return ((n, *size, channels),)


def depth_to_space(call: Call) -> Sequence[Shape | None]:
    """DEPTH_TO_SPACE."""
    n, height, width, channels = _four(call, 0)
    block = call.options["block"]
    want(0 < block <= 256 and channels % (block * block) == 0, f"block {block} of {channels} channels")
    return ((n, height * block, width * block, channels // block**2),)


def space_to_depth(call: Call) -> Sequence[Shape | None]:
    """SPACE_TO_DEPTH."""
    n, height, width, channels = _four(call, 0)
    block = call.options["block"]
    want(0 < block <= 256 and height % block == width % block == 0, f"block {block} of {height}x{width}")
    return ((n, height // block, width // block, channels * block**2),)
