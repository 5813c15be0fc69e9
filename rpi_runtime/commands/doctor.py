"""Check whether this machine can run pipose: ``python -m rpi_runtime doctor [--model M.tflite]``.

Each check yields findings, and each problem comes with its remedy. The exit code is 0 without problems and 1 with one
(with ``--strict`` also for warnings).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import json
import os
import platform
import re
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rpi_runtime.cascade.cascade import Cascade
from rpi_runtime.cascade.refine import refiner_for
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.command_line import AS_JSON, exit_codes
from rpi_runtime.commands.parser import make_parser, set_up_logging
from rpi_runtime.decode.choose import decoder_for
from rpi_runtime.errors import DependencyError, PiposeError, first_line
from rpi_runtime.health import machine
from rpi_runtime.health.thermal import FLAGS, read_heat
from rpi_runtime.installing import pip_line
from rpi_runtime.masking import mask
from rpi_runtime.model.card import read_card
from rpi_runtime.model.interpreter import INTERPRETERS, Model, find_module, package_version, unfit
from rpi_runtime.optional import install_remedy, load

VERIFYING_LITERT = (2, 3)
HELP = "check this machine: interpreter, camera, power, heat, model"
EXAMPLES = """\
examples:
  python -m rpi_runtime doctor
  python -m rpi_runtime doctor --model M.tflite --strict
  python -m rpi_runtime doctor --model M.tflite --refine PERSON.tflite

""" + exit_codes(own={0: "nothing is wrong", 1: "something is"})

Level = Literal["ok", "warning", "error"]
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
HOT_C = 75.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report; `remedy` is what to do, empty if there is nothing to do."""

    level: Level
    topic: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What to examine: the machine below `root`, a model, and a model that refines, if given."""

    root: Path = Path("/")
    model: Path | None = None
    refine: Path | None = None


Check = Callable[[Patient], Iterator[Finding]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``doctor``."""
    parser.add_argument("--model", metavar="FILE", help="also load this .tflite and look at its card")
    parser.add_argument("--refine", metavar="FILE", help="also this one, which refines what --model finds")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    parser.add_argument("--json", action="store_true", help=AS_JSON)


def main(argv: list[str]) -> int:
    """Print all findings and return the exit code."""
    parser = make_parser("doctor", HELP, EXAMPLES)
    add_arguments(parser)
    args = parser.parse_args(argv)
    set_up_logging(verbose=args.verbose)
    files = {key: Path(value) for key in ("model", "refine") if (value := getattr(args, key))}
    findings = [
        dataclasses.replace(f, text=mask(f.text), remedy=mask(f.remedy)) for f in examine(Patient(**files))
    ]
    if args.json:
        print(json.dumps([dataclasses.asdict(f) for f in findings], indent=1))
    else:
        print("\n".join(format_finding(f) for f in findings))
    bad = {"error", "warning"} if args.strict else {"error"}
    return 1 if any(f.level in bad for f in findings) else 0


def examine(patient: Patient) -> list[Finding]:
    """Run all checks. A check that fails unexpectedly becomes a warning instead of hiding the others."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings.extend(check(patient))
        except Exception as err:  # a failing check must not hide the others
            topic = check.__name__.removeprefix("check_")
            findings.append(
                Finding(level="warning", topic=topic, text=f"could not be checked: {first_line(err)}")
            )
    return findings


def format_finding(finding: Finding) -> str:
    """Return one line, and a second one with the remedy."""
    line = f"{finding.level:8} {finding.topic:12} {finding.text}"
    return f"{line}\n{'':21} -> {finding.remedy}" if finding.remedy else line


def check_system(patient: Patient) -> Iterator[Finding]:
    """Check board, operating system and word size."""
    parts = [machine.board(patient.root), machine.operating_system(patient.root), platform.machine()]
    text = ", ".join(p for p in parts if p)
    if struct.calcsize("P") == 4:
        remedy = "install the 64-bit Raspberry Pi OS: there is no ai-edge-litert for 32 bits"
        yield Finding(level="error", topic="system", text=f"{text}, 32-bit Python", remedy=remedy)
    else:
        yield Finding(level="ok", topic="system", text=text)
    if not (patient.root / "sys/devices/system/cpu/possible").exists():
        yield Finding(
            level="error",
            topic="system",
            text="/sys cannot be read: without it XNNPACK is left out, and inference several times slower",
            remedy="mount /sys (in a container: read-only is enough)",
        )


def check_python(patient: Patient) -> Iterator[Finding]:
    """Check Python and NumPy, and whether they fit each other and the packages that use them."""
    found = sys.version_info[:2]
    text = f"Python {platform.python_version()}, NumPy {np.__version__}"
    if OLDEST_PYTHON <= found <= NEWEST_PYTHON:
        yield Finding(level="ok", topic="python", text=text)
    else:
        oldest, newest = (".".join(map(str, v)) for v in (OLDEST_PYTHON, NEWEST_PYTHON))
        remedy = f"make the venv with a Python from {oldest} to {newest}"
        yield Finding(level="error", topic="python", text=text, remedy=remedy)


def check_interpreter(patient: Patient) -> Iterator[Finding]:
    """Check which interpreter will run models."""
    for name, (_, package) in INTERPRETERS.items():
        if package_version(package) != "?" and (reason := unfit(name)):
            text = f"{package} {package_version(package)} {reason.what}"
            yield Finding(level="warning", topic="interpreter", text=text, remedy=reason.remedy)
    try:
        name, _ = find_module()
    except DependencyError as err:
        yield Finding(level="error", topic="interpreter", text=err.what, remedy=err.remedy)
        return
    package = INTERPRETERS[name][1]
    text = f"{package} {package_version(package)}"
    if name == "tensorflow":
        remedy = pip_line("ai-edge-litert")
        yield Finding(level="warning", topic="interpreter", text=f"{text}, slow to start", remedy=remedy)
    else:
        yield Finding(level="ok", topic="interpreter", text=f"{text}{_checks_itself(name, text)}")


def _checks_itself(name: str, text: str) -> str:
    """Say of LiteRT whether it verifies a file before it follows its offsets; pipose does so in any case."""
    version = re.search(r"(\d+)\.(\d+)", text)
    if name != "ai_edge_litert" or version is None:
        return ""
    if (int(version[1]), int(version[2])) >= VERIFYING_LITERT:
        return ", which verifies a file before it loads it, as pipose does"
    newest = ".".join(map(str, VERIFYING_LITERT))
    return f" (files are verified by pipose alone; LiteRT does so, too, from {newest})"


def check_packages(patient: Patient) -> Iterator[Finding]:
    """Check OpenCV, the compiled decoder, and picamera2 on a Pi."""
    try:
        text = f"OpenCV {load('cv2', 'video').__version__}"
        yield Finding(level="ok", topic="packages", text=text)
    except DependencyError:
        text = "no OpenCV: no video files, no USB cameras, and resizing takes four times as long"
        yield Finding(level="warning", topic="packages", text=text, remedy=install_remedy("cv2"))
    if importlib.util.find_spec("cython_ext._paf") is None:
        text = "the compiled decoder is missing: nothing can be decoded"
        remedy = "install pipose from its wheel, or build it with a C compiler"
        yield Finding(level="error", topic="packages", text=text, remedy=remedy)
    if "Raspberry Pi" in machine.board(patient.root):
        yield _picamera2()


def _picamera2() -> Finding:
    try:
        load("picamera2", "cameras of the Pi")
    except DependencyError as err:
        remedy = install_remedy("picamera2")
        if int(np.__version__.split(".")[0]) >= 2 and "does not load" in err.what:
            remedy = f"{pip_line('numpy<2')} (the system's simplejpeg is built for NumPy 1), or {remedy}"
        return Finding(level="warning", topic="packages", text=err.what, remedy=remedy)
    return Finding(level="ok", topic="packages", text="picamera2")


def check_camera(patient: Patient) -> Iterator[Finding]:
    """Check the visible cameras, and whether this user may open them."""
    found = [*_pi_cameras(patient), *machine.cameras(patient.root)]
    if found:
        yield Finding(level="ok", topic="camera", text="; ".join(found))
    else:
        yield Finding(
            level="warning",
            topic="camera",
            text="none found",
            remedy="check the ribbon cable and `rpicam-hello --list-cameras`, or plug in a USB camera; "
            "files, streams and recordings need none",
        )
    shut = [d for d in sorted((patient.root / "dev").glob("video*")) if not os.access(d, os.R_OK | os.W_OK)]
    if shut:
        names = ", ".join(d.name for d in shut)
        yield Finding(
            level="error",
            topic="groups",
            text=f"this user may not open /dev/{names}; its groups: {', '.join(machine.groups())}",
            remedy='sudo usermod -aG video,render "$USER", then log out and in again',
        )


def _pi_cameras(patient: Patient) -> list[str]:
    """Check the cameras that libcamera sees, if picamera2 is installed."""
    if "Raspberry Pi" not in machine.board(patient.root):
        return []
    try:
        listed = load("picamera2", "cameras").Picamera2.global_camera_info()
    except Exception:  # picamera2 may raise anything; check_packages has reported it
        return []
    return [f"picamera:{c.get('Num', i)}: {c.get('Model', '?')}" for i, c in enumerate(listed)]


def check_governor(patient: Patient) -> Iterator[Finding]:
    """Check whether the processor may run at its full speed."""
    found = machine.governors(patient.root)
    if "powersave" in found:
        remedy = "echo ondemand | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        text = "powersave: the processor stays at its lowest frequency"
        yield Finding(level="warning", topic="governor", text=text, remedy=remedy)
    elif found:
        yield Finding(level="ok", topic="governor", text=", ".join(found))


def check_heat(patient: Patient) -> Iterator[Finding]:
    """Check temperature, throttling and power supply."""
    heat = read_heat(patient.root)
    flags = heat.flags or 0
    if flags & 0x10001:
        when = "now" if flags & 1 else "since boot"
        remedy = "use the supply made for the board (Pi 4: 5.1 V, 3 A) and a short cable"
        yield Finding(level="warning", topic="power", text=f"under-voltage {when}", remedy=remedy)
    slowed = [text for bit, text in FLAGS.items() if bit > 0 and flags >> bit & 0x10001]
    remedy = "add a heat sink or a fan, or lower the frame rate"
    if slowed or (heat.celsius or 0) >= HOT_C:
        yield Finding(level="warning", topic="heat", text=heat.describe(), remedy=remedy)
    elif heat.celsius is not None:
        yield Finding(level="ok", topic="heat", text=heat.describe())


def check_model(patient: Patient) -> Iterator[Finding]:
    """Check that the model loads, fits its card and finds people, and that XNNPACK takes all of it."""
    if patient.model is None:
        return
    try:
        model = Model(patient.model)
        decoder_for(model.card)
    except PiposeError as err:
        yield _failure("model", err)
        return
    yield _delegation("model", model)


def check_refine(patient: Patient) -> Iterator[Finding]:
    """Check the model that refines in the same way, that it fits the other one, and the time of a crop."""
    if patient.refine is None:
        return
    try:
        model = Model(patient.refine)
        skeleton = read_card(patient.model).skeleton if patient.model else model.card.skeleton
        usual = RefineConfig(model=str(patient.refine))
        unlimited = dataclasses.replace(usual, budget_ms=0)
        cascade = Cascade(refiner_for(model), model.card, skeleton, unlimited)
    except PiposeError as err:
        yield _failure("refine", err)
        return
    yield _delegation("refine", model)
    cost_ms = cascade.budget.cost_ns / 1e6
    text = f"one crop takes about {cost_ms:.1f} ms here; the budget is {usual.budget_ms:g} ms a frame"
    remedy = "take a smaller network, or give the run a larger --refine-budget-ms"
    slow = cost_ms > usual.budget_ms
    yield Finding(level="warning" if slow else "ok", topic="refine", text=text, remedy=remedy if slow else "")


def _failure(topic: str, err: PiposeError) -> Finding:
    return Finding(level="error", topic=topic, text=err.what, remedy=err.remedy)


def _delegation(topic: str, model: Model) -> Finding:
    if model.delegation().fell_back and not model.own_kernels_are_faster:
        remedy = "export it with a pipose recipe, which uses operations that XNNPACK takes in INT8"
        return Finding(level="warning", topic=topic, text=model.describe(), remedy=remedy)
    return Finding(level="ok", topic=topic, text=model.describe())


CHECKS: tuple[Check, ...] = (
    check_system,
    check_python,
    check_interpreter,
    check_packages,
    check_camera,
    check_governor,
    check_heat,
    check_model,
    check_refine,
)
