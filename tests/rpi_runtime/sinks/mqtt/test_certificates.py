"""The sink mqtt at a mosquitto that asks for a certificate: the right one, none, wrong ones."""

from __future__ import annotations

import logging
import subprocess

import pytest

from rpi_runtime.errors import InputError
from rpi_runtime.sinks.mqtt.sink import MqttOptions, MqttSink
from tests.rpi_runtime.results import make_result
from tests.rpi_runtime.sinks.mqtt.mosquitto import (
    Listener,
    Mosquitto,
    answers,
    free_port,
    make_authority,
    make_certificate,
    wait_for,
)
from tests.rpi_runtime.sinks.mqtt.test_connection import ABOUT, frames, sink_to

pytest.importorskip("paho.mqtt.client")


@pytest.fixture
def authority(tmp_path):
    """An authority, and certificate and key of a broker called localhost."""
    return make_authority(tmp_path)


@pytest.fixture
def strict(tmp_path, authority):
    """A broker that wants certificates, and lets only `pose` write; and somebody who listens at another door of it."""
    ca, certificate, key = authority
    rules = tmp_path / "rules"
    rules.write_text("topic read #\nuser pose\ntopic readwrite #\n")
    rules.chmod(0o600)
    broker = Mosquitto(
        tmp_path,
        "allow_anonymous true",
        *(f"cafile {ca}", f"certfile {certificate}", f"keyfile {key}"),
        *("require_certificate true", "use_identity_as_username true"),
        f"listener {(port := free_port())} 127.0.0.1",
        f"acl_file {rules}",
    )
    assert wait_for(lambda: answers(port))
    listener = Listener(port)
    yield broker, listener
    listener.close()
    broker.kill()


def test_the_right_certificate_opens_the_door(strict, authority):
    broker, listener = strict
    certificate, key = make_certificate(authority[0], "pose")
    options = {"cert_file": str(certificate), "key_file": str(key)}
    with sink_to(broker.port, host="localhost", ca_file=str(authority[0]), **options) as sink:
        sink.write(make_result(0))
        assert wait_for(lambda: frames(listener) == [0])
        assert sink.connection.connections == 1
    assert wait_for(lambda: listener.of("pipose/kitchen/status")[-1:] == [b"offline"])


def test_certificate_and_key_may_be_one_file(strict, authority, monkeypatch):
    broker, listener = strict
    certificate, key = make_certificate(authority[0], "pose")
    certificate.write_text(certificate.read_text() + key.read_text())
    monkeypatch.setenv("PIPOSE_MQTT_CERT_FILE", str(certificate))
    with sink_to(broker.port, host="localhost", ca_file=str(authority[0])) as sink:
        sink.write(make_result(0))
        assert wait_for(lambda: frames(listener) == [0])


def test_the_broker_knows_whose_certificate_it_is(strict, authority):
    broker, listener = strict
    certificate, key = make_certificate(authority[0], "stranger")
    options = {"cert_file": str(certificate), "key_file": str(key)}
    with sink_to(broker.port, host="localhost", ca_file=str(authority[0]), qos=1, **options) as sink:
        sink.write(make_result(0))
        assert wait_for(lambda: sink.connection.client.sent >= 8)
    assert not listener.messages, "the broker takes a stranger's messages and throws them away"


@pytest.mark.parametrize("fault", ["none", "another authority's", "expired"])
def test_a_wrong_certificate_is_refused_and_said_once(strict, authority, tmp_path, fault, caplog):
    caplog.set_level(logging.INFO, "rpi_runtime")
    broker, listener = strict
    ca = authority[0] if fault != "another authority's" else make_authority(tmp_path, "other")[0]
    certificate, key = make_certificate(ca, "pose", days=-1 if fault == "expired" else 2)
    options = {} if fault == "none" else {"cert_file": str(certificate), "key_file": str(key)}
    with sink_to(broker.port, host="localhost", ca_file=str(authority[0]), **options) as sink:
        sink.write(make_result(0))
        assert wait_for(lambda: "trying again" in caplog.text)
        # the next tries: after at most 1, 2 and 4 s
        assert not wait_for(lambda: sink.connection.connected, 3)
        assert len(sink.outbox) == 2, "poses and state wait for a better certificate"
    (said,) = [r.message for r in caplog.records if "trying again" in r.message]
    assert "if it asks for a certificate, cert_file has to be one that it knows" in said
    assert not listener.messages


def test_a_broker_with_tls_and_a_client_without(strict, caplog):
    caplog.set_level(logging.INFO, "rpi_runtime")
    broker, _ = strict
    with sink_to(broker.port) as sink:
        assert wait_for(lambda: "it hung up before it answered; does it expect TLS?" in caplog.text)
        assert not sink.connection.connected


def start(**options):
    """Start a sink whose files are wrong; what it says."""
    sink = MqttSink(MqttOptions(target="localhost:8883", **{k: str(v) for k, v in options.items()}))
    with pytest.raises(InputError) as caught:
        sink.open(ABOUT)
    return str(caught.value)


def test_a_key_of_another_certificate(authority):
    certificate, _ = make_certificate(authority[0], "pose")
    _, other = make_certificate(authority[0], "other")
    said = start(cert_file=certificate, key_file=other)
    assert "pose.pem" in said and "the key that belongs to the certificate" in said


def test_a_key_without_a_certificate(authority):
    assert "it has no certificate; give cert_file too" in start(key_file=authority[2])


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(authority, tmp_path):
    certificate, key = make_certificate(authority[0], "pose")
    locked = tmp_path / "locked.key"
    words = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:sesame", "-out", locked]
    subprocess.run(words, check=True, capture_output=True)
    said = start(cert_file=certificate, key_file=locked)
    assert "locked.key: the key is encrypted" in said
