"""The model zoo by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from export.download import Source
from export.nets.lw_openpose_sources import SOURCES as LW_OPENPOSE_SOURCES
from export.network import Network
from quant.progress import Progress
from rpi_runtime.errors import UsageError

Loader = Callable[[str, Progress], Network]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One network of the zoo.

    Attributes
    ----------
    summary : str
    sources : mapping of str to Source
        Where trained weights are published; the first is the default.
    load : callable
        Weights source and progress to a `Network` with its weights in it.
    """

    summary: str
    sources: Mapping[str, Source]
    load: Loader

    @property
    def default_source(self) -> str:
        """The name of the source that is used when none is given."""
        return next(iter(self.sources))


def _lw_openpose(source: str, progress: Progress) -> Network:
    from export.nets.lw_openpose_network import lw_openpose  # torch: not wanted for a list of names

    return lw_openpose(source, progress)


MODELS: dict[str, Entry] = {
    "lw-openpose": Entry(
        summary="Lightweight OpenPose: bottom-up, 18 keypoints, MobileNetV1, 4.1 M parameters, stride 8",
        sources=LW_OPENPOSE_SOURCES,
        load=_lw_openpose,
    ),
}


def find_model(name: str) -> Entry:
    """Return a network's entry; `UsageError` with the nearest name when there is none."""
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name, MODELS, 1, 0.4)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(MODELS)}"
    raise UsageError(f"no model {name!r}; {hint}")
