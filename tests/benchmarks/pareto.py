"""The map of networks and pairs: AP over time, work and memory, and which of them nobody beats.

    python -m tests.benchmarks.pareto FILE... [FINDER+CROPS...] --coco ../shared/data/coco [--markdown T] [--svg P]

Each argument is a network by itself, or a finder and a network of crops joined by a plus. AP is COCO's on val2017, by
the runtime's own code, all keypoints of a crop given (`--decode fast` for what the runtime reports). A network of crops
by itself is not on the map: it finds nobody.

Milliseconds are the processor's time of one thread for a frame with one, two and five people, the whole of it: from a
640x480 picture to poses. Every subject sees the same pictures, interleaved in one run; a pair looks at as many crops as
there are people, so that the figures say what a person costs. `by the first` compares the time for two people with that
of the first subject. Memory is how much a process of its own grew by loading and running the subject. `G` counts
multiply-adds of a frame with two people. Pi 4 and Pi 5 are predictions (`quant.speed`) of the networks' time alone for
two people with four threads; nothing of that was measured on a board. A subject is on the frontier when none with as
much AP is faster, for two people.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from quant.accuracy.evaluation import Evaluation, evaluate, refuse_calibrated
from quant.accuracy.predict import Procedure, predictor
from quant.speed.boards import total
from quant.speed.predict import predict
from quant.speed.work import work_of
from quant.tflite.read import read_model
from rpi_runtime.cascade.refine import Refiner, refiner_for
from rpi_runtime.errors import UsageError
from rpi_runtime.estimate import Estimator
from rpi_runtime.evaluate.coco import read_split
from rpi_runtime.files import write_text
from rpi_runtime.model.interpreter import Model

PEOPLE = (1, 2, 5)
SIZE = (480, 640)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One subject on the map.

    Attributes
    ----------
    name : str
    ap : float
    gmacs : float
        Of a frame with two people.
    ms : tuple of float
        For 1, 2 and 5 people.
    ratio : float
        Time for two people by that of the first subject.
    memory_mb : float
    predicted_ms : tuple of float
        On a Pi 4 and a Pi 5, two people, four threads.
    frontier : bool
    """

    name: str
    ap: float
    gmacs: float
    ms: tuple[float, ...]
    ratio: float
    memory_mb: float
    predicted_ms: tuple[float, ...]
    frontier: bool = False


class Subject:
    """A network, or a finder and a network of crops, on one thread."""

    def __init__(self, text: str) -> None:
        finder, _, crops = text.partition("+")
        self.text, self.files = text, [Path(f) for f in (finder, crops) if f]
        self.name = " + ".join(f.stem for f in self.files)
        self._estimator = Estimator([Model(finder, threads=1)], track=False)
        self._refiner: Refiner | None = refiner_for(Model(crops, threads=1)) if crops else None
        if self._refiner is None and not self._estimator.skeleton.keypoints:
            raise UsageError(f"{text}: a detector finds no poses; give FINDER+CROPS")

    def frame(self, picture: np.ndarray, people: int) -> None:
        """One frame: the whole picture, and as many crops as people."""
        self._estimator(picture, 0)
        if self._refiner is not None:
            for n in range(people):
                self._refiner(picture, (60.0 + 80 * n, 60.0, 140.0, 330.0))


def time_all(subjects: Sequence[Subject], turns: int) -> list[tuple[float, ...]]:
    """Median milliseconds of each subject for 1, 2 and 5 people, in turns."""
    rng = np.random.default_rng(0)
    pictures = [
        np.kron(rng.integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        for _ in range(4)
    ]
    spent: list[dict[int, list[float]]] = [{n: [] for n in PEOPLE} for _ in subjects]
    for turn in range(-1, turns):
        for subject, times in zip(subjects, spent, strict=True):
            for people in PEOPLE:
                begin = time.process_time()
                subject.frame(pictures[turn % len(pictures)], people)
                if turn >= 0:
                    times[people].append(1e3 * (time.process_time() - begin))
    return [tuple(float(np.median(times[n])) for n in PEOPLE) for times in spent]


def measure_ap(subject: Subject, coco: Path, decode: str) -> float:
    """AP on val2017."""
    split = read_split(coco, "val2017")
    for file in subject.files:
        refuse_calibrated(file, split)
    model = Model(subject.files[0], threads=1)
    refine = str(subject.files[1]) if len(subject.files) > 1 else ""
    mode = decode if refine or model.card.decoder.kind != "paf" else "fast"
    facts = Evaluation(file=subject.name, model=model.card.name, recipe="", size=model.card.input.size)
    procedure = Procedure(decode=mode, refine=refine)
    return evaluate(predictor(model, procedure), split, facts).evaluation.ap


def macs(subject: Subject, people: int) -> float:
    """Multiply-adds of a frame in G."""
    counts = [float(total(work_of(read_model(file.read_bytes())))[:2].sum()) for file in subject.files]
    return summed(counts, people) / 1e9


def predicted(subject: Subject, people: int) -> tuple[float, ...]:
    """Milliseconds of the networks of a frame, on each board."""
    return tuple(
        summed([predict(file, board).ms for file in subject.files], people) for board in ("pi4", "pi5")
    )


def summed(each: Sequence[float], people: int) -> float:
    """A finder, and crops as many as people."""
    return each[0] + sum(each[1:]) * people


def memory_of(text: str) -> float:
    """How much a process of its own grew by loading and running a subject, MB."""
    command = [sys.executable, "-m", "tests.benchmarks.pareto", "--memory", text]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(run.stdout.split()[-1])


def print_memory(text: str) -> None:
    """Print it; in the process of its own. (The peak that the kernel keeps is that of the process that started it.)"""
    before = resident_mb()
    subject = Subject(text)
    subject.frame(np.full((*SIZE, 3), 128, np.uint8), 2)
    print(resident_mb() - before)


def resident_mb() -> float:
    """Memory of this process that is in use now; Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def mark_frontier(points: Sequence[Point]) -> list[Point]:
    """Say of each point whether none with as much AP is faster for two people."""
    return [replace(p, frontier=not any(q.ap >= p.ap and q.ms[1] < p.ms[1] for q in points)) for p in points]


def markdown(points: Sequence[Point]) -> str:
    """The table, surest first."""
    lines = [
        "| network or pair | AP | G, 2 people | ms, 1 person | 2 | 5 | by the first | MB | Pi 4 ms, predicted | Pi 5 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for p in sorted(points, key=lambda p: -p.ap):
        name = f"**{p.name}**" if p.frontier else p.name
        times = " | ".join(f"{ms:.1f}" for ms in p.ms)
        boards = " | ".join(f"{ms:.0f}" for ms in p.predicted_ms)
        lines.append(
            f"| {name} | {p.ap:.1f} | {p.gmacs:.2f} | {times} | {p.ratio:.2f} | {p.memory_mb:.0f} | {boards} |"
        )
    return "\n".join(lines) + "\n"


def svg(points: Sequence[Point]) -> str:
    """AP over the time for two people, the frontier drawn."""
    width, height, left, bottom = 760, 420, 56, 44
    most = max(p.ms[1] for p in points) * 1.25
    high = max(p.ap for p in points) * 1.1

    def place(p: Point) -> tuple[float, float]:
        return left + (width - left - 20) * p.ms[1] / most, height - bottom - (
            height - bottom - 20
        ) * p.ap / high

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<path d="M{left},20V{height - bottom}H{width - 20}" fill="none" stroke="#444"/>',
        f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">ms a frame with two people, one thread</text>',
        f'<text x="16" y="{height / 2}" transform="rotate(-90 16 {height / 2})" text-anchor="middle">'
        "AP, val2017</text>",
    ]
    for tick in range(0, int(high), 10):
        y = height - bottom - (height - bottom - 20) * tick / high
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{tick}</text>')
        parts.append(f'<path d="M{left},{y}H{width - 20}" stroke="#eee"/>')
    step = max(10 ** int(np.log10(most)) // 2, 1)
    for tick in range(0, int(most), step):
        x = left + (width - left - 20) * tick / most
        parts.append(f'<text x="{x}" y="{height - bottom + 18}" text-anchor="middle">{tick}</text>')
    best = sorted((p for p in points if p.frontier), key=lambda p: p.ms[1])
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in map(place, best))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="2"/>')
    for p in points:
        x, y = place(p)
        colour = "#0072b2" if p.frontier else "#999"
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="5" fill="{colour}"/>')
        side, shift = ("end", -9) if x > width * 0.6 else ("start", 9)
        parts.append(f'<text x="{x + shift:.0f}" y="{y + 4:.0f}" text-anchor="{side}">{p.name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subjects", nargs="*", metavar="FILE|FINDER+CROPS")
    parser.add_argument("--coco", type=Path, metavar="DIR", help="annotations/ and images in COCO's layout")
    parser.add_argument("--decode", choices=("exact", "fast"), default="exact")
    parser.add_argument("--turns", type=int, default=15, help="timings of each (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the points there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the picture there")
    parser.add_argument("--memory", metavar="SUBJECT", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.memory:
        print_memory(args.memory)
        return 0
    if not args.subjects or args.coco is None:
        parser.error("expected subjects and --coco")
    subjects = [Subject(text) for text in args.subjects]
    times = time_all(subjects, args.turns)
    points = []
    for subject, ms in zip(subjects, times, strict=True):
        ap = measure_ap(subject, args.coco, args.decode)
        point = Point(
            name=subject.name, ap=ap, gmacs=macs(subject, 2), ms=ms, ratio=ms[1] / times[0][1],
            memory_mb=memory_of(subject.text),
            predicted_ms=predicted(subject, 2),
        )  # fmt: skip
        points.append(point)
        print(f"{point.name}: AP {ap:.2f}", file=sys.stderr, flush=True)
    points = mark_frontier(points)
    print(markdown(points), end="")
    for path, text in ((args.markdown, markdown(points)), (args.svg, svg(points))):
        if path is not None:
            write_text(path, text)
    if args.json is not None:
        write_text(args.json, json.dumps([asdict(p) for p in points], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
