"""One person cut out of a picture for a network of crops, as these networks are trained and published.

The person's box is extended to the aspect ratio of the network's input, padded, and resampled straight into the
input; outside of the picture lies the padding value. Bilinear sampling is OpenCV's affine warp without its rounding to
1/32 of a pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import DependencyError, InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.crop_settings import CropSettings
from rpi_runtime.poses import Box, Image
from rpi_runtime.preprocess.letterbox import Transform

try:
    from cython_ext.crops import Cropper, Placement
except ImportError as err:
    raise DependencyError(str(err)) from err

BYTES = np.arange(256)
PLAIN = CropSettings()


def coco_shift(settings: CropSettings) -> float:
    """Return the pixels to add to a decoded position to have one of COCO's files.

    COCO's positions, and so what networks were trained with, are indices of pixels; the runtime's count from the
    picture's edge, half a pixel further, where the card says ``box_middle = "index"``.
    """
    return -0.5 if settings.box_middle == "index" else 0.0


def crop_transform(box: Box, spec: InputSpec, settings: CropSettings = PLAIN) -> Transform:
    """Return where a person's box lies on the network's input.

    Parameters
    ----------
    box : tuple of float
        x, y, width, height.
    spec : InputSpec
    settings : CropSettings
        How the box is extended, padded and rounded, and what falls on the input's middle. With ``box_middle="index"``
        pixel index ``(x + width / 2, y + height / 2)`` falls on index ``(input width / 2, input height / 2)``. Source:
        the affine of HRNet's and LPN's test code, in which a pixel's index is its centre.

    Raises
    ------
    InputError
        The box has no area.
    """
    x, y, width, height = box
    if not (width > 0 and height > 0 and np.isfinite(box).all()):
        raise InputError(f"box {box}: expected x, y, width and height in pixels, with an area")
    if settings.box_extend == "aspect":
        width = max(width, height * spec.width / spec.height)
        height = width * spec.height / spec.width
    scales = (
        spec.width / (width * settings.box_padding),
        spec.height / (height * settings.box_padding),
    )
    middles = x + box[2] / 2, y + box[3] / 2
    half = 0.5 if settings.box_middle == "index" else 0.0  # a pixel's middle is half a pixel behind its index
    pads = [
        size / 2 + half - scale * (middle + half)
        for size, scale, middle in zip((spec.width, spec.height), scales, middles, strict=True)
    ]
    if settings.box_round:
        scales, pads = _rounded(spec, scales, pads)
    return Transform(scale_x=scales[0], scale_y=scales[1], pad_x=pads[0], pad_y=pads[1])


def _rounded(
    spec: InputSpec, scales: tuple[float, float], pads: list[float]
) -> tuple[tuple[float, float], list[float]]:
    """Scales and pads with which the input's edges fall on whole pixels of the picture, the nearest ones."""
    found = []
    for size, scale, pad in zip((spec.width, spec.height), scales, pads, strict=True):
        first = round(-pad / scale)
        last = max(round((size - pad) / scale), first + 1)
        found.append((size / (last - first), -first * size / (last - first)))
    (scale_x, pad_x), (scale_y, pad_y) = found
    return (scale_x, scale_y), [pad_x, pad_y]


class CropWriter:
    """Writes crops of BGR pictures into one network's input; keeps its memory between crops.

    Parameters
    ----------
    spec : InputSpec
    settings : CropSettings

    Notes
    -----
    From the picture to int8 there is no picture in between: a pixel is read, resampled, and looked up.
    """

    def __init__(self, spec: InputSpec, settings: CropSettings = PLAIN) -> None:
        self.spec, self.settings = spec, settings
        order = (2, 1, 0) if spec.channels == "rgb" else (0, 1, 2)
        mean, scale = (np.array(v, np.float32)[:, None] for v in (spec.mean, spec.scale))
        tables = np.tile(BYTES - 128, (3, 1)).astype(np.int8), (BYTES.astype(np.float32) - mean) * scale
        self._croppers = {
            table.dtype: Cropper((spec.height, spec.width), table, order=order, pad_value=spec.pad_value)
            for table in tables
        }

    def __call__(self, frame: Image, transform: Transform, out: NDArray[Any]) -> None:
        """Write one crop.

        Parameters
        ----------
        frame : ndarray, shape (H, W, 3), uint8, BGR
            Only read; rows may be padded.
        transform : Transform
            From `crop_transform`.
        out : ndarray, shape (1, height, width, 3), int8 or float32
            Written in place. int8 must have the quantization ``value - 128``.

        Raises
        ------
        InputError
            The frame is no BGR picture, or `out` is not the network's input.
        """
        if out.ndim != 4 or len(out) != 1 or out.dtype not in self._croppers:
            expected = (1, self.spec.height, self.spec.width, 3)
            raise InputError(f"input tensor {out.shape}, {out.dtype}: expected {expected} int8 or float32")
        try:
            self._croppers[out.dtype](frame, placement(transform, self.settings), out[0])
        except ValueError as err:
            raise InputError(f"cannot crop: {err}") from err


class Cutter:
    """Cuts crops for one network input out of pictures, as pictures; keeps its memory between crops.

    Parameters
    ----------
    spec : InputSpec
    settings : CropSettings
    """

    def __init__(self, spec: InputSpec, settings: CropSettings = PLAIN) -> None:
        self.spec, self.settings = spec, settings
        self._crop = np.empty((spec.height, spec.width, 3), np.int8)
        table = np.tile(BYTES.astype(np.uint8).view(np.int8), (3, 1))
        self._cut = Cropper((spec.height, spec.width), table, pad_value=spec.pad_value)

    def __call__(self, frame: Image, transform: Transform) -> Image:
        """Return the crop, (height, width, 3) uint8 in the frame's channel order, overwritten by the next call."""
        self._cut(frame, placement(transform, self.settings), self._crop)
        return self._crop.view(np.uint8)


def placement(transform: Transform, settings: CropSettings) -> Placement:
    """Return a crop's place for the kernel, with how it is resampled."""
    area = max(transform.scale_x, transform.scale_y) < settings.area_below
    return Placement(
        scale_x=transform.scale_x,
        scale_y=transform.scale_y,
        pad_x=transform.pad_x,
        pad_y=transform.pad_y,
        area=area,
    )
