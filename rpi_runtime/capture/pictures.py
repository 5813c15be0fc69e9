"""Read picture files to BGR arrays and write them, with Pillow: the documented formats only, in bounded memory.

By default Pillow opens every format that it recognises, even PostScript, for which it starts another program. Here it
is restricted to a list of formats. `rpi_runtime.capture.depth` converts more than 8 bits per channel to 8.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from rpi_runtime.capture.depth import scaler
from rpi_runtime.errors import InputError, PiposeError, UsageError
from rpi_runtime.files import write_bytes
from rpi_runtime.inputs import open_input
from rpi_runtime.optional import load
from rpi_runtime.poses import Image

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",  # what browsers on Windows save
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
}
SUFFIXES = tuple(FORMATS)
MOST_PIXELS = 50_000_000  # a phone's largest usual picture; decoding it takes some 350 MB
_MOST_SIDE = 65_535  # JPEG's; a row costs a pointer, so that a column of 50 million pixels takes 600 MB
_MOST_BYTES = 500_000_000
_BAND_PIXELS = 1 << 18  # converted at a time, so that there is never a third copy of the picture
_ORIENTATION = 0x0112  # the EXIF tag
_PURPOSE = "picture files"


def read_picture(file: Path | str | bytes, name: str = "", *, turn: bool = True) -> Image:
    """Decode one picture.

    Parameters
    ----------
    file : path or bytes
    name : str
        Name in messages, if `file` is bytes.
    turn : bool
        Whether to rotate it upright by its EXIF orientation. A TIFF is always upright.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8, BGR
        The first picture of the file. Channels of 16 or 32 bits and floats are scaled to 8 bits.

    Raises
    ------
    InputError
        The file is missing, truncated, not of a format in `SUFFIXES`, or larger than `MOST_PIXELS`: 31 million for WebP
        and 41 million for progressive JPEG in CMYK, whose decoders need more memory.

    Examples
    --------
    >>> from rpi_runtime import read_picture
    >>> picture = read_picture("street.jpg")
    >>> picture.shape[2], picture.dtype.name
    (3, 'uint8')
    """
    name = name or str(file)
    try:
        with io.BytesIO(file) if isinstance(file, bytes) else open_input(Path(file)) as opened:
            return _decode(opened, name, turn)
    except PiposeError:
        raise
    except FileNotFoundError as err:
        raise InputError(f"{name}: no such file; give the path of a picture") from err
    except Exception as err:  # damaged bytes make a decoder fail in many ways
        reason = str(err) or type(err).__name__
        raise InputError(f"{name}: cannot be read as a picture ({reason}); copy or export it again") from err


def picture_size(file: Path) -> tuple[int, int]:
    """Return width and height as stored in the header of a file. Raises the errors of `read_picture`."""
    try:
        with open_input(file) as opened, _open(opened, str(file)) as picture:
            return picture.width, picture.height
    except PiposeError:
        raise
    except Exception as err:
        reason = str(err) or type(err).__name__
        raise InputError(f"{file}: cannot be read as a picture ({reason}); copy or export it again") from err


def _open(opened: Any, name: str) -> Any:
    pil = load("PIL.Image", _PURPOSE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, which are measured here, and of odd metadata
            picture = pil.open(opened, formats=tuple(dict.fromkeys(FORMATS.values())))
    except pil.UnidentifiedImageError as err:
        raise InputError(
            f"{name}: cannot be read as a picture (none of {', '.join(SUFFIXES)} inside, or a rare form of one); "
            "copy it again, or save it as a PNG of 8 bits"
        ) from err
    most = min(MOST_PIXELS, _MOST_BYTES // _bytes_a_pixel(picture))
    if picture.width * picture.height > most or max(picture.size) > _MOST_SIDE:
        raise InputError(
            f"{name}: {picture.width}x{picture.height} pixels; expected a camera's picture, at most "
            f"{most / 1e6:.0f} million pixels and {_MOST_SIDE} a side: scale it down"
        )
    return picture


def _bytes_a_pixel(picture: Any) -> int:
    """Return what decoding takes: Pillow's copy and ours, and what the decoder itself holds (as measured)."""
    if picture.format == "WEBP":
        return 16  # the animation decoder keeps two pictures of four bytes a pixel, and hands on a third
    if picture.info.get("progressive"):
        return 4 + 2 * len(picture.getbands())  # all coefficients, two bytes each, until the last scan
    return 7


def _decode(opened: Any, name: str, turn: bool) -> Image:
    with _open(opened, name) as picture, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture.load()
        orientation = _orientation(picture) if turn else 1
        pixels = _pixels(picture)
    return _upright(pixels, orientation)


def _pixels(picture: Any) -> Image:
    """Return (H, W, 3) BGR, converted band by band."""
    scale = scaler(picture)
    width, height = picture.size
    out = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        below = min(height, top + rows)
        band = picture.crop((0, top, width, below))
        if scale is not None:
            out[top:below] = scale(np.asarray(band))[..., None]
        else:
            flat = np.frombuffer(band.convert("RGB").tobytes("raw", "BGR"), np.uint8)
            out[top:below] = flat.reshape(below - top, width, 3)
    return out


def _orientation(picture: Any) -> int:
    """Return the EXIF orientation; 1 (upright) if it is missing, invalid or in a damaged block."""
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # what a damaged block raises is not documented
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Image, orientation: int) -> Image:
    """Rotate and mirror as EXIF 2.3, section 4.6.4, defines for tag 274."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def encode_picture(image: Image, suffix: str, quality: int = 95) -> bytes:
    """Encode an (H, W, 3) BGR picture in the format that `suffix` (``.jpg``, ``.png``...) names."""
    kind = FORMATS.get(suffix.lower())
    if kind is None:
        raise UsageError(f"unknown picture format {suffix!r}; use one of {', '.join(SUFFIXES)}")
    pil = load("PIL.Image", _PURPOSE)
    # a TIFF without compression would be a third copy of the picture in memory
    options: dict[str, Any] = {"compression": "tiff_adobe_deflate"} if kind == "TIFF" else {}
    if kind in ("JPEG", "WEBP"):
        options["quality"] = quality
    buffer = io.BytesIO()
    height, width = image.shape[:2]
    picture = pil.frombuffer("RGB", (width, height), np.ascontiguousarray(image), "raw", "BGR", 0, 1)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def write_picture(image: Image, path: Path | str) -> None:
    """Write a (H, W, 3) BGR picture; `OutputError` when that fails, and then no half file stays.

    Examples
    --------
    >>> import numpy as np
    >>> from rpi_runtime import write_picture
    >>> write_picture(np.zeros((120, 160, 3), np.uint8), "black.png")
    """
    path = Path(path)
    write_bytes(path, encode_picture(image, path.suffix))
