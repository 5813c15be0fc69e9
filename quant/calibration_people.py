"""Calibration images as a top-down network sees them: one person cut out of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

from quant.accuracy.boxes import XYWH, annotated_boxes
from quant.calibration import CalibrationSet
from rpi_runtime.evaluate.coco import is_coco, read_split, splits
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.crop_settings import CropSettings
from rpi_runtime.poses import Image
from rpi_runtime.preprocess.crop import Cutter, crop_transform

People = Mapping[str, XYWH]  # by file name, where the largest person of an image is


def largest_people(folder: Path) -> dict[str, XYWH]:
    """Return where the largest annotated person is on each image of train2017; nothing for a folder without COCO."""
    if not is_coco(folder) or "train2017" not in splits(folder):
        return {}
    split = read_split(folder, "train2017")
    boxes = annotated_boxes(split)
    found = {}
    for image in split.images:
        people = [b.xywh for b in boxes.of(image.id)]
        if people:
            found[image.path.name] = max(people, key=lambda b: b[2] * b[3])
    return found


def cut_people(
    images: CalibrationSet, people: People, spec: InputSpec, settings: CropSettings
) -> CalibrationSet:
    """Return the set with the person of each image cut out for `spec`; what has no person is taken whole.

    Parameters
    ----------
    images : CalibrationSet
    people : mapping of str to (x, y, width, height)
        By the manifest's names.
    spec : InputSpec
        The network's input.
    settings : CropSettings
        Settings of the network's decoder: how a crop is cut.
    """
    boxes = [people.get(name) for name, _ in images.manifest.images]
    return replace(images, frames=_Crops(images.frames, boxes, spec, settings))


class _Crops(Sequence[Image]):
    """Pictures with the person cut out of each when it is taken."""

    def __init__(
        self, frames: Sequence[Image], boxes: Sequence[XYWH | None], spec: InputSpec, settings: CropSettings
    ) -> None:
        self._frames, self._boxes, self._spec, self._settings = frames, boxes, spec, settings
        self._cutter = Cutter(spec, settings)

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> Image: ...

    @overload
    def __getitem__(self, index: slice) -> _Crops: ...

    def __getitem__(self, index: int | slice) -> Image | _Crops:
        if isinstance(index, slice):
            return _Crops(self._frames[index], self._boxes[index], self._spec, self._settings)
        frame, box = self._frames[index], self._boxes[index]
        if box is None:
            return frame
        return self._cutter(frame, crop_transform(box, self._spec, self._settings)).copy()
