"""A model of given outputs, for decoders: float, or quantized to int8 with a scale of its own for each tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.decode.maps import FLOAT
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.inference import NetworkOutputs, Quantization
from rpi_runtime.model.outputs import output_view


class _Maps:
    def __init__(self, card: ModelCard, tensors: Mapping[str, NDArray[Any]], int8: bool) -> None:
        self.card, self._tensors, self._scales = card, dict(tensors), {}
        if int8:
            for name, real in tensors.items():
                low, high = min(float(real.min()), 0.0), max(float(real.max()), 1e-6)
                scale = (high - low) / 255
                zero = round(-128 - low / scale)
                stored = np.clip(np.round(real / scale) + zero, -128, 127).astype(np.int8)
                self._tensors[name] = stored
                self._scales[name] = Quantization(scale=scale, zero_point=zero)

    def output(self, role: str, stride: int | None = None) -> NDArray[Any]:
        spec = self.card.output(role, stride)
        return output_view(spec, self.card.input, self._tensors[spec.name])

    def quantization(self, role: str, stride: int | None = None) -> Quantization:
        return self._scales.get(self.card.output(role, stride).name, FLOAT)


def maps_model(card: ModelCard, tensors: Mapping[str, NDArray[Any]], *, int8: bool = False) -> NetworkOutputs:
    """Return what decoders need of a model that computed these tensors."""
    return _Maps(card, tensors, int8)
