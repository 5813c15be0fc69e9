"""The live page: the picture, the people on it and the machine's state, in a browser."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Run the command `live` and return its exit code."""
    from rpi_runtime.live.command import main as command

    return command(argv)
