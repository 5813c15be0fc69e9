"""The page in a real Chromium: the picture moves, skeletons lie on people, it comes back by itself."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

pytest.importorskip("aiohttp")

from tests.rpi_runtime.sinks.web.browser import browsing
from tests.rpi_runtime.sinks.web.serving import TOKEN, Feeder, page

# In the pictures of `serving.make_people` every keypoint is a disc: (x, y) of each disc's centre, in pixels of
# the picture, from the pixels of the canvas; and of the rings that are drawn over it, from those of the overlay.
REGISTRATION = """(async () => {
  const picture = document.querySelector("#picture"), overlay = document.querySelector("#overlay");
  const inner = picture.getBoundingClientRect(), outer = overlay.getBoundingClientRect();
  const ratio = overlay.width / outer.width;
  const scale = Math.min(inner.width / picture.width, inner.height / picture.height);  // object-fit: contain
  const left = inner.left - outer.left + (inner.width - scale * picture.width) / 2;
  const top = inner.top - outer.top + (inner.height - scale * picture.height) / 2;
  await new Promise((done) => requestAnimationFrame(done));
  const message = await (await fetch("/api/poses")).json();
  const ink = overlay.getContext("2d"), light = picture.getContext("2d");
  let discs = 0, hits = 0;
  const data = light.getImageData(0, 0, picture.width, picture.height).data;
  const is = (x, y) => data[4 * (y * picture.width + x)] > 100;
  for (let y = 6; y < picture.height - 6; y++)
    for (let x = 6; x < picture.width - 6; x++) {
      if (!(is(x, y) && is(x - 4, y) && is(x + 4, y) && is(x, y - 4) && is(x, y + 4))) continue;
      if (is(x - 6, y) || is(x + 6, y) || is(x, y - 6) || is(x, y + 6)) continue;
      discs += 1;
      const px = (left + (x + 0.5) * scale) * ratio, py = (top + (y + 0.5) * scale) * ratio;
      hits += ink.getImageData(Math.floor(px), Math.floor(py), 1, 1).data[3] > 200;
    }
  return { discs, hits, frame: Number(document.querySelector("#stage").dataset.frame), newest: message.frame };
})()"""
FRAME = 'Number(document.querySelector("#stage")?.dataset.frame)'
STATE = 'document.querySelector("#connection").dataset.state'


def test_the_page_in_a_browser():
    asyncio.run(scene())


async def scene():
    async with browsing() as tab:
        with page() as (sink, _), Feeder(sink, fps=20) as feeder:
            port = urlsplit(sink.url).port
            await tab.resize(1280, 800)
            await tab.open(sink.url)
            await the_picture_moves(tab)
            await skeletons_lie_on_people(tab)
            await tab.resize(390, 844, 2, mobile=True)
            await asyncio.sleep(0.5)
            await skeletons_lie_on_people(tab)
            await it_fits_a_phone(tab)
            await switches_work(tab)
        await tab.until(f'{STATE} === "lost"')
        assert "No connection" in await tab.run('document.querySelector("#notice").innerText')
        with page(target=f"127.0.0.1:{port}") as (sink, _), Feeder(sink, fps=20, first=feeder.frames):
            await tab.until(f'{STATE} === "live"')
            await the_picture_moves(tab)
        assert {urlsplit(url).netloc for url in tab.requested} == {f"127.0.0.1:{port}"}
        wrong = [c for c in tab.complaints if "ERR_CONNECTION" not in c and "willReadFrequently" not in c]
        assert [c for c in wrong if "'level': 'verbose'" not in c] == []


async def the_picture_moves(tab):
    first = await tab.until(FRAME)
    await tab.until(f"{FRAME} > {first} + 10")


async def skeletons_lie_on_people(tab):
    """Each disc of the picture has ink over its centre, in the same repaint."""
    found = [await tab.run(REGISTRATION) for _ in range(8)]
    assert all(f["discs"] >= 5 for f in found), found
    assert sum(f["hits"] for f in found) >= 0.95 * sum(f["discs"] for f in found), found
    assert all(abs(f["newest"] - f["frame"]) < 40 for f in found), "what is shown is what /api/poses says"


async def it_fits_a_phone(tab):
    width, inner = await tab.run("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= inner, "nothing to scroll sideways"
    sizes = await tab.run('[...document.querySelectorAll("#controls button")].map((b) => b.offsetHeight)')
    assert min(sizes) >= 40, "large enough for a finger"
    assert await tab.run('document.querySelector("#celsius").textContent') == "61.5°C"
    assert await tab.run('document.querySelectorAll("#list li").length') == 2


async def switches_work(tab):
    await tab.run('document.querySelector("#show-skeletons").click()')
    await tab.run('document.querySelector("#show-ids").click()')
    blank = """(() => { const c = document.querySelector("#overlay");
        return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.every((v) => v === 0); })()"""
    await tab.until(blank)


def test_a_pair_on_the_page():
    asyncio.run(pair_scene())


async def pair_scene():
    """A finder looks at every fifth frame: stages keep their places, and who was not reached has a dashed box."""
    legend = '[...document.querySelectorAll("#legend li")].map((row) => row.innerText.replace(/\\s+/g, " ").trim())'
    async with browsing() as tab:
        with page() as (sink, _), Feeder(sink, fps=20, pair=True):
            await tab.resize(390, 844, 2, mobile=True)
            await tab.open(sink.url)
            await tab.until(f"{FRAME} > 5")
            await tab.until('document.querySelectorAll("#legend li").length === 6')
            for _ in range(12):
                stages = await tab.run(legend)
                assert [stage.split()[0] for stage in stages] == [
                    "wait",
                    "preprocess",
                    "infer",
                    "decode",
                    "refine",
                    "track",
                ]
                await asyncio.sleep(0.1)
            assert "infer 9.0" in stages, "the median of the frames with a look"
            more = await tab.run('[...document.querySelectorAll("#list b")].map((b) => b.textContent)')
            assert more == ["6 keypoints, score 9.50", "box, score 0.40"]
            assert "1 refined" in await tab.run('document.querySelector("#count-more").textContent')


def test_the_form_takes_the_token_and_a_restart_asks_for_none():
    asyncio.run(login_scene())


async def login_scene():
    async with browsing() as tab:
        with page(token=TOKEN) as (sink, _), Feeder(sink, fps=20) as feeder:
            port = urlsplit(sink.url).port
            await tab.open(sink.url)
            await tab.until('!!document.querySelector("#token")')
            await enter(tab, "not-the-right-token")
            await tab.until('getComputedStyle(document.querySelector("#wrong:target")).display === "block"')
            await enter(tab, TOKEN)
            await tab.until(FRAME)
            assert await tab.run("document.cookie") == "", "scripts cannot read it"
        await tab.until(f'{STATE} === "lost"')
        with (
            page(token=TOKEN, target=f"127.0.0.1:{port}") as (sink, _),
            Feeder(sink, fps=20, first=feeder.frames),
        ):
            await tab.until(f'{STATE} === "live"')
            await the_picture_moves(tab)
        assert not any(TOKEN in url for url in tab.requested)


async def enter(tab, token):
    await tab.run(f'document.querySelector("#token").value = "{token}"')
    await tab.run('document.querySelector("form").submit()')


def test_a_hidden_page_asks_for_nothing():
    asyncio.run(hidden_scene())


async def hidden_scene():
    async with browsing() as tab:
        with page() as (sink, _), Feeder(sink, fps=20):
            await tab.open(sink.url)
            await tab.until(FRAME)
            await hide(tab, True)
            async with asyncio.timeout(20):
                while sink._server._site._viewers:
                    await asyncio.sleep(0.05)
            encoded = sink._hub.counts["encoded"]
            await asyncio.sleep(0.5)
            assert sink._hub.counts["encoded"] == encoded
            await hide(tab, False)
            await the_picture_moves(tab)


async def hide(tab, hidden):
    value = "true" if hidden else "false"
    await tab.run(f'Object.defineProperty(document, "hidden", {{configurable: true, get: () => {value}}})')
    await tab.run('document.dispatchEvent(new Event("visibilitychange"))')
