"""`service run` in a process of its own, with a stand-in for systemd."""

from __future__ import annotations

import os
import signal

import pytest


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_ready_watchdog_status_and_a_clean_stop(config, start, supervisor, tmp_path):
    process = start(config.path)
    seen = supervisor.wait_for("READY=1")
    assert not any(s.startswith("WATCHDOG") for s in seen)
    assert "frames per second, " in supervisor.wait_for("STATUS=")[-1]
    assert supervisor.wait_for("WATCHDOG=1")
    stop(process)
    supervisor.wait_for("STOPPING=1")
    log = (tmp_path / "log").read_text()
    assert "ended: " in log
    assert len(log.splitlines()) < 10, "one line an event, none a frame"


def test_a_reload_takes_the_new_settings(config, start, supervisor, tmp_path):
    process = start(config.path)
    supervisor.wait_for("READY=1")
    config(sink=[f"jsonl:{tmp_path / 'other.jsonl'}"])
    process.send_signal(signal.SIGHUP)
    supervisor.wait_for("RELOADING=1")
    supervisor.wait_for("READY=1")
    supervisor.wait_for("WATCHDOG=1")
    assert (tmp_path / "other.jsonl").stat().st_size > 0
    stop(process)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_fsp": 3}, "config.toml:5: max_fsp: unknown key; did you mean 'max_fps'?"),
        ({"model": "/none/m.tflite"}, "/none/m.tflite"),
        ({"source": "/none/walk.zip"}, "/none/walk.zip: no such recording"),
        ({"sink": ["jsonl:/none/p.jsonl"]}, "/none/p.jsonl: cannot be written"),
        ({"sink": ["jsonl:-"]}, "the standard output, which is the journal here"),
    ],
)
def test_a_wrong_configuration_is_refused_and_the_former_one_goes_on(
    config, start, supervisor, tmp_path, changes, reason
):
    process = start(config.path)
    supervisor.wait_for("READY=1")
    config(**changes)
    process.send_signal(signal.SIGHUP)
    supervisor.wait_for("RELOADING=1")
    supervisor.wait_for("READY=1")
    said = supervisor.wait_for("STATUS=")[-1]
    while "refused" not in said:
        said = supervisor.wait_for("STATUS=")[-1]
    assert reason in said
    (line,) = [line for line in (tmp_path / "log").read_text().splitlines() if "refused" in line]
    assert line.startswith("ERROR reload refused: ") and reason in line
    assert line.endswith("; the former configuration stays")
    before = (tmp_path / "poses.jsonl").stat().st_size
    supervisor.wait_for("WATCHDOG=1")
    supervisor.wait_for("WATCHDOG=1")
    assert (tmp_path / "poses.jsonl").stat().st_size > before
    stop(process)


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"max_fsp": 3}, 78, "did you mean 'max_fps'?"),
        ({"model": "/none/m.tflite"}, 78, "/none/m.tflite"),
        ({"source": "picamera"}, 78, "sudo apt install python3-picamera2"),
        ({"source": "camera:/dev/video97"}, 3, "cannot be opened as a camera"),
        ({"sink": ["jsonl:/none/p.jsonl"]}, 5, "cannot be written"),
    ],
)
def test_exit_codes_at_the_start(config, start, supervisor, tmp_path, changes, code, reason):
    process = start(config(**changes))
    assert process.wait(30) == code
    said = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("ERROR")]
    assert len(said) == 1 and reason in said[0]
    assert reason in supervisor.wait_for("STATUS=")[-1] or reason in supervisor.wait_for("STATUS=")[-1]


def test_a_recording_that_ends_ends_the_service(config, start, tmp_path):
    process = start(config(source=str(tmp_path / "photos")))
    assert process.wait(30) == 0


def test_a_stopped_process_says_nothing(config, start, supervisor):
    process = start(config.path)
    supervisor.wait_for("WATCHDOG=1")
    os.kill(process.pid, signal.SIGSTOP)
    while supervisor.receive(1.5):
        pass
    os.kill(process.pid, signal.SIGCONT)
    assert supervisor.wait_for("WATCHDOG=1")
    stop(process)
