from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from export.train.__main__ import main
from export.train.tasks.crop_task import CropTask
from export.train.tasks.paf_task import PafTask
from quant.cli import run_command

pytestmark = [pytest.mark.usefixtures("tiny")]


def train(folder: Path, output: str, *more: str) -> int:
    argv = [str(folder / "recipe.toml"), "--output", str(folder / output), "--path", f"pictures={folder}"]
    return run_command(main, [*argv, "--loaders", "0", "--device", "cpu", *more])


def test_a_run_leaves_weights_checkpoint_and_logs(labelled: Path) -> None:
    assert train(labelled, "run") == 0
    weights = load_file(labelled / "run/weights.safetensors")
    assert weights["refinement_stages.0.pafs.1.0.weight"].shape == (38, 8, 1, 1)
    with (labelled / "run/ap.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["size"], r["step"]) for r in rows] == [("64x64", "8"), ("96x64", "8")]


def test_an_interrupted_run_ends_with_the_same_bytes(labelled: Path) -> None:
    torch.set_num_threads(1)
    assert train(labelled, "whole") == 0
    for _ in range(20):
        assert train(labelled, "pieces", "--minutes", "1e-9") == 0
        if (labelled / "pieces/weights.safetensors").exists():
            break
    whole, pieces = (labelled / name / "weights.safetensors" for name in ("whole", "pieces"))
    assert whole.read_bytes() == pieces.read_bytes()


def test_a_run_goes_on_wherever_its_pictures_lie_and_logs_the_loss_of_every_step(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.train.run.loop.LOG_STEPS", 8)
    torch.set_num_threads(1)
    assert train(labelled, "whole") == 0
    assert train(labelled, "pieces", "--minutes", "1e-9") == 0
    moved = labelled.with_name("moved")
    labelled.rename(moved)
    assert train(moved, "pieces") == 0
    whole, pieces = ((moved / name / "log.csv").read_text().splitlines() for name in ("whole", "pieces"))
    assert [row.split(",")[-1] for row in whole] == [row.split(",")[-1] for row in pieces]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("width", "labelled at another size"),
        ("people", "no person with keypoints"),
    ],
)
def test_what_is_wrong_with_pictures_or_labels_is_one_line_from_a_loading_process_too(
    labelled: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    labels: str,
    message: str,
) -> None:
    monkeypatch.setattr("export.train.data.examples.IN_MEMORY", 0)  # read when drawn
    path = labelled / "annotations/person_keypoints_train2017.json"
    data = json.loads(path.read_text())
    if labels == "width":
        data["images"][0]["width"] += 1
        data["images"][3]["width"] += 1
    else:
        data["annotations"] = []
    path.write_text(json.dumps(data))
    assert train(labelled, "run", "--loaders", "1") == 3
    (line,) = [row for row in capsys.readouterr().err.splitlines() if row.startswith("error")]
    assert message in line


def test_a_checkpoint_of_another_recipe_is_refused(
    labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(labelled, "run") == 0
    recipe = labelled / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("rate = 1e-3", "rate = 2e-3"))
    assert train(labelled, "run") == 3
    assert "another recipe" in capsys.readouterr().err


def test_a_broken_checkpoint_is_refused(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (labelled / "run").mkdir()
    (labelled / "run/checkpoint.pt").write_bytes(b"PK\x03\x04 cut short")
    assert train(labelled, "run") == 3
    assert "delete it to start again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ('network = "tiny"', 'network = "tny"', 2, "did you mean 'tiny'"),
        ("batch = 2", "batsch = 2", 3, "did you mean 'batch'"),
        ('"96x64"', '"96"', 3, "expected WxH"),
        ('"{pictures}/train2017"', '"{photos}"', 2, "add --path photos="),
        ("person_keypoints_train2017.json", "nothing.json", 3, "cannot be read"),
    ],
)
def test_mistakes_in_a_recipe_are_one_line(
    labelled: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, code: int, message: str
) -> None:
    recipe = labelled / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(old, new))
    assert train(labelled, "run") == code
    assert message in capsys.readouterr().err


def test_stages_are_not_stretched(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = labelled / "recipe.toml"
    recipe.write_text(recipe.read_text() + "\n[iterate]\nstages = 2\n")
    assert train(labelled, "run", "--minutes", "0.02", "--stretch") == 2
    assert "2 stages, each with a schedule" in capsys.readouterr().err


def test_a_stretched_schedule_ends_with_the_time(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.train.run.loop.LOG_STEPS", 1)
    recipe = labelled / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("pictures = 16", "pictures = 1000000"))
    assert train(labelled, "run", "--minutes", "0.02", "--stretch") == 0
    with (labelled / "run/log.csv").open() as file:
        rates = [float(row["rate"]) for row in csv.DictReader(file)]
    assert len(rates) > 4
    assert max(rates) > 5e-4
    assert rates[-1] < 2e-4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--device", "banana"), "expected cpu, cuda or cuda:0"),
        (("--loaders", "-1"), "0 or more"),
        (("--minutes", "0"), "more than 0"),
        (("--stretch",), "Add --minutes"),
    ],
)
def test_a_machine_that_is_not_there_is_one_line(
    labelled: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert train(labelled, "run", *more) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_line(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(labelled, "recipe.toml/run") == 5
    assert "choose another folder" in capsys.readouterr().err


def test_held_out_labels_without_a_count_of_keypoints_are_counted(
    labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = labelled / "annotations/person_keypoints_train2017.json"
    data = json.loads(path.read_text())
    for person in data["annotations"]:
        del person["num_keypoints"]
    path.write_text(json.dumps(data))
    assert train(labelled, "run") == 0
    assert "Traceback" not in capsys.readouterr().err


def test_an_unknown_recipe_names_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(main, ["lw-opnpose", "--output", str(tmp_path)]) == 2
    assert "lw-openpose-pi" in capsys.readouterr().err


def test_a_picture_of_another_size_is_refused(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = labelled / "annotations/person_keypoints_train2017.json"
    path.write_text(path.read_text().replace('"width": 80', '"width": 81'))
    assert train(labelled, "run") == 3
    assert "labelled at another size" in capsys.readouterr().err


def test_a_step_without_a_finite_gradient_is_left_out(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, calls = PafTask.loss, []

    def now_and_then(task: PafTask, *args: Any) -> torch.Tensor:
        calls.append(task)
        return loss(task, *args) * (float("inf") if len(calls) % 3 == 0 else 1.0)

    monkeypatch.setattr(PafTask, "loss", now_and_then)
    assert train(labelled, "run") == 0
    assert len(calls) == 8
    assert all(np.isfinite(v).all() for v in load_file(labelled / "run/weights.safetensors").values())


def test_a_picture_that_spoils_batch_norm_spoils_one_step_only(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, calls = CropTask.inputs, []

    def once(task: CropTask, pictures: torch.Tensor) -> torch.Tensor:
        calls.append(task)
        return inputs(task, pictures) * (float("nan") if len(calls) == 3 else 1.0)

    monkeypatch.setattr(CropTask, "inputs", once)
    recipe = labelled / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('network = "tiny"', 'network = "tiny-crops"'))
    assert train(labelled, "run") == 0
    weights = load_file(labelled / "run/weights.safetensors")
    assert "1.running_mean" in weights
    assert all(np.isfinite(v).all() for v in weights.values())


def test_a_diverged_run_says_so(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("export.train.run.loop.HOPELESS", 4)
    monkeypatch.setattr(PafTask, "loss", lambda *args: args[1][0][0].sum() * float("nan"))
    assert train(labelled, "run") == 3
    assert "step 4: the last 4 gradients were not finite" in capsys.readouterr().err
