"""Downscaling without aliasing: halve while the picture is at least twice too large, then bilinear.

Two halvings by bilinear interpolation equal area averaging within 1, at a third of its time. OpenCV does the
work where it is installed; the NumPy path gives the same result within 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

try:
    import cv2
except ImportError:
    cv2 = None

Image = NDArray[np.uint8]


def resize_into(image: Image, out: Image) -> None:
    """Resize `image` (H, W, 3) into `out` (h, w, 3), which may be a view with any row stride."""
    height, width = out.shape[:2]
    while image.shape[0] >= 2 * height and image.shape[1] >= 2 * width and min(image.shape[:2]) >= 4:
        image = _halve(image)
    if image.shape == out.shape:
        out[:] = image
    elif cv2 is not None:
        cv2.resize(image, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
    else:
        out[:] = _bilinear(image, height, width)


def _halve(image: Image) -> Image:
    """Mean of 2x2 blocks, rounded to nearest; an odd last row or column takes part in the bilinear way."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    if cv2 is not None:
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if image.shape[0] % 2 or image.shape[1] % 2:
        return _bilinear(image, height, width)
    blocks = image.reshape(height, 2, width, 2, 3).astype(np.uint16)
    return ((blocks.sum(axis=(1, 3), dtype=np.uint16) + 2) >> 2).astype(np.uint8)


def _bilinear(image: Image, height: int, width: int) -> Image:
    """Bilinear interpolation with half-pixel centres and replicated border, as OpenCV's INTER_LINEAR."""
    top, bottom, fy = _taps(image.shape[0], height)
    left, right, fx = _taps(image.shape[1], width)
    rows = image[top] * (1 - fy)[:, None, None] + image[bottom] * fy[:, None, None]  # (height, W, 3)
    mixed = rows[:, left] * (1 - fx)[:, None] + rows[:, right] * fx[:, None]  # (height, width, 3)
    return np.rint(mixed).astype(np.uint8)


def _taps(size: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each new position the two source positions and the weight of the second."""
    centre = (np.arange(new) + 0.5) * (size / new) - 0.5
    low = np.floor(centre)
    weight = (centre - low).astype(np.float32)
    first = np.clip(low, 0, size - 1).astype(np.intp)
    second = np.clip(low + 1, 0, size - 1).astype(np.intp)
    return first, second, weight
