"""Sinks by name, as users write them: ``jsonl:-``, ``jsonl:poses.jsonl,max_mb=10``, ``video:out.mp4``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rpi_runtime.sinks.jsonl import JsonlOptions, JsonlSink
from rpi_runtime.sinks.null import NullOptions, NullSink
from rpi_runtime.sinks.sink import Sink
from rpi_runtime.sinks.video import VideoOptions, VideoSink
from rpi_runtime.sinks.window import WindowOptions, WindowSink


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkKind:
    """One kind: its options (a frozen dataclass), how to make it from them, and how users write it."""

    options: type[Any]
    make: Callable[[Any], Sink]
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """One sink of a run: its kind and its options, an instance of ``KINDS[kind].options``."""

    kind: str
    options: Any

    @property
    def writes_file(self) -> bool:
        """Whether the target is a file that the sink writes."""
        return self.kind in ("jsonl", "video") and self.options.target != "-"

    def make(self) -> Sink:
        """Return a new sink, not yet started."""
        return KINDS[self.kind].make(self.options)


KINDS: Mapping[str, SinkKind] = {
    "jsonl": SinkKind(options=JsonlOptions, make=JsonlSink, example="jsonl:- or jsonl:poses.jsonl,max_mb=10"),
    "video": SinkKind(options=VideoOptions, make=VideoSink, example="video:out.mp4"),
    "window": SinkKind(options=WindowOptions, make=WindowSink, example="window"),
    "null": SinkKind(options=NullOptions, make=NullSink, example="null"),
}
