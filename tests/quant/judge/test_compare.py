"""A network of crops with heatmaps is compared by its maps and by its people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from export.calibration.sources import find_images, people_of
from export.zoo.registry import find_model
from quant.calibration import read_calibration
from quant.calibration_people import cut_people
from quant.judge.compare import compare_files
from quant.judge.gate import Limits, check_agreement
from quant.quiet import quiet
from quant.tflite.records import Model
from quant.tflite.write import write_model
from rpi_runtime.decode.crops import crop_settings
from rpi_runtime.model.card import ModelCard
from rpi_runtime.poses import Image


@pytest.fixture(scope="module")
def refiner() -> tuple[Model, ModelCard]:
    network = find_model("person-refiner").load("bundled")
    card = network.card_at(96, 128)
    with quiet():
        return network.build(card.input).model, card


def crops_of(card: ModelCard, count: int) -> list[Image]:
    pictures = read_calibration(find_images(None, count)[0], "bundled")
    return list(cut_people(pictures, people_of(None), card.input, crop_settings(card)).frames)


def test_a_file_is_wholly_like_itself(refiner: tuple[Model, ModelCard], tmp_path: Path) -> None:
    model, card = refiner
    file = tmp_path / "real.tflite"
    file.write_bytes(write_model(model))
    found = compare_files(file, file, card, crops_of(card, 8))
    assert found.likeness == pytest.approx(100)
    assert found.likeness_of == "crop maps"
    assert all(check.passed for check in check_agreement(found, Limits()))
    worse = replace(found, likeness=Limits().crop_map_likeness - 1)
    assert [c.name for c in check_agreement(worse, Limits()) if not c.passed] == [
        "AP where the float network's people are the truth"
    ]
