"""The settings of a card's decoder, of the kind that a decoder expects."""

from __future__ import annotations

from typing import TypeVar

from rpi_runtime.errors import CardError
from rpi_runtime.model.card import ModelCard

S = TypeVar("S")


def settings_of(card: ModelCard, settings: type[S], kind: str) -> S:
    """Return the card's settings; raises `CardError` where they are not those of `kind`, a class `settings`."""
    if not isinstance(card.decoder, settings):
        raise CardError(f"{card.name}: its decoder is {card.decoder.kind!r}, expected {kind!r}")
    return card.decoder
