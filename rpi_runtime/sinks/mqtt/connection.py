"""A connection to an MQTT broker that recovers: back-off with jitter, a bounded number of unconfirmed messages.

One thread does everything, through paho-mqtt's interface for external event loops: paho's own threads leak two
sockets at each reconnection, have no jitter, and hold their locks during callbacks.
"""

from __future__ import annotations

import contextlib
import logging
import random
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rpi_runtime.backoff import Backoff
from rpi_runtime.errors import InputError
from rpi_runtime.optional import load
from rpi_runtime.sinks.mqtt.outbox import Mail, Outbox

log = logging.getLogger(__name__)
_CONNECT_S = 5.0  # for TCP and TLS, and again for the broker's answer
_IN_FLIGHT = 20
_HEALTHY_S = 10.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSpec:
    """The broker, and how to connect to it.

    Attributes
    ----------
    host, port
    client_id : str
    username, password : str
        Empty for a broker without accounts.
    tls : bool
        The broker's certificate and name are always verified.
    ca_file, cert_file, key_file : str
        PEM: certificate authorities instead of the system's; a client certificate and its key.
    keepalive_s : int
    will : Mail
        Sent by the broker when this client disappears.
    first_wait_s, most_wait_s : float
        First and longest wait between two attempts.
    """

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    keepalive_s: int = 30
    will: Mail
    first_wait_s: float = 1.0
    most_wait_s: float = 30.0


class _WrongVersionError(ConnectionError):
    """The broker does not support this version of MQTT."""


class Broker:
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
    connected : bool
    connections, sent, lost : int
        Counts. `lost` messages were handed to the network and not confirmed.
    trouble : str
        Why messages do not arrive now; empty if they do.
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
        self.connected = False
        self.connections = self.sent = self.lost = 0
        self._client: Any = None
        self._paho: Any = None
        self._flying: deque[tuple[Any, int]] = deque()  # with their quality of service
        self._connected_at = 0.0
        self._protocol = 0  # as paho numbers it; 0 until it is loaded
        self._answer = ""
        self._said = ""
        self._short = False  # the last connection did not last
        self._refused = ""
        self._last_topic = ""
        self._heard = self._given = 0
        self._farewell: tuple[Mail, ...] = ()
        self._ear: socket.socket | None = None
        self._bell: socket.socket | None = None
        self._quit = threading.Event()
        self._backoff = Backoff(spec.first_wait_s, spec.most_wait_s, random.Random())
        self._thread = threading.Thread(target=self._run, name="pipose-mqtt", daemon=True)

    def start(self) -> None:
        """Start to connect; raises `InputError` if a certificate cannot be used. A missing broker is not an error."""
        self._paho = load("paho.mqtt.client", "messages to an MQTT broker")
        self._protocol = self._paho.MQTTv311
        self._client = self._make_client()
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why messages do not arrive now; empty if they do."""
        return self._said or self._refused

    def wake(self) -> None:
        """Wake the thread because the outbox has a message."""
        if self._bell is not None:
            with contextlib.suppress(OSError):  # full: the thread is awake already; closed: it has ended
                self._bell.send(b"!")

    def stop(self, farewell: tuple[Mail, ...], timeout_s: float) -> None:
        """Send the messages that can be sent at once and `farewell`, then disconnect."""
        self._farewell = farewell
        self._quit.set()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

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
            self._heard += len(data)
            connected_s = time.monotonic() - self._connected_at if self._connected_at else 0.0
            if self._heard > _HEARD_BYTES + _HEARD_PER_MESSAGE * self._given + _HEARD_PER_S * connected_s:
                self._answer = "it sends what was not asked for"
                raise ConnectionError(self._answer)
            return data

        client._sock_recv = receive_some

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._answer = "" if not reason.is_failure else str(reason)
        self.connected = not reason.is_failure

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.connected = False
        if flags.is_disconnect_packet_from_server:  # MQTT 5
            self._answer = f"it hung up: {reason}"

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        if reason.is_failure:  # MQTT 5; before that a broker has no word for it
            self._refuse(f"it refuses messages ({reason}); may this user write to {self._last_topic}?")

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        self._answer = "it sends messages that were not subscribed to"
        raise ConnectionError(self._answer)

    def _refuse(self, reason: str) -> None:
        """Log once what the broker refuses."""
        if not self._refused:
            self._refused = f"{self._where}: {reason}"
            log.warning("mqtt: %s", self._refused)

    @property
    def _where(self) -> str:
        return f"{self._spec.host}:{self._spec.port}"

    def _run(self) -> None:
        assert self._ear is not None and self._bell is not None
        with self._ear, self._bell:
            self._keep_going()

    def _keep_going(self) -> None:
        while not self._quit.is_set():
            try:
                self._connect()
                self._serve()
            except Exception as err:  # try again after any error of the network or of paho
                self._answer = self._answer or _explain(err)
            self._hang_up()
            if not self._quit.is_set():
                self._wait_for_next_try()

    def _connect(self) -> None:
        """Connect and wait for the broker's answer; raises `ConnectionError` without one or when it refuses."""
        self._answer = self._refused = ""
        self._heard = self._given = 0
        self._client.connect(self._spec.host, self._spec.port, self._spec.keepalive_s)
        deadline = time.monotonic() + _CONNECT_S
        while not self.connected and not self._answer and not self._quit.is_set():
            if time.monotonic() > deadline:
                raise ConnectionError("no answer")
            try:
                self._turn(0.1)
            except _WrongVersionError:
                self._change_version()
                raise
            except ConnectionError as err:  # with TLS 1.3, also how a broker refuses a certificate
                raise ConnectionError(self._answer or _HUNG_UP[self._spec.tls]) from err
        if not self.connected:
            if "protocol version" in self._answer:  # MQTT 5 is not known there
                self._change_version()
            raise ConnectionError(self._answer or "stopped")
        self.connections += 1
        self._connected_at = time.monotonic()
        if not self._short:
            self._said = ""
            log.info("mqtt: connected to %s", self._where)

    def _change_version(self) -> None:
        """Use MQTT 5 with a broker that refuses 3.1.1, and vice versa."""
        paho = self._paho
        self._protocol = paho.MQTTv5 if self._protocol == paho.MQTTv311 else paho.MQTTv311
        self._hang_up()
        self.lost += len(self._flying)
        self._flying.clear()
        self._client = self._make_client()

    def _serve(self) -> None:
        """Send until the connection is lost or the sink is closed."""
        for mail in self._greetings():
            self._send(mail)
        periodic_at = time.monotonic()
        while self.connected and not self._quit.is_set():
            now = time.monotonic()
            if now >= periodic_at:
                periodic_at = now + self._period_s
                for mail in self._periodic():
                    self._send(mail)
            self._pump()
            self._turn(max(min(periodic_at - now, 1.0), 0.05))
            if self._said and now - self._connected_at > _HEALTHY_S:
                self._said, self._short = "", False
                log.info("mqtt: connected to %s, and it lasts", self._where)
        if self._quit.is_set():
            self._say_goodbye()

    def _turn(self, timeout_s: float) -> None:
        """Transfer bytes, or wait for some up to `timeout_s`; raises `ConnectionError` if the connection is lost."""
        wire, ear = self._client.socket(), self._ear
        if wire is None or ear is None:
            raise ConnectionError("connection lost")
        held = isinstance(wire, ssl.SSLSocket) and wire.pending() > 0
        writes = [wire] if self._client.want_write() else []
        readable, writable, _ = select.select([wire, ear], writes, [], 0 if held else timeout_s)
        if ear in readable:
            ear.recv(4096)
        code = self._client.loop_read() if held or wire in readable else 0
        if code == 0 and wire in writable:
            code = self._client.loop_write()
        if code == 0:
            code = self._client.loop_misc()
        if code == self._paho.MQTT_ERR_PROTOCOL and not self.connected:
            raise _WrongVersionError("it refuses MQTT 3.1.1")
        if code != 0:
            raise ConnectionError("connection lost")

    def _pump(self) -> None:
        """Hand over as many messages as may be unconfirmed."""
        self._settle()
        while self.connected and len(self._flying) < _IN_FLIGHT:
            mail = self._outbox.take()
            if mail is None:
                return
            if not self._send(mail):
                self._outbox.put_back(mail)
                return

    def _send(self, mail: Mail) -> bool:
        """Hand one message to paho; return False if paho refused it."""
        info = self._client.publish(mail.topic, mail.payload, mail.qos, mail.retain)
        kept = info.rc in (self._paho.MQTT_ERR_SUCCESS, self._paho.MQTT_ERR_NO_CONN) and (
            mail.qos > 0 or info.rc == self._paho.MQTT_ERR_SUCCESS
        )
        self._given += 1
        self._last_topic = mail.topic
        if kept:
            self._flying.append((info, mail.qos))
        return kept

    def _settle(self) -> None:
        """Forget the confirmed messages, in any order of confirmation."""
        left: deque[tuple[Any, int]] = deque()
        for info, qos in self._flying:
            try:
                published = info.is_published()
            except RuntimeError:  # lost with its connection
                self.lost += 1
                continue
            if published:
                self.sent += 1
            else:
                left.append((info, qos))
        self._flying = left

    def _say_goodbye(self) -> None:
        self._pump()
        for mail in self._farewell:
            self._send(mail)
        deadline = time.monotonic() + _FLUSH_S
        while self._flying and self.connected and time.monotonic() < deadline:
            self._turn(0.05)
            self._settle()
        self._client.disconnect()

    def _hang_up(self) -> None:
        """Close the socket. paho resends unconfirmed messages of quality 1 and 2."""
        self.connected = False
        wire = self._client.socket()
        if wire is not None:
            with contextlib.suppress(OSError):  # the other side may have closed it
                wire.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(Exception):  # paho closes what it reads as closed
                self._client.loop_read()
        owed = deque((info, qos) for info, qos in self._flying if qos > 0)
        self.lost += len(self._flying) - len(owed)
        self._flying = owed

    def _wait_for_next_try(self) -> None:
        """Wait longer each time; start again with the first wait after a connection that lasted."""
        lasted_s = time.monotonic() - self._connected_at if self._connected_at else None
        if lasted_s is not None and lasted_s > _HEALTHY_S:
            self._backoff.reset()
        self._short = lasted_s is not None and lasted_s <= _HEALTHY_S
        self._connected_at = 0.0
        wait = self._backoff.wait_s()
        reason = self._answer or "connection lost"
        if self._short and reason == "connection lost":
            reason = (
                f"it hung up soon after it had let us in, the last message was to {self._last_topic}: it may not "
                "allow this user that topic, or another client goes by our name (name=)"
            )
        said = f"{self._where}: {reason}"
        if said != self._said:
            self._said = said
            log.warning("mqtt: %s; trying again, first in %.1f s", said, wait)
        self._quit.wait(wait)


def make_tls_context(spec: BrokerSpec) -> ssl.SSLContext:
    """Return a context that verifies the broker; raises `InputError` if a file cannot be used."""
    if spec.key_file and not spec.cert_file:
        raise InputError(f"mqtt: key_file {spec.key_file}: it has no certificate; give cert_file too")
    try:
        context = ssl.create_default_context(cafile=spec.ca_file or None)
        if spec.cert_file:
            refuse = _passphrase_refusal(spec.key_file or spec.cert_file)
            context.load_cert_chain(spec.cert_file, spec.key_file or None, password=refuse)
    except (OSError, ssl.SSLError) as err:
        files = ", ".join(filter(None, (spec.ca_file, spec.cert_file, spec.key_file)))
        raise InputError(
            f"mqtt: {files}: cannot be used for TLS ({err}); expected PEM files that this user may read, and "
            "the key that belongs to the certificate"
        ) from err
    return context


def _passphrase_refusal(file: str) -> Callable[[], str]:
    """Answer OpenSSL's request for a passphrase, which would otherwise ask at a terminal that a service lacks."""

    def refuse() -> str:
        raise InputError(
            f"mqtt: {file}: the key is encrypted; expected one without a passphrase that only this user may "
            f"read, as `openssl pkey -in {file} -out FILE` makes it"
        )

    return refuse


def _bound_send_buffer(client: Any, data: Any, wire: socket.socket) -> None:
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)


def _explain(err: Exception) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"the broker's certificate is refused ({err.verify_message})"
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    return str(err) or type(err).__name__
