"""Token, cookie, names, cross-site requests, addresses and rates, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpi_runtime.errors import UsageError
from rpi_runtime.sinks.web.access import SESSION_S, Access, Names, check_token, is_cross_site
from rpi_runtime.sinks.web.address import Address, parse_address
from rpi_runtime.sinks.web.limits import RateLimit

TOKEN = "a-token-of-24-characters"


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


def test_a_cookie_is_good_until_it_expires_and_for_its_token_only():
    clock = Clock()
    access = Access(TOKEN, clock)
    cookie = access.new_cookie()
    assert access.cookie_is_right(cookie)
    assert Access(TOKEN, clock).cookie_is_right(cookie), "a restart logs nobody out"
    assert not Access(TOKEN + "2", clock).cookie_is_right(cookie)
    assert TOKEN not in cookie
    clock.now += SESSION_S + 1
    assert not access.cookie_is_right(cookie)


@given(st.text(max_size=80))
def test_no_other_text_is_a_cookie_or_a_token(text):
    access = Access(TOKEN)
    assert not access.cookie_is_right(text)
    assert access.token_is_right(text) == (text == TOKEN)
    assert not access.bearer_is_right(text)


def test_a_cookie_cannot_be_made_to_last_longer():
    access = Access(TOKEN)
    expires, _, signature = access.new_cookie().partition(".")
    assert not access.cookie_is_right(f"{int(expires) + 1}.{signature}")


def test_without_a_token_nothing_counts_as_one():
    access = Access("")
    assert access.is_open
    assert not access.token_is_right("")
    assert not access.bearer_is_right("Bearer ")


@pytest.mark.parametrize("header", [f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer  ", f"Bearer x{TOKEN}"])
def test_wrong_authorization_headers(header):
    assert not Access(TOKEN).bearer_is_right(header)
    assert Access(TOKEN).bearer_is_right(f"bearer {TOKEN}")


@pytest.mark.parametrize("token", ["short", "with a space in it, long", "x" * 201, "schlüssel-mit-umlaut"])
def test_weak_tokens_are_refused_and_not_repeated(token):
    with pytest.raises(UsageError, match="token: got") as caught:
        check_token(token, needed=False, where="127.0.0.1:8080")
    assert token not in str(caught.value)


def test_an_address_that_others_reach_needs_a_token():
    with pytest.raises(
        UsageError, match=r"0\.0\.0\.0:8080 can be reached from other machines.*PIPOSE_LIVE_TOKEN"
    ):
        check_token("", needed=True, where="0.0.0.0:8080")
    assert check_token("", needed=False, where="127.0.0.1:8080") == ""
    assert check_token(TOKEN, needed=True, where="0.0.0.0:8080") == TOKEN


@pytest.mark.parametrize(
    ("host", "loopback", "others"),
    [
        ("localhost:8080", True, True),
        ("127.0.0.1", True, True),
        ("[::1]:8080", True, True),
        ("192.168.1.7:8080", False, True),
        ("evil.example:8080", False, False),
        ("localhost.evil.example", False, False),
        ("", False, False),
        ("a b", False, False),
        ("[::1", False, False),
    ],
)
def test_names_by_which_the_server_answers(host, loopback, others):
    assert Names(is_loopback=True).knows(host) is loopback
    assert Names(is_loopback=False).knows(host) is others


def test_further_names_can_be_given():
    assert Names(is_loopback=True, more=("Pose.Example",)).knows("pose.example:443")


@pytest.mark.parametrize(
    ("headers", "cross"),
    [
        ({}, False),
        ({"Origin": "http://localhost:8080"}, False),
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "http://localhost:8081"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://[::1"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
    ],
)
def test_requests_of_other_sites(headers, cross):
    assert is_cross_site(headers, "localhost:8080") is cross


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080), True),
        ("localhost", Address("localhost", 8080), True),
        ("8081", Address("127.0.0.1", 8081), True),
        (":8081", Address("127.0.0.1", 8081), True),
        ("[::1]:8080", Address("::1", 8080), True),
        ("0.0.0.0:8080", Address("0.0.0.0", 8080), False),
        ("[::]:8080", Address("::", 8080), False),
        ("pi.local:80", Address("pi.local", 80), False),
    ],
)
def test_addresses(text, address, loopback):
    parsed = parse_address(text)
    assert (parsed, parsed.is_loopback) == (address, loopback)


@pytest.mark.parametrize(
    "text", ["", "a b", "host:99999", "host:port", "::1", "http://127.0.0.1", "a..b:80", ".", "a" * 64]
)
def test_wrong_addresses(text):
    with pytest.raises(UsageError, match="expected HOST:PORT"):
        parse_address(text)


def test_a_rate_is_for_each_address_and_refills():
    clock = Clock()
    rate = RateLimit(2.0, 3.0, clock)
    assert [rate.take("a") for _ in range(4)] == [True, True, True, False]
    assert rate.take("b")
    clock.now += 1
    assert [rate.take("a") for _ in range(3)] == [True, True, False]


def test_rates_forget_addresses_rather_than_grow():
    rate = RateLimit(1.0, 1.0, Clock())
    for number in range(5000):
        rate.take(str(number))
    assert len(rate._left) <= 1024
