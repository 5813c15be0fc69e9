"""The `bench` command on a toy model."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rpi_runtime.commands import bench
from rpi_runtime.errors import InputError, UsageError
from tests.rpi_runtime.toys import write_toy

STAGES = ["wait", "preprocess", "infer", "decode", "track", "total", "age"]


@pytest.fixture
def toy(tmp_path):
    return str(write_toy(tmp_path / "toy.tflite"))


def test_json_has_every_figure(toy, capsys):
    words = ["--frames", "20", "--warm-up", "5", "--threads", "1", "--source", "synthetic:64x48", "--json"]
    assert bench.main(["--model", toy, *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {f.name for f in dataclasses.fields(bench.BenchResult)}
    assert list(result["steady"]) == STAGES
    assert {s["count"] for s in result["steady"].values()} == {20}
    assert {s["count"] for s in result["warm_up"].values()} == {5}
    assert (result["threads"], result["partitions"], result["delegated"], result["fell_back"]) == (
        1,
        1,
        5,
        [],
    )
    assert result["fps"] > 0 and 0 < result["rss_mb"] <= result["peak_rss_mb"]
    assert 0 < result["steady"]["infer"]["p50_ms"] <= result["steady"]["total"]["p50_ms"]
    assert result["dropped"] == 0


def test_table_names_every_stage_and_where_operations_run(toy, capsys):
    bench.main(["--model", toy, "--frames", "3", "--warm-up", "1", "--source", "synthetic:40x30"])
    text = capsys.readouterr().out
    assert all(stage in text for stage in STAGES)
    assert "5 of 5 operations in XNNPACK" in text and "noise, 40x30" in text
    assert text.index("warm-up") < text.index("steady state, 3 frames")


def test_a_folder_of_images_runs_again_and_again(toy, tmp_path, capsys):
    pillow = pytest.importorskip("PIL.Image", reason="writes a picture")
    folder = tmp_path / "pictures"
    folder.mkdir()
    pillow.new("RGB", (50, 40), (200, 30, 30)).save(folder / "red.png")
    bench.main(["--model", toy, "--frames", "5", "--warm-up", "1", "--source", str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["frames"] == 5


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--frames", "0"], UsageError),
        (["--source", "synthetic:big"], UsageError),
        (["--source", "images:missing"], InputError),
        (["--threads", "0"], UsageError),
    ],
)
def test_mistakes_are_refused(toy, words, error):
    with pytest.raises(error):
        bench.main(["--model", toy, *words])
