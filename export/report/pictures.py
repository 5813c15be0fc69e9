"""Poses of the float file and of the quantized file on the same pictures, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant.calibration import CalibrationSet
from rpi_runtime.capture.pictures import encode_picture
from rpi_runtime.decode.choose import crop_decoder_for, decoder_for
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Image, Pose, Track
from rpi_runtime.preprocess.letterbox import Preprocessor, Transform
from rpi_runtime.preprocess.resize import resize_into
from rpi_runtime.sinks.draw import draw_people

COUNT = 4
LARGEST_SIDE = 640  # pixels of a picture in the report
QUALITY = 85


@dataclass(frozen=True, slots=True, kw_only=True)
class PosePicture:
    """One picture with the poses of the float file and of the quantized file, as JPEG, and what it shows."""

    caption: str
    real: bytes
    quantized: bytes


def pose_pictures(
    real: Path, quantized: Path, card: ModelCard, images: CalibrationSet, kind: str
) -> Iterator[PosePicture]:
    """Yield pictures that show how the files differ: where they differ most, then the surest people of the float file.

    Parameters
    ----------
    real, quantized : path
        .tflite files.
    card : ModelCard
    images : CalibrationSet
    kind : str
        What the quantized file's numbers are called, as in ``INT8``.
    """
    models = [Model(path, card=card) for path in (real, quantized)]
    prepare, read = Preprocessor(card.input), _reader(card)

    def poses(model: Model, frame: Image) -> tuple[Pose, ...]:
        transform = prepare(frame, model.input)
        model.invoke()
        return read(model, transform)

    found = [[poses(model, frame) for model in models] for frame in map(shrunk, images.frames)]
    for index, why in _chosen(found):
        frame = shrunk(images.frames[index])
        drawn = [
            encode_picture(_draw(frame, people, card, text), ".jpg", QUALITY)
            for people, text in zip(found[index], ("float", kind), strict=True)
        ]
        counts = [
            f"{len(people)} by {text}" for people, text in zip(found[index], ("float", kind), strict=True)
        ]
        name = images.manifest.images[index][0]
        yield PosePicture(
            caption=f"{name}, {why}: people found: {', '.join(counts)}", real=drawn[0], quantized=drawn[1]
        )


def _chosen(found: Sequence[Sequence[tuple[Pose, ...]]]) -> list[tuple[int, str]]:
    """Return indices and reasons: where the files differ most, then the pictures with the surest people."""
    differing = sorted(range(len(found)), key=lambda i: -_difference(*found[i]))
    most = differing[: COUNT // 4] if found and _difference(*found[differing[0]]) else []
    surest = sorted(range(len(found)), key=lambda i: -sum(p.score for p in found[i][0]))
    rest = [i for i in surest if i not in most][: COUNT - len(most)]
    return [(i, "the files differ most here") for i in most] + [(i, "among the surest people") for i in rest]


def _difference(real: tuple[Pose, ...], quantized: tuple[Pose, ...]) -> int:
    """Return how many keypoints more or fewer the quantized file finds."""
    counts = [sum(int(p.found.sum()) for p in people) for people in (real, quantized)]
    return abs(counts[0] - counts[1])


def shrunk(frame: Image) -> Image:
    """Return a picture whose longer side is at most `LARGEST_SIDE` pixels."""
    height, width = frame.shape[:2]
    scale = LARGEST_SIDE / max(height, width)
    if scale >= 1:
        return frame
    out = np.empty((max(1, round(height * scale)), max(1, round(width * scale)), 3), np.uint8)
    resize_into(np.ascontiguousarray(frame), out)
    return out


def _reader(card: ModelCard) -> Callable[[Model, Transform], tuple[Pose, ...]]:
    """Return the decoder. A network of crops treats each picture as the crop of one person."""
    if not card.sees_crops:
        return decoder_for(card).read
    alone = crop_decoder_for(card)
    return lambda model, transform: (alone.read(model, transform),)


def _draw(frame: Image, people: tuple[Pose, ...], card: ModelCard, caption: str) -> Image:
    # people are not matched between the files, so colours follow the order of the poses
    tracks = [Track(id=0, pose=pose) for pose in people]
    return draw_people(frame, tracks, card.skeleton, caption)
