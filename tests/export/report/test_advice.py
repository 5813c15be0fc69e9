"""The words at the end of an export."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from export.report.advice import REMEDIES, closing_lines, doubts, kind_of, next_steps, remedies, verdict
from export.report.outcome import Outcome
from export.report.report import as_data, render
from export.tflite import main
from export.zoo.registry import find_model
from quant.judge.gate import LIKENESS, STRICT_LIKENESS, Check
from rpi_runtime.installing import python_here
from rpi_runtime.model.card import Provenance
from tests.export.report.test_report import outcome

ROOT = Path(__file__).parents[3]


def test_every_check_of_the_gate_has_a_remedy() -> None:
    assert {LIKENESS, STRICT_LIKENESS} <= set(REMEDIES)
    source = (ROOT / "quant" / "judge" / "gate.py").read_text()
    names = set(re.findall(r'(?:name=|_none\(\s*|_at_most\(\s*)"([^"]+)"', source))
    assert len(names) > 8
    assert names <= set(REMEDIES)


def test_a_refusal_names_its_remedies_once(tmp_path: Path) -> None:
    refused = replace(
        outcome(tmp_path, passed=False),
        checks=tuple(
            Check(name=name, found="9", allowed="1", passed=False)
            for name in ("heatmap rmse", "lost peaks", "peaks compared")
        ),
    )
    assert verdict(refused).startswith("Refused: this file may not be called INT8. It fails: heatmap rmse, ")
    first, second = remedies(refused)
    assert first.startswith("heatmap rmse, lost peaks: calibrate on more pictures")
    assert second.startswith("peaks compared: the float network finds no keypoint")
    text = "\n".join(closing_lines([refused], [tmp_path / "page.html"]))
    assert first in text
    assert "scp" not in text


def test_what_follows_from_operations_that_int8_lacks_has_their_remedy(tmp_path: Path) -> None:
    names = ["tensors that are not integer", "converting operations"]
    for causes, count in (([], 1), (["operations that fall back from XNNPACK"], 1), (["lost peaks"], 2)):
        checks = tuple(Check(name=n, found="9", allowed="none", passed=False) for n in [*names, *causes])
        found = remedies(replace(outcome(tmp_path, passed=False), checks=checks))
        assert len(found) == count
        assert ("replace these operations" in found[0]) == (
            causes == ["operations that fall back from XNNPACK"]
        )


def test_a_file_without_a_kind_says_that_it_is_float32(tmp_path: Path) -> None:
    plain = outcome(tmp_path)
    plain = replace(plain, card=replace(plain.card, recipe="w32_a32"), checks=(), evaluations=())
    assert kind_of(plain) == "float32"
    assert "computes in float32" in verdict(plain)
    assert "export it with --int8" in verdict(plain)
    assert not any("scp" in s.command for s in next_steps(plain))


def test_the_end_names_what_was_not_measured_and_the_way_to_the_pi(tmp_path: Path) -> None:
    done = replace(outcome(tmp_path), evaluations=())
    lines = closing_lines([done], [tmp_path / "r.report.html"])
    text = "\n".join(lines)
    assert "Fully INT8, ready for a Raspberry Pi. On the calibration pictures it keeps 90%" in text
    assert "AP was not measured" in text
    assert str(tmp_path / "r.report.html") in text
    commands = [shlex.split(line) for line in lines if line.startswith("    ")]
    assert [c[1:3] for c in commands if c[0] == python_here()] == [
        ["-m", "rpi_runtime"],
        ["-m", "quant.evaluate"],
    ]
    assert any(c[0] == "scp" for c in commands)


def test_a_file_with_chains_of_float_is_not_called_fully_int8(tmp_path: Path) -> None:
    text = verdict(replace(outcome(tmp_path), in_float=0.124))
    assert text.startswith(
        "INT8 but for 12% of the predicted time, which float takes; ready for a Raspberry Pi."
    )
    assert verdict(replace(outcome(tmp_path), in_float=0.004)).startswith("Fully INT8, ")


def crops_of(tmp_path: Path) -> Outcome:
    refiner = replace(outcome(tmp_path), evaluations=(), path=tmp_path / "crops.tflite")
    card = find_model("person-refiner").description.exported_card("crops", refiner.card.provenance)
    return replace(refiner, card=replace(card, recipe=refiner.card.recipe))


def test_a_network_of_crops_goes_with_a_finder(tmp_path: Path) -> None:
    steps = next_steps(crops_of(tmp_path))
    commands = [s.command for s in steps]
    assert len(commands) == 5
    assert all("FINDER.tflite" in c and "crops.tflite" in c for c in commands)
    assert commands[-1].endswith("-m rpi_runtime run --model FINDER.tflite --refine crops.tflite")


def test_a_pair_that_was_exported_together_is_advised_together(tmp_path: Path) -> None:
    finder = replace(outcome(tmp_path), evaluations=())
    lines = closing_lines([finder, crops_of(tmp_path)], [tmp_path / "a.html", tmp_path / "b.html"])
    both = f"--model {finder.path} --refine {tmp_path}/crops.tflite"
    assert any(line.endswith(f"show {both} PICTURE.jpg") for line in lines)
    assert any(line.endswith(f"quant.evaluate {both} --coco COCO_DIR") for line in lines)
    assert f"    scp {finder.path} {tmp_path}/crops.tflite pi@raspberrypi:" in lines
    assert lines[-1].endswith(f"run --model {finder.path.name} --refine crops.tflite")


def with_pictures(tmp_path: Path, count: int) -> Outcome:
    done = replace(outcome(tmp_path), evaluations=())
    return replace(done, card=replace(done.card, provenance=Provenance(calibration_images=count)))


@pytest.mark.parametrize(
    ("count", "words"), [(1, "calibrated on 1 picture, and"), (7, "calibrated on 7 pictures, and")]
)
def test_a_file_that_few_pictures_speak_for_is_in_doubt(tmp_path: Path, count: int, words: str) -> None:
    (doubt,) = doubts(with_pictures(tmp_path, count))
    assert doubt.startswith(words)
    assert f"Beware: {doubt}" in closing_lines([with_pictures(tmp_path, count)], [tmp_path / "page.html"])
    assert doubt in render(with_pictures(tmp_path, count))
    assert as_data(with_pictures(tmp_path, count))["doubts"] == [doubt]
    measured = replace(with_pictures(tmp_path, count), evaluations=outcome(tmp_path).evaluations)
    assert doubts(measured) == []  # what is lost elsewhere was measured there


def test_enough_pictures_leave_no_doubt(tmp_path: Path) -> None:
    assert doubts(with_pictures(tmp_path, 8)) == []
    assert doubts(with_pictures(tmp_path, 32)) == []


def test_a_float_network_that_finds_nobody_is_told_of(tmp_path: Path) -> None:
    done = with_pictures(tmp_path, 32)
    assert done.agreement is not None
    blind = replace(done, agreement=replace(done.agreement, peaks=0, lost=0.0, shift_px=0.0))
    assert verdict(blind) == "Fully INT8, ready for a Raspberry Pi."
    (doubt,) = doubts(blind)
    assert doubt.startswith("the float network finds nobody on the calibration pictures")
    nothing = tuple(replace(e, ap=0.0) for e in outcome(tmp_path).evaluations)
    (doubt,) = doubts(replace(done, evaluations=nothing))
    assert doubt.startswith("the float network's AP is 0")
    assert "mean, scale, channels and thresholds of the card" in doubt


def test_whole_pictures_for_a_network_of_crops_are_named_where_its_file_is_refused(tmp_path: Path) -> None:
    failed = Check(name=LIKENESS, found="60", allowed=">= 90", passed=False)
    refused = replace(with_pictures(tmp_path, 32), checks=(failed,), taken_for_crops=30)
    first, second = remedies(refused)
    assert first.startswith("30 of 32 calibration pictures were taken for crops of one person")
    assert second.startswith(LIKENESS)
    assert len(remedies(replace(refused, taken_for_crops=0))) == 1
    assert remedies(replace(with_pictures(tmp_path, 32), taken_for_crops=30)) == []


def test_measured_ap_is_not_asked_for_again(tmp_path: Path) -> None:
    assert not any("AP was not measured" in s.text for s in next_steps(outcome(tmp_path)))


def test_names_with_spaces_are_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    for step in next_steps(outcome(folder)):
        if str(folder) in step.command.replace("'", ""):
            assert f"'{folder}/toy-32x24-int8.tflite'" in step.command


def test_the_list_of_models_says_what_a_size_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-models"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"160x120 +AP +6\.6 +people who fill the picture", out)
    assert re.search(r"320x240 +AP 27\.8 +people across a room", out)
