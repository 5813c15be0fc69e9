"""PyTorch's own checkpoint files, read without running code."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.weights.state import State
from rpi_runtime.errors import WeightsError, first_line

# what a pickled NumPy scalar names, before and since NumPy 2; none of it is called
_FIGURES = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")


class _Figure:
    """Stands for a NumPy scalar, such as the accuracy that trainers keep in a checkpoint; holds nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def read_checkpoint(path: Path) -> State:
    """Read a state_dict without unpickling anything but tensors and plain values.

    It may stand alone, or in a trainer's checkpoint: the best one so far where that is kept, else the last.
    """
    try:
        with torch.serialization.safe_globals([(_Figure, name) for name in _FIGURES]):
            data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise WeightsError(
            f"{path}: holds more than tensors, or is no PyTorch file; it was not opened, since that could run code "
            "in it: save its state_dict alone, best as .safetensors"
        ) from err
    except Exception as err:  # a damaged file makes the reader fail in whatever way comes first
        raise WeightsError(f"{path}: damaged or truncated ({first_line(err)}); fetch it again") from err
    for key in ("best_state_dict", "state_dict"):
        if isinstance(data, dict) and isinstance(data.get(key), dict):
            data = data[key]
    if not isinstance(data, dict) or not all(isinstance(v, torch.Tensor) for v in data.values()):
        raise WeightsError(f"{path}: no state_dict in it; expected a mapping of names to tensors")
    return {str(k): _float32(v) for k, v in data.items()}


def _float32(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().to(torch.float32).numpy()
    return array
