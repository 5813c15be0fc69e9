"""The people on a crop, by a network of either kind: one that sees crops, or one of whole pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from rpi_runtime.decode.choose import decoder_for
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.decoders import TopdownDecoder
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.crop import Box, Cutter, crop_transform
from rpi_runtime.preprocess.letterbox import Frame, Preprocessor, Transform

# The crop for a network of whole pictures; the box has a margin already.
PADDING = 1.1


class Refiner(Protocol):
    """Looks at one person's box."""

    def __call__(self, frame: Frame, box: Box) -> tuple[Pose, ...]:
        """Return who may be the person, in pixels of the frame and in the network's own skeleton."""


def refiner_for(model: Model) -> Refiner:
    """Return what refines with a model, by its card."""
    return CropRefiner(model) if isinstance(model.card.decoder, TopdownDecoder) else PictureRefiner(model)


class CropRefiner:
    """A top-down network on the crop that it was made for: one person, the one in the middle."""

    def __init__(self, model: Model) -> None:
        # the kernels of this kind are loaded where they are needed only
        from rpi_runtime.decode.topdown import TopdownDecode

        spec = model.card.input
        self._model, self._prepare, self._cut = model, Preprocessor(spec), Cutter(spec)
        self._decode = TopdownDecode(model.card)

    def __call__(self, frame: Frame, box: Box) -> tuple[Pose, ...]:
        """See `Refiner`; nobody when the network is sure of no keypoint."""
        spec = self._model.card.input
        transform = crop_transform(box, spec, self._decode.spec.box_padding)
        around = _around(frame, transform, spec)
        if around is None:
            return ()
        (left, top), part = around
        crop = self._cut(part, _shifted(transform, left, top))
        self._prepare(crop, self._model.input)
        self._model.invoke()
        pose = self._decode.read(self._model, transform)
        return (pose,) if pose.score > 0 else ()


class PictureRefiner:
    """A network of whole pictures on a part of one: everybody on it, larger than before."""

    def __init__(self, model: Model) -> None:
        self._model, self._prepare = model, Preprocessor(model.card.input)
        self._decode = decoder_for(model.card)

    def __call__(self, frame: Frame, box: Box) -> tuple[Pose, ...]:
        """See `Refiner`."""
        around = _around(
            frame, crop_transform(box, self._model.card.input, PADDING), self._model.card.input, 0
        )
        if around is None:
            return ()
        (left, top), part = around
        transform = self._prepare(part, self._model.input)
        self._model.invoke()
        return self._decode.read(self._model, _shifted(transform, -left, -top))


def _around(
    frame: Frame, transform: Transform, spec: InputSpec, rim: int = 2
) -> tuple[tuple[int, int], Frame] | None:
    """The part of the frame that a crop shows, and `rim` pixels more for interpolation; None outside of it.

    Returns
    -------
    (left, top), view
        Where the view of the frame begins.
    """
    corners = transform.to_image(np.array([[0, 0], [spec.width, spec.height]], np.float32))
    left, top = np.maximum(np.floor(corners[0]).astype(int) - rim, 0).tolist()
    limit = frame.shape[1], frame.shape[0]
    right, bottom = np.minimum(np.ceil(corners[1]).astype(int) + rim, limit).tolist()
    if right - left < 2 or bottom - top < 2:
        return None
    return (left, top), frame[top:bottom, left:right]


def _shifted(transform: Transform, left: int, top: int) -> Transform:
    """The transform of a frame for a part of it that begins at `left`, `top`; negative ones for the way back."""
    return replace(
        transform,
        pad_x=transform.pad_x + left * transform.scale_x,
        pad_y=transform.pad_y + top * transform.scale_y,
    )
