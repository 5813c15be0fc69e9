"""How a network's outputs become people, by the family that the network belongs to: one class each, as `kind` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rpi_runtime.errors import CardError
from rpi_runtime.model.channels import Channels, Pairs, check_one, check_pairs, check_some
from rpi_runtime.model.crop_settings import SimccSettings, TopdownSettings
from rpi_runtime.model.detector_settings import BoxPoseSettings, BoxSettings, CentreSettings, DetectorSettings

__all__ = [
    "BoxPoseSettings",
    "BoxSettings",
    "CentreSettings",
    "DecoderSettings",
    "DetectorSettings",
    "Limb",
    "PafSettings",
    "SimccSettings",
    "TagSettings",
    "TopdownSettings",
]

WHOLE_PICTURES = ("letterbox", "stretch")
MOST_LIMBS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Limb:
    """A connection from keypoint `a` to keypoint `b` along the field in channels `paf_x` and `paf_y`.

    `fill_only` limbs complete a person that other limbs opened and never open one themselves.
    """

    a: int
    b: int
    paf_x: int
    paf_y: int
    fill_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PafSettings:
    """Part affinity field grouping: the limbs in decoding order and the thresholds.

    Attributes
    ----------
    limbs : tuple of Limb
    peak_threshold : float
        Least heatmap value of a keypoint.
    limb_threshold : float
        Least dot product of field and limb direction at a sample point that counts.
    limb_fraction : float
        A limb needs at least this part of its 10 sample points to count.
    min_keypoints : int
        A person needs at least this many keypoints.
    min_score : float
        A person needs at least this score per keypoint.
    """

    fits: ClassVar[tuple[str, ...]] = WHOLE_PICTURES
    kind: Literal["paf"] = "paf"
    limbs: tuple[Limb, ...]
    peak_threshold: float = 0.1
    limb_threshold: float = 0.05
    limb_fraction: float = 0.9
    min_keypoints: int = 3
    min_score: float = 0.2

    def __post_init__(self) -> None:
        if not 1 <= len(self.limbs) <= MOST_LIMBS:
            raise CardError(f"decoder limbs: {len(self.limbs)}, expected 1 to {MOST_LIMBS}")
        if not 0 < self.limb_fraction <= 1:
            raise CardError(f"decoder limb_fraction {self.limb_fraction}: expected above 0 and at most 1")

    def check(self, keypoints: int, channels: Channels) -> None:
        """Refuse outputs and limbs that do not fit together."""
        check_one(channels, "heatmaps", keypoints)
        check_one(channels, "pafs", 1)
        (fields,) = channels["pafs"]
        for limb in self.limbs:
            if not (0 <= limb.a < keypoints and 0 <= limb.b < keypoints):
                raise CardError(f"limb {limb.a} -> {limb.b}: no such keypoint")
            if not (0 <= limb.paf_x < fields and 0 <= limb.paf_y < fields):
                raise CardError(f"limb {limb.a} -> {limb.b}: no PAF channels {limb.paf_x}, {limb.paf_y}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSettings:
    """Associative embedding (Newell 2017, arXiv:1611.05424): keypoints of one person have similar tags.

    Heatmaps of several strides are averaged at the finest one, tags of several strides are one vector.

    Attributes
    ----------
    peak_threshold : float
        A keypoint's heatmap value is above this.
    tag_threshold : float
        A keypoint joins a person whose mean tag is nearer than this.
    max_people : int
        Number of highest peaks kept per keypoint type.
    joint_order : tuple of int
        The order in which keypoints are given to people; empty for that of the skeleton.
    nms_size : int
        A peak is the maximum of this many cells along each axis; odd.
    adjust : bool
        Move a keypoint a quarter of a cell towards its higher neighbours.
    refine : bool
        Look up keypoints that a person lacks by the person's tag.
    min_keypoints, min_score : int, float
        For the runtime: a person needs this many keypoints before `refine`, and this mean value over all keypoints.
    flip_pairs : tuple of (int, int)
        Keypoints that change places in a mirrored picture.
    """

    fits: ClassVar[tuple[str, ...]] = WHOLE_PICTURES
    kind: Literal["tags"] = "tags"
    peak_threshold: float = 0.1
    tag_threshold: float = 1.0
    max_people: int = 30
    joint_order: tuple[int, ...] = ()
    nms_size: int = 5
    adjust: bool = True
    refine: bool = True
    min_keypoints: int = 3
    min_score: float = 0.1
    flip_pairs: Pairs = ()

    def __post_init__(self) -> None:
        if not (self.peak_threshold > 0 and self.tag_threshold > 0):
            raise CardError(
                f"decoder thresholds {self.peak_threshold}, {self.tag_threshold}: expected above 0"
            )
        if not 1 <= self.max_people <= 256:
            raise CardError(f"decoder max_people {self.max_people}: expected 1 to 256")
        if not 1 <= self.nms_size <= 99 or self.nms_size % 2 == 0:
            raise CardError(f"decoder nms_size {self.nms_size}: expected an odd number, at most 99")

    def check(self, keypoints: int, channels: Channels) -> None:
        """Refuse outputs and keypoints that do not fit together."""
        for role in ("heatmaps", "tags"):
            check_some(channels, role, keypoints)
        if self.joint_order and sorted(self.joint_order) != list(range(keypoints)):
            raise CardError(
                f"decoder joint_order {self.joint_order}: expected 0 to {keypoints - 1}, each once"
            )
        check_pairs(self.flip_pairs, keypoints)


# The first one is that of cards that name no kind.
DecoderSettings = (
    PafSettings
    | TagSettings
    | TopdownSettings
    | SimccSettings
    | BoxSettings
    | BoxPoseSettings
    | CentreSettings
)
