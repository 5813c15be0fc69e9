"""The message: one frame's people as JSON. Described by ``message.schema.json`` beside this file.

Version 2. Fields may be added within a version. Removing a field or changing its meaning makes a new version.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from rpi_runtime.model.card import Skeleton
from rpi_runtime.poses import Track
from rpi_runtime.sinks.sink import Result

MESSAGE_VERSION = 2  # 1: everybody had keypoints


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a message."""
    text = files("rpi_runtime.sinks").joinpath("message.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def make_message(result: Result, skeleton: Skeleton, now_ns: int | None = None) -> dict[str, Any]:
    """Return one result as a mapping of plain Python values, ready for `json.dumps`.

    Parameters
    ----------
    result : Result
    skeleton : Skeleton
        Names of the keypoints.
    now_ns : int, optional
        Time on `time.monotonic_ns` for the frame's age. Default: now.
    """
    age_ns = (time.monotonic_ns() if now_ns is None else now_ns) - result.taken_ns
    when = datetime.fromtimestamp(result.time_ns / 1e9, UTC)
    message: dict[str, Any] = {
        "version": MESSAGE_VERSION,
        "frame": result.index,
        "time": when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z",
        "timestamp_ns": result.timestamp_ns,
        "width": result.width,
        "height": result.height,
        "people": [_person(track, skeleton) for track in result.tracks],
        "age_ms": round(age_ns / 1e6, 2),
        "latency_ms": {stage: round(ns / 1e6, 3) for stage, ns in result.latency_ns.items()},
        "dropped": result.dropped,
    }
    if result.looked is not None:
        message["looked"] = result.looked
        message["refined"] = sum(track.refined for track in result.tracks)
        for person, track in zip(message["people"], result.tracks, strict=True):
            person["refined"] = track.refined
    if result.name:
        message["file"] = result.name.encode(
            "utf-8", "backslashreplace"
        ).decode()  # file names may hold any bytes
    return message


def encode_message(result: Result, skeleton: Skeleton) -> bytes:
    """Return one result as one line of UTF-8 JSON, newline included."""
    message = make_message(result, skeleton)
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _person(track: Track, skeleton: Skeleton) -> dict[str, Any]:
    points = track.pose.keypoints.tolist()  # none of a person whom only a detector saw
    person: dict[str, Any] = {
        "id": track.id,
        "score": round(float(track.pose.score), 3),
        "age": track.age,
        "keypoints": {
            name: [round(x, 1), round(y, 1), round(score, 3)]
            for name, (x, y, score) in zip(skeleton.keypoints, points, strict=bool(points))
            if score > 0
        },
    }
    if track.pose.box is not None:
        person["box"] = [round(value, 1) for value in track.pose.box]
    return person
