"""Store the graphs of the zoo's networks as text, so that exporting them needs no PyTorch.

    python -m export.zoo.draw

To be run, with PyTorch, whenever a module changes; a test compares each file with its module.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from export.graph.from_torch import to_topology
from export.graph.topology import SUFFIX
from export.zoo.hwl.module import Hwl
from export.zoo.lw_openpose.layouts import LAYOUTS
from export.zoo.lw_openpose.module import LwOpenPose
from quant.cli import run_command
from rpi_runtime.errors import UsageError
from rpi_runtime.files import write_text

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


def main(argv: Sequence[str] | None = None) -> int:
    """Write every file."""
    argparse.ArgumentParser(
        prog="python -m export.zoo.draw",
        description="Store the graphs of the zoo's networks as text, so that exporting them needs no PyTorch.",
    ).parse_args(argv)
    for name, (make, outputs) in DRAWN.items():
        text, larger = (to_topology(make(), outputs, *size) for size in ((96, 64), (160, 192)))
        if text != larger:
            raise UsageError(
                f"{name}: its graph depends on the size of the image, which one text cannot hold"
            )
        write_text(path_of(name), text)
        print(path_of(name))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
