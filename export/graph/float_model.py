"""The float model: every source is converted to it, and the quantizer reads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import Floats
from export.graph.parity import Parity
from quant.tflite.records import Model
from rpi_runtime.model.card import InputSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatModel:
    """A converted network.

    Attributes
    ----------
    model : Model
        Has one input ``image`` (1, H, W, 3), normalised as the card says. Outputs have their names on the card.
    parities : tuple of Parity
        The comparison of each step with the step before it.
    notes : tuple of str
        What the conversion did, in words for the user.
    """

    model: Model
    parities: tuple[Parity, ...]
    notes: tuple[str, ...] = ()


def sample_images(spec: InputSpec) -> list[Floats]:
    """Return two normalised images (1, H, W, 3) to compare with: noise, which reaches all values, and a slope."""
    shape = (1, spec.height, spec.width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape)
    rows, columns = np.linspace(0, 255, spec.height)[:, None], np.linspace(255, 0, spec.width)
    slope = np.stack([rows + 0 * columns, 0 * rows + columns, (rows + columns) / 2], axis=-1)[None]
    return [normalise(pixels.astype(np.float64), spec) for pixels in (noise, np.round(slope))]


def normalise(pixels: NDArray[np.float64], spec: InputSpec) -> Floats:
    """Return pixel values (1, H, W, 3) normalised for this input."""
    return np.asarray((pixels - np.array(spec.mean)) * np.array(spec.scale), np.float32)
