"""Settings of the decoders of one-stage networks: boxes, boxes with keypoints, and centres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from rpi_runtime.errors import CardError
from rpi_runtime.model.channels import (
    Channels,
    check_exact,
    check_one,
    check_only,
    check_pairs,
    check_some,
)
from rpi_runtime.model.crop_settings import CropSettings

MOST_PEOPLE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """What anchor-free detectors have in common: for each cell scores of classes and a box.

    A card's keys are in the order of the fields, so `kind` stands here, before the others.

    Attributes
    ----------
    classes : tuple of int
        Which of the scores' channels are people.
    threshold : float
        Least score of a person, 0..1.
    logits : bool
        Scores, objectness and visibilities are logits; otherwise probabilities.
    form : {"distances", "corners", "centre_size", "exponential"}
        What the four numbers of a box are: left, top, right, bottom distances from the cell's point; x and y of two
        corners; middle, width and height; or YOLOX's offset from the cell and logarithms of width and height.
    unit : {"stride", "pixel", "input"}
        What 1 means in boxes and keypoints: a stride, an input pixel, or the input's whole width or height.
    bins : int
        Each distance is the expectation of this many bins under a softmax (distribution focal loss,
        arXiv:2006.04388); 1: the number itself.
    anchor : float
        Where a cell's point lies, in cells from its first edge: 0.5 is its middle.
    nms_overlap : float
        The less sure one of two boxes that overlap more than this (intersection over union) is dropped; 1 for networks
        whose detections are final (end to end).
    candidates : int
        Number of the surest that take part.
    max_people : int
        Number of the surest that are returned.
    """

    fits: ClassVar[tuple[str, ...]] = ("letterbox", "stretch")
    kind: str
    classes: tuple[int, ...] = (0,)
    threshold: float = 0.3
    logits: bool = True
    form: Literal["distances", "corners", "centre_size", "exponential"] = "distances"
    unit: Literal["stride", "pixel", "input"] = "stride"
    bins: int = 1
    anchor: float = 0.5
    nms_overlap: float = 0.6
    candidates: int = 1000
    max_people: int = 100

    def __post_init__(self) -> None:
        if not self.classes or min(self.classes) < 0 or len(set(self.classes)) != len(self.classes):
            raise CardError(
                f"decoder classes {self.classes}: expected one or more different numbers, none negative"
            )
        if not 0 <= self.threshold < 1:
            raise CardError(f"decoder threshold {self.threshold}: expected at least 0 and below 1")
        if not 1 <= self.bins <= 64 or (self.bins > 1 and self.form != "distances"):
            raise CardError(
                f"decoder bins {self.bins} with form {self.form!r}: expected 1, or 2 to 64 with distances"
            )
        if not math.isfinite(self.anchor):
            raise CardError(f"decoder anchor {self.anchor}: expected a finite number")
        if not 0 < self.nms_overlap <= 1:
            raise CardError(f"decoder nms_overlap {self.nms_overlap}: expected above 0 and at most 1")
        if not 1 <= self.candidates <= 1 << 14:
            raise CardError(f"decoder candidates {self.candidates}: expected 1 to {1 << 14}")
        if not 1 <= self.max_people <= MOST_PEOPLE:
            raise CardError(f"decoder max_people {self.max_people}: expected 1 to {MOST_PEOPLE}")

    def check(self, keypoints: int, channels: Channels) -> None:
        """Refuse outputs that do not fit together."""
        del keypoints
        check_some(channels, "scores", max(self.classes) + 1)
        check_exact(channels, "boxes", (4 * self.bins,), f"boxes of {self.bins} bins a side")
        if channels["objectness"]:
            check_exact(channels, "objectness", (1,), "objectness")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSettings(DetectorSettings):
    """An anchor-free detector that finds people and gives no poses."""

    kind: Literal["boxes"] = "boxes"

    def check(self, keypoints: int, channels: Channels) -> None:
        """Refuse outputs that do not fit together."""
        check_only(channels, ("scores", "objectness", "boxes"))
        DetectorSettings.check(self, keypoints, channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxPoseSettings(DetectorSettings):
    """A one-stage network of the YOLO-pose kind: a detector with keypoints of each box.

    Attributes
    ----------
    keypoint_gain, keypoint_anchor : float
        A keypoint lies at ``(gain * value + cell + anchor)`` in units of the stride: 2 and 0 for YOLOv8 and 11, 1 and
        0.5 for YOLO26. Decoded keypoints have a gain of 1.
    peak_threshold : float
        Visibility above which a keypoint counts as found.
    """

    kind: Literal["boxes+keypoints"] = "boxes+keypoints"
    nms_overlap: float = 0.7
    keypoint_gain: float = 1.0
    keypoint_anchor: float = 0.5
    peak_threshold: float = 0.5

    def __post_init__(self) -> None:
        DetectorSettings.__post_init__(self)
        numbers = (self.keypoint_gain, self.keypoint_anchor, self.peak_threshold)
        if not all(map(math.isfinite, numbers)):
            raise CardError("decoder keypoint_gain, keypoint_anchor, peak_threshold: expected finite numbers")

    def check(self, keypoints: int, channels: Channels) -> None:
        """Refuse outputs that do not fit together."""
        check_only(channels, ("scores", "objectness", "boxes", "keypoints"))
        DetectorSettings.check(self, keypoints, channels)
        wanted = (3 * keypoints, 2 * keypoints)
        check_exact(channels, "keypoints", wanted, f"{keypoints} keypoints, with and without visibility")
        if len(set(channels["keypoints"])) != 1:
            raise CardError("keypoints: expected as many channels at each stride")


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreSettings(CropSettings):
    """People by their centres, keypoints near where the centre expects them (CenterNet, arXiv:1904.07850; MoveNet).

    With input fit "crop" the one person of a crop; otherwise those of a picture.

    Attributes
    ----------
    people : {"one", "many"}
        "one": the person nearest to the middle; "many": every person whose centre is a maximum of 3x3 cells.
    threshold : float
        Many: least value of a centre.
    max_people : int
        Many: number of the surest centres.
    nearness : float
        One: a value counts divided by its distance in cells plus this. Many: a value counts times
        ``exp(-distance ** 2 / (nearness * width of the map))``.
    cell_origin : float
        Where the first cell lies on the network's input, in pixels, continuous.
    """

    fits: ClassVar[tuple[str, ...]] = ("crop", "letterbox", "stretch")
    kind: Literal["centres"] = "centres"
    people: Literal["one", "many"] = "one"
    threshold: float = 0.05
    max_people: int = 30
    nearness: float = 1.8
    cell_origin: float = 0.0

    def __post_init__(self) -> None:
        CropSettings.__post_init__(self)
        if not 0 <= self.threshold < math.inf or not 0 < self.nearness < 1e6:
            raise CardError(
                f"decoder threshold {self.threshold}, nearness {self.nearness}: expected at least 0, above 0"
            )
        if not 1 <= self.max_people <= MOST_PEOPLE:
            raise CardError(f"decoder max_people {self.max_people}: expected 1 to {MOST_PEOPLE}")
        if not math.isfinite(self.cell_origin):
            raise CardError(f"decoder cell_origin {self.cell_origin}: expected a finite number of pixels")

    def check(self, keypoints: int, channels: Channels) -> None:
        """Refuse outputs and keypoints that do not fit together."""
        roles = ("centre", "heatmaps", "regress", "offset")
        boxes = ("box_scale", "box_offset")
        check_only(channels, (*roles, *boxes))
        for role, wanted in zip(roles, (1, keypoints, 2 * keypoints, 2 * keypoints), strict=True):
            check_one(channels, role, 1)
            check_exact(channels, role, (wanted,), f"{keypoints} keypoints")
        if any(channels[role] for role in boxes):
            for role in boxes:
                check_one(channels, role, 1)
                check_exact(channels, role, (2,), "height and width")
        check_pairs(self.flip_pairs, keypoints)
