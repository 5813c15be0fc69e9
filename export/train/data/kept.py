"""Samples kept on disk, so that a teacher processes each crop once and not in every epoch or run."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from rpi_runtime.errors import InputError, OutputError, PiposeError
from rpi_runtime.files import write_text

Sample = tuple[Tensor, ...]


class KeptSamples:
    """Rows of one file, each a sample. Another file has one byte per row, which marks the row as complete.

    Several loading processes may read and write at the same time, because each would write the same row.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    key : str
        Digest of everything that the samples depend on, from `export.train.recipe_files.samples_key`.
    like : tuple of Tensor
        Any sample; all have its shapes and dtypes.

    Raises
    ------
    InputError
        The folder holds samples of other settings.
    OutputError
        The folder cannot be written.
    """

    def __init__(self, folder: Path, key: str, like: Sample) -> None:
        self.folder, self._like = folder, [(t.shape, t.dtype) for t in like]
        self._size = sum(t.numel() * t.element_size() for t in like)
        described = json.dumps({"key": key, "sample": [(list(s), str(d)) for s, d in self._like]})
        path = folder / "samples.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # one of the processes that start together makes the files
                if not path.exists():
                    for name in ("samples.bin", "whole.bin"):
                        (folder / name).unlink(missing_ok=True)
                    write_text(path, described)
                elif path.read_text() != described:
                    raise InputError(
                        f"{folder}: holds samples of another recipe, teacher, labels or pictures; give another "
                        "folder, or delete it"
                    )
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._samples = os.open(folder / "samples.bin", flags, 0o644)
                self._whole = os.open(folder / "whole.bin", flags, 0o644)
        except OSError as err:
            raise self._failed(err) from err

    def get(self, row: int, make: Callable[[], Sample]) -> Sample:
        """Read a sample, or make and keep it."""
        try:
            if os.pread(self._whole, 1, row) == b"\1":
                data = os.pread(self._samples, self._size, row * self._size)
                if len(data) == self._size:
                    return self._unpack(bytearray(data))
            sample = make()
            self._write(self._samples, b"".join(_bytes(t) for t in sample), row * self._size)
            self._write(self._whole, b"\1", row)
        except OSError as err:
            raise self._failed(err) from err
        return sample

    def _write(self, file: int, data: bytes, offset: int) -> None:
        if os.pwrite(file, data, offset) != len(data):  # on a nearly full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _unpack(self, data: bytearray) -> Sample:
        tensors, start = [], 0
        for shape, dtype in self._like:
            count = prod(shape)
            tensors.append(torch.frombuffer(data, dtype=dtype, count=count, offset=start).reshape(shape))
            start += count * dtype.itemsize
        return tuple(tensors)

    def _failed(self, err: OSError) -> PiposeError:
        return OutputError(
            f"--samples {self.folder}: cannot be kept there ({err.strerror}); choose another folder, or none"
        )


def _bytes(tensor: Tensor) -> bytes:
    data: bytes = tensor.contiguous().numpy().tobytes()
    return data
