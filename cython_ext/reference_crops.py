"""The NumPy oracle of the crop kernel: the definition of what it must return, bit for bit.

A part of a picture is resampled for a network's input, first down its rows, then along them: bilinearly (OpenCV's
affine warp without its rounding to 1/32 of a pixel), or, where a picture shrinks, by the area that a pixel of the
crop covers. Outside of the picture lies the padding value. Positions are double, pixels float32, rounded to whole
numbers at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_ext.crops import Placement
from cython_ext.specs import Floats


def cut(
    frame: NDArray[np.uint8],
    placement: Placement,
    size: tuple[int, int],
    pad_value: int,
    tables: NDArray[Any],
    order: tuple[int, int, int] = (0, 1, 2),
) -> NDArray[Any]:
    """Return the crop (height, width, 3) of the type of `tables` (3, 256), as `cython_ext.crops.Cropper` does."""
    down = _weights(size[0], placement.scale_y, placement.pad_y, frame.shape[0], placement.area)
    across = _weights(size[1], placement.scale_x, placement.pad_x, frame.shape[1], placement.area)
    flat = _resample(frame.astype(np.float32), down, pad_value)
    crop = _resample(flat.transpose(1, 0, 2), across, pad_value).transpose(1, 0, 2)
    whole = np.clip(np.rint(crop), 0, 255).astype(np.intp)
    return np.stack([tables[c][whole[..., order[c]]] for c in range(3)], axis=-1)


def _weights(size: int, scale: float, pad: float, limit: int, area: bool) -> tuple[Floats, Floats, Floats]:
    """For each pixel of the crop the weight of each pixel of the picture, whether it takes part, and of the outside."""
    weights, part = np.zeros((size, limit), np.float32), np.zeros((size, limit), np.float32)
    outside = np.zeros(size, np.float32)
    for i in range(size):
        if area:
            low = (i - pad) / scale
            high = low + 1 / scale
            start, end, length = max(low, 0.0), min(high, float(limit)), 1 / scale
            if start >= end:
                outside[i] = 1
                continue
            outside[i] = (length - (end - start)) / length
            taps = range(int(np.floor(start)), int(np.ceil(end)))
            for j in list(taps)[: int(min(np.floor(1 / scale) + 2, limit))]:
                weights[i, j], part[i, j] = (min(j + 1.0, end) - max(float(j), start)) / length, 1
            continue
        at = max(min((i + 0.5 - pad) / scale - 0.5, limit + 1.0), -2.0)
        second = np.float32(at - np.floor(at))
        for j, weight in ((int(np.floor(at)), np.float32(1) - second), (int(np.floor(at)) + 1, second)):
            if 0 <= j < limit:
                weights[i, j], part[i, j] = weight, 1
            else:
                outside[i] += weight
    return weights, part, outside


def _resample(pixels: Floats, taps: tuple[Floats, Floats, Floats], pad_value: int) -> Floats:
    """Along the first axis, one pixel of the picture after the other."""
    weights, part, outside = taps
    total = np.repeat(outside[:, None] * np.float32(pad_value), pixels[0].size, axis=1)
    flat = pixels.reshape(len(pixels), -1)
    for j in range(len(pixels)):
        total = np.where(part[:, j, None] > 0, total + weights[:, j, None] * flat[j], total)
    return np.asarray(total.reshape(len(weights), *pixels.shape[1:]), np.float32)
