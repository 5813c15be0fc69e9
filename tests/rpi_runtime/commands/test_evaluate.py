"""AP on the device: the command, beside the workstation's figures for the same file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from quant.accuracy.evaluation import EvaluationSpec, evaluate_file
from rpi_runtime.commands.evaluate import format_result, main
from rpi_runtime.errors import InputError
from rpi_runtime.estimate import Estimator
from rpi_runtime.evaluate.coco import read_split
from rpi_runtime.evaluate.run import evaluate_split
from rpi_runtime.model.interpreter import Model

ROOT = Path(__file__).parents[3]


def test_the_device_measures_what_the_workstation_measures(
    toy_coco: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model, coco = toy_coco
    argv = ["--model", str(model), "--coco", str(coco), "--split", "val2017", "--threads", "1", "--json"]
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    spec = EvaluationSpec(split=read_split(coco, "val2017"), threads=1)
    expected = evaluate_file(model, spec).evaluation
    for name, value in found["figures"].items():
        assert value == pytest.approx(asdict(expected)[name], abs=1e-9), name
    assert found["people"] == expected.poses
    assert found["images"] == expected.images
    assert list(found["stages"]) == ["preprocess", "infer", "decode", "track", "total"]


def test_the_table_has_figures_and_stages(
    toy_coco: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model, coco = toy_coco
    assert main(["--model", str(model), "--refine", str(model), "--coco", str(coco), "--threads", "1"]) == 0
    text = capsys.readouterr().out
    for word in ("COCO     AP ", "AP50", "refine", "of them refined", "infer"):
        assert word in text


@pytest.mark.parametrize("ap", [0.0, 12.5])
def test_a_network_that_finds_nobody_is_told_of(toy_coco: tuple[Path, Path], ap: float) -> None:
    model, coco = toy_coco
    split, estimator = read_split(coco, "val2017"), Estimator([Model(model, threads=1)], track=False)
    result = evaluate_split(estimator, split)
    text = format_result(replace(result, figures=replace(result.figures, ap=ap)), estimator, split)
    assert ("nobody is found where somebody is annotated" in text) == (ap == 0)


def test_it_needs_nothing_but_the_runtimes_own_packages(toy_coco: tuple[Path, Path]) -> None:
    model, coco = toy_coco
    blocked = ("tensorflow", "torch", "onnx", "cv2", "pycocotools", "rich", "flatbuffers")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); from rpi_runtime.__main__ import main; "
        f"sys.exit(main(['evaluate', '--model', {str(model)!r}, '--coco', {str(coco)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "COCO     AP" in done.stdout


def test_another_folder_is_refused(toy_coco: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="COCO"):
        main(["--model", str(toy_coco[0]), "--coco", str(tmp_path)])
