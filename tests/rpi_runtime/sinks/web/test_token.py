"""With a token, and against requests that other sites make."""

from __future__ import annotations

import asyncio
import http.client
import logging
from urllib.parse import urlsplit

import pytest

from tests.rpi_runtime.sinks.web.clients import ask
from tests.rpi_runtime.sinks.web.serving import TOKEN, make_people, page

aiohttp = pytest.importorskip("aiohttp")


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
