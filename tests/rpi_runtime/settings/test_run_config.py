"""The same settings from a file and from the command line; errors name key, line and nearest."""

from __future__ import annotations

import os

import pytest

from rpi_runtime.capture.kinds import SourceConfig, guess_kind
from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.settings.run_config import load_config, sink_config, source_config
from rpi_runtime.settings.short_form import parse_spec
from rpi_runtime.sinks.jsonl import JsonlOptions

FILE = """\
# everything at once
model = ["large.tflite", "small.tflite"]
threads = 2
track = "on"
smooth = false
max_fps = 12
frames = 100

[source]
kind = "camera"
target = "/dev/video2"
width = 640
height = 480

[[sink]]
kind = "jsonl"
target = "poses.jsonl"
max_mb = 10
keep = 2

[[sink]]
kind = "null"

[heat]
limit_c = 70
resume_c = 60.5
"""

WORDS = {
    "model": ["large.tflite", "small.tflite"],
    "threads": 2,
    "track": "on",
    "smooth": False,
    "max_fps": 12.0,
    "frames": 100,
    "source": "camera:/dev/video2,width=640,height=480",
    "sink": ["jsonl:poses.jsonl,max_mb=10,keep=2", "null"],
    "heat": "limit_c=70,resume_c=60.5",
}


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "pipose.toml"
        path.write_text(text)
        return path

    return write


def test_the_file_and_the_command_line_say_the_same(write):
    assert load_config(write(FILE), {}) == load_config(None, WORDS)


def test_short_forms_work_in_a_file_too(write):
    text = 'model = "m.tflite"\nsource = "walk.mp4,loop=yes"\nsink = ["jsonl:-"]\n'
    config = load_config(write(text), {})
    assert config.source == SourceConfig(kind="video", target="walk.mp4", loop=True)
    assert config == load_config(None, {"model": "m.tflite", "source": "video:walk.mp4,loop=true"})


def test_the_command_line_replaces_the_file(write):
    config = load_config(write(FILE), {"max_fps": 5.0, "sink": ["null"]})
    assert (config.max_fps, [s.kind for s in config.sink], config.threads) == (5, ["null"], 2)


def test_defaults():
    config = load_config(None, {"model": "m.tflite"})
    assert config.source.kind == "picamera"
    assert [s.options for s in config.sink] == [JsonlOptions(target="-")]
    assert config.tracks
    assert not load_config(None, {"model": "m.tflite", "source": "."}).tracks


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("threads = 2", "thread = 2", 3, "thread: unknown key; did you mean 'threads'?"),
        ("threads = 2", 'threads = "two"', 3, "threads: expected int, got 'two'"),
        ("threads = 2", "threads = 99", 3, "threads: got 99, expected 0 to 64"),
        ('track = "on"', 'track = "onn"', 4, "track: got 'onn', expected one of 'auto', 'on', 'off'"),
        ("width = 640", "widht = 640", 12, "source.widht: unknown key; did you mean 'width'?"),
        ("width = 640", "width = -1", 12, "source.width: got -1, expected at least 0"),
        (
            'kind = "camera"',
            'kind = "camra"',
            10,
            "source.kind: unknown kind 'camra'; did you mean 'camera'?",
        ),
        ("max_mb = 10", "max_bm = 10", 18, "sink[0].max_bm: unknown key; did you mean 'max_mb'?"),
        ('kind = "null"', 'kind = "nul"', 22, "sink[1].kind: unknown kind 'nul'; did you mean 'null'?"),
        ("limit_c = 70", "limit_c = 50", 26, "heat.resume_c: got 60.5, expected less than limit_c"),
        ("resume_c = 60.5", "resume = 60", 26, "did you mean 'resume_c'?"),
        ("[heat]", "[heta]", 24, "heta: unknown key; did you mean 'heat'?"),
        ("smooth = false", "smooth = ", 5, "not TOML"),
        ("max_fps = 12", "model = 12", 6, "not TOML"),
    ],
)
def test_errors_in_a_file_name_the_line(write, old, new, line, message):
    with pytest.raises(UsageError) as caught:
        load_config(write(FILE.replace(old, new)), {})
    assert f"pipose.toml:{line}: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("source", "picmaera", "--source: unknown kind 'picmaera'; did you mean 'picamera'?"),
        ("source", "camera:0,widht=3", "--source: widht: unknown key; did you mean 'width'?"),
        ("source", "camera:0,width=big", "--source: width: expected a whole number, got 'big'"),
        ("source", "camera", "target: camera needs one, as in camera:/dev/video0"),
        ("source", "picamera:front", "expected a camera's number"),
        ("source", "walk.mp4,pace=fast", "--source: pace: got 'fast', expected one of"),
        ("source", "walk.mp4,loop=maybe", "--source: loop: expected true or false, got 'maybe'"),
        ("sink", ["null", "jsnl:-"], "--sink: sink[1]: unknown kind 'jsnl'; did you mean 'jsonl'?"),
        ("sink", ["jsonl:-,max=1"], "sink[0].max: unknown key"),
        ("sink", ["video"], "sink[0].target: missing key"),
        ("heat", "limit=3", "--heat: limit: unknown key; did you mean 'limit_c'?"),
        ("heat", "70", "expected key=value"),
        ("max_fps", -1.0, "--max-fps: "),
    ],
)
def test_errors_on_the_command_line_name_the_option(key, value, message):
    with pytest.raises(UsageError) as caught:
        load_config(None, {"model": "m.tflite", key: value})
    assert message in str(caught.value)


def test_a_model_is_needed_and_a_file_must_be_there(write, tmp_path):
    with pytest.raises(UsageError, match=r"no model given.*use --model"):
        load_config(write("threads = 1\n"), {})
    with pytest.raises(InputError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    "chosen",
    [
        {"source": "walk.mp4", "sink": ["video:./walk.mp4"]},
        {"sink": ["jsonl:a.jsonl", "jsonl:./a.jsonl"]},
    ],
)
def test_no_file_is_read_and_written_or_written_twice(chosen):
    with pytest.raises(UsageError, match="is named twice"):
        load_config(None, {"model": "m.tflite"} | chosen)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("0", "camera"),
        ("/dev/video1", "camera"),
        ("rtsp://u:p@host/1", "stream"),
        ("http://host/a.mp4", "stream"),
        ("walk.zip", "replay"),
        ("walk.MP4", "video"),
        ("street.JPG", "images"),
        (".", "images"),
    ],
)
def test_a_target_says_its_kind(target, kind):
    assert guess_kind(target) == kind
    assert source_config(target).kind == kind


def test_targets_may_hold_colons_commas_and_equals_signs():
    spec = parse_spec("stream:rtsp://h:1/a,b?c=d,width=3", ["stream"])
    assert spec == {"kind": "stream", "target": "rtsp://h:1/a,b?c=d", "width": "3"}
    assert sink_config("jsonl:a:b.jsonl").options.target == "a:b.jsonl"


@pytest.mark.parametrize(
    "text",
    [
        "max_fps = nan", "max_fps = inf", "[heat]\nlimit_c = nan", "[heat]\nhold_s = inf",
        'model = "m"\n[source]\nkind = "camera"\ntarget = "0"\nstall_s = nan', "a = " + "[" * 50_000,
        "frames = 1" + "0" * 5000, "frames = 1" + "0" * 400,
    ],
)  # fmt: skip
def test_numbers_that_are_none_and_endless_nesting_are_refused(tmp_path, text):
    """NaN passed, compared false with every limit, and was in force; the nesting was a RecursionError."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_config(path, {})
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("heat", ["limit_c=nan", "limit_c=inf", "hold_s=-inf", "steps=nan"])
def test_numbers_that_are_none_are_refused_in_short_forms(heat):
    with pytest.raises(UsageError, match="expected a"):
        load_config(None, {"model": ["m"], "heat": heat})


def test_a_named_pipe_is_no_configuration(tmp_path):
    os.mkfifo(tmp_path / "c.toml")
    with pytest.raises(InputError, match="is a named pipe"):
        load_config(tmp_path / "c.toml", {})


@pytest.mark.parametrize(
    "header", ["[" + "a." * 20_000 + "b]", "x" * 500_000 + " = 1", "[ x" + " " * 500_000 + "]"]
)
def test_long_names_are_refused_without_a_long_search_for_their_line(write, header):
    """Finding the line took minutes for a name of 20,000 parts."""
    with pytest.raises(UsageError) as caught:
        load_config(write(f"{header}\n"), {})
    assert "pipose.toml:1: " in str(caught.value)


def test_a_long_text_that_looks_like_a_header_is_no_long_search(write):
    text = 'model = """\n[ a' + " " * 200_000 + 'x\n"""\nnot_a_key = 1\n'
    with pytest.raises(UsageError, match=r"pipose\.toml:4: "):
        load_config(write(text), {})
