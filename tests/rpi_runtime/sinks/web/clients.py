"""Requests and viewers for tests of the page."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

aiohttp = pytest.importorskip("aiohttp")


def ask(sink, path, method="GET", body=None, **headers):
    """One request; returns status, headers and body."""
    connection = http.client.HTTPConnection(urlsplit(sink.url).netloc, timeout=20)
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def frame_of(data):
    length = int.from_bytes(data[:4], "big")
    return json.loads(data[4 : 4 + length]), data[4 + length :]


async def look(sink, frames, confirm=True, **options):
    """Look at so many frames; returns hello, messages and pictures."""
    texts, seen = [], []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(sink.url + "live", max_msg_size=0, **options) as socket,
    ):
        while len(seen) < frames:
            message = await socket.receive(timeout=20)
            if message.type == aiohttp.WSMsgType.TEXT:
                texts.append(json.loads(message.data))
            elif message.type == aiohttp.WSMsgType.BINARY:
                seen.append(frame_of(message.data))
                if confirm:
                    await socket.send_str(str(seen[-1][0]["frame"]))
            else:
                break
    return texts, seen
