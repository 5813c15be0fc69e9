"""A headless Chromium, driven by its DevTools protocol over a WebSocket: no package but aiohttp."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class PageError(Exception):
    """The browser refused a call, or an expression failed."""


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session_id: str) -> None:
        self._socket, self._session_id = socket, session_id
        self._numbers = itertools.count(1000)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self.task: asyncio.Task[None] | None = None  # keeps `listen` alive

    async def listen(self) -> None:
        async for message in self._socket:
            data = message.json()
            if data.get("id") in self._answers:
                answer = self._answers.pop(data["id"])
                if not answer.done():
                    answer.set_result(data)
            elif data.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(str(data["params"]))
            elif data.get("method") == "Network.requestWillBeSent":
                self.requested.append(data["params"]["request"]["url"])

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        call = {"id": number, "method": method, "params": params, "sessionId": self._session_id}
        await self._socket.send_json(call)
        data = await asyncio.wait_for(answer, 30)
        if "error" in data:
            raise PageError(str(data["error"]))
        return data["result"]

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        result = await self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in result:
            raise PageError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    async def until(self, script: str, seconds: float = 30) -> Any:
        """Wait until an expression is true; one that fails, as while a page is changing, is not."""
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(PageError):
                    if value := await self.run(script):
                        return value
                await asyncio.sleep(0.05)

    async def open(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def resize(self, width: int, height: int, scale: float = 1, *, mobile: bool = False) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    async def screenshot(self, path: Path, *, whole: bool = False) -> None:
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    """Start Chromium with a profile of its own, and give its page; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            address = await _debugger(Path(profile) / "DevToolsActivePort")
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(address, max_msg_size=0) as socket,
            ):
                yield await _attach(socket)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()
                process.wait()


async def _debugger(file: Path) -> str:
    async with asyncio.timeout(40):
        while not (file.is_file() and len(file.read_text().splitlines()) == 2):
            await asyncio.sleep(0.1)
    port, path = file.read_text().splitlines()
    return f"ws://127.0.0.1:{port}{path}"


async def _attach(socket: aiohttp.ClientWebSocketResponse) -> Page:
    async def ask(number: int, method: str, **params: Any) -> dict[str, Any]:
        await socket.send_json({"id": number, "method": method, "params": params})
        while (data := await socket.receive_json(timeout=30)).get("id") != number:
            pass
        return data["result"]

    targets = (await ask(1, "Target.getTargets"))["targetInfos"]
    target = next(t["targetId"] for t in targets if t["type"] == "page")
    attached = await ask(2, "Target.attachToTarget", targetId=target, flatten=True)
    page = Page(socket, attached["sessionId"])
    page.task = asyncio.create_task(page.listen())
    for domain in ("Page", "Runtime", "Log", "Network"):
        await page.send(f"{domain}.enable")
    return page
