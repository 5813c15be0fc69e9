"""The live page behind a real proxy."""

from __future__ import annotations

import shutil
import subprocess
import time

from tests.benchmarks.field.world import (
    SkippedError,
    World,
    case,
    ending,
    need,
    wait_for,
)


@case
def proxy(world: World) -> str:
    """Case 23: a real nginx in front, with the case's five ways."""
    nginx = shutil.which("nginx")
    if nginx is None or shutil.which("openssl") is None:
        raise SkippedError("no nginx or openssl")
    files = f"-keyout {world.folder}/c.key -out {world.folder}/c.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost {files}"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    conf = world.folder / "nginx.conf"
    conf.write_text((world.case(23) / "nginx.conf").read_text().replace("$WORK", str(world.folder)))
    token = "abcdefghijklmnopqrstuvwxyz"
    source = f"video:{world.film()},loop=yes"
    live = world.begin(
        "live",
        "--model",
        world.model,
        "--source",
        source,
        "--listen",
        "127.0.0.1:18770",
        PIPOSE_LIVE_TOKEN=token,
    )
    with (
        ending(live),
        ending(subprocess.Popen([nginx, "-c", str(conf)], stderr=subprocess.DEVNULL, text=True)),
    ):
        need(wait_for(lambda: "live page" in world.log), world.log)
        time.sleep(1)
        seen = [_visit(url, token) for url in (
            "http://localhost:18771/", "http://localhost:18772/", "http://localhost:18773/",
            "http://localhost:18774/pose/", "https://localhost:18775/",
        )]  # fmt: skip
    return "; ".join(seen)


def _visit(url: str, token: str) -> str:
    """What a browser does: the form, the login, the page's files, the WebSocket with its ticket."""
    import asyncio
    import re
    import ssl
    from urllib.parse import urljoin, urlsplit

    import aiohttp

    async def visit() -> str:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        parts = urlsplit(url)
        origin = {"Origin": f"{parts.scheme}://{parts.netloc}"}
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as session:
            async with session.get(url) as answer:
                page, form = str(answer.url), await answer.text()
            action = re.search(r'action="([^"]+)"', form)
            need(action is not None, f"{url}: no form, {form[:80]}")
            assert action is not None
            place = urljoin(page, action[1])
            quiet = {
                "headers": origin,
                "allow_redirects": False,
            }  # a browser sends no Origin after a redirect
            for _ in range(6):
                async with session.post(place, data={"token": "wrong-wrong-wrong"}, **quiet):
                    pass
            async with session.post(place, data={"token": token}, **quiet) as answer:
                need(answer.status == 303, f"{url}: login {answer.status}")
                page = urljoin(place, answer.headers["Location"])
            async with session.get(page) as answer:
                need(answer.status == 200, f"{page}: {answer.status}")
                index = await answer.text()
            for file in ("page.js", "link.js", "icon.svg"):
                async with session.get(urljoin(page, file)) as answer:
                    need(answer.status == 200, f"{url}: {file} {answer.status}")
            need('src="page.js"' in index, "the page's links are absolute")
            async with session.get(urljoin(page, "ticket")) as answer:
                ticket = await answer.text()
            async with session.ws_connect(
                urljoin(page, f"live?ticket={ticket}"), headers=origin, max_msg_size=0
            ) as wire:
                hello = await asyncio.wait_for(wire.receive(), 10)
                need(hello.type == aiohttp.WSMsgType.TEXT, f"{url}: WebSocket {hello.type}")
        return f"{parts.port} all fine"

    return asyncio.run(visit())
