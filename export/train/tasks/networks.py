"""The networks that can be trained, by name: module, input, outputs and decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from export.graph.normalisation import IMAGENET_MEAN, IMAGENET_SCALE
from export.train.start.initial import small_normal
from export.zoo.efficienthrnet.module import JOINTS, SCALES, STRIDES, EfficientHRNet, Name
from export.zoo.efficienthrnet.module import STEP as TAG_STEP
from export.zoo.hwl.module import STEP as HWL_STEP
from export.zoo.hwl.module import Hwl
from export.zoo.lpn.module import BLOCKS, Depth, Lpn
from export.zoo.lpn.module import STEP as LPN_STEP
from export.zoo.lw_openpose.layouts import CANDIDATES, LAYOUTS
from export.zoo.lw_openpose.module import HEATMAPS, PAFS, Layout, LwOpenPose
from export.zoo.skeletons import COCO_17, COCO_17_FLIP_PAIRS, OPENPOSE_18, OPENPOSE_18_PAF, TAG_JOINT_ORDER
from export.zoo.topdown import STRIDE as CROP_STRIDE
from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import Decoder, TagDecoder, TopdownDecoder

MEAN, SCALE = 128.0, 1 / 255  # of the input of networks with PAFs: (value - MEAN) * SCALE


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainable:
    """One network.

    Attributes
    ----------
    build : callable
        The network with random weights.
    input : InputSpec
        Its normalisation; the size is the recipe's.
    skeleton : Skeleton
    outputs : tuple of OutputSpec
        As exported, in the order in which the family's task gives them.
    decoder : Decoder
        Its kind is the network's family.
    step : int
        Both sides of the input are multiples of this.
    """

    build: Callable[[], nn.Module]
    input: InputSpec
    skeleton: Skeleton
    outputs: tuple[OutputSpec, ...]
    decoder: Decoder
    step: int = 1

    def card(self, name: str, width: int, height: int) -> ModelCard:
        """Return its card at an input size, for decoding during training."""
        if width % self.step or height % self.step:
            raise InputError(f"recipe: size {width}x{height}: expected multiples of {self.step} for {name}")
        spec = replace(self.input, width=width, height=height)
        return ModelCard(
            name=name, input=spec, skeleton=self.skeleton, outputs=self.outputs, decoder=self.decoder
        )


def paf_network(layout: Layout) -> Trainable:
    """Lightweight OpenPose of the ``omz`` form: without batch norm."""
    return Trainable(
        build=lambda: LwOpenPose("omz", layout=layout),
        input=InputSpec(width=1, height=1, mean=(MEAN,) * 3, scale=(SCALE,) * 3),
        skeleton=OPENPOSE_18,
        outputs=(
            OutputSpec(name="heatmaps", role="heatmaps", channels=HEATMAPS, stride=layout.stride),
            OutputSpec(name="pafs", role="pafs", channels=PAFS, stride=layout.stride),
        ),
        decoder=OPENPOSE_18_PAF,
    )


def tag_network(build: Callable[[], nn.Module], step: int = TAG_STEP) -> Trainable:
    """Heatmaps and tags at stride 4, heatmaps at stride 2: EfficientHRNet and what has its outputs."""
    coarse, fine = STRIDES
    parts: tuple[tuple[Literal["heatmaps", "tags"], int], ...] = (
        ("heatmaps", coarse), ("tags", coarse), ("heatmaps", fine)
    )  # fmt: skip
    return Trainable(
        build=build,
        input=_imagenet("rgb", "letterbox"),
        skeleton=COCO_17,
        outputs=tuple(
            OutputSpec(name=f"{role}_{stride}", role=role, channels=JOINTS, stride=stride)
            for role, stride in parts
        ),
        decoder=TagDecoder(joint_order=TAG_JOINT_ORDER, flip_pairs=COCO_17_FLIP_PAIRS),
        step=step,
    )


def crop_network(build: Callable[[], nn.Module], channels: Literal["bgr", "rgb"], step: int) -> Trainable:
    """Heatmaps of one person's crop at stride 4."""
    return Trainable(
        build=build,
        input=_imagenet(channels, "crop"),
        skeleton=COCO_17,
        outputs=(OutputSpec(name="heatmaps", role="heatmaps", channels=JOINTS, stride=CROP_STRIDE),),
        decoder=TopdownDecoder(flip_pairs=COCO_17_FLIP_PAIRS),
        step=step,
    )


def _imagenet(channels: Literal["bgr", "rgb"], fit: Literal["letterbox", "crop"]) -> InputSpec:
    return InputSpec(
        width=1, height=1, channels=channels, fit=fit, mean=IMAGENET_MEAN, scale=IMAGENET_SCALE, pad_value=0
    )


def _efficienthrnet(name: Name) -> Trainable:
    return tag_network(lambda: small_normal(EfficientHRNet(name)))


def _lpn(depth: Depth) -> Trainable:
    return crop_network(lambda: small_normal(Lpn(depth)), "bgr", LPN_STEP)


NETWORKS: dict[str, Trainable] = {
    **{name: paf_network(layout) for name, layout in (LAYOUTS | CANDIDATES).items()},
    **{f"efficienthrnet-{name.replace('-', '')}": _efficienthrnet(name) for name in SCALES},
    **{f"lpn-{depth}": _lpn(depth) for depth in BLOCKS},
    "hwl": crop_network(lambda: small_normal(Hwl(), "keypoint_head."), "rgb", HWL_STEP),
}


def find_network(name: str) -> Trainable:
    """Return a network; `UsageError` with the known names when there is none."""
    if name not in NETWORKS:
        raise UsageError(f"no network {name!r} to train; known: {', '.join(NETWORKS)}")
    return NETWORKS[name]
