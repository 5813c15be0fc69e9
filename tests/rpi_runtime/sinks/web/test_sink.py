"""The sink and the command: starting, stopping, options."""

from __future__ import annotations

import asyncio
import http.client
import re
import ssl
import sys
from urllib.parse import urlsplit

import pytest

from rpi_runtime.commands.live import with_page
from rpi_runtime.errors import DependencyError, OutputError, UsageError
from rpi_runtime.settings.run_config import load_config, sink_config
from rpi_runtime.sinks.web.library import aiohttp as aiohttp_of_the_page
from rpi_runtime.sinks.web.sink import WebOptions, WebSink
from tests.rpi_runtime.results import ABOUT
from tests.rpi_runtime.sinks.mqtt.mosquitto import make_authority
from tests.rpi_runtime.sinks.web.serving import TOKEN, page

aiohttp = pytest.importorskip("aiohttp")


def test_an_address_in_use_is_an_error_with_a_remedy():
    with page() as (sink, _):
        other = WebSink(WebOptions(target=urlsplit(sink.url).netloc))
        with pytest.raises(OutputError, match=r"cannot be bound .*choose another port, as in --listen"):
            other.open(ABOUT)


def test_viewers_are_told_when_the_server_stops():
    async def scene(sink):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(sink.url + "live", max_msg_size=0) as socket,
        ):
            await socket.receive(timeout=20)
            stop = asyncio.create_task(asyncio.to_thread(sink.close))
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
            await asyncio.to_thread(sink.close)
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
        ("aiohttp", "web:127.0.0.1:0", "-m pip install 'aiohttp>=3.11'"),
        ("paho", "mqtt:127.0.0.1", "-m pip install 'paho-mqtt>=2.1'"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(package, sink, line, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    aiohttp_of_the_page.cache_clear()
    made = sink_config(sink).make()
    with pytest.raises(DependencyError, match=re.escape(line)):
        made.open(ABOUT)
    monkeypatch.undo()
    aiohttp_of_the_page.cache_clear()


def test_https_with_a_certificate_of_ones_own(tmp_path):
    ca, certificate, key = make_authority(tmp_path)
    with page(token=TOKEN, cert_file=str(certificate), key_file=str(key)) as (sink, _):
        assert sink.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=ca)
        connection = http.client.HTTPSConnection(
            "localhost", urlsplit(sink.url).port, context=context, timeout=20
        )
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/login", f"token={TOKEN}", form)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert (answer.status, answer.getheader("Location")) == (303, "./")
        assert "Secure" in answer.getheader("Set-Cookie")


def test_a_certificate_that_cannot_be_used_is_an_error(tmp_path):
    sink = WebSink(WebOptions(target="127.0.0.1:0", cert_file=str(tmp_path / "no.pem"), key_file="no.key"))
    with pytest.raises(OutputError, match=r"no\.pem and key no\.key cannot be used"):
        sink.open(ABOUT)
