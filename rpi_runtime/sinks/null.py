"""A sink that discards results: for measurements, and to try a source and a model."""

from __future__ import annotations

from dataclasses import dataclass

from rpi_runtime.sinks.sink import About, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class NullOptions:
    """No options."""


class NullSink:
    """Discards every result. It is open from the start."""

    name = "null"
    backlog = 1
    wants_image = False
    trouble = ""

    def __init__(self, options: NullOptions) -> None:
        del options

    def open(self, about: About) -> NullSink:
        """Return itself, because there is nothing to open."""
        del about
        return self

    def write(self, result: Result) -> None:
        """Discard the result."""

    def close(self) -> None:
        """Do nothing, because there is nothing to close."""
