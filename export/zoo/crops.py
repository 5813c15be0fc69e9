"""The shared description of the zoo's top-down networks: crop of one person in, heatmaps of COCO's 17 keypoints out."""

from __future__ import annotations

from typing import Literal

from export.zoo.description import Description
from export.zoo.inputs import IMAGENET_MEAN, IMAGENET_SCALE
from export.zoo.skeletons import COCO_17, COCO_17_FLIP_PAIRS
from rpi_runtime.model.card import InputSpec, OutputSpec
from rpi_runtime.model.decoders import TopdownSettings

WIDTH, HEIGHT, STRIDE = 192, 256, 4  # usual input, stride of the heatmaps


def describe_crops(channels: Literal["bgr", "rgb"], step: int, beta: float | None = None) -> Description:
    """Describe a top-down network.

    Parameters
    ----------
    channels : {"bgr", "rgb"}
        Order that the weights were trained with; ImageNet's statistics apply in the order red, green, blue or, as the
        published code does it for BGR, in the same order all the same.
    step : int
        Both sides of the input are multiples of this.
    beta : float or None
        Inverse temperature of Beta-Soft-Argmax; None for the maximum.
    """
    return Description(
        input=InputSpec(
            width=WIDTH, height=HEIGHT, channels=channels, fit="crop",
            mean=IMAGENET_MEAN, scale=IMAGENET_SCALE, pad_value=0,
        ),
        skeleton=COCO_17,
        outputs=(OutputSpec(name="heatmaps", role="heatmaps", channels=17, stride=STRIDE),),
        decoder=TopdownSettings(beta=beta, flip_pairs=COCO_17_FLIP_PAIRS),
        step=step,
    )  # fmt: skip
