"""Scale channels of more than 8 bits to 8 by the depth of the file, whereas Pillow would clip them at 255."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.poses import Image

Scaler = Callable[[NDArray[Any]], Image]
# TIFF 6.0: bits of a sample, whether 0 is white, and the largest value that occurs in the file
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE_VALUE = 258, 262, 281
_WHITE_IS_ZERO = 0
_NOISE = 1e-3  # of white: how far below black resampling takes a float


def scaler(picture: Any) -> Scaler | None:
    """Return the function that scales a grey picture to 0..255; None for a picture of 8 bits or fewer.

    16 bits span 0..65535, or up to what a TIFF's MaxSampleValue says (cameras store 10 or 12 bits in 16); 12 bits span
    0..4095. 32-bit integers span the smallest of 8, 16 and 31 bits that holds them, since writers without 16 bits use
    them for it. Floats span 0..1, or where a value is larger the smallest of 0..255 and 0..65535 that holds them.

    Parameters
    ----------
    picture : PIL.Image.Image
        Loaded.

    Raises
    ------
    ValueError
        A value is outside all of these, or below 0 (differences, temperatures, normalised pictures). The scaler raises
        it for a value that is not finite.
    """
    mode = picture.mode
    tags = getattr(picture, "tag_v2", {})
    if mode.startswith("I;16"):
        return _linear(_stated_white(tags) or 65535, inverted=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
    if mode not in ("I", "F"):
        return None
    low, high = picture.getextrema()
    white = _white(high, (1.0, 255.0, 65535.0) if mode == "F" else (255, 65535, 2**31 - 1))
    if low < -_NOISE * white:
        raise ValueError(f"values down to {low:.6g}, expected 0 to {white:g}: scale them to that")
    return _linear(white)


def _linear(white: float, *, inverted: bool = False) -> Scaler:
    def scale(values: NDArray[Any]) -> Image:
        scaled = np.asarray(values, np.float32) * np.float32(255 / white)
        if inverted:
            scaled = 255 - scaled
        if not np.isfinite(scaled).all():
            raise ValueError("values that are not finite")
        whole: Image = np.rint(scaled).clip(0, 255).astype(np.uint8)
        return whole

    return scale


def _stated_white(tags: Any) -> int | None:
    """Return the largest value of a TIFF's samples: as it says, or by their bits where those are not 16."""
    value = _number(tags.get(_MAX_SAMPLE_VALUE))
    if value is not None and 255 <= value <= 65535:
        return value
    bits = _number(tags.get(_BITS_PER_SAMPLE))
    return (1 << bits) - 1 if bits is not None and 8 < bits < 16 else None


def _number(value: Any) -> int | None:
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else None


def _white(high: float, candidates: tuple[float, ...]) -> float:
    for white in candidates:
        if high <= white * (1 + 1e-6):
            return white
    raise ValueError(f"values up to {high:.6g}, expected 0 to 1, 255 or 65535")
