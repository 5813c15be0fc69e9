"""The sink mqtt against a real mosquitto: killed and returned, wrong password, TLS, slow network."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import time

import jsonschema
import pytest

from rpi_runtime.health.status import Status
from rpi_runtime.sinks.message import schema
from rpi_runtime.sinks.mqtt.sink import MqttOptions, MqttSink
from rpi_runtime.sinks.sink import About
from tests.rpi_runtime.results import make_result
from tests.rpi_runtime.sinks.mqtt.mosquitto import (
    Listener,
    Mosquitto,
    SlowProxy,
    free_port,
    make_authority,
    wait_for,
)
from tests.rpi_runtime.toys import CARD

pytest.importorskip("paho.mqtt.client")
ABOUT = About(
    model="toy 32x24",
    skeleton=CARD.skeleton,
    status=lambda: Status(state="running", fps=14.96, frames=7, celsius=61.24),
)


@contextlib.contextmanager
def sink_to(port, host="127.0.0.1", **options):
    sink = MqttSink(MqttOptions(target=f"{host}:{port}", name="kitchen", **options)).open(ABOUT)
    try:
        yield sink
    finally:
        sink.close()


@contextlib.contextmanager
def broker_and_listener(folder, *lines, **auth):
    broker = Mosquitto(folder, *(lines or ("allow_anonymous true",)))
    listener = Listener(broker.port, **auth)
    try:
        yield broker, listener
    finally:
        listener.close()
        broker.kill()


def frames(listener):
    return [json.loads(payload)["frame"] for payload in listener.of("pipose/kitchen/poses")]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_poses_states_and_descriptions_arrive(tmp_path, qos):
    with broker_and_listener(tmp_path) as (broker, listener):
        with sink_to(broker.port, qos=qos) as sink:
            assert wait_for(lambda: sink.connection.connected)
            for index in range(60):
                sink.write(make_result(index))
            assert wait_for(lambda: len(frames(listener)) == 60)
        assert wait_for(lambda: listener.of("pipose/kitchen/status")[-1:] == [b"offline"])
        assert frames(listener) == list(range(60))
        jsonschema.validate(json.loads(listener.of("pipose/kitchen/poses")[0]), schema())
        *_, before, last = map(json.loads, listener.of("pipose/kitchen/state"))
        assert (before["people"], before["occupancy"], before["fps"], before["celsius"]) == (
            1,
            "ON",
            15.0,
            61.2,
        )
        assert (last["people"], last["occupancy"]) == (None, None), "nobody looks any more"
        late = Listener(broker.port)
        assert wait_for(lambda: len(late.messages) >= 9)
        kept = {topic for topic, _, retained in late.messages if retained}
        late.close()
        assert {"pipose/kitchen/status", "pipose/kitchen/state"} < kept
        assert sum(topic.startswith("homeassistant/") for topic in kept) == 7
        assert sink.outbox.dropped + sink.connection.lost == 0


def test_the_broker_says_offline_when_the_machine_vanishes(tmp_path):
    with broker_and_listener(tmp_path) as (broker, listener):
        proxy = SlowProxy(broker.port, rate=10**9)
        with sink_to(proxy.port) as sink:
            assert wait_for(lambda: listener.of("pipose/kitchen/status") == [b"online"])
            proxy.close()
            assert wait_for(lambda: listener.of("pipose/kitchen/status") == [b"online", b"offline"])
            assert wait_for(lambda: not sink.connection.connected)


@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_is_killed_and_returns(tmp_path, qos, caplog):
    caplog.set_level(logging.INFO, "rpi_runtime")
    broker = Mosquitto(tmp_path, "allow_anonymous true")
    with sink_to(broker.port, qos=qos, buffer=50) as sink:
        assert wait_for(lambda: sink.connection.connected)
        sink.write(make_result(0))
        assert wait_for(lambda: sink.connection.client.sent >= 9)
        broker.kill()
        assert wait_for(lambda: not sink.connection.connected)
        for index in range(1, 201):
            sink.write(make_result(index))
        assert len(sink.outbox) <= 50
        assert sink.outbox.dropped >= 150
        broker.start()
        listener = Listener(broker.port)
        assert wait_for(lambda: sink.connection.connections == 2)
        assert wait_for(lambda: frames(listener)[-1:] == [200])
        # with QoS 1 the first one is sent again where its receipt was lost with the broker
        arrived = [number for number in frames(listener) if number]
        assert arrived == list(range(arrived[0], 201)), "the newest, in order, without a hole"
        assert len(arrived) <= 50
        listener.close()
    broker.kill()
    lost = [r.message for r in caplog.records if "trying again" in r.message]
    assert 1 <= len(lost) <= 3, f"said once a reason, not at every try: {lost}"


def test_a_broker_that_is_not_there_at_the_start_is_waited_for(tmp_path):
    port = free_port()
    with sink_to(port) as sink:
        sink.write(make_result(0))
        time.sleep(0.3)
        assert not sink.connection.connected
        broker = Mosquitto(tmp_path, "allow_anonymous true", port=port)
        assert wait_for(lambda: sink.connection.connected)
    broker.kill()


def write_passwords(folder):
    path = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", path, "pi", "right-one"], check=True, capture_output=True)
    path.chmod(0o644)
    return ("allow_anonymous false", f"password_file {path}")


def test_wrong_credentials_are_said_once_and_tried_again(tmp_path, caplog):
    caplog.set_level(logging.INFO, "rpi_runtime")
    broker = Mosquitto(tmp_path, *write_passwords(tmp_path))
    with sink_to(broker.port, username="pi", password="wrong-one") as sink:
        assert wait_for(lambda: any("trying again" in r.message for r in caplog.records))
        time.sleep(2)
        assert not sink.connection.connected
        for index in range(600):
            sink.write(make_result(index))
        assert len(sink.outbox) == 500
    broker.kill()
    said = [r.message for r in caplog.records if "trying again" in r.message]
    assert len(said) == 1
    assert "Not authorized" in said[0] or "Bad user name or password" in said[0]
    assert "wrong-one" not in caplog.text


def test_right_credentials(tmp_path):
    lines = write_passwords(tmp_path)
    with (
        broker_and_listener(tmp_path, *lines, username="pi", password="right-one") as (broker, listener),
        sink_to(broker.port, username="pi", password="right-one") as sink,
    ):
        sink.write(make_result(0))
        assert wait_for(lambda: frames(listener) == [0])


def tls_broker(folder, certificate, key):
    return Mosquitto(folder, "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")


def test_tls_with_an_authority_of_our_own(tmp_path):
    ca, certificate, key = make_authority(tmp_path)
    broker = tls_broker(tmp_path, certificate, key)
    with sink_to(broker.port, host="localhost", ca_file=str(ca)) as sink:
        sink.write(make_result(0))
        assert wait_for(lambda: sink.connection.client.sent >= 8)
    broker.kill()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # paho leaves the socket to Python
@pytest.mark.parametrize("fault", ["another authority", "another name"])
def test_tls_refuses_a_broker_that_is_not_the_right_one(tmp_path, fault, caplog):
    caplog.set_level(logging.INFO, "rpi_runtime")
    ca, certificate, key = make_authority(tmp_path)
    broker = tls_broker(tmp_path, certificate, key)
    if fault == "another authority":
        ca, _, _ = make_authority(tmp_path, "other")
    host = "localhost" if fault == "another authority" else "127.0.0.1"
    with sink_to(broker.port, host=host, ca_file=str(ca)) as sink:
        assert wait_for(lambda: "the broker's certificate is refused" in caplog.text)
        assert not sink.connection.connected
    broker.kill()


@pytest.mark.parametrize("qos", [0, 1])
def test_a_slow_network_slows_nobody_and_memory_stays_bounded(tmp_path, qos):
    with broker_and_listener(tmp_path) as (broker, listener):
        proxy = SlowProxy(broker.port, rate=10**9)
        with sink_to(proxy.port, qos=qos, buffer=30) as sink:
            assert wait_for(lambda: sink.connection.client.sent >= 7)
            proxy.rate = 20_000  # bytes a second; one message has about 400
            for index in range(3000):
                sink.write(make_result(index))
                if index % 100 == 0:
                    time.sleep(0.01)
            assert len(sink.outbox) <= 30
            assert sink.connection.client.in_flight <= 40
            assert sink.outbox.dropped > 100
            proxy.rate = 10**9
            assert wait_for(lambda: frames(listener)[-1:] == [2999])
        arrived = frames(listener)
        assert arrived == sorted(set(arrived)), "in order, none twice"
        assert len(arrived) + sink.outbox.dropped + sink.connection.lost >= 3000
        proxy.close()


def test_a_rate_thins_out_poses(tmp_path):
    with broker_and_listener(tmp_path) as (broker, listener), sink_to(broker.port, rate=0.01) as sink:
        assert wait_for(lambda: sink.connection.connected)
        for index in range(100):
            sink.write(make_result(index))
        assert wait_for(lambda: frames(listener) == [0])
