"""The report in a real Chromium, at a desk and on a phone, light and dark: every text readable, nothing too wide."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from export.report.outcome import Attempt
from export.report.report import render
from tests.export.report.test_report import outcome
from tests.rpi_runtime.sinks.web.browser import browsing
from tests.rpi_runtime.sinks.web.looking import COMPLAINTS, SCHEMES, SIZES, look

LONG = (
    "the mean over channels of the absolute differences between tensor/after/tensor/after/tensor/of/a/network"
)


def pages(folder: Path) -> dict[str, Path]:
    """Write a report with everything in it, one of a refused file, and one with names that have no place to break."""
    full = outcome(folder)
    tried = tuple(
        Attempt(recipe=name, output_error=0.02, refused=(LONG, "x" * 60), seconds=9.5)
        for name in ("w8c_a8_eq", "w8c_a8_eq_out_fit")
    )
    long = tuple(replace(c, name="x" * 200, found="y" * 90) for c in full.checks)
    variants = {
        "full": replace(full, attempts=tried),
        "refused": replace(outcome(folder, passed=False), attempts=tried),
        "long": replace(full, checks=long, attempts=tried, operations={f"OPERATION_{'X' * 80}": 3}),
    }
    written = {}
    for name, variant in variants.items():
        written[name] = folder / f"{name}.html"
        written[name].write_text(render(variant))
    return written


async def look_at_all(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    async with browsing() as tab:
        for name, page in pages(folder).items():
            await tab.open(page.as_uri())
            await tab.until(f'document.readyState === "complete" && location.href === "{page.as_uri()}"')
            for size in SIZES:
                for scheme in SCHEMES:
                    found[f"{name}, {size}, {scheme}"] = await look(tab, size, scheme)
    return found


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return asyncio.run(look_at_all(tmp_path_factory.mktemp("reports")))


def test_texts_were_looked_at(views: dict[str, dict[str, Any]]) -> None:
    assert len(views) == 12
    assert min(seen["texts"] for seen in views.values()) > 60


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_there_is_nothing_to_complain_of(views: dict[str, dict[str, Any]], complaint: str) -> None:
    assert {view: seen[complaint] for view, seen in views.items() if seen[complaint]} == {}
