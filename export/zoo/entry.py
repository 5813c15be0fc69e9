"""One network of the zoo: facts, description, module and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from export.weights.bundled import BUNDLED, is_bundled
from export.weights.download import PublishedWeights
from export.weights.state import State
from export.zoo.description import Description
from export.zoo.network import Network
from rpi_runtime.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn

Loader = Callable[[str], Network]


def stored_loader(
    name: str,
    graph: Path,
    description: Description,
    *,
    bundled: str = "",
    adopt: Callable[[State, str], State] | None = None,
) -> Loader:
    """Return the `load` of an entry whose graph is stored, so that it needs no PyTorch.

    Parameters
    ----------
    name : str
    graph : path
        File of the graph without its ending, beside the entry.
    description, bundled, adopt
        As in `export.zoo.stored.load_stored`.
    """

    def load(source: str) -> Network:
        from export.graph.topology import SUFFIX  # ONNX: not wanted for a list of names
        from export.zoo.stored import load_stored

        file = graph.with_name(graph.name + SUFFIX)
        return load_stored(name, file, description, source, bundled=bundled, adopt=adopt)

    return load


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts about a network without its weights.

    Attributes
    ----------
    parameters : int
    macs : int
        Multiply-adds of convolutions at `size`, as `export.macs` counts them.
    size : (int, int)
        Published width and height of the input.
    published : str
        Published AP, with the data set.
    paper : str
        Why the paper reports other numbers, if it does.
    """

    parameters: int
    macs: int
    size: tuple[int, int]
    published: str
    paper: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainable:
    """A network that can be trained.

    Attributes
    ----------
    description : Description
        The description that its card and the measurements of training use.
    bare : callable
        Returns the module without trained weights; imports torch.
    small_start : str or None
        Prefix of the layers that training from random weights starts with N(0, 0.001); None leaves PyTorch's own.
    adopt : callable or None
        Published weights of the network that training starts from, and their source for messages, to weights by this
        network's keys; imports torch.
    """

    description: Description
    bare: Callable[[], nn.Module]
    small_start: str | None = None
    adopt: Callable[[State, str], State] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Trainable):
    """A network that users choose by name.

    Attributes
    ----------
    summary : str
    facts : Facts
    load : callable
        Takes the source of weights and returns a `Network` with them.
    sources : mapping of str to PublishedWeights
        Published weights by name. The first is the default.
    elsewhere : str
        Where users get weights if `sources` is empty.
    bundled : str
        Name of weights in the package, which are then the default.
    """

    summary: str
    facts: Facts
    load: Loader
    sources: Mapping[str, PublishedWeights] = field(default_factory=dict)
    elsewhere: str = ""
    bundled: str = ""

    @property
    def default_source(self) -> str:
        """The name of the default source; raises `WeightsError` if the network has no source."""
        if self.bundled and is_bundled(self.bundled):
            return BUNDLED
        if not self.sources:
            raise WeightsError(
                f"{self.summary.partition(':')[0]}: no weights that can be fetched from here; {self.elsewhere}, "
                "then give --weights FILE"
            )
        return next(iter(self.sources))
