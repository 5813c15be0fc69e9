"""Choose the decoder of a model, by its card."""

from __future__ import annotations

from typing import Protocol

from rpi_runtime.decode.mode import Mode
from rpi_runtime.errors import CardError
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import (
    CentreSettings,
    DetectorSettings,
    PafSettings,
    SimccSettings,
    TagSettings,
    TopdownSettings,
)
from rpi_runtime.model.inference import NetworkOutputs
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform


class Decoder(Protocol):
    """Turns a network's maps into the people of a picture."""

    def read(self, model: NetworkOutputs, transform: Transform) -> tuple[Pose, ...]:
        """Decode what `model` computed last."""


class CropDecoder(Protocol):
    """Turns a network's maps of a crop into the person of that crop."""

    def read(self, model: NetworkOutputs, transform: Transform, *, box_score: float = 1.0) -> Pose:
        """Decode what `model` computed last; the person's score is `box_score` times that of the keypoints."""


def decoder_for(card: ModelCard, mode: Mode = "fast") -> Decoder:
    """Return the runtime's decoder for a card; "exact" decodes as the network's paper evaluates it.

    Raises
    ------
    CardError
        The network sees the crop of one person and cannot find people itself.
    """
    # kernels are loaded only for the kind that is needed: a Pi runs one kind
    if isinstance(card.decoder, PafSettings):
        from rpi_runtime.decode.paf import PafDecoder, PafOptions

        return PafDecoder(card, PafOptions(mode=mode))
    if isinstance(card.decoder, TagSettings):
        from rpi_runtime.decode.tags import TagDecoder

        return TagDecoder(card, mode)
    if isinstance(card.decoder, DetectorSettings):
        from rpi_runtime.decode.boxes import BoxDecoder

        return BoxDecoder(card, mode)
    if isinstance(card.decoder, CentreSettings) and not card.sees_crops:
        from rpi_runtime.decode.centres import CentreDecoder

        return CentreDecoder(card, mode)
    raise CardError(
        f"{card.name}: a network of crops sees the crop of one person and cannot find people in a picture",
        remedy="find them with a detector and refine them with this one: "
        "--model FINDER.tflite --refine THIS.tflite",
    )


def crop_decoder_for(card: ModelCard, mode: Mode = "fast") -> CropDecoder:
    """Return the decoder of a network of crops; `CardError` when it is of another kind."""
    from rpi_runtime.decode.crops import crop_settings

    settings = crop_settings(card)
    # kernels are loaded only for the kind that is needed: a Pi runs one kind
    if isinstance(settings, TopdownSettings):
        from rpi_runtime.decode.topdown import TopdownDecoder

        return TopdownDecoder(card, mode)
    if isinstance(settings, SimccSettings):
        from rpi_runtime.decode.simcc import SimccDecoder

        return SimccDecoder(card, mode)
    if isinstance(settings, CentreSettings):
        from rpi_runtime.decode.centres import CentreCropDecoder

        return CentreCropDecoder(card, mode)
    raise CardError(f"{card.name}: its decoder is {card.decoder.kind!r}, expected one of crops")
