"""The cost of some operations of a file: a file of them alone and the whole file are timed alternately.

The interpreter has no profiler in Python. The operations in question are cut out into a file of their own, whose inputs
are the tensors that they read, and run by the same interpreter, so that the same kernels (XNNPACK or a fallback) run
them. The result is an estimate: it lacks the cost of borders between partitions, and operations that XNNPACK would fuse
with a neighbour, such as padding, count in full.

One thread computes, and its processor time is measured instead of wall-clock time: on a busy machine a whole network is
interrupted far more often than a few operations, which would then look cheap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from quant.flatbuffer import TFLiteFile
from quant.unused import drop_unused
from rpi_runtime.model.interpreter import find_module

REPEATS = 15


def cut_out(data: bytes, chosen: Collection[int]) -> bytes:
    """Return a file of the chosen operations only (indices into `TFLiteFile.operations`)."""
    file = TFLiteFile(data)
    file.graph.operators = [op for i, op in enumerate(file.graph.operators) if i in chosen]
    made = {int(t) for op in file.graph.operators for t in op.outputs}
    read = {int(t) for op in file.graph.operators for t in op.inputs if t >= 0}
    wanted = sorted(t for t in read - made if file.constant(t) is None)
    file.graph.inputs = np.array(wanted, np.int32)
    file.graph.outputs = np.array(sorted(made), np.int32)
    file.model.signatureDefs = []
    drop_unused(file)
    return file.to_bytes()


def share_of_time(data: bytes, chosen: Collection[int], repeats: int = REPEATS) -> float:
    """Return the time of the chosen operations over that of the whole file, each the least of alternating runs."""
    if not chosen:
        return 0.0
    runs = [_prepared(data), _prepared(cut_out(data, chosen))]
    best = least_times(runs, repeats)
    return best[1] / best[0]


def least_times(
    interpreters: Iterable[Any], repeats: int, clock: Callable[[], float] = time.thread_time
) -> list[float]:
    """Return the least seconds of each interpreter over alternating runs. The first round does not count.

    For several threads, give a clock that counts all of them.
    """
    runs = list(interpreters)
    best = [float("inf")] * len(runs)
    for round_ in range(repeats + 1):
        for index, interpreter in enumerate(runs):
            start = clock()
            interpreter.invoke()
            if round_:
                best[index] = min(best[index], clock() - start)
    return best


def _prepared(data: bytes) -> Any:
    _, module = find_module()
    interpreter = module.Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for entry in interpreter.get_input_details():
        if entry["dtype"] == np.int8:
            value = rng.integers(-128, 128, entry["shape"]).astype(np.int8)
        else:
            value = rng.uniform(-1, 1, entry["shape"]).astype(entry["dtype"])
        interpreter.set_tensor(entry["index"], value)
    return interpreter
