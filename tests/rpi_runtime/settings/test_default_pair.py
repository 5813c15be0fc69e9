"""A run that names no network takes the exported pair, where it lies in the usual place, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpi_runtime.errors import UsageError
from rpi_runtime.settings.default_pair import FINDER, REFINERS, default_pair
from rpi_runtime.settings.run_config import load_config

SMALL, LARGE = REFINERS


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with both files of the pair in the usual place."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / FINDER.parent).mkdir()
    for name in (FINDER, SMALL):
        (tmp_path / name).write_bytes(b"a network")
    return tmp_path


def test_the_pair_is_taken_when_no_model_is_named(exported: Path) -> None:
    config = load_config(None, {})
    assert config.model == (str(FINDER),)
    assert config.refine is not None
    assert config.refine.model == str(SMALL)


def test_options_of_the_refinement_hold_for_the_pair(exported: Path) -> None:
    config = load_config(None, {"look_every": 3, "refine_budget_ms": 0.0})
    assert config.refine is not None
    assert (config.refine.model, config.refine.look_every, config.refine.budget_ms) == (str(SMALL), 3, 0.0)


def test_the_larger_refiner_is_taken_where_it_is_the_only_one(exported: Path) -> None:
    (exported / LARGE).write_bytes(b"a network")
    assert default_pair(exported, {})["refine"] == str(exported / SMALL)
    (exported / SMALL).unlink()
    assert default_pair(exported, {})["refine"] == str(exported / LARGE)


def test_a_model_by_name_comes_alone(exported: Path) -> None:
    config = load_config(None, {"model": ["own.tflite"]})
    assert (config.model, config.refine) == (("own.tflite",), None)


def test_a_model_of_the_file_comes_alone(exported: Path) -> None:
    file = exported / "run.toml"
    file.write_text('model = "own.tflite"\n')
    assert load_config(file, {}).refine is None


def test_another_refiner_goes_with_the_finder(exported: Path) -> None:
    config = load_config(None, {"refine": "own.tflite"})
    assert config.model == (str(FINDER),)
    assert config.refine is not None
    assert config.refine.model == "own.tflite"


@pytest.mark.parametrize("missing", [FINDER, SMALL])
def test_half_a_pair_is_none_and_the_error_says_how_to_get_it(exported: Path, missing: Path) -> None:
    (exported / missing).unlink()
    assert default_pair(exported, {}) == {}
    with pytest.raises(UsageError, match=r"no model given.*python\S* -m export\.tflite --pair --int8"):
        load_config(None, {})
