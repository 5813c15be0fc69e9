"""Evaluation from end to end: perfect maps of COCO's own people must give an AP near 100."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.accuracy.boxes import annotated_boxes, clip, detected_boxes
from quant.accuracy.evaluation import EvaluationSpec, evaluate_file, score
from quant.accuracy.predict import Procedure, predictor
from quant.cli import run_command
from quant.evaluate import main
from rpi_runtime.errors import CardError, InputError, UsageError
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from rpi_runtime.model.card import ModelCard, OutputSpec, Skeleton
from rpi_runtime.model.decoders import TagSettings, TopdownSettings
from rpi_runtime.preprocess.crop import CropWriter, crop_transform
from tests.quant.figures import write_figures
from tests.quant.standin_network import CROPS, PAIRS, SKELETON, TAGS, PerfectNetwork, coordinates, people
from tests.rpi_runtime.toys import CARD, write_toy


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> CocoSplit:
    """Twenty images of one to three figures each."""
    return read_split(write_figures(tmp_path_factory.mktemp("figures") / "coco", 20), "val2017")


def evaluate(card: ModelCard, split: CocoSplit, procedure: Procedure) -> list[float]:
    """AP and others of a perfect network, in percent."""
    network = PerfectNetwork(card)
    predict = predictor(network, procedure)  # type: ignore[arg-type]
    annotated, found = people(split), []
    for image in split.images:
        if image.id in annotated:
            network.image, network.persons = image, annotated[image.id]
            found += predict(image, coordinates(image))
    return score(found, split)[0]


@pytest.mark.parametrize(
    ("beta", "flip"), [(None, False), (None, True), (160.0, False)], ids=["argmax", "flip", "softargmax"]
)
def test_perfect_maps_of_crops_give_an_ap_near_100(split: CocoSplit, beta: float | None, flip: bool) -> None:
    card = replace(CROPS, decoder=replace(CROPS.decoder, beta=beta))  # type: ignore[type-var]
    found = evaluate(card, split, Procedure(flip=flip, boxes=annotated_boxes(split)))[0]
    assert found > (97 if beta is None else 95)  # LPN adds the quarter offset to a position between cells


def test_boxes_of_a_detector(split: CocoSplit, tmp_path: Path) -> None:
    """Boxes a little off are as good; with a second one for each person, similar people are suppressed."""
    rng = np.random.default_rng(0)
    entries = []
    for image, boxes in annotated_boxes(split).by_image.items():
        for box in boxes:
            for sureness in (0.9, 0.4):
                x, y, width, height = np.array(box.xywh) + rng.normal(0, 0.02, 4) * box.xywh[2]
                bbox = [x, y, max(width, 1), max(height, 1)]
                entries.append({"image_id": image, "category_id": 1, "bbox": bbox, "score": sureness})
    entries.append({"image_id": split.images[0].id, "category_id": 3, "bbox": [0, 0, 9, 9], "score": 1.0})
    path = tmp_path / "people.json"
    path.write_text(json.dumps(entries))
    stats = evaluate(CROPS, split, Procedure(boxes=detected_boxes(path)))
    assert stats[0] > 93


def test_a_shifted_crop_is_noticed(split: CocoSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    from quant.accuracy import predict

    original = crop_transform

    def off(*args: Any) -> Any:
        found = original(*args)
        return replace(found, pad_x=found.pad_x + 12)

    class OffWriter(CropWriter):
        def __call__(self, frame: Any, transform: Any, out: Any) -> None:
            super().__call__(frame, replace(transform, pad_x=transform.pad_x - 12), out)

    monkeypatch.setattr(predict, "crop_transform", off)
    monkeypatch.setattr(predict, "CropWriter", OffWriter)
    assert evaluate(CROPS, split, Procedure(boxes=annotated_boxes(split)))[0] < 80


@pytest.mark.parametrize(
    "procedure", [Procedure(), Procedure(flip=True), Procedure(decode="fast")], ids=["exact", "flip", "fast"]
)
def test_perfect_maps_and_tags_give_a_high_ap(split: CocoSplit, procedure: Procedure) -> None:
    """Not 100: small people's keypoints of one kind lie within one peak."""
    fewer = replace(split, images=split.images[:8])
    assert evaluate(TAGS, fewer, procedure)[0] > 85


def toy(path: Path, kind: str) -> Path:
    """The toy network with a card of another family."""
    heatmaps = OutputSpec(name="heatmaps", role="heatmaps", channels=19, stride=8)
    if kind == "tags":
        tags = OutputSpec(name="pafs", role="tags", channels=38, stride=8)
        decoder = TagSettings(flip_pairs=PAIRS)
        return write_toy(path, skeleton=SKELETON, outputs=(heatmaps, tags), decoder=decoder)
    crop = replace(CARD.input, fit="crop")
    decoder = TopdownSettings(flip_pairs=PAIRS)
    return write_toy(path, skeleton=SKELETON, outputs=(heatmaps,), decoder=decoder, input=crop)


@pytest.mark.parametrize("kind", ["tags", "topdown"])
def test_a_file_of_another_family_is_run_and_scored(
    toy_coco: tuple[Path, Path], tmp_path: Path, kind: str
) -> None:
    path = toy(tmp_path / "toy.tflite", kind)
    spec = EvaluationSpec(split=read_split(toy_coco[1], "val2017"), threads=1, procedure=Procedure(flip=True))
    e = evaluate_file(path, spec).evaluation
    assert e.procedure == ("exact, flip" if kind == "tags" else "exact, flip, boxes gt")
    assert 0 <= e.ap <= 100
    assert kind == "tags" or e.poses == 4  # one a box


def test_command_line(
    toy_coco: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, coco = str(toy(tmp_path / "toy.tflite", "topdown")), str(toy_coco[1])
    boxes = tmp_path / "people.json"
    boxes.write_text(json.dumps([{"image_id": 101, "category_id": 1, "bbox": [2, 2, 20, 30], "score": 0.5}]))
    assert (
        run_command(main, [model, "--coco", coco, "--boxes", str(boxes), "--flip", "--decode", "fast"]) == 0
    )
    assert "fast, flip, boxes people.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--boxes", "missing.json"], 3, "missing.json: cannot be read"),
        (["--decode", "exact4"], 2, "decode 'exact4' with toy, whose decoder is 'topdown'"),
    ],
)
def test_command_line_errors(
    toy_coco: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    code: int,
    message: str,
) -> None:
    model = str(toy(tmp_path / "toy.tflite", "topdown"))
    assert run_command(main, [model, "--coco", str(toy_coco[1]), *argv]) == code
    assert message in capsys.readouterr().err


def test_procedures_of_another_kind_are_refused(toy_coco: tuple[Path, Path], split: CocoSplit) -> None:
    with pytest.raises(UsageError, match="a flip test of a network with PAFs is not offered"):
        spec = EvaluationSpec(split=split, procedure=Procedure(flip=True))
        evaluate_file(toy_coco[0], spec)
    bare = PerfectNetwork(replace(TAGS, decoder=TagSettings()))
    with pytest.raises(CardError, match="names no flip_pairs"):
        predictor(bare, Procedure(flip=True))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="say where they are with --boxes"):
        predictor(PerfectNetwork(CROPS), Procedure())  # type: ignore[arg-type]
    with pytest.raises(CardError, match="names no COCO keypoints"):
        nameless = replace(CROPS, skeleton=Skeleton(keypoints=SKELETON.keypoints))
        predictor(PerfectNetwork(nameless), Procedure())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not valid JSON"),
        ("{}", "not COCO detections"),
        ("[]", "no person"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5], "score": 1}]', "entry 0 is no detection"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 0, 5], "score": 1}]', "entry 0 is no detection"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}]', "KeyError: 'score'"),
        ("[3]", "entry 0 is no detection"),
    ],
)
def test_files_that_are_no_detections(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        detected_boxes(path)


def test_annotated_boxes_are_clipped_to_the_image() -> None:
    assert clip((10, 20, 30, 40), (100, 100)) == (10, 20, 29, 39)
    assert clip((-5, 90, 30, 40), (100, 100)) == (0, 90, 29, 9)
    assert clip((99, 5, 10, 10), (100, 100)) is None
