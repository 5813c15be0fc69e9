"""Publish poses and states to an MQTT broker, with paho-mqtt.

Topics below ``topic``: ``poses``, one message per frame (see `rpi_runtime.sinks.message`); ``state``, retained, a
summary whenever the number of people changes and every few seconds; ``status``, retained, ``online`` or ``offline``;
the broker publishes the latter when this machine disappears.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rpi_runtime.errors import UsageError
from rpi_runtime.masking import mask
from rpi_runtime.sinks.host import is_host
from rpi_runtime.sinks.message import encode_message
from rpi_runtime.sinks.mqtt.broker import BrokerSpec
from rpi_runtime.sinks.mqtt.connection import Connection
from rpi_runtime.sinks.mqtt.homeassistant import describe_device
from rpi_runtime.sinks.mqtt.identity import Claim, default_name
from rpi_runtime.sinks.mqtt.outbox import Mail, Outbox
from rpi_runtime.sinks.sink import About, Result

log = logging.getLogger(__name__)
PREFIX = "PIPOSE_MQTT"
SECRETS = ("username", "password")
_FROM_ENVIRONMENT = (*SECRETS, "ca_file", "cert_file", "key_file")
_STATE_GAP_S = 0.5  # shortest time between two states
_STOP_S = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttOptions:
    """Options of the sink ``mqtt``.

    Attributes
    ----------
    target : str
        ``HOST`` or ``HOST:PORT``; port 1883, or 8883 with TLS.
    username, password : str
        Given in a configuration file, or in PIPOSE_MQTT_USERNAME and PIPOSE_MQTT_PASSWORD; never on a command line,
        which every user of the machine can read.
    tls : {"auto", "on", "off"}
        ``auto`` is on for port 8883 and if ``ca_file`` or ``cert_file`` is given. The broker's certificate
        and name are always verified.
    ca_file, cert_file, key_file : str
        PEM: the authority that signed the broker's certificate, if the system does not know it; a client
        certificate and its key, if the broker requires one. Also PIPOSE_MQTT_CA_FILE and so on.
    topic : str
        Prefix of all topics; default ``pipose/NAME``.
    name : str
        Name of this machine. Default: its host name and six digits that distinguish machines with that name.
    qos : int
        Quality of service of poses and states: 0, 1 or 2.
    buffer : int
        Maximum number of messages that wait for a lost broker. Beyond it, the oldest is dropped.
    rate : float
        Maximum number of poses messages per second; 0: every frame.
    state_s : float
        Maximum time between two states.
    discovery : str
        Home Assistant's discovery prefix; empty: no discovery.
    """

    target: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tls: Literal["auto", "on", "off"] = "auto"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    topic: str = ""
    name: str = ""
    qos: int = 0
    buffer: int = 500
    rate: float = 0.0
    state_s: float = 10.0
    discovery: str = "homeassistant"

    def __post_init__(self) -> None:
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:@/\[\]]+)(?::(\d{1,5}))?", self.target)
        if not (found and is_host(found[1]) and 1 <= int(found[2] or 1883) <= 65535):
            raise UsageError(
                f"expected HOST or HOST:PORT, got {len(self.target)} characters that are not",
                remedy="user name and password go into a configuration file, or into "
                f"{PREFIX}_USERNAME and {PREFIX}_PASSWORD",
                key="target",
            )
        if self.tls not in ("auto", "on", "off"):
            raise UsageError(f"got {self.tls!r}, expected auto, on or off", key="tls")
        if self.qos not in (0, 1, 2):
            raise UsageError(f"got {self.qos}, expected 0, 1 or 2", key="qos")
        if not 1 <= self.buffer <= 100_000:
            raise UsageError(f"got {self.buffer}, expected 1 to 100000 messages", key="buffer")
        if self.rate < 0 or self.state_s < 1:
            raise UsageError("expected at least 0, and state_s at least 1", key="rate")
        for key in ("topic", "discovery"):
            if re.search(r"[#+\x00]", getattr(self, key)) or getattr(self, key).startswith(("/", "$")):
                raise UsageError(f"got {getattr(self, key)!r}, expected a topic without # and +", key=key)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        files = self.ca_file or self.cert_file or self.key_file
        implied = self.target.endswith(":8883") or bool(files)
        return self.tls == "on" or (self.tls == "auto" and implied)


class MqttSink:
    """Publishes messages and states to a broker."""

    backlog = 8

    def __init__(self, options: MqttOptions) -> None:
        self.name = f"mqtt:{options.target}"
        self.options = _with_environment(options)
        self.device = re.sub(r"[^A-Za-z0-9_-]", "_", options.name or default_name())
        self.topic = options.topic or f"pipose/{self.device}"

    def open(self, about: About) -> Publisher:
        """Start to connect; raises `InputError` if a certificate cannot be used. A missing broker is not an error."""
        if self.options.username and not self.options.uses_tls:
            log.warning("%s: the password goes over the network in the clear; use tls", self.name)
        return Publisher(self, about)

    def spec(self) -> BrokerSpec:
        """Return the broker, and how to connect to it."""
        options = self.options
        host, _, port = (
            options.target.rpartition(":") if _has_port(options.target) else (options.target, "", "")
        )
        return BrokerSpec(
            host=host.strip("[]"),
            port=int(port or (8883 if options.uses_tls else 1883)),
            client_id=f"pipose-{self.device}-{secrets.token_hex(3)}",
            username=options.username,
            password=options.password,
            tls=options.uses_tls,
            ca_file=options.ca_file,
            cert_file=options.cert_file,
            key_file=options.key_file,
            will=self.status("offline"),
        )

    def status(self, word: str) -> Mail:
        """Return the message that says ``online`` or ``offline``."""
        return Mail(f"{self.topic}/status", word.encode(), retain=True, qos=1)


class Publisher:
    """Queues messages. The connection has its own thread, so that a slow broker delays nothing else."""

    wants_image = False

    def __init__(self, sink: MqttSink, about: About) -> None:
        self._sink, self._options, self._topic, self._about = sink, sink.options, sink.topic, about
        self.outbox = Outbox(sink.options.buffer)
        self._next_at = 0.0
        self._people: int | None = None
        self._stated_at = 0.0
        self.connection = Connection(
            sink.spec(),
            self.outbox,
            greetings=self._greetings,
            periodic=self._periodic,
            period_s=sink.options.state_s,
        )
        self.connection.start()
        self._claim = Claim(sink.device, sink.options.target)

    @property
    def trouble(self) -> str:
        """Why the broker cannot be reached now; empty if it can."""
        return self.connection.trouble

    def write(self, result: Result) -> None:
        """Queue one message, and a state if the number of people changed."""
        now = time.monotonic()
        changed = len(result.tracks) != self._people and now - self._stated_at >= _STATE_GAP_S
        due = now >= self._next_at
        if due:
            gap = 1 / self._options.rate if self._options.rate else 0.0
            self._next_at = (self._next_at if now - self._next_at < gap else now) + gap
            payload = encode_message(result, self._about.skeleton).rstrip()
            self.outbox.put(Mail(f"{self._topic}/poses", payload, qos=self._options.qos))
        if changed:
            self._people, self._stated_at = len(result.tracks), now
            self.outbox.put(self._state())
        if due or changed:
            self.connection.wake()

    def close(self) -> None:
        """Send the messages that can be sent at once, an unknown state and ``offline``, then disconnect."""
        self._people = None
        self.connection.stop((self._state(), self._sink.status("offline")), _STOP_S)
        self._claim.close()

    def _greetings(self) -> Iterator[Mail]:
        yield self._sink.status("online")
        if self._options.discovery:
            device, model = self._sink.device, self._about.model
            yield from describe_device(self._options.discovery, device, self._topic, model)

    def _periodic(self) -> Iterator[Mail]:
        yield self._state()

    def _state(self) -> Mail:
        """Return the summary that Home Assistant's entities read; null stands for unknown."""
        status = self._about.status() if self._about.status is not None else None
        running = status is None or status.state == "running"
        people = self._people if running else None
        state: dict[str, Any] = {
            "people": people,
            "occupancy": None if people is None else _on(people > 0),
        }
        if status is not None:
            state |= {
                "fps": round(status.fps, 1) if running else 0.0,
                "celsius": None if status.celsius is None else round(status.celsius, 1),
                "throttled": _on(status.throttled),
                "camera": _on(running),
                "problem": _on(bool(status.problems)),
                "problems": [mask(problem) for problem in status.problems],
                "frames": status.frames,
                "dropped": status.dropped,
                "restarts": status.restarts,
            }
        state |= {"unsent": self.outbox.dropped + self.connection.lost}
        payload = json.dumps(state, separators=(",", ":")).encode()
        return Mail(f"{self._topic}/state", payload, retain=True, qos=self._options.qos)


def _on(flag: bool) -> str:
    return "ON" if flag else "OFF"


def _has_port(target: str) -> bool:
    return re.search(r":\d{1,5}$", target) is not None and (target.count(":") == 1 or "]" in target)


def _with_environment(options: MqttOptions) -> MqttOptions:
    """Fill empty settings from the environment."""
    found: dict[str, Any] = {
        key: value
        for key in _FROM_ENVIRONMENT
        if not getattr(options, key) and (value := os.environ.get(f"{PREFIX}_{key.upper()}", ""))
    }
    return replace(options, **found)
