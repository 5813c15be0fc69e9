"""Whatever computes a network: the seam between interpreters and decoders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from rpi_runtime.model.card import ModelCard


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """``real = (stored - zero_point) * scale``; scale 0 for a float tensor."""

    scale: float
    zero_point: int


class NetworkOutputs(Protocol):
    """What a network computed, as decoders read it."""

    @property
    def card(self) -> ModelCard:
        """What the network is."""

    def output(self, role: str, stride: int | None = None) -> NDArray[Any]:
        """Return an output, (1, H, W, C), int8 or float32; do not keep it across the next run."""

    def quantization(self, role: str, stride: int | None = None) -> Quantization:
        """Return what the numbers of an output mean."""


class Inference(NetworkOutputs, Protocol):
    """A network that can be run: a .tflite in an interpreter, or a function that computes the same."""

    @property
    def path(self) -> Path:
        """The file, or a name, for messages."""

    @property
    def input(self) -> NDArray[Any]:
        """The input, (1, H, W, 3), int8 or float32; write into it before `invoke`."""

    def invoke(self) -> None:
        """Run the network on the content of `input`."""
