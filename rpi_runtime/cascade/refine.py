"""Find the people on a crop, with a network of crops or with one of whole pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from rpi_runtime.decode.choose import crop_decoder_for, decoder_for
from rpi_runtime.decode.crops import crop_settings
from rpi_runtime.decode.mode import Mode
from rpi_runtime.errors import CardError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.crop_settings import CropSettings
from rpi_runtime.model.inference import Inference
from rpi_runtime.poses import Box, Image, Pose
from rpi_runtime.preprocess.crop import CropWriter, crop_transform
from rpi_runtime.preprocess.letterbox import Preprocessor, Transform

# The crop for a network of whole pictures; the box has a margin already.
PADDED = CropSettings(box_padding=1.1)


class Refiner(Protocol):
    """Finds people in one person's box."""

    def __call__(self, frame: Image, box: Box) -> tuple[Pose, ...]:
        """Return the candidates for the person, in pixels of the frame and in the network's own skeleton."""


def refiner_for(model: Inference, mode: Mode = "fast") -> Refiner:
    """Return the refiner for a model, by its card; raises `CardError` for a detector, which gives no keypoints."""
    if not model.card.skeleton.keypoints:
        raise CardError(
            f"{model.path}: a detector finds boxes and no keypoints, so it cannot refine",
            remedy="give it as --model, and a network of crops as --refine",
        )
    return CropRefiner(model, mode) if model.card.sees_crops else PictureRefiner(model)


class CropRefiner:
    """Runs a network of crops on its crop and returns the one person in the middle."""

    def __init__(self, model: Inference, mode: Mode = "fast") -> None:
        self._model, self._settings = model, crop_settings(model.card)
        self._write = CropWriter(model.card.input, self._settings)
        self._decode = crop_decoder_for(model.card, mode)

    def __call__(self, frame: Image, box: Box) -> tuple[Pose, ...]:
        """Return the person, or no one when no keypoint reaches the threshold."""
        transform = crop_transform(box, self._model.card.input, self._settings)
        if not _shows(frame, transform, self._model.card.input):
            return ()
        self._write(frame, transform, self._model.input)
        self._model.invoke()
        pose = self._decode.read(self._model, transform)
        return (pose,) if pose.score > 0 else ()


class PictureRefiner:
    """Runs a network of whole pictures on a part of one, where people are larger, and returns all people on it."""

    def __init__(self, model: Inference) -> None:
        self._model, self._prepare = model, Preprocessor(model.card.input)
        self._decode = decoder_for(model.card)

    def __call__(self, frame: Image, box: Box) -> tuple[Pose, ...]:
        """Return all people on the part of the frame."""
        around = _around(frame, crop_transform(box, self._model.card.input, PADDED), self._model.card.input)
        if around is None:
            return ()
        (left, top), part = around
        transform = self._prepare(part, self._model.input)
        self._model.invoke()
        return self._decode.read(self._model, _shifted(transform, -left, -top))


def _around(frame: Image, transform: Transform, spec: InputSpec) -> tuple[tuple[int, int], Image] | None:
    """Return the part of the frame that a crop shows; None when it shows less than 2x2 pixels.

    Returns
    -------
    (left, top), view
        Where the view of the frame begins.
    """
    left, top, right, bottom = _edges(frame, transform, spec)
    if right - left < 2 or bottom - top < 2:
        return None
    return (left, top), frame[top:bottom, left:right]


def _shows(frame: Image, transform: Transform, spec: InputSpec) -> bool:
    """Return whether a crop shows at least 2x2 pixels of the frame."""
    left, top, right, bottom = _edges(frame, transform, spec)
    return right - left >= 2 and bottom - top >= 2


def _edges(frame: Image, transform: Transform, spec: InputSpec) -> tuple[int, int, int, int]:
    corners = transform.to_image(np.array([[0, 0], [spec.width, spec.height]], np.float32))
    left, top = np.maximum(np.floor(corners[0]).astype(int), 0).tolist()
    right, bottom = np.minimum(np.ceil(corners[1]).astype(int), frame.shape[1::-1]).tolist()
    return left, top, right, bottom


def _shifted(transform: Transform, left: int, top: int) -> Transform:
    """Return a frame's transform for the part that begins at `left`, `top`; negative values for the way back."""
    return replace(
        transform,
        pad_x=transform.pad_x + left * transform.scale_x,
        pad_y=transform.pad_y + top * transform.scale_y,
    )
