"""Advice: every command that a message, a help or a document names exists, with the options that it is given."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rpi_runtime import __main__ as runtime
from rpi_runtime.installing import export_line, python_here
from tests.test_cli_missing import commands
from tests.test_cli_names import usage_of

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"(?:python3?|pipose|\{\w+(?:\(\))?\}) (?:-m ([\w.]+))?([^\n`|;&()#]*)")
ROOMS = ("cython_ext", "export", "quant", "rpi_runtime", "tests")


def texts(path: Path) -> Iterator[str]:
    """Every string of a source file, whole, with ``{NAME}`` for what is filled in; or a document's text."""
    if path.suffix != ".py":
        yield path.read_text()
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(v.value) if isinstance(v, ast.Constant) else f"{{{ast.unparse(v.value)}}}"
                for v in node.values
                if isinstance(v, ast.Constant | ast.FormattedValue)
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def advised() -> list[tuple[str, str, str]]:
    """Every advised command: where, its module, and the words behind it."""
    found = set()
    pages = [p for room in ROOMS for end in ("*.py", "*.md", "*.html") for p in (ROOT / room).rglob(end)]
    for path in [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.yml"), *pages]:
        for text in texts(path):
            for module, words in COMMAND.findall(text.replace("\\\n", " ")):
                if module.partition(".")[0] in ROOMS and not module.endswith(".NAME"):
                    found.add((str(path.relative_to(ROOT)), module.rstrip("."), words))
    return sorted(found)


ADVISED = advised()


def test_commands_are_found_in_messages_helps_and_documents() -> None:
    places = {place for place, _, _ in ADVISED}
    assert {
        "README.md",
        "export/tflite.py",
        "export/report/advice.py",
        "rpi_runtime/commands/run.py",
    } <= places
    assert len(ADVISED) > 100


@pytest.mark.parametrize(("place", "module", "words"), ADVISED, ids=lambda v: v.strip()[:40])
def test_an_advised_command_exists_with_its_options(place: str, module: str, words: str) -> None:
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"{place}: no module {module}"
    name, options = module, set(re.findall(r"(?<![\w-])--[a-z][\w-]*", words)) - {"--help", "--version"}
    if module == "rpi_runtime":
        given = words.split()
        if not given or given[0].startswith(("-", "...")) or given[0] == "COMMAND":
            return
        name = re.sub(r"[.,:]$", "", given[0])
        assert name in runtime.COMMANDS, f"{place}: no command {name}"
        if name == "service" and len(given) > 1 and given[1] in ("install", "uninstall", "run"):
            name = f"service {given[1]}"
    elif module not in commands():
        source = Path(str(spec.origin))
        beside = [*source.parent.rglob("*.py")] if source.name == "__init__.py" else [source]
        shared = re.findall(r"^from (tests\.[\w.]+) import", source.read_text(), re.MULTILINE)
        beside += [ROOT / f"{name.replace('.', '/')}.py" for name in shared]
        beside = [path for path in beside if path.is_file()]
        known = set(re.findall(r"\"(--[a-z][\w-]*)\"", "".join(p.read_text() for p in beside)))
        assert options <= known, f"{place}: {module} has no {options - known}"
        return
    known = set(re.findall(r"--[a-z][\w-]*", usage_of(name)))
    assert options <= known, f"{place}: {name} has no {options - known}"


def in_raise(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def test_no_error_of_the_runtime_names_another_interpreter_or_another_pip() -> None:
    for path in [p for room in ("cython_ext", "rpi_runtime") for p in (ROOT / room).rglob("*.py")]:
        for text in in_raise(path):
            assert not re.search(r"\bpython3? -m|\bpip3? install", text), f"{path}: {text}"


def test_pip_is_named_in_one_place() -> None:
    named = [
        str(path.relative_to(ROOT))
        for room in ("cython_ext", "export", "quant", "rpi_runtime")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"\bpip3? install|\"pip\"|'pip'", path.read_text())
    ]
    assert sorted(named) == ["cython_ext/specs.py", "rpi_runtime/installing.py"]


def test_this_interpreter_is_one_that_a_shell_finds() -> None:
    done = subprocess.run(["sh", "-c", f"{python_here()} -c 'print(6 * 7)'"], capture_output=True, text=True)
    assert done.stdout == "42\n"


def test_without_the_extra_the_export_is_for_a_workstation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert export_line("--pair").endswith("-m export.tflite --pair")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert export_line() == "on a workstation: python3 -m export.tflite"


def test_missing_kernels_name_this_interpreters_pip() -> None:
    from cython_ext.specs import NOT_BUILT

    line = NOT_BUILT.partition("run: ")[2]
    done = subprocess.run(["sh", "-c", f"{line} --help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install" in done.stdout
