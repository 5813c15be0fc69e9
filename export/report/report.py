"""The report of an export: JSON for programs, one self-contained HTML page for people."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
from rich.table import Table

from export.report.advice import doubts, kind_of, next_steps, remedies, verdict
from export.report.chart import Series, line_chart
from export.report.outcome import Outcome
from quant.speed.boards import BOARDS
from quant.speed.prediction import Prediction, predict_bytes
from rpi_runtime.files import write_all

FORMAT = 1
TEMPLATES = Path(__file__).parent / "templates"


def as_data(outcome: Outcome) -> dict[str, Any]:
    """Return everything except the pictures as plain data."""
    return {
        "format": FORMAT,
        "file": str(outcome.path),
        "passed": outcome.passed,
        "bytes": outcome.size_bytes,
        "card": asdict(outcome.card),
        "stages": [asdict(s) for s in outcome.stages],
        "parity": [asdict(p) for p in outcome.parities],
        "doubts": doubts(outcome),
        "checks": [asdict(c) for c in outcome.checks],
        "operations": dict(outcome.operations),
        "predicted_speed": [asdict(p) for p in _predictions(outcome)],
        "attempts": [asdict(a) for a in outcome.attempts],
        "taken_for_crops": outcome.taken_for_crops,
        "untried": asdict(outcome.untried) if outcome.untried else None,
        "outliers": [asdict(o) for o in outcome.outliers],
        "agreement": asdict(outcome.agreement) if outcome.agreement else None,
        "evaluations": [asdict(e) for e in outcome.evaluations],
        "layers": {name: [asdict(n) for n in noise] for name, noise in outcome.layers.items()},
    }


def write_outcome(outcome: Outcome) -> tuple[Path, Path]:
    """Write the file with ``NAME.report.json`` and ``NAME.report.html`` beside it, all or none; return the reports.

    The reports of a refused file are ``NAME.rejected.report...``, so that those of an earlier good file stay valid.
    """
    data, page = report_paths(outcome.path)
    texts = {data: json.dumps(as_data(outcome), indent=1) + "\n", page: render(outcome)}
    written = {path: text.encode(errors="backslashreplace") for path, text in texts.items()}
    write_all({**written, outcome.path: outcome.content})
    return data, page


def report_paths(file: Path) -> tuple[Path, Path]:
    """Return the paths of the JSON and the HTML report of a .tflite or .tflite.rejected."""
    stem = file.name.replace(".tflite", "")
    return file.with_name(f"{stem}.report.json"), file.with_name(f"{stem}.report.html")


def remove_refused(file: Path) -> None:
    """Remove the files of an earlier, refused run beside a file that has now passed."""
    refused = file.with_name(file.name + ".rejected")
    for path in (refused, *report_paths(refused)):
        path.unlink(missing_ok=True)


def render(outcome: Outcome) -> str:
    """Return the HTML page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    series = [Series(name=n, values=[x.snr_db for x in noise]) for n, noise in outcome.layers.items()]
    labels = [f"{x.operation} {x.name}" for x in max(outcome.layers.values(), key=len, default=())]
    pictures = [
        (p.caption, *(base64.b64encode(data).decode() for data in (p.real, p.quantized)))
        for p in outcome.pictures
    ]
    chart = line_chart(series, labels, "signal to noise, dB") if series else ""
    return environment.get_template("report.html").render(
        outcome=outcome,
        card=outcome.card,
        chart=chart,
        pictures=pictures,
        kind=kind_of(outcome),
        verdict=verdict(outcome),
        doubts=doubts(outcome),
        remedies=remedies(outcome),
        steps=next_steps(outcome) if outcome.passed else [],
        speeds=[p.describe() for p in _predictions(outcome)],
    )


def _predictions(outcome: Outcome) -> list[Prediction]:
    """Return the milliseconds on each board, with their errors."""
    return [predict_bytes(outcome.content, board) for board in BOARDS]


def summary_tables(outcomes: Sequence[Outcome]) -> list[Table]:
    """Return the final summary: one row per file, and the failed checks."""
    columns = (
        "file",
        "size",
        "gate",
        "heatmap rmse",
        "PAF rel. L2",
        "lost peaks",
        "shift px",
        "AP float",
        "AP",
        "seconds",
    )
    table = Table(*columns, box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for s in outcomes:
        agreement = ("-",) * 4
        if s.agreement:
            a = s.agreement
            agreement = (
                f"{a.heatmap_rmse:.4f}",
                f"{a.paf_relative_l2:.3f}",
                f"{a.lost:.1%}",
                f"{a.shift_px:.2f}",
            )
        ap = (f"{s.evaluations[0].ap:.2f}", f"{s.evaluations[-1].ap:.2f}") if s.evaluations else ("-", "-")
        gate = "-" if not s.checks else "passed" if s.passed else "REFUSED"
        seconds = f"{sum(t.seconds for t in s.stages):.1f}"
        table.add_row(str(s.path), f"{s.size_bytes / 1e6:.2f} MB", gate, *agreement, *ap, seconds)
    return [table, *(_failures(s) for s in outcomes if not s.passed)]


def _failures(outcome: Outcome) -> Table:
    table = Table(f"failed for {outcome.path.name}", "found", "allowed", box=None, pad_edge=False)
    for check in outcome.checks:
        if not check.passed:
            table.add_row(check.name, check.found, check.allowed)
    return table
