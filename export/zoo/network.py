"""A trained network on its way to TFLite: how to get its float model at a size, and what its card will say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rpi_runtime.errors import UsageError
from rpi_runtime.model.card import InputSpec, ModelCard

if TYPE_CHECKING:
    from export.graph.float_model import FloatModel

Build = Callable[[InputSpec], "FloatModel"]
SMALLEST, LARGEST = 32, 2048  # pixels a side that a user may ask for
CARD_LARGEST = 4096  # pixels a side that a card allows, see `InputSpec`
STEP = 8  # both sides are a multiple of this, and of what the network needs where that is more


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network with weights.

    Attributes
    ----------
    card : ModelCard
        Template: its input size is the network's usual one.
    build : callable
        Input spec to float model, and how it compared with what it came from.
    step : int
        Both sides of the input are multiples of this.
    notes : tuple of str
        Notes on the weights for the user.
    """

    card: ModelCard
    build: Build
    step: int = STEP
    notes: tuple[str, ...] = ()

    def card_at(self, width: int, height: int, largest: int = LARGEST) -> ModelCard:
        """Return the card at another input size; `UsageError` when the size does not suit the network."""
        own = self.card.input
        usual = (width, height) == (own.width, own.height)  # the network runs at that size, whatever it is
        step = 1 if usual else max(STEP, self.step, *(o.stride for o in self.card.outputs))
        check_size(width, height, step, largest)
        return replace(self.card, input=replace(self.card.input, width=width, height=height))


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of ``WxH``."""
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not match:
        raise UsageError(f"--size {text!r}: expected WIDTHxHEIGHT, as in 160x120")
    return int(match[1]), int(match[2])


def check_size(width: int, height: int, step: int = STEP, largest: int = LARGEST) -> None:
    """Raise `UsageError` unless both sides of an input are multiples of `step`, up to `largest`."""
    if not (SMALLEST <= width <= largest and SMALLEST <= height <= largest):
        raise UsageError(
            f"size {width}x{height}: expected {SMALLEST} to {largest} pixels a side, as in 160x120"
        )
    if width % step or height % step:
        near = f"{_nearest(width, step)}x{_nearest(height, step)}"
        raise UsageError(
            f"size {width}x{height}: both sides must be multiples of {step}; the nearest is {near}"
        )


def _nearest(value: int, step: int) -> int:
    return min(max(round(value / step) * step, SMALLEST), LARGEST)
