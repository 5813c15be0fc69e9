"""One person cut out of a picture for a top-down network, as these networks are trained and published.

The person's box is extended to the aspect ratio of the network's input, padded, and sampled bilinearly; outside
the picture lies the padding value. The sampling is OpenCV's affine warp without its rounding to 1/32 of a pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.preprocess.letterbox import Frame, Transform

Box = tuple[float, float, float, float]  # x, y, width, height in pixels of the picture


def crop_transform(box: Box, spec: InputSpec, padding: float) -> Transform:
    """Return where a person's box lies on the network's input.

    The middle of the box, as an index of pixels, falls on index ``(width / 2, height / 2)`` of the input; both axes
    have one scale. Source: the affine of HRNet's and LPN's test code, in which a pixel's index is its centre.

    Raises
    ------
    InputError
        The box has no area.
    """
    x, y, width, height = box
    if not (width > 0 and height > 0 and np.isfinite(box).all()):
        raise InputError(f"box {box}: expected x, y, width and height in pixels, with an area")
    whole = max(width, height * spec.width / spec.height) * padding
    scale = spec.width / whole
    # index p = scale * (i - centre) + size / 2; continuous positions are index + 0.5
    pads = (
        size / 2 + 0.5 - scale * (middle + 0.5)
        for size, middle in ((spec.width, x + width / 2), (spec.height, y + height / 2))
    )
    pad_x, pad_y = pads
    return Transform(scale_x=scale, scale_y=scale, pad_x=pad_x, pad_y=pad_y)


class Cutter:
    """Cuts crops for one network input out of pictures; keeps its buffer between crops.

    Parameters
    ----------
    spec : InputSpec
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self._crop = np.empty((spec.height, spec.width, 3), np.uint8)

    def __call__(self, frame: Frame, transform: Transform) -> Frame:
        """Return the crop, (height, width, 3) uint8 in the frame's channel order, overwritten by the next call."""
        spec = self.spec
        left, right, across = _taps(spec.width, transform.scale_x, transform.pad_x, frame.shape[1])
        top, bottom, down = _taps(spec.height, transform.scale_y, transform.pad_y, frame.shape[0])
        first, last = max(int(top.min()), 0), min(int(bottom.max()), frame.shape[0] - 1) + 1
        if first >= last or right.max() < 0 or left.min() >= frame.shape[1]:
            self._crop[:] = spec.pad_value
            return self._crop
        strip = frame[first:last].astype(np.float32)
        wide = _between(strip, left, right, across, axis=1, outside=spec.pad_value)
        crop = _between(wide, top - first, bottom - first, down, axis=0, outside=spec.pad_value)
        np.rint(crop, out=crop)
        self._crop[:] = crop
        return self._crop


def _taps(
    size: int, scale: float, pad: float, limit: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of `size` pixels the two pixels of the picture around it, and the weight of the second."""
    at = (np.arange(size) + 0.5 - pad) / scale - 0.5
    at = np.clip(at, -2, limit + 1)  # farther out is outside all the same
    low = np.floor(at).astype(np.intp)
    return low, low + 1, (at - low).astype(np.float32)


def _between(
    pixels: NDArray[np.float32],
    low: NDArray[np.intp],
    high: NDArray[np.intp],
    weight: NDArray[np.float32],
    *,
    axis: int,
    outside: int,
) -> NDArray[np.float32]:
    """Interpolate along an axis; pixels beyond the ends have the value `outside`."""
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    parts = []
    for at in (low, high):
        inside = (at >= 0) & (at < pixels.shape[axis])
        part = np.take(pixels, np.clip(at, 0, pixels.shape[axis] - 1), axis=axis)
        parts.append(part if inside.all() else np.where(inside.reshape(shape), part, np.float32(outside)))
    second = weight.reshape(shape)
    return np.asarray(parts[0] * (1 - second) + parts[1] * second, np.float32)
