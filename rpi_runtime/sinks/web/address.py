"""Where the page listens: ``HOST:PORT``, and whether other machines can reach it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from rpi_runtime.errors import UsageError
from rpi_runtime.sinks.host import is_host

DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True)
class Address:
    """Host (a name or an IP address, without brackets) and port. Port 0 takes a free port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. False for every name but ``localhost``."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address of ``HOST:PORT``, ``HOST``, ``:PORT``, ``[IPv6]:PORT`` or ``PORT``.

    Raises
    ------
    UsageError
        The text has another form. An empty host never means "all addresses".
    """
    if text.isdigit():
        text = f":{text}"
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([\w.-]*))(?::(\d{1,5}))?", text)
    port = int(match[3] or DEFAULT_PORT) if match else -1
    host = (match[1] or match[2] or "127.0.0.1") if match else ""
    if not text or not is_host(host) or not 0 <= port <= 65535:
        raise UsageError(
            f"got {text!r}, expected HOST:PORT, as in 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080",
            key="target",
        )
    return Address(host, port)
