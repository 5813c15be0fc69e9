"""COCO keypoint annotations and the images that belong to them, in COCO's own folder layout.

::

    DIR/annotations/person_keypoints_SPLIT.json
    DIR/SPLIT/*.jpg      (or DIR/images/SPLIT/*.jpg)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpi_runtime.errors import InputError
from rpi_runtime.files import reading

READABLE = "make the folder and its files readable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoImage:
    """One image: `id` in the annotations, `path` on disk, size in pixels."""

    id: int
    path: Path
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoSplit:
    """A split of a COCO folder.

    Attributes
    ----------
    name : str
    images : tuple of CocoImage
        Those with a file on disk, by id.
    missing : int
        Images that the annotations name and the folder lacks.
    annotations : Path
    """

    name: str
    images: tuple[CocoImage, ...]
    missing: int
    annotations: Path


def is_coco(folder: Path) -> bool:
    """Whether a folder has COCO's layout; `InputError` when it may not be read."""
    return bool(splits(folder))


def splits(folder: Path) -> list[str]:
    """Return the names of the splits that a COCO folder has annotations for; `InputError` when it may not be read."""
    with reading(folder, READABLE):
        files = list((folder / "annotations").glob("person_keypoints_*.json"))
    return sorted(f.stem.removeprefix("person_keypoints_") for f in files)


def read_split(folder: Path, name: str) -> CocoSplit:
    """Read one split.

    Raises
    ------
    InputError
        No such split, unreadable annotations or folder, or not one of its images on disk.
    """
    annotations = folder / "annotations" / f"person_keypoints_{name}.json"
    images = _image_folder(folder, name)
    data = read_annotations(annotations, splits(folder))
    try:
        every = sorted((_image(entry, images) for entry in data["images"]), key=lambda i: i.id)
    except (KeyError, TypeError, ValueError) as err:
        raise InputError(
            f"{annotations}: an image without id, file_name, width or height ({type(err).__name__}: {err}); "
            "unpack the annotations again"
        ) from err
    with reading(images, READABLE):
        found = [i for i in every if i.path.is_file()]
    missing = len(every) - len(found)
    if not found:
        raise InputError(
            f"{images}: none of the {missing} images that {annotations.name} names; unpack {name}.zip there"
        )
    return CocoSplit(name=name, images=tuple(found), missing=missing, annotations=annotations)


def _image(entry: dict[str, Any], folder: Path) -> CocoImage:
    size = {"width": int(entry["width"]), "height": int(entry["height"])}
    return CocoImage(id=int(entry["id"]), path=folder / str(entry["file_name"]), **size)


def read_annotations(path: Path, known: list[str]) -> dict[str, Any]:
    """Parse an annotation file and check that it is one."""
    try:
        data = json.loads(path.read_text())
    except OSError as err:
        have = (
            f"; its splits are {', '.join(known)}"
            if known
            else "; expected COCO's layout, annotations/ and images"
        )
        raise InputError(f"{path}: cannot be read ({err.strerror}){have}") from err
    except ValueError as err:
        raise InputError(f"{path}: not valid JSON ({err}); unpack the annotations again") from err
    keys = ("images", "annotations", "categories")
    if not isinstance(data, dict) or any(not isinstance(data.get(k), list) for k in keys):
        raise InputError(f"{path}: not COCO annotations; expected lists {', '.join(keys)}")
    return data


def _image_folder(folder: Path, name: str) -> Path:
    with reading(folder, READABLE):
        for candidate in (folder / name, folder / "images" / name):
            if candidate.is_dir():
                return candidate
    raise InputError(
        f"{folder}: no image folder {name}/ in it; expected COCO's layout, {name}/ beside annotations/"
    )
