"""The command line as its own process: Ctrl-C, pipes, and what it prints where."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.export.toynet import write_pictures, write_toy_network

ROOT = Path(__file__).resolve().parents[1]
Job = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Start the export of the toy network; its temporary files go to ``tmp`` and its outputs to ``out``."""
    write_toy_network(tmp_path)
    write_pictures(tmp_path / "pictures", 4)
    (tmp_path / "tmp").mkdir()
    argv = ["--onnx", str(tmp_path / "toy.onnx"), "--card", str(tmp_path / "toy.toml"), "--int8"]
    argv += ["--calibration", str(tmp_path / "pictures"), "--output", str(tmp_path / "out")]

    def start(*more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "export.tflite", *argv, *more],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def left_in(folder: Path) -> list[str]:
    """What lies in a folder for temporary files, less the session file that ONNX Runtime 1.32 writes there itself."""
    return [path.name for path in folder.iterdir() if path.name != ".ses"]


@pytest.mark.parametrize("stage", ["imports", "float32", "w8c_a8_eq"])
def test_ctrl_c_leaves_nothing_and_is_exit_code_130(job: Job, tmp_path: Path, stage: str) -> None:
    process = job("--size", "64x48")
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.strip().startswith(stage):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, (seen, err)
    assert out == ""
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1] == "interrupted; nothing was left half written"
    assert [p for p in tmp_path.glob("out/*") if p.is_file()] == []
    assert left_in(tmp_path / "tmp") == []


def test_json_is_all_of_standard_output_and_nothing_else_is_printed(job: Job, tmp_path: Path) -> None:
    out, err = job("--json").communicate(timeout=240)
    (outcome,) = json.loads(out)
    assert outcome["passed"] is True
    assert err == ""
    assert left_in(tmp_path / "tmp") == []
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == [f"toy-64x48-int8.{s}" for s in ("report.html", "report.json", "tflite")]


def test_the_converters_are_silent_and_stages_have_times(job: Job) -> None:
    out, err = job().communicate(timeout=240)
    lines = err.splitlines()
    assert "toy 64x48 w8c_a8_eq" in lines
    stages = [line.split()[0] for line in lines if line.startswith("  ")]
    expected = [
        "imports",
        "calibration",
        "float32",
        "w8c_a8_eq",
        "gate",
    ]
    assert stages[: len(expected)] == expected
    assert all(line.split()[2] == "s" for line in lines if line.startswith("  "))
    assert len(lines) == len(stages) + 1
    assert "passed" in out


def test_benchmarks_and_long_tests_parse_their_arguments_before_they_work() -> None:
    checked = []
    for path in sorted([*ROOT.glob("tests/benchmarks/*.py"), *ROOT.glob("tests/e2e/*.py")]):
        text = path.read_text()
        if '__name__ == "__main__"' not in text:
            continue
        functions = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)}
        first = ast.unparse(functions["main"].body[1])  # behind the docstring
        assert re.search(r"ArgumentParser\(|parse_args\(", first), (
            f"{path}: --help would start the work: {first}"
        )
        assert "parse_args(" in text, path
        checked.append(path.stem)
    assert {"faults", "network_faults", "service_camera", "decode"} <= set(checked)


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m export.tflite --list-models | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.returncode in (0, 141)
