"""Figures in the text format of Prometheus.

Source: Prometheus documentation, Exposition formats, text-based format 0.0.4.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from rpi_runtime.health import machine
from rpi_runtime.health.status import Status
from rpi_runtime.masking import mask

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """Collects metrics, one family after the other."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(
        self,
        name: str,
        kind: str,
        text: str,
        samples: float | Iterable[tuple[Mapping[str, str], float]] | None,
    ) -> None:
        """Add one family; `samples` is one value, or pairs of labels and value; None leaves it out."""
        if samples is None:
            return
        pairs = [({}, samples)] if isinstance(samples, int | float) else list(samples)
        self._lines += [f"# HELP pipose_{name} {text}", f"# TYPE pipose_{name} {kind}"]
        for labels, value in pairs:
            self.append_sample(name, labels, value)

    def append_sample(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Add one more sample to the family that was added last, as summaries have for sum and count."""
        self._lines.append(f"pipose_{name}{_labels(labels)} {value:.10g}")

    def text(self) -> str:
        """Return everything."""
        return "\n".join(self._lines) + "\n"


def add_status(out: Exposition, status: Status) -> None:
    """Add what the pipeline says of itself."""
    out.add("frames_total", "counter", "Frames processed.", status.frames)
    out.add("frames_dropped_total", "counter", "Frames dropped because newer ones had come.", status.dropped)
    out.add("frames_undecodable_total", "counter", "Frames that could not be decoded.", status.undecodable)
    running = status.state == "running"
    out.add("fps", "gauge", "Frames per second over the last second or so.", status.fps if running else 0)
    out.add("people", "gauge", "People on the latest frame, while the source delivers.", status.known_people)
    if status.cascade is not None:
        done = status.cascade
        out.add("refined", "gauge", "People refined on the latest frame.", done.refined)
        out.add("people_total", "counter", "People over all frames.", done.people_total)
        out.add("refined_total", "counter", "People refined over all frames.", done.refined_total)
        out.add("looks_total", "counter", "Frames whose whole picture was looked at.", done.looks_total)
    out.add("source_up", "gauge", "1 while the source delivers.", int(status.state == "running"))
    out.add("source_restarts_total", "counter", "Times the source was lost and came back.", status.restarts)
    out.add("temperature_celsius", "gauge", "Temperature of the processor.", status.celsius)
    out.add("throttled", "gauge", "1 while the firmware slows the processor down.", int(status.throttled))
    out.add("heat_level", "gauge", "Steps down because of heat.", status.heat_level)
    _add_latency(out, status)
    _add_sinks(out, status)


def add_process(out: Exposition) -> None:
    """Add memory and open files of this process."""
    out.add("resident_memory_bytes", "gauge", "Resident memory.", machine.memory()[0] * 1e6)
    if Path("/proc/self/fd").is_dir():
        out.add("open_files", "gauge", "Open file descriptors.", len(os.listdir("/proc/self/fd")))  # noqa: PTH208


def _add_latency(out: Exposition, status: Status) -> None:
    name, text = "stage_seconds", "Time in each stage."
    samples: list[tuple[Mapping[str, str], float]] = []
    for stage, p in status.stages.items():
        for quantile, ms in (("0.5", p.p50_ms), ("0.95", p.p95_ms), ("0.99", p.p99_ms)):
            samples.append(({"stage": stage, "quantile": quantile}, ms / 1e3))
    out.add(name, "summary", text, samples)
    for stage, p in status.stages.items():
        out.append_sample(f"{name}_sum", {"stage": stage}, p.mean_ms * p.count / 1e3)
        out.append_sample(f"{name}_count", {"stage": stage}, p.count)


def _add_sinks(out: Exposition, status: Status) -> None:
    names = [{"sink": mask(sink.name)} for sink in status.sinks]
    for key, text, values in (
        ("sink_written_total", "Results written by a sink.", [s.written for s in status.sinks]),
        ("sink_dropped_total", "Results that a sink did not get.", [s.dropped for s in status.sinks]),
        ("sink_outages_total", "Times a sink failed after it had worked.", [s.outages for s in status.sinks]),
    ):
        out.add(key, "counter", text, zip(names, values, strict=True))
    up = [float(not s.trouble) for s in status.sinks]
    out.add("sink_up", "gauge", "1 while a sink works.", zip(names, up, strict=True))


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escape(value)}"' for key, value in labels.items()) + "}"


def _escape(value: str) -> str:
    printable = value.encode("utf-8", "replace").decode()
    return printable.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
