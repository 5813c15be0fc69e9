"""Samples that are kept on disk are those that would be made."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file

from export.train.__main__ import main
from export.train.data.data import Samples
from export.train.data.kept import KeptSamples
from export.train.family_recipes import PafRecipe, TrainRecipe
from export.train.recipe_files import read_recipe, samples_key
from export.zoo.registry import TRAINABLE, find_trainable
from quant.cli import run_command
from rpi_runtime.errors import InputError, OutputError

pytestmark = [pytest.mark.usefixtures("tiny")]
ROOT = Path(__file__).resolve().parents[4]
SAMPLE = (torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2), torch.full((2, 3), 0.5, dtype=torch.float16))


def never() -> tuple[torch.Tensor, ...]:
    raise AssertionError("made a second time")


def same(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all()) for a, b in pairs)


def test_a_kept_sample_is_read_back_by_the_next_run(tmp_path: Path) -> None:
    first = KeptSamples(tmp_path, "key", SAMPLE)
    assert same(first.get(7, lambda: SAMPLE), SAMPLE)
    assert same(KeptSamples(tmp_path, "key", SAMPLE).get(7, never), SAMPLE)
    with pytest.raises(AssertionError, match="second time"):
        first.get(6, never)


def test_a_row_cut_short_is_made_again(tmp_path: Path) -> None:
    kept = KeptSamples(tmp_path, "key", SAMPLE)
    kept.get(0, lambda: SAMPLE)
    os.truncate(tmp_path / "samples.bin", 5)
    made = []
    assert same(kept.get(0, lambda: made.append(1) or SAMPLE), SAMPLE)  # type: ignore[func-returns-value]
    assert made


@pytest.mark.parametrize(("key", "sample"), [("other", SAMPLE), ("key", SAMPLE[:1])])
def test_samples_of_something_else_are_refused(
    tmp_path: Path, key: str, sample: tuple[torch.Tensor, ...]
) -> None:
    KeptSamples(tmp_path, "key", SAMPLE)
    with pytest.raises(InputError, match="another folder, or delete"):
        KeptSamples(tmp_path, key, sample)


def test_processes_that_start_together_share_a_folder(tmp_path: Path) -> None:
    code = """
import sys, torch
from pathlib import Path
from export.train.data.kept import KeptSamples
sys.stdin.readline()
for number in range(30):
    kept = KeptSamples(Path(sys.argv[1]) / str(number), "key", (torch.zeros(4),))
    kept.get(int(sys.argv[2]), lambda: (torch.full((4,), float(sys.argv[2])),))
"""
    start = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(row)],
            cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for row in (0, 1)
    ]  # fmt: skip
    for process in start:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in start:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    for number in range(30):
        kept = KeptSamples(tmp_path / str(number), "key", (torch.zeros(4),))
        assert [float(kept.get(row, never)[0][0]) for row in (0, 1)] == [0, 1]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptSamples(tmp_path, "key", SAMPLE)
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: len(data) // 2)
    with pytest.raises(OutputError, match="No space left"):
        kept.get(0, lambda: SAMPLE)
    monkeypatch.undo()
    assert same(kept.get(0, lambda: SAMPLE), SAMPLE)


def test_samples_serve_every_network_with_these_outputs_and_no_other_teacher_or_labels(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRAINABLE, "other", TRAINABLE["tiny"])

    names = ["a.jpg", "b.jpg"]

    def read(network: str) -> TrainRecipe:
        text = (labelled / "recipe.toml").read_text().replace('network = "tiny"', f'network = "{network}"')
        (labelled / f"{network}.toml").write_text(text)
        return read_recipe(str(labelled / f"{network}.toml"), {"pictures": str(labelled)})

    def key(network: str, **changes: Any) -> str:
        recipe = replace(read(network), **changes)
        return samples_key(recipe, str(find_trainable(network).description.outputs), names)

    usual = key("tiny")
    assert key("other") == key("tiny", pictures=64) == usual
    recipe = read("tiny")
    assert isinstance(recipe, PafRecipe) and recipe.holdout is not None
    for unseen in (
        {"holdout": replace(recipe.holdout, every=recipe.holdout.every + 1)},
        {"targets": replace(recipe.targets, weighting=0.5)},
        {"quantization_aware": True},
    ):
        assert key("tiny", **unseen) == usual
    assert key("tiny", targets=replace(recipe.targets, sigma=3.0)) != usual
    assert key("tiny", seed=1) != usual
    names.reverse()
    assert key("tiny") != usual
    names.reverse()
    assert key("tiny-crops") != usual
    labels = labelled / "annotations/person_keypoints_train2017.json"
    labels.write_text(labels.read_text() + "\n")
    assert key("tiny") != usual


def test_networks_that_read_keypoints_at_other_places_keep_other_samples(labelled: Path) -> None:
    """The pair's refiner, LPN and HWL have outputs of one form; only the latter two read them at the same places."""
    paths = {"start": "start.onnx", "coco": str(labelled)}
    paths |= {"unlabelled": str(labelled), "lsp": str(labelled)}
    paths |= {
        name: str(labelled / "annotations/person_keypoints_train2017.json")
        for name in ("labels", "lsp_labels")
    }

    def key(network: str) -> str:
        recipe = replace(read_recipe("person-refiner", paths), network=network)
        return samples_key(recipe, str(find_trainable(network).description.outputs), [])

    assert key("lpn-50") == key("hwl") != key("person-refiner")


def test_a_run_with_kept_samples_ends_with_the_same_bytes(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    recipe = labelled / "recipe.toml"
    recipe.write_text(
        recipe.read_text().replace('"64x64", "96x64"', '"64x64"').replace("batch", "reuse = 2\nbatch")
    )
    argv = [str(recipe), "--path", f"pictures={labelled}", "--loaders", "0", "--device", "cpu"]
    samples = ["--samples", str(labelled / "kept")]
    assert run_command(main, [*argv, "--output", str(labelled / "made")]) == 0
    assert run_command(main, [*argv, *samples, "--output", str(labelled / "keeping")]) == 0
    monkeypatch.setattr(Samples, "draw", never)
    assert run_command(main, [*argv, *samples, "--output", str(labelled / "kept-again")]) == 0
    results = [
        load_file(labelled / name / "weights.safetensors") for name in ("made", "keeping", "kept-again")
    ]
    for name in results[0]:
        assert all((r[name] == results[0][name]).all() for r in results)


def test_keeping_what_never_comes_again_is_wrong_usage(
    labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(labelled / "recipe.toml"), "--path", f"pictures={labelled}", "--device", "cpu"]
    assert (
        run_command(main, [*argv, "--output", str(labelled / "run"), "--samples", str(labelled / "kept")])
        == 2
    )
    assert "reuse = 5" in capsys.readouterr().err


def test_a_teacher_that_is_not_there_is_one_line(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = labelled / "recipe.toml"
    text = recipe.read_text().replace('"64x64", "96x64"', '"64x64"')
    recipe.write_text(text.replace("batch", 'reuse = 2\nteacher = "nobody.tflite"\nbatch'))
    argv = [
        str(recipe),
        "--path",
        f"pictures={labelled}",
        "--device",
        "cpu",
        "--output",
        str(labelled / "run"),
    ]
    assert run_command(main, [*argv, "--samples", str(labelled / "kept")]) == 3
    assert "nobody.tflite" in capsys.readouterr().err
    assert not (labelled / "kept").exists()
