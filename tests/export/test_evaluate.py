"""AP of float networks, each picture at the size that its paper gives it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from export.calibration.sources import find_images
from export.evaluate import FloatNetwork, main, own_size
from export.tflite import main as tflite
from export.zoo.network import CARD_LARGEST, Network
from export.zoo.registry import find_model
from quant.accuracy.predict import Procedure, predictor
from quant.cli import run_command
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.errors import CardError, UsageError
from rpi_runtime.evaluate.coco import CocoImage, read_split
from rpi_runtime.evaluate.images import read_image
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.interpreter import Model
from tests.export.official import seeded_state
from tests.quant.standin_network import TAGS
from tests.quant.toycoco import write_toy_coco


@pytest.mark.parametrize(
    ("side", "picture", "size"),
    [
        (512, (800, 600), (704, 512)),  # 682.7, up to a multiple of 64
        (512, (600, 800), (512, 704)),
        (400, (640, 480), (640, 448)),  # both sides go up, the long one from what the short one became
        (384, (100, 300), (384, 1152)),
        (416, (640, 640), (448, 448)),
        (480, (1920, 1080), (960, 512)),
    ],
)
def test_own_sizes_follow_the_rule_of_the_official_code(
    side: int, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    assert own_size(side, *picture) == size


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        ((640, 145), (2304, 512)),
        ((145, 640), (512, 2304)),
        ((640, 80), (4096, 512)),
        ((9000, 90), (4096, 512)),
    ],
)
def test_elongated_pictures_stop_no_evaluation(
    monkeypatch: pytest.MonkeyPatch, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    def build(self: FloatNetwork, card: Any) -> Any:
        return lambda image, frame: card.input

    monkeypatch.setattr(FloatNetwork, "_build", build)
    card = replace(TAGS, input=replace(TAGS.input, width=512, height=512))
    network = Network(card=card, build=lambda spec: pytest.fail("not to be built"))
    image = CocoImage(id=1, path=Path("1.jpg"), width=picture[0], height=picture[1])
    people: Any = FloatNetwork(network, Procedure(), None, [image])
    asked = people(image, None)
    assert (asked.width, asked.height) == size
    with pytest.raises(UsageError, match="expected 32 to 2048 pixels a side"):  # this one somebody asked for
        FloatNetwork(network, Procedure(), (2304, 512), [image])


def test_the_longest_side_is_the_one_that_a_card_allows() -> None:
    InputSpec(width=CARD_LARGEST, height=CARD_LARGEST)
    with pytest.raises(CardError, match=f"1 to {CARD_LARGEST} pixels"):
        InputSpec(width=CARD_LARGEST + 1, height=8)


def test_every_picture_of_a_network_with_tags_has_its_own_size(
    tmp_path: Path, toy_coco: tuple[Path, Path]
) -> None:
    torch.save(seeded_state("efficienthrnet-h4"), tmp_path / "weights.pth")
    network = find_model("efficienthrnet-h4").load(str(tmp_path / "weights.pth"))
    split = read_split(toy_coco[1], "val2017")
    image = split.images[0]
    people = FloatNetwork(network, Procedure(), None, [image])
    assert isinstance(people(image, read_image(image)), list)
    assert list(people.built) == [own_size(384, image.width, image.height)]


def bundled_images(count: int) -> list[CocoImage]:
    """The package's own calibration pictures, which show people."""
    images = []
    for number, path in enumerate(find_images(None, count)[0]):
        height, width = read_picture(path).shape[:2]
        images.append(CocoImage(id=number, path=path, width=width, height=height))
    return images


def test_float_network_finds_whom_its_file_finds(tmp_path: Path) -> None:
    export = ["--model", "lw-openpose", "--output", str(tmp_path), "--json"]
    assert run_command(tflite, export) == 0
    network = find_model("lw-openpose").load("bundled")
    images = bundled_images(6)
    file = tmp_path / "lw-openpose-160x120-float32.tflite"
    ours = FloatNetwork(network, Procedure(), (160, 120), images)
    theirs = predictor(Model(file), Procedure())
    found = 0
    for image in images:
        frame = read_image(image)
        one, other = ours(image, frame), theirs(image, frame)
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert a["keypoints"] == pytest.approx(b["keypoints"], abs=0.05)
        found += len(one)
    assert found > 5


def test_command_prints_the_figures(toy_coco: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--model", "lw-openpose", "--weights", "bundled", "--coco", str(toy_coco[1])]
    assert run_command(main, [*command, "--size", "64x48"]) == 0
    assert "64x48" in capsys.readouterr().out


def test_missing_images_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = write_toy_coco(tmp_path / "coco")
    (coco / "val2017/000000000101.png").unlink()
    command = ["--model", "lw-openpose", "--weights", "bundled", "--size", "64x48", "--coco", str(coco)]
    assert run_command(main, command) == 0
    assert "1 images of val2017 are not on disk; evaluating on the others\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--model", "efficienthrnet-h5"], 2, "did you mean 'efficienthrnet-h"),
        (["--model", "efficienthrnet-h4"], 3, "--weights FILE"),
        (["--model", "lw-openpose", "--size", "64"], 2, "WIDTHxHEIGHT"),
    ],
)
def test_mistakes(
    toy_coco: tuple[Path, Path], capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert run_command(main, [*words, "--coco", str(toy_coco[1])]) == code
    assert said in capsys.readouterr().err
