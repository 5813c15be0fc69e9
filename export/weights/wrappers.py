"""What trainers wrap round a state_dict and its keys, taken off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# Under which keys of a checkpoint a state_dict lies; the best weights so far come before the last.
CONTAINERS = (
    "best_state_dict", "state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights",
    "ema_state_dict", "state_dict_ema", "model_ema", "ema",
)  # fmt: skip
# In front of keys: DataParallel and AveragedModel, torch.compile; Lightning and others where all keys have it.
_ALWAYS = ("module.", "_orig_mod.")
_TOGETHER = ("model.", "net.", "network.")
# Counters of AveragedModel and of the profiler thop.
_COUNTERS = ("n_averaged", "total_ops", "total_params")


def find_state(data: Any, kind: type) -> Mapping[str, Any] | None:
    """Return the innermost mapping with values of `kind` in a checkpoint; None where there is none.

    Values of other kinds beside them, such as None, are left out.
    """
    for _ in range(3):
        inner = next((data[k] for k in CONTAINERS if isinstance(data.get(k), Mapping)), None)
        if inner is None:
            break
        data = inner
    found = {str(key): value for key, value in data.items() if isinstance(value, kind)}
    return found if 2 * len(found) > len(data) else None


def plain_keys(state: Mapping[str, T]) -> dict[str, T]:
    """Return a state_dict under the names that the network gave its parameters."""
    found = {key: value for key, value in state.items() if key.rpartition(".")[2] not in _COUNTERS}
    while True:
        prefixes = [p for p in _ALWAYS if any(k.startswith(p) for k in found)]
        prefixes += [p for p in _TOGETHER if found and all(k.startswith(p) for k in found)]
        if not prefixes:
            return found
        found = {key.removeprefix(prefixes[0]): value for key, value in found.items()}
