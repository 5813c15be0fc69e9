"""The people on a crop, by a network of either kind: one that sees crops, or one of whole pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from rpi_runtime.decode.choose import decoder_for
from rpi_runtime.decode.crops import Mode, crop_decoder_for, crop_settings
from rpi_runtime.errors import CardError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.crop_settings import CropSettings
from rpi_runtime.model.inference import Inference
from rpi_runtime.poses import Box, Pose
from rpi_runtime.preprocess.crop import CropWriter, crop_transform
from rpi_runtime.preprocess.letterbox import Frame, Preprocessor, Transform

# The crop for a network of whole pictures; the box has a margin already.
PADDED = CropSettings(box_padding=1.1)


class Refiner(Protocol):
    """Looks at one person's box."""

    def __call__(self, frame: Frame, box: Box) -> tuple[Pose, ...]:
        """Return who may be the person, in pixels of the frame and in the network's own skeleton."""


def refiner_for(model: Inference, mode: Mode = "fast") -> Refiner:
    """Return what refines with a model, by its card; `CardError` for a detector, which gives no keypoints."""
    if not model.card.skeleton.keypoints:
        raise CardError(
            f"{model.path}: a detector finds boxes and no keypoints, so it cannot refine",
            remedy="give it as --model, and a network of crops as --refine",
        )
    return CropRefiner(model, mode) if model.card.sees_crops else PictureRefiner(model)


class CropRefiner:
    """A network of crops on the crop that it was made for: one person, the one in the middle."""

    def __init__(self, model: Inference, mode: Mode = "fast") -> None:
        self._model, self._settings = model, crop_settings(model.card)
        self._write = CropWriter(model.card.input, self._settings)
        self._decode = crop_decoder_for(model.card, mode)

    def __call__(self, frame: Frame, box: Box) -> tuple[Pose, ...]:
        """See `Refiner`; nobody when the network is sure of no keypoint."""
        transform = crop_transform(box, self._model.card.input, self._settings)
        if not _shows(frame, transform, self._model.card.input):
            return ()
        self._write(frame, transform, self._model.input)
        self._model.invoke()
        pose = self._decode.read(self._model, transform)
        return (pose,) if pose.score > 0 else ()


class PictureRefiner:
    """A network of whole pictures on a part of one: everybody on it, larger than before."""

    def __init__(self, model: Inference) -> None:
        self._model, self._prepare = model, Preprocessor(model.card.input)
        self._decode = decoder_for(model.card)

    def __call__(self, frame: Frame, box: Box) -> tuple[Pose, ...]:
        """See `Refiner`."""
        around = _around(frame, crop_transform(box, self._model.card.input, PADDED), self._model.card.input)
        if around is None:
            return ()
        (left, top), part = around
        transform = self._prepare(part, self._model.input)
        self._model.invoke()
        return self._decode.read(self._model, _shifted(transform, -left, -top))


def _around(frame: Frame, transform: Transform, spec: InputSpec) -> tuple[tuple[int, int], Frame] | None:
    """The part of the frame that a crop shows; None where it shows next to nothing of it.

    Returns
    -------
    (left, top), view
        Where the view of the frame begins.
    """
    left, top, right, bottom = _edges(frame, transform, spec)
    if right - left < 2 or bottom - top < 2:
        return None
    return (left, top), frame[top:bottom, left:right]


def _shows(frame: Frame, transform: Transform, spec: InputSpec) -> bool:
    """Whether a crop shows anything of the frame."""
    left, top, right, bottom = _edges(frame, transform, spec)
    return right - left >= 2 and bottom - top >= 2


def _edges(frame: Frame, transform: Transform, spec: InputSpec) -> tuple[int, int, int, int]:
    corners = transform.to_image(np.array([[0, 0], [spec.width, spec.height]], np.float32))
    left, top = np.maximum(np.floor(corners[0]).astype(int), 0).tolist()
    right, bottom = np.minimum(np.ceil(corners[1]).astype(int), frame.shape[1::-1]).tolist()
    return left, top, right, bottom


def _shifted(transform: Transform, left: int, top: int) -> Transform:
    """The transform of a frame for a part of it that begins at `left`, `top`; negative ones for the way back."""
    return replace(
        transform,
        pad_x=transform.pad_x + left * transform.scale_x,
        pad_y=transform.pad_y + top * transform.scale_y,
    )
