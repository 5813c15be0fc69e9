"""The map of networks and pairs: AP over time, work and memory, and which of them nobody beats.

    python -m tests.benchmarks.pareto FILE... [FINDER+CROPS...] --coco ../shared/data/coco [--markdown T] [--svg P]
    python -m tests.benchmarks.pareto FINDER+CROPS --networks D --keep K --coco ../shared/data/coco

Each argument is a network by itself, or a finder and a network of crops joined by a plus. --networks adds the INT8
files of a folder that `tests.benchmarks.networks --output D` made, those that its gate refused too: each network of
whole pictures, and every pair of a detector and a network of crops, those of the arguments among them. AP is COCO's on
val2017, by the runtime's own code, all keypoints of a crop given (`--decode fast` for what the runtime reports). A
network of crops by itself is not on the map: it finds nobody.

Milliseconds are the processor's time of one thread for a frame with one, two and five people, the whole of it: from a
640x480 picture to poses. Every subject sees the same pictures, interleaved in one run; a pair looks at as many crops as
there are people, so that the figures say what a person costs. `by the first` compares the time for two people with that
of the first subject. Memory is how much a process of its own grew by loading and running the subject. `G` counts
multiply-adds of a frame with two people. Pi 4 and Pi 5 are predictions (`quant.speed`) of the networks' time alone for
two people with four threads; nothing of that was measured on a board. A subject is on the frontier when none with as
much AP is faster, for two people. What does not depend on the run (AP, work, memory, predictions) is kept in --keep by
the files' contents, so that a run can be broken off and taken up; times are always those of one run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from quant.accuracy.evaluation import Evaluation, evaluate, refuse_calibrated
from quant.accuracy.predict import Procedure, predictor
from quant.speed.boards import total
from quant.speed.prediction import predict
from quant.speed.work import work_of
from quant.tflite.read import read_model
from rpi_runtime.cascade.refine import Refiner, refiner_for
from rpi_runtime.errors import UsageError
from rpi_runtime.estimate import Estimator
from rpi_runtime.evaluate.coco import read_split
from rpi_runtime.files import write_text
from rpi_runtime.model.card import ModelCard, read_card
from rpi_runtime.model.interpreter import Model
from tests.benchmarks.pareto_map import BOARDS, Point, choices, mark_frontier, markdown, svg

PEOPLE = (1, 2, 5)
SIZE = (480, 640)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What does not depend on the run; see `Point`."""

    ap: float
    gmacs: float
    memory_mb: float
    predicted_ms: tuple[float, ...]
    look_ms: tuple[float, ...]


class Subject:
    """A network, or a finder and a network of crops, on one thread."""

    def __init__(self, text: str) -> None:
        finder, _, crops = text.partition("+")
        self.text, self.files = text, [Path(f) for f in (finder, crops) if f]
        self.cards = [read_card(f) for f in self.files]
        self.name = " + ".join(map(short_name, self.cards))
        self._estimator = Estimator([Model(finder, threads=1)], track=False)
        self._refiner: Refiner | None = refiner_for(Model(crops, threads=1)) if crops else None
        if self._refiner is None and not self._estimator.skeleton.keypoints:
            raise UsageError(f"{text}: a detector finds no poses; give FINDER+CROPS")

    def key(self, decode: str) -> str:
        """A name for a file by the contents of the networks and how crops are decoded."""
        parts = [hashlib.sha256(f.read_bytes()).hexdigest()[:16] for f in self.files]
        return "-".join([*parts, decode])

    def frame(self, picture: np.ndarray, people: int) -> None:
        """One frame: the whole picture, and as many crops as people."""
        self._estimator(picture, 0)
        if self._refiner is not None:
            for n in range(people):
                self._refiner(picture, (60.0 + 80 * n, 60.0, 140.0, 330.0))


def short_name(card: ModelCard) -> str:
    """A network's name with its size, once."""
    return card.name if card.name[-1:].isdigit() else f"{card.name} {card.input.size}"


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
    return tuple(summed([predict(file, board).ms for file in subject.files], people) for board in BOARDS)


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


def figures(subject: Subject, coco: Path, decode: str, keep: Path | None) -> Figures:
    """Measure what does not depend on the run, or read it from `keep`."""
    kept = keep / f"{subject.key(decode)}.json" if keep else None
    if kept is not None and kept.exists():
        return Figures(
            **{n: tuple(v) if isinstance(v, list) else v for n, v in json.loads(kept.read_text()).items()}
        )
    people = 2
    alone = len(subject.files) == 1
    found = Figures(
        ap=measure_ap(subject, coco, decode),
        gmacs=macs(subject, people),
        memory_mb=memory_of(subject.text),
        predicted_ms=predicted(subject, people),
        look_ms=(0.0,) * len(BOARDS) if alone else predicted(subject, 0),
    )
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps(asdict(found), indent=1) + "\n")
    return found


def with_networks(texts: Sequence[str], folder: Path | None) -> list[str]:
    """Return the subjects of the arguments, and those that a folder of exported networks adds."""
    files = sorted(f for f in folder.glob("*/int8/*.tflite*") if f.is_file()) if folder else []
    cards = {str(f): read_card(f) for f in files}
    pairs = [t.split("+") for t in texts if "+" in t]
    crops = [pair[1] for pair in pairs] + [f for f, card in cards.items() if card.sees_crops]
    finders = [pair[0] for pair in pairs] + [f for f, card in cards.items() if not card.skeleton.keypoints]
    alone = [f for f, card in cards.items() if card.skeleton.keypoints and not card.sees_crops]
    added = [f"{finder}+{crop}" for finder in finders for crop in crops] if folder else []
    return list(dict.fromkeys([*texts, *alone, *added]))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subjects", nargs="*", metavar="FILE|FINDER+CROPS")
    parser.add_argument("--coco", type=Path, metavar="DIR", help="annotations/ and images in COCO's layout")
    parser.add_argument("--networks", type=Path, metavar="DIR", help="what tests.benchmarks.networks made")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what does not depend on the run there")
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
    texts = with_networks(args.subjects, args.networks)
    if not texts or args.coco is None:
        parser.error("expected subjects and --coco")
    subjects = [Subject(text) for text in texts]
    known = []
    for subject in subjects:
        known.append(figures(subject, args.coco, args.decode, args.keep))
        print(f"{subject.name}: AP {known[-1].ap:.2f}", file=sys.stderr, flush=True)
    times = time_all(subjects, args.turns)
    points = mark_frontier(
        [
            Point(name=s.name, ms=ms, ratio=ms[1] / times[0][1], **asdict(k))
            for s, ms, k in zip(subjects, times, known, strict=True)
        ]
    )
    print(markdown(points), choices(points), sep="\n", end="")
    for path, text in ((args.markdown, markdown(points) + "\n" + choices(points)), (args.svg, svg(points))):
        if path is not None:
            write_text(path, text)
    if args.json is not None:
        write_text(args.json, json.dumps([asdict(p) for p in points], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
