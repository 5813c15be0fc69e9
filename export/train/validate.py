"""COCO AP of a network in training, measured with the preprocessing and decoder of the runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from cython_ext.specs import Floats
from export.computed import computed_model
from export.train.recipe import Holdout
from quant.accuracy.boxes import annotated_boxes
from quant.accuracy.evaluation import score
from quant.accuracy.predict import Procedure, predictor
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from rpi_runtime.evaluate.images import read_image
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import TopdownSettings

Compute = Callable[[Tensor], Sequence[Tensor]]


def held_out(holdout: Holdout) -> tuple[CocoSplit, tuple[str, ...]]:
    """Return the held-out part of a split, and the file names in it."""
    split = read_split(Path(holdout.coco), holdout.split)
    images = tuple(i for n, i in enumerate(split.images) if holdout.holds(n))
    return replace(split, images=images), tuple(i.path.name for i in images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """AP and AP of large people, in percent, at one input size."""

    size: str
    ap: float
    ap_large: float


def validate(compute: Compute, card: ModelCard, split: CocoSplit) -> Validation:
    """Measure a network at its card's size. A top-down network gets annotated boxes, without a flip test.

    Parameters
    ----------
    compute : callable
        Takes (1, 3, H, W) float32 and returns maps (1, C, h, w) in the order of the card's outputs.
    card : ModelCard
    split : CocoSplit
        Never the split whose results are reported.
    """

    def maps(image: Floats) -> list[Floats]:
        with torch.inference_mode():
            return [m.float().numpy() for m in compute(torch.from_numpy(image))]

    boxes = annotated_boxes(split) if isinstance(card.decoder, TopdownSettings) else None
    predict = predictor(computed_model(maps, card), Procedure(boxes=boxes))
    detections = [d for image in split.images for d in predict(image, read_image(image))]
    stats, _ = score(detections, split)
    return Validation(size=card.input.size, ap=stats[0], ap_large=stats[4])
