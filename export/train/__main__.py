"""The command `python -m export.train`, which names the missing package if PyTorch is not installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from quant.cli import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Train, as `export.train.command` does."""
    from export.train.command import main as train  # PyTorch

    return train(argv)


if __name__ == "__main__":
    sys.exit(run_command(main))
