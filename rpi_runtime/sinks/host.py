"""Names of hosts, as the page listens on them and the broker is reached by them."""

from __future__ import annotations


def is_host(name: str) -> bool:
    """Whether a name can be one of a host (RFC 1035): no part of it is empty or longer than 63 bytes.

    For others, Python's resolver raises `UnicodeError`, which is no error of the network.
    """
    try:
        return bool(name.encode("idna"))
    except UnicodeError:
        return False
