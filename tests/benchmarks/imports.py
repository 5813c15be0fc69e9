"""Import time and resident memory of the runtime beside NumPy's own.

    python -m tests.benchmarks.imports [--model M.tflite] [--rounds 15]

Each row is a fresh process that does what the rows above it (from `numpy` on) do, and its own. The rounds are
interleaved and the medians printed. Time counts from the start of the first import to the end of the row's
work: `ms` by the clock on the wall, `cpu` of the processor, which other programs disturb less; `+ cpu` is what
the row adds. Memory is VmRSS at that point, and `peak` VmHWM.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

STEPS = {
    "python": "",
    "numpy": "import numpy",
    "rpi_runtime": "import rpi_runtime",
    "estimate": "import rpi_runtime.estimate",
    "config": "import rpi_runtime.capture.feed, rpi_runtime.settings.run_config",
    "interpreter": "from rpi_runtime.model.interpreter import find_module; find_module()",
}
MODEL_STEPS = {
    "model": "from rpi_runtime.model.interpreter import Model; model = Model(MODEL, threads=1)",
    "first frame": "from rpi_runtime.estimate import Estimator; estimate = Estimator([model]); "
    "estimate(numpy.zeros((480, 640, 3), numpy.uint8), 0)",
}
MEASURE = """
import time
start, cpu = time.perf_counter(), time.process_time()
MODEL = {model!r}
{work}
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
import json, re, sys
status = open("/proc/self/status").read()
rss, peak = (int(re.search(key + r":\\s*(\\d+)", status)[1]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM"))
heavy = sorted({{"cv2", "tensorflow", "torch", "PIL", "scipy", "onnx"}} & set(sys.modules))
print(json.dumps([seconds * 1e3, cpu * 1e3, rss, peak, heavy]))
"""


class Row(NamedTuple):
    """Milliseconds of wall clock and of processor, MB, MB at most, heavy packages that came along."""

    ms: float
    cpu_ms: float
    rss: float
    peak: float
    heavy: list[str]


def measure(work: str, model: str) -> Row:
    """Run one row's work in a fresh process."""
    code = MEASURE.format(work=work, model=model)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return Row(*json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="also load this one, and run it on one 640x480 picture")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    steps = STEPS | (MODEL_STEPS if args.model else {})
    names = list(steps)
    rows = {name: "\n".join(list(steps.values())[: i + 1]) for i, name in enumerate(names)}
    results: dict[str, list[Row]] = {name: [] for name in names}
    for round_ in range(args.rounds + 1):  # the first one fills the file cache
        for name, work in rows.items():
            result = measure(work, str(args.model or ""))
            if round_ > 0:
                results[name].append(result)
    print(f"{'':12} {'ms':>7} {'cpu':>7} {'+ cpu':>7} {'MB':>7} {'peak MB':>8}   heavy packages")
    before = 0.0
    for name, taken in results.items():
        ms, cpu, rss, peak = (
            statistics.median(column) for column in zip(*(row[:4] for row in taken), strict=True)
        )
        heavy = ", ".join(taken[0].heavy) or "-"
        print(f"{name:12} {ms:7.1f} {cpu:7.1f} {cpu - before:7.1f} {rss:7.1f} {peak:8.1f}   {heavy}")
        before = cpu


if __name__ == "__main__":
    main()
