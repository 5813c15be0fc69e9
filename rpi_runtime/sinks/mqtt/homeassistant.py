"""Descriptions by which Home Assistant discovers a machine.

Source: Home Assistant documentation, MQTT integration, MQTT Discovery.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rpi_runtime import __version__
from rpi_runtime.sinks.mqtt.outbox import Mail

_ENTITIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("sensor", "people", {"name": "People", "icon": "mdi:account-group", "state_class": "measurement"}),
    (
        "binary_sensor",
        "occupancy",
        {"name": "Somebody there", "device_class": "occupancy", "payload_on": "ON", "payload_off": "OFF"},
    ),
    (
        "sensor",
        "fps",
        {
            "name": "Frames per second",
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
    ),
    (
        "sensor",
        "celsius",
        {
            "name": "Processor temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
    ),
    (
        "binary_sensor",
        "throttled",
        {
            "name": "Slowed down by heat",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "payload_on": "ON",
            "payload_off": "OFF",
        },
    ),
    (
        "binary_sensor",
        "problem",
        {
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "payload_on": "ON",
            "payload_off": "OFF",
        },
    ),
    (
        "binary_sensor",
        "camera",
        {
            "name": "Camera",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "payload_on": "ON",
            "payload_off": "OFF",
        },
    ),
)


def describe_device(prefix: str, device: str, topic: str, model: str) -> Iterator[Mail]:
    """Yield the retained descriptions of all entities.

    Parameters
    ----------
    prefix : str
        Home Assistant's discovery prefix, normally ``homeassistant``.
    device : str
        Identifies this machine: letters, digits, ``_`` and ``-``.
    topic : str
        Topic below which ``state`` and ``status`` are published.
    model : str
        Name of the network, as shown to people.
    """
    shared = {
        "device": {
            "identifiers": [f"pipose_{device}"],
            "name": f"pipose {device}",
            "model": model,
            "sw_version": __version__,
        },
        "origin": {"name": "pipose", "sw_version": __version__},
        "availability_topic": f"{topic}/status",
        "state_topic": f"{topic}/state",
    }
    for component, key, entity in _ENTITIES:
        unique = f"pipose_{device}_{key}"
        config = shared | entity | {"unique_id": unique, "value_template": f"{{{{ value_json.{key} }}}}"}
        payload = json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()
        yield Mail(f"{prefix}/{component}/pipose_{device}/{key}/config", payload, retain=True, qos=1)
