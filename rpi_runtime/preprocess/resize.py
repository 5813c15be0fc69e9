"""Downscaling without aliasing: halve while the picture is at least twice too large, then bilinear.

Two halvings by bilinear interpolation equal area averaging within 1, in a fraction of its time. OpenCV does
the work where it is installed. The NumPy path computes what OpenCV's fixed-point INTER_LINEAR computes:
weights of 11 bits, columns first, then rows; an exact halving of both sides is the rounded mean of 2x2
pixels. OpenCV may hand the work to a platform's own routine, so the two paths are promised to agree within 1.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.poses import Image

Size = tuple[int, int]
Step = Callable[[Image, Image], None]

WEIGHT_BITS = 11


class Resizer:
    """Resizes pictures from one size to another, and keeps every intermediate picture between calls.

    Parameters
    ----------
    source, target : (height, width)
    opencv : bool, optional
        Use OpenCV. Default: if it is installed.
    """

    def __init__(self, source: Size, target: Size, *, opencv: bool | None = None) -> None:
        use_opencv = _opencv() is not None if opencv is None else opencv
        sizes = stages(source, target)
        self._between: list[Image] = [np.empty((*size, 3), np.uint8) for size in sizes[1:-1]]
        make = _opencv_step if use_opencv else _numpy_step
        self._steps = [make(a, b) for a, b in itertools.pairwise(sizes)]

    def __call__(self, image: Image, out: Image) -> None:
        """Resize `image` (H, W, 3) into `out` (h, w, 3); both may be views with any row stride."""
        if not self._steps:
            np.copyto(out, image)
            return
        for step, target in zip(self._steps, [*self._between, out], strict=True):
            step(image, target)
            image = target


def resize_into(image: Image, out: Image, *, opencv: bool | None = None) -> None:
    """Resize one picture into `out`. For many pictures of one size, keep a `Resizer`."""
    Resizer(_size(image), _size(out), opencv=opencv)(image, out)


def stages(source: Size, target: Size) -> list[Size]:
    """Return the sizes that a picture passes through, from `source` to `target`, both included.

    Each side is halved on its own for as long as it stays at least as large as its target.
    """
    sizes = [source]
    while (size := _halved(sizes[-1], target)) != sizes[-1]:
        sizes.append(size)
    if sizes[-1] != target:
        sizes.append(target)
    return sizes


def _size(image: Image) -> Size:
    return image.shape[0], image.shape[1]


def _halved(size: Size, target: Size) -> Size:
    height, width = (
        old // 2 if old >= 2 * new and old >= 4 else old for old, new in zip(size, target, strict=True)
    )
    return height, width


@functools.cache
def _opencv() -> Any:
    """Return the cv2 module, or None. It is imported when the first picture needs it, because importing is slow."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2


def _opencv_step(source: Size, target: Size) -> Step:
    """Write through `dst`, because OpenCV fills a view with any row stride in place."""
    cv2, size = _opencv(), (target[1], target[0])

    def step(image: Image, out: Image) -> None:
        cv2.resize(image, size, dst=out, interpolation=cv2.INTER_LINEAR)

    return step


def _numpy_step(source: Size, target: Size) -> Step:
    if source == (2 * target[0], 2 * target[1]):
        return _Halve(target)
    return _Bilinear(source, target)


class _Halve:
    """Write the rounded mean of 2x2 blocks."""

    def __init__(self, target: Size) -> None:
        height, width = target
        self._rows = np.empty((height, 2 * width, 3), np.uint16)
        self._sum = np.empty((height, width), np.uint16)

    def __call__(self, image: Image, out: Image) -> None:
        np.add(image[0::2], image[1::2], out=self._rows, dtype=np.uint16)
        # one long loop per channel is several times faster than many loops of length 3
        for channel in range(3):
            np.add(self._rows[:, 0::2, channel], self._rows[:, 1::2, channel], out=self._sum)
            self._sum += 2
            np.right_shift(self._sum, 2, out=out[:, :, channel], casting="unsafe")


class _Bilinear:
    """Bilinear interpolation with half-pixel centres and replicated border, in OpenCV's fixed point."""

    def __init__(self, source: Size, target: Size) -> None:
        (height, width), (new_height, new_width) = source, target
        taps, weights = _taps(width, new_width, clamp_weights=True)
        self._columns = (_interleave(taps), np.repeat(weights, 3, axis=1))
        taps, weights = _taps(height, new_height, clamp_weights=False)
        self._rows = (taps, weights[..., None])
        self._taken = np.empty((height, 3 * new_width), np.uint8)
        self._wide = np.empty((2, height, 3 * new_width), np.int32)
        self._small = np.empty((2, new_height, 3 * new_width), np.int32)

    def __call__(self, image: Image, out: Image) -> None:
        flat = np.ascontiguousarray(image).reshape(image.shape[0], -1)  # (H, 3 W)
        for tap, weight, product in zip(*self._columns, self._wide, strict=True):
            np.take(flat, tap, axis=1, out=self._taken, mode="clip")
            np.multiply(self._taken, weight, out=product)
        mixed = np.add(self._wide[0], self._wide[1], out=self._wide[0])
        np.right_shift(mixed, 4, out=mixed)
        for tap, weight, product in zip(*self._rows, self._small, strict=True):
            np.take(mixed, tap, axis=0, out=product, mode="clip")
            np.multiply(product, weight, out=product)
            np.right_shift(product, 16, out=product)
        total = np.add(self._small[0], self._small[1], out=self._small[0])
        total += 2
        np.right_shift(total.reshape(out.shape), 2, out=out, casting="unsafe")


def _interleave(taps: NDArray[np.intp]) -> NDArray[np.intp]:
    """Expand positions of pixels to those of their three interleaved channels, (2, W) -> (2, 3 W)."""
    return (3 * taps[..., None] + np.arange(3)).reshape(2, -1)


def _taps(size: int, new: int, *, clamp_weights: bool) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Return two source positions for each new position, (2, new), and their fixed-point weights, (2, new).

    OpenCV drops the second weight at the border for columns and repeats the border for rows; with 11 bits the
    results differ in the last bit, hence `clamp_weights`.
    """
    centre = ((np.arange(new) + 0.5) * (1.0 / (new / size)) - 0.5).astype(np.float32)
    low = np.floor(centre).astype(np.intp)
    weight = centre - low.astype(np.float32)
    if clamp_weights:
        weight[(low < 0) | (low >= size - 1)] = 0
    weights = np.rint(np.stack([1 - weight, weight]) * np.float32(1 << WEIGHT_BITS)).astype(np.int32)
    return np.clip(np.stack([low, low + 1]), 0, size - 1), weights
