"""What the server answers, over real connections on loopback."""

from __future__ import annotations

import http.client
import io
import json
import re
import time
from dataclasses import replace
from urllib.parse import urlsplit

import jsonschema
import pytest
from PIL import Image

from rpi_runtime.sinks.message import schema
from rpi_runtime.sinks.web.assets import load_assets
from tests.rpi_runtime.sinks.mqtt.mosquitto import wait_for
from tests.rpi_runtime.sinks.web.clients import ask
from tests.rpi_runtime.sinks.web.serving import Feeder, make_people, page

aiohttp = pytest.importorskip("aiohttp")


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
    sample = re.compile(r'(?:pipose|process)_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+')
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not sample.fullmatch(line)] == []
    declared = set(re.findall(r"# TYPE (\S+) (?:counter|gauge|histogram)", text))
    assert {re.sub(r"_(sum|count|bucket)$", "", re.split(r"[ {]", line)[0]) for line in lines} <= declared
    assert "pipose_temperature_celsius 61.5" in lines
    assert 'pipose_stage_seconds_count{stage="infer"} 1' in lines
    assert 'pipose_stage_seconds_bucket{stage="infer",le="+Inf"} 1' in lines
    assert any(line.startswith('pipose_build_info{version="') for line in lines)
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
    assert 0 < time.time() - values["process_start_time_seconds"] < 24 * 3600
    assert values["process_resident_memory_bytes"] < values["process_virtual_memory_bytes"]
    assert 0 < values["process_open_fds"] < values["process_max_fds"]


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


def test_a_stop_while_another_program_reads_pictures(caplog: pytest.LogCaptureFixture):
    with page() as (sink, _), Feeder(sink):
        connection = http.client.HTTPConnection(urlsplit(sink.url).netloc, timeout=20)
        connection.request("GET", "/stream.mjpg")
        assert connection.getresponse().readline().startswith(b"--")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    connection.close()
