"""The live page in a real Chromium, in every state, at a desk and on a phone, light and dark: all of it readable."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from tests.rpi_runtime.sinks.web.browser import Page, browsing
from tests.rpi_runtime.sinks.web.looking import COMPLAINTS, SCHEMES, SIZES, look
from tests.rpi_runtime.sinks.web.serving import TOKEN, Feeder, page

STATE = 'document.querySelector("#connection").dataset.state'
HEAT = {"": 61.5, "warm": 76.0, "hot": 84.0}
Views = dict[str, dict[str, Any]]


async def every_view(tab: Page, name: str) -> Views:
    return {
        f"{name}, {size}, {scheme}": await look(tab, size, scheme) for size in SIZES for scheme in SCHEMES
    }


async def every_state() -> Views:
    found: Views = {}
    async with browsing() as tab:
        with page() as (sink, run), Feeder(sink, fps=20):
            await tab.open(sink.url)
            await tab.until(f'{STATE} === "live"')
            for heat, celsius in HEAT.items():
                run.status = replace(run.status, celsius=celsius)
                await tab.until(f'document.querySelector("#celsius").textContent === "{celsius}°C"')
                found |= await every_view(tab, f"live {heat}".strip())
        await tab.until(f'{STATE} === "lost"')
        found |= await every_view(tab, "lost")
        with page(token=TOKEN) as (sink, _), Feeder(sink, fps=20):
            await tab.open(f"{sink.url}login#wrong")
            await tab.until('getComputedStyle(document.querySelector("#wrong:target")).display === "block"')
            found |= await every_view(tab, "login")
    return found


@pytest.fixture(scope="module")
def views() -> Views:
    return asyncio.run(every_state())


def test_texts_were_looked_at(views: Views) -> None:
    assert len(views) == 20
    assert min(seen["texts"] for seen in views.values()) > 4


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_there_is_nothing_to_complain_of(views: Views, complaint: str) -> None:
    assert {view: seen[complaint] for view, seen in views.items() if seen[complaint]} == {}
