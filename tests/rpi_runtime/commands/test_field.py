"""What terminals, names and newcomers do to the commands."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rpi_runtime import __version__
from rpi_runtime.__main__ import COMMANDS, main
from rpi_runtime.capture.pictures import encode_picture
from rpi_runtime.errors import UsageError
from rpi_runtime.settings.run_config import load_config
from tests.rpi_runtime.pictures import gradient
from tests.rpi_runtime.toys import write_toy

ROOT = Path(__file__).parents[3]
FILMS = ROOT / "tests/rpi_runtime/golden/films"


def command(*words):
    return [sys.executable, "-m", "rpi_runtime", *words]


def call(*words, **options):
    options = {"capture_output": True, "timeout": 100, "cwd": ROOT} | options
    return subprocess.run(command(*words), check=False, **options)


def hang_up(words, ready, number=signal.SIGHUP, **options):
    process = subprocess.Popen(
        command(*words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options
    )
    deadline = time.monotonic() + 60
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1].decode()
    return process.returncode, errors


def test_a_killed_recorder_loses_no_whole_frame(folder, tmp_path):
    zipped = tmp_path / "walk.zip"
    words = [
        "record",
        "--source",
        f"{folder / 'photos'},loop=yes",
        "--output",
        str(zipped),
        "--format",
        "npy",
    ]
    code, _ = hang_up(words, lambda: zipped.exists() and zipped.stat().st_size > 90_000, signal.SIGKILL)
    assert code == -signal.SIGKILL
    size = zipped.stat().st_size
    again = tmp_path / "again.zip"
    done = call("record", "--source", f"replay:{zipped},pace=free", "--output", str(again), "--format", "npy")
    assert done.returncode == 0, done.stderr
    assert b"was cut off" in done.stderr
    frames = len(zipfile.ZipFile(again).namelist()) - 1
    assert frames >= size // (64 * 48 * 3 + 300) > 5


def test_a_hang_up_ends_a_run_as_sigterm_does(folder, tmp_path):
    cv2 = pytest.importorskip("cv2")
    out, lines = tmp_path / "out.mp4", tmp_path / "p.jsonl"
    words = [
        "run",
        "--model",
        folder / "toy.tflite",
        "--source",
        f"{folder / 'photos'},loop=yes",
        "--max-fps",
        "50",
    ]
    words += ["--sink", str(out), "--sink", str(lines)]
    code, errors = hang_up(words, lambda: lines.exists() and lines.stat().st_size > 5000)
    assert code == 0, errors
    assert "frames in" in errors
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FRAME_COUNT) > 5


def test_a_hang_up_finishes_a_recording(folder, tmp_path):
    out = tmp_path / "walk.zip"
    words = ["record", "--source", f"{folder / 'photos'},loop=yes,pace=recorded", "--output", str(out)]
    code, errors = hang_up(words, lambda: out.exists() and out.stat().st_size > 5000)
    assert code == 0, errors
    assert zipfile.ZipFile(out).testzip() is None


def test_a_hang_up_that_is_ignored_stays_ignored(folder, tmp_path):
    words = [
        "run",
        "--model",
        folder / "toy.tflite",
        "--source",
        folder / "photos",
        "--sink",
        tmp_path / "p.jsonl",
    ]
    code, errors = hang_up(
        words, lambda: True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    assert code == 0, errors
    assert "6 frames in" in errors


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams(folder, tmp_path, closed):
    lines = tmp_path / "p.jsonl"
    words = command("run", "--model", folder / "toy.tflite", "--source", folder / "photos", "--sink", lines)
    quoted = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(["sh", "-c", f"exec {quoted} {closed}"], cwd=ROOT, check=False, timeout=100)
    assert done.returncode == 0
    assert [json.loads(line)["frame"] for line in lines.read_text().splitlines()] == list(range(6))


def test_json_lines_into_a_closed_standard_output_are_an_error(folder):
    words = command("run", "--model", folder / "toy.tflite", "--source", folder / "photos")
    quoted = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        ["sh", "-c", f"exec {quoted} 1>&-"],
        cwd=ROOT,
        check=False,
        timeout=100,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 5
    assert "the standard output is closed" in done.stderr


@pytest.mark.parametrize(
    ("short", "kind"),
    [
        ("poses.jsonl", "jsonl"),
        ("-", "jsonl"),
        ("out.mp4", "video"),
        ("a/b:c.mkv", "video"),
        ("null", "null"),
    ],
)
def test_sinks_are_understood_by_their_names(short, kind):
    config = load_config(None, {"model": ["m.tflite"], "sink": [short]})
    assert config.sink[0].kind == kind


@pytest.mark.parametrize("short", ["poses", "jsnl:x", "out.gif"])
def test_sinks_that_nothing_tells_are_refused(short):
    with pytest.raises(UsageError, match="unknown kind"):
        load_config(None, {"model": ["m.tflite"], "sink": [short]})


def test_two_names_of_one_file_are_seen(tmp_path):
    model = write_toy(tmp_path / "m.tflite")
    os.link(model, tmp_path / "hard.jsonl")
    (tmp_path / "soft.jsonl").symlink_to(model)
    for name in ("hard.jsonl", "soft.jsonl"):
        with pytest.raises(UsageError, match=f"{name} is named twice|m.tflite is named twice"):
            load_config(None, {"model": [str(model)], "sink": [f"jsonl:{tmp_path / name}"]})


@pytest.mark.parametrize("name", ["loop.tflite", "a\0b"])
def test_paths_that_lead_nowhere_are_one_line(tmp_path, name):
    (tmp_path / "loop.tflite").symlink_to("loop.tflite")
    (tmp_path / "c.toml").write_text(
        "model = " + json.dumps(str(tmp_path / name)) + f'\nsource = "images:{tmp_path}"\nsink = ["null"]\n'
    )
    done = call("run", "--config", str(tmp_path / "c.toml"))
    assert done.returncode in (2, 3)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", [b"bad\xff.mp4", b"12:30.mp4", b"video:x.mp4"])
def test_films_of_every_name_in_and_out(folder, tmp_path, name):
    pytest.importorskip("cv2")
    shutil.copy(FILMS / "upright.mp4", tmp_path / os.fsdecode(name))
    words = [
        b"run",
        b"--model",
        os.fsencode(folder / "toy.tflite"),
        b"--source",
        name,
        b"--sink",
        b"out-" + name,
    ]
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"rpi_runtime", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / os.fsdecode(b"out-" + name)).stat().st_size > 1000
    assert len(list(tmp_path.iterdir())) == 2


def test_names_without_utf8_in_every_locale(folder, tmp_path):
    pytest.importorskip("cv2")
    shutil.copy(FILMS / "upright.mp4", tmp_path / "Küche.mp4")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
    env |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = call(
        "run", "--model", folder / "toy.tflite", "--source", tmp_path / "Küche.mp4", "--sink", "null", env=env
    )
    assert done.returncode == 0, done.stderr


def test_show_takes_pictures_and_folders_and_says_how_far_it_is(folder, tmp_path):
    (folder / "photos/broken.jpg").write_text("no picture")
    shutil.copy(folder / "photos/0.png", tmp_path / "single.png")
    words = [
        folder / "photos",
        tmp_path / "single.png",
        "--model",
        folder / "toy.tflite",
        "--output",
        tmp_path / "out",
    ]
    done = call("show", *words, text=True)
    (folder / "photos/broken.jpg").unlink()
    assert done.returncode == 3
    assert len(list((tmp_path / "out").iterdir())) == 7
    assert "[1/8] " in done.stderr and "[8/8] " in done.stderr
    assert "1 of 8 files could not be read" in done.stderr.splitlines()[-1]


class DamagingCamera(BaseHTTPRequestHandler):
    """An MJPEG stream of which every fourth picture is damaged: empty, of zeros, or a beginning."""

    def do_GET(self):
        whole = encode_picture(gradient(), ".jpg")
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
        self.end_headers()
        with contextlib.suppress(OSError):
            for number in itertools.count():
                damaged = (b"", bytes(900), whole[:200])[number // 4 % 3]
                data = damaged if number % 4 == 3 else whole
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                time.sleep(0.02)

    def log_message(self, *_):
        pass


def test_damaged_pictures_of_a_stream_are_counted_and_print_nothing_among_the_lines(folder):
    pytest.importorskip("cv2")
    server = ThreadingHTTPServer(("127.0.0.1", 0), DamagingCamera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        words = ["--source", f"http://127.0.0.1:{server.server_port}/", "--frames", "30", "--sink", "jsonl:-"]
        done = call("run", "--model", folder / "toy.tflite", *words, text=True)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 30
    assert "source restarted 0 times" in done.stderr
    assert "frames could not be decoded" in done.stderr


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_show_of_a_large_picture_holds_it_twice(folder, tmp_path, suffix):
    """24 million pixels: 72 MB as they are and 72 drawn, then 96 in Pillow beside those drawn; it was all three."""
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (6000, 4000)).save(tmp_path / f"large{suffix}")
    image.new("RGB", (60, 40)).save(tmp_path / "small.png")
    code = (
        "import resource, sys; from rpi_runtime.__main__ import main\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "main(['show', sys.argv[2], '--model', sys.argv[1]]); before = peak()\n"
        "main(['show', sys.argv[3], '--model', sys.argv[1]]); print(peak() - before)"
    )
    words = [folder / "toy.tflite", tmp_path / "small.png", tmp_path / f"large{suffix}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 200


def test_show_passes_over_links_in_a_circle(folder, tmp_path):
    shutil.copytree(folder / "photos", tmp_path / "walk")
    (tmp_path / "walk/loop.jpg").symlink_to("loop.jpg")
    done = call("show", tmp_path / "walk", "--model", folder / "toy.tflite", text=True)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "loop.jpg: cannot be read as a picture" in done.stderr
    assert len(list((tmp_path / "walk-poses").iterdir())) == 6


def test_show_puts_the_drawings_of_a_folder_beside_it(folder, tmp_path):
    shutil.copytree(folder / "photos", tmp_path / "walk")
    done = call("show", tmp_path / "walk", "--model", folder / "toy.tflite")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "walk-poses").iterdir())) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["PHOTO", "PHOTO"], "two of the inputs have this output"),
        (["FOLDER", "PHOTO", "--output", "PHOTO"], "is a file"),
        (["rtsp://admin:S3cr3t@cam/live"], "for other sources use the command"),
    ],
)
def test_show_refuses_what_makes_no_sense(folder, words, message, capsys):
    known = {"PHOTO": str(folder / "photos/0.png"), "FOLDER": str(folder / "photos")}
    assert (
        main(["show", *(known.get(word, word) for word in words), "--model", str(folder / "toy.tflite")]) == 2
    )
    printed = capsys.readouterr().err
    assert message in printed
    assert "S3cr3t" not in printed


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version(word, capsys):
    assert main([word]) == 0
    assert capsys.readouterr().out == f"pipose {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_says_what_exit_codes_mean(name, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    printed = capsys.readouterr().out
    assert "exit codes: " in printed
    assert "-v, --verbose" in printed


@pytest.mark.parametrize("action", ["install", "uninstall", "run"])
def test_so_does_every_help_of_the_service(action, capsys):
    with pytest.raises(SystemExit):
        main(["service", action, "--help"])
    printed = capsys.readouterr().out
    assert "exit codes: " in printed
    assert "-v, --verbose" in printed


def test_libraries_are_counted_and_said_once(caplog):
    code = (
        "import os, sys, logging; from rpi_runtime.library_messages import LibraryMessages; "
        "from rpi_runtime.commands.parser import set_up_logging; set_up_logging()\n"
        "with LibraryMessages() as messages:\n"
        "    for n in range(300): os.write(2, b'Corrupt JPEG data: %d extraneous bytes before marker 0xd9\\n' % n)\n"
        "    os.write(2, b'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n')\n"
        "    print('ours', file=sys.stderr); print('ours', file=sys.stderr)\n"
        "os.write(2, b'after\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert sum("Corrupt JPEG" in line for line in lines) == 1
    assert lines.count("ours") == 2
    assert not any("XNNPACK" in line for line in lines)  # it is no complaint
    assert "INFO libraries printed 300 lines like those above" in lines
    assert lines[-1] == "after"
