"""Trained networks of others through the export, one row each: AP, what the repair did, what is not INT8, time.

    python -m tests.benchmarks.networks --coco DIR --output DIR
    python -m tests.benchmarks.networks --coco DIR --output DIR --only movenet-lightning-192 --images 40

Every folder of --networks holds model.onnx or model.onnx.xz and facts.json, and is called as a card of the package
(`python -m export.tflite --list-cards`). Each is exported as a user would, in processes of its own, three times: in
float32, by the plain recipe w8c_a8, and by --int8 alone, which repairs what the gate refuses. AP is of keypoints, of a
finder of people that of boxes. `seconds` and `MB` are the time by the clock and the peak memory of the
export by --int8 alone, its measurements of AP included; `int8 / float` is the processor time of one thread, both files
in turn. A row is kept in --output and made anew with --again only, so that a run can be broken off and taken up.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quant.cards.read import template_names
from quant.cli import run_command
from quant.cost import least_times
from rpi_runtime.errors import InputError
from rpi_runtime.evaluate.coco import read_split
from rpi_runtime.files import write_text
from rpi_runtime.model.interpreter import find_module

NAIVE = "w8c_a8"
REPEATS = 20
GATE_REFUSED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one network; AP in percent, None where it could not be measured."""

    name: str
    images: int
    facts: float
    real: float | None = None
    naive: float | None = None
    int8: float | None = None
    gate: str = ""
    tried: str = ""
    outside_int8: str = ""
    outside_xnnpack: str = ""
    megabytes: float = 0.0
    ratio: float = 0.0
    seconds: float = 0.0
    peak: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One run of the export: its report (empty without a file), the last line it said, its cost."""

    report: dict[str, Any]
    said: str
    seconds: float
    peak: float


def unpacked(folder: Path, output: Path) -> Path:
    """Return the path of a network's ONNX file, unpacked where it is packed."""
    plain, packed = folder / "model.onnx", folder / "model.onnx.xz"
    if plain.exists():
        return plain
    data = lzma.decompress(packed.read_bytes())
    wanted = json.loads((folder / "facts.json").read_text())["model"]["sha256"]
    if hashlib.sha256(data).hexdigest() != wanted:
        raise InputError(f"{packed}: its sha256 is not the one in facts.json; copy it again")
    output.mkdir(parents=True, exist_ok=True)
    (output / "model.onnx").write_bytes(data)
    return output / "model.onnx"


def first_images(coco: Path, split: str, count: int, output: Path) -> Path:
    """Return a folder in COCO's layout with the first pictures of a split only; the whole one where count is 0."""
    if not count:
        return coco
    whole = json.loads((coco / "annotations" / f"person_keypoints_{split}.json").read_text())
    there = [i for i in whole["images"] if (coco / split / i["file_name"]).exists()][:count]
    ids = {i["id"] for i in there}
    part = {
        **whole,
        "images": there,
        "annotations": [a for a in whole["annotations"] if a["image_id"] in ids],
    }
    (output / split).mkdir(parents=True, exist_ok=True)
    (output / "annotations").mkdir(exist_ok=True)
    for image in there:
        target = output / split / image["file_name"]
        target.write_bytes((coco / split / image["file_name"]).read_bytes())
    (output / "annotations" / f"person_keypoints_{split}.json").write_text(json.dumps(part))
    return output


def export(arguments: list[str], output: Path) -> Exported:
    """Run `python -m export.tflite` and read the report that it prints."""
    command = [sys.executable, "-m", "export.tflite", *arguments, "--output", str(output), "--json"]
    output.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with (output / "stdout").open("wb") as out, (output / "stderr").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    said = (output / "stderr").read_text().strip().splitlines() or [""]
    reports = json.loads((output / "stdout").read_text()) if process.returncode in (0, GATE_REFUSED) else [{}]
    return Exported(report=reports[0], said=said[-1], seconds=seconds, peak=usage.ru_maxrss / 1024)


def published(facts: dict[str, Any]) -> float:
    """Return the AP of facts.json that this program measures: annotated boxes for crops, else the only one."""
    found = facts["float_ap"]
    name = next((n for n in found if "GT boxes" in n), next(iter(found)))
    return float(found[name]["AP"])


def latency(real: Path, int8: Path) -> float:
    """Return the time of the INT8 file over that of the float one, on one thread."""
    _, module = find_module()
    runs = [module.Interpreter(model_path=str(path), num_threads=1) for path in (real, int8)]
    for run in runs:
        run.allocate_tensors()
    before, after = least_times(runs, REPEATS)
    return after / before


def measure(folder: Path, args: argparse.Namespace) -> Row:
    """Export a network three times and measure the files."""
    output = args.output / folder.name
    facts = json.loads((folder / "facts.json").read_text())
    coco = first_images(args.coco, args.split, args.images, args.output / f"coco-{args.images}")
    base = ["--onnx", str(unpacked(folder, output)), "--card", folder.name]
    int8 = [*base, "--int8", "--calibration", str(args.calibration or args.coco)]
    int8 += ["--coco", str(coco), "--split", args.split]
    real = export(base, output / "float32")
    naive = export([*int8, "--recipe", NAIVE], output / NAIVE)
    made = export(int8, output / "int8")
    images = len(read_split(coco, args.split).images)
    row = Row(name=folder.name, images=images, facts=published(facts), gate=made.said)
    if not (real.report and naive.report and made.report):
        return row
    files = [Path(run.report["file"]) for run in (real, naive, made)]
    aps = [made.report["evaluations"][0]["ap"], *(r.report["evaluations"][1]["ap"] for r in (naive, made))]
    checks = {c["name"]: c for c in made.report["checks"]}
    return Row(
        name=folder.name,
        images=images,
        facts=published(facts),
        real=aps[0],
        naive=aps[1],
        int8=aps[2],
        gate=", ".join(n for n, c in checks.items() if not c["passed"]) or "holds",
        tried=" -> ".join(a["recipe"] for a in made.report["attempts"]),
        outside_int8=checks.get("computed in float", {"found": "nothing"})["found"],
        outside_xnnpack=_outside(checks),
        megabytes=made.report["bytes"] / 1e6,
        ratio=latency(files[0], files[2]),
        seconds=made.seconds,
        peak=made.peak,
    )


def _outside(checks: dict[str, Any]) -> str:
    partitions = checks["XNNPACK partitions"]["found"]
    fallen = checks["operations that fall back from XNNPACK"]["found"]
    return f"{partitions} partition{'s' * (partitions != '1')}, falls back: {fallen}"


def show(row: Row) -> None:
    """Print a row: the figures, and below them what is said in words."""
    aps = " ".join("     -" if v is None else f"{v:6.2f}" for v in (row.facts, row.real, row.naive, row.int8))
    drop = "     -" if row.real is None or row.int8 is None else f"{row.int8 - row.real:+6.2f}"
    print(
        f"{row.name:<24} {row.images:>4} {aps} {drop} {row.megabytes:5.2f} {row.ratio:12.2f} {row.seconds:8.0f} "
        f"{row.peak:6.0f}"
    )
    for what in ("tried", "gate", "outside_int8", "outside_xnnpack"):
        print(f"    {what.replace('_', ' ')}: {re.sub(r'  +', ' ', getattr(row, what))}", flush=True)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.networks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--networks", type=Path, default=Path("../shared/data/networks"), metavar="DIR")
    result.add_argument("--coco", type=Path, default=Path("../shared/data/coco"), metavar="DIR")
    result.add_argument("--split", default="val2017")
    result.add_argument("--calibration", metavar="PICTURES", help="default: the training split of --coco")
    result.add_argument(
        "--images", type=int, default=0, metavar="N", help="evaluate on this many (default: all)"
    )
    result.add_argument(
        "--only", action="append", metavar="NAME", help="may be repeated (default: all folders)"
    )
    result.add_argument("--output", type=Path, required=True, metavar="DIR", help="files and finished rows")
    result.add_argument("--again", action="store_true", help="measure anew what has a row already")
    return result


def main(argv: list[str] | None = None) -> int:
    """Measure what has no row yet, and print all."""
    args = parser().parse_args(argv)
    folders = sorted(f.parent for f in args.networks.glob("*/facts.json"))
    chosen = [f for f in folders if not args.only or f.name in args.only]
    if not chosen:
        raise InputError(f"{args.networks}: no such network; expected folders with facts.json")
    print(f"{'network':<24} {'n':>4} {'facts':>6} {'float':>6} {'naive':>6} {'int8':>6} {'change':>6} "
          f"{'MB':>5} {'int8 / float':>12} {'seconds':>8} {'MB':>6}", flush=True)  # fmt: skip
    for folder in chosen:
        if folder.name not in template_names():
            print(f"{folder.name}: no card of that name in the package")
            continue
        kept = args.output / folder.name / f"row-{args.images}.json"
        if args.again or not kept.exists():
            row = measure(folder, args)
            write_text(kept, json.dumps(asdict(row), indent=1) + "\n")
        show(Row(**json.loads(kept.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
