"""AP of float networks, each picture at the size that its paper gives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from export.evaluate import FloatNetwork, main, own_size
from export.registry import find_model
from export.tflite import main as tflite
from quant.cli import run_command
from quant.coco import read_split
from quant.evaluate import read_image
from quant.predict import Procedure, predictor
from quant.progress import Progress
from rpi_runtime.interpreter import Model
from tests.export.official import filled_state


def test_own_sizes_are_those_of_the_official_code(shared: Path) -> None:
    cases = json.loads((shared / "fixtures/ae_aggregate/resize_align.json").read_text())
    for case in cases:
        assert list(own_size(case["input_size"], *case["image_wh"])) == case["resized_wh"], case
    assert len({tuple(c["image_wh"]) for c in cases}) > 2


def test_every_picture_of_a_network_with_tags_has_its_own_size(
    shared: Path, tmp_path: Path, toy_coco: tuple[Path, Path]
) -> None:
    torch.save(filled_state(shared, "efficienthrnet-h4"), tmp_path / "weights.pth")
    network = find_model("efficienthrnet-h4").load(str(tmp_path / "weights.pth"), Progress(quiet=True))
    split = read_split(toy_coco[1], "val2017")
    image = split.images[0]
    people = FloatNetwork(network, Procedure(), None, [image], Progress(quiet=True))
    assert isinstance(people(image, read_image(image)), list)
    assert list(people.built) == [own_size(384, image.width, image.height)]


def test_float_network_finds_whom_its_file_finds(shared: Path, tmp_path: Path) -> None:
    weights = shared / "data/weights/human-pose-estimation-0001"
    export = ["--model", "lw-openpose", "--weights", str(weights), "--output", str(tmp_path), "--json"]
    assert run_command(tflite, export) == 0
    network = find_model("lw-openpose").load(str(weights), Progress(quiet=True))
    split = read_split(shared / "data/coco", "val2017")
    file = tmp_path / "lw-openpose-160x120-float32.tflite"
    ours = FloatNetwork(network, Procedure(), (160, 120), split.images[:6], Progress(quiet=True))
    theirs = predictor(Model(file), Procedure())
    found = 0
    for image in split.images[:6]:
        frame = read_image(image)
        one, other = ours(image, frame), theirs(image, frame)
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert a["keypoints"] == pytest.approx(b["keypoints"], abs=0.05)
        found += len(one)
    assert found > 5


def test_command_prints_the_figures(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = shared / "data/weights/human-pose-estimation-0001"
    command = ["--model", "lw-openpose", "--weights", str(weights), "--coco", str(shared / "data/coco")]
    assert run_command(main, [*command, "--size", "64x48"]) == 0
    assert "64x48" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--model", "efficienthrnet-h5"], 2, "did you mean efficienthrnet-h"),
        (["--model", "efficienthrnet-h4"], 3, "--weights FILE"),
        (["--model", "lw-openpose", "--size", "64"], 2, "WIDTHxHEIGHT"),
    ],
)
def test_mistakes(
    toy_coco: tuple[Path, Path], capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert run_command(main, [*words, "--coco", str(toy_coco[1])]) == code
    assert said in capsys.readouterr().err
