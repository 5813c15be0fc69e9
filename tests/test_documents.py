"""The documents: links lead somewhere, indexes are complete, commands exist, the README is what CI runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from rpi_runtime.model.card import CARD_FORMAT
from rpi_runtime.sinks.message import MESSAGE_VERSION

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("export", "quant", "rpi_runtime", "tests", ".github")
PAGES = sorted([*ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))])
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#([^)\s]+))?\)")
MODULE = re.compile(r"python3? -m ((?:export|quant|rpi_runtime|tests)(?:\.[a-z_0-9]+)*)(?!\.?\w)")


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings as forges make them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        linked = page.parent / target
        assert linked.exists(), target
        assert not anchor or anchor in headings(linked), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    for name in MODULE.findall(page.read_text()):
        module = importlib.util.find_spec(name)
        assert module is not None, name
        assert module.submodule_search_locations is None or importlib.util.find_spec(f"{name}.__main__"), name


@pytest.mark.parametrize("index", ["export/docs/README.md", "rpi_runtime/docs/README.md"])
def test_an_index_links_every_page_of_its_folder(index: str) -> None:
    linked = {target for target, _ in LINK.findall((ROOT / index).read_text())}
    pages = {page.name for page in (ROOT / index).parent.glob("*.md")} - {"README.md"}
    assert pages - linked == set()


@pytest.mark.parametrize("name", ["packages", "setup", "test", "check"])
def test_the_readme_has_each_block_that_ci_runs(name: str) -> None:
    assert re.search(
        rf"^<!-- ci: {name} -->\n```bash\n.+?\n```$", (ROOT / "README.md").read_text(), re.M | re.S
    )


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")), ids=lambda page: page.stem
)
def test_what_an_issue_asks_for_can_be_made(page: Path) -> None:
    for name in MODULE.findall(page.read_text()):
        assert importlib.util.find_spec(name) is not None, name


def test_the_changelog_states_the_current_formats() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"`format` number then changes \(now {CARD_FORMAT}[;)]", text)
    assert re.search(rf"`version` then changes \(now {MESSAGE_VERSION}[;)]", text)


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 170
