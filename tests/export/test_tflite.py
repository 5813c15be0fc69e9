"""The main job on the bundled weights: one file, fully INT8, that says what it is and can be made again."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.tflite import main as make_file
from export.weights.bundled import find_bundled
from export.weights.download import checksum
from quant.accuracy.evaluation import EvaluationSpec, evaluate_file
from quant.card import main as print_card
from quant.judge.gate import Limits
from quant.tflite.read import read_model
from rpi_runtime.errors import InputError
from rpi_runtime.evaluate.coco import read_split
from rpi_runtime.model.card import read_card
from rpi_runtime.model.interpreter import Model
from rpi_runtime.model.member import CALIBRATION_MEMBER, read_member

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "w8c_a8_eq"  # what the gate lets pass with these weights


@pytest.fixture(scope="module")
def report(exported: Path) -> dict[str, object]:
    data: dict[str, object] = json.loads(exported.with_name(f"{exported.stem}.report.json").read_text())
    return data


def test_every_tensor_is_integer_and_the_graph_one_partition(exported: Path) -> None:
    model = read_model(exported.read_bytes())
    assert {t.dtype.name for t in model.tensors()} <= {"int8", "int32"}
    assert not set(model.count_operators()) & {"QUANTIZE", "DEQUANTIZE", "TRANSPOSE", "CAST"}
    assert model.count_operators()["ELU"] == 8
    delegation = Model(exported, threads=1).delegation()
    assert (delegation.partitions, delegation.fell_back) == (1, ())


def test_the_card_says_what_the_file_is(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = read_card(exported)
    assert (card.name, card.recipe, card.input.size) == ("lw-openpose", RECIPE, "160x120")
    origin = card.provenance
    assert origin.weights_sha256 == find_bundled("lw-openpose")[1].sha256
    assert (origin.weights_graph, origin.calibration_images) == ("omz", 32)
    assert print_card([str(exported)]) == 0
    assert f"lw-openpose, {RECIPE}" in capsys.readouterr().out


def test_the_input_is_the_pixel_with_its_top_bit_flipped(exported: Path) -> None:
    (entry,) = read_model(exported.read_bytes()).inputs.values()
    assert entry.dtype == np.int8
    assert entry.quantization is not None
    assert entry.quantization.zero_point == 0
    assert entry.quantization.scale == pytest.approx(1 / 255, rel=1e-3)  # this graph's own normalisation


def test_agreement_with_float_is_within_the_bar(report: dict[str, object]) -> None:
    agreement, limits = report["agreement"], Limits()
    assert isinstance(agreement, dict)
    assert agreement["images"] == 32
    assert agreement["heatmap_rmse"] <= limits.heatmap_rmse
    assert agreement["paf_relative_l2"] <= limits.paf_relative_l2
    assert agreement["lost"] <= limits.lost_peaks


def test_ap_on_the_evaluation_images(shared: Path, exported: Path) -> None:
    split = read_split(shared / "data" / "coco", "val2017")
    found = evaluate_file(exported, EvaluationSpec(split=split)).evaluation
    assert 6.5 < found.ap < 7.5  # 6.98 on x86-64 with AVX2; its card has float 6.71
    assert found.images == 125


def test_both_known_outlier_channels_are_found(report: dict[str, object]) -> None:
    outliers = report["outliers"]
    assert isinstance(outliers, list)
    assert sum(o["maximum"] > 300 for o in outliers) == 2


def test_equalization_helps_every_layer_in_the_mean(report: dict[str, object]) -> None:
    layers = report["layers"]
    assert isinstance(layers, dict)
    naive, ours = (np.mean([x["snr_db"] for x in layers[n]]) for n in ("w8c_a8", RECIPE))
    assert ours > naive + 3


def test_the_manifest_inside_names_the_bundled_pictures(exported: Path) -> None:
    manifest = json.loads(read_member(exported, CALIBRATION_MEMBER))
    pictures = (ROOT / "export/calibration/bundled").glob("*.jpg")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures}
    assert manifest["source"] == "bundled"
    assert len(manifest["images"]) == 32
    assert dict(manifest["images"]).items() <= digests.items()


def test_published_weights_and_coco_make_a_file_that_says_so(
    shared: Path, weights: Path, tmp_path: Path
) -> None:
    coco = shared / "data" / "coco"
    argv = ["--model", "lw-openpose", "--weights", str(weights), "--int8", "--calibration", str(coco)]
    assert make_file([*argv, "--output", str(tmp_path), "--json"]) == 0
    path = tmp_path / "lw-openpose-160x120-int8.tflite"
    digest = read_card(path).provenance.weights_sha256
    assert digest == "df2a9f41f15c3a0c8a0c5a704650338a3cc5c7bb588f2bfc14ea7093fa37b446"
    manifest = json.loads(read_member(path, CALIBRATION_MEMBER))
    names = [name for name, _ in manifest["images"]]
    assert manifest["source"] == "coco/train2017"
    assert len(names) == len(set(names)) == 32
    assert set(names) <= {p.name for p in (coco / "train2017").iterdir()}
    assert checksum(weights).startswith("581b082e749848fd")  # as before


def test_the_report_is_one_page_that_loads_nothing(exported: Path) -> None:
    page = exported.with_name(f"{exported.stem}.report.html").read_text()
    assert not re.search(r"(src|href|url|action)\s*[=(]\s*[\"']?\s*(https?:)?//", page, re.IGNORECASE)
    assert "<script" not in page.lower()
    assert set(re.findall(r"<img[^>]* src=\"(data:image/jpeg;base64,)", page)) == {"data:image/jpeg;base64,"}
    assert page.count("<figure>") == 4
    assert "<svg" in page
    assert "Fully INT8" in page


def test_the_same_bytes_from_another_process_as_the_second_of_two_sizes(
    exported: Path, tmp_path: Path
) -> None:
    # by its name, the recipe that was chosen: the second size does not go through others again
    argv = ["--model", "lw-openpose", "--int8", "--recipe", RECIPE, "--size", "64x64", "--size", "160x120"]
    argv += ["--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "export.tflite", *argv], cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert done.returncode in (0, 7), done.stderr  # 64x64 may well be refused
    made = tmp_path / exported.name
    assert made.read_bytes() == exported.read_bytes()


def test_a_flipped_bit_is_refused_before_it_is_run(exported: Path, tmp_path: Path) -> None:
    data = bytearray(exported.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.tflite").write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        Model(tmp_path / "flipped.tflite")
