"""Addresses without their passwords: what may be printed of a text that can hold a camera's URL.

A camera's password stands in many places of a URL: before the host, in the query, in a path such as
``/user=admin_password=secret_channel=1``, and as a random path that is itself the password. Passwords hold ``@``,
``/`` and ``:`` although RFC 3986 wants them escaped, and people mistype the part before the host. No list of key
words covers that, so the rule is the other way round: only what is plainly harmless is shown, which is the scheme,
the host, the port and plain words of the path.
"""

from __future__ import annotations

import re

HIDDEN = "***"

# A scheme with at least one of ":" and "//" behind it, up to the end of the line; what follows decides where it ends.
_ADDRESS = re.compile(
    r"(?P<scheme>\b(?:rtsps?|rtspu|rtspt|rtmps?|rtmpe|rtmpt|https?|ftps?|sftp|mms[ht]?|srt|rist|tcp|tls|udp|rtp|file|"
    r"mqtts?|wss?|onvif|[a-z][a-z0-9+.-]{0,15}(?=://)))(?P<mark>:/{0,3}|/{2,3})(?P<rest>[^\n<>|]*)",
    re.IGNORECASE,
)
_LOGIN_ALONE = re.compile(r"(?P<before>^|[\s\"'(=,:/])(?P<login>[^\s:@/\"'(=*]+:(?!/)[^\s]*@)(?=[\w\[])")
_KEYED = re.compile(
    r"(?P<key>(?:pass(?:word|wd|phrase)?|pwd|token|secret|api_?key)=|\bbearer )(?P<value>[^\s,;&]+)",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[\w.-]+)(?::(?P<port>\d{1,5}))?(?=$|[/?#])")
_PLAIN = re.compile(r"[A-Za-z0-9._~+-]{1,40}")
_LIKELY_LOGINS = ("admin", "root", "user", "guest", "operator", "service")


def mask(text: str) -> str:
    """Return a text with every address in it cut down to what is harmless.

    Parameters
    ----------
    text : str
        A message, a URL, a line of a log: anything.

    Returns
    -------
    str
        The same text; of each URL the scheme, host, port and plain path are left, and ``***`` stands for
        the rest. A login without a scheme (``admin:secret@camera``) and the value behind a word such as
        ``password=`` are hidden too. Masking twice changes nothing.
    """
    if ":" not in text and "=" not in text and "//" not in text:
        return text
    return _mask_keys(_LOGIN_ALONE.sub(rf"\g<before>{HIDDEN}@", _ADDRESS.sub(_mask_match, text)))


def mask_address(target: str) -> str:
    """Return a target that is known to be one address, blanks and all, as `mask` shows it."""
    found = _ADDRESS.match(target.strip())
    if found is None:
        return mask(target)
    _, at, place = found["rest"].rpartition("@")
    shown, end = _mask_place(place)
    return f"{found['scheme']}{found['mark']}{HIDDEN + at if at else ''}{shown}{HIDDEN if end else ''}"


def _mask_keys(text: str) -> str:
    return _KEYED.sub(lambda m: m["key"] + HIDDEN, text)


def _mask_match(found: re.Match[str]) -> str:
    """One address inside a text: a login up to the last ``@`` of its first word, host, path, and what follows."""
    word, blank, more = _first_word(found["rest"])
    _, at, place = word.rpartition("@")
    if not at and _HOST.match(word) is None and "@" in more:  # a password with a blank in it
        _, at, place = found["rest"].rpartition("@")
        place, blank, more = _first_word(place)
    shown, left = _mask_place(place)
    return f"{found['scheme']}{found['mark']}{HIDDEN + at if at else ''}{shown}{left}{blank}{mask(more)}"


def _first_word(text: str) -> tuple[str, str, str]:
    """The text before its first blank, the blank, and the rest."""
    word, blank, more = re.match(r"(\S*)(\s*)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    return word, blank, more


def _mask_place(place: str) -> tuple[str, str]:
    """Host, port and path as they may be shown, and the punctuation of the sentence behind them."""
    body, end = re.match(r"(.*?)([:,;.)\"']*)$", place, re.DOTALL).groups()  # type: ignore[union-attr]
    host = _HOST.match(body)
    if host is None or not _is_port(host["port"], host["host"]):
        return HIDDEN if body else "", end
    return host[0] + _mask_path(body[host.end() :]), end


def _is_port(port: str | None, host: str) -> bool:
    """Whether the digits behind a host are a port, and not the password of ``rtsp://admin:1234``."""
    return port is None or (int(port) <= 65535 and host.lower() not in _LIKELY_LOGINS)


def _mask_path(path: str) -> str:
    """The path as far as it consists of plain words; a query or fragment never."""
    plain, mark, _ = re.match(r"([^?#]*)([?#]?)(.*)", path, re.DOTALL).groups()  # type: ignore[union-attr]
    words = plain.split("/")
    shown = [w if not w or (_PLAIN.fullmatch(w) and not _is_random(w)) else HIDDEN for w in words]
    return "/".join(shown) + (mark + HIDDEN if mark else "")


def _is_random(word: str) -> bool:
    """Whether a word of a path looks like a key: long, without a separator, letters and digits mixed."""
    changes = len(re.findall(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", word))
    return len(word) >= 12 and not re.search(r"[._~+-]", word) and (changes >= 3 or len(word) >= 32)
