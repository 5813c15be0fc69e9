"""The report: JSON that says everything, one page that loads nothing and escapes names."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray

from export.graph.parity import Parity
from export.report.chart import Series, line_chart
from export.report.outcome import Attempt, Outcome, Untried
from export.report.pictures import COUNT, LARGEST_SIDE, PosePicture, pose_pictures
from export.report.report import as_data, render, summary_tables, write_outcome
from quant.accuracy.evaluation import Evaluation
from quant.calibration import CalibrationSet, Manifest
from quant.judge.gate import Check
from quant.judge.metrics import Agreement
from quant.layers import LayerNoise
from quant.progress import Stage, print_table
from quant.quantize.equalize import Outlier
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.errors import OutputError
from rpi_runtime.model.card import read_card
from tests.quant.toycoco import write_toy_model
from tests.rpi_runtime.toys import CARD, toy_bytes

HOSTILE = '<script>alert("x")</script>&\'"'
NUMBER = {"type": "number"}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["format", "file", "passed", "bytes", "card", "stages", "parity", "checks", "operations",
                 "outliers", "agreement", "evaluations", "layers"],
    "properties": {
        "format": {"const": 1},
        "file": {"type": "string"},
        "passed": {"type": "boolean"},
        "bytes": {"type": "integer", "minimum": 1},
        "card": {"type": "object", "required": ["name", "input", "skeleton", "outputs", "decoder", "provenance"]},
        "stages": {"type": "array", "items": {"required": ["name", "seconds", "note"]}},
        "parity": {"type": "array", "items": {
            "required": ["step", "output", "max_error", "relative_error", "tolerance"]}},
        "attempts": {"type": "array", "items": {"required": ["recipe", "output_error", "refused", "seconds"]}},
        "doubts": {"type": "array", "items": {"type": "string"}},
        "taken_for_crops": {"type": "integer"},
        "untried": {"type": ["object", "null"], "required": ["recipes", "why", "command"]},
        "checks": {"type": "array", "items": {"required": ["name", "found", "allowed", "passed"]}},
        "operations": {"type": "object", "additionalProperties": {"type": "integer"}},
        "predicted_speed": {"type": "array", "items": {"required": ["board", "threads", "ms", "factor"]}},
        "outliers": {"type": "array", "items": {"required": ["tensor", "channel", "maximum", "next_maximum"]}},
        "agreement": {"type": ["object", "null"], "properties": {"heatmap_rmse": NUMBER, "lost": NUMBER}},
        "evaluations": {"type": "array", "items": {"required": ["file", "ap", "ap50", "ar", "images"]}},
        "layers": {"type": "object", "additionalProperties": {
            "type": "array", "items": {"required": ["name", "operation", "snr_db"]}}},
    },
}  # fmt: skip


def evaluation(ap: float) -> Evaluation:
    return Evaluation(
        file=HOSTILE, model="toy", recipe="w8c_a8", size="32x24", ap=ap, ap50=ap, ap75=ap, ap_medium=-1.0, ap_large=ap,
        ar=ap, images=4, poses=9, ms_per_image=1.5,
    )  # fmt: skip


def outcome(folder: Path, *, passed: bool = True) -> Outcome:
    noise = tuple(LayerNoise(name=f"{HOSTILE}{i}", operation="CONV_2D", snr_db=20.0 + i) for i in range(4))
    return Outcome(
        path=folder / ("toy-32x24-int8.tflite" + ("" if passed else ".rejected")),
        card=replace(CARD, name="toy", recipe="w8c_a8_eq"),
        content=toy_bytes("int8"),
        stages=(Stage(name="onnx", seconds=1.25, note=HOSTILE),),
        parities=(
            Parity(step="a -> b", output=HOSTILE, max_error=1e-6, relative_error=1e-7, tolerance=1e-4),
        ),
        checks=(Check(name=HOSTILE, found="none", allowed="none", passed=passed),),
        operations={"CONV_2D": 3, "ELU": 2},
        outliers=(Outlier(tensor=HOSTILE, channel=3, maximum=90.0, next_maximum=4.0, median=3.0, left=1.2),),
        layers={"w8c_a8": noise, "w8c_a8_eq": noise[:3]},
        agreement=Agreement(
            images=4,
            heatmap_rmse=0.004,
            paf_relative_l2=0.05,
            peaks=8,
            lost=0.1,
            added=0.2,
            shift_px=1,
            shift_p95_px=3,
        ),
        evaluations=(evaluation(31.5), evaluation(31.4)),
        pictures=(PosePicture(caption=HOSTILE, real=b"\xff\xd8\xff jpeg", quantized=b"\xff\xd8 other"),),
    )


def test_json_follows_its_schema_and_survives_json(tmp_path: Path) -> None:
    data = as_data(outcome(tmp_path))
    text = json.dumps(data, allow_nan=False)
    jsonschema.validate(json.loads(text), SCHEMA)
    assert json.loads(text)["layers"]["w8c_a8"][3]["snr_db"] == 23.0
    assert "jpeg" not in text


def test_what_could_not_be_tried_stands_in_both_reports(tmp_path: Path) -> None:
    lacking = Untried(
        recipes=("w8c_a8_eq_out",), why="this needs torch, which is not installed", command="pip install T"
    )
    refused = replace(outcome(tmp_path, passed=False), untried=lacking)
    data = as_data(refused)
    jsonschema.validate(json.loads(json.dumps(data)), SCHEMA)
    assert data["untried"]["command"] == "pip install T"
    page = render(refused)
    assert (
        "Not tried: w8c_a8_eq_out; this needs torch, which is not installed; run <code>pip install T</code>"
        in page
    )
    assert (
        "1 more recipe could be tried; this needs torch, which is not installed; run: pip install T" in page
    )


def test_the_page_loads_nothing_and_escapes_every_name(tmp_path: Path) -> None:
    page = render(outcome(tmp_path))
    assert "<script" not in page
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
    assert page.count("&lt;script&gt;") >= 8
    for attribute in re.findall(r"alt=\"([^\"]*)\"", page):
        assert "<" not in attribute
    assert "31.50" in page
    assert "31.40" in page


def test_the_chart_is_well_formed_xml_whatever_the_names(tmp_path: Path) -> None:
    page = render(outcome(tmp_path))
    svg = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    titles = [t.text or "" for t in svg.iter("title")]
    assert len(titles) == 4 + 3
    assert HOSTILE in titles[0]


@pytest.mark.parametrize("values", [[], [5.0], [-40.0, 3.0, 80.0], [0.0, 0.0]])
def test_charts_of_any_length(values: list[float]) -> None:
    labels = [f"layer{i}" for i in range(len(values))]
    svg = ElementTree.fromstring(line_chart([Series(name="a", values=values)], labels, "dB"))
    assert len(list(svg.iter("circle"))) == len(values)
    for circle in svg.iter("circle"):
        assert 0 <= float(circle.get("cx", "nan")) <= 960
        assert 0 <= float(circle.get("cy", "nan")) <= 300


def test_series_longer_than_the_first(tmp_path: Path) -> None:
    full = outcome(tmp_path)
    turned = replace(full, layers=dict(reversed(list(full.layers.items()))))
    assert render(turned).count("<circle") == 7


def test_both_files_lie_beside_the_model(tmp_path: Path) -> None:
    for passed in (True, False):
        data, page = write_outcome(outcome(tmp_path, passed=passed))
        stem = "toy-32x24-int8" if passed else "toy-32x24-int8.rejected"
        assert (data.name, page.name) == (f"{stem}.report.json", f"{stem}.report.html")
        assert json.loads(data.read_text())["passed"] is passed
        assert ("Refused: this file" in page.read_text()) is not passed
    assert len(list(tmp_path.iterdir())) == 6


def test_a_report_of_a_float_file_has_no_empty_parts(tmp_path: Path) -> None:
    bare = replace(
        outcome(tmp_path), checks=(), layers={}, agreement=None, evaluations=(), pictures=(), outliers=()
    )
    page = render(bare)
    assert "Gate" not in page
    assert "<svg" not in page
    jsonschema.validate(as_data(bare) | {"card": json.loads(bare.card.to_json())}, SCHEMA)


def test_the_summary_names_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = replace(
        outcome(tmp_path, passed=False),
        checks=(Check(name="heatmap rmse", found="0.02", allowed="<= 0.008", passed=False),),
    )
    for table in summary_tables([outcome(tmp_path), bad]):
        print_table(table)
    out = capsys.readouterr().out
    assert "REFUSED" in out
    assert "passed" in out
    assert re.search(r"heatmap rmse +0\.02 +<= 0\.008", out)


def pictures_of(tmp_path: Path, frames: Sequence[NDArray[np.uint8]], kind: str = "INT8") -> list[PosePicture]:
    model = write_toy_model(tmp_path / "toy.tflite")
    names = tuple((f"p{i}.jpg", "0" * 64) for i in range(len(frames)))
    images = CalibrationSet(manifest=Manifest(source="x", images=names), frames=tuple(frames), skipped=())
    return list(pose_pictures(model, model, read_card(model), images, kind))


def test_pictures_say_why_they_were_chosen_and_call_int8_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = pictures_of(tmp_path, [rng.integers(0, 256, (40 + i, 60, 3), np.uint8) for i in range(COUNT + 2)])
    assert len(found) == COUNT
    for picture in found:
        index = int(re.match(r"p(\d)\.jpg, among the surest people: ", picture.caption)[1])  # type: ignore[index]
        assert re.search(r"\d by float, \d by INT8", picture.caption)
        for data in (picture.real, picture.quantized):
            assert read_picture(data, "x").shape == (40 + index, 60, 3)


@pytest.mark.parametrize("shape", [(2, 3000, 3), (3000, 2, 3), (1, 70_000, 3), (1, 1, 3), (2000, 3000, 3)])
def test_thin_and_large_pictures_are_shown_small(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    """A thin picture was a traceback at the last stage, a camera's made a page of 20 MB."""
    (picture,) = pictures_of(tmp_path, [np.zeros(shape, np.uint8)])
    assert max(read_picture(picture.real, "x").shape) <= LARGEST_SIDE


def test_nothing_stays_where_one_of_the_files_cannot_be_written(tmp_path: Path) -> None:
    whole = outcome(tmp_path)
    (tmp_path / "toy-32x24-int8.report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        write_outcome(whole)
    assert [p.name for p in tmp_path.iterdir()] == ["toy-32x24-int8.report.html"]


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_has_a_contrast_of_at_least_4_5(tmp_path: Path) -> None:
    page = render(outcome(tmp_path))
    schemes = re.findall(r":root \{([^}]*--back[^}]*)\}", page)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w+)", scheme))
        for name in ("text", "quiet", "ok", "bad"):
            light, dark = sorted((luminance(colours[name]), luminance(colours["back"])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, scheme)


@pytest.mark.parametrize("passed", [True, False])
def test_the_repair_s_table_says_whose_the_file_is(passed: bool, tmp_path: Path) -> None:
    attempt = Attempt(recipe="w8c_a8", output_error=0.02, refused=("AP drop",), seconds=1.0)
    tried = replace(outcome(tmp_path, passed=passed), attempts=(attempt, attempt))
    page = render(tried)
    assert f"The file is that of {tried.card.recipe}" in page
    assert ("which loses least" in page) is not passed


def test_every_table_fits_a_phone_by_scrolling_alone(tmp_path: Path) -> None:
    attempt = Attempt(recipe="w8c_a8", output_error=0.02, refused=(), seconds=1.0)
    page = render(replace(outcome(tmp_path), attempts=(attempt, attempt)))
    regions = re.findall(r'<div class="wide" role="region" tabindex="0" aria-label="([^"]+)"><table>', page)
    assert page.count("<table>") == len(set(regions)) > 3
    assert "img { flex: 1 1 18rem; min-width: 0; max-width: 100%" in page
