"""Poses of the float file and of the quantized file on the same pictures, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from quant.calibration import CalibrationSet
from rpi_runtime.capture.pictures import encode_picture
from rpi_runtime.decode.choose import decoder_for
from rpi_runtime.decode.topdown import TopdownDecode
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import TopdownDecoder
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Pose, Track
from rpi_runtime.preprocess.letterbox import Frame, Preprocessor, Transform
from rpi_runtime.sinks.draw import draw_people

COUNT = 4
QUALITY = 85


def pose_pictures(
    real: Path, quantized: Path, card: ModelCard, images: CalibrationSet
) -> Iterator[tuple[str, bytes]]:
    """Yield caption and JPEG of the pictures in which the float file finds people with the highest scores."""
    models = [Model(path, card=card) for path in (real, quantized)]
    prepare, read = Preprocessor(card.input), _reader(card)

    def poses(model: Model, frame: Frame) -> tuple[Pose, ...]:
        transform = prepare(frame, model.input)
        model.invoke()
        return read(model, transform)

    found = [poses(models[0], frame) for frame in images.frames]
    surest = sorted(range(len(found)), key=lambda i: -sum(p.score for p in found[i]))
    for index in surest[:COUNT]:
        frame = images.frames[index]
        both = (found[index], poses(models[1], frame))
        drawn = [
            _draw(frame, people, card, text)
            for people, text in zip(both, ("float", card.recipe), strict=True)
        ]
        name = images.manifest.images[index][0]
        caption = f"{name}: {len(both[0])} people by float, {len(both[1])} by {card.recipe}"
        yield caption, encode_picture(np.concatenate(drawn, axis=1), ".jpg", QUALITY)


def _reader(card: ModelCard) -> Callable[[Model, Transform], tuple[Pose, ...]]:
    """Return the decoder. A top-down network treats each picture as the crop of one person."""
    if not isinstance(card.decoder, TopdownDecoder):
        return decoder_for(card).read
    alone = TopdownDecode(card)
    return lambda model, transform: (alone.read(model, transform),)


def _draw(frame: Frame, people: tuple[Pose, ...], card: ModelCard, caption: str) -> Frame:
    # people are not matched between the files, so colours follow the order of the poses
    tracks = [Track(id=0, pose=pose) for pose in people]
    return draw_people(frame, tracks, card.skeleton, caption)
