"""The two ways of decoding: fast for a run, exact as the papers evaluate."""

from __future__ import annotations

from typing import Literal, get_args

from rpi_runtime.errors import UsageError

Mode = Literal["fast", "exact"]


def checked_mode(mode: Mode) -> Mode:
    """Return the mode; raises `UsageError` if it is another word."""
    if mode not in get_args(Mode):
        raise UsageError(f"decoder mode {mode!r}: expected 'fast' or 'exact'")
    return mode
