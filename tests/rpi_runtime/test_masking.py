"""No form of a camera's password gets through, whatever prints it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rpi_runtime.capture.opencv import OpenCvSource
from rpi_runtime.capture.source import Wanted
from rpi_runtime.commands import doctor
from rpi_runtime.commands.parser import MaskingFormatter
from rpi_runtime.errors import PiposeError
from rpi_runtime.health.status import SinkSummary, Status
from rpi_runtime.masking import mask, mask_address
from rpi_runtime.service.journal import JournalFormatter
from rpi_runtime.service.notify import Notifier
from rpi_runtime.settings.run_config import load_config, source_config
from rpi_runtime.sinks.mqtt.sink import MqttOptions, MqttSink
from rpi_runtime.sinks.sink import About
from rpi_runtime.sinks.web.metrics import Exposition, add_status
from rpi_runtime.streams import tell
from tests.rpi_runtime.toys import CARD, write_toy

ROOT = Path(__file__).parents[2]
FORMS = (
    "rtsp://admin:S3cr3t@cam/live",
    "rtsp://admin:p@S3cr3t@cam/live",
    "rtsp://admin:pa/S3cr3t@cam/live",
    "rtsp://admin:S3cr3t@@cam/live",
    "rtsp://admin:S3cr3t:@cam:554/a",
    "rtsp://admin:S3cr3t?x@cam:554/a",
    "rtsp://admin:S3cr3t#x@cam:554/a",
    "rtsp://admin:S3'cr3t@cam/live",
    "rtsp://S3cr3t@cam/live",
    "rtsp://admin%3AS3cr3t%40cam/live",
    "rtsp://admin:S3cr3t@[fe80::1]:554/live",
    "RTSP://Admin:S3cr3t@cam/",
    "rtsp://cam/live?user=admin&password=S3cr3t",
    "rtsp://cam/user=admin_password=S3cr3t_channel=1_stream=0.sdp",
    "rtsp://cam/user=admin&password=S3cr3t&channel=1",
    "rtsp://cam/admin:S3cr3t/live",
    "http://cam/videostream.cgi?user=admin&pwd=S3cr3t",
    "http://cam/videostream.cgi?loginuse=admin&loginpas=S3cr3t&resolution=32",
    "http://cam/live;password=S3cr3t",
    "http://cam/live#S3cr3t",
    "https://cam/stream?S3cr3t",
    "rtsps://192.168.1.1:7441/AbC3S3cr3tD4f5G6?enableSrtp",
    # mistyped
    "rtsp:admin:S3cr3t@cam/live",
    "rtsp:/admin:S3cr3t@cam/live",
    "rtsp:///admin:S3cr3t@cam/live",
    "rtsp//admin:S3cr3t@cam/live",
    "rtps://admin:S3cr3t@cam/live",
    "rtsp://admin:S3cr3t",
    "rtsp://admin:S3cr3t@",
    "rtsp://admin:12345678",
    "admin:S3cr3t@cam/live",
    "http://[::1/S3cr3t",
)
WITH_BLANKS = ("rtsp://admin:a b S3cr3t@cam/live", "rtsp://cam/live?x=1 S3cr3t", "rtsp://admin:S3cr3t b@cam")
SECRETS = ("S3cr3t", "cr3t", "12345678")


def leaks(text):
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "sentence",
    [
        "{}",
        "source lost: {}: no frame after 4.0 s; the stream is gone or stalls",
        "got {!r}, expected a file; write to a@b",
        "({})",
        '{{"source": "{}", "fps": 3}}',
        "first {0}, then {0}",
    ],
)
def test_no_form_gets_through_in_any_sentence(form, sentence):
    masked = mask(sentence.format(form))
    assert not leaks(masked)
    assert mask(masked) == masked


@pytest.mark.parametrize("form", [*FORMS, *WITH_BLANKS])
def test_an_address_alone_is_masked_blanks_and_all(form):
    assert not leaks(mask_address(form))
    assert not leaks(mask(mask_address(form)))


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://192.168.1.7/live: cannot be opened as a stream; check the address, the network and the password",
        "rtsp://cam:554/Streaming/Channels/101 and rtsp://cam2/h264Preview_01_main, 640x480",
        "live page: http://[::1]:8080/, with a token",
        "target: 0.0.0.0:8080 can be reached from other machines, so it needs a token: set PIPOSE_LIVE_TOKEN",
        "error: --sink: web:127.0.0.1:8080, mqtt:broker:1883",
        "12:30.mp4: no such video file",
        "walk,fps=3: no: such=file",
        "pip install 'paho-mqtt>=2'; see rpi_runtime/docs/mqtt.md",
        "file:///home/pi/walk.mp4",
        "",
    ],
)
def test_what_is_harmless_stays_readable(text):
    assert mask(text) == text


@pytest.mark.parametrize("form", [*FORMS, *WITH_BLANKS])
def test_every_place_that_prints(form, capsys, tmp_path, monkeypatch):
    """Log, journal, messages, errors, JSON, /metrics, MQTT, systemd's status, doctor."""
    printed = []
    record = logging.LogRecord(
        "rpi_runtime", logging.INFO, "", 0, "source: stream %s, 64x48", (mask_address(form),), None
    )
    printed += [
        MaskingFormatter("%(message)s").format(record),
        JournalFormatter("%(message)s").format(record),
    ]
    try:
        config = source_config(form)
        printed.append(repr(config.kind))
        config.make().configure(Wanted())
    except PiposeError as err:
        printed.append(str(err))
    printed.append(OpenCvSource(form, kind="stream")._name)
    trouble = f"{mask_address(form)}: gone"
    status = Status(
        state="lost",
        sinks=(SinkSummary(name=form if " " not in form else "x", written=0, dropped=0, trouble=trouble),),
    )
    out = Exposition()
    add_status(out, status)
    printed.append(out.text())
    tell(f"error: {trouble}")
    monkeypatch.setattr(
        doctor, "CHECKS", (lambda _: iter([doctor.Finding(level="ok", topic="x", text=trouble)]),)
    )
    doctor.main(["--json"])
    captured = capsys.readouterr()
    printed += [captured.err, captured.out]
    json.loads(captured.out)
    sent = []
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")})
    monkeypatch.setattr("socket.socket.sendto", lambda self, data, address: sent.append(data.decode()))
    notifier.send(f"STATUS={trouble}")
    printed += sent
    assert sent
    about = About(model="toy", skeleton=CARD.skeleton, status=lambda: status)
    publisher = MqttSink(MqttOptions(target="127.0.0.1:1", name="x")).open(about)
    try:
        printed.append(publisher._state().payload.decode())
    finally:
        publisher.close()
    for text in printed:
        assert not leaks(text), text


@pytest.mark.parametrize("form", FORMS)
def test_options_of_the_command_line_do_not_cut_a_password(form):
    for words in (
        f"{form},fps=abc",
        f"stream:{form},width=x",
        f"steam:{form}",
        form.replace("S3cr3t", "S3cr3t,b=cr3t"),
    ):
        try:
            load_config(None, {"model": ["m.tflite"], "source": words})
        except PiposeError as err:
            assert not leaks(mask(str(err))), words


@pytest.mark.parametrize("key", ["password", "username"])
def test_a_secret_of_the_wrong_type_is_not_shown(tmp_path, key):
    path = tmp_path / "c.toml"
    path.write_text(f'model = "m.tflite"\n[[sink]]\nkind = "mqtt"\ntarget = "broker"\n{key} = 12345678\n')
    with pytest.raises(PiposeError, match="expected str, got a int") as error:
        load_config(path, {})
    assert not leaks(str(error.value))


@pytest.mark.parametrize(
    "form", ["rtsp://admin:p@S3cr3t@127.0.0.1:9/live", "rtsp:admin:S3cr3t@127.0.0.1/live"]
)
@pytest.mark.parametrize("command", ["run", "record", "bench"])
def test_processes_say_nothing(tmp_path, form, command):
    pytest.importorskip("cv2")
    words = {
        "run": ["--model", str(write_toy(tmp_path / "toy.tflite")), "--sink", "null", "--wrong", form],
        "record": ["--output", str(tmp_path / "x.zip")],
        "bench": ["--model", str(write_toy(tmp_path / "toy.tflite")), "--frames", "1"],
    }[command]
    done = subprocess.run(
        [sys.executable, "-m", "rpi_runtime", command, "--source", form, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert done.returncode in (2, 3)
    assert not leaks(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
