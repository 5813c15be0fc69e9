"""Limits for one client and for all of them together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """Bounds of the server; times in seconds, sizes in bytes.

    Attributes
    ----------
    viewers : int
        Maximum number of simultaneous pages and streams.
    connections, per_address : int
        Maximum number of open TCP connections, in total and from one address.
    request_s : float
        Maximum time from a new connection to the end of its first request's headers, and for the body of a request.
    idle_s : float
        Maximum time that a connection stays open between two requests.
    line, field, headers : int
        Maximum length of the request line and of one header, and maximum number of headers.
    body : int
        Maximum size of a request's body, which only has to hold a token.
    requests_per_s, requests_burst : float
        Maximum rate and burst of requests from one address.
    wrong_tokens_per_minute, wrong_tokens_burst : float
        Maximum rate and burst of wrong tokens from one address.
    stalled_s : float
        A viewer that takes no frame for this time is disconnected.
    in_flight : int
        Maximum number of frames sent to a viewer before it has confirmed the first of them.
    """

    viewers: int = 12
    connections: int = 128
    per_address: int = 48
    request_s: float = 10.0
    idle_s: float = 15.0
    line: int = 2048
    field: int = 4096
    headers: int = 64
    body: int = 2048
    requests_per_s: float = 50.0
    requests_burst: float = 200.0
    wrong_tokens_per_minute: float = 6.0
    wrong_tokens_burst: float = 5.0
    stalled_s: float = 20.0
    in_flight: int = 2


class RateLimit:
    """A token bucket for each address. The least recently seen addresses are forgotten, so that memory is bounded.

    Parameters
    ----------
    per_s : float
        Long-term rate.
    burst : float
        Maximum number at once.
    clock : callable
        Returns monotonic seconds.
    """

    _MOST = 1024

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float]) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Whether the bucket of `address` is not empty; takes nothing from it."""
        return self._refilled(address) >= 1

    def take(self, address: str) -> bool:
        """Take one from the bucket of `address`; return False if it is empty."""
        left = self._refilled(address)
        allowed = left >= 1
        self._left[address] = (left - 1 if allowed else left, self._clock())
        self._left.move_to_end(address)
        while len(self._left) > self._MOST:
            self._left.popitem(last=False)
        return allowed

    def _refilled(self, address: str) -> float:
        left, since = self._left.get(address, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - since) * self._per_s)
