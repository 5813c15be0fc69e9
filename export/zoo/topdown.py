"""What the top-down entries of the zoo share: a crop of one person in, one set of heatmaps out."""

from __future__ import annotations

from typing import Literal

from torch import nn

from export.graph.from_torch import build_from_torch
from export.graph.normalisation import IMAGENET_MEAN, IMAGENET_SCALE, plain_input
from export.weights.find import Weights, load_state, provenance
from export.zoo.network import Network
from export.zoo.skeletons import COCO_17, COCO_17_FLIP_PAIRS
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec
from rpi_runtime.model.decoders import TopdownDecoder

WIDTH, HEIGHT, STRIDE = 192, 256, 4  # usual input, stride of the heatmaps


def topdown(
    name: str,
    net: nn.Module,
    weights: Weights,
    *,
    step: int,
    channels: Literal["bgr", "rgb"],
    beta: float | None = None,
) -> Network:
    """Put weights into a network and describe it.

    Parameters
    ----------
    name : str
        For the card.
    net : nn.Module
        Normalised crop to heatmaps of COCO's 17 keypoints.
    weights : Weights
    step : int
        Both sides of the input are multiples of this.
    channels : {"bgr", "rgb"}
        Order that the weights were trained with; ImageNet's statistics apply in the order red, green, blue or, as the
        published code does it for BGR, in the same order all the same.
    beta : float or None
        Of Beta-Soft-Argmax; None for the maximum.
    """
    load_state(net, weights.state, weights.source)
    normalisation = InputSpec(
        width=WIDTH, height=HEIGHT, channels=channels, fit="crop",
        mean=IMAGENET_MEAN, scale=IMAGENET_SCALE, pad_value=0,
    )  # fmt: skip
    card = ModelCard(
        name=name,
        input=plain_input(normalisation),
        skeleton=COCO_17,
        outputs=(OutputSpec(name="heatmaps", role="heatmaps", channels=17, stride=STRIDE),),
        decoder=TopdownDecoder(beta=beta, flip_pairs=COCO_17_FLIP_PAIRS),
        provenance=provenance(weights, name),
    )
    return Network(
        card=card,
        build=lambda spec: build_from_torch(net, lambda x: (net(x),), ("heatmaps",), normalisation, spec),
        step=step,
    )
