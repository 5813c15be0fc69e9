"""Raise an error when two threads use one decoder at once, instead of crashing the process.

Decoders keep their buffers from frame to frame, and their kernels work without Python's lock.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from rpi_runtime.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")


class _Lockable(Protocol):
    lock: threading.Lock


D = TypeVar("D", bound=_Lockable)


def exclusive(method: Callable[Concatenate[D, P], R]) -> Callable[Concatenate[D, P], R]:
    """Make a method raise `UsageError` while another thread runs it; the object's `lock` tells."""

    @functools.wraps(method)
    def guarded(self: D, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self.lock.acquire(blocking=False):
            raise UsageError(
                "a decoder is used by two threads at once; its buffers serve one",
                remedy="give each thread its own",
            )
        try:
            return method(self, *args, **kwargs)
        finally:
            self.lock.release()

    return guarded
