"""Store the graphs of the zoo's networks as text, so that exporting them needs no PyTorch.

    python -m export.zoo.draw

To be run, with PyTorch, whenever a module changes; a test compares each file with its module.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from quant.cli import make_parser, run_command
from rpi_runtime.command_line import exit_codes
from rpi_runtime.errors import UsageError
from rpi_runtime.files import write_text


def main(argv: Sequence[str] | None = None) -> int:
    """Write every file."""
    make_parser(
        "export.zoo.draw",
        "Store the graphs of the zoo's networks as text, so that exporting them needs no PyTorch.",
        exit_codes(5, 8),
    ).parse_args(argv)
    from export.graph.from_torch import to_topology  # PyTorch: not wanted for --help
    from export.zoo.drawn import DRAWN, path_of

    for name, drawn in DRAWN.items():
        text, larger = (
            to_topology(drawn.make(), drawn.outputs, *size, shapes=drawn.shapes)
            for size in ((96, 64), (160, 192))
        )
        if text != larger:
            raise UsageError(
                f"{name}: its graph depends on the size of the image, which one text cannot hold"
            )
        write_text(path_of(name), text)
        print(path_of(name))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
