"""COCO AP of a network in training, through the runtime's own preprocessing and decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from export.train.recipe import Holdout
from quant.coco import CocoSplit, read_split
from quant.evaluate import read_image, score
from quant.predict import detection
from rpi_runtime.card import ModelCard
from rpi_runtime.decode.paf import PafDecode
from rpi_runtime.preprocess import Preprocessor


def held_out(holdout: Holdout) -> tuple[CocoSplit, tuple[str, ...]]:
    """Return the held-out part of a split, and the file names in it."""
    split = read_split(Path(holdout.coco), holdout.split)
    every = holdout.train_every
    images = tuple(i for n, i in enumerate(split.images) if not every or n % every)
    return replace(split, images=images), tuple(i.path.name for i in images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """AP and AP of large people, in percent, at one input size."""

    size: str
    ap: float
    ap_large: float


def validate(net: nn.Module, card: ModelCard, split: CocoSplit) -> Validation:
    """Measure a PAF network at its card's size.

    Parameters
    ----------
    net : Module
        (1, 3, H, W) float32 to heatmaps and PAFs.
    card : ModelCard
    split : CocoSplit
        Never the one that the results are reported on.
    """
    prepare, decoder = Preprocessor(card.input), PafDecode(card)
    pixels = np.empty((1, card.input.height, card.input.width, 3), np.float32)
    detections = []
    for image in split.images:
        transform = prepare(read_image(image), pixels)
        with torch.inference_mode():
            heatmaps, pafs = net(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        maps, fields = (np.ascontiguousarray(m[0].float().permute(1, 2, 0).numpy()) for m in (heatmaps, pafs))
        poses = decoder.decode(maps, fields, transform)
        for pose in poses:
            points = max(0, int(pose.found.sum()) - 1)  # scored as Lightweight OpenPose does
            detections.append(detection(image.id, pose, card.skeleton, pose.score * points))
    stats, _ = score(detections, split)
    return Validation(size=card.input.size, ap=stats[0], ap_large=stats[4])
