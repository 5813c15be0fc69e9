"""The standard streams as a command finds them: closed, of another encoding, or with a terminal that hangs up."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from rpi_runtime.masking import mask

# Streams that were closed when the command began; written once, by `prepare`.
MISSING: set[str] = set()


def prepare() -> None:
    """Make the three standard streams fit for use; called once, when a command begins.

    A closed one is opened on ``/dev/null``: otherwise the next file that is opened gets its number, and messages of
    libraries go into that file. No character makes printing fail: file names may hold any bytes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            MISSING.add(name)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def program() -> str:
    """Return how this program was called, for its help."""
    return "pipose" if Path(sys.argv[0]).name == "pipose" else "python -m rpi_runtime"


def tell(text: str) -> None:
    """Print on standard error, without passwords; a stream that has gone, as after a hang-up, is no failure."""
    with contextlib.suppress(OSError, ValueError):
        print(mask(text), file=sys.stderr, flush=True)
