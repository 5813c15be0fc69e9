"""Time of preprocessing beside plain OpenCV calls, as ratios of one interleaved run.

    python -m tests.benchmarks.preprocess [--frame 640x480] [--network 160x120] [--rounds 300]

`linear` is cv2.resize INTER_LINEAR alone, which aliases; `area` is INTER_AREA alone, which does not. Both
only resize; the pipose rows also write the network's input. A ratio is the median over rounds of the row's
time by that of `linear` in the same round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np

from rpi_runtime.model.card import InputSpec
from rpi_runtime.preprocess.letterbox import Preprocessor


def variants(frame: np.ndarray, width: int, height: int) -> dict[str, Callable[[], object]]:
    """Name and call of each row of the table."""
    small = np.empty((height, width, 3), np.uint8)
    rows: dict[str, Callable[[], object]] = {
        "linear": lambda: cv2.resize(frame, (width, height), dst=small, interpolation=cv2.INTER_LINEAR),
        "area": lambda: cv2.resize(frame, (width, height), dst=small, interpolation=cv2.INTER_AREA),
    }
    for opencv in (True, False):
        for channels in ("bgr", "rgb"):
            for dtype in (np.int8, np.float32):
                spec = InputSpec(width=width, height=height, channels=channels, fit="stretch")
                call, out = Preprocessor(spec, opencv=opencv), np.empty((1, height, width, 3), dtype)
                name = f"pipose {'opencv' if opencv else 'numpy'} {channels} {dtype.__name__}"
                rows[name] = lambda call=call, out=out: call(frame, out)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frame", default="640x480")
    parser.add_argument("--network", default="160x120")
    parser.add_argument("--rounds", type=int, default=300)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    width, height = map(int, args.frame.split("x"))
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    rows = variants(frame, *map(int, args.network.split("x")))
    times = {name: np.empty(args.rounds) for name in rows}
    for round_ in range(-5, args.rounds):
        for name, call in rows.items():
            start = time.perf_counter()
            call()
            if round_ >= 0:
                times[name][round_] = time.perf_counter() - start
    print(f"{'':28} {'median us':>9} {'/ linear':>8}")
    for name, taken in times.items():
        ratio = np.median(taken / times["linear"])
        print(f"{name:28} {np.median(taken) * 1e6:9.0f} {ratio:8.2f}")


if __name__ == "__main__":
    main()
