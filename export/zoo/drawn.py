"""The graphs of the zoo that are stored as text, and the PyTorch modules that they are exported from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from export.graph.topology import SUFFIX
from export.zoo.hwl.module import Hwl
from export.zoo.lw_openpose.module import LwOpenPose
from export.zoo.lw_openpose.widths import WIDTHS
from export.zoo.person_finder.entry import DESCRIPTION as FINDER
from export.zoo.person_finder.module import Finder
from export.zoo.person_refiner.module import PersonRefiner

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What a stored graph is exported from.

    Attributes
    ----------
    make : callable
        Returns the module.
    outputs : tuple of str
        Their names.
    shapes : bool
        Whether a layer asks for the size of its map, so that the graph has to work it out.
    """

    make: Callable[[], nn.Module]
    outputs: tuple[str, ...]
    shapes: bool = False


MAPS = ("heatmaps", "pafs")
# file below this folder; EfficientHRNet's form and LPN's attention depend on the size
DRAWN = {
    "lw_openpose/lw-openpose-omz": Drawn(make=lambda: LwOpenPose("omz"), outputs=MAPS),
    "lw_openpose/lw-openpose-osokin": Drawn(make=lambda: LwOpenPose("osokin"), outputs=MAPS),
    "lw_openpose/lw-openpose-pi-omz": Drawn(
        make=lambda: LwOpenPose("omz", widths=WIDTHS["lw-openpose-pi"]), outputs=MAPS
    ),
    "hwl/hwl-sixth": Drawn(make=lambda: Hwl(hard_sigmoid="sixth"), outputs=("heatmaps",)),
    "hwl/hwl-half": Drawn(make=lambda: Hwl(hard_sigmoid="half"), outputs=("heatmaps",)),
    "person_finder/person-finder": Drawn(make=Finder, outputs=tuple(o.name for o in FINDER.outputs)),
    "person_refiner/person-refiner": Drawn(make=PersonRefiner, outputs=("heatmaps",), shapes=True),
}


def path_of(name: str) -> Path:
    """Return the file of a key of `DRAWN`."""
    return FOLDER / f"{name}{SUFFIX}"
