"""Access control: the token, the cookie that stands for it, and the host names that the server answers.

The page is for one household, so there is one token and no accounts. A browser sends it once, in the body of a form,
and gets a cookie: an expiry date signed with a key that is derived from the token. Therefore the token is in no URL,
sessions survive a restart, and a new token ends all sessions. Programs send ``Authorization: Bearer TOKEN``.

Two attacks come through a visitor's own browser. DNS rebinding: a foreign page calls this server by a host name of its
own that points here. The Host header reveals it, because only IP addresses and this machine's names are answered.
Cross-site requests and WebSockets: a foreign page calls this server by its right name. The Origin and Sec-Fetch-Site
headers reveal it. Source: OWASP, WebSocket Security Cheat Sheet and Cross-Site Request Forgery
Prevention Cheat Sheet; W3C, Fetch Metadata Request Headers.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from rpi_runtime.errors import UsageError

COOKIE = "pipose_session"
SESSION_S = 30 * 24 * 3600
LEAST_TOKEN = 16
_MAKE_ONE = "python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"


def check_token(token: str, *, needed: bool, where: str) -> str:
    """Return the token of the page; empty if none is needed.

    Parameters
    ----------
    token : str
    needed : bool
        Whether other machines can reach the page.
    where : str
        The address, for messages.

    Raises
    ------
    UsageError
        A token is needed and missing, or too short to withstand guessing. The message does not contain the token.
    """
    if not token and needed:
        raise UsageError(
            f"{where} can be reached from other machines, so it needs a token: set PIPOSE_LIVE_TOKEN, "
            "or token = in a configuration file",
            remedy=f"{_MAKE_ONE} makes one",
            key="target",
        )
    if token and not re.fullmatch(rf"[\x21-\x7e]{{{LEAST_TOKEN},200}}", token):
        raise UsageError(
            f"got {len(token)} characters, expected {LEAST_TOKEN} to 200 without spaces, ASCII",
            remedy=f"{_MAKE_ONE} makes one",
            key="token",
        )
    return token


class Access:
    """Checks tokens and cookies, in constant time.

    Parameters
    ----------
    token : str
        If empty, every client that can reach the page may look.
    clock : callable
        Returns seconds since 1970.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        self._token, self._clock = token.encode(), clock
        self._key = hashlib.sha256(b"pipose live session\0" + self._token).digest()
        self._ticket = secrets.token_urlsafe(24)

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return not self._token

    def token_is_right(self, given: str) -> bool:
        """Whether `given` is the token."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token) and not self.is_open

    def bearer_is_right(self, header: str) -> bool:
        """Whether an ``Authorization`` header holds the token."""
        scheme, _, given = header.partition(" ")
        return self.token_is_right(given.strip()) and scheme.lower() == "bearer"

    @property
    def ticket(self) -> str:
        """What only a page of this server can have read: no other site can, so it stands for the right Origin.

        A reverse proxy may change the Host header, and then it is not the Origin's any more.
        """
        return self._ticket

    def ticket_is_right(self, given: str) -> bool:
        """Whether `given` is this process's ticket."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._ticket.encode())

    def new_cookie(self) -> str:
        """Return the value of a cookie that is valid for `SESSION_S`."""
        expires = str(int(self._clock()) + SESSION_S)
        return f"{expires}.{self._sign(expires)}"

    def cookie_is_right(self, value: str) -> bool:
        """Whether a cookie was signed with this token and has not expired."""
        expires, _, signature = value.partition(".")
        signed = hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(expires).encode())
        return signed and re.fullmatch(r"\d{1,12}", expires) is not None and int(expires) > self._clock()

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


class Names:
    """The names by which this server answers.

    Parameters
    ----------
    is_loopback : bool
        Whether the server listens on loopback only; then only loopback's names are accepted.
    more : sequence of str
        Further names, without port, for example those of a reverse proxy.
    """

    def __init__(self, *, is_loopback: bool, more: Sequence[str] = ()) -> None:
        self._is_loopback = is_loopback
        self._names = {"localhost", *(re.sub(r":\d+$", "", name.lower()) for name in more)}
        if not is_loopback:
            own = socket.gethostname().lower().split(".")[0]
            self._names |= {own, f"{own}.local", f"{own}.lan", f"{own}.home", f"{own}.fritz.box"}

    def knows(self, host: str) -> bool:
        """Whether a ``Host`` header names this server."""
        match = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:/@\s]+))(?::\d{1,5})?", host.lower())
        if match is None:
            return False
        name = match[1] or match[2]
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name.removesuffix(".") in self._names
        return address.is_loopback or not self._is_loopback or name in self._names


def is_cross_site(headers: Mapping[str, str], host: str) -> bool:
    """Whether another site's page made this request; programs, which send neither header, are not.

    Behind a proxy that changes the Host header the Origin differs from it although the page is ours. A browser's
    own word, which no page can forge, then counts: it says ``same-origin``.
    """
    site = headers.get("Sec-Fetch-Site", "")
    if site not in ("", "none", "same-origin"):
        return True
    origin = origin_of(headers)
    if origin is None:
        return False
    return origin != host.lower() and not (origin and site == "same-origin")


def origin_of(headers: Mapping[str, str]) -> str | None:
    """Return host and port of the ``Origin`` header; empty for one that names none, None without the header."""
    origin = headers.get("Origin")
    if origin is None:
        return None
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
