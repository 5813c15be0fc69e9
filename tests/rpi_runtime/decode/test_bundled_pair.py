"""The decoders on maps of the bundled pair, against the networks' published rules, in every clone.

As `tests.rpi_runtime.decode.test_published`, which does it with networks of others.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="computes maps with ONNX Runtime: pip install onnxruntime")

from export.graph.topology import Topology
from export.weights.find import find_weights
from export.zoo.drawn import path_of
from export.zoo.registry import find_trainable
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.decode.boxes import BoxDecoder
from rpi_runtime.decode.choose import crop_decoder_for
from rpi_runtime.model.card import ModelCard
from rpi_runtime.preprocess.letterbox import Preprocessor
from tests.rpi_runtime.decode.maps_model import maps_model
from tests.rpi_runtime.decode.test_published import (
    SAME,
    assert_int8_finds_the_same,
    assert_keypoints,
    assert_people,
    expected_boxes,
    expected_keypoints,
)

ROOT = Path(__file__).parents[3]
PICTURES = ("tests/pictures/poses.jpg", "export/calibration/bundled/scene21.jpg")


def compute(name: str, picture: str) -> tuple[ModelCard, dict[str, np.ndarray]]:
    """Return a network's card, and what it makes of a picture, channels last."""
    card = find_trainable(name).description.trained_card(name, 320, 320 if name == "person-finder" else 256)
    image = np.empty((1, card.input.height, card.input.width, 3), np.float32)
    Preprocessor(replace(card.input, fit="letterbox"))(read_picture(ROOT / picture), image)
    graph = Topology(path_of(f"{name.replace('-', '_')}/{name}"))
    outputs = graph.run(find_weights("bundled", {}, name).state, image.transpose(0, 3, 1, 2))
    return card, {key: value.transpose(0, 2, 3, 1) for key, value in outputs.items()}


@pytest.mark.parametrize("picture", PICTURES)
def test_boxes_of_the_finder(picture: str) -> None:
    card, maps = compute("person-finder", picture)
    card = replace(card, decoder=replace(card.decoder, threshold=0.05))
    lines = {
        s: np.concatenate((maps[f"scores_{s}"][0], maps[f"boxes_{s}"][0] * s), axis=2) for s in (8, 16, 32)
    }
    assert_people(BoxDecoder(card).read(maps_model(card, maps), SAME), expected_boxes(lines), 1e-3)


@pytest.mark.parametrize("picture", PICTURES)
def test_keypoints_of_the_refiner(picture: str) -> None:
    card, maps = compute("person-refiner", picture)
    pose = crop_decoder_for(card, "exact").read(maps_model(card, maps), SAME)
    assert_keypoints(pose.keypoints, expected_keypoints(maps["heatmaps"][0].transpose(2, 0, 1)))


def test_int8_heads_of_the_finder_give_the_same_people() -> None:
    card, maps = compute("person-finder", PICTURES[0])
    assert_int8_finds_the_same(card, maps, 3.0)
