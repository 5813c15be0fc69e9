"""The command line from end to end, in processes of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest

from rpi_runtime.__main__ import COMMANDS, main
from rpi_runtime.assemble import build
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.capture.source import Wanted
from rpi_runtime.settings.run_config import load_config
from rpi_runtime.sinks.message import schema
from rpi_runtime.stop import StopFlag

ROOT = Path(__file__).parents[3]


def command(*words):
    return [sys.executable, "-m", "rpi_runtime", *map(str, words)]


def call(*words, **options):
    options = {"capture_output": True, "text": True, "timeout": 60, "cwd": ROOT} | options
    return subprocess.run(command(*words), check=False, **options)


def test_a_folder_of_pictures_to_json_lines(folder):
    done = call("run", "--model", folder / "toy.tflite", "--source", folder / "photos")
    assert done.returncode == 0, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert [m["file"] for m in messages] == [f"{i}.png" for i in range(6)]
    for message in messages:
        jsonschema.validate(message, schema())
        assert list(message["latency_ms"]) == ["wait", "preprocess", "infer", "decode", "track"]
    assert "6 frames in" in done.stderr


def test_the_base_installation_needs_no_opencv(folder):
    block = (
        "import sys; sys.modules.update(dict.fromkeys(('cv2', 'picamera2', 'tensorflow', 'torch', 'onnx')));"
    )
    words = ["run", "--model", str(folder / "toy.tflite"), "--source", str(folder / "photos")]
    code = f"{block} from rpi_runtime.__main__ import main; sys.exit(main({words!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\n") == 6


def test_record_and_replay(folder, tmp_path):
    done = call("record", "--source", folder / "photos", "--output", tmp_path / "w.zip", "--format", "npy")
    assert (done.returncode, "6 frames in" in done.stderr) == (0, True), done.stderr
    words = ["--source", f"replay:{tmp_path / 'w.zip'},pace=free", "--sink", f"jsonl:{tmp_path / 'p.jsonl'}"]
    done = call("run", "--model", folder / "toy.tflite", *words)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_run_with_everything_written(folder, tmp_path, number):
    words = ["--source", f"{folder / 'photos'},loop=yes", "--sink", f"jsonl:{tmp_path / 'p.jsonl'}"]
    words += ["--sink", "jsonl:-", "--max-fps", "200"]
    process = subprocess.Popen(
        command("run", "--model", folder / "toy.tflite", *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    first = process.stdout.readline()
    process.send_signal(number)
    rest, errors = process.stdout.read(), process.stderr.read()  # `communicate` would lose what is buffered
    assert process.wait(30) == 0, errors
    process.stdout.close()
    process.stderr.close()
    lines = [first, *rest.splitlines(keepends=True)]
    assert (tmp_path / "p.jsonl").read_text().splitlines() != []
    assert f"{len(lines)} frames in" in errors
    assert json.loads(lines[-1])["frame"] == len(lines) - 1


def test_a_reader_that_leaves_ends_the_run_quietly(folder):
    process = subprocess.Popen(
        command("run", "--model", folder / "toy.tflite", "--source", f"{folder / 'photos'},loop=yes"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(30) == 0
    assert errors.count("its reader has closed the pipe") == 2, "once when it happens, once in the summary"
    assert "Traceback" not in errors
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, which is always full")
def test_a_full_disk_is_an_exit_code(folder):
    words = ["--source", folder / "photos", "--sink", "jsonl:/dev/full", "--sink", "jsonl:-"]
    done = call("run", "--model", folder / "toy.tflite", *words)
    assert done.returncode == 5
    assert done.stdout.count("\n") == 6, "the other sink has everything"
    assert (
        done.stderr.splitlines()[-1]
        == "error: jsonl:/dev/full: the disk is full; free some space and start again"
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["rnu"], 2, "unknown command 'rnu'; did you mean 'run'?"),
        (["run", "--modle", "x"], 2, "did you mean '--model'?"),
        (["run", "--model", "none.tflite"], 3, "none.tflite"),
        (["run", "--model", "TOY", "--source", "none.mp4"], 3, "none.mp4: no such video file"),
        pytest.param(
            ["run", "--model", "TOY", "--source", "camera:/dev/video97"],
            3,
            "cannot be opened as a camera",
            marks=pytest.mark.skipif(not find_spec("cv2"), reason="OpenCV is not installed"),
        ),
        (["run", "--model", "TOY", "--source", "PHOTOS", "--sink", "jsonl:/none/x"], 5, "cannot be written"),
        (["run", "--model", "TOY", "--source", "picamera"], 8, "sudo apt install python3-picamera2"),
        (["run", "--config", "none.toml"], 3, "none.toml"),
        (["show", "--model", "TOY", "rtsp://cam/x"], 2, "expected a picture or a video file"),
        (["record", "--source", "PHOTOS", "--output", "PHOTOS"], 5, "exists already"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(folder, words, code, message):
    known = {"TOY": folder / "toy.tflite", "PHOTOS": folder / "photos"}
    done = call(*(known.get(word, word) for word in words))
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_camera_is_asked_for_what_the_run_needs(folder):
    chosen = {"model": str(folder / "toy.tflite"), "source": "picamera", "max_fps": 12.0}
    wanted = [
        build(load_config(None, chosen | more), StopFlag()).feed._wanted
        for more in (
            {"sink": ["null"]},
            {"sink": ["window"]},
            {"source": "picamera,width=100,height=80,fps=5"},
        )
    ]
    assert wanted[0] == Wanted(width=32, height=24, fps=12), "the network's size"
    assert wanted[1] == Wanted(width=640, height=480, fps=12), "something to look at"
    assert wanted[2] == Wanted(width=100, height=80, fps=5), "what the user said"


def test_show_draws_on_a_picture(folder, tmp_path):
    words = [folder / "photos/0.png", "--model", folder / "toy.tflite", "--output", tmp_path / "out.png"]
    done = call("show", *words)
    assert done.returncode == 0, done.stderr
    assert read_picture(tmp_path / "out.png").shape == (48, 64, 3)
    assert "out.png: " in done.stderr


def test_show_does_not_overwrite_its_input(folder):
    picture = folder / "photos/0.png"
    done = call("show", picture, "--model", folder / "toy.tflite", "--output", picture)
    assert done.returncode == 2
    assert "is the input itself" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "default"),
    [("run", "where poses go (default: jsonl:-)"), ("live", "besides the page (default: nowhere)")],
)
def test_help_says_where_poses_go_by_default(name, default, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert default in printed
    assert ("jsonl:-" in printed.partition("examples:")[0]) == (name == "run")


def test_help_names_the_commands(capsys):
    assert main(["--help"]) == 0
    assert main([]) == 2
    printed = capsys.readouterr().out
    assert all(printed.count(f"\n  {name} ") == 2 for name in COMMANDS)
