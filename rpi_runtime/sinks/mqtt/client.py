"""One MQTT client: a bounded number of unconfirmed messages, a bounded amount of incoming data.

It uses paho-mqtt through its interface for external event loops: paho's own threads leak two sockets at each
reconnection, have no jitter, and hold their locks during callbacks.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import ssl
import threading
import time
from collections import deque
from typing import Any

from rpi_runtime.optional import load
from rpi_runtime.sinks.mqtt.broker import BrokerSpec, make_tls_context
from rpi_runtime.sinks.mqtt.outbox import Mail
from rpi_runtime.sinks.mqtt.waker import Waker

log = logging.getLogger(__name__)
_CONNECT_S = 5.0  # for TCP and TLS, and again for the broker's answer
_IN_FLIGHT = 20
_FLUSH_S = 0.3
_HUNG_UP = {
    False: "it hung up before it answered; does it expect TLS?",
    True: "it hung up before it answered; if it asks for a certificate, cert_file has to be one that it knows "
    "and that has not expired",
}
# Limit of incoming data. This client never subscribes, so it receives answers and pings only; more is an attack.
_HEARD_BYTES, _HEARD_PER_MESSAGE, _HEARD_PER_S = 16 * 1024, 512, 16
_CHUNK = 4096
_SEND_BUFFER = 32 * 1024  # with megabytes of it, a slow network would lag by minutes


class _WrongVersionError(ConnectionError):
    """The broker does not support this version of MQTT."""


class Client:
    """Connects to a broker, sends messages and counts their confirmations. One thread uses it.

    Parameters
    ----------
    spec : BrokerSpec

    Attributes
    ----------
    connected : bool
    sent, lost : int
        Counts. `lost` messages were handed to the network and not confirmed.
    heard : int
        Bytes received since the last attempt to connect.
    answer : str
        What the broker said against this client since then; empty if nothing.
    refused : str
        Why the broker refuses messages; empty if it does not.
    last_topic : str

    Raises
    ------
    InputError
        A certificate cannot be used.
    DependencyError
        paho-mqtt is missing.
    """

    def __init__(self, spec: BrokerSpec) -> None:
        self._spec = spec
        self._paho: Any = load("paho.mqtt.client", "messages to an MQTT broker")
        self._protocol = self._paho.MQTTv311
        self.connected = False
        self.sent = self.lost = self.heard = 0
        self.answer = self.refused = self.last_topic = ""
        self._given = 0
        self._connected_at = 0.0
        self._in_flight: deque[tuple[Any, int]] = deque()  # with their quality of service
        self._client = self._make_client()

    @property
    def in_flight(self) -> int:
        """Number of unconfirmed messages."""
        return len(self._in_flight)

    @property
    def has_room(self) -> bool:
        """Whether one more message may be unconfirmed."""
        return len(self._in_flight) < _IN_FLIGHT

    def _make_client(self) -> Any:
        spec, paho = self._spec, self._paho
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=spec.client_id,
            protocol=self._protocol,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.max_queued_messages_set(2 * _IN_FLIGHT)
        client.will_set(spec.will.topic, spec.will.payload, spec.will.qos, spec.will.retain)
        if spec.username:
            client.username_pw_set(spec.username, spec.password or None)
        if spec.tls:
            client.tls_set_context(make_tls_context(spec))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_socket_open = _bound_send_buffer
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        self._bound(client)
        return client

    def _bound(self, client: Any) -> None:
        """Limit the memory that the broker can make this process use: paho itself accepts packets of 256 MB."""
        receive = client._sock_recv  # paho has no public interface for it

        def receive_some(size: int) -> bytes:
            data: bytes = receive(min(size, _CHUNK))
            self.heard += len(data)
            connected_s = time.monotonic() - self._connected_at if self._connected_at else 0.0
            if self.heard > _HEARD_BYTES + _HEARD_PER_MESSAGE * self._given + _HEARD_PER_S * connected_s:
                self.answer = "it sends what was not asked for"
                raise ConnectionError(self.answer)
            return data

        client._sock_recv = receive_some

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.answer = "" if not reason.is_failure else str(reason)
        self.connected = not reason.is_failure

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.connected = False
        if flags.is_disconnect_packet_from_server:  # MQTT 5
            self.answer = f"it hung up: {reason}"

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        if reason.is_failure:  # MQTT 5; before that a broker has no word for it
            self._refuse(f"it refuses messages ({reason}); may this user write to {self.last_topic}?")

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        self.answer = "it sends messages that were not subscribed to"
        raise ConnectionError(self.answer)

    def _refuse(self, reason: str) -> None:
        """Log once what the broker refuses."""
        if not self.refused:
            self.refused = f"{self._spec.address}: {reason}"
            log.warning("mqtt: %s", self.refused)

    def connect(self, waker: Waker, stop: threading.Event) -> None:
        """Connect and wait for the broker's answer; raises `ConnectionError` without one or when it refuses."""
        self.answer = self.refused = ""
        self.heard = self._given = 0
        self._connected_at = 0.0
        self._client.connect(self._spec.host, self._spec.port, self._spec.keepalive_s)
        deadline = time.monotonic() + _CONNECT_S
        while not self.connected and not self.answer and not stop.is_set():
            if time.monotonic() > deadline:
                raise ConnectionError("no answer")
            try:
                self.poll(waker, 0.1)
            except _WrongVersionError:
                self._change_version()
                raise
            except ConnectionError as err:  # with TLS 1.3, also how a broker refuses a certificate
                raise ConnectionError(self.answer or _HUNG_UP[self._spec.tls]) from err
        if not self.connected:
            if "protocol version" in self.answer:  # MQTT 5 is not known there
                self._change_version()
            raise ConnectionError(self.answer or "stopped")
        self._connected_at = time.monotonic()

    def _change_version(self) -> None:
        """Use MQTT 5 with a broker that refuses 3.1.1, and vice versa."""
        paho = self._paho
        self._protocol = paho.MQTTv5 if self._protocol == paho.MQTTv311 else paho.MQTTv311
        self.hang_up()
        self.lost += len(self._in_flight)
        self._in_flight.clear()
        self._client = self._make_client()

    def poll(self, waker: Waker, timeout_s: float) -> None:
        """Transfer bytes, or wait for some up to `timeout_s`; raises `ConnectionError` if the connection is lost."""
        wire = self._client.socket()
        if wire is None:
            raise ConnectionError("connection lost")
        held = isinstance(wire, ssl.SSLSocket) and wire.pending() > 0
        writes = [wire] if self._client.want_write() else []
        readable, writable, _ = select.select([wire, waker], writes, [], 0 if held else timeout_s)
        if waker in readable:
            waker.clear()
        code = self._client.loop_read() if held or wire in readable else 0
        if code == 0 and wire in writable:
            code = self._client.loop_write()
        if code == 0:
            code = self._client.loop_misc()
        if code == self._paho.MQTT_ERR_PROTOCOL and not self.connected:
            raise _WrongVersionError("it refuses MQTT 3.1.1")
        if code != 0:
            raise ConnectionError("connection lost")

    def send(self, mail: Mail) -> bool:
        """Hand one message to paho; return False if paho refused it."""
        info = self._client.publish(mail.topic, mail.payload, mail.qos, mail.retain)
        kept = info.rc in (self._paho.MQTT_ERR_SUCCESS, self._paho.MQTT_ERR_NO_CONN) and (
            mail.qos > 0 or info.rc == self._paho.MQTT_ERR_SUCCESS
        )
        self._given += 1
        self.last_topic = mail.topic
        if kept:
            self._in_flight.append((info, mail.qos))
        return kept

    def settle(self) -> None:
        """Forget the confirmed messages, in any order of confirmation."""
        left: deque[tuple[Any, int]] = deque()
        for info, qos in self._in_flight:
            try:
                published = info.is_published()
            except RuntimeError:  # lost with its connection
                self.lost += 1
                continue
            if published:
                self.sent += 1
            else:
                left.append((info, qos))
        self._in_flight = left

    def disconnect(self, waker: Waker) -> None:
        """Wait a moment for the confirmation of what was sent, then tell the broker that this client leaves."""
        deadline = time.monotonic() + _FLUSH_S
        while self._in_flight and self.connected and time.monotonic() < deadline:
            self.poll(waker, 0.05)
            self.settle()
        self._client.disconnect()

    def hang_up(self) -> None:
        """Close the socket. paho resends unconfirmed messages of quality 1 and 2."""
        self.connected = False
        wire = self._client.socket()
        if wire is not None:
            with contextlib.suppress(OSError):  # the other side may have closed it
                wire.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(Exception):  # paho closes what it reads as closed
                self._client.loop_read()
        owed = deque((info, qos) for info, qos in self._in_flight if qos > 0)
        self.lost += len(self._in_flight) - len(owed)
        self._in_flight = owed


def _bound_send_buffer(client: Any, data: Any, wire: socket.socket) -> None:
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
