"""Who may import whom: export -> quant -> rpi_runtime -> cython_ext, and nothing heavy in the runtime."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("export", "quant", "rpi_runtime", "cython_ext")  # each may import itself and what stands behind it

# Third-party packages by layer; the runtime's optional ones each in the files that need them.
RUNTIME = {"numpy"}
ADAPTERS = {
    "PIL": "rpi_runtime/capture/pictures.py",
    "cv2": ("rpi_runtime/", "export/train/"),
    "picamera2": "rpi_runtime/capture/picamera.py",
    "libcamera": "rpi_runtime/capture/picamera.py",
    "torch": ("quant/quantize/",),  # imported where a recipe needs it
    "ai_edge_litert": ("rpi_runtime/model/interpreter.py", "quant/"),  # there for the schema of .tflite files
    "tflite_runtime": "rpi_runtime/model/interpreter.py",
    "tensorflow": "rpi_runtime/model/interpreter.py",
}
QUANT = RUNTIME | {"flatbuffers", "pycocotools", "rich", "jinja2"}
EXPORT = QUANT | {
    "torch", "onnx", "onnxruntime", "google", "defusedxml", "safetensors",
}  # fmt: skip
ALLOWED = {"export": EXPORT, "quant": QUANT, "rpi_runtime": RUNTIME, "cython_ext": RUNTIME}
HEAVY = {"torch", "tensorflow", "onnx", "onnx2tf", "onnxruntime", "tf_keras", "cv2", "picamera2", "PIL"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def command_modules() -> set[str]:
    """Names of the modules that are the workstation's command lines."""
    paths = [path for package in ("export", "quant") for path in sources(package)]
    commands = [path for path in paths if "sys.exit(run_command(main" in path.read_text()]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in commands}


COMMANDS = command_modules()
FILES = [(package, path) for package in ORDER for path in sources(package)]


@pytest.mark.parametrize(("package", "path"), FILES, ids=lambda v: str(v).removeprefix(f"{ROOT}/"))
def test_imports_point_one_way(package: str, path: Path) -> None:
    above = ORDER[: ORDER.index(package)]
    wrong = [name for name in imports(path) if name.split(".")[0] in above]
    assert not wrong


@pytest.mark.parametrize(("package", "path"), FILES, ids=lambda v: str(v).removeprefix(f"{ROOT}/"))
def test_third_party_imports_are_those_of_the_layer(package: str, path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)} - set(ORDER) - sys.stdlib_module_names
    place = path.relative_to(ROOT).as_posix()
    adapted = {name for name, where in ADAPTERS.items() if place.startswith(where)}
    assert roots - adapted <= ALLOWED[package]


@pytest.mark.parametrize(("package", "path"), FILES, ids=lambda v: str(v).removeprefix(f"{ROOT}/"))
def test_production_does_not_import_the_oracles(package: str, path: Path) -> None:
    del package
    if not path.name.startswith("reference"):
        assert not [n for n in imports(path) if n.startswith("cython_ext.reference")], path


@pytest.mark.parametrize(("package", "path"), FILES, ids=lambda v: str(v).removeprefix(f"{ROOT}/"))
def test_commands_are_imported_by_nothing(package: str, path: Path) -> None:
    """So `evaluate`, `card` and `predict` are names of commands, and what they run has names of its own."""
    del package
    named = {f"{n.module}.{a.name}" for n in ast.walk(ast.parse(path.read_text()))
             if isinstance(n, ast.ImportFrom) for a in n.names}  # fmt: skip
    assert not (named | set(imports(path))) & COMMANDS


@pytest.mark.parametrize("package", ORDER)
def test_the_packages_themselves_import_nothing_heavy(package: str) -> None:
    for init in (ROOT / package).rglob("__init__.py"):
        assert not {name.split(".")[0] for name in imports(init)} & HEAVY, init


def run_without(blocked: set[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process in which `blocked` packages cannot be imported."""
    setup = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(blocked)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.split(".")[0])

sys.meta_path.insert(0, Blocked())
"""
    command = [sys.executable, "-W", "error", "-c", setup + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_runtime_imports_without_anything_optional() -> None:
    blocked = {"tensorflow", "torch", "onnx", "cv2", "picamera2", "libcamera", "PIL", "rich", "pycocotools"}
    code = """
import importlib, pkgutil, rpi_runtime
names = [m.name for m in pkgutil.walk_packages(rpi_runtime.__path__, "rpi_runtime.") if not m.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    done = run_without(blocked, code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


@pytest.mark.parametrize("module", ["export.tflite", "export.zoo.registry", "quant.card", "quant.evaluate"])
def test_command_lines_start_without_anything_heavy(module: str) -> None:
    blocked = {"tensorflow", "torch", "onnx", "onnx2tf", "onnxruntime", "pycocotools", "rich", "PIL"}
    done = run_without(blocked, f"import {module}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["export.train.__main__", "export.train.label", "export.evaluate"])
def test_training_and_evaluation_need_no_tensorflow(module: str) -> None:
    pytest.importorskip("torch")
    done = run_without({"tensorflow", "onnx2tf", "tf_keras"}, f"import {module}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("option", ["--help", "--list-models", "--list-recipes"])
def test_lists_and_help_need_nothing_heavy(option: str) -> None:
    blocked = {"tensorflow", "torch", "onnx", "onnx2tf", "rich", "pycocotools"}
    code = f"""
from export.tflite import main
try:
    sys.exit(main([{option!r}]))
except SystemExit as err:
    sys.exit(err.code)
"""
    done = run_without(blocked, code)
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"--help": "exit codes:", "--list-models": "lw-openpose", "--list-recipes": "w8c_a8_eq"}
    assert expected[option] in done.stdout


@pytest.mark.parametrize(
    ("blocked", "code"),
    [
        ("onnx", "from export.tflite import main; argv = ['--model', 'lw-openpose', '--output', OUT]"),
        ("onnxruntime", "from export.tflite import main; argv = ['--model', 'lw-openpose', '--output', OUT]"),
        ("rich", "from export.tflite import main; argv = ['--model', 'lw-openpose', '--output', OUT]"),
        ("rich", "from quant.evaluate import main; argv = [MODEL, '--coco', COCO]"),
    ],
)
def test_a_missing_package_is_one_line_and_exit_code_8(
    blocked: str, code: str, tmp_path: Path, toy_coco: tuple[Path, Path]
) -> None:
    model, coco = toy_coco
    names = f"OUT, MODEL, COCO = {str(tmp_path)!r}, {str(model)!r}, {str(coco)!r}\n"
    tail = "\nfrom quant.cli import run_command\nsys.exit(run_command(main, argv))"
    done = run_without({blocked}, names + code + tail)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 8, done.stderr
    assert lines[-1].startswith("error: ")
    assert blocked in lines[-1]
    assert f"{sys.executable} -m pip install " in lines[-1]
    assert "Traceback" not in done.stderr
