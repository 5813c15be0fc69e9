"""The description for a package index has no link that leads nowhere."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
RELATIVE = re.compile(r"\]\((?!https?:|#)")


@pytest.fixture(scope="module")
def describe() -> Callable[[str, str], str]:
    pytest.importorskip("setuptools")
    spec = importlib.util.spec_from_file_location("pipose_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[[str, str], str] = module.index_description
    return function


def test_links_become_absolute(describe: Callable[[str, str], str]) -> None:
    found = describe(
        "see [a](docs/a.md) and ![b](b.jpg), [c](https://c.org)", "https://forge.example/pipose/"
    )
    assert found == (
        "see [a](https://forge.example/pipose/blob/HEAD/docs/a.md) and "
        "![b](https://forge.example/pipose/raw/HEAD/b.jpg), [c](https://c.org)"
    )


def test_without_a_repository_the_text_stays(describe: Callable[[str, str], str]) -> None:
    assert describe("see [a](docs/a.md)![b](b.jpg)\n<!-- ci: x -->\nend", "") == "see a\nend"


@pytest.mark.parametrize("repository", ["", "https://forge.example/pipose"])
def test_no_relative_link_is_left_of_the_readme(describe: Callable[[str, str], str], repository: str) -> None:
    assert RELATIVE.search(README)
    found = describe(README, repository)
    assert not RELATIVE.search(found)
    assert "<!--" not in found
    assert ("poses.jpg" in found) == bool(repository)
