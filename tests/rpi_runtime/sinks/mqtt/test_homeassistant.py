"""What Home Assistant is told, against what its documentation allows.

Sources: home-assistant.io, integrations MQTT (discovery topics and payloads, availability, origin), MQTT sensor, MQTT
binary sensor, Sensor, Binary sensor; developers.home-assistant.io, Sensor entity (device classes with their units,
state classes), Binary sensor entity, Entity (categories). As of 2024.3; the same six descriptions went through that
version's own schemas.
"""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from rpi_runtime.health.status import Status
from rpi_runtime.sinks.mqtt.homeassistant import describe_device
from rpi_runtime.sinks.mqtt.sink import MqttOptions, MqttSink
from rpi_runtime.sinks.sink import About
from tests.rpi_runtime.results import make_result
from tests.rpi_runtime.toys import CARD

pytest.importorskip("paho.mqtt.client")
TEXT = {"type": "string", "minLength": 1}
TOPIC = {"type": "string", "pattern": "^[^#+\\x00]+$"}
NUMERIC_CLASSES = re.findall(
    r"\w+",
    """
    apparent_power aqi area atmospheric_pressure battery blood_glucose_concentration carbon_dioxide
    carbon_monoxide conductivity current data_rate data_size distance duration energy energy_distance
    energy_storage frequency gas humidity illuminance irradiance moisture monetary nitrogen_dioxide
    nitrogen_monoxide nitrous_oxide ozone ph pm1 pm10 pm25 power power_factor precipitation
    precipitation_intensity pressure reactive_power signal_strength sound_pressure speed sulphur_dioxide
    temperature volatile_organic_compounds volatile_organic_compounds_parts voltage volume volume_flow_rate
    volume_storage water weight wind_direction wind_speed
""",
)
BINARY_CLASSES = re.findall(
    r"\w+",
    """
    battery battery_charging carbon_monoxide cold connectivity door garage_door gas heat light lock moisture
    motion moving occupancy opening plug power presence problem running safety smoke sound tamper update
    vibration window
""",
)
DEVICE = {
    "type": "object",
    "properties": {
        "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
        "connections": {
            "type": "array",
            "items": {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2},
        },
        **dict.fromkeys(("manufacturer", "model", "name", "serial_number", "suggested_area"), TEXT),
        **dict.fromkeys(("hw_version", "sw_version", "via_device", "configuration_url"), TEXT),
    },
    "anyOf": [{"required": ["identifiers"]}, {"required": ["connections"]}],
    "additionalProperties": False,
}
ENTITY = {
    "device": DEVICE,
    "origin": {
        "type": "object",
        "properties": dict.fromkeys(("name", "sw_version", "support_url"), TEXT),
        "required": ["name"],
        "additionalProperties": False,
    },
    "availability_topic": TOPIC,
    "state_topic": TOPIC,
    "name": TEXT,
    "unique_id": TEXT,
    "value_template": TEXT,
    "icon": {"type": "string", "pattern": "^mdi:[a-z0-9-]+$"},
    "entity_category": {"enum": ["diagnostic"]},  # `config` is for what can be set, which sensors cannot
    "enabled_by_default": {"type": "boolean"},
    "expire_after": {"type": "integer", "minimum": 1},
    "force_update": {"type": "boolean"},
    "qos": {"enum": [0, 1, 2]},
}
SENSOR = ENTITY | {
    "device_class": {"enum": NUMERIC_CLASSES},
    "state_class": {"enum": ["measurement", "measurement_angle", "total", "total_increasing"]},
    "unit_of_measurement": TEXT,
    "suggested_display_precision": {"type": "integer", "minimum": 0},
}
BINARY_SENSOR = ENTITY | {
    "device_class": {"enum": BINARY_CLASSES},
    "payload_on": TEXT,
    "payload_off": TEXT,
    "off_delay": {"type": "integer", "minimum": 1},
}
REQUIRED = ["state_topic", "unique_id", "device", "origin"]


def schema_of(component):
    """What a description of this component may hold."""
    properties = {"sensor": SENSOR, "binary_sensor": BINARY_SENSOR}[component]
    schema = {"type": "object", "properties": properties, "required": REQUIRED, "additionalProperties": False}
    celsius = {
        "properties": {"unit_of_measurement": {"enum": ["°C", "°F", "K"]}},
        "required": ["unit_of_measurement"],
    }
    temperature = {"properties": {"device_class": {"const": "temperature"}}, "required": ["device_class"]}
    return schema | {"if": temperature, "then": celsius}


def descriptions(name="kitchen"):
    """(component, object, description) of each entity."""
    device = MqttSink(MqttOptions(target="broker", name=name)).device
    for mail in describe_device("homeassistant", device, f"pipose/{device}", "toy 32x24"):
        # <prefix>/<component>/<node>/<object>/config, with letters, digits, _ and - as names
        found = re.fullmatch(r"homeassistant/(\w+)/([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)/config", mail.topic)
        assert found, mail.topic
        assert mail.retain, "otherwise it is gone when Home Assistant starts again"
        yield found[1], found[3], json.loads(mail.payload)


def state(status):
    """What the topic of states says after a result with one person."""
    sink = MqttSink(MqttOptions(target="127.0.0.1:1", name="kitchen")).open(
        About(model="toy", skeleton=CARD.skeleton, status=lambda: status)
    )
    try:
        sink.write(make_result(0))
        return json.loads(sink._state().payload)
    finally:
        sink.close()


@pytest.mark.parametrize("name", ["kitchen", "Küche 1/2", "a.b:c"])
def test_descriptions_hold_what_is_documented(name):
    found = list(descriptions(name))
    assert len(found) == 7
    for component, _, description in found:
        jsonschema.Draft202012Validator.check_schema(schema_of(component))
        jsonschema.validate(description, schema_of(component))
    assert len({d["unique_id"] for _, _, d in found}) == 7
    assert len({json.dumps(d["device"]) for _, _, d in found}) == 1, "they make up one device"


@pytest.mark.parametrize(
    "change",
    [
        {"device_class": "people"},
        {"state_class": "measured"},
        {"unit_of_measurement": "C", "device_class": "temperature"},
        {"entity_category": "config"},
        {"unit": "fps"},
        {"device": {"name": "nameless"}},
        {"origin": {"sw_version": "1"}},
    ],
)
def test_the_schema_refuses_what_home_assistant_would(change):
    component, _, description = next(iter(descriptions()))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(description | change, schema_of(component))


@pytest.mark.parametrize(
    "status",
    [
        Status(state="running", fps=14.96, frames=7, celsius=61.24, throttled=True),
        Status(state="lost"),
        Status(state="opening"),
    ],
)
def test_each_entity_finds_its_value_in_the_state(status):
    values = state(status)
    for component, key, description in descriptions():
        template = description["value_template"]
        found = re.fullmatch(r"\{\{ value_json\.(\w+) \}\}", template)
        assert found and found[1] == key, template
        value = values[key]
        if value is None:  # rendered as None, which both kinds of entities show as unknown
            assert key in ("people", "occupancy", "celsius")
        elif component == "binary_sensor":
            assert value in (description["payload_on"], description["payload_off"]), (key, value)
        else:
            assert isinstance(value, int | float) and not isinstance(value, bool), (key, value)
    assert (values["people"], values["occupancy"]) == (
        (1, "ON") if status.state == "running" else (None, None)
    )
    assert values["camera"] == ("ON" if status.state == "running" else "OFF")


def test_availability_uses_the_payloads_that_home_assistant_expects():
    sink = MqttSink(MqttOptions(target="broker", name="kitchen"))
    for word in ("online", "offline"):
        mail = sink.status(word)
        assert (mail.payload, mail.retain) == (word.encode(), True)
        assert all(d["availability_topic"] == mail.topic for _, _, d in descriptions())
