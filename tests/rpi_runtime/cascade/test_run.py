"""The cascade from the command line to messages, figures and errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from rpi_runtime.__main__ import main
from rpi_runtime.assemble import build
from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.pictures import read_picture, write_picture
from rpi_runtime.capture.source import Wanted
from rpi_runtime.cascade.cascade import Cascade
from rpi_runtime.cascade.refine import refiner_for
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.commands import bench, doctor
from rpi_runtime.commands.doctor import Patient
from rpi_runtime.errors import UsageError
from rpi_runtime.estimate import Estimator
from rpi_runtime.health.status import CascadeSummary, Status
from rpi_runtime.model.card import InputSpec, OutputSpec
from rpi_runtime.model.decoders import TopdownSettings
from rpi_runtime.pipeline import Pipeline
from rpi_runtime.service.pulse import Pulse
from rpi_runtime.settings.run_config import load_config, source_config
from rpi_runtime.sinks.message import make_message, schema
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.sinks.web.metrics import Exposition, add_status
from rpi_runtime.stop import StopFlag
from tests.rpi_runtime.dots import CROPS, PICTURES, SKELETON, DotsNetwork, draw, person
from tests.rpi_runtime.results import make_result
from tests.rpi_runtime.service.test_pulse import Heard
from tests.rpi_runtime.test_pipeline import KeepingSink
from tests.rpi_runtime.toys import CARD, write_toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A toy of whole pictures, the same tensors as a toy of crops, and three pictures of one or two people."""
    folder = tmp_path_factory.mktemp("cascade")
    write_toy(folder / "toy.tflite")
    maps = OutputSpec(name="heatmaps", role="heatmaps", channels=19, stride=8)
    crops = InputSpec(width=32, height=24, fit="crop")
    write_toy(folder / "crops.tflite", input=crops, outputs=(maps,), decoder=TopdownSettings())
    other = replace(CARD.skeleton, keypoints=tuple(f"x{i}" for i in range(18)))
    write_toy(folder / "stranger.tflite", skeleton=other)
    (folder / "photos").mkdir()
    for number in range(3):
        people = [person(80, 60), *([person(200, 70)] if number else [])]
        write_picture(draw(people), folder / f"photos/{number}.png")
    return folder


def words(folder: Path, *more: str) -> list[str]:
    """A command line; capitals stand for files."""
    files = {"TOY": "toy.tflite", "CROPS": "crops.tflite", "STRANGER": "stranger.tflite", "PHOTOS": "photos"}
    return [str(folder / files[word]) if word in files else word for word in more]


def test_messages_of_a_run_say_who_was_refined(folder, tmp_path, capfd):
    sink = f"jsonl:{tmp_path / 'p.jsonl'}"
    line = ["run", "--model", "TOY", "--refine", "CROPS", "--refine-budget-ms", "0", "--source", "PHOTOS"]
    assert main([*words(folder, *line), "--sink", sink]) == 0
    messages = [json.loads(text) for text in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert len(messages) == 3
    for message in messages:
        jsonschema.validate(message, schema())
        assert message["looked"] is True, "a folder of pictures"
        assert message["refined"] == sum(p["refined"] for p in message["people"])
        stages = ["wait", "preprocess", "infer", "decode", "refine", "track"]
        assert list(message["latency_ms"]) == stages
    assert "whole picture looked at on 3 of 3 frames" in capfd.readouterr().err


def test_without_a_cascade_messages_are_as_before():
    message = make_message(make_result(), CARD.skeleton)
    assert not {"refined", "looked"} & set(message) and "refined" not in message["people"][0]


def test_the_pipeline_counts_what_was_refined(folder):
    network = DotsNetwork(CROPS)
    cascade = Cascade(refiner_for(network), CROPS, SKELETON, RefineConfig(model="r", budget_ms=0))
    flag, sink = StopFlag(), KeepingSink()
    estimator = Estimator([DotsNetwork(PICTURES)], track=False, cascade=cascade)
    feed = Feed(source_config(str(folder / "photos")).make, Wanted(), Recovery(open_s=5, stall_s=5))
    status = Pipeline(feed, estimator, [SinkRunner(sink, lossless=True, stopping=flag)], stopping=flag).run()
    assert status.cascade == CascadeSummary(refined=2, people_total=5, refined_total=5, looks_total=3)
    assert "refined 5 of 5 people, whole picture looked at on 3 of 3 frames" in status.describe()
    message = make_message(sink.results[1], SKELETON)
    jsonschema.validate(message, schema())
    assert (message["refined"], [p["refined"] for p in message["people"]]) == (2, [True, True])


def test_metrics_and_status_line():
    done = CascadeSummary(refined=1, people_total=10, refined_total=7, looks_total=3)
    status = Status(state="running", frames=5, fps=9.0, people=2, cascade=done)
    out = Exposition()
    add_status(out, status)
    text = out.text()
    for line in ("refined 1", "people_total 10", "refined_total 7", "looks_total 3"):
        assert f"\npipose_{line}\n" in text
    heard = Heard()
    Pulse(heard).beat(status, 0.0)
    assert "STATUS=9.0 frames per second, 2 people, 1 refined" in heard.words
    plain = Exposition()
    add_status(plain, replace(status, cascade=None))
    assert "refined" not in plain.text()


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (["--model", "CROPS"], 3, "--model FINDER.tflite --refine THIS.tflite"),
        (["--model", "TOY", "--refine-budget-ms", "9"], 2, "--refine-budget-ms: nothing refines; name a network"),
        (["--model", "TOY", "--look-every", "9"], 2, "--look-every: nothing refines"),
        (["--model", "TOY", "--refine", "TOY", "--look-every", "0"], 2, "--look-every: got 0, expected 1 to"),
        (["--model", "TOY", "--refine", "TOY", "--refine-budget-ms", "-1"], 2, "--refine-budget-ms: got -1"),
        (["--model", "TOY", "--refine", "none.tflite"], 3, "none.tflite"),
        (["--model", "TOY", "--refine", "STRANGER"], 3, "0 keypoints in common"),
        (["--model", "TOY", "--refine", "CROPS", "--sink", "jsonl:CROPS"], 2, "is named twice"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_an_exit_code(folder, capsys, line, code, message):
    line = [w.replace("jsonl:CROPS", f"jsonl:{folder / 'crops.tflite'}") for w in line]
    assert main([*words(folder, "run", "--source", "PHOTOS", *line)]) == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last


FILE = """\
model = "m.tflite"

[refine]
model = "r.tflite"
budget_ms = 20
look_every = 3
"""


def test_the_file_and_the_command_line_say_the_same(tmp_path):
    path = tmp_path / "pipose.toml"
    path.write_text(FILE)
    options = {"model": "m.tflite", "refine": "r.tflite", "refine_budget_ms": 20.0, "look_every": 3}
    assert load_config(path, {}) == load_config(None, options)
    one = load_config(path, {"refine_budget_ms": 40.0}).refine
    assert one == RefineConfig(model="r.tflite", budget_ms=40, look_every=3), "the others stay"
    path.write_text('model = "m.tflite"\nrefine = "r.tflite"\n')
    assert load_config(path, {}).refine == RefineConfig(model="r.tflite")
    assert load_config(None, {"model": "m.tflite"}).refine is None


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("budget_ms = 20", "budget = 20", 5, "refine.budget: unknown key; did you mean 'budget_ms'?"),
        ("budget_ms = 20", "budget_ms = -3", 5, "refine.budget_ms: got -3, expected 0 to"),
        ("look_every = 3", 'look_every = "often"', 6, "refine.look_every: expected int, got 'often'"),
        ('model = "r.tflite"\n', "", 3, "refine.model: missing key"),
    ],
)
def test_errors_in_a_file_name_the_line(tmp_path, old, new, line, message):
    path = tmp_path / "pipose.toml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(UsageError) as caught:
        load_config(path, {})
    assert f"pipose.toml:{line}: " in str(caught.value) and message in str(caught.value)


def test_a_camera_is_asked_for_more_than_the_first_network_sees(folder):
    chosen = {"model": str(folder / "toy.tflite"), "source": "picamera", "sink": ["null"]}
    pipeline = build(load_config(None, chosen | {"refine": str(folder / "crops.tflite")}), StopFlag())
    assert pipeline.feed._wanted == Wanted(width=640, height=480)


class DotsModel(DotsNetwork):
    """As the commands load a file: the name says which network it is."""

    def __init__(self, path, threads=None):
        super().__init__(CROPS if "crops" in str(path) else PICTURES)

    def describe(self):
        return self.card.name


def test_show_draws_what_was_refined(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("rpi_runtime.commands.show.Model", DotsModel)
    monkeypatch.setattr("rpi_runtime.cascade.cascade.Model", DotsModel)
    line = ["show", "--model", "TOY", "--refine", "CROPS", "--refine-budget-ms", "0", "PHOTOS"]
    assert main(words(folder, *line, "--output", str(tmp_path / "drawn"))) == 0
    for number, people in enumerate((1, 2, 2)):
        picture = read_picture(folder / f"photos/{number}.png").astype(int)
        drawn = read_picture(tmp_path / f"drawn/{number}-poses.png").astype(int)
        changed = np.abs(drawn - picture).max(axis=2) > 20
        for x, y in [(80, 60), (200, 70)][:people]:
            assert all(changed[y + 20 * n - 4 : y + 20 * n + 5, x - 4 : x + 5].any() for n in range(6))
        assert not changed[:, 240:].any() and not changed[:, :40].any(), "and nothing far from people"
    assert "1-poses.png: 2 people" in capfd.readouterr().err


def test_show_says_in_one_line_what_cannot_refine(folder, capsys):
    assert main(words(folder, "show", "--model", "TOY", "--refine", "STRANGER", "PHOTOS")) == 3
    assert "0 keypoints in common" in capsys.readouterr().err.splitlines()[-1]


def test_bench_has_the_stage_and_the_figures(folder, capsys):
    line = ["--model", "TOY", "--refine", "CROPS", "--refine-budget-ms", "0", "--source", "PHOTOS"]
    counts = ["--frames", "4", "--warm-up", "1", "--threads", "1"]
    assert bench.main([*words(folder, *line), *counts, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steady"]["refine"]["count"] == 4 and 0 < result["looks"] <= 1
    assert 0 <= result["refined"] <= result["people"]
    bench.main([*words(folder, *line), *counts])
    assert "of them refined" in capsys.readouterr().out


def test_doctor_looks_at_the_second_model(folder):
    def check(model, refine):
        return list(doctor.check_refine(Patient(model=folder / model, refine=folder / refine)))

    found, cost = check("toy.tflite", "crops.tflite")
    assert (found.level, found.topic) == ("ok", "refine") and "one crop takes about" in cost.text
    (bad,) = check("toy.tflite", "stranger.tflite")
    assert bad.level == "error" and "0 keypoints in common" in bad.text
    (alone,) = doctor.check_model(Patient(model=folder / "crops.tflite"))
    assert alone.level == "error" and "--refine" in alone.remedy
    assert list(doctor.check_refine(Patient())) == []
