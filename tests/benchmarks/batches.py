"""Crops of several people: one after the other, side by side in interpreters of their own, or as one batch.

    python -m tests.benchmarks.batches --refine CROPS.tflite [--people 2 5] [--threads 1 2] [--turns 60]

A batch is the same file with a batch of that many in every tensor, shape and slice, since the files that come from an
export have a batch of one, of which XNNPACK takes no other. Each way runs in turn, so that what disturbs one disturbs
all. `cpu` is the processor's time of a crop, of all threads together, median; `wall` is the least time by the clock of
a crop, which on a busy machine says little of several threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from quant.tflite.read import read_model
from quant.tflite.records import Model, Tensor
from quant.tflite.write import write_model
from rpi_runtime.model.interpreter import find_module

SHAPES = {"RESHAPE": 1, "SLICE": 2}  # operators whose input of this number has the batch in its first value


def batch_of(model: Model, count: int) -> bytes:
    """Return the file of the same network for `count` crops at once."""
    shapes: dict[int, Tensor] = {}
    for op in model.operators:
        if op.name in SHAPES and (shape := op.inputs[SHAPES[op.name]]) is not None:
            shapes[id(shape)] = shape
        if "new_shape" in op.options:
            op.options["new_shape"] = (count, *op.options["new_shape"][1:])  # type: ignore[index,misc]
    computed = [tensor for op in model.operators for tensor in op.outputs]
    for tensor in (*model.inputs.values(), *computed):
        tensor.shape = (count, *tensor.shape[1:])
    for shape in shapes.values():
        assert shape.data is not None
        shape.data = shape.data.copy()
        shape.data[0] = count
    return write_model(model)


def opened(content: bytes, threads: int) -> Any:
    """An interpreter of its own, allocated."""
    interpreter = find_module()[1].Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def ways(path: Path, people: int, threads: int) -> dict[str, Callable[[], object]]:
    """How to run that many crops on that many threads."""
    content = path.read_bytes()
    one, batch = opened(content, threads), opened(batch_of(read_model(content), people), threads)

    def in_turn(interpreter: Any, count: int) -> None:
        for _ in range(count):
            interpreter.invoke()

    found: dict[str, Callable[[], object]] = {
        "one after the other": lambda: in_turn(one, people),
        "a batch": batch.invoke,
    }
    if threads > 1:
        pool = ThreadPoolExecutor(threads)
        several = [opened(content, 1) for _ in range(min(threads, people))]
        counts = [len(part) for part in np.array_split(np.arange(people), len(several))]
        found["side by side"] = lambda: list(pool.map(in_turn, several, counts))
    return found


def measure(args: argparse.Namespace) -> None:
    """Print a row for each way."""
    subjects = {
        (people, threads, name): call
        for threads in args.threads
        for people in args.people
        for name, call in ways(args.refine, people, threads).items()
    }
    cpu: dict[tuple[int, int, str], list[float]] = {key: [] for key in subjects}
    wall: dict[tuple[int, int, str], list[float]] = {key: [] for key in subjects}
    for turn in range(-2, args.turns):
        for key, call in subjects.items():
            begin, clock = time.process_time(), time.perf_counter()
            call()
            if turn >= 0:
                wall[key].append(1e3 * (time.perf_counter() - clock) / key[0])
                cpu[key].append(1e3 * (time.process_time() - begin) / key[0])
    print(f"{'ms a crop':42}{'cpu':>8}{'wall':>8}{'cpu by the first':>18}")
    for people, threads, name in subjects:
        key = people, threads, name
        ratio = np.median(cpu[key]) / np.median(cpu[people, threads, "one after the other"])
        head = f"{people} people, {threads} thread{'s' * (threads > 1)}, {name}"
        print(f"{head:42}{np.median(cpu[key]):8.2f}{min(wall[key]):8.2f}{ratio:18.2f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--refine", type=Path, required=True, help="a network of crops, INT8 or float")
    parser.add_argument("--people", type=int, nargs="+", default=[2, 5])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=60, help="timings of each (default %(default)s)")
    measure(parser.parse_args(argv))


if __name__ == "__main__":
    main()
