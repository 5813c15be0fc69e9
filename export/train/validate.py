"""COCO AP of a network in training, through the runtime's own preprocessing and decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.train.recipe import Holdout
from quant.boxes import annotated_boxes
from quant.coco import CocoSplit, read_split
from quant.evaluate import read_image, score
from quant.predict import Procedure, predictor
from rpi_runtime.card import ModelCard
from rpi_runtime.card_decoders import TopdownDecoder
from rpi_runtime.decode.maps import FLOAT
from rpi_runtime.interpreter import Model, Quantization

Compute = Callable[[Tensor], Sequence[Tensor]]


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


class NetworkInTraining:
    """What `quant.predict` needs of a `Model`, computed by PyTorch.

    Parameters
    ----------
    compute : callable
        (1, 3, H, W) float32 to maps (1, C, h, w) in the order of the card's outputs.
    card : ModelCard
    """

    def __init__(self, compute: Compute, card: ModelCard) -> None:
        self.card, self.path, self._compute = card, Path(card.name), compute
        self.input = np.empty((1, card.input.height, card.input.width, 3), np.float32)
        self._maps: dict[str, NDArray[np.float32]] = {}

    def invoke(self) -> None:
        """Run the network on what is in `input`."""
        with torch.inference_mode():
            maps = self._compute(torch.from_numpy(self.input).permute(0, 3, 1, 2))
        names = (o.name for o in self.card.outputs)
        self._maps = {
            name: np.ascontiguousarray(m.float().permute(0, 2, 3, 1).numpy())
            for name, m in zip(names, maps, strict=True)
        }

    def output(self, role: str, stride: int | None = None) -> NDArray[np.float32]:
        """(1, h, w, C)."""
        return self._maps[self.card.output(role, stride).name]

    def quantization(self, role: str, stride: int | None = None) -> Quantization:
        """None: the maps are float."""
        return FLOAT


def validate(compute: Compute, card: ModelCard, split: CocoSplit) -> Validation:
    """Measure a network at its card's size; one of crops on annotated boxes, without a flip test.

    Parameters
    ----------
    compute : callable
        As `NetworkInTraining` takes it.
    card : ModelCard
    split : CocoSplit
        Never the one that the results are reported on.
    """
    boxes = annotated_boxes(split) if isinstance(card.decoder, TopdownDecoder) else None
    predict = predictor(cast(Model, NetworkInTraining(compute, card)), Procedure(boxes=boxes))
    detections = [d for image in split.images for d in predict(image, read_image(image))]
    stats, _ = score(detections, split)
    return Validation(size=card.input.size, ap=stats[0], ap_large=stats[4])
