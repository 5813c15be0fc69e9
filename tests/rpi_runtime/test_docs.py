"""The examples of the documents work as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from rpi_runtime import config as config_module
from rpi_runtime.config import load_config
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


@pytest.mark.parametrize("name", ["live.md", "mqtt.md"])
def test_the_sinks_of_the_documents_load(tmp_path, name):
    (tmp_path / "pipose.toml").write_text('model = "m.tflite"\n' + example(name, "toml"))
    (sink,) = load_config(tmp_path / "pipose.toml", {}).sink
    assert sink.kind == {"live.md": "web", "mqtt.md": "mqtt"}[name]
