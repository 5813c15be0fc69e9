"""Predicted milliseconds of a .tflite on a Raspberry Pi, always with the error of the prediction.

The prediction is for inference alone, without picture and decoding, through XNNPACK, on an otherwise idle board. It was
not measured on a board: see quant/docs/speed.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from quant.speed.boards import BOARDS, SPEEDS, total
from quant.speed.work import computes_in_int8, work_of
from rpi_runtime.errors import InputError
from rpi_runtime.files import reading

THREADS = 4  # the number of cores of both boards
# errors of the flatbuffer reader for invalid offsets and types
DAMAGED = (struct.error, IndexError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Milliseconds of one inference on one board.

    Attributes
    ----------
    board : str
        A key of `BOARDS`.
    threads : int
    ms : float
    factor : float
        Typical error: the factor by which published latencies of networks outside the fit differ.
    """

    board: str
    threads: int
    ms: float
    factor: float

    @property
    def error(self) -> str:
        """Return the typical error in words: in per cent, or as a factor if it is large."""
        if self.factor < 1.5:
            return f"typical error {100 * (self.factor - 1):.0f} %"
        return f"typical error a factor of {self.factor:.1f}"

    def describe(self) -> str:
        """Return, for example, ``Raspberry Pi 4, 4 threads: 61 ms predicted, 50 to 75 (typical error 23 %)``."""
        low, high = self.ms / self.factor, self.ms * self.factor
        return (
            f"{BOARDS[self.board]}, {self.threads} threads: {self.ms:.2g} ms predicted, not measured: "
            f"{low:.2g} to {high:.2g} ({self.error})"
        )


def predict(path: Path, board: str = "pi4", threads: int = THREADS) -> Prediction:
    """Return the predicted milliseconds of a .tflite.

    Parameters
    ----------
    path : path
    board : {"pi4", "pi5"}
    threads : int
        Number of threads of the interpreter.

    Raises
    ------
    InputError
        The file cannot be read, or is not a .tflite.
    """
    with reading(path, "give the path of a .tflite"):
        data = path.read_bytes()
    return predict_bytes(data, board, threads, name=str(path))


def predict_bytes(
    data: bytes, board: str = "pi4", threads: int = THREADS, name: str = "the file"
) -> Prediction:
    """Return the same for a file's bytes; `name` is for messages."""
    from quant.tflite.read import read_model  # not wanted for --help

    try:
        model = read_model(data)
        kind = "int8" if computes_in_int8(model) else "float32"
        amounts = total(work_of(model))
    except InputError as err:
        raise InputError(f"{name}: {err}") from err
    except DAMAGED as err:
        raise InputError(
            f"{name}: its operations cannot be read ({type(err).__name__}); copy it again"
        ) from err
    speed = SPEEDS[board, kind]
    ms = speed.milliseconds(amounts, threads)
    return Prediction(board=board, threads=threads, ms=ms, factor=speed.factor)
