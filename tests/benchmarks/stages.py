"""Where the time of a frame goes with a pair, for one, two and five people: the processor's time of one thread.

    python -m tests.benchmarks.stages --model FINDER.tflite --refine CROPS.tflite [--turns 40]

A frame goes through the runtime's own stages, from a 640x480 picture to tracked people. The finder looks and decodes as
always, then its answer is replaced by as many boxes side by side as there shall be people, and every keypoint counts as
found. Medians over turns; in each turn every number of people has its frames, so that what disturbs one disturbs all.
`no look` are frames on which people are expected where they last were.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rpi_runtime.cascade.cascade import Cascade
from rpi_runtime.cascade.refine import CropRefiner
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.errors import UsageError
from rpi_runtime.estimate import Estimator
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Pose

PEOPLE = (1, 2, 5)
SIZE = (480, 640)
INTERVAL_NS = 33_000_000
WARM_UP = 2
OWN = ("finder: input", "finder: network", "finder: decode", "crops: input", "crops: network", "crops: decode",
       "cascade", "tracking", "rest")  # fmt: skip
Spans = dict[str, int]


class Meter:
    """Adds up the thread's time of watched calls; a call within another counts for itself alone."""

    def __init__(self) -> None:
        self.spans: Spans = defaultdict(int)
        self._within: list[int] = []

    def watch(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, watched."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._within.append(0)
            begin = time.thread_time_ns()
            try:
                return call(*args, **kwargs)
            finally:
                spent = time.thread_time_ns() - begin
                self.spans[name] += spent - self._within.pop()
                if self._within:
                    self._within[-1] += spent

        return watched


def boxes(people: int) -> tuple[Pose, ...]:
    """What a detector says of people side by side on a picture of 640x480."""
    nothing = np.zeros((0, 3), np.float32)
    step = SIZE[1] / people
    return tuple(
        Pose(keypoints=nothing, score=0.9, box=(step * n + 10, 60.0, min(step - 20, 140.0), 330.0))
        for n in range(people)
    )


class Subject:
    """The stages of a run with a pair, watched, for a number of people."""

    def __init__(self, args: argparse.Namespace, people: int) -> None:
        self.meter, self._now_ns = Meter(), 0
        watch = self.meter.watch
        finder, crops = Model(args.model, threads=1), Model(args.refine, threads=1)
        if finder.card.skeleton.keypoints or not crops.card.sees_crops:
            raise UsageError("expected a detector as --model and a network of crops as --refine")
        refiner = CropRefiner(crops, "exact")
        config = RefineConfig(model=str(args.refine), budget_ms=0, look_every=2)
        cascade = Cascade(refiner, crops.card, finder.card.skeleton, config)
        self.estimate = Estimator([finder], cascade=cascade)
        # pylint: disable=protected-access
        model, prepare, decode = self.estimate._stages[0]
        found = boxes(people)
        read = watch("finder: decode", decode.read)
        decode.read = lambda *a, **k: (read(*a, **k), found)[1]  # type: ignore[method-assign]
        self.estimate._stages[0] = (model, watch("finder: input", prepare), decode)  # type: ignore[assignment]
        finder.invoke = watch("finder: network", finder.invoke)  # type: ignore[method-assign]
        crops.invoke = watch("crops: network", crops.invoke)  # type: ignore[method-assign]
        refiner._write = watch("crops: input", refiner._write)  # type: ignore[assignment]
        refiner._decode.read = watch("crops: decode", refiner._decode.read)  # type: ignore[method-assign]
        self.estimate._cascade = watch_cascade(cascade, watch)
        assert self.estimate._tracker is not None
        self.estimate._tracker.update = watch("tracking", self.estimate._tracker.update)  # type: ignore[method-assign]

    def frame(self, picture: np.ndarray) -> tuple[bool, Spans]:
        """Whether a frame was looked at, and nanoseconds of each stage."""
        self.meter.spans.clear()
        self._now_ns += INTERVAL_NS
        estimate = self.meter.watch("rest", self.estimate)(picture, self._now_ns)
        return bool(estimate.looked), dict(self.meter.spans)


def watch_cascade(cascade: Cascade, watch: Callable[..., Any]) -> Any:
    """A cascade whose call is watched; what it calls has names of its own."""

    class Watched:
        """As the estimator calls a cascade."""

        __call__ = staticmethod(watch("cascade", cascade))
        begin, wants_look, forget = cascade.begin, cascade.wants_look, cascade.forget

    return Watched()


def measure(args: argparse.Namespace) -> dict[tuple[int, bool], dict[str, float]]:
    """Median milliseconds of each stage, by the number of people and whether there was a look."""
    picture = np.random.default_rng(0).integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8, 3)).astype(np.uint8)
    picture = np.kron(picture, np.ones((8, 8, 1), np.uint8))
    subjects = {n: Subject(args, n) for n in PEOPLE}
    spent: dict[tuple[int, bool], list[Spans]] = defaultdict(list)
    for turn in range(-WARM_UP, args.turns):
        for people, subject in subjects.items():
            for _ in range(2):
                looked, spans = subject.frame(picture)
                if turn >= 0:
                    spent[people, looked].append(spans)
    return {
        key: {name: float(np.median([s.get(name, 0) for s in all_])) / 1e6 for name in OWN}
        for key, all_ in spent.items()
    }


def show(medians: dict[tuple[int, bool], dict[str, float]]) -> None:
    """Print the table."""
    keys = [(n, looked) for looked in (True, False) for n in PEOPLE if (n, looked) in medians]
    heads = [f"{n}, {'look' if looked else 'no look'}" for n, looked in keys]
    print(f"{'ms, people':18}" + "".join(f"{head:>18}" for head in heads))
    totals = {key: sum(medians[key].values()) for key in keys}
    for name in OWN:
        cells = [f"{medians[k][name]:10.2f} ({100 * medians[k][name] / totals[k]:3.0f} %)" for k in keys]
        print(f"{name:18}" + "".join(cells))
    print(f"{'all':18}" + "".join(f"{totals[k]:10.2f}{'':8}" for k in keys))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a detector that finds people")
    parser.add_argument("--refine", type=Path, required=True, help="a network of crops")
    parser.add_argument("--turns", type=int, default=40, help="timings of each (default %(default)s)")
    show(measure(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
