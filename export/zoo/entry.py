"""One network of the zoo: its facts, its description, and how to get at its module and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from export.weights.bundled import BUNDLED, is_bundled
from export.weights.download import Source
from export.zoo.description import Description
from export.zoo.network import Network
from quant.progress import Progress
from rpi_runtime.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn

Loader = Callable[[str, Progress], Network]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a network without its weights.

    Attributes
    ----------
    parameters : int
    macs : int
        Multiply-adds of convolutions at `size`, as `export.macs` counts them.
    size : (int, int)
        Width and height of the input that it was published for.
    published : str
        AP of its authors, and on what.
    paper : str
        Why the paper has other numbers, where it does.
    """

    parameters: int
    macs: int
    size: tuple[int, int]
    published: str
    paper: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainable:
    """A network as training takes it.

    Attributes
    ----------
    description : Description
        What its card says and what training measures with.
    bare : callable
        Returns the module without trained weights; imports torch.
    small_start : str or None
        Prefix of the layers that training from random weights starts with N(0, 0.001); None leaves PyTorch's own.
    """

    description: Description
    bare: Callable[[], nn.Module]
    small_start: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Trainable):
    """A network that is offered by name.

    Attributes
    ----------
    summary : str
    facts : Facts
    load : callable
        Weights source and progress to a `Network` with its weights in it; imports torch.
    sources : mapping of str to Source
        Where trained weights are published; the first is the default.
    elsewhere : str
        Where a user gets weights when `sources` is empty.
    bundled : str
        Name under which weights may come with the package; they are the default then.
    """

    summary: str
    facts: Facts
    load: Loader
    sources: Mapping[str, Source] = field(default_factory=dict)
    elsewhere: str = ""
    bundled: str = ""

    @property
    def default_source(self) -> str:
        """The name of the source that is used when none is given; `WeightsError` when there is none."""
        if self.bundled and is_bundled(self.bundled):
            return BUNDLED
        if not self.sources:
            raise WeightsError(
                f"{self.summary.partition(':')[0]}: no weights that can be fetched from here; {self.elsewhere}, "
                "then give --weights FILE"
            )
        return next(iter(self.sources))
