"""A stand-in for systemd: takes the datagrams of the service."""

from __future__ import annotations

import os
import socket
import time


class Supervisor:
    """Listens at a notify socket; `name` is what ``$NOTIFY_SOCKET`` has to be."""

    def __init__(self, name):
        self.name = str(name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.name[1:] if self.name.startswith("@") else self.name)

    def environment(self, watchdog_s=0.0):
        given = {"NOTIFY_SOCKET": self.name}
        return os.environ | given | ({"WATCHDOG_USEC": str(int(watchdog_s * 1e6))} if watchdog_s else {})

    def receive(self, timeout_s=20.0):
        """The assignments of the next datagram; empty when none comes."""
        self._socket.settimeout(timeout_s)
        try:
            return self._socket.recv(65536).decode().split("\n")
        except TimeoutError:
            return []

    def wait_for(self, wanted, timeout_s=20.0):
        """All assignments up to the first that begins with `wanted`, with that one."""
        deadline, seen = time.monotonic() + timeout_s, []
        while time.monotonic() < deadline:
            for assignment in self.receive(deadline - time.monotonic()):
                seen.append(assignment)
                if assignment.startswith(wanted):
                    return seen
        raise AssertionError(f"{wanted!r} did not come, only {seen}")

    def close(self):
        self._socket.close()
