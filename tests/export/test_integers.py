"""The recipes that an export tries one after the other, and what AP has to say in it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from export.calibration.sources import find_images
from export.integers import Maker
from export.zoo.registry import find_model
from quant.accuracy.evaluation import Evaluation
from quant.calibration import CalibrationSet, read_calibration
from quant.judge.gate import Limits
from quant.progress import Progress
from quant.quiet import quiet
from quant.recipe import REPAIRS, Recipe, load_recipe
from quant.tflite.records import Model
from quant.tflite.write import write_model
from rpi_runtime.errors import DependencyError, ParityError
from rpi_runtime.model.card import ModelCard

RECIPES = tuple(load_recipe(name) for name in ("w8c_a8", "w8c_a8_eq", "w8c_a8_eqr"))
ANY = Limits(heatmap_rmse=9, paf_relative_l2=9, lost_peaks=1)  # what is tested here is AP alone
REAL = Evaluation(file="", model="", recipe="", size="", ap=50.0)


@pytest.fixture(scope="module")
def network() -> tuple[Model, ModelCard, CalibrationSet]:
    entry = find_model("lw-openpose").load("bundled")
    card = entry.card_at(96, 64)
    with quiet():
        return entry.build(card.input).model, card, read_calibration(find_images(None, 2)[0], "bundled")


class Meter:
    """AP by recipe, as a measurement would give it; keeps what it was asked for."""

    def __init__(self, **ap: float) -> None:
        self.ap, self.asked = ap, list[str]()

    def __call__(self, path: Path) -> tuple[Evaluation, ...]:
        self.asked.append(path.stem)
        return REAL, replace(REAL, ap=self.ap[path.stem])


def made(
    network: tuple[Model, ModelCard, CalibrationSet],
    folder: Path,
    meter: Meter,
    limits: Limits = ANY,
    recipes: Sequence[Recipe] = RECIPES,
):  # type: ignore[no-untyped-def]
    model, card, pictures = network
    real = folder / "float32.tflite"
    real.write_bytes(write_model(model))
    return Maker(card, pictures, limits, real, Progress(quiet=True), meter).make(model, recipes)


def test_a_file_that_loses_too_much_ap_is_repaired(
    network: tuple[Model, ModelCard, CalibrationSet], tmp_path: Path
) -> None:
    meter = Meter(w8c_a8=45.0, w8c_a8_eq=49.2, w8c_a8_eqr=49.9)
    found = made(network, tmp_path, meter)
    assert found.recipe == "w8c_a8_eq"
    assert meter.asked == ["w8c_a8", "w8c_a8_eq"]
    assert [a.refused for a in found.attempts] == [("AP drop",), ()]
    assert [e.ap for e in found.evaluations] == [50.0, 49.2]


def test_where_all_lose_too_much_the_one_that_loses_least_remains(
    network: tuple[Model, ModelCard, CalibrationSet], tmp_path: Path
) -> None:
    found = made(network, tmp_path, Meter(w8c_a8=45.0, w8c_a8_eq=48.2, w8c_a8_eqr=47.9))
    assert found.recipe == "w8c_a8_eq"
    assert [a.recipe for a in found.attempts] == [recipe.name for recipe in RECIPES]
    assert [c.name for c in found.checks if not c.passed] == ["AP drop"]


def test_ap_is_not_measured_of_files_that_are_refused_anyway(
    network: tuple[Model, ModelCard, CalibrationSet], tmp_path: Path
) -> None:
    meter = Meter()
    found = made(network, tmp_path, meter, replace(ANY, heatmap_rmse=0.0))
    assert meter.asked == []
    assert found.evaluations == ()


def test_without_pytorch_the_attempts_before_count_and_what_was_not_tried_is_told(
    network: tuple[Model, ModelCard, CalibrationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    recipes = tuple(map(load_recipe, ("w8c_a8_eq", *REPAIRS)))
    found = made(network, tmp_path, Meter(w8c_a8_eq=45.0, w8c_a8_eqr=46.0), recipes=recipes)
    assert found.recipe == "w8c_a8_eqr"
    assert [a.recipe for a in found.attempts] == ["w8c_a8_eq", "w8c_a8_eqr"]
    assert found.untried.recipes == REPAIRS[1:]
    assert re.fullmatch(
        r"8 more recipes could be tried; this needs torch, which is not installed; run: .*pip install.* torch.*",
        found.untried.advice,
    )


def test_what_could_not_be_tried_is_no_matter_where_the_gate_accepts(
    network: tuple[Model, ModelCard, CalibrationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    recipes = tuple(map(load_recipe, ("w8c_a8", "w8c_a8_eq_out", "w8c_a8_eq")))
    found = made(network, tmp_path, Meter(w8c_a8=45.0, w8c_a8_eq=49.5), recipes=recipes)
    assert (found.recipe, found.untried) == ("w8c_a8_eq", None)


def test_a_first_recipe_that_needs_pytorch_is_an_error_without(
    network: tuple[Model, ModelCard, CalibrationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DependencyError, match="this needs torch, which is not installed; run: "):
        made(network, tmp_path, Meter(), recipes=[load_recipe("w8c_a8_eq_out"), load_recipe("w8c_a8_eq")])


def test_a_repair_that_changes_the_float_network_leaves_the_attempts_of_the_others(
    network: tuple[Model, ModelCard, CalibrationSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = Maker._compare

    def differs(self: Maker, quantizer: object, quantized: object, recipe: Recipe) -> None:
        if recipe.name == "w8c_a8_eqr":
            raise ParityError("float32 -> equalized: output heatmaps differs")
        compare(self, quantizer, quantized, recipe)  # type: ignore[arg-type]

    monkeypatch.setattr(Maker, "_compare", differs)
    found = made(network, tmp_path, Meter(w8c_a8=45.0, w8c_a8_eq=48.2))
    assert [a.recipe for a in found.attempts] == ["w8c_a8", "w8c_a8_eq"]
    with pytest.raises(ParityError):
        made(network, tmp_path, Meter(), recipes=[load_recipe("w8c_a8_eqr")])
