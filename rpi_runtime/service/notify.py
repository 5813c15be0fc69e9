"""Notify systemd of the state of this process: readiness, watchdog, status.

The protocol is that of sd_notify(3), under "Standalone Implementations": one datagram of newline-separated
``KEY=value`` assignments to the socket that ``$NOTIFY_SOCKET`` names, a path, or with a leading ``@`` a name in
the abstract namespace. The watchdog's time is read as in sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from rpi_runtime.masking import mask


class Notifier:
    """Sends to the supervisor of this process; does nothing without a supervisor.

    Parameters
    ----------
    environ : mapping, optional
        Holds ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.

    Attributes
    ----------
    watchdog_s : float
        Maximum time between two ``WATCHDOG=1``; 0 without a watchdog.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period = environ.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(period) / 1e6 if mine and period.isdigit() else 0.0

    def send(self, *assignments: str) -> bool:
        """Send assignments such as ``READY=1`` in one datagram; return False if they were not delivered."""
        if not self._address or not assignments:
            return False
        text = "\n".join(mask(a).replace("\n", " ") for a in assignments)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(1.0)
            try:
                sock.sendto(text.encode("utf-8", "backslashreplace"), self._address)
            except OSError:  # a supervisor that is gone or too busy must not stop the run
                return False
        return True
