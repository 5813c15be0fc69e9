"""What some operations of a file cost: they alone against the whole file, timed in turn on this machine.

The interpreter has no profile of its own in Python. The operations in question are cut out into a file of their own,
whose inputs are the tensors that they read, and run by the same interpreter, so that whatever runs them there (XNNPACK,
a fallback) runs them here. An estimate: what borders between partitions cost is not in it, and what XNNPACK would fuse
with a neighbour, such as padding, counts in full.

One thread computes, and its processor time counts, not the clock on the wall: on a machine that does other things too,
a whole network is interrupted far more often than a few operations, and they would look cheap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from quant.tflite.records import Model, Operator
from quant.tflite.write import write_model
from rpi_runtime.model.interpreter import find_module

REPEATS = 15


def cut_out(model: Model, chosen: AbstractSet[Operator]) -> Model:
    """Return a network of the chosen operations only; its inputs are what they read."""
    operators = [op for op in model.operators if op in chosen]
    made = dict.fromkeys(t for op in operators for t in op.outputs)
    read = dict.fromkeys(t for op in operators for t in op.inputs if t is not None and t.data is None)
    inputs = [t for t in read if t not in made]
    return Model(
        inputs={f"input{i}": t for i, t in enumerate(inputs)},
        outputs={f"output{i}": t for i, t in enumerate(made)},
        operators=operators,
    )


def share_of_time(model: Model, chosen: AbstractSet[Operator], repeats: int = REPEATS) -> float:
    """Return the time of the chosen operations over the whole network's, the least of several runs in turn of each."""
    if not chosen:
        return 0.0
    runs = [_prepared(model), _prepared(cut_out(model, chosen))]
    best = least_times(runs, repeats)
    return best[1] / best[0]


def least_times(
    interpreters: Iterable[Any], repeats: int, clock: Callable[[], float] = time.thread_time
) -> list[float]:
    """Return the least seconds that each interpreter took, run in turn; the first round does not count.

    With several threads give a clock that sees them all.
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


def _prepared(model: Model) -> Any:
    _, module = find_module()
    interpreter = module.Interpreter(model_content=write_model(model), num_threads=1)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for entry in interpreter.get_input_details():
        if entry["dtype"] == np.int8:
            value = rng.integers(-128, 128, entry["shape"]).astype(np.int8)
        else:
            value = rng.uniform(-1, 1, entry["shape"]).astype(entry["dtype"])
        interpreter.set_tensor(entry["index"], value)
    return interpreter
