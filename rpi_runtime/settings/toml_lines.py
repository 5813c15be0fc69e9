"""Find the line of a key in a TOML file, which the standard library's parser does not report."""

from __future__ import annotations

import re
from collections import Counter

# of a line without blanks around it; no part of a pattern may take what the next one takes, or long lines take for ever
_HEADER = re.compile(r"\[([\w.\s\"'-]+)\]\s*(?:#.*)?$")
_ARRAY = re.compile(r"\[\[([\w.\s\"'-]+)\]\]\s*(?:#.*)?$")
_KEY = re.compile(r"([\w\"'-]+(?:\s*\.\s*[\w\"'-]+)*)\s*=")
_INLINE = re.compile(r"[{,]\s*([\w-]+)\s*=")


def find_line(text: str, key: str) -> int:
    """Return the line, from 1, of a dotted key such as ``source.width`` or ``sink[1].max_mb``.

    For a missing key it is the line of the innermost table that exists, and 1 without such a table. A key
    in an inline table is found if it is on the line on which the table begins.
    """
    lines = _positions(text)
    while key:
        if key in lines:
            return lines[key]
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return 1


def _positions(text: str) -> dict[str, int]:
    """Return every header and key with the line on which it first appears."""
    found: dict[str, int] = {}
    counts: Counter[str] = Counter()
    prefix = ""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if match := _ARRAY.match(line):
            name = _clean(match[1])
            prefix = f"{name}[{counts[name]}]"
            counts[name] += 1
            found.setdefault(prefix, number)
        elif match := _HEADER.match(line):
            prefix = _clean(match[1])
            found.setdefault(prefix, number)
        elif match := _KEY.match(line):
            key = f"{prefix}.{_clean(match[1])}" if prefix else _clean(match[1])
            found.setdefault(key, number)
            for inner in _INLINE.findall(line[match.end() :]):
                found.setdefault(f"{key}.{inner}", number)
    return found


def _clean(name: str) -> str:
    return re.sub(r"[\s\"']", "", name)
