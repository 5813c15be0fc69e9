"""A picture to the network's input, and the transform that brings points back.

The same code serves the Pi, calibration and evaluation, so that they cannot drift apart. Pixels stay uint8
until the last step: a float model gets ``(value - mean) * scale``; a fully INT8 model whose input quantizes to
``value - 128`` gets ``value ^ 0x80``, one byte operation a channel and no float at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.card import InputSpec
from rpi_runtime.errors import InputError
from rpi_runtime.resize import resize_into

Frame = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """Where a picture lies on the network's input: ``x_net = x_image * scale_x + pad_x``.

    Exact for the pixels that were resized: with whole-pixel sizes the scales of the two axes differ slightly.
    """

    scale_x: float
    scale_y: float
    pad_x: int
    pad_y: int

    def to_image(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (..., 2) points from network pixels to image pixels; a new array."""
        shift = np.array([self.pad_x, self.pad_y], np.float32)
        return (points - shift) / np.array([self.scale_x, self.scale_y], np.float32)

    def to_network(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (..., 2) points from image pixels to network pixels; a new array."""
        shift = np.array([self.pad_x, self.pad_y], np.float32)
        return points * np.array([self.scale_x, self.scale_y], np.float32) + shift


class Preprocessor:
    """Fit pictures of any size into one network input; keeps its canvas between frames.

    Parameters
    ----------
    spec : InputSpec
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self._canvas = np.full((spec.height, spec.width, 3), spec.pad_value, np.uint8)
        self._frame_size = (0, 0)
        self._transform = Transform(scale_x=1.0, scale_y=1.0, pad_x=0, pad_y=0)
        self._inside = self._canvas
        channels = slice(None, None, -1) if spec.channels == "rgb" else slice(None)
        self._mean = np.array(spec.mean, np.float32)[channels]
        self._scale = np.array(spec.scale, np.float32)[channels]

    def __call__(self, frame: Frame, out: NDArray[np.int8] | NDArray[np.float32]) -> Transform:
        """Write one BGR picture into the network's input.

        Parameters
        ----------
        frame : ndarray, shape (H, W, 3), uint8, BGR
        out : ndarray, shape (1, height, width, 3), int8 or float32
            Written in place. int8 must have the quantization ``value - 128``.

        Returns
        -------
        Transform
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise InputError(f"frame of shape {frame.shape}, {frame.dtype}: expected (H, W, 3) uint8, BGR")
        if frame.shape[:2] != self._frame_size:
            self._place(frame.shape[1], frame.shape[0])
        resize_into(frame, self._inside)
        source = self._canvas[..., ::-1] if self.spec.channels == "rgb" else self._canvas
        if out.dtype == np.int8:
            np.bitwise_xor(source, 0x80, out=out[0].view(np.uint8))
        else:
            target = out[0][..., ::-1] if self.spec.channels == "rgb" else out[0]
            np.subtract(self._canvas, self._mean, out=target)
            np.multiply(target, self._scale, out=target)
        return self._transform

    def _place(self, width: int, height: int) -> None:
        """Compute where a picture of this size goes, and clear the padding."""
        if width < 1 or height < 1:
            raise InputError(f"frame of {width}x{height} pixels: expected at least 1x1")
        spec = self.spec
        new_w, new_h = spec.width, spec.height
        if spec.fit == "letterbox":
            scale = min(spec.width / width, spec.height / height)
            new_w = min(max(round(width * scale), 1), spec.width)
            new_h = min(max(round(height * scale), 1), spec.height)
        pad_x, pad_y = (spec.width - new_w) // 2, (spec.height - new_h) // 2
        self._canvas[:] = spec.pad_value
        self._inside = self._canvas[pad_y : pad_y + new_h, pad_x : pad_x + new_w]
        self._frame_size = (height, width)
        self._transform = Transform(
            scale_x=new_w / width, scale_y=new_h / height, pad_x=pad_x, pad_y=pad_y
        )
