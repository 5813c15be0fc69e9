"""The message keeps to its schema."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from rpi_runtime.sinks.message import encode_message, make_message, schema
from tests.rpi_runtime.results import make_result
from tests.rpi_runtime.toys import CARD


def test_a_message_says_what_a_consumer_needs():
    result = make_result(index=7)
    message = make_message(result, CARD.skeleton, now_ns=result.taken_ns + 20_500_000)
    assert message == {
        "version": 2,
        "frame": 7,
        "time": "2023-11-14T22:13:20.123Z",
        "timestamp_ns": 700_000_000,
        "width": 64,
        "height": 48,
        "people": [
            {
                "id": 1,
                "score": 1.25,
                "age": 7,
                "keypoints": {"k0": [10.3, 20.0, 0.5], "k1": [30.0, 20.0, 0.25]},
            }
        ],
        "age_ms": 20.5,
        "latency_ms": {"wait": 1.0, "infer": 3.142},
        "dropped": 0,
    }


@pytest.mark.parametrize("people", [0, 1, 3])
@pytest.mark.parametrize("name", ["", "Grüße 1.jpg", "not \udcff UTF-8.jpg"])
def test_messages_fit_the_schema(people, name):
    line = encode_message(replace(make_result(people=people), name=name), CARD.skeleton)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    jsonschema.Draft202012Validator(schema()).validate(json.loads(line))


def test_the_schema_is_one_and_refuses_what_is_wrong():
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    good = make_message(make_result(), CARD.skeleton)
    assert validator.is_valid(good)
    assert not validator.is_valid(good | {"version": 3})
    assert not validator.is_valid({k: v for k, v in good.items() if k != "people"})
    person = good["people"][0]
    for bad in ({"k0": [1, 2]}, {"k0": [1, 2, 0]}, {"k0": [1, 2, 3, 4]}):
        assert not validator.is_valid(good | {"people": [person | {"keypoints": bad}]})
