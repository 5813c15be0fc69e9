"""A package that is missing: every command says so in one line, with what installs it here, and exits with 8."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from rpi_runtime import installing
from rpi_runtime.installing import install_line, requirements

ROOT = Path(__file__).parents[1]
OPTIONAL = (
    "torch", "tensorflow", "onnx", "onnx2tf", "onnxruntime", "rich", "pycocotools", "safetensors", "jinja2",
    "defusedxml", "flatbuffers", "PIL", "cv2", "aiohttp", "paho",
)  # fmt: skip


def commands() -> list[str]:
    """Every module of the workstation half that `python -m` runs."""
    found = []
    for package in ("export", "quant"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "sys.exit(run_command(main" in path.read_text():
                found.append(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"))
    return found


def run_without(blocked: tuple[str, ...], module: str, *argv: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({blocked!r})); sys.argv = {[module, *argv]!r}; "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_there_are_commands() -> None:
    assert {"export.train", "export.evaluate", "export.bundle", "quant.card"} <= set(commands())


@pytest.mark.parametrize("module", commands())
def test_help_is_help_or_the_command_that_installs(module: str) -> None:
    done = run_without(OPTIONAL, module, "--help")
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 8), done.stderr
    if done.returncode == 8:
        line = done.stderr.strip().splitlines()[-1]
        assert re.search(r"this needs \w+, which is not installed; run: ", line)
        assert f"{sys.executable} -m pip install " in line
    else:
        assert module in done.stdout


def test_help_of_evaluate_and_bundle_needs_no_package() -> None:
    for module in ("export.evaluate", "export.bundle", "export.tflite"):
        assert run_without(OPTIONAL, module, "--help").returncode == 0


def test_training_without_pytorch_names_it_and_a_build_without_cuda() -> None:
    done = run_without(("torch",), "export.train", "lw-openpose", "--output", "nowhere")
    line = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 8
    assert "this needs torch" in line


def test_the_line_installs_what_is_missing_and_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = [
        "numpy>=1.24",
        "onnx<2,>=1.19; extra == 'export'",
        "not-there>=3; extra == 'export'",
        "torch>=2; extra == 'train'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda _: declared)
    monkeypatch.setattr(installing, "_installed", lambda name: name == "onnx")
    monkeypatch.setattr(installing, "_managed", lambda: False)
    assert requirements("") == ["numpy>=1.24"]
    assert shlex.split(install_line("export")) == [sys.executable, "-m", "pip", "install", "not-there>=3"]
    assert "https://download.pytorch.org/whl/cpu" in install_line("train")


def test_a_checkout_that_was_never_installed_installs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: None)
    monkeypatch.setattr(installing, "_managed", lambda: False)
    words = shlex.split(install_line("train"))
    assert words[-2:] == ["-e", f"{ROOT}[train]"]
    assert "https://download.pytorch.org/whl/cpu" in words


def test_where_the_system_manages_packages_a_venv_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "_managed", lambda: True)
    line = install_line("export")
    assert line.startswith(f"{sys.executable} -m venv .venv && .venv/bin/python -m pip install ")
    assert "numpy" in line


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ("", True),
        (" python_version >= '3.8'", True),
        (' python_version < "3.8"', False),
        (" python_version >= '3.8' and python_version < '9.0'", True),
        (" extra == 'export' and python_version >= '9.0'", False),
    ],
)
def test_requirements_of_other_pythons_are_left_out(marker: str, holds: bool) -> None:
    from rpi_runtime.installing import _for_this_python

    assert _for_this_python(marker) is holds
