"""Messages that wait for a broker: bounded; the oldest is dropped first, and dropped ones are counted."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mail:
    """One message: topic, payload, whether the broker keeps it, and quality of service."""

    topic: str
    payload: bytes
    retain: bool = False
    qos: int = 0


class Outbox:
    """A queue between the sink's thread and the broker's.

    Parameters
    ----------
    capacity : int
        Maximum number of messages. One more drops the oldest.

    Attributes
    ----------
    dropped : int
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.dropped = 0
        self._mail: deque[Mail] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of waiting messages."""
        return len(self._mail)

    def put(self, mail: Mail) -> None:
        """Append a message."""
        with self._lock:
            self._mail.append(mail)
            if len(self._mail) > self.capacity:
                self._mail.popleft()
                self.dropped += 1

    def take(self) -> Mail | None:
        """Return the oldest message, or None."""
        with self._lock:
            return self._mail.popleft() if self._mail else None

    def put_back(self, mail: Mail) -> None:
        """Put a message that could not be sent back in front. It is dropped if there is no room."""
        with self._lock:
            if len(self._mail) >= self.capacity:
                self.dropped += 1
            else:
                self._mail.appendleft(mail)
