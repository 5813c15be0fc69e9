"""With a token, and against requests that other sites make."""

from __future__ import annotations

import asyncio
import http.client
import logging
import re
import time
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
        assert (status, headers["Location"]) == (303, "login")
        assert [ask(sink, path)[0] for path in ("/login", "/page.css", "/icon.svg")] == [200] * 3
        assert log_in(sink, "wrong")[:2] == (303, "login#wrong")
        status, place, cookie = log_in(sink, TOKEN)
        assert (status, place) == (303, "./")
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


def test_guessing_is_slowed_down_and_said_once_and_locks_nobody_out(caplog, monkeypatch):
    monkeypatch.setattr("rpi_runtime.sinks.web.site._LATE_S", 0.1)
    with page(token=TOKEN) as (sink, _):
        begin = time.monotonic()
        tries = [ask(sink, "/metrics", Authorization=f"Bearer guess-number-{n:08d}")[0] for n in range(30)]
        assert tries == [401] * 30
        assert time.monotonic() - begin > 2, "each after the first five is answered late"
        assert sink._server._site.refused["guesses"] >= 20
        assert ask(sink, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200, (
            "behind a proxy it is another's"
        )
        assert log_in(sink, TOKEN)[:2] == (303, "./")
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


def ticket_of(sink, **headers):
    return ask(sink, "/ticket", **headers)[2].decode()


def test_a_page_behind_a_proxy_is_known_by_its_ticket():
    with page(token=TOKEN) as (sink, _):
        outside = {"Origin": "http://localhost:9999", "Content_Type": "application/x-www-form-urlencoded"}
        assert ask(sink, "/login", "POST", f"token={TOKEN}", **outside)[0] == 403
        form = ask(sink, "/login")[2].decode()
        place = re.search(r'action="(login\?ticket=[^"]+)"', form)[1]
        assert ask(sink, f"/{place}", "POST", f"token={TOKEN}", **outside)[0] == 303
        same = outside | {"Sec_Fetch_Site": "same-origin"}
        assert ask(sink, "/login", "POST", f"token={TOKEN}", **same)[0] == 303
        cookie = log_in(sink, TOKEN)[2].split(";")[0]
        assert ask(sink, "/ticket")[0] == 401
        ticket = ticket_of(sink, Cookie=cookie)
        for query, code in (("", 403), (f"?ticket={ticket}", 426), ("?ticket=wrong", 403)):
            assert ask(sink, f"/live{query}", Cookie=cookie, Origin="http://localhost:9999")[0] == code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://localhost:9999", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": "http://localhost:9999", "X_Forwarded_Host": "localhost:9999"}, 200),
        ({"Origin": "https://pose.example", "X_Forwarded_Host": "pose.example"}, 200),
        ({"Origin": "https://pose.example", "Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example", "X_Forwarded_Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "http://localhost:9999", "Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "null", "Sec_Fetch_Site": "same-origin"}, 403),
        ({"Host": "evil.example", "X_Forwarded_Host": "localhost"}, 421),
    ],
)
def test_what_a_proxy_may_change(headers, code):
    with page(names=("Pose.Example:8443",)) as (sink, _):
        assert ask(sink, "/healthz", **headers)[0] == code


def test_a_refusal_names_the_remedy():
    with page() as (sink, _):
        body = ask(sink, "/healthz", Origin="http://evil.example")[2].decode()
        assert "names =" in body
        assert "evil" not in body
