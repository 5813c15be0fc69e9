"""The name of a machine at a broker: the same at each start, and different from that of another machine.

Two new Raspberry Pis are both called raspberrypi. With the same client id they would disconnect each other for ever,
and with the same topic their states would overwrite each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import socket
from pathlib import Path

log = logging.getLogger(__name__)
_KEY = b"pipose device"  # machine-id(5): an application shows the id only in a keyed, hashed form
# the board's serial number distinguishes machines with cloned cards
_IDS = ("proc/device-tree/serial-number", "etc/machine-id")


def default_name(root: Path = Path("/")) -> str:
    """Return the host name with six digits of a hash of the board's serial number, or of the system's id."""
    host = socket.gethostname()
    for place in _IDS:
        with contextlib.suppress(OSError):
            machine = (root / place).read_bytes().strip(b"\0 \n")
            if machine.strip(b"0"):
                return f"{host}-{hmac.new(_KEY, machine, hashlib.sha256).hexdigest()[:6]}"
    return host


class Claim:
    """Logs a warning if another run on this machine uses the same name at the same broker.

    The claim is a name in the abstract socket namespace (unix(7)), which the kernel frees when the process ends.
    """

    def __init__(self, device: str, target: str) -> None:
        self._socket: socket.socket | None = None
        mark = hashlib.sha256(f"{device} {target}".encode()).hexdigest()[:16]
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            claim.bind(f"\0pipose-mqtt-{mark}")
        except OSError:  # in use
            claim.close()
            log.warning(
                "mqtt: another run on this machine is called %s too, and their messages mix: give one of them a "
                "name of its own with name=",
                device,
            )
            return
        self._socket = claim

    def close(self) -> None:
        """Release the name."""
        if self._socket is not None:
            self._socket.close()
