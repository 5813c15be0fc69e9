"""The page with a real model on a real video, in a real browser: pictures of it to look at, and a check.

    python -m tests.e2e.live_page --model M.tflite [--refine CROPS.tflite] --video walk.mp4 --output FOLDER

Writes desk.png, desk-light.png, phone.png, login.png and lost.png into FOLDER, which shows people: keep it out of the
repository. Prints, for frames with people, how far the drawn keypoints lie from those of /api/poses.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.rpi_runtime.sinks.mqtt.mosquitto import free_port
from tests.rpi_runtime.sinks.web.browser import Page, browsing

ROOT = Path(__file__).parents[2]
# Somebody is there, nearly from head to foot.
SOMEBODY = 'parseInt(document.querySelector("#list b")?.textContent) >= 14'
# For one frame: each keypoint of /api/poses, and whether the overlay is opaque there and the picture is below it.
CHECK = """(async () => {
  const message = await (await fetch("/api/poses")).json();
  const stage = document.querySelector("#stage");
  for (let i = 0; i < 100 && Number(stage.dataset.frame) < message.frame; i++)
    await new Promise((done) => setTimeout(done, 10));
  if (Number(stage.dataset.frame) !== message.frame || !message.people.length) return null;
  const overlay = document.querySelector("#overlay");
  const picture = document.querySelector("#picture").getBoundingClientRect();
  const outer = overlay.getBoundingClientRect();
  const scale = overlay.width / outer.width;
  const pen = overlay.getContext("2d");
  let hits = 0, all = 0;
  for (const person of message.people)
    for (const [x, y] of Object.values(person.keypoints)) {
      const px = (picture.left - outer.left + (x / message.width) * picture.width) * scale;
      const py = (picture.top - outer.top + (y / message.height) * picture.height) * scale;
      if (px < 1 || py < 1 || px > overlay.width - 2 || py > overlay.height - 2) continue;
      all += 1;
      hits += pen.getImageData(Math.floor(px), Math.floor(py), 1, 1).data[3] > 200;
    }
  const data = pen.getImageData(0, 0, overlay.width, overlay.height).data;
  let inked = 0;
  for (let i = 3; i < data.length; i += 4) inked += data[i] > 0;
  const share = inked / (overlay.width * overlay.height);
  return { frame: message.frame, people: message.people.length, all, hits, inked: share };
})()"""


@contextlib.contextmanager
def serving(port: int, *words: str, environment: dict[str, str] | None = None):
    """Run the command `live`."""
    command = [sys.executable, "-m", "rpi_runtime", "live", "--listen", f"127.0.0.1:{port}", *words]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


async def look(page: Page, url: str, folder: Path, words: list[str], port: int) -> None:
    """Take the pictures and check."""
    with serving(port, *words):
        await page.resize(1440, 900)
        await set_scheme(page, "dark")
        await open_when_up(page, url)
        await page.until(SOMEBODY, 90)
        await page.screenshot(folder / "desk.png")
        await set_scheme(page, "light")
        await asyncio.sleep(0.5)
        await page.screenshot(folder / "desk-light.png")
        await set_scheme(page, "dark")
        await check(page)
        await page.resize(390, 844, 3, mobile=True)
        await page.until(SOMEBODY, 90)
        await page.screenshot(folder / "phone.png")
        await check(page)
        await page.resize(1440, 900)
    await page.until('document.querySelector("#connection").dataset.state === "lost"')
    await asyncio.sleep(1)
    await page.screenshot(folder / "lost.png")
    print("server stopped: the page says", await page.run('document.querySelector("#notice").innerText'))
    before = asyncio.get_running_loop().time()
    with serving(port, *words):
        await page.until('document.querySelector("#connection").dataset.state === "live"', 60)
        print(
            f"server back: the page is live again after {asyncio.get_running_loop().time() - before:.1f} s,"
        )
        print("  which includes the start of Python and the model's loading")
    with serving(port, *words, environment={"PIPOSE_LIVE_TOKEN": "correct-horse-battery"}):
        await page.resize(390, 844, 3, mobile=True)
        await open_when_up(page, url, '!!document.querySelector("#token")')
        await page.screenshot(folder / "login.png")


async def set_scheme(page: Page, scheme: str) -> None:
    """Dark or light."""
    wish = {"name": "prefers-color-scheme", "value": scheme}
    await page.send("Emulation.setEmulatedMedia", features=[wish])


async def open_when_up(
    page: Page, url: str, sign: str = 'document.querySelector("#stage")?.dataset.frame'
) -> None:
    """Open the page as soon as the server answers."""
    port = int(url.split(":")[2].strip("/"))
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            await asyncio.sleep(0.2)
    await page.open(url)
    await page.until(sign)


async def check(page: Page) -> None:
    """Compare what is drawn with /api/poses, for some frames."""
    found = []
    async with asyncio.timeout(120):
        while len(found) < 20:
            if (result := await page.run(CHECK)) is not None:
                found.append(result)
    keypoints = sum(f["all"] for f in found)
    hits = sum(f["hits"] for f in found)
    inked = max(f["inked"] for f in found)
    print(
        f"{len(found)} frames with people: {hits} of {keypoints} keypoints of /api/poses are drawn where they are"
    )
    print(f"  and at most {100 * inked:.1f} % of the overlay is drawn upon")


async def run(given: argparse.Namespace) -> None:
    """Open a browser and look."""
    given.output.mkdir(parents=True, exist_ok=True)
    port = free_port()
    # even on a busy machine
    pair = ["--refine", given.refine, "--refine-budget-ms", "0"] if given.refine else []
    words = ["--model", given.model, *pair]
    words += ["--source", f"{given.video},loop=yes", "--max-fps", str(given.fps)]
    async with browsing() as page:
        await look(page, f"http://127.0.0.1:{port}/", given.output, words, port)
        outside = sorted({url for url in page.requested if not url.startswith(f"http://127.0.0.1:{port}/")})
        print("requested from elsewhere:", outside or "nothing")
        print(
            "complaints of the browser:",
            json.dumps([c for c in page.complaints if "ERR_CONNECTION" not in c]),
        )


def main() -> None:
    """Parse the command line and look."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--refine", default="", help="a network of crops behind a detector")
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--fps", type=float, default=8.0)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
