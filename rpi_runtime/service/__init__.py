"""The runtime as a systemd service: ``install``, ``uninstall``, and ``run``, which the unit calls."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Run the command `service` and return its exit code."""
    from rpi_runtime.service.command import main as command

    return command(argv)
