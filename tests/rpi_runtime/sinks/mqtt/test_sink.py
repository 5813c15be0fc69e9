"""Options of the sink mqtt, where its secrets may stand, and its bounded buffer."""

from __future__ import annotations

import pytest

from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.settings.run_config import load_config, sink_config
from rpi_runtime.sinks.mqtt.homeassistant import describe_device
from rpi_runtime.sinks.mqtt.outbox import Mail, Outbox
from rpi_runtime.sinks.mqtt.sink import MqttOptions, MqttSink
from tests.rpi_runtime.results import ABOUT


@pytest.mark.parametrize("key", ["username", "password"])
def test_secrets_are_refused_on_the_command_line(key):
    with pytest.raises(UsageError, match=f"{key}: refused on a command line.*PIPOSE_MQTT_{key.upper()}"):
        load_config(None, {"model": ["m.tflite"], "sink": [f"mqtt:broker,{key}=hunter22"]})


@pytest.mark.parametrize(
    "target", ["user:hunter22@broker", "mqtt://user:hunter22@broker", "user@broker:1883"]
)
def test_secrets_are_refused_in_a_target_and_not_repeated(target):
    with pytest.raises(UsageError, match="target: expected HOST or HOST:PORT") as caught:
        sink_config(f"mqtt:{target}")
    assert "hunter22" not in str(caught.value)


def test_secrets_come_from_the_file_and_stay_out_of_sight(tmp_path):
    text = (
        'model = "m.tflite"\n[[sink]]\nkind = "mqtt"\ntarget = "b"\nusername = "pi"\npassword = "hunter22"\n'
    )
    (tmp_path / "pipose.toml").write_text(text)
    config = load_config(tmp_path / "pipose.toml", {})
    assert config.sink[0].options.password == "hunter22"
    sink = config.sink[0].make()
    assert "hunter22" not in repr(config) + repr(vars(sink)) + sink.name


def test_secrets_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("PIPOSE_MQTT_USERNAME", "pi")
    monkeypatch.setenv("PIPOSE_MQTT_PASSWORD", "hunter22")
    options = sink_config("mqtt:broker").make().options  # type: ignore[attr-defined]
    assert (options.username, options.password) == ("pi", "hunter22")


@pytest.mark.parametrize(
    ("options", "encrypted"),
    [
        ({}, False),
        ({"tls": "on"}, True),
        ({"ca_file": "ca.pem"}, True),
        ({"ca_file": "ca.pem", "tls": "off"}, False),
    ],
)
def test_when_the_connection_is_encrypted(options, encrypted):
    assert MqttOptions(target="broker", **options).uses_tls is encrypted
    assert MqttOptions(target="broker:8883").uses_tls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qos": 3}, "qos: got 3, expected 0, 1 or 2"),
        ({"buffer": 0}, "buffer: got 0"),
        ({"topic": "a/#"}, "topic: got 'a/#'"),
        ({"tls": "yes"}, "tls: got 'yes', expected auto, on or off"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        MqttOptions(target="broker", **options)


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [("b", "b", 1883), ("b:8883", "b", 8883), ("[::1]:1884", "::1", 1884), ("[::1]", "::1", 1883)],
)
def test_targets(target, host, port):
    spec = MqttSink(MqttOptions(target=target)).spec()
    assert (spec.host, spec.port) == (host, port)


@pytest.mark.parametrize("target", ["a..b", "a" * 64, "broker:0", "broker:65536", "broker:99999"])
def test_a_name_or_port_that_no_broker_can_have_is_refused(target):
    """It was tried for ever, or raised UnicodeError in the connection's thread."""
    with pytest.raises(UsageError, match="target: expected HOST or HOST:PORT"):
        sink_config(f"mqtt:{target}")


def test_a_missing_authority_is_an_error_at_the_start(tmp_path):
    pytest.importorskip("paho.mqtt.client")
    sink = MqttSink(MqttOptions(target="broker", ca_file=str(tmp_path / "none.pem")))
    with pytest.raises(InputError, match=r"none\.pem: cannot be used for TLS"):
        sink.open(ABOUT)


def test_the_outbox_drops_the_oldest_and_counts():
    outbox = Outbox(3)
    for number in range(5):
        outbox.put(Mail("t", str(number).encode()))
    assert (len(outbox), outbox.dropped) == (3, 2)
    first = outbox.take()
    assert first.payload == b"2"
    outbox.put_back(first)
    assert [outbox.take().payload for _ in range(3)] == [b"2", b"3", b"4"]
    assert outbox.take() is None


def test_put_back_into_a_full_outbox_is_a_drop():
    outbox = Outbox(1)
    outbox.put(Mail("t", b"new"))
    outbox.put_back(Mail("t", b"old"))
    assert (outbox.take().payload, outbox.dropped) == (b"new", 1)


def test_descriptions_for_home_assistant_are_retained_and_complete():
    import json

    mails = list(describe_device("homeassistant", "kitchen", "pipose/kitchen", "toy 32x24"))
    configs = [json.loads(mail.payload) for mail in mails]
    assert all(mail.retain for mail in mails)
    assert len({config["unique_id"] for config in configs}) == len(configs) == 7
    for config in configs:
        assert config["availability_topic"] == "pipose/kitchen/status"
        assert config["device"]["identifiers"] == ["pipose_kitchen"]
        assert config["value_template"].startswith("{{ value_json.")
    assert mails[0].topic == "homeassistant/sensor/pipose_kitchen/people/config"
