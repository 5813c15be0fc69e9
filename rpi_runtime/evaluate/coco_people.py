"""Check COCO's person annotations as other tools write them, and bring them to one form before measuring.

Object keypoint similarity and AP are silently wrong on annotations that COCO itself would not write: an id of 0, ids
that repeat from picture to picture, people as another category, an area of 0. Unambiguous annotations are brought to
COCO's form: ids are assigned again, people are found by the category's name, keypoints are counted again. Others are
refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rpi_runtime.errors import InputError

PERSON = 1  # COCO's category id, and that of the people returned here
KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
_VALUES = 3 * len(KEYPOINTS)
_NEXT = "expected COCO's person keypoint annotations"
Entry = dict[str, Any]


def checked_images(entries: list[Any], path: Path) -> dict[Any, Entry]:
    """Return each image by the key of `image_key`, with ``id`` as a whole number.

    Ids that are words are numbered from 1; the entry keeps the word as ``key``.

    Raises
    ------
    InputError
        An image lacks a field or is listed twice with different fields.
    """
    found: dict[Any, Entry] = {}
    for number, entry in enumerate(entries):
        try:
            image = {
                "key": image_key(entry["id"]),
                "own_id": entry["id"],
                "file_name": _name(entry["file_name"]),
                "width": _size(entry["width"]),
                "height": _size(entry["height"]),
            }
        except (KeyError, TypeError, ValueError) as err:
            raise InputError(
                f"{path}: image {number} without id, file_name, width or height ({type(err).__name__}: {err}); "
                "unpack the annotations again"
            ) from err
        former = found.setdefault(image["key"], image)
        if former != image:
            raise InputError(f"{path}: image id {entry['id']!r} is given to two images; number them anew")
    words = any(isinstance(key, str) for key in found)
    for number, image in enumerate(found.values()):
        image["id"] = number + 1 if words else image["key"]
    return found


def image_key(value: Any) -> int | str:
    """Return an image's id for comparisons: ``7``, ``7.0`` and ``"000007"`` are equal."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else value
    return _whole(value)


def checked_people(data: Mapping[str, Any], images: Mapping[Any, Entry], path: Path) -> list[Entry]:
    """Return the annotations of people on `images` in COCO's own form.

    Parameters
    ----------
    data : mapping
        A parsed annotation file.
    images : mapping
        Result of `checked_images`.
    path : path
        For messages.

    Returns
    -------
    list of dict
        ``id`` from 1, ``image_id``, ``category_id`` 1, ``keypoints`` (51 numbers), ``num_keypoints``, ``bbox``,
        ``area`` and ``iscrowd``; a person without keypoints has zeros, as in COCO.

    Raises
    ------
    InputError
        There is no category of people, the keypoints are not COCO's 17, or no correct AP can be computed.
    """
    category = _person_category(data["categories"], path)
    people: list[Entry] = []
    for number, entry in enumerate(data["annotations"]):
        try:
            if _whole(entry["category_id"]) != category:
                continue
            image = images.get(image_key(entry["image_id"]))
            if image is not None:
                people.append(_person(entry, image["id"]) | {"id": len(people) + 1})
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            reason = f"no {err}" if isinstance(err, KeyError) else str(err)
            raise InputError(f"{path}: annotation {number}: {reason}; {_NEXT}") from err
    _check_all(people, list(images.values()), path)
    return people


def _person_category(categories: list[Any], path: Path) -> int:
    try:
        named = [c for c in categories if str(c["name"]).strip().lower() == "person"]
        ids = {_whole(c["id"]) for c in named}
    except (KeyError, TypeError, ValueError) as err:
        raise InputError(f"{path}: a category without id and name ({err}); {_NEXT}") from err
    if len(ids) != 1:
        names = ", ".join(str(c["name"])[:40] for c in categories[:5]) or "none"
        raise InputError(
            f"{path}: {len(ids)} categories named person among: {names}; AP is that of people: name their category so"
        )
    names = named[0].get("keypoints")
    if isinstance(names, list):
        if len(names) != len(KEYPOINTS):
            raise InputError(f"{path}: {len(names)} keypoints a person; expected COCO's {len(KEYPOINTS)}")
        if sorted(map(str, names)) == sorted(KEYPOINTS) and tuple(names) != KEYPOINTS:
            raise InputError(f"{path}: the keypoints stand in another order than COCO's; {_NEXT}")
    return ids.pop()


def _person(entry: Mapping[str, Any], image_id: int) -> Entry:
    keypoints = _keypoints(entry.get("keypoints"))
    labelled = sum(v > 0 for v in keypoints[2::3])
    # in COCO's files an outline in run lengths, a table, belongs to a crowd
    crowd = _whole(entry.get("iscrowd", isinstance(entry.get("segmentation"), dict)))
    if crowd not in (0, 1):
        raise ValueError(f"iscrowd {crowd}, expected 0 or 1")
    unknown = labelled == 0 and entry.get("bbox") is None  # such a person counts neither way
    box = [0.0, 0.0, 0.0, 0.0] if unknown else _box(entry["bbox"])
    area = _number(entry.get("area", box[2] * box[3]) if labelled == 0 else entry["area"])
    if labelled and area <= 0:
        raise ValueError(f"area {area:g} of a person with keypoints, by which their distances are measured")
    return {
        "image_id": image_id,
        "category_id": PERSON,
        "keypoints": keypoints,
        "num_keypoints": labelled,
        "bbox": box,
        "area": max(area, 0.0),
        "iscrowd": crowd,
    }


def _keypoints(value: Any) -> list[float]:
    if value is None or value == []:
        return [0.0] * _VALUES
    if all(isinstance(v, list) for v in value):
        value = [number for point in value for number in point]
    if len(value) != _VALUES:
        raise ValueError(
            f"{len(value)} keypoint values, expected {_VALUES}: x, y and visibility of 17 keypoints"
        )
    numbers = [_number(v) for v in value]
    if any(v not in (0, 1, 2) for v in numbers[2::3]):
        raise ValueError("a visibility that is not 0, 1 or 2")
    return numbers


def _box(value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(f"bbox {value!r}, expected [x, y, width, height]")
    x, y, width, height = (_number(v) for v in value)
    if width < 0 or height < 0:
        raise ValueError(f"bbox {width:g} wide and {height:g} high")
    return [x, y, width, height]


def _check_all(people: list[Entry], images: list[Entry], path: Path) -> None:
    """Refuse faults that only the whole file shows."""
    if people and not any(p["num_keypoints"] for p in people):
        raise InputError(
            f"{path}: no person in it has keypoints; take person_keypoints_*.json, not instances_*.json"
        )
    sizes = {i["id"]: (i["width"], i["height"]) for i in images}
    outside = sum(_reaches_outside(p["bbox"], sizes[p["image_id"]]) for p in people)
    if outside > len(people) / 4 and outside > 1:
        raise InputError(
            f"{path}: {outside} of {len(people)} boxes reach far outside their images; "
            "expected x, y, width, height: are these two corners, or is the size that of other images?"
        )


def _reaches_outside(box: list[float], size: tuple[int, int]) -> bool:
    x, y, width, height = box
    return x + width > 1.1 * size[0] or y + height > 1.1 * size[1]


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("file_name is no name")
    return value


def _size(value: Any) -> int:
    size = _whole(value)
    if not 1 <= size <= 100_000:
        raise ValueError(f"{size} pixels")
    return size


def _whole(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{str(value)[:40]!r} where a number belongs")
    try:
        number = float(value)
    except OverflowError as err:
        raise ValueError("a number beyond all bounds") from err
    if not math.isfinite(number):
        raise ValueError(f"{number} where a number belongs")
    return number
