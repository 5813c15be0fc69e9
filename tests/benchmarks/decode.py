"""Time the decoder against the reference in NumPy, interleaved, on the maps of real pictures; check equality.

    python -m tests.benchmarks.decode --model FLOAT.tflite --model-int8 INT8.tflite --coco DIR

The reference upsamples with OpenCV on one thread, as the original does, and stops at arrays of people; our
decoder is timed up to `Pose` records in image pixels. Every turn times each subject once, so that all meet the
same state of the machine; the references, which are a hundred times slower, take part in every fifth turn.
What counts is the thread's processor time: on a busy machine a wall clock would count other programs' turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cython_ext import reference
from cython_ext.heatmaps import PeakFinder
from cython_ext.paf import Grouper
from cython_ext.specs import Peaks, People, Stored
from rpi_runtime.decode.paf import PafDecoder, PafOptions, limb_rules, peak_rules
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.inference import Quantization
from rpi_runtime.model.interpreter import Model
from rpi_runtime.preprocess.letterbox import Preprocessor, Transform

CROWD = 10
SLOW_EVERY = 5
Subject = Callable[["Maps"], object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maps:
    """What one model gave for one picture."""

    heatmaps: Stored
    pafs: Stored
    heatmap_quantization: Quantization
    paf_quantization: Quantization
    transform: Transform


class NumPyReference:
    """The original decoder's procedure: maps upsampled whole, peaks and limbs by NumPy, assembly in Python."""

    def __init__(self, card: ModelCard, factor: int) -> None:
        self.factor = factor
        options = PafOptions(mode="exact", upsample=factor)
        self.peak_rules, self.limb_rules = peak_rules(card, options), limb_rules(card, options)

    def __call__(self, maps: Maps) -> tuple[Peaks, People]:
        peaks = reference.peaks_of(self._upsample(maps.heatmaps), self.peak_rules)
        return peaks, reference.people_of(peaks, self._upsample(maps.pafs), self.limb_rules, bilinear=False)

    def _upsample(self, maps: Stored) -> NDArray[np.float32]:
        factor = self.factor
        large = cv2.resize(maps, (0, 0), fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        return np.asarray(large, np.float32)


def decoder(card: ModelCard, options: PafOptions) -> Subject:
    """Return our decoder as a function of maps."""
    decode = PafDecoder(card, options).decode
    return lambda m: decode(m.heatmaps, m.pafs, m.transform, m.heatmap_quantization, m.paf_quantization)


def compute_maps(model: Model, pictures: Sequence[Path]) -> list[Maps]:
    """Run the network on every picture."""
    prepare = Preprocessor(model.card.input)
    found = []
    for path in pictures:
        transform = prepare(np.asarray(cv2.imread(str(path)), np.uint8), model.input)
        model.invoke()
        found.append(
            Maps(
                heatmaps=model.output("heatmaps")[0].copy(),
                pafs=model.output("pafs")[0].copy(),
                heatmap_quantization=model.quantization("heatmaps"),
                paf_quantization=model.quantization("pafs"),
                transform=transform,
            )
        )
    return found


def check(card: ModelCard, frames: Sequence[Maps]) -> dict[str, int]:
    """Return, for each mode, on how many pictures the kernels give the NumPy procedure's result bit for bit."""
    equal = {}
    for name, options in MODES.items():
        peak, limb = peak_rules(card, options), limb_rules(card, options)
        find, group = PeakFinder(peak), Grouper(peak.keypoints, limb, peak.upsample)
        equal[name] = sum(_same(find, group, maps) for maps in frames)
    return equal


def _same(find: PeakFinder, group: Grouper, maps: Maps) -> bool:
    """Whether both find the same; float maps go through OpenCV's upsampling, int8 ones through the oracle's."""
    h, p = maps.heatmap_quantization, maps.paf_quantization
    upsample = find.rules.upsample
    peaks = find(maps.heatmaps, h.scale, h.zero_point)
    people = group(peaks, maps.pafs, p.scale, p.zero_point)
    if upsample and h.scale == 0:
        size = {"fx": upsample, "fy": upsample, "interpolation": cv2.INTER_CUBIC}
        large = [np.asarray(cv2.resize(m, (0, 0), **size), np.float32) for m in (maps.heatmaps, maps.pafs)]
        expected = reference.peaks_of(large[0], find.rules)
        crowd = reference.people_of(expected, large[1], group.rules, bilinear=False)
    else:
        expected = reference.find_peaks(maps.heatmaps, find.rules, h.scale, h.zero_point)
        crowd = reference.group(expected, maps.pafs, group.rules, p.scale, p.zero_point, upsample)
    pairs = [(getattr(peaks, f), getattr(expected, f)) for f in ("table", "starts")]
    pairs += [(getattr(people, f), getattr(crowd, f)) for f in ("peaks", "score", "count")]
    return all(np.array_equal(a, b) for a, b in pairs)


MODES = {
    "exact x4": PafOptions(mode="exact", upsample=4),
    "exact x8": PafOptions(mode="exact", upsample=8),
    "fast": PafOptions(),
}


def subjects(card: ModelCard, kinds: Sequence[str]) -> Iterator[tuple[str, str, Subject, bool]]:
    """Yield name, kind of maps, function and whether it is slow."""
    for factor in (4, 8):
        yield f"NumPy reference x{factor}, float", "float", NumPyReference(card, factor), True
    for name, options in MODES.items():
        for kind in kinds:
            yield f"{name}, {kind}", kind, decoder(card, options), False


def measure(card: ModelCard, frames: dict[str, list[Maps]], turns: int) -> dict[str, list[list[int]]]:
    """Return for each subject the nanoseconds of every turn, by picture."""
    run = list(subjects(card, list(frames)))
    times: dict[str, list[list[int]]] = {name: [] for name, *_ in run}
    for index in range(len(frames["float"])):
        for row in times.values():
            row.append([])
        for turn in range(turns):
            for name, kind, call, slow in run:
                if slow and turn % SLOW_EVERY:
                    continue
                maps = frames[kind][index]
                start = time.thread_time_ns()
                call(maps)
                times[name][-1].append(time.thread_time_ns() - start)
    return times


def summarize(times: dict[str, list[list[int]]], crowds: Sequence[bool]) -> list[dict[str, Any]]:
    """Return median and 99th percentile in microseconds, over all pictures and over those with crowds."""
    rows = []
    base = {}
    for name, pictures in times.items():
        row: dict[str, Any] = {"subject": name}
        for group, chosen in (
            ("all", pictures),
            ("crowds", [p for p, c in zip(pictures, crowds, strict=True) if c]),
        ):
            if not chosen:
                continue
            samples = np.concatenate(chosen) / 1000
            median = float(np.median(samples))
            base.setdefault(group, median)
            row[f"{group}_median_us"] = round(median, 1)
            row[f"{group}_p99_us"] = round(float(np.percentile(samples, 99)), 1)
            row[f"{group}_times_faster"] = round(base[group] / median, 1)
        rows.append(row)
    return rows


def show(report: dict[str, Any]) -> None:
    """Print a table."""
    print(f"{report['size']}, {report['pictures']} pictures, {report['crowds']} with {CROWD} or more people")
    for kind, equal in report["equal_to_numpy"].items():
        counts = ", ".join(f"{name} on {n}" for name, n in equal.items())
        print(f"{kind} maps, bit for bit equal to NumPy: {counts}")
    print(f"{'microseconds':32}{'median':>9}{'p99':>9}{'faster':>8}{'crowds':>11}{'p99':>9}{'faster':>8}")
    for row in report["subjects"]:
        cells = [
            row.get(f"{g}_{k}", "")
            for g in ("all", "crowds")
            for k in ("median_us", "p99_us", "times_faster")
        ]
        print(
            f"{row['subject']:32}"
            + "".join(f"{c:>{w}}" for c, w in zip(cells, (9, 9, 8, 11, 9, 8), strict=True))
        )


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(prog="python -m tests.benchmarks.decode", description=__doc__)
    result.add_argument("--model", type=Path, required=True, metavar="FILE", help="float .tflite with a card")
    result.add_argument("--model-int8", type=Path, metavar="FILE", help="int8 .tflite of the same size")
    result.add_argument("--coco", type=Path, required=True, metavar="DIR", help="folder with val2017")
    result.add_argument("--split", default="val2017", help="folder of pictures (default %(default)s)")
    result.add_argument("--turns", type=int, default=15, help="timings per picture (default %(default)s)")
    result.add_argument("--json", action="store_true", help="print figures as JSON")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Check, measure, print."""
    args = parser().parse_args(argv)
    cv2.setNumThreads(1)
    pictures = sorted((args.coco / args.split).glob("*.jpg"))
    if not pictures:
        sys.exit(f"{args.coco / args.split}: no .jpg there; give COCO's folder with --coco")
    files = {"float": args.model} | ({"int8": args.model_int8} if args.model_int8 else {})
    models = {kind: Model(path, threads=1) for kind, path in files.items()}
    card = models["float"].card
    frames = {kind: compute_maps(model, pictures) for kind, model in models.items()}
    count_people = decoder(card, PafOptions())
    crowds = [len(count_people(maps)) >= CROWD for maps in frames["float"]]  # type: ignore[arg-type]
    report = {
        "size": card.input.size,
        "pictures": len(pictures),
        "crowds": sum(crowds),
        "equal_to_numpy": {kind: check(card, maps) for kind, maps in frames.items()},
        "subjects": summarize(measure(card, frames, args.turns), crowds),
    }
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        show(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
