"""COCO AP: by pycocotools, on images that fit, never on those that calibrated."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant import evaluate
from quant.accuracy.boxes import Box, Boxes
from quant.accuracy.evaluation import EvaluationSpec, Results, evaluate_file, score
from quant.calibration import Manifest, read_calibration
from quant.cli import run_command
from quant.evaluate import main
from rpi_runtime.capture.pictures import write_picture
from rpi_runtime.errors import CardError, InputError
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from rpi_runtime.evaluate.coco_pose import detection
from rpi_runtime.model.card import Skeleton
from rpi_runtime.model.member import CALIBRATION_MEMBER
from rpi_runtime.poses import Pose
from tests.quant.toycoco import people_of, write_toy_coco, write_toy_model
from tests.rpi_runtime.toys import write_toy


def truth_as_detections(split: CocoSplit, shift: float = 0.0) -> list[dict[str, Any]]:
    data = json.loads(split.annotations.read_text())
    ids = {i.id for i in split.images}
    found = []
    for person in data["annotations"]:
        if person["num_keypoints"] and person["image_id"] in ids:
            points = np.array(person["keypoints"], float).reshape(17, 3)
            points[:, :2] += shift
            found.append(
                {
                    "image_id": person["image_id"],
                    "category_id": 1,
                    "keypoints": points.reshape(-1).tolist(),
                    "score": 1.0,
                }
            )
    return found


def test_the_truth_itself_gives_100_and_nothing_gives_0(toy_coco: tuple[Path, Path]) -> None:
    split = read_split(toy_coco[1], "val2017")
    stats, per_image = score(truth_as_detections(split), split)
    assert stats[0] == stats[1] == stats[5] == pytest.approx(100.0)
    assert stats[4] == -1.0  # no large person
    assert [i["mean_best_oks"] for i in per_image] == [1.0] * 4
    stats, per_image = score([], split)
    assert stats[0] == stats[5] == 0.0
    assert {(i["people"], i["poses"]) for i in per_image} == {(1, 0)}


def test_half_of_the_people_gives_half_the_recall(toy_coco: tuple[Path, Path]) -> None:
    split = read_split(toy_coco[1], "val2017")
    stats, _ = score(truth_as_detections(split)[:2], split)
    assert stats[5] == pytest.approx(50.0)


def test_the_truth_of_coco_itself(shared: Path) -> None:
    split = read_split(shared / "data" / "coco", "val2017")
    perfect, _ = score(truth_as_detections(split), split)
    # crowds and people without keypoints aside, every person is found where it is
    assert perfect[0] == pytest.approx(100.0, abs=0.5)
    moved, _ = score(truth_as_detections(split, shift=4.0), split)
    assert 20 < moved[0] < 90
    assert score([], split)[0][0] == 0.0


def test_a_pose_in_cocos_order_and_score() -> None:
    keypoints = np.zeros((3, 3), np.float32)
    keypoints[0] = (10, 20, 0.9)
    keypoints[2] = (30, 40, 0.8)
    pose = Pose(keypoints=keypoints, score=0.5)
    skeleton = Skeleton(keypoints=("a", "b", "c"), coco=(2, -1, 0, 1, *13 * (-1,)))
    found = detection(7, pose, skeleton, 0.5)
    assert found["keypoints"][:12] == [30, 40, 1, 0, 0, 0, 10, 20, 1, 0, 0, 0]
    assert len(found["keypoints"]) == 51
    assert found["score"] == 0.5
    assert detection(7, pose, skeleton, 0.5, shift=-0.5)["keypoints"][:2] == [29.5, 39.5]


def test_a_file_is_run_and_scored(toy_coco: tuple[Path, Path]) -> None:
    model, coco = toy_coco
    results = evaluate_file(model, EvaluationSpec(split=read_split(coco, "val2017"), threads=1))
    e = results.evaluation
    assert (e.file, e.model, e.size, e.images) == ("toy.tflite", "toy", "32x24", 4)
    assert e.poses == len(results.detections) == sum(i["poses"] for i in results.per_image)
    assert 0 <= e.ap <= 100
    assert e.ms_per_image > 0


def calibrated(path: Path, text: str) -> Path:
    write_toy_model(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CALIBRATION_MEMBER, text)
    return path


@pytest.mark.parametrize("how", ["name", "content"])
def test_a_file_calibrated_on_an_evaluated_image_is_refused(
    toy_coco: tuple[Path, Path], tmp_path: Path, how: str
) -> None:
    split = read_split(toy_coco[1], "val2017")
    source = split.images[2].path
    paths = [tmp_path / (source.name if how == "name" else "renamed.png")]
    shutil.copy(split.images[2].path, paths[0])
    if how == "name":
        write_picture(np.zeros((48, 64, 3), np.uint8), paths[0])
    manifest = read_calibration(paths, "pictures").manifest
    model = calibrated(tmp_path / "calibrated.tflite", manifest.to_json())
    with pytest.raises(InputError, match="1 images of val2017 calibrated this file"):
        evaluate_file(model, EvaluationSpec(split=split))


def test_a_file_calibrated_on_others_is_measured(toy_coco: tuple[Path, Path], tmp_path: Path) -> None:
    model = calibrated(tmp_path / "m.tflite", Manifest(source="x", images=(("a.jpg", "0" * 64),)).to_json())
    spec = EvaluationSpec(split=read_split(toy_coco[1], "val2017"))
    assert evaluate_file(model, spec).evaluation.images == 4


@pytest.mark.parametrize("text", ["", "{}", '{"format": 1, "images": [3]}'])
def test_a_broken_calibration_manifest(toy_coco: tuple[Path, Path], tmp_path: Path, text: str) -> None:
    model = calibrated(tmp_path / "m.tflite", text)
    with pytest.raises(CardError, match="calibration manifest cannot be read"):
        evaluate_file(model, EvaluationSpec(split=read_split(toy_coco[1], "val2017")))


def test_a_damaged_calibration_manifest_is_not_taken_for_none(
    toy_coco: tuple[Path, Path], tmp_path: Path
) -> None:
    split = read_split(toy_coco[1], "val2017")
    text = read_calibration([split.images[2].path], "pictures").manifest.to_json()
    model = calibrated(tmp_path / "m.tflite", text)
    data = bytearray(model.read_bytes())
    data[data.index(text.encode()) + 5] ^= 1
    model.write_bytes(data)
    with pytest.raises(CardError, match=r"calibration\.json is damaged \(Bad CRC-32"):
        evaluate_file(model, EvaluationSpec(split=split))


def test_a_skeleton_that_is_not_cocos(toy_coco: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CardError, match="names no COCO keypoints"):
        spec = EvaluationSpec(split=read_split(toy_coco[1], "val2017"))
        evaluate_file(write_toy(tmp_path / "toy.tflite"), spec)


def test_annotations_of_other_images(toy_coco: tuple[Path, Path], tmp_path: Path) -> None:
    coco = write_toy_coco(tmp_path / "coco")
    write_picture(np.zeros((20, 20, 3), np.uint8), coco / "val2017" / "000000000102.png")
    with pytest.raises(InputError, match="20x20 pixels, annotated as 64x48"):
        evaluate_file(toy_coco[0], EvaluationSpec(split=read_split(coco, "val2017")))


def test_an_unreadable_evaluation_image(toy_coco: tuple[Path, Path], tmp_path: Path) -> None:
    coco = write_toy_coco(tmp_path / "coco")
    (coco / "val2017" / "000000000102.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"102\.png: cannot be read as a picture"):
        evaluate_file(toy_coco[0], EvaluationSpec(split=read_split(coco, "val2017")))


def damage(kind: str) -> dict[str, Any] | list[Any]:
    data = people_of(range(101, 105))
    match kind:
        case "no list":
            return [data]
        case "no images":
            del data["images"]
        case "image without a size":
            del data["images"][1]["width"]
        case "image that is a number":
            data["images"][1] = 7
        case "captions":
            data["annotations"] = [{"id": 1, "image_id": 101, "caption": "two people"}]
        case "instances":
            for person in data["annotations"]:
                del person["keypoints"], person["num_keypoints"]
        case "thirteen keypoints":
            for person in data["annotations"]:
                person["keypoints"] = person["keypoints"][: 13 * 3]
        case "no category":
            data["categories"] = []
    return data


@pytest.mark.parametrize(
    "kind",
    [
        "no list", "no images", "image without a size", "image that is a number", "captions", "instances",
        "thirteen keypoints", "no category",
    ],
)  # fmt: skip
def test_annotations_of_another_kind(toy_coco: tuple[Path, Path], tmp_path: Path, kind: str) -> None:
    coco = write_toy_coco(tmp_path / "coco")
    (coco / "annotations/person_keypoints_val2017.json").write_text(json.dumps(damage(kind)))
    with pytest.raises(InputError) as caught:
        evaluate_file(toy_coco[0], EvaluationSpec(split=read_split(coco, "val2017")))
    assert "person_keypoints_val2017.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_splits_that_are_not_there(tmp_path: Path) -> None:
    coco = write_toy_coco(tmp_path / "coco")
    with pytest.raises(InputError, match="no image folder test2017/"):
        read_split(coco, "test2017")
    (coco / "test2017").mkdir()
    with pytest.raises(InputError, match="its splits are train2017, val2017"):
        read_split(coco, "test2017")
    (coco / "annotations/person_keypoints_test2017.json").write_text('{"images": ')
    with pytest.raises(InputError, match="not valid JSON"):
        read_split(coco, "test2017")
    shutil.rmtree(coco / "val2017")
    (coco / "val2017").mkdir()
    with pytest.raises(InputError, match="none of the 4 images"):
        read_split(coco, "val2017")


@pytest.mark.parametrize("call", ["is_dir", "is_file", "glob", "open"])
def test_a_coco_folder_that_may_not_be_read(
    toy_coco: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(path: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os if call == "open" else Path, call, refuse)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\); "):
        read_split(toy_coco[1], "val2017")


def test_images_in_a_folder_of_their_own_and_missing_ones(tmp_path: Path) -> None:
    coco = write_toy_coco(tmp_path / "coco")
    (coco / "images").mkdir()
    (coco / "val2017").rename(coco / "images" / "val2017")
    (coco / "images/val2017/000000000103.png").unlink()
    split = read_split(coco, "val2017")
    assert ([i.id for i in split.images], split.missing) == ([101, 102, 104], 1)


def test_command_line_json_and_results(
    toy_coco: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, coco = toy_coco
    second = shutil.copy(model, tmp_path / "second.tflite")
    argv = [
        "--model",
        str(model),
        str(second),
        "--coco",
        str(coco),
        "--output",
        str(tmp_path / "results"),
        "--json",
    ]
    assert run_command(main, argv) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert err == ""
    assert [r["file"] for r in rows] == ["toy.tflite", "second.tflite"]
    assert {k: v for k, v in rows[0].items() if k not in ("file", "ms_per_image")} == {
        k: v for k, v in rows[1].items() if k not in ("file", "ms_per_image")
    }
    saved = json.loads((tmp_path / "results" / "toy.results.json").read_text())
    assert len(saved["per_image"]) == 4
    assert len(saved["detections"]) == rows[0]["poses"]


def test_command_line_table_is_whole_when_piped(
    toy_coco: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copy(toy_coco[0], tmp_path / f"{'long-name-' * 6}.tflite")
    assert run_command(main, [str(model), "--coco", str(toy_coco[1]), "--decode", "exact4"]) == 0
    out = capsys.readouterr().out
    assert "ms/image" in out
    assert "long-name-" * 6 in out
    assert "…" not in out


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["missing.tflite", "--coco", "COCO"], 3, "missing.tflite: cannot be read"),
        (["MODEL", "--coco", "nowhere"], 3, "nowhere"),
        (["MODEL", "--coco", "COCO", "--split", "test"], 3, "no image folder test/"),
        (["MODEL", "--coco", "COCO", "--threads", "0"], 2, "threads 0"),
        (["MODEL", "missing.tflite", "--coco", "COCO"], 3, "missing.tflite: cannot be read"),
    ],
)
def test_command_line_errors(
    toy_coco: tuple[Path, Path], capsys: pytest.CaptureFixture[str], argv: list[str], code: int, message: str
) -> None:
    names = {"MODEL": str(toy_coco[0]), "COCO": str(toy_coco[1])}
    assert run_command(main, [names.get(a, a) for a in argv]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_results_that_cannot_be_written_are_known_before_the_work(
    toy_coco: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(evaluate, "evaluate_file", lambda *args: pytest.fail("evaluated for nothing"))
    (tmp_path / "results").write_text("mine")
    argv = ["--model", str(toy_coco[0]), "--coco", str(toy_coco[1]), "--output", str(tmp_path / "results")]
    assert run_command(main, argv) == 5
    assert "results: cannot be written (File exists); choose another folder" in capsys.readouterr().err
    assert (tmp_path / "results").read_text() == "mine"


def test_files_whose_results_would_overwrite_each_other(
    toy_coco: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = shutil.copy(toy_coco[0], tmp_path / toy_coco[0].name)
    argv = ["--model", str(toy_coco[0]), str(second), "--coco", str(toy_coco[1]), "--output", str(tmp_path)]
    assert run_command(main, argv) == 2
    assert "toy.results.json" in capsys.readouterr().err


def test_boxes_of_other_pictures_are_refused(toy_coco: tuple[Path, Path]) -> None:
    split = read_split(toy_coco[1], "val2017")
    there, elsewhere = split.images[0].id, max(i.id for i in split.images) + 1
    person = (Box(xywh=(1.0, 1.0, 9.0, 9.0)),)
    evaluate._check_boxes(Boxes(source="F.json", by_image={elsewhere: person, there: person}), split)
    with pytest.raises(InputError, match="has boxes of 1 images, and none of val2017"):
        evaluate._check_boxes(Boxes(source="F.json", by_image={elsewhere: person}), split)


def test_boxes_for_a_network_that_finds_people_itself_are_refused(
    toy_coco: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, coco = toy_coco
    argv = ["--model", str(model), "--coco", str(coco), "--boxes", str(tmp_path / "boxes.json")]
    assert run_command(main, argv) == 2
    assert f"{model} finds people itself; leave --boxes out" in capsys.readouterr().err


def test_a_network_that_finds_nobody_is_told_of(
    toy_coco: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model, coco = toy_coco
    spec = EvaluationSpec(split=read_split(coco, "val2017"))
    blind = replace(evaluate_file(model, spec).evaluation, ap=0.0, poses=3)
    monkeypatch.setattr(
        evaluate, "evaluate_file", lambda *_: Results(evaluation=blind, detections=[], per_image=[])
    )
    assert run_command(main, ["--model", str(model), "--coco", str(coco)]) == 0
    said = capfd.readouterr().err
    assert (
        f"{model.name}: none of 3 people found is where one is annotated; see whether size, mean, scale"
        in said
    )
