"""Picture to people: pipose beside the original demo's way, interleaved in one run.

    python -m tests.benchmarks.endtoend --weights ../shared/data/weights/human-pose-estimation-0001 \\
        --images ../shared/data/coco/val2017 --model M-160x120-int8.tflite [--model M-160x120-float32.tflite]

Every picture is scaled to 640x480 beforehand and goes through all ways in turn, at 1 and at 2 threads:

demo          PyTorch eager, gradients recorded, NumPy decode of maps enlarged four times (see demo.py)
demo no_grad  the same under torch.no_grad()
MODEL.tflite  preprocessing, interpreter, compiled decoder: from the picture to poses, as in the demo
... tracked   and the poses tracked and smoothed, which `run` does and the yardstick does not

The time of a picture is the shortest of some rounds; the ways are interleaved within each round. In its turn each way
gets the picture `--burst` times in a row, as a stream of frames goes through one way and not through all: with a burst
of 1 every way begins with the caches full of the other ways' weights. `ms` is the
median over pictures, `demo /` the median of the demo's time by the row's time for the same picture.
`before` and `decode` split a way up: what comes before decoding, and decoding (for pipose with tracking).
`cpu ms` and its ratio count the processor's time of all threads, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from export.weights.find import find_weights
from export.zoo.lw_openpose.load import load_lw_openpose
from rpi_runtime.estimate import Estimator
from rpi_runtime.model.interpreter import Model
from tests.benchmarks.demo import Demo

Way = Callable[[np.ndarray], tuple[float, float, int]]  # seconds before decoding, of decoding, people
PAUSE_S = 0.004  # until the thread pools of the last way have gone to sleep


def demo_way(demo: Demo) -> Way:
    """Time the demo's two halves."""

    def way(image: np.ndarray) -> tuple[float, float, int]:
        start = time.perf_counter()
        maps = demo.infer(image)
        middle = time.perf_counter()
        people = demo.decode(*maps)
        return middle - start, time.perf_counter() - middle, len(people)

    return way


def pipose_way(model: Model, *, track: bool) -> Way:
    """Time the runtime as a whole; its own marks give the halves."""
    estimator = Estimator([model], track=track)
    frame = iter(range(1 << 30))

    def way(image: np.ndarray) -> tuple[float, float, int]:
        start = time.perf_counter()
        estimate = estimator(image, next(frame) * 33_000_000)
        total = time.perf_counter() - start
        after = (estimate.latency_ns["decode"] + estimate.latency_ns["track"]) / 1e9
        return total - after, after, len(estimate.tracks)

    return way


def read_pictures(folder: Path, count: int) -> list[np.ndarray]:
    """The first pictures of a folder at 640x480."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))[:count]
    return [cv2.resize(cv2.imread(str(p)), (640, 480), interpolation=cv2.INTER_AREA) for p in files]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True, help="as for export.tflite --weights")
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures with people")
    parser.add_argument(
        "--model", type=Path, action="append", required=True, help="may be given several times"
    )
    parser.add_argument("--count", type=int, default=40, help="pictures (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="with one for warm-up (default: %(default)s)")
    parser.add_argument(
        "--burst", type=int, default=3, help="runs in a row in each turn (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    pictures = read_pictures(args.images, args.count)
    net, _, _ = load_lw_openpose(find_weights(args.weights, {}))
    net.eval()
    ways: dict[tuple[int, str], Way] = {}
    for threads in args.threads:
        card = Model(args.model[0], threads=1).card
        ways[threads, "demo"] = demo_way(Demo(net, card, grad=True))
        ways[threads, "demo no_grad"] = demo_way(Demo(net, card, grad=False))
        for path in args.model:
            for track in (False, True):
                name = path.stem + " tracked" * track
                ways[threads, name] = pipose_way(Model(path, threads=threads), track=track)
    print_table(measure(ways, pictures, args.rounds, args.burst))


def measure(
    ways: dict[tuple[int, str], Way], pictures: list[np.ndarray], rounds: int, burst: int
) -> dict[tuple[int, str], np.ndarray]:
    """Return for each way the least of each picture: (pictures, 4) of before, decode, people, processor time."""
    taken = {key: np.full((len(pictures), 4), np.inf) for key in ways}
    for round_ in range(rounds):
        for n, picture in enumerate(pictures):
            for (threads, name), way in ways.items():
                torch.set_num_threads(threads)
                cv2.setNumThreads(threads)
                time.sleep(PAUSE_S)
                row = taken[threads, name][n]
                for _ in range(burst):
                    begin = time.process_time()
                    result = way(picture)
                    processor = time.process_time() - begin
                    if round_ > 0:  # the first round is warm-up
                        row[3] = min(row[3], processor)
                        if sum(result[:2]) < row[:2].sum():
                            row[:3] = result
    return taken


def print_table(taken: dict[tuple[int, str], np.ndarray]) -> None:
    """Medians in ms and ratios to the demo, a row for each way and number of threads."""
    columns = ("ms", "before", "decode", "people", "demo /", "cpu ms", "demo /")
    print(f"{'threads':7} {'way':38} " + " ".join(f"{name:>7}" for name in columns))
    for (threads, name), rows in taken.items():
        total = rows[:, :2].sum(axis=1)
        ratio = np.median(taken[threads, "demo"][:, :2].sum(axis=1) / total)
        effort = np.median(taken[threads, "demo"][:, 3] / rows[:, 3])
        before, decode = np.median(rows[:, :2] * 1e3, axis=0)
        print(
            f"{threads:7} {name:38} {np.median(total) * 1e3:7.2f} {before:7.2f} {decode:7.2f} "
            f"{rows[:, 2].mean():7.2f} {ratio:7.2f} {np.median(rows[:, 3]) * 1e3:7.2f} {effort:7.2f}"
        )


if __name__ == "__main__":
    main()
