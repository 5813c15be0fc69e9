"""The graphs of the zoo that are stored as text, and the PyTorch modules that they are exported from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from export.graph.topology import SUFFIX
from export.zoo.hwl.module import Hwl
from export.zoo.lw_openpose.layouts import LAYOUTS
from export.zoo.lw_openpose.module import LwOpenPose

FOLDER = Path(__file__).parent
# file below this folder, the module, names of its outputs; EfficientHRNet's form and LPN's attention depend on the size
DRAWN: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "lw_openpose/lw-openpose-omz": (lambda: LwOpenPose("omz"), ("heatmaps", "pafs")),
    "lw_openpose/lw-openpose-osokin": (lambda: LwOpenPose("osokin"), ("heatmaps", "pafs")),
    "lw_openpose/lw-openpose-pi-omz": (
        lambda: LwOpenPose("omz", layout=LAYOUTS["lw-openpose-pi"]),
        ("heatmaps", "pafs"),
    ),
    "hwl/hwl-sixth": (lambda: Hwl(hard_sigmoid="sixth"), ("heatmaps",)),
    "hwl/hwl-half": (lambda: Hwl(hard_sigmoid="half"), ("heatmaps",)),
}


def path_of(name: str) -> Path:
    """Return the file of a key of `DRAWN`."""
    return FOLDER / f"{name}{SUFFIX}"
