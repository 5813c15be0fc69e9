"""Weights by key, checked against what a network asks for; free of PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import WeightsError

State = dict[str, NDArray[np.float32]]
UNUSED = "num_batches_tracked"  # a counter of training
LISTED = 12


def check_state(
    wanted: Mapping[str, tuple[int, ...]], state: Mapping[str, Any], source: str, dropped: Iterable[str] = ()
) -> tuple[State, list[str]]:
    """Check weights key by key.

    Parameters
    ----------
    wanted : mapping of str to shape
        The network's parameters.
    state : mapping of str to array
    source : str
        For messages.
    dropped : iterable of str
        Prefixes of keys that are left out on purpose.

    Returns
    -------
    dict of str to array
        The wanted keys.
    list of str
        The keys left out on purpose.

    Raises
    ------
    WeightsError
        Keys are missing, unexpected or misshapen, or values not finite; 12 are listed, the others counted.
    """
    skip = tuple(dropped)
    left_out = [k for k in state if skip and k.startswith(skip)]
    out = set(left_out)
    given = {k: v for k, v in state.items() if k not in out and not k.endswith(UNUSED)}
    problems = [f"missing {k}" for k in wanted if k not in given]
    problems += [f"unexpected {k}" for k in given if k not in wanted]
    for key in wanted.keys() & given.keys():
        if wanted[key] != tuple(given[key].shape):
            problems.append(f"{key} is {tuple(given[key].shape)}, expected {wanted[key]}")
        elif not np.isfinite(given[key]).all():
            problems.append(f"{key} holds NaN or infinity")
    if problems:
        more = f" and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        raise WeightsError(
            f"{source}: not the weights of this network: {'; '.join(sorted(problems)[:LISTED])}{more}; "
            "choose the model that they were trained for (--list-models)"
        )
    return given, left_out
