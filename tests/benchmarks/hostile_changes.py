"""Seeded changes of files: of their bytes, of the values in their texts, and of the way in which a text is written."""

from __future__ import annotations

import copy
import json
import random
import struct
from typing import Any

EXTREMES = (0, 1, -1, 2, 3, 255, 65535, 2**31 - 1, -(2**31), 1 << 24)
WORDS: tuple[Any, ...] = (
    None, True, "", "x" * 5000, "\x1b[31m", "\ud800", -1, 0, 1e308, -1e308, float("nan"), float("inf"), 10**30, 0.5,
    [], [[]], {}, [0] * 5000, {"kind": "paf"}, [[[[[[]]]]]],
)  # fmt: skip


def flip(rng: random.Random, data: bytes, first: int = 0) -> bytes:
    """Change some bytes or aligned words, cut the file, or double a part of it."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(first, len(changed) - 4)
        how = rng.randrange(4)
        if how == 0:
            changed[place] ^= 1 << rng.randrange(8)
        elif how == 1:
            changed[place] = rng.choice((0, 1, 127, 128, 255))
        elif how == 2:
            struct.pack_into("<I", changed, place & ~3, rng.choice(EXTREMES) & 0xFFFFFFFF)
        else:
            struct.pack_into("<I", changed, place & ~3, rng.randrange(2**32))
    if rng.random() < 0.05:
        del changed[rng.randrange(first, len(changed)) :]
    elif rng.random() < 0.05:
        start = rng.randrange(len(changed))
        changed[start:start] = changed[start : start + rng.randrange(1, 4096)]
    return bytes(changed)


def change_value(rng: random.Random, data: Any) -> Any:
    """Replace, remove or repeat something in parsed JSON, at any depth."""
    data = json.loads(json.dumps(data))
    for _ in range(rng.choice((1, 1, 2, 5))):
        node = data
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
                node = node[key]
                continue
            how = rng.random()
            if how < 0.7:
                node[key] = copy.deepcopy(rng.choice(WORDS))
            elif how < 0.85:
                del node[key]
            elif isinstance(node, list):
                node *= rng.choice((2, 50))
            else:
                node[str(rng.choice(WORDS))[:50]] = copy.deepcopy(node[key])
            break
    return data


def text_of(rng: random.Random, data: Any) -> bytes:
    """Write JSON, now and then nested without end, cut, or in another encoding."""
    text = json.dumps(change_value(rng, data))
    how = rng.random()
    if how < 0.03:
        return b"[" * 200_000
    if how < 0.06:
        return text.encode("utf-16")
    if how < 0.1:
        return flip(rng, text.encode() + b" " * 8)
    return text.encode(errors="replace")
