"""Normalisations of inputs: ImageNet's, and the ones that an int8 input can express."""

from __future__ import annotations

from dataclasses import replace

from rpi_runtime.model.card import InputSpec

PIXELS = InputSpec(width=1, height=1)  # (value - 128) / 256, which an int8 input expresses without arithmetic
# torchvision's statistics of ImageNet, in pixel values
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_SCALE = (1 / 58.395, 1 / 57.12, 1 / 57.375)


def is_plain(spec: InputSpec) -> bool:
    """Whether an int8 input of this normalisation is exactly ``value - 128``: one scale, one whole mean in 0..255."""
    same = len(set(spec.mean)) == 1 and len(set(spec.scale)) == 1
    return same and spec.mean[0] == int(spec.mean[0]) and 0 <= spec.mean[0] <= 255


def plain_input(spec: InputSpec) -> InputSpec:
    """Return the network's input once its normalisation is inside the graph; `spec` itself if it is plain."""
    return spec if is_plain(spec) else replace(spec, mean=PIXELS.mean, scale=PIXELS.scale)
