"""A .tflite with its card, loaded; the only file that imports a TFLite interpreter.

The first of these that is installed and works is used: LiteRT (ai-edge-litert), which runs INT8 through XNNPACK by
itself; tflite-runtime, with XNNPACK forced if that is faster; TensorFlow's own.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.errors import CardError, DependencyError, InputError, UsageError, first_line
from rpi_runtime.installing import pip_line
from rpi_runtime.model.card import ModelCard, read_card
from rpi_runtime.model.check import check_structure
from rpi_runtime.model.delegation import Delegation, delegation_of
from rpi_runtime.model.inference import Quantization
from rpi_runtime.model.outputs import output_view
from rpi_runtime.model.seal import check_seal
from rpi_runtime.model.verify.structure import verify
from rpi_runtime.model.xnnpack import Choice, open_fastest
from rpi_runtime.names import PlainPath

log = logging.getLogger(__name__)

INTERPRETERS = {
    "ai_edge_litert": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "tflite_runtime": ("tflite_runtime.interpreter", "tflite-runtime"),
    "tensorflow": ("tensorflow.lite.python.interpreter", "tensorflow"),
}
MOST_DEFAULT_THREADS = 4


class Model:
    """A .tflite with its card, loaded and allocated, outputs by role and stride.

    Parameters
    ----------
    path : path
    threads : int, optional
        Default: the number of processors that this process may use, at most 4.
    card : ModelCard, optional
        Replaces the card in the file.

    Attributes
    ----------
    backend : str
        Name of the interpreter: "ai_edge_litert", "tflite_runtime" or "tensorflow".
    own_kernels_are_faster : bool
        Whether XNNPACK is not used because the interpreter's own kernels are faster on this processor.

    Raises
    ------
    InputError
        The file is missing or damaged.
    CardError
        The file has no card, or a card that does not fit its tensors.
    DependencyError
        No working interpreter is installed.
    """

    def __init__(
        self, path: Path | str, *, threads: int | None = None, card: ModelCard | None = None
    ) -> None:
        self.path = Path(path)
        self.card = card if card is not None else read_card(self.path)
        check_seal(self.path)
        self.threads = default_threads() if threads is None else threads
        if self.threads < 1:
            raise UsageError(f"threads {self.threads}: expected 1 or more")
        structure = verify(self.path)
        try:
            check_structure(self.card, structure)
        except CardError as err:
            raise CardError(f"{self.path}: {err.what}", remedy=err.remedy) from err
        self.backend, module = find_module()
        chosen = _open(self.backend, module, self.path, self.threads)
        self._interpreter, self._reason = chosen.interpreter, chosen.reason
        self.own_kernels_are_faster = chosen.own_is_faster
        (self._input,) = self._interpreter.get_input_details()
        self._outputs = self._signature_outputs()
        self._views: dict[str, Callable[[], NDArray[Any]]] = {
            o.name: self._interpreter.tensor(self._outputs[o.name]["index"]) for o in self.card.outputs
        }
        self._input_view = self._interpreter.tensor(self._input["index"])
        if not self.own_kernels_are_faster:
            self._warn_where_slow()

    @property
    def input(self) -> NDArray[Any]:
        """View of the input tensor, (1, H, W, 3); do not keep it across `invoke`."""
        view: NDArray[Any] = self._input_view()
        return view

    def invoke(self) -> None:
        """Run the network on the content of `input`.

        Raises
        ------
        InputError
            The interpreter fails on the file.
        """
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError, MemoryError) as err:
            raise InputError(
                f"{self.path}: cannot be run ({first_line(err)})", remedy="export it again"
            ) from err

    def output(self, role: str, stride: int | None = None) -> NDArray[Any]:
        """View of an output, (1, H, W, C), stored type; do not keep it across `invoke`.

        `stride` tells apart outputs that share a role. Rows that are no map have H = 1.
        """
        spec = self.card.output(role, stride)
        return output_view(spec, self.card.input, self._views[spec.name]())

    def quantization(self, role: str, stride: int | None = None) -> Quantization:
        """Scale and zero point of an output."""
        scale, zero_point = self._outputs[self.card.output(role, stride).name]["quantization"]
        return Quantization(scale=float(scale), zero_point=int(zero_point))

    def real_output(self, role: str, stride: int | None = None) -> NDArray[np.float32]:
        """Copy of an output as float32, (H, W, C)."""
        real: NDArray[np.float32] = self.output(role, stride)[0].astype(np.float32)
        quant = self.quantization(role, stride)
        if quant.scale != 0:
            real -= np.float32(quant.zero_point)
            real *= np.float32(quant.scale)
        return real

    def delegation(self) -> Delegation:
        """Return which operations XNNPACK took, as the interpreter reports."""
        # pylint: disable-next=protected-access
        return delegation_of(self._interpreter._get_ops_details())

    def describe(self) -> str:
        """Return one line for a log: file, interpreter, threads, delegation."""
        package = INTERPRETERS[self.backend][1]
        dtype = np.dtype(self._input["dtype"])
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        model = f"{self.path.name}: {self.card.name} {self.card.input.size} {dtype}"
        reason = f" ({self._reason})" if self._reason else ""
        return f"{model}, {package} {package_version(package)}, {threads}{reason}, {self.delegation()}"

    def _signature_outputs(self) -> dict[str, Any]:
        try:
            return dict(self._interpreter.get_signature_runner().get_output_details())
        except ValueError as err:
            raise CardError(
                f"{self.path}: has no single signature, by whose names the card finds the outputs "
                f"({first_line(err)})",
                remedy="export it with a signature",
            ) from err

    def _warn_where_slow(self) -> None:
        delegation = self.delegation()
        if delegation.delegated == 0:
            log.warning(
                "%s: XNNPACK took none of the %d operations: several times slower than it could be; "
                "is /sys mounted?",
                self.path.name,
                delegation.total,
            )
        elif delegation.fell_back:
            log.warning("%s: %s", self.path.name, delegation)


def default_threads() -> int:
    """Return the number of processors that this process may use, at most 4."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MOST_DEFAULT_THREADS)


def find_module() -> tuple[str, ModuleType]:
    """Return the name and the module of the first interpreter that is installed and works.

    Raises
    ------
    DependencyError
        The message gives the reason for each one that was tried.
    """
    reasons = []
    for name, (module, package) in INTERPRETERS.items():
        if wrong := unfit(name):
            reasons.append(f"{package}: {wrong}")
            continue
        try:
            return name, importlib.import_module(module)
        except ImportError as err:
            missing = isinstance(err, ModuleNotFoundError) and name in str(err)
            reasons.append(f"{package}: {'not installed' if missing else first_line(err)}")
    raise DependencyError(
        f"no TFLite interpreter works ({'; '.join(reasons)})", remedy=pip_line("ai-edge-litert")
    )


def unfit(name: str) -> DependencyError | None:
    """Return the error if the installed NumPy does not fit an interpreter, otherwise None."""
    if name == "tflite_runtime" and int(np.__version__.split(".")[0]) >= 2:
        return DependencyError(f"needs numpy < 2, found {np.__version__}", remedy=pip_line("numpy<2"))
    return None


def package_version(package: str) -> str:
    """Return the version of an installed distribution, or "?"."""
    from importlib import metadata  # slow to import, and needed only in reports

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "?"


def _open(backend: str, module: ModuleType, path: Path, threads: int) -> Choice:
    plain = PlainPath(path)  # interpreters take no name that is not UTF-8
    try:
        if backend == "tflite_runtime":
            return open_fastest(module, Path(plain.text), threads)
        interpreter = module.Interpreter(model_path=plain.text, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, MemoryError) as err:
        raise InputError(
            f"{path}: cannot be loaded ({first_line(err)})", remedy="export or copy it again"
        ) from err
    finally:
        plain.close()
    return Choice(interpreter=interpreter, reason="")
