"""Viewers: frames in step, encoded once, lost by the slow."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import jsonschema
import pytest
from PIL import Image

from rpi_runtime.sinks.message import schema
from tests.rpi_runtime.sinks.web.clients import look
from tests.rpi_runtime.sinks.web.serving import Feeder, page

aiohttp = pytest.importorskip("aiohttp")


def test_picture_and_people_of_a_frame_come_together():
    with page() as (sink, _), Feeder(sink):
        texts, seen = asyncio.run(look(sink, 20))
    assert [text["type"] for text in texts[:2]] == ["hello", "status"]
    assert texts[0]["edges"] == [["k0", "k1"]]
    assert (texts[1]["celsius"], texts[1]["state"]) == (61.5, "running")
    frames = [message["frame"] for message, _ in seen]
    assert frames == sorted(set(frames))
    for message, jpeg in seen:
        jsonschema.validate(message, schema())
        picture = Image.open(io.BytesIO(jpeg)).convert("L")
        for person in message["people"]:
            for x, y, _ in person["keypoints"].values():
                assert picture.getpixel((int(x), int(y))) > 90, "a keypoint lies on its disc"


def test_a_picture_is_encoded_once_for_all_viewers():
    async def all_look(sink):
        return await asyncio.gather(*(look(sink, 30) for _ in range(6)))

    with page() as (sink, _), Feeder(sink):
        shown = asyncio.run(all_look(sink))
        counts = sink._hub.counts
        assert all(len(seen) == 30 for _, seen in shown)
        assert counts["encoded"] <= counts["results"]
        assert counts["sent"] >= 180
        assert counts["encoded"] < counts["sent"] / 2


def test_pictures_are_limited_however_fast_the_pipeline_is():
    with page(fps=5.0) as (sink, _), Feeder(sink, fps=100) as feeder:
        before = feeder.frames
        asyncio.run(look(sink, 6))
        assert feeder.frames - before > 30
        assert sink._hub.counts["encoded"] <= 8


def test_a_viewer_that_stalls_loses_frames_and_holds_up_nobody():
    async def scene(sink):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(sink.url + "live", max_msg_size=0) as stalled,
        ):
            await stalled.receive(timeout=20)
            _, seen = await look(sink, 40)
            await asyncio.sleep(0.3)
            binary = 0
            while True:
                try:
                    message = await stalled.receive(timeout=1.5)
                except TimeoutError:
                    break
                binary += message.type == aiohttp.WSMsgType.BINARY
            return len(seen), binary

    with page() as (sink, _), Feeder(sink):
        seen, binary = asyncio.run(scene(sink))
    assert (seen, binary) == (40, 2), "two on the way, not one more"


@pytest.mark.parametrize("text", ["999999", "next", "", "1" * 60])
def test_anything_but_a_confirmation_ends_the_connection(text):
    async def scene(sink):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(sink.url + "live", max_msg_size=0) as socket,
        ):
            await socket.send_str(text)
            while (await socket.receive(timeout=20)).type in (
                aiohttp.WSMsgType.TEXT,
                aiohttp.WSMsgType.BINARY,
            ):
                pass
            return socket.close_code

    with page() as (sink, _), Feeder(sink):
        assert asyncio.run(scene(sink)) == 1008


async def connect_when_free(session: Any, url: str) -> Any:
    """Connect; the server notices a moment after the client that a viewer has left."""
    for _ in range(100):
        try:
            return await session.ws_connect(url, max_msg_size=0)
        except aiohttp.WSServerHandshakeError:
            await asyncio.sleep(0.05)
    raise AssertionError("the place of a viewer that left was not free after 5 s")


def test_viewers_are_limited_and_the_next_one_gets_in_when_one_leaves():
    async def scene(sink):
        async with aiohttp.ClientSession() as session:
            first = await session.ws_connect(sink.url + "live", max_msg_size=0)
            second = await session.ws_connect(sink.url + "live", max_msg_size=0)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(sink.url + "live")
            await first.close()
            third = await connect_when_free(session, sink.url + "live")
            await second.close()
            await third.close()
            return refused.value.status

    with page(viewers=2) as (sink, _):
        assert asyncio.run(scene(sink)) == 503
