"""Weights into a PyTorch module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from export.weights.state import UNUSED, check_state


def load_state(
    net: torch.nn.Module, state: Mapping[str, Any], source: str, dropped: Iterable[str] = ()
) -> list[str]:
    """Load checked weights into a module, in place, and set it to evaluation mode.

    `state`, `source`, `dropped` and the errors are those of `export.weights.state.check_state`.

    Returns
    -------
    list of str
        The keys left out on purpose.
    """
    wanted = {k: tuple(v.shape) for k, v in net.state_dict().items() if not k.endswith(UNUSED)}
    given, left_out = check_state(wanted, state, source, dropped)
    net.load_state_dict(
        {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in given.items()}, strict=False
    )
    net.eval()
    return left_out
