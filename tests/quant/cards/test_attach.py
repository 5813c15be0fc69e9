"""A card for a file that others made: checked against its tensors, stored, and run by the runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quant.card import main
from quant.cards.attach import attach
from quant.cards.read import read_own_card, template_names
from quant.cli import run_command
from quant.tflite.records import Model as Records
from quant.tflite.records import Operator, Tensor
from quant.tflite.write import append_members, write_model
from rpi_runtime.errors import CardError, InputError
from rpi_runtime.model.card import read_card
from rpi_runtime.model.interpreter import Model
from rpi_runtime.model.member import CARD_MEMBER

TOML = """
name = "theirs"
[input]
width = 16
height = 8
channels = "rgb"
mean = [0.0, 0.0, 0.0]
scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]
fit = "crop"
[skeleton]
keypoints = ["a", "b"]
[[outputs]]
name = "maps"
role = "heatmaps"
channels = 2
stride = 4
[decoder]
kind = "topdown"
"""


def network() -> bytes:
    """A convolution of stride 4 to two maps."""
    image = Tensor(name="image", shape=(1, 8, 16, 3))
    maps = Tensor(name="maps", shape=(1, 2, 4, 2))
    weights = Tensor.constant("weights", np.ones((2, 4, 4, 3), np.float32))
    bias = Tensor.constant("bias", np.zeros(2, np.float32))
    conv = Operator(
        name="CONV_2D", inputs=[image, weights, bias], outputs=[maps],
        options={"padding": "VALID", "stride_h": 4, "stride_w": 4, "dilation_h_factor": 1, "dilation_w_factor": 1},
    )  # fmt: skip
    return write_model(Records(inputs={"image": image}, outputs={"maps": maps}, operators=[conv]))


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(network())
    return path


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "card.toml"
    path.write_text(TOML)
    return path


def test_the_runtime_runs_a_file_that_was_given_a_card(theirs: Path, toml: Path) -> None:
    before = theirs.read_bytes()
    assert run_command(main, [str(theirs), "--attach", str(toml)]) == 0
    assert theirs.read_bytes().startswith(before)  # the network's own bytes stay
    card = read_card(theirs)
    assert (card.name, card.recipe, card.provenance.weights_source) == ("theirs", "as given", "theirs.tflite")
    model = Model(theirs, threads=1)
    model.input[:] = 1
    model.invoke()
    assert model.real_output("heatmaps").shape == (2, 4, 2)
    assert model.real_output("heatmaps").max() == 48


def test_a_card_is_replaced_and_not_added(theirs: Path, toml: Path) -> None:
    card = read_own_card(str(toml))
    attach(theirs, card, theirs)
    once = theirs.read_bytes()
    attach(theirs, card, theirs)
    assert theirs.read_bytes() == once


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("width = 16", "width = 32", "the tensor is"),
        ("channels = 2", "channels = 3", "maps"),
        ('name = "maps"', 'name = "absent"', "absent"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_and_the_file_stays(
    theirs: Path, toml: Path, old: str, new: str, words: str
) -> None:
    text = TOML.replace(old, new)
    toml.write_text(text.replace('"b"]', '"b", "c"]') if "channels = 3" in text else text)
    before = theirs.read_bytes()
    with pytest.raises(CardError, match=words) as found:
        attach(theirs, read_own_card(str(toml)), theirs)
    assert str(theirs) in str(found.value)
    assert theirs.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mean = [0.0, 0.0, 0.0]", "mean = [127.5, 127.5, 127.5]", "mean 0, not 127.5"),
        ('"rgb"', '"bgr"', "channels rgb, not bgr"),
        (
            "scale = [0.00392156862745098,",
            "scale = [0.0171,",
            r"scale 0.00392157, not \(0.0171, 0.00392157, 0.00392157\)",
        ),
    ],
)
def test_the_card_of_an_export_is_not_replaced_by_one_that_feeds_the_network_otherwise(
    theirs: Path, toml: Path, old: str, new: str, words: str
) -> None:
    made = replace(read_own_card(str(toml)), recipe="w32_a32")  # as an export writes it
    theirs.write_bytes(append_members(network(), {CARD_MEMBER: made.to_json()}))
    before = theirs.read_bytes()
    toml.write_text(TOML.replace(old, new))
    with pytest.raises(CardError, match=f"{words} as the given one; correct the given card, or export"):
        attach(theirs, read_own_card(str(toml)), theirs)
    assert theirs.read_bytes() == before
    toml.write_text(TOML.replace('"theirs"', '"renamed"').replace("0.00392156862745098", "0.0039216"))
    assert attach(theirs, read_own_card(str(toml)), theirs).name == "renamed"


def test_another_file_may_be_written(theirs: Path, toml: Path, tmp_path: Path) -> None:
    before, output = theirs.read_bytes(), tmp_path / "ours.tflite"
    assert run_command(main, [str(theirs), "--attach", str(toml), "--output", str(output)]) == 0
    assert theirs.read_bytes() == before
    assert read_card(output).name == "theirs"


def test_what_is_no_tflite_is_refused(tmp_path: Path, toml: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"no flatbuffer at all")
    with pytest.raises(InputError):
        attach(path, read_own_card(str(toml)), path)


@pytest.mark.parametrize("name", template_names())
def test_templates_are_cards(name: str) -> None:
    assert read_own_card(name).name == name


def test_a_mistyped_template_is_answered_with_the_nearest() -> None:
    with pytest.raises(CardError, match="did you mean 'pp-tinypose-128x96'"):
        read_own_card("pp-tinypse-128x96")
