"""Scale channels of more than 8 bits to 8 by the depth of the file, whereas Pillow would clip them at 255."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.poses import Image

Scaler = Callable[[NDArray[Any]], Image]
_MAX_SAMPLE_VALUE = 281  # TIFF 6.0, the largest value that occurs in the file


def scaler(picture: Any) -> Scaler | None:
    """Return the function that scales a grey picture to 0..255; None for a picture of 8 bits or fewer.

    16 bits span 0..65535, or up to what a TIFF's MaxSampleValue says (cameras store 10 or 12 bits in 16). 32-bit
    integers span the smallest of 8, 16 and 31 bits that holds them, since writers without 16 bits use them for it.
    Floats span 0..1, or where a value is larger the smallest of 0..255 and 0..65535 that holds them.

    Parameters
    ----------
    picture : PIL.Image.Image
        Loaded.

    Raises
    ------
    ValueError
        A float is outside all of these. The scaler raises it for a value that is not finite.
    """
    mode = picture.mode
    if mode.startswith("I;16"):
        return _linear(_stated_white(picture) or 65535)
    if mode == "I":
        _, high = picture.getextrema()
        return _linear(next(white for white in (255, 65535, 2**31 - 1) if high <= white))
    if mode == "F":
        return _linear(_float_white(picture))
    return None


def _linear(white: float) -> Scaler:
    def scale(values: NDArray[Any]) -> Image:
        scaled = np.asarray(values, np.float32) * np.float32(255 / white)
        if not np.isfinite(scaled).all():
            raise ValueError("values that are not finite")
        whole: Image = np.rint(scaled).clip(0, 255).astype(np.uint8)
        return whole

    return scale


def _stated_white(picture: Any) -> int | None:
    tags = getattr(picture, "tag_v2", {})
    value = tags.get(_MAX_SAMPLE_VALUE)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) and 255 <= value <= 65535 else None


def _float_white(picture: Any) -> float:
    _, high = picture.getextrema()
    for white in (1.0, 255.0, 65535.0):
        if high <= white * (1 + 1e-6):
            return white
    raise ValueError(f"values up to {high:.6g}, expected 0 to 1, 255 or 65535")
