"""What a reader of a page cannot read or reach, measured in the browser: contrast, size, width, regions."""

from __future__ import annotations

from typing import Any

from tests.rpi_runtime.sinks.web.browser import Page

SIZES = {"desk": (1280, 800), "phone": (360, 740)}
SCHEMES = ("light", "dark")
# `faint`: texts with a contrast below 4.5 to what is behind them (WCAG 2.2: relative luminance of both colours, layers
# that let something through composed). `small`: below 11 px, as drawn. `wide`: wider than the window, outside a region
# that scrolls by itself. `shut`: regions that scroll and that no key reaches.
LOOK = """(() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parts = (colour) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data]; };
  const over = (top, alpha, below) => below.map((v, i) => alpha * top[i] + (1 - alpha) * v);
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (colour) => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => sum + w * linear(colour[i] / 255), 0);
  const above = (element) => element ? [...above(element.parentElement), element] : [];
  const behind = (element) => above(element).reduce((below, e) => {
    const colour = parts(getComputedStyle(e).backgroundColor);
    return over(colour, colour[3] / 255, below); }, [255, 255, 255]);
  const solid = (element) => above(element).reduce((all, e) => all * getComputedStyle(e).opacity, 1);
  const contrast = (element, colour) => { const ground = behind(element);
    const [a, b] = [light(over(colour, solid(element), ground)), light(ground)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05); };
  const faint = [], wide = [], shut = [], small = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, box = element.getBoundingClientRect();
    const text = walker.currentNode.data.trim().slice(0, 40), style = getComputedStyle(element);
    if (!text || !box.width || style.visibility === "hidden" || element.closest("title, style, noscript")) continue;
    texts += 1;
    const found = contrast(element, parts(element.closest("svg") ? style.fill : style.color));
    if (found < 4.5) faint.push([text, Number(found.toFixed(2))]);
    const drawn = element.closest("svg")?.getScreenCTM().a ?? 1;
    if (parseFloat(style.fontSize) * drawn < 10.9) small.push(text);
  }
  for (const element of document.body.querySelectorAll("*")) {
    const region = element.closest("[role=region]"), box = (region ?? element).getBoundingClientRect();
    if (box.width && (box.right > innerWidth + 0.5 || box.left < -0.5)) wide.push(element.outerHTML.slice(0, 80));
    if (region === element && element.scrollWidth > element.clientWidth && element.tabIndex !== 0)
      shut.push(element.getAttribute("aria-label"));
  }
  if (document.documentElement.scrollWidth > innerWidth) wide.push("the page scrolls sideways");
  return { texts, faint, wide, shut, small };
})()"""
COMPLAINTS = ("faint", "wide", "shut", "small")


async def set_view(tab: Page, size: str, scheme: str) -> None:
    """Make the window one of `SIZES`, and what it prefers one of `SCHEMES`."""
    width, height = SIZES[size]
    await tab.resize(width, height, mobile=size == "phone")
    await tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


async def look(tab: Page, size: str, scheme: str) -> dict[str, Any]:
    """Return what `LOOK` finds on the page in a view."""
    await set_view(tab, size, scheme)
    assert await tab.run(f'matchMedia("(prefers-color-scheme: {scheme})").matches')
    found: dict[str, Any] = await tab.run(LOOK)
    return found
