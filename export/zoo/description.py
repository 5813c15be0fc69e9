"""The description of a network, independent of its weights. Card, training and choice of checkpoints all use it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from export.zoo.inputs import plain_input
from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec, ModelCard, OutputSpec, Provenance, Skeleton
from rpi_runtime.model.decoders import DecoderSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Input, outputs and decoder of a network.

    Attributes
    ----------
    input : InputSpec
        The normalisation that the weights expect, at the usual size.
    skeleton : Skeleton
    outputs : tuple of OutputSpec
        In the order in which the module returns them.
    decoder : DecoderSettings
        Its kind is the network's family.
    step : int
        Both sides of the input are multiples of this.
    """

    input: InputSpec
    skeleton: Skeleton
    outputs: tuple[OutputSpec, ...]
    decoder: DecoderSettings
    step: int = 1

    def trained_card(self, name: str, width: int, height: int) -> ModelCard:
        """Return the module's own card, for decoding during training; raises `InputError` for an unsuitable size."""
        if width % self.step or height % self.step:
            raise InputError(f"recipe: size {width}x{height}: expected multiples of {self.step} for {name}")
        return self._card(name, replace(self.input, width=width, height=height), Provenance())

    def exported_card(self, name: str, provenance: Provenance) -> ModelCard:
        """Return the exported file's card at the usual size. Its graph has a normalisation that int8 cannot express."""
        return self._card(name, plain_input(self.input), provenance)

    def _card(self, name: str, spec: InputSpec, provenance: Provenance) -> ModelCard:
        return ModelCard(
            name=name,
            input=spec,
            skeleton=self.skeleton,
            outputs=self.outputs,
            decoder=self.decoder,
            provenance=provenance,
        )
