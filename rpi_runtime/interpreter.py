"""The only file that imports a TFLite interpreter."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.card import ModelCard, read_card
from rpi_runtime.errors import CardError, DependencyError, InputError

INTERPRETERS = ("ai_edge_litert.interpreter", "tensorflow.lite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """``real = scale * (stored - zero_point)``; scale 0 marks a float tensor."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """What runs in XNNPACK: `partitions` delegate nodes, and the operations that `fell_back` beside them."""

    partitions: int
    fell_back: tuple[str, ...]


class Model:
    """A .tflite with its card, loaded and allocated, outputs by role.

    Parameters
    ----------
    path : path
    threads : int
    card : ModelCard, optional
        Instead of the one in the file.

    Raises
    ------
    InputError
        The file is missing or damaged.
    CardError
        It has no card, or one that does not fit its tensors.
    """

    def __init__(self, path: Path | str, *, threads: int = 1, card: ModelCard | None = None) -> None:
        self.path = Path(path)
        self.card = card if card is not None else read_card(self.path)
        self.backend, make = find_interpreter()
        try:
            self._interpreter = make(model_path=str(self.path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as err:
            reason = str(err).splitlines()[0]
            raise InputError(f"{self.path}: cannot be loaded ({reason}); export or copy it again") from err
        (self._input,) = self._interpreter.get_input_details()
        runner = self._interpreter.get_signature_runner()
        self._outputs = dict(runner.get_output_details())
        self._check_card()
        self._views: dict[str, Callable[[], NDArray[Any]]] = {
            o.role: self._interpreter.tensor(self._outputs[o.name]["index"]) for o in self.card.outputs
        }
        self._input_view = self._interpreter.tensor(self._input["index"])

    @property
    def input(self) -> NDArray[Any]:
        """View of the input tensor, (1, H, W, 3); do not keep it across `invoke`."""
        view: NDArray[Any] = self._input_view()
        return view

    def invoke(self) -> None:
        """Run the network on what is in `input`."""
        self._interpreter.invoke()

    def output(self, role: str) -> NDArray[Any]:
        """View of an output tensor, (1, H, W, C), stored type; do not keep it across `invoke`."""
        return self._views[role]()

    def quantization(self, role: str) -> Quantization:
        """Scale and zero point of an output."""
        scale, zero_point = self._outputs[self.card.output(role).name]["quantization"]
        return Quantization(scale=float(scale), zero_point=int(zero_point))

    def real_output(self, role: str) -> NDArray[np.float32]:
        """Copy of an output as float32, (H, W, C)."""
        stored = self.output(role)[0]
        quant = self.quantization(role)
        if quant.scale == 0:
            return stored.astype(np.float32)
        return (stored.astype(np.float32) - quant.zero_point) * np.float32(quant.scale)

    def delegation(self) -> Delegation:
        """Which operations XNNPACK took, as the interpreter reports it."""
        # When a delegate has claimed nodes, the list keeps the originals and appends one DELEGATE per partition.
        # pylint: disable-next=protected-access
        ops = self._interpreter._get_ops_details()
        delegates = [op for op in ops if op["op_name"] == "DELEGATE"]
        return Delegation(partitions=len(delegates), fell_back=_not_delegated(ops, delegates))

    def _check_card(self) -> None:
        spec = self.card.input
        expected = (1, spec.height, spec.width, 3)
        found = tuple(int(n) for n in self._input["shape"])
        if found != expected:
            raise CardError(f"{self.path}: the card says input {expected}, the tensor is {found}")
        for out in self.card.outputs:
            if out.name not in self._outputs:
                names = ", ".join(self._outputs)
                raise CardError(f"{self.path}: the card names output {out.name!r}, the file has {names}")
            shape = tuple(int(n) for n in self._outputs[out.name]["shape"])
            want = (1, -(-spec.height // out.stride), -(-spec.width // out.stride), out.channels)
            if shape != want:
                raise CardError(f"{self.path}: the card says {out.name} is {want}, the tensor is {shape}")


def _not_delegated(ops: Sequence[Any], delegates: Sequence[Any]) -> tuple[str, ...]:
    """Operations whose outputs no delegate node produces or hides."""
    if not delegates:
        return tuple(sorted({op["op_name"] for op in ops}))
    return ()


def find_interpreter() -> tuple[str, Callable[..., Any]]:
    """Return the name and the class of the first interpreter that is installed."""
    for name in INTERPRETERS:
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            return name.split(".")[0], module.Interpreter
    raise DependencyError("no TFLite interpreter is installed; run: pip install ai-edge-litert")
