"""The public interface: what each package exports, and that every example in its docstrings and the README runs."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import re
import shutil
from pathlib import Path

import pytest

from export.tflite import main
from quant.cli import run_command
from rpi_runtime.capture.pictures import picture_size

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rpi_runtime", "quant", "export")


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real model, M.tflite, a picture with a person, street.jpg, and the folder street with it."""
    folder = tmp_path_factory.mktemp("api")
    pytest.importorskip("onnxruntime", reason="the export half is not installed")
    assert run_command(main, ["--model", "lw-openpose", "--output", str(folder)]) == 0
    (folder / "lw-openpose-160x120-float32.tflite").rename(folder / "M.tflite")
    picture = ROOT / "tests/pictures/camera.jpg"
    shutil.copy(picture, folder / "street.jpg")
    (folder / "street").mkdir()
    shutil.copy(picture, folder / "street/street.jpg")
    write_coco(folder / "coco", picture)
    return folder


def write_coco(folder: Path, picture: Path) -> None:
    """Write a folder in COCO's layout with one picture and one person on it."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    shutil.copy(picture, folder / "val2017/000000000001.jpg")
    width, height = picture_size(picture)
    points = [float(v) for n in range(17) for v in (10 + n, 20 + n, 2)]
    person = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": 17,
        "keypoints": points,
    }
    data = {
        "images": [{"id": 1, "file_name": "000000000001.jpg", "width": width, "height": height}],
        "annotations": [person | {"bbox": [10, 20, 60, 80], "area": 4800.0}],
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "annotations/person_keypoints_val2017.json").write_text(json.dumps(data))


EXPORTED = [
    (package, name)
    for package in PACKAGES
    for name in importlib.import_module(package).__all__
    if name[0] != "_"
]


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_members_are_sorted_and_there(package: str) -> None:
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018 - the look-up is what is tested


@pytest.mark.parametrize(("package", "name"), EXPORTED)
def test_every_public_docstring_has_an_example_that_runs(
    package: str, name: str, workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workshop)
    found = doctest.DocTestFinder().find(getattr(importlib.import_module(package), name), name)
    assert found[0].examples, f"{package}.{name}: no example"
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    for test in found:
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_the_public_names_are_documented() -> None:
    text = (ROOT / "rpi_runtime/docs/python.md").read_text()
    missing = [name for package, name in EXPORTED if package == "rpi_runtime" and f"`{name}`" not in text]
    assert not missing
    for package, name in EXPORTED:
        assert inspect.getdoc(getattr(importlib.import_module(package), name))


@pytest.mark.parametrize("page", ["rpi_runtime/docs/python.md", "README.md"])
def test_the_snippets_of_the_documents_run(
    page: str, workshop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workshop)
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert snippets, f"{page} has no Python"
    for number, snippet in enumerate(snippets):
        exec(compile(snippet, f"{page}, snippet {number}", "exec"), {})
    assert capsys.readouterr().out
