"""What a release is made of: wheels for each Python that is named, addresses of the repository, files in the wheel."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "pyproject.toml").read_text()
PROJECT = tomllib.loads(TEXT)


@pytest.fixture(scope="module")
def urls() -> ModuleType:
    spec = importlib.util.spec_from_file_location("project_urls", ROOT / ".github/project_urls.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_repositorys_addresses_are_written_once(urls: ModuleType) -> None:
    once = urls.with_urls(TEXT, "https://forge.example/owner/pipose")
    twice = urls.with_urls(once, "https://other.example/owner/pipose")
    for text, forge in ((once, "forge"), (twice, "other")):
        read = tomllib.loads(text)
        assert read["project"].pop("urls")["Repository"] == f"https://{forge}.example/owner/pipose"
        plain = tomllib.loads(TEXT)
        plain["project"].pop("urls", None)
        assert read == plain


@pytest.mark.parametrize(
    "address", ["", "ftp://forge.example/a/b", 'https://forge.example/a/b"\nx = 1', "https://forge.example"]
)
def test_an_address_that_is_none_is_refused(urls: ModuleType, address: str) -> None:
    with pytest.raises(SystemExit, match="expected the repository's address"):
        urls.with_urls(TEXT, address)


def test_each_python_that_is_named_gets_a_wheel() -> None:
    named = {c.rpartition(" ")[2] for c in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", c)}
    built = {"3." + b.partition("-")[0].removeprefix("cp3") for b in PROJECT["tool"]["cibuildwheel"]["build"]}
    assert named == built == {"3.11", "3.12", "3.13"}


def test_the_workflow_builds_for_both_machines_what_it_publishes() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    yaml = pytest.importorskip("yaml", reason="the workflow is YAML: pip install pyyaml")
    jobs = yaml.safe_load(text)["jobs"]
    assert set(jobs["publish"]["needs"]) == {"sdist", "wheels"}
    assert jobs["wheels"]["strategy"]["matrix"]["runner"] == ["ubuntu-24.04", "ubuntu-24.04-arm"]
    assert "id-token" in jobs["publish"]["permissions"]
    assert "password" not in text.replace("there is no password", "")


def test_every_kernel_is_built() -> None:
    built = {module["name"] for module in PROJECT["tool"]["setuptools"]["ext-modules"]}
    kernels = {f"cython_ext.{path.stem}" for path in (ROOT / "cython_ext").glob("_*.pyx")}
    assert built == kernels | {"cython_ext._shared"}


def test_every_file_of_the_packages_goes_into_the_wheel() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    left_out = [
        str(path.relative_to(ROOT))
        for package in ("cython_ext", "rpi_runtime", "quant", "export")
        for path in (ROOT / package).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.suffix not in (".py", ".so", ".c", ".pyi", ".html~")
        and not any(fnmatch(path.name, pattern) for pattern in patterns)
    ]
    assert left_out == []
