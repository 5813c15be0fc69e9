"""The report of a measurement: everything a reader needs, as JSON and as a table, and nothing private."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import socket
from pathlib import Path

import pytest

from rpi_runtime.commands.bench import main
from rpi_runtime.health.machine import clock_mhz, total_memory_mb

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def report(toy_coco: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.json"
    argv = [
        "--model",
        str(toy_coco[0]),
        "--frames",
        "20",
        "--warm-up",
        "2",
        "--threads",
        "1",
        "--report",
        str(path),
    ]
    assert main(argv) == 0
    return path


def test_the_report_names_the_model_the_machine_and_the_versions(
    report: Path, toy_coco: tuple[Path, Path]
) -> None:
    read = json.loads(report.read_text())
    (model,) = read["models"]
    assert model["sha256"] == hashlib.sha256(toy_coco[0].read_bytes()).hexdigest()
    assert read["format"] == 1
    assert {"pipose", "Python", "NumPy"} < set(read["versions"])
    assert read["machine"]["processors"] >= 1
    assert {"board", "kernel", "governors", "clock_mhz_before", "clock_mhz_after", "clock_mhz_most"} <= set(
        read["machine"]
    )


def test_the_report_has_what_peers_publish(report: Path) -> None:
    result = json.loads(report.read_text())["result"]
    infer = result["steady"]["infer"]
    assert 0 < infer["p50_ms"] <= infer["p90_ms"] <= infer["p99_ms"] <= infer["max_ms"]
    assert 0 < result["load"]["first_inference_ms"] <= result["load"]["first_frame_ms"]
    assert 0 < result["average_rss_mb"] <= result["peak_rss_mb"]
    assert {"celsius", "flags"} == set(result["before"]) == set(result["after"])
    assert result["threads"] == 1


def test_nothing_private_is_in_it(report: Path) -> None:
    text = report.read_text()
    assert str(report.parent) not in text
    for private in (socket.gethostname(), f"/{getpass.getuser()}/"):
        assert private not in text


def test_the_table_is_one_to_paste(
    toy_coco: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [
        "--model",
        str(toy_coco[0]),
        "--frames",
        "5",
        "--warm-up",
        "1",
        "--json",
        "--report",
        str(tmp_path / "r"),
    ]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["frames"] == 5
    rows = [line for line in err.splitlines() if line.startswith("|")]
    assert rows[:2] == ["| | |", "|---|---|"]
    assert {"board", "inference, ms", "memory, MB", "clock, MHz", "heat before", "heat after"} <= {
        row.split("|")[1].strip() for row in rows
    }
    assert re.search(r"median \d+\.\d, 90 % \d+\.\d, 99 % \d+\.\d, first \d+\.\d", err)


def test_clock_and_memory_are_read_from_the_system(tmp_path: Path) -> None:
    assert (clock_mhz(root=tmp_path), total_memory_mb(tmp_path)) == (None, 0.0)
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_cur_freq").write_text("1500000\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:        3885312 kB\nMemFree: 1 kB\n")
    assert clock_mhz(root=tmp_path) == 1500.0
    assert total_memory_mb(tmp_path) == pytest.approx(3978.6, abs=0.1)


def test_the_page_and_the_template_name_the_command() -> None:
    command = "bench --model"
    assert command in (ROOT / "rpi_runtime/docs/reports.md").read_text()
    assert command in (ROOT / ".github/ISSUE_TEMPLATE/measurement.yml").read_text()
