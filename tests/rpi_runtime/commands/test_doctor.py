"""The findings of `doctor`, on made-up machines."""

from __future__ import annotations

import json
import os
import sys
from collections import namedtuple
from types import SimpleNamespace

import pytest

from rpi_runtime.commands import doctor
from rpi_runtime.commands.doctor import Finding, Patient
from rpi_runtime.errors import DependencyError
from tests.rpi_runtime.health.test_machine import write
from tests.rpi_runtime.toys import toy_bytes, write_toy

SYS = {"sys/devices/system/cpu/possible": "0-3\n"}
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
GOVERNOR = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
Version = namedtuple("Version", "major minor micro")


def only(findings) -> Finding:
    (found,) = findings
    return found


def test_every_bad_finding_has_a_remedy(tmp_path):
    bare = doctor.examine(Patient(root=tmp_path, model=tmp_path / "missing.tflite"))
    assert any(f.level == "error" for f in bare)
    assert all(f.remedy for f in bare if f.level != "ok")


def test_without_sys_xnnpack_would_be_left_out(tmp_path):
    system, sysfs = doctor.check_system(Patient(root=tmp_path))
    assert system.level == "ok"
    assert sysfs.level == "error" and "XNNPACK" in sysfs.text
    assert [f.level for f in doctor.check_system(Patient(root=write(tmp_path, SYS)))] == ["ok"]


@pytest.mark.parametrize(("version", "level"), [((3, 10), "error"), ((3, 13), "ok"), ((3, 14), "error")])
def test_python_that_has_no_interpreter(monkeypatch, tmp_path, version, level):
    monkeypatch.setattr(sys, "version_info", Version(*version, 0))  # type: ignore[call-arg]
    finding = only(doctor.check_python(Patient(root=tmp_path)))
    assert finding.level == level
    assert (level == "ok") or "3.11 to 3.13" in finding.remedy


def test_interpreters_that_do_not_suit_numpy(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "package_version", lambda package: "2.14.0")
    monkeypatch.setattr(
        doctor,
        "unfit",
        lambda name: (
            DependencyError("needs numpy < 2, found 2.1", remedy="pip install 'numpy<2'")
            if "tflite" in name
            else None
        ),
    )
    monkeypatch.setattr(doctor, "find_module", lambda: ("ai_edge_litert", None))
    first, second = doctor.check_interpreter(Patient(root=tmp_path))
    assert (first.level, first.text) == ("warning", "tflite-runtime 2.14.0 needs numpy < 2, found 2.1")
    assert first.remedy == "pip install 'numpy<2'"
    assert second.level == "ok"
    assert second.text == "ai-edge-litert 2.14.0, which verifies a file before it loads it, as pipose does"
    monkeypatch.setattr(doctor, "package_version", lambda _: "2.1.0")
    monkeypatch.setattr(doctor, "unfit", lambda _: None)
    (third,) = doctor.check_interpreter(Patient(root=tmp_path))
    assert third.text.endswith("2.1.0 (files are verified by pipose alone; LiteRT does so, too, from 2.3)")


def test_no_interpreter(monkeypatch, tmp_path):
    def none():
        raise DependencyError("no TFLite interpreter works", remedy="pip install ai-edge-litert")

    monkeypatch.setattr(doctor, "find_module", none)
    finding = list(doctor.check_interpreter(Patient(root=tmp_path)))[-1]
    assert (finding.level, finding.remedy) == ("error", "pip install ai-edge-litert")


@pytest.mark.parametrize(
    ("flags", "topics"),
    [
        ("0x0", []),
        ("0x1", [("power", "under-voltage now")]),
        ("0x10000", [("power", "under-voltage since boot")]),
        ("0x40000", [("heat", "throttled since boot")]),
        ("0x50005", [("power", "under-voltage now"), ("heat", "throttled")]),
    ],
)
def test_throttle_flags(tmp_path, flags, topics):
    findings = list(doctor.check_heat(Patient(root=write(tmp_path, {THROTTLED: flags}))))
    assert [f.topic for f in findings] == [topic for topic, _ in topics]
    assert all(f.level == "warning" for f in findings)
    assert all(text in f.text for f, (_, text) in zip(findings, topics, strict=True))


@pytest.mark.parametrize(("milli", "level"), [("51234", "ok"), ("80000", "warning")])
def test_temperature(tmp_path, milli, level):
    zone = "sys/class/thermal/thermal_zone0"
    root = write(tmp_path, {f"{zone}/type": "cpu-thermal", f"{zone}/temp": milli})
    assert only(doctor.check_heat(Patient(root=root))).level == level


@pytest.mark.parametrize(("governor", "level"), [("ondemand", "ok"), ("powersave", "warning")])
def test_governor(tmp_path, governor, level):
    finding = only(doctor.check_governor(Patient(root=write(tmp_path, {GOVERNOR: governor}))))
    assert finding.level == level
    assert governor in finding.text


def test_a_camera_that_may_not_be_opened(monkeypatch, tmp_path):
    root = write(tmp_path, {"dev/video0": "", "sys/class/video4linux/video0/name": "HD Webcam"})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    camera, group = doctor.check_camera(Patient(root=root))
    assert (camera.level, camera.text) == ("ok", "video0: HD Webcam")
    assert group.level == "error" and "usermod -aG video" in group.remedy


def test_a_pi_without_picamera2(monkeypatch, tmp_path):
    def missing(module, purpose):
        if module == "picamera2":
            raise DependencyError(f"{purpose} need picamera2, which is not installed", remedy="sudo apt ...")
        return SimpleNamespace(__version__="4.11.0")

    monkeypatch.setattr(doctor, "load", missing)
    root = write(tmp_path, {"proc/device-tree/model": "Raspberry Pi 4 Model B\0"})
    finding = list(doctor.check_packages(Patient(root=root)))[-1]
    assert finding.level == "warning" and "python3-picamera2" in finding.remedy


@pytest.mark.parametrize(("kind", "level"), [("int8", "ok"), ("fallback-int8", "warning")])
def test_model(tmp_path, kind, level):
    finding = only(doctor.check_model(Patient(model=write_toy(tmp_path / "toy.tflite", kind))))
    assert finding.level == level
    assert "of 8 operations" in finding.text or "5 of 5" in finding.text


def test_model_without_card(tmp_path):
    (tmp_path / "bare.tflite").write_bytes(toy_bytes("int8"))
    finding = only(doctor.check_model(Patient(model=tmp_path / "bare.tflite")))
    assert finding.level == "error" and finding.text.endswith("no model card inside")
    assert "export.tflite" in finding.remedy


def test_a_check_that_breaks_does_not_hide_the_others(monkeypatch, tmp_path):
    def check_moon(patient):
        raise ZeroDivisionError("no moon")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (check_moon, doctor.check_python))
    broken, python = doctor.examine(Patient(root=tmp_path))
    assert (broken.level, broken.topic, broken.text) == ("warning", "moon", "could not be checked: no moon")
    assert python.topic == "python"


@pytest.mark.parametrize(
    ("levels", "words", "code"),
    [(["ok"], [], 0), (["warning"], [], 0), (["warning"], ["--strict"], 1), (["ok", "error"], [], 1)],
)
def test_exit_code(monkeypatch, capsys, levels, words, code):
    found = [Finding(level=level, topic="sun", text="shines", remedy="look") for level in levels]
    monkeypatch.setattr(doctor, "examine", lambda patient: found)
    assert doctor.main([*words]) == code
    assert capsys.readouterr().out.count("-> look") == len(levels)
    assert doctor.main([*words, "--json"]) == code
    assert [f["level"] for f in json.loads(capsys.readouterr().out)] == levels
