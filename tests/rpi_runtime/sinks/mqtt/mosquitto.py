"""A real broker for tests, and what lies between: a proxy that is slow or cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

MOSQUITTO = shutil.which("mosquitto") or (
    "/usr/sbin/mosquitto" if Path("/usr/sbin/mosquitto").exists() else None
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_for(condition, seconds=20.0):
    """Wait until `condition()` is true, and say whether it became so."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


class Mosquitto:
    """One broker on loopback; may be killed and started again on its port."""

    def __init__(self, folder: Path, *lines: str, port: int = 0) -> None:
        if MOSQUITTO is None:
            pytest.skip("no mosquitto: apt-get install mosquitto")
        self.port = port or free_port()
        self._config = folder / f"mosquitto-{self.port}.conf"
        lines = (f"listener {self.port} 127.0.0.1", *lines, "persistence false", "")
        if os.geteuid() == 0:  # otherwise it becomes a user who may not read a test's folder
            lines = ("user root", *lines)
        self._config.write_text("\n".join(lines))
        self._process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert wait_for(lambda: answers(self.port)), "mosquitto did not start"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Listener:
    """Collects what a broker is told; `messages` are (topic, payload, retained)."""

    def __init__(self, port: int, topic: str = "#", **auth: str) -> None:
        paho = pytest.importorskip("paho.mqtt.client")
        self.messages: list[tuple[str, bytes, bool]] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        if auth:
            self._client.username_pw_set(auth["username"], auth["password"])
        subscribed = threading.Event()
        self._client.on_connect = lambda *_: self._client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _c, _d, m: self.messages.append((m.topic, m.payload, m.retain))
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(10)

    def of(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in list(self.messages) if name == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        for end in (self._client._sockpairR, self._client._sockpairW):  # paho leaves them open
            if end is not None:
                end.close()


class SlowProxy:
    """Passes bytes on to a port, at most `rate` a second towards the broker; 0 holds everything back."""

    def __init__(self, port: int, rate: int) -> None:
        self.rate, self._to = rate, port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.passed = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                threading.Thread(target=self._copy, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._copy, args=(far, near, False), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, slow: bool) -> None:
        with contextlib.suppress(OSError):
            while True:
                while slow and self.rate == 0:
                    time.sleep(0.05)
                data = source.recv(1024 if slow else 65536)
                if not data:
                    break
                target.sendall(data)
                if slow:
                    self.passed += len(data)
                    time.sleep(len(data) / max(self.rate, 1))
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def make_authority(folder: Path, name: str = "ca") -> tuple[Path, Path, Path]:
    """Return the certificate of a new authority, and certificate and key of a server called localhost."""
    ca, key = folder / f"{name}.pem", folder / f"{name}.key"
    _openssl(*_NEW_KEY, "-x509", "-days", 2, "-subj", f"/CN={name}", "-keyout", key, "-out", ca)
    return ca, *make_certificate(ca, "localhost", "subjectAltName=DNS:localhost")


def make_certificate(ca: Path, who: str, *extensions: str, days: int = 2) -> tuple[Path, Path]:
    """Return certificate and key of `who`, signed by the authority whose key lies beside `ca`."""
    certificate, key, request, more = (
        ca.with_name(f"{ca.stem}-{who}{end}") for end in (".pem", ".key", ".csr", ".ext")
    )
    _openssl(*_NEW_KEY, "-subj", f"/CN={who}", "-keyout", key, "-out", request)
    more.write_text("".join(f"{line}\n" for line in extensions))
    signing = ("-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial", "-extfile", more)
    _openssl("x509", "-req", "-days", days, "-in", request, *signing, "-out", certificate)
    key.chmod(0o644)
    return certificate, key


_NEW_KEY = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*words: object) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl: apt-get install openssl")
    subprocess.run([openssl, *map(str, words)], check=True, capture_output=True)
