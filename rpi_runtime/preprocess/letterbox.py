"""Fit a picture into the network's input, and map points back.

The same code serves the Pi, calibration and evaluation, so that they cannot drift apart. Pixels stay uint8
until the last step: a float model gets ``(value - mean) * scale``; a fully INT8 model whose input quantizes
to ``value - 128`` gets ``value ^ 0x80``, one byte operation per channel and no float arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.poses import Image
from rpi_runtime.preprocess.resize import Resizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """Where a picture lies on the network's input: ``x_net = x_image * scale_x + pad_x``.

    Exact for the pixels that were resized: with whole-pixel sizes the scales of the two axes differ slightly.
    """

    scale_x: float
    scale_y: float
    pad_x: float
    pad_y: float

    def to_image(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (..., 2) points from network pixels to image pixels; return a new array."""
        shift = np.array([self.pad_x, self.pad_y], np.float32)
        return (points - shift) / np.array([self.scale_x, self.scale_y], np.float32)  # type: ignore[return-value]

    def to_network(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (..., 2) points from image pixels to network pixels; return a new array."""
        shift = np.array([self.pad_x, self.pad_y], np.float32)
        return points * np.array([self.scale_x, self.scale_y], np.float32) + shift


class Preprocessor:
    """Fits pictures of any size into one network input, and keeps its buffers between frames of one size.

    Parameters
    ----------
    spec : InputSpec
    opencv : bool, optional
        Resize with OpenCV. Default: if it is installed.
    """

    def __init__(self, spec: InputSpec, *, opencv: bool | None = None) -> None:
        self.spec = spec
        self._opencv = opencv
        self._canvas = np.full((spec.height, spec.width, 3), spec.pad_value, np.uint8)
        self._rgb = np.empty_like(self._canvas) if spec.channels == "rgb" else None
        self._mean = np.tile(np.array(spec.mean, np.float32), spec.width)
        self._scale = np.tile(np.array(spec.scale, np.float32), spec.width)
        self._frame_size = (0, 0)
        self._place(spec.width, spec.height)

    def __call__(self, frame: Image, out: NDArray[np.int8] | NDArray[np.float32]) -> Transform:
        """Write one BGR picture into the network's input.

        Parameters
        ----------
        frame : ndarray, shape (H, W, 3), uint8, BGR
            Only read. Rows may be padded.
        out : ndarray, shape (1, height, width, 3), int8 or float32
            Written in place. int8 input must have the quantization ``value - 128``.

        Returns
        -------
        Transform

        Raises
        ------
        InputError
            `frame` is not a BGR picture, or `out` is not the network's input.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
            raise InputError(f"frame of shape {frame.shape}, {frame.dtype}: expected (H, W, 3) uint8, BGR")
        if out.shape != (1, *self._canvas.shape) or out.dtype not in (np.int8, np.float32):
            expected = (1, *self._canvas.shape)
            raise InputError(f"input tensor {out.shape}, {out.dtype}: expected {expected} int8 or float32")
        if frame.shape[:2] != self._frame_size:
            self._place(frame.shape[1], frame.shape[0])
        pixels = self._ordered(self._fitted(frame))
        if out.dtype == np.int8:
            np.bitwise_xor(pixels, 0x80, out=out[0].view(np.uint8))
        else:
            target = out[0].reshape(self.spec.height, -1)  # (H, 3 W): one long loop per row
            np.subtract(pixels.reshape(self.spec.height, -1), self._mean, out=target)
            np.multiply(target, self._scale, out=target)
        return self._transform

    def _fitted(self, frame: Image) -> Image:
        """Return the frame at the network's size, padded; the frame itself if it has that size already."""
        if frame.shape == self._canvas.shape:
            return frame
        self._resize(frame, self._inside)
        return self._canvas

    def _ordered(self, pixels: Image) -> Image:
        """Return BGR pixels in the network's channel order."""
        if self._rgb is None:
            return pixels
        for channel in range(3):  # five times faster than copying a view with reversed channels
            np.copyto(self._rgb[..., channel], pixels[..., 2 - channel])
        return self._rgb

    def _place(self, width: int, height: int) -> None:
        """Compute the place of a picture of this size, and clear the padding."""
        spec = self.spec
        new_w, new_h = spec.width, spec.height
        if spec.fit != "stretch":  # the picture for a top-down network is already a crop
            scale = min(spec.width / width, spec.height / height)
            new_w = min(max(round(width * scale), 1), spec.width)
            new_h = min(max(round(height * scale), 1), spec.height)
        pad_x, pad_y = (spec.width - new_w) // 2, (spec.height - new_h) // 2
        self._canvas[:] = spec.pad_value
        self._inside = self._canvas[pad_y : pad_y + new_h, pad_x : pad_x + new_w]
        self._resize = Resizer((height, width), (new_h, new_w), opencv=self._opencv)
        self._frame_size = (height, width)
        self._transform = Transform(scale_x=new_w / width, scale_y=new_h / height, pad_x=pad_x, pad_y=pad_y)
