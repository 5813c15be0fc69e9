"""Picture files to BGR arrays and back, by Pillow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.files import write_bytes
from rpi_runtime.optional import load

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
_PURPOSE = "picture files"


def read_picture(file: Path | bytes, name: str = "") -> NDArray[np.uint8]:
    """Decode one picture.

    Parameters
    ----------
    file : path or bytes
    name : str
        For messages, when `file` is bytes.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8, BGR
        Turned upright as its EXIF orientation says.

    Raises
    ------
    InputError
        The file is missing, truncated, no picture, or too large to be an honest one.
    """
    pil = load("PIL.Image", _PURPOSE)
    ops = load("PIL.ImageOps", _PURPOSE)
    name = name or str(file)
    try:
        with pil.open(io.BytesIO(file) if isinstance(file, bytes) else file) as picture:
            if picture.width * picture.height > pil.MAX_IMAGE_PIXELS:
                raise InputError(
                    f"{name}: {picture.width}x{picture.height} pixels; expected a camera's picture"
                )
            upright = ops.exif_transpose(picture).convert("RGB")
    except FileNotFoundError as err:
        raise InputError(f"{name}: no such file; give the path of a picture") from err
    except (OSError, SyntaxError, ValueError, pil.DecompressionBombError) as err:
        raise InputError(f"{name}: cannot be read as a picture ({err}); copy or export it again") from err
    pixels = np.frombuffer(upright.tobytes("raw", "BGR"), np.uint8)
    return pixels.reshape(upright.height, upright.width, 3)


def encode_picture(image: NDArray[np.uint8], suffix: str, quality: int = 95) -> bytes:
    """Encode a (H, W, 3) BGR picture by the format that `suffix` (``.jpg``, ``.png``...) names."""
    pil = load("PIL.Image", _PURPOSE)
    pil.init()
    kind = pil.registered_extensions().get(suffix.lower())
    if kind is None:
        raise UsageError(f"unknown picture format {suffix!r}; use one of {', '.join(SUFFIXES)}")
    options: dict[str, Any] = {"quality": quality} if kind in ("JPEG", "WEBP") else {}
    buffer = io.BytesIO()
    height, width = image.shape[:2]
    picture = pil.frombuffer("RGB", (width, height), np.ascontiguousarray(image), "raw", "BGR", 0, 1)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def write_picture(image: NDArray[np.uint8], path: Path) -> None:
    """Write a (H, W, 3) BGR picture; `OutputError` when that fails, and then no half file stays."""
    write_bytes(path, encode_picture(image, path.suffix))
