"""What the server answers, over real connections on loopback."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import logging
import re
import sys
from dataclasses import replace
from urllib.parse import urlsplit

import jsonschema
import pytest
from PIL import Image

from rpi_runtime.config import load_config, sink_config
from rpi_runtime.errors import DependencyError, OutputError, UsageError
from rpi_runtime.live.assets import load_assets
from rpi_runtime.live.command import with_page
from rpi_runtime.live.library import aiohttp as aiohttp_of_the_page
from rpi_runtime.sinks.message import schema
from rpi_runtime.sinks.web import WebOptions, WebSink
from tests.rpi_runtime.live.serving import TOKEN, Feeder, make_people, page
from tests.rpi_runtime.results import ABOUT
from tests.rpi_runtime.sinks.mosquitto import wait_for

aiohttp = pytest.importorskip("aiohttp")


def ask(sink, path, method="GET", body=None, **headers):
    """One request; returns status, headers and body."""
    connection = http.client.HTTPConnection(urlsplit(sink.url).netloc, timeout=20)
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def test_the_page_and_its_files_come_with_their_headers():
    with page() as (sink, _):
        for path in (
            "/",
            "/login",
            "/page.css",
            "/icon.svg",
            "/page.js",
            "/link.js",
            "/stage.js",
            "/panel.js",
        ):
            status, headers, body = ask(sink, path)
            assert (status, bool(body)) == (200, True), path
            assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Server"] == "pipose"


def test_the_page_asks_nobody_else_for_anything():
    for name, (content, _) in load_assets().items():
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[\w-]+\.", text), name
        assert not re.search(r"\son\w+=|style=|<script>|javascript:", text), f"{name}: the policy forbids it"


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fpyproject.toml",
        "//etc/passwd",
        "/page/index.html",
        "/index.html",
        "/site.py",
        "/page.js/../site.py",
        "/page.js%00.html",
        "/.git/config",
        "/static/",
    ],
)
def test_no_other_file_is_served(path):
    with page() as (sink, _):
        status, headers, body = ask(sink, path)
        assert status in (400, 404)
        assert b"root:" not in body and b"import" not in body
        if status == 404:
            assert "Content-Security-Policy" in headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
def test_other_methods_are_refused(method):
    with page() as (sink, _):
        assert ask(sink, "/", method)[0] in (400, 405)


def test_health_and_readiness():
    with page() as (sink, run):
        assert ask(sink, "/healthz")[0] == 200
        assert ask(sink, "/readyz")[0] == 503
        sink.write(make_people(0, 1, image=False))
        assert ask(sink, "/readyz")[0] == 200
        run.status = replace(run.status, state="lost")
        assert wait_for(lambda: ask(sink, "/readyz")[0] == 503, 5)
        assert ask(sink, "/healthz")[0] == 200


def test_poses_and_schema():
    with page() as (sink, _):
        assert ask(sink, "/api/poses")[0] == 503
        sink.write(make_people(7, 2, image=False))
        status, headers, body = ask(sink, "/api/poses")
        assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
        message = json.loads(body)
        jsonschema.validate(message, schema())
        assert (message["frame"], len(message["people"])) == (7, 2)
        assert json.loads(ask(sink, "/api/schema")[2]) == schema()


def test_metrics_are_in_the_format_of_prometheus():
    with page() as (sink, _):
        sink.write(make_people(0, 1, image=False))
        status, headers, body = ask(sink, "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    text = body.decode()
    sample = re.compile(r'pipose_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+')
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not sample.fullmatch(line)] == []
    declared = set(re.findall(r"# TYPE (\S+) (?:counter|gauge|summary)", text))
    assert {re.sub(r"_(sum|count)$", "", re.split(r"[ {]", line)[0]) for line in lines} <= declared
    assert "pipose_temperature_celsius 61.5" in lines
    assert 'pipose_stage_seconds_count{stage="infer"} 1' in lines


def test_nothing_is_encoded_without_a_viewer():
    with page() as (sink, _), Feeder(sink) as feeder:
        assert wait_for(lambda: feeder.frames > 20)
        assert not sink.wants_image
        assert sink._hub.counts["encoded"] == 0


def test_mjpeg_for_other_programs():
    with page() as (sink, _), Feeder(sink):
        connection = http.client.HTTPConnection(urlsplit(sink.url).netloc, timeout=20)
        connection.request("GET", "/stream.mjpg")
        answer = connection.getresponse()
        assert answer.getheader("Content-Type").startswith("multipart/x-mixed-replace; boundary=")
        sizes = []
        for _ in range(3):
            assert answer.readline().startswith(b"--")
            head = dict(line.split(b": ") for line in iter(lambda: answer.readline().strip(), b""))
            picture = answer.read(int(head[b"Content-Length"]))
            sizes.append(Image.open(io.BytesIO(picture)).size)
            answer.readline()
        connection.close()
        assert sizes == [(320, 240)] * 3
        assert wait_for(lambda: not sink.wants_image), "the viewer has gone"


# WebSocket


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


def test_viewers_are_limited_and_the_next_one_gets_in_when_one_leaves():
    async def scene(sink):
        async with aiohttp.ClientSession() as session:
            first = await session.ws_connect(sink.url + "live", max_msg_size=0)
            second = await session.ws_connect(sink.url + "live", max_msg_size=0)
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(sink.url + "live")
            await first.close()
            third = await session.ws_connect(sink.url + "live", max_msg_size=0)
            await second.close()
            await third.close()
            return refused.value.status

    with page(viewers=2) as (sink, _):
        assert asyncio.run(scene(sink)) == 503


# Token


def log_in(sink, token):
    status, headers, _ = ask(
        sink, "/login", "POST", f"token={token}", Content_Type="application/x-www-form-urlencoded"
    )
    return status, headers.get("Location"), headers.get("Set-Cookie", "")


def test_with_a_token_everything_but_the_form_needs_it(caplog):
    caplog.set_level(logging.DEBUG)
    paths = [
        "/page.js",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/poses",
        "/api/schema",
        "/stream.mjpg",
        "/live",
    ]
    with page(token=TOKEN) as (sink, _):
        assert [ask(sink, path)[0] for path in [*paths, "/nothing"]] == [401] * 9
        status, headers, _ = ask(sink, "/")
        assert (status, headers["Location"]) == (303, "/login")
        assert [ask(sink, path)[0] for path in ("/login", "/page.css", "/icon.svg")] == [200] * 3
        assert log_in(sink, "wrong")[:2] == (303, "/login#wrong")
        status, place, cookie = log_in(sink, TOKEN)
        assert (status, place) == (303, "/")
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
        assert ask(sink, "/", Cookie=cookie.split(";")[0])[0] == 200
        assert ask(sink, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert ask(sink, f"/metrics?token={TOKEN}")[0] == 401, "never in a URL"
    assert TOKEN not in caplog.text


def test_a_websocket_needs_the_cookie_and_the_right_origin():
    async def code(sink, **headers):
        async with aiohttp.ClientSession() as session:
            try:
                socket = await session.ws_connect(sink.url + "live", headers=headers)
            except aiohttp.WSServerHandshakeError as err:
                return err.status
            await socket.close()
            return 101

    with page(token=TOKEN) as (sink, _):
        cookie = log_in(sink, TOKEN)[2].split(";")[0]
        assert asyncio.run(code(sink)) == 401
        assert asyncio.run(code(sink, Cookie=cookie)) == 101
        assert asyncio.run(code(sink, Cookie=cookie, Origin=sink.url.rstrip("/"))) == 101
        assert asyncio.run(code(sink, Cookie=cookie, Origin="http://evil.example")) == 403
        assert asyncio.run(code(sink, Cookie=cookie, Host="evil.example")) == 421


def test_other_sites_and_other_names_are_refused():
    with page() as (sink, _):
        sink.write(make_people(0, 1, image=False))
        assert ask(sink, "/api/poses", Host="evil.example")[0] == 421
        assert ask(sink, "/api/poses", Sec_Fetch_Site="cross-site")[0] == 403
        assert ask(sink, "/stream.mjpg", Sec_Fetch_Site="cross-site")[0] == 403
        assert ask(sink, "/login", "POST", "token=x", Origin="http://evil.example")[0] == 403
        assert ask(sink, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200


def test_guessing_is_slowed_down_and_said_once(caplog):
    with page(token=TOKEN) as (sink, _):
        tries = [ask(sink, "/metrics", Authorization=f"Bearer guess-number-{n:08d}")[0] for n in range(30)]
        assert tries == [401] * 30
        assert sink._server._site.refused["wrong_token"] <= 6
        assert ask(sink, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 401, "not even the right one now"
    assert caplog.text.count("sent wrong tokens") == 1
    assert "guess-number" not in caplog.text


def test_requests_are_limited_by_address():
    with page() as (sink, _):
        connection = http.client.HTTPConnection(urlsplit(sink.url).netloc, timeout=20)
        codes = []
        for _ in range(400):
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
            codes.append(answer.status)
        connection.close()
    assert set(codes) == {200, 429}
    assert codes[:150] == [200] * 150


# Start and stop


def test_an_address_in_use_is_an_error_with_a_remedy():
    with page() as (sink, _):
        other = WebSink(WebOptions(target=urlsplit(sink.url).netloc))
        with pytest.raises(OutputError, match=r"cannot be bound .*choose another port, as in --listen"):
            other.start(ABOUT)
        other.stop()


def test_viewers_are_told_when_the_server_stops():
    async def scene(sink):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(sink.url + "live", max_msg_size=0) as socket,
        ):
            await socket.receive(timeout=20)
            stop = asyncio.create_task(asyncio.to_thread(sink.stop))
            while (await socket.receive(timeout=20)).type == aiohttp.WSMsgType.TEXT:
                pass
            await stop
            return socket.close_code

    with page() as (sink, _):
        assert asyncio.run(scene(sink)) == 1001


def test_a_viewer_that_does_not_listen_does_not_hold_up_the_stop():
    async def scene(sink):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(sink.url + "live", max_msg_size=0) as socket,
        ):
            await socket.receive(timeout=20)
            await asyncio.to_thread(sink.stop)
            return sink._server._thread.is_alive()

    with page() as (sink, _):
        assert asyncio.run(scene(sink)) is False


def test_a_page_without_a_token_listens_on_loopback_only(monkeypatch):
    monkeypatch.delenv("PIPOSE_LIVE_TOKEN", raising=False)
    with pytest.raises(UsageError, match="needs a token"):
        WebSink(WebOptions(target="0.0.0.0:8080"))
    monkeypatch.setenv("PIPOSE_LIVE_TOKEN", TOKEN)
    assert WebSink(WebOptions(target="0.0.0.0:8080")).name == "web:0.0.0.0:8080"
    assert TOKEN not in repr(WebOptions(token=TOKEN))


def test_a_token_is_refused_on_the_command_line():
    with pytest.raises(UsageError, match=r"token: refused on a command line.*PIPOSE_LIVE_TOKEN"):
        load_config(None, {"model": ["m.tflite"], "sink": [f"web:127.0.0.1:8080,token={TOKEN}"]})


@pytest.mark.parametrize(
    ("settings", "listen", "sinks"),
    [
        ({}, None, ["127.0.0.1:8080"]),
        ({}, "127.0.0.1:9000", ["127.0.0.1:9000"]),
        ({"sink": ["jsonl:-"]}, None, ["-", "127.0.0.1:8080"]),
        ({"sink": ["web:127.0.0.1:9000"]}, None, ["127.0.0.1:9000"]),
        ({"sink": ["web:127.0.0.1:9000"]}, "127.0.0.1:9001", ["127.0.0.1:9001"]),
    ],
)
def test_the_command_adds_the_page(settings, listen, sinks):
    given = {"model": ["m.tflite"], "source": "walk.mp4"} | settings
    default = f"web:{listen}" if listen else "web"
    config = with_page(load_config(None, given, default_sink=default), listen)
    assert [sink.options.target for sink in config.sink] == sinks
    assert config.source.paced, "a file is played at its own speed"


def test_the_page_wants_larger_pictures_than_the_network():
    config = load_config(None, {"model": ["m.tflite"], "sink": ["web"]})
    assert config.sink[0].shows


@pytest.mark.parametrize(
    ("package", "sink", "line"),
    [
        ("aiohttp", "web:127.0.0.1:0", "run: pip install aiohttp"),
        ("paho", "mqtt:127.0.0.1", "run: pip install 'paho-mqtt>=2'"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(package, sink, line, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    aiohttp_of_the_page.cache_clear()
    made = sink_config(sink).make()
    with pytest.raises(DependencyError, match=re.escape(line)):
        made.start(ABOUT)
    made.stop()
    monkeypatch.undo()
    aiohttp_of_the_page.cache_clear()
