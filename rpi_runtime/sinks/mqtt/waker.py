"""A way to wake a thread that waits in `select`: a pair of sockets (Bernstein's self-pipe)."""

from __future__ import annotations

import contextlib
import socket


class Waker:
    """Wakes one thread; `wake` may be called from any other."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that `select` waits for."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """Wake the thread."""
        with contextlib.suppress(OSError):  # full: the thread is awake already; closed: it has ended
            self._sender.send(b"!")

    def clear(self) -> None:
        """Forget that the thread was woken."""
        self._receiver.recv(4096)

    def close(self) -> None:
        """Close both sockets."""
        self._receiver.close()
        self._sender.close()
