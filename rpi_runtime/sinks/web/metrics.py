"""Metrics in the text format of Prometheus.

Source: Prometheus documentation, Exposition formats, text-based format 0.0.4.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from rpi_runtime import __version__
from rpi_runtime.health import machine
from rpi_runtime.health.status import Status
from rpi_runtime.health.timing import BOUNDS_NS
from rpi_runtime.masking import mask

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "pipose_"
NS = 1e9  # nanoseconds per second


class Exposition:
    """Collects metrics, family by family."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(
        self,
        name: str,
        kind: str,
        text: str,
        samples: float | Iterable[tuple[Mapping[str, str], float]] | None,
        prefix: str = PREFIX,
    ) -> None:
        """Add one family; `samples` is one value, or pairs of labels and value; None leaves it out."""
        if samples is None:
            return
        pairs = [({}, samples)] if isinstance(samples, int | float) else list(samples)
        self._lines += [f"# HELP {prefix}{name} {text}", f"# TYPE {prefix}{name} {kind}"]
        for labels, value in pairs:
            self.append_sample(name, labels, value, prefix)

    def append_sample(self, name: str, labels: Mapping[str, str], value: float, prefix: str = PREFIX) -> None:
        """Add one more sample to the family that was added last, as histograms have for buckets, sum and count."""
        self._lines.append(f"{prefix}{name}{_labels(labels)} {value:.15g}")

    def text(self) -> str:
        """Return the text of all metrics."""
        return "\n".join(self._lines) + "\n"


def add_status(out: Exposition, status: Status) -> None:
    """Add the metrics of the pipeline."""
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
    """Add the metrics that Prometheus' client libraries report for a process, under the same names."""
    for name, kind, text, value in (
        ("cpu_seconds_total", "counter", "Processor time of user and system.", sum(os.times()[:2])),
        ("resident_memory_bytes", "gauge", "Resident memory.", machine.memory()[0] * 1e6),
        ("virtual_memory_bytes", "gauge", "Virtual memory.", machine.virtual_memory() * 1e6),
        ("start_time_seconds", "gauge", "Start of the process, in seconds since 1970.", _started_s()),
        ("open_fds", "gauge", "Open file descriptors.", _open_files()),
        ("max_fds", "gauge", "Most open file descriptors.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    ):
        out.add(name, kind, text, value, prefix="process_")


def add_build(out: Exposition) -> None:
    """Add the version of pipose as labels of a constant 1, for joins with other metrics."""
    labels = {"version": __version__, "python": platform.python_version(), "machine": platform.machine()}
    out.add("build_info", "gauge", "Version of pipose and of Python.", [(labels, 1)])


def _open_files() -> float | None:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.is_dir() else None  # noqa: PTH208


def _started_s() -> float | None:
    since_boot = machine.started_s_after_boot()
    return None if since_boot is None else time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot


def _add_latency(out: Exposition, status: Status) -> None:
    """Add a histogram: percentiles cannot be added over several Pis, counts can."""
    if not status.histograms:
        return
    out.add("stage_seconds", "histogram", "Time in each stage.", [])
    for stage, found in status.histograms.items():
        for bound, count in zip(BOUNDS_NS, found.below, strict=True):
            out.append_sample("stage_seconds_bucket", {"stage": stage, "le": f"{bound / NS:g}"}, count)
        out.append_sample("stage_seconds_bucket", {"stage": stage, "le": "+Inf"}, found.count)
        out.append_sample("stage_seconds_sum", {"stage": stage}, found.total_ns / NS)
        out.append_sample("stage_seconds_count", {"stage": stage}, found.count)


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
