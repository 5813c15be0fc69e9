"""A flag, set by signals, that asks a run to end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn


class StopFlag:
    """Asks a run to end. It takes no lock, so that a signal handler may set it.

    Parameters
    ----------
    parent : StopFlag, optional
        A flag that ends this run, too: that of a process with several runs.

    Examples
    --------
    >>> from rpi_runtime import StopFlag
    >>> stopping = StopFlag()
    >>> stopping.stop()
    >>> stopping()
    True
    """

    def __init__(self, parent: StopFlag | None = None) -> None:
        self.stopping = False
        self._parent = parent

    def stop(self) -> None:
        """Ask the run to end."""
        self.stopping = True

    def __call__(self) -> bool:
        """Whether the run was asked to end."""
        return self.stopping or (self._parent is not None and self._parent())


class Signals:
    """While this context lasts SIGTERM, Ctrl-C and a hang-up ask for the end; a second one ends the process at once.

    A hang-up (an SSH session that drops) that was ignored before, as by nohup(1), stays ignored.

    Parameters
    ----------
    stopping : StopFlag
    """

    def __init__(self, stopping: StopFlag) -> None:
        self._stopping = stopping
        self._former: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._former[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._stopping() and number != signal.SIGHUP:  # a terminal that closes sends several
            os._exit(128 + number)
        self._stopping.stop()


def leave(code: int) -> NoReturn:
    """End the process without waiting for a thread that is stuck in a driver or a pipe."""
    for stream in (sys.stderr, sys.stdout):
        with contextlib.suppress(OSError, ValueError):  # the terminal may have gone
            stream.flush()
    os._exit(code)
