"""How a network's outputs become people, by the family that the network belongs to: one class each, as `kind` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rpi_runtime.errors import CardError

Pairs = tuple[tuple[int, int], ...]
Channels = Mapping[str, tuple[int, ...]]  # by role, the channels of its outputs
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
class PafDecoder:
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
        _one(channels, "heatmaps", keypoints)
        _one(channels, "pafs", 1)
        (fields,) = channels["pafs"]
        for limb in self.limbs:
            if not (0 <= limb.a < keypoints and 0 <= limb.b < keypoints):
                raise CardError(f"limb {limb.a} -> {limb.b}: no such keypoint")
            if not (0 <= limb.paf_x < fields and 0 <= limb.paf_y < fields):
                raise CardError(f"limb {limb.a} -> {limb.b}: no PAF channels {limb.paf_x}, {limb.paf_y}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagDecoder:
    """Associative embedding (Newell 2017, arXiv:1611.05424): keypoints of one person have similar tags.

    Heatmaps of several strides are averaged at the finest one, tags of several strides are one vector.

    Attributes
    ----------
    peak_threshold : float
        A keypoint's heatmap value is above this.
    tag_threshold : float
        A keypoint joins a person whose mean tag is nearer than this.
    max_people : int
        So many peaks of each keypoint are looked at, the highest.
    joint_order : tuple of int
        The order in which keypoints are given to people; empty for that of the skeleton.
    nms_size : int
        A peak is the maximum of this many cells along each axis; odd.
    adjust : bool
        Move a keypoint a quarter of a cell towards its higher neighbours.
    refine : bool
        Look up keypoints that a person lacks by the person's tag.
    min_keypoints, min_score : int, float
        Of the runtime: a person needs so many keypoints before `refine`, and this mean value over all keypoints.
    flip_pairs : tuple of (int, int)
        Keypoints that change places in a mirrored picture.
    """

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
            _some(channels, role, keypoints)
        if self.joint_order and sorted(self.joint_order) != list(range(keypoints)):
            raise CardError(
                f"decoder joint_order {self.joint_order}: expected 0 to {keypoints - 1}, each once"
            )
        _check_pairs(self.flip_pairs, keypoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopdownDecoder:
    """One person per crop: each heatmap's maximum, or its expectation under a sharpened softmax.

    Attributes
    ----------
    beta : float or None
        Sharpness of Beta-Soft-Argmax (Zhang 2019, arXiv:1911.10346, section 3.3); None for the maximum.
    quarter_offset : bool
        Move a keypoint a quarter of a cell towards its higher neighbours, after either.
    peak_threshold : float
        Keypoints above it count in a person's score.
    box_padding : float
        The crop is the person's box, extended to the input's aspect ratio, times this.
    oks_nms : float
        Of two people with more object keypoint similarity than this, the surer one stays.
    flip_pairs : tuple of (int, int)
        Keypoints that change places in a mirrored crop.
    flip_shift : bool
        Maps of a mirrored crop lie one column to the left when mirrored back.
    """

    kind: Literal["topdown"] = "topdown"
    beta: float | None = None
    quarter_offset: bool = True
    peak_threshold: float = 0.2
    box_padding: float = 1.25
    oks_nms: float = 0.9
    flip_pairs: Pairs = ()
    flip_shift: bool = True

    def __post_init__(self) -> None:
        if self.beta is not None and not 0 < self.beta <= 10_000:
            raise CardError(f"decoder beta {self.beta}: expected above 0 and at most 10000, or none")
        if not 0.5 <= self.box_padding <= 4:
            raise CardError(f"decoder box_padding {self.box_padding}: expected 0.5 to 4")
        if not 0 < self.oks_nms <= 1:
            raise CardError(f"decoder oks_nms {self.oks_nms}: expected above 0 and at most 1")

    def check(self, keypoints: int, channels: Channels) -> None:
        """Refuse outputs and keypoints that do not fit together."""
        _one(channels, "heatmaps", keypoints)
        _check_pairs(self.flip_pairs, keypoints)


# The first one is that of cards that name no kind.
Decoder = PafDecoder | TagDecoder | TopdownDecoder


def _one(channels: Channels, role: str, least: int) -> None:
    if len(channels[role]) != 1:
        raise CardError(f"expected one output with role {role!r}, got {len(channels[role])}")
    _some(channels, role, least)


def _some(channels: Channels, role: str, least: int) -> None:
    if not channels[role]:
        raise CardError(f"expected an output with role {role!r}, got none")
    if min(channels[role]) < least:
        raise CardError(f"{min(channels[role])} channels of {role} for {least} keypoints")


def _check_pairs(pairs: Pairs, keypoints: int) -> None:
    every = [i for pair in pairs for i in pair]
    if len(set(every)) != len(every) or any(not 0 <= i < keypoints for i in every):
        raise CardError(
            f"decoder flip_pairs {pairs}: expected keypoints 0 to {keypoints - 1}, each once at most"
        )
