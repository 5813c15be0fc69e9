"""Adapt any callable to `Inference`, for the runtime's preprocessing and decoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cython_ext.specs import Floats
from rpi_runtime.decode.maps import FLOAT
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.inference import Inference, Quantization

Compute = Callable[[Floats], Sequence[Floats]]


def computed_model(compute: Compute, card: ModelCard) -> Inference:
    """Return a callable as a network that `quant.accuracy.predict` can run.

    Parameters
    ----------
    compute : callable
        Computes maps (1, C, h, w), in the order of the card's outputs, from (1, 3, H, W) float32.
    card : ModelCard
    """
    return _Computed(compute, card)


class _Computed:
    def __init__(self, compute: Compute, card: ModelCard) -> None:
        self.card, self.path, self._compute = card, Path(card.name), compute
        self.input = np.empty((1, card.input.height, card.input.width, 3), np.float32)
        self._maps: dict[str, Floats] = {}

    def invoke(self) -> None:
        """Run the network on the content of `input`."""
        maps = self._compute(self.input.transpose(0, 3, 1, 2))
        names = (o.name for o in self.card.outputs)
        self._maps = {
            name: np.ascontiguousarray(m.transpose(0, 2, 3, 1)) for name, m in zip(names, maps, strict=True)
        }

    def output(self, role: str, stride: int | None = None) -> Floats:
        """(1, h, w, C)."""
        return self._maps[self.card.output(role, stride).name]

    def quantization(self, role: str, stride: int | None = None) -> Quantization:
        """Return the quantization of float maps, which is none."""
        return FLOAT
