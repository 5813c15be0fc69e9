"""Encode pictures as JPEG, with OpenCV if it is installed, otherwise with Pillow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rpi_runtime.capture.pictures import encode_picture
from rpi_runtime.errors import DependencyError, OutputError
from rpi_runtime.optional import load
from rpi_runtime.poses import Image


def make_encoder(quality: int) -> Callable[[Image], bytes]:
    """Return a function from an (H, W, 3) BGR picture to a JPEG of this quality, 1 to 100.

    OpenCV takes B, G, R directly and needs a third of Pillow's time.
    """
    try:
        cv2: Any = load("cv2", "live pictures")
    except DependencyError:
        return lambda image: encode_picture(image, ".jpg", quality)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]

    def encode(image: Image) -> bytes:
        good, data = cv2.imencode(".jpg", image, options)
        if not good:
            raise OutputError(f"live page: OpenCV cannot encode a picture of shape {image.shape}")
        encoded: bytes = data.tobytes()
        return encoded

    return encode
