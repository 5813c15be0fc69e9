"""The examples of the documents work as they stand."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from rpi_runtime.capture.kinds import SourceConfig
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.health.thermal import HeatConfig
from rpi_runtime.settings import run_config as config_module
from rpi_runtime.settings.run_config import Behaviour, load_config
from rpi_runtime.sinks.kinds import KINDS
from rpi_runtime.sinks.message import schema

DOCS = Path(__file__).parents[2] / "rpi_runtime" / "docs"


def example(name, language):
    return re.search(rf"```{language}\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)[1]


def test_the_message_of_the_document_fits_the_schema():
    jsonschema.validate(json.loads(example("messages.md", "json")), schema())


def test_every_field_of_the_schema_is_explained():
    text = (DOCS / "messages.md").read_text()
    person = schema()["$defs"]["person"]["properties"]
    names = [*schema()["properties"], *(f"people[].{name}" for name in person)]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    "text", [example("configuration.md", "toml"), config_module.__doc__.split("::\n")[1]]
)
def test_the_configurations_of_the_documents_load(tmp_path, text):
    (tmp_path / "pipose.toml").write_text(re.split(r"\nOn the command line", text)[0])
    assert load_config(tmp_path / "pipose.toml", {}).model == ("lw-openpose-160x120-int8.tflite",)


def documented_tables():
    """Each table of the configuration's document beside the dataclass that it becomes."""
    data = tomllib.loads(example("configuration.md", "toml"))
    assert data.pop("model"), "no default"
    yield data.pop("source"), SourceConfig
    yield data.pop("heat"), HeatConfig
    yield data.pop("refine"), RefineConfig
    sinks = data.pop("sink")
    assert sorted(s["kind"] for s in sinks) == sorted(KINDS)
    for sink in sinks:
        yield sink, KINDS[sink.pop("kind")].options
    yield data, Behaviour


def test_the_configuration_of_the_document_is_every_key_with_its_default():
    without = ["model"]
    for table, cls in documented_tables():
        fields = dataclasses.fields(cls)
        assert sorted(table) == sorted(f.name for f in fields), cls
        for field in fields:
            value = tuple(table[field.name]) if isinstance(table[field.name], list) else table[field.name]
            if field.default is not dataclasses.MISSING:
                assert (type(value), value) == (type(field.default), field.default), (cls, field.name)
            elif (
                field.name != "kind"
            ):  # of a source: picamera where the whole table is left out, see test_config
                without.append(field.name)
    lines = example("configuration.md", "toml").splitlines()
    assert sorted(line.split()[0] for line in lines if "no default" in line) == sorted(without)


@pytest.mark.parametrize("name", ["live.md", "mqtt.md"])
def test_the_sinks_of_the_documents_load(tmp_path, name):
    (tmp_path / "pipose.toml").write_text('model = "m.tflite"\n' + example(name, "toml"))
    (sink,) = load_config(tmp_path / "pipose.toml", {}).sink
    assert sink.kind == {"live.md": "web", "mqtt.md": "mqtt"}[name]
