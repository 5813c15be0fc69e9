"""The file of `bench --report FILE`: a measurement with everything that a comparison needs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rpi_runtime import __version__
from rpi_runtime.files import reading
from rpi_runtime.health.machine import board, clock_mhz, governors, operating_system, total_memory_mb
from rpi_runtime.model.card import read_card

if TYPE_CHECKING:
    from rpi_runtime.commands.bench import BenchResult

FORMAT = 1  # version of the file's format; raised if a name changes its meaning
PAGE = "rpi_runtime/docs/reports.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The model file: its name, SHA-256 and size, and facts of its card."""

    file: str
    sha256: str
    size_bytes: int
    model: str
    input: str
    recipe: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The computer.

    Attributes
    ----------
    board, system, kernel, architecture : str
        Empty if unknown.
    processors : int
    memory_mb : float
        10^6 bytes.
    governors : tuple of str
    clock_mhz_before, clock_mhz_after, clock_mhz_most : float or None
        The first processor's clock before and after, and its maximum.
    """

    board: str
    system: str
    kernel: str
    architecture: str
    processors: int
    memory_mb: float
    governors: tuple[str, ...]
    clock_mhz_before: float | None
    clock_mhz_after: float | None
    clock_mhz_most: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One measurement; the JSON file has these names."""

    format: int
    date: str
    versions: dict[str, str]
    machine: Machine
    models: tuple[Measured, ...]
    result: BenchResult

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    def to_markdown(self) -> str:
        """Return a table to paste into an issue."""
        r, m = self.result, self.machine
        infer, total = r.steady["infer"], r.steady["total"]
        rows = {
            "board": m.board or f"unknown, {m.architecture}",
            "system": f"{m.system or 'unknown'}, kernel {m.kernel}",
            "model": "; ".join(
                f"{f.file} ({f.recipe}, {f.input}), sha256 {f.sha256[:16]}" for f in self.models
            ),
            "versions": ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            "threads": f"{r.threads} of {m.processors} processors; {r.partitions} partitions, "
            f"{r.delegated} of {r.operations} operations delegated",
            "inference, ms": f"median {infer.p50_ms:.1f}, 90 % {infer.p90_ms:.1f}, 99 % {infer.p99_ms:.1f}, "
            f"first {r.load.first_inference_ms:.1f}",
            "picture to people, ms": f"median {total.p50_ms:.1f}, 90 % {total.p90_ms:.1f}, 99 % {total.p99_ms:.1f}, "
            f"{r.people:.1f} people a frame",
            "frames": f"{r.frames} of {r.source}, {r.fps:.1f} a second, {r.dropped} dropped",
            "memory, MB": f"peak {r.peak_rss_mb:.0f}, average {r.average_rss_mb:.0f}, of {m.memory_mb:.0f}",
            "clock, MHz": f"{_or_unknown(m.clock_mhz_before)} before, {_or_unknown(m.clock_mhz_after)} after, "
            f"at most {_or_unknown(m.clock_mhz_most)}; governor {', '.join(m.governors) or 'unknown'}",
            "heat before": r.before.describe(),
            "heat after": r.after.describe(),
            "date": self.date,
        }
        return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])


def make_report(result: BenchResult, models: list[Path], clock_before: float | None) -> Report:
    """Return the report of a measurement that has just ended."""
    return Report(
        format=FORMAT,
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        versions={
            "pipose": __version__,
            "Python": platform.python_version(),
            "NumPy": np.__version__,
            result.backend: result.backend_version,
        },
        machine=_machine(clock_before),
        models=tuple(_measured(path) for path in models),
        result=result,
    )


def _machine(clock_before: float | None) -> Machine:
    return Machine(
        board=board(),
        system=operating_system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        processors=os.cpu_count() or 1,
        memory_mb=total_memory_mb(),
        governors=governors(),
        clock_mhz_before=clock_before,
        clock_mhz_after=clock_mhz(),
        clock_mhz_most=clock_mhz("scaling_max_freq"),
    )


def _measured(path: Path) -> Measured:
    with reading(path, "give the path of a .tflite"):
        data = path.read_bytes()
    card = read_card(path)
    return Measured(
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        model=card.name,
        input=card.input.size,
        recipe=card.recipe,
    )


def _or_unknown(value: float | None) -> Any:
    return "unknown" if value is None else f"{value:.0f}"
