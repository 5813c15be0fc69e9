"""The only place that imports the HTTP library, when a page is started."""

from __future__ import annotations

from functools import cache
from typing import Any

from rpi_runtime.optional import load


@cache
def aiohttp() -> Any:
    """Return the package; raises `DependencyError` if it is not installed."""
    load("aiohttp.web", "the live page and its server")
    return load("aiohttp", "the live page and its server")
