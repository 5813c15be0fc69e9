"""PyTorch's own checkpoint files, read without running code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.weights.state import UNUSED, State
from export.weights.wrappers import find_state, plain_keys
from rpi_runtime.errors import WeightsError, first_line
from rpi_runtime.inputs import open_input

# what a pickled NumPy scalar names, before and since NumPy 2; none of it is called
_FIGURES = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_STATE = "save its state_dict of float tensors alone, best as .safetensors"


class _Figure:
    """Stands for a NumPy scalar, such as the accuracy that trainers keep in a checkpoint; holds nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def read_checkpoint(path: Path) -> State:
    """Read a state_dict without unpickling anything but tensors and plain values.

    It may stand alone, or in a trainer's checkpoint: the best one so far where that is kept, else the last.

    Raises
    ------
    WeightsError
        The file is damaged, holds code, or tensors without plain float values.
    """
    _check_container(path)
    try:
        with open_input(path) as file, torch.serialization.safe_globals([(_Figure, n) for n in _FIGURES]):
            data = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise WeightsError(
            f"{path}: holds more than tensors, or is no PyTorch file; it was not opened, since that could run code "
            f"in it: {_STATE}"
        ) from err
    except Exception as err:  # a damaged file makes the reader fail in whatever way comes first
        raise WeightsError(f"{path}: damaged or truncated ({first_line(err)}); fetch it again") from err
    state = find_state(data, torch.Tensor) if isinstance(data, dict) else None
    if state is None:
        raise WeightsError(f"{path}: no state_dict in it; expected a mapping of names to tensors")
    return {k: _float32(path, k, v) for k, v in plain_keys(state).items() if not k.endswith(UNUSED)}


def _check_container(path: Path) -> None:
    """Refuse what `torch.load` would call damaged, and archives that inflate: PyTorch stores tensors as they are."""
    with open_input(path) as file:
        head = file.read(512)
        if head.startswith(b"version https://git-lfs"):
            raise WeightsError(f"{path}: is a pointer of Git LFS, not the file; run: git lfs pull")
        if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise WeightsError(f"{path}: is a web page; fetch the file that the page offers")
        if not head.startswith(b"PK"):
            return
        try:
            entries = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as err:
            raise WeightsError(f"{path}: damaged or truncated ({first_line(err)}); fetch it again") from err
    if any("/code/" in e.filename or e.filename.endswith("/constants.pkl") for e in entries):
        raise WeightsError(
            f"{path}: is a TorchScript program, not weights; load it where it was made and {_STATE}"
        )
    if any(e.compress_type != zipfile.ZIP_STORED for e in entries):
        raise WeightsError(
            f"{path}: is a compressed archive, which PyTorch does not write; unpack it and give the file inside"
        )


def _float32(path: Path, key: str, tensor: torch.Tensor) -> NDArray[np.float32]:
    if tensor.is_sparse or tensor.layout != torch.strided:
        found = f"of layout {tensor.layout}"
    elif tensor.device.type != "cpu":
        found = f"on device {tensor.device.type!r}, without values"
    elif tensor.is_quantized:
        found = "quantized"
    elif tensor.dtype not in _FLOATS:
        found = f"of type {tensor.dtype}"
    elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        found = f"of shape {tuple(tensor.shape)}, with fewer values stored"
    else:
        array: NDArray[np.float32] = tensor.detach().to(torch.float32).numpy()
        return array
    raise WeightsError(f"{path}: {key} is {found}; expected float values: {_STATE}")
