"""Labelled pictures: read from their files, with people and ignored regions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.train.data.pictures import PictureStore
from quant.progress import reporter
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.errors import InputError
from rpi_runtime.inputs import parse_json, read_input
from rpi_runtime.poses import Image

# bytes of decoded pictures; pictures of a larger source are decoded when they are drawn
IN_MEMORY = 6 * 2**30
SMALLEST = 64  # pixels of the long side of a pyramid's last picture, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSource:
    """Pictures with labels in COCO's keypoint format.

    Attributes
    ----------
    pictures : str
        A folder of pictures, a .tar, or a folder of .tar shards.
    labels : str
        A .json of COCO or of `export.train.label`.
    """

    pictures: str
    labels: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """A picture with its people and the ignored regions.

    Attributes
    ----------
    store, name
        The place of the picture.
    size : (int, int)
        Its width and height.
    people : ndarray, shape (P, 17, 3)
        COCO's keypoints.
    boxes : ndarray, shape (P, 4)
        x, y, width and height, as annotated.
    ignored : tuple of ndarray
        Polygons.
    """

    store: PictureStore
    name: str
    size: tuple[int, int]
    people: NDArray[np.float64]
    boxes: NDArray[np.float64]
    ignored: tuple[NDArray[np.float32], ...]

    def read(self) -> tuple[Image, ...]:
        """Decode the picture, (H, W, 3), and its copies of half the size, a quarter and so on.

        Raises
        ------
        InputError
            Unreadable, or of another size than its labels say.
        """
        picture = read_picture(self.store.read(self.name), self.name)
        if (picture.shape[1], picture.shape[0]) != self.size:
            raise InputError(f"{self.name}: labelled at another size; the labels belong to other pictures")
        return halved(picture)

    @cached_property
    def kept(self) -> tuple[Image, ...]:
        """The result of `read`, kept in memory from then on."""
        return self.read()

    def forget(self) -> None:
        """Let go of what was kept."""
        self.__dict__.pop("kept", None)

    @property
    def pyramid(self) -> tuple[Image, ...]:
        """The result of `read`, decoded again each time unless `kept` was used before."""
        return self.kept if "kept" in self.__dict__ else self.read()


def halved(picture: Image) -> tuple[Image, ...]:
    """Return a picture and its copies of half the size, a quarter and so on."""
    import cv2

    pyramid = [np.ascontiguousarray(picture)]
    while max(pyramid[-1].shape[:2]) >= 2 * SMALLEST:
        height, width = pyramid[-1].shape[:2]
        half = cv2.resize(pyramid[-1], ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        pyramid.append(np.asarray(half, np.uint8))
    return tuple(pyramid)


def read_source(source: LabelledSource, hidden: frozenset[str]) -> list[Example]:
    """Read every labelled picture of a source, less those whose file names are in `hidden`.

    They are decoded into memory, up to `IN_MEMORY`; of a larger source none is.

    Raises
    ------
    InputError
        Unreadable labels, no picture left, or a picture of another size than its labels say.
    """
    store = PictureStore(Path(source.pictures))
    images, people = read_labels(Path(source.labels))
    there = [n for n in sorted(images) if n in store]
    if not there:
        raise InputError(f"{source.labels}: names none of the pictures in {source.pictures}")
    names = [n for n in there if PurePosixPath(n).name not in hidden]
    if not names:
        raise InputError(f"{source.pictures}: all {len(there)} labelled pictures are held out; see [holdout]")
    examples = [_example(store, images[n], people.get(images[n]["id"], []), source.labels) for n in names]
    decoded = sum(4 * e.size[0] * e.size[1] for e in examples)  # 3 bytes a pixel, and a third more for copies
    if decoded <= IN_MEMORY:
        with reporter().items("reading pictures", len(names)) as step, ThreadPoolExecutor() as threads:
            for _ in threads.map(lambda example: example.kept, examples):
                step(1)
    return examples


def read_labels(path: Path) -> tuple[dict[str, Any], dict[int, list[Any]]]:
    """Return COCO's pictures by file name and its people by picture id; raises `InputError` for other files."""
    try:
        data = parse_json(read_input(path), path, "unpack or label again")
        images = {i["file_name"]: i for i in data["images"]}
        people: dict[int, list[Any]] = {}
        for annotation in data["annotations"]:
            people.setdefault(annotation["image_id"], []).append(annotation)
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror})") from err
    except (ValueError, KeyError, TypeError) as err:
        raise InputError(f"{path}: not COCO keypoint labels ({type(err).__name__}: {err})") from err
    return images, people


def _example(store: PictureStore, entry: dict[str, Any], annotations: list[Any], labels: str) -> Example:
    name = entry["file_name"]
    try:
        labelled = [a for a in annotations if _keypoints(a) and not a.get("iscrowd")]
        ignored = [a for a in annotations if not _keypoints(a) or a.get("iscrowd")]
        return Example(
            store=store,
            name=name,
            size=(entry["width"], entry["height"]),
            people=np.array([a["keypoints"] for a in labelled], np.float64).reshape(-1, 17, 3),
            boxes=np.array([a["bbox"] for a in labelled], np.float64).reshape(-1, 4),
            ignored=tuple(p for a in ignored for p in _region(a)),
        )
    except (KeyError, ValueError, TypeError) as err:
        raise InputError(
            f"{labels}: {name} has no size, or a person without keypoints or bbox ({type(err).__name__}: {err})"
        ) from err


def _keypoints(annotation: dict[str, Any]) -> int:
    """Return the number of labelled keypoints; some tools leave COCO's count out."""
    count = annotation.get("num_keypoints")
    return (
        int(count) if count is not None else sum(flag > 0 for flag in annotation.get("keypoints", ())[2::3])
    )


def _region(annotation: dict[str, Any]) -> list[NDArray[np.float32]]:
    """Return the polygons of a crowd or of a person without keypoints; its box if the outline is a run-length mask."""
    outline = annotation.get("segmentation")
    if isinstance(outline, list) and outline:
        return [np.array(p, np.float32).reshape(-1, 2) for p in outline]
    x, y, w, h = annotation["bbox"]
    return [np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)]
