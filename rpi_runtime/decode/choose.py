"""The decoder of a model that sees whole pictures, by what its card says."""

from __future__ import annotations

from typing import Protocol

from rpi_runtime.errors import CardError
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import PafDecoder, TagDecoder
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform


class Decode(Protocol):
    """Maps in, the people of a picture out."""

    def read(self, model: Model, transform: Transform) -> tuple[Pose, ...]:
        """Decode what `model` computed last."""


def decoder_for(card: ModelCard) -> Decode:
    """Return the runtime's decoder for a card, with default options.

    Raises
    ------
    CardError
        The network sees one person's crop and finds nobody by itself.
    """
    # each kind's kernels are loaded where they are needed only: a Pi runs one kind
    if isinstance(card.decoder, PafDecoder):
        from rpi_runtime.decode.paf import PafDecode

        return PafDecode(card)
    if isinstance(card.decoder, TagDecoder):
        from rpi_runtime.decode.tags import TagDecode

        return TagDecode(card)
    raise CardError(
        f"{card.name}: a top-down network sees the crop of one person and cannot find people in a picture",
        remedy="find them with a bottom-up network and refine them with this one: "
        "--model BOTTOMUP.tflite --refine THIS.tflite",
    )
