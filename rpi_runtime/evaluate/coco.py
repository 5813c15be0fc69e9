"""COCO keypoint annotations and the images that belong to them, in COCO's own folder layout.

::

    DIR/annotations/person_keypoints_SPLIT.json
    DIR/SPLIT/*.jpg      (or DIR/images/SPLIT/*.jpg)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rpi_runtime.errors import InputError
from rpi_runtime.evaluate.coco_people import checked_images, checked_people
from rpi_runtime.files import reading
from rpi_runtime.inputs import parse_json, read_input

READABLE = "make the folder and its files readable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoImage:
    """One image: `id` by which it is scored, `path` on disk, size in pixels, `own_id` in the annotation file."""

    id: int
    path: Path
    width: int
    height: int
    own_id: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoSplit:
    """A split of a COCO folder.

    Attributes
    ----------
    name : str
    images : tuple of CocoImage
        Images with a file on disk, by id.
    missing : int
        Number of annotated images that the folder lacks.
    annotations : Path
    people : tuple of dict
        The annotated people in COCO's form, as `rpi_runtime.evaluate.coco_people.checked_people` returns them.
    """

    name: str
    images: tuple[CocoImage, ...]
    missing: int
    annotations: Path
    people: tuple[dict[str, Any], ...]


def is_coco(folder: Path) -> bool:
    """Return whether a folder has COCO's layout; raises `InputError` if it may not be read."""
    return bool(splits(folder))


def splits(folder: Path) -> list[str]:
    """Return the names of a COCO folder's annotated splits; raises `InputError` if it may not be read."""
    with reading(folder, READABLE):
        files = list((folder / "annotations").glob("person_keypoints_*.json"))
    return sorted(f.stem.removeprefix("person_keypoints_") for f in files)


def read_split(folder: Path, name: str, *, people: bool = True) -> CocoSplit:
    """Read one split.

    Parameters
    ----------
    folder : path
    name : str
    people : bool
        Whether to check and keep its people.

    Raises
    ------
    InputError
        The split does not exist, annotations or folder cannot be read, no correct AP can be computed from the
        annotations, or none of the images is on disk.
    """
    annotations = folder / "annotations" / f"person_keypoints_{name}.json"
    images = _image_folder(folder, name)
    data = read_annotations(annotations, splits(folder))
    entries = checked_images(data["images"], annotations)
    persons = checked_people(data, entries, annotations) if people else []
    every = sorted((_image(entry, images) for entry in entries.values()), key=lambda i: i.id)
    with reading(images, READABLE):
        found = [i for i in every if i.path.is_file()]
    missing = len(every) - len(found)
    if not found:
        raise InputError(
            f"{images}: none of the {missing} images that {annotations.name} names; unpack {name}.zip there"
        )
    return CocoSplit(
        name=name, images=tuple(found), missing=missing, annotations=annotations, people=tuple(persons)
    )


def _image(entry: dict[str, Any], folder: Path) -> CocoImage:
    return CocoImage(
        id=entry["id"],
        path=_image_path(entry["file_name"], folder),
        width=entry["width"],
        height=entry["height"],
        own_id=entry["own_id"],
    )


def _image_path(name: str, folder: Path) -> Path:
    """Return the path of an image below the split's folder; folders of another machine in its name do not count."""
    relative = PurePosixPath(name.replace("\\", "/"))
    inside = not relative.is_absolute() and ".." not in relative.parts
    if inside and (len(relative.parts) == 1 or (folder / relative).is_file()):
        return folder / relative
    return folder / relative.name


def read_annotations(path: Path, known: list[str]) -> dict[str, Any]:
    """Parse an annotation file and check that it is one."""
    try:
        text = read_input(path)
    except OSError as err:
        have = (
            f"; its splits are {', '.join(known)}"
            if known
            else "; expected COCO's layout, annotations/ and images"
        )
        raise InputError(f"{path}: cannot be read ({err.strerror}){have}") from err
    data = parse_json(text, path, "unpack the annotations again")
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
