"""The images that calibrate a model: their choice, order and hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.capture.pictures import SUFFIXES, read_picture
from rpi_runtime.errors import InputError
from rpi_runtime.evaluate.coco import READABLE, is_coco, read_split, splits
from rpi_runtime.files import reading
from rpi_runtime.inputs import read_input, real_path, shown_name
from rpi_runtime.model.card import InputSpec
from rpi_runtime.poses import Image
from rpi_runtime.preprocess.letterbox import Preprocessor

DEFAULT_COUNT = 32
MOST_BYTES = 256 << 20  # of a picture's file
DARK = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The images of a calibration set, in order: file name and sha256 of each.

    Attributes
    ----------
    source : str
        ``coco/train2017`` or the folder's name.
    images : tuple of (str, str)
    """

    source: str
    images: tuple[tuple[str, str], ...]

    def to_json(self) -> str:
        """Return the manifest as JSON; the same images give the same bytes."""
        data = {"format": 1, "source": self.source, "images": self.images}
        return json.dumps(data, indent=0, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: bytes | str) -> Manifest:
        """Read the output of `to_json`; raises `ValueError` for anything else."""
        try:
            data = json.loads(text)
        except RecursionError as err:
            raise ValueError("nested too deeply") from err
        if not isinstance(data, dict) or data.get("format") != 1 or not isinstance(data.get("images"), list):
            raise ValueError("expected format 1 and a list of images")
        return cls(source=str(data.get("source")), images=tuple((str(n), str(d)) for n, d in data["images"]))

    def images_among(self, paths: Sequence[Path]) -> list[str]:
        """Return the names of the manifest's images that are among `paths`, by name or by content.

        Raises `InputError` if one of `paths` cannot be read.
        """
        names = {shown_name(p) for p in paths}
        hashes = {_sha256(p) for p in paths}
        return [name for name, digest in self.images if name in names or digest in hashes]

    @property
    def sha256(self) -> str:
        """The sha256 of the JSON form."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationSet:
    """Decoded calibration images.

    Attributes
    ----------
    manifest : Manifest
    frames : sequence of ndarray, (H, W, 3) uint8 BGR
        In the manifest's order, at their own sizes. Frames from files are decoded each time they are read, so that
        hundreds of a camera's pictures need the memory of one.
    skipped : tuple of str
        Images that could not be read, by name.
    dark : tuple of str
        Images without a value above `DARK`, by name: perhaps 12 bits in a file of 16.
    """

    manifest: Manifest
    frames: Sequence[Image]
    skipped: tuple[str, ...]
    dark: tuple[str, ...] = ()

    def inputs(self, spec: InputSpec, *, span: bool = True) -> Iterator[NDArray[np.float32]]:
        """Yield (1, H, W, 3) float32 inputs, letterboxed and normalised by the runtime's own code.

        With `span`, one pixel of the first image is set to black and one to white: a camera's pixels run from 0 to 255
        whatever this set contains, and only a range that spans them gives the int8 input ``value - 128``.
        """
        prepare = Preprocessor(spec)
        out = np.empty((1, spec.height, spec.width, 3), np.float32)
        for index, frame in enumerate(self.frames):
            prepare(frame, out)
            if index == 0 and span:
                mean, scale = np.array(spec.mean, np.float32), np.array(spec.scale, np.float32)
                out[0, 0, 0], out[0, 0, 1] = (0 - mean) * scale, (255 - mean) * scale
            yield out.copy()


class PictureFiles(Sequence[Image]):
    """Pictures in files, each decoded when it is read.

    Parameters
    ----------
    paths : sequence of path
    digests : sequence of str
        sha256 of each file when it was chosen.
    """

    def __init__(self, paths: Sequence[Path], digests: Sequence[str]) -> None:
        self._paths, self._digests = tuple(paths), tuple(digests)

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> PictureFiles: ...

    def __getitem__(self, index: int | slice) -> Image | PictureFiles:
        if isinstance(index, slice):
            return PictureFiles(self._paths[index], self._digests[index])
        path = self._paths[index]
        with reading(path, READABLE):
            data = read_input(path, MOST_BYTES)
        if hashlib.sha256(data).hexdigest() != self._digests[index]:
            raise InputError(f"{path}: changed while it was in use; run this again")
        return read_picture(data, shown_name(path))


def _sha256(path: Path) -> str:
    with reading(path, READABLE):
        return hashlib.sha256(read_input(path)).hexdigest()


def choose_images(folder: Path, count: int) -> tuple[list[Path], str]:
    """Choose calibration images.

    Parameters
    ----------
    folder : path
        COCO layout, of which only the training split is used, or a folder of pictures.
    count : int
        Number of images, spread evenly over the sorted names if there are more.

    Returns
    -------
    list of Path
        In the order in which they calibrate.
    str
        Their source, for the manifest.

    Raises
    ------
    InputError
        The folder does not exist, cannot be read, or has no picture in it.
    """
    with reading(folder, READABLE):
        there = folder.is_dir()
    if not there:
        raise InputError(
            f"{folder}: no such folder; give --calibration a COCO folder or a folder of pictures"
        )
    paths, source = _train_images(folder) if is_coco(folder) else _pictures(folder)
    return spread(paths, count), source


def spread(paths: list[Path], count: int) -> list[Path]:
    """Return `count` paths spread evenly over `paths`, or all of them if there are no more."""
    if len(paths) <= count:
        return paths
    return [paths[i * len(paths) // count] for i in range(count)]


def _train_images(folder: Path) -> tuple[list[Path], str]:
    train = [s for s in splits(folder) if s.startswith("train")]
    if not train:
        raise InputError(
            f"{folder}: a COCO folder with {', '.join(splits(folder))} only; calibration takes its training "
            "split, since evaluation images may not calibrate"
        )
    split = read_split(folder, train[-1], people=False)
    return sorted(i.path for i in split.images), f"coco/{split.name}"


def _pictures(folder: Path) -> tuple[list[Path], str]:
    with reading(folder, READABLE):
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise InputError(
            f"{folder}: no pictures in it ({', '.join(SUFFIXES)}); give another --calibration folder"
        )
    return paths, shown_name(real_path(folder))


def read_calibration(paths: Sequence[Path], source: str, refused: Sequence[Path] = ()) -> CalibrationSet:
    """Read chosen images. Damaged ones are skipped and named.

    Parameters
    ----------
    paths : sequence of path
    source : str
        Source, for the manifest.
    refused : sequence of path
        Evaluation images. None of them may be among the chosen images, by name or content.

    Raises
    ------
    InputError
        No image can be read, one is an evaluation image, or an evaluation image cannot be read.
    """
    entries: list[tuple[str, str]] = []
    found: list[Path] = []
    skipped, dark = [], []
    reason = ""
    for path in paths:
        name = shown_name(path)
        try:
            data = read_input(path, MOST_BYTES)
            brightest = read_picture(data, name).max()
        except (OSError, InputError) as err:
            reason = reason or str(err)
            skipped.append(name)
            continue
        found.append(path)
        entries.append((name, hashlib.sha256(data).hexdigest()))
        if brightest <= DARK:
            dark.append(name)
    if not found:
        raise InputError(
            f"{source}: none of its {len(paths)} pictures can be read; give --calibration another folder; the first: "
            f"{reason}"
        )
    manifest = Manifest(source=source, images=tuple(entries))
    with reading(Path(source), READABLE):
        _refuse_evaluation_images(manifest, {p.stat().st_size for p in found}, refused)
    frames = PictureFiles(found, [digest for _, digest in entries])
    return CalibrationSet(manifest=manifest, frames=frames, skipped=tuple(skipped), dark=tuple(dark))


def _refuse_evaluation_images(manifest: Manifest, sizes: set[int], refused: Sequence[Path]) -> None:
    # only files of the same size can have the same content, so the others need not be read
    names = {name for name, _ in manifest.images}
    both = manifest.images_among([p for p in refused if shown_name(p) in names or p.stat().st_size in sizes])
    if both:
        raise InputError(
            f"{manifest.source}: {len(both)} of the calibration images are evaluation images "
            f"({', '.join(both[:3])}); calibrate on others, or the measured AP means nothing"
        )
