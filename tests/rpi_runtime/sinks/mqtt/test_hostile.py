"""Brokers that send what was not asked for, refuse our version or our topics, or throw us out."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from rpi_runtime.sinks.mqtt.identity import Claim, default_name
from rpi_runtime.sinks.mqtt.sink import MqttOptions, MqttSink
from tests.rpi_runtime.results import ABOUT, make_result
from tests.rpi_runtime.sinks.mqtt.mosquitto import wait_for

pytest.importorskip("paho.mqtt.client")
ACCEPTED = b"\x20\x02\x00\x00"


@contextlib.contextmanager
def broker(serve):
    """A server on loopback; `serve` gets each connection, after its CONNECT was read, and that packet."""
    server = socket.create_server(("127.0.0.1", 0), backlog=8)
    over = threading.Event()

    def accept():
        while not over.is_set():
            try:
                wire, _ = server.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), wire:
                wire.settimeout(5)
                serve(wire, wire.recv(4096))

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        over.set()
        server.close()
        with contextlib.suppress(OSError):
            socket.create_connection(server.getsockname(), 0.1).close()
        thread.join(6)


@contextlib.contextmanager
def publishing(port):
    sink = MqttSink(MqttOptions(target=f"127.0.0.1:{port}", name="kitchen", discovery="")).open(ABOUT)
    try:
        sink.write(make_result(0))
        yield sink
    finally:
        sink.close()


@pytest.mark.parametrize(
    "attack",
    [
        b"\x30\xff\xff\xff\x7f\x00\x01a" + b"x" * 200_000,
        b"\x30\x0a\x00\x01axxxxxxx" * 2000,
        b"\x34\x0c\x00\x01a\x00\x01xxxxxxx" * 2000,
        b"\xd0\x00" * 50_000,
        b"\x40\x02\x00\x01" * 50_000,
    ],
    ids=["one of 256 MB", "small ones", "of quality 2", "pings", "confirmations"],
)
def test_a_broker_that_floods_is_hung_up_on(attack):
    cut = threading.Event()

    def serve(wire, _):
        wire.sendall(ACCEPTED)
        try:
            for _ in range(1000):
                wire.sendall(attack)
        except OSError:
            cut.set()

    with broker(serve) as port, publishing(port) as sink:
        assert wait_for(cut.is_set)
        assert wait_for(lambda: "not asked for" in sink.trouble or "not subscribed" in sink.trouble)
        assert sink.connection.client.heard < 100_000


def test_a_broker_that_refuses_our_version_gets_mqtt_5():
    levels = []

    def serve(wire, connect):
        levels.append(connect[8])
        if connect[8] < 5:
            wire.sendall(b"\x20\x02\x00\x01")
            return
        wire.sendall(b"\x20\x03\x00\x00\x00")
        while wire.recv(4096):
            pass

    with broker(serve) as port, publishing(port) as sink:
        assert wait_for(lambda: sink.connection.connected)
    assert levels[:2] == [4, 5]


def test_rules_that_refuse_a_topic_are_guessed_at(caplog):
    def serve(wire, _):
        wire.sendall(ACCEPTED)
        wire.recv(4096)

    with broker(serve) as port, publishing(port) as sink:
        assert wait_for(lambda: "may not allow this user that topic" in sink.trouble)
        assert "pipose/kitchen/" in sink.trouble
    assert caplog.text.count("may not allow") <= 2


def test_each_process_has_a_client_id_of_its_own():
    ids = {MqttSink(MqttOptions(target="broker", name="x")).spec().client_id for _ in range(20)}
    assert len(ids) == 20


def test_machines_of_one_name_differ(tmp_path):
    names = set()
    for number in range(3):
        root = tmp_path / str(number)
        (root / "etc").mkdir(parents=True)
        (root / "etc/machine-id").write_text(f"{number:032x}1\n")
        assert default_name(root) == default_name(root)
        names.add(default_name(root))
    assert len(names) == 3
    (tmp_path / "0/proc/device-tree").mkdir(parents=True)
    (tmp_path / "0/proc/device-tree/serial-number").write_bytes(b"100000001234\0")
    assert default_name(tmp_path / "0") not in names
    assert default_name(tmp_path / "none") == socket.gethostname()


def test_a_second_run_of_the_same_name_is_said(caplog):
    first = Claim("kitchen", "broker-of-this-test")
    assert caplog.text == ""
    Claim("kitchen", "broker-of-this-test").close()
    assert "another run on this machine is called kitchen too" in caplog.text
    first.close()
    caplog.clear()
    Claim("kitchen", "broker-of-this-test").close()
    assert caplog.text == ""
