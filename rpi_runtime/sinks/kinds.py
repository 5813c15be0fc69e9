"""Sinks by name, as users write them: ``jsonl:-``, ``jsonl:poses.jsonl,max_mb=10``, ``video:out.mp4``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rpi_runtime.sinks.jsonl import JsonlOptions, JsonlSink
from rpi_runtime.sinks.mqtt.sink import PREFIX as MQTT_PREFIX
from rpi_runtime.sinks.mqtt.sink import SECRETS as MQTT_SECRETS
from rpi_runtime.sinks.mqtt.sink import MqttOptions, MqttSink
from rpi_runtime.sinks.null import NullOptions, NullSink
from rpi_runtime.sinks.sink import Sink
from rpi_runtime.sinks.video import CODECS, VideoOptions, VideoSink
from rpi_runtime.sinks.web.sink import WebOptions, WebSink
from rpi_runtime.sinks.window import WindowOptions, WindowSink


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkKind:
    """One kind.

    Attributes
    ----------
    options : type
        A frozen dataclass.
    make : callable
        Makes the sink from its options.
    example : str
        Short form, as users write it.
    shows : bool
        Whether it shows pictures to people, which should then be larger than the network's input.
    secrets : tuple of str
        Options that the short form refuses, because every user of the machine can read a command line.
    prefix : str
        Prefix of the environment variables that hold the secrets instead.
    """

    options: type[Any]
    make: Callable[[Any], Sink]
    example: str
    shows: bool = False
    secrets: tuple[str, ...] = ()
    prefix: str = ""

    def variable(self, key: str) -> str:
        """Return the name of the environment variable that holds a secret."""
        return f"{self.prefix}_{key.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """One sink of a run: its kind and its options, an instance of ``KINDS[kind].options``."""

    kind: str
    options: Any

    @property
    def writes_file(self) -> bool:
        """Whether the target is a file that the sink writes."""
        return self.kind in ("jsonl", "video") and self.options.target != "-"

    @property
    def shows(self) -> bool:
        """Whether it shows pictures to people."""
        return KINDS[self.kind].shows

    def make(self) -> Sink:
        """Return a new sink that is not open yet."""
        return KINDS[self.kind].make(self.options)


def guess_kind(target: str) -> str:
    """Return the kind of sink that a target without one means; empty where nothing tells."""
    suffix = Path(target).suffix.lower()
    if target == "-" or suffix in (".jsonl", ".ndjson", ".json"):
        return "jsonl"
    if suffix in CODECS:
        return "video"
    return ""


KINDS: Mapping[str, SinkKind] = {
    "jsonl": SinkKind(options=JsonlOptions, make=JsonlSink, example="jsonl:- or jsonl:poses.jsonl,max_mb=10"),
    "video": SinkKind(options=VideoOptions, make=VideoSink, example="video:out.mp4", shows=True),
    "window": SinkKind(options=WindowOptions, make=WindowSink, example="window", shows=True),
    "web": SinkKind(
        options=WebOptions,
        make=WebSink,
        example="web or web:127.0.0.1:8080",
        shows=True,
        secrets=("token",),
        prefix="PIPOSE_LIVE",
    ),
    "mqtt": SinkKind(
        options=MqttOptions,
        make=MqttSink,
        example="mqtt:broker.local or mqtt:broker.local:8883,qos=1",
        secrets=MQTT_SECRETS,
        prefix=MQTT_PREFIX,
    ),
    "null": SinkKind(options=NullOptions, make=NullSink, example="null"),
}
