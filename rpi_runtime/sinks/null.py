"""Results to nowhere: for measurements, and to try a source and a model."""

from __future__ import annotations

from dataclasses import dataclass

from rpi_runtime.sinks.sink import About, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class NullOptions:
    """Nothing to choose."""


class NullSink:
    """Takes everything."""

    name = "null"
    backlog = 1
    wants_image = False

    def __init__(self, options: NullOptions) -> None:
        del options

    def start(self, about: About) -> None:
        """Nothing to open."""

    def write(self, result: Result) -> None:
        """Forget the result."""

    def stop(self) -> None:
        """Nothing to close."""
