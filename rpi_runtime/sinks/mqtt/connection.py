"""A connection to an MQTT broker that recovers, in a thread of its own: back-off with jitter, one log line a reason."""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterable

from rpi_runtime.backoff import Backoff
from rpi_runtime.sinks.mqtt.broker import BrokerSpec
from rpi_runtime.sinks.mqtt.client import Client
from rpi_runtime.sinks.mqtt.outbox import Mail, Outbox
from rpi_runtime.sinks.mqtt.waker import Waker

log = logging.getLogger(__name__)
_HEALTHY_S = 10.0  # a connection that lasted this long was a good one
_LOST = "connection lost"


class Connection:
    """Sends the messages of an outbox whenever the broker can be reached.

    Parameters
    ----------
    spec : BrokerSpec
    outbox : Outbox
    greetings : callable
        Returns the messages to send first after each connection: status and descriptions.
    periodic : callable
        Called about every `period_s` while connected. Returns messages that need not be kept for later.
    period_s : float

    Attributes
    ----------
    client : Client
    connections : int
        Number of connections so far.

    Raises
    ------
    InputError
        A certificate cannot be used. A missing broker is not an error.
    """

    def __init__(
        self,
        spec: BrokerSpec,
        outbox: Outbox,
        *,
        greetings: Callable[[], Iterable[Mail]],
        periodic: Callable[[], Iterable[Mail]],
        period_s: float,
    ) -> None:
        self._spec, self._outbox = spec, outbox
        self._greetings, self._periodic, self._period_s = greetings, periodic, period_s
        self.client = Client(spec)
        self.connections = 0
        self._connected_at: float | None = None
        self._reported = ""  # the last reason that was logged
        self._was_short = False  # the last connection did not last
        self._farewell: tuple[Mail, ...] = ()
        self._waker = Waker()
        self._quit = threading.Event()
        self._backoff = Backoff(spec.first_wait_s, spec.most_wait_s, random.Random())
        self._thread = threading.Thread(target=self._run, name="pipose-mqtt", daemon=True)

    def start(self) -> None:
        """Start to connect."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection, and it still stands."""
        return self.client.connected

    @property
    def lost(self) -> int:
        """Number of messages that were handed to the network and not confirmed."""
        return self.client.lost

    @property
    def trouble(self) -> str:
        """Why messages do not arrive now; empty if they do."""
        return self._reported or self.client.refused

    def wake(self) -> None:
        """Wake the thread because the outbox has a message."""
        self._waker.wake()

    def stop(self, farewell: tuple[Mail, ...], timeout_s: float) -> None:
        """Send the messages that can be sent at once and `farewell`, then disconnect."""
        self._farewell = farewell
        self._quit.set()
        self.wake()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._quit.is_set():
                reason = self._serve_once()
                self.client.hang_up()
                if not self._quit.is_set():
                    self._wait_for_next_try(reason)
        finally:
            self._waker.close()

    def _serve_once(self) -> str:
        """Connect and send for as long as the connection lasts; return why it ended."""
        try:
            self.client.connect(self._waker, self._quit)
            self._note_connection()
            self._serve()
        except Exception as err:  # try again after any error of the network or of paho
            return self.client.answer or _explain(err)
        return self.client.answer or _LOST

    def _note_connection(self) -> None:
        self.connections += 1
        self._connected_at = time.monotonic()
        if not self._was_short:
            self._reported = ""
            log.info("mqtt: connected to %s", self._spec.address)

    def _serve(self) -> None:
        """Send until the connection is lost or the sink is closed."""
        for mail in self._greetings():
            self.client.send(mail)
        began = periodic_at = time.monotonic()
        while self.connected and not self._quit.is_set():
            now = time.monotonic()
            if now >= periodic_at:
                periodic_at = now + self._period_s
                for mail in self._periodic():
                    self.client.send(mail)
            self._pump()
            self.client.poll(self._waker, max(min(periodic_at - now, 1.0), 0.05))
            if self._reported and now - began > _HEALTHY_S:
                self._reported, self._was_short = "", False
                log.info("mqtt: connected to %s, and it lasts", self._spec.address)
        if self._quit.is_set():
            self._say_goodbye()

    def _pump(self) -> None:
        """Hand over as many messages as may be unconfirmed."""
        self.client.settle()
        while self.connected and self.client.has_room:
            mail = self._outbox.take()
            if mail is None:
                return
            if not self.client.send(mail):
                self._outbox.put_back(mail)
                return

    def _say_goodbye(self) -> None:
        self._pump()
        for mail in self._farewell:
            self.client.send(mail)
        self.client.disconnect(self._waker)

    def _wait_for_next_try(self, reason: str) -> None:
        """Wait longer each time; start again with the first wait after a connection that lasted."""
        lasted_s = None if self._connected_at is None else time.monotonic() - self._connected_at
        if lasted_s is not None and lasted_s > _HEALTHY_S:
            self._backoff.reset()
        self._was_short = lasted_s is not None and lasted_s <= _HEALTHY_S
        self._connected_at = None
        wait_s = self._backoff.wait_s()
        if self._was_short and reason == _LOST:
            reason = (
                f"it hung up soon after it had let us in, the last message was to {self.client.last_topic}: it may "
                "not allow this user that topic, or another client goes by our name (name=)"
            )
        trouble = f"{self._spec.address}: {reason}"
        if trouble != self._reported:
            self._reported = trouble
            log.warning("mqtt: %s; trying again, first in %.1f s", trouble, wait_s)
        self._quit.wait(wait_s)


def _explain(err: Exception) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"the broker's certificate is refused ({err.verify_message})"
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    return str(err) or type(err).__name__
