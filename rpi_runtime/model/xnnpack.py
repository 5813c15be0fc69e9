"""XNNPACK for tflite-runtime, whose own interpreter runs INT8 without it.

tflite-runtime 2.14 gives XNNPACK only float operations. Its library exports the delegate's C interface
(tensorflow/lite/delegates/xnnpack/xnnpack_delegate.h), which is called here through ctypes with the flags for
signed and unsigned INT8. Which kernels are faster depends on the processor, so both are timed at load.
"""

from __future__ import annotations

import ctypes
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rpi_runtime.errors import DependencyError, first_line

log = logging.getLogger(__name__)

FLAG_QS8, FLAG_QU8 = 1, 2  # TFLITE_XNNPACK_DELEGATE_FLAG_QS8, ..._QU8
TIMED_RUNS = 4
TIMING_BUDGET_S = 2.0


class XnnpackError(DependencyError):
    """The library lacks XNNPACK, or refused to create a delegate."""


class _Options(ctypes.Structure):
    """TfLiteXNNPackDelegateOptions; the tail leaves room for the fields that later releases append."""

    _fields_ = (
        ("num_threads", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
        ("tail", ctypes.c_uint8 * 248),
    )


class XnnpackDelegate:
    """An XNNPACK delegate in the form that TFLite's Python interpreters accept.

    Parameters
    ----------
    library : path
        The shared library that exports the delegate.
    threads : int

    Raises
    ------
    XnnpackError
    """

    def __init__(self, library: Path, threads: int) -> None:
        self._pointer: int | None = None
        try:
            self._library = ctypes.CDLL(str(library))
            default = self._library.TfLiteXNNPackDelegateOptionsDefault
            create = self._library.TfLiteXNNPackDelegateCreate
            self._delete = self._library.TfLiteXNNPackDelegateDelete
        except (OSError, AttributeError) as err:
            raise XnnpackError(f"{library}: exports no XNNPACK delegate ({err})") from err
        default.argtypes, default.restype = [], _Options
        create.argtypes, create.restype = [ctypes.POINTER(_Options)], ctypes.c_void_p
        self._delete.argtypes, self._delete.restype = [ctypes.c_void_p], None
        options = default()
        options.num_threads = threads
        options.flags |= FLAG_QS8 | FLAG_QU8
        self._pointer = create(ctypes.byref(options))
        if not self._pointer:
            raise XnnpackError(f"{library}: XNNPACK made no delegate; is /sys mounted?")

    def _get_native_delegate_pointer(self) -> int | None:
        """Return the pointer that the interpreter requests."""
        return self._pointer

    def __del__(self) -> None:
        # The interpreter drops its delegates after itself, so nothing uses the pointer any more.
        if self._pointer:
            self._delete(self._pointer)
            self._pointer = None


def open_forced(module: ModuleType, path: Path, threads: int) -> Any:
    """Return an interpreter of tflite-runtime with XNNPACK for INT8, allocated.

    Raises
    ------
    XnnpackError
        The delegate cannot be created or applied, for example to a graph of dynamic batch size.
    """
    # The wrapper module is the shared library itself.
    library = Path(module._interpreter_wrapper.__file__)
    resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = module.Interpreter(
            model_path=str(path),
            num_threads=threads,
            experimental_delegates=[XnnpackDelegate(library, threads)],
            experimental_op_resolver_type=resolver,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as err:
        raise XnnpackError(f"{path}: XNNPACK cannot be applied ({first_line(err)})") from err
    return interpreter


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An allocated interpreter of tflite-runtime, and the reason for its choice.

    Attributes
    ----------
    interpreter : Interpreter
    reason : str
        As in ``XNNPACK 9.4 ms, own kernels 34.9 ms``.
    own_is_faster : bool
        Whether XNNPACK works but is slower on this processor, and therefore not used.
    """

    interpreter: Any
    reason: str
    own_is_faster: bool = False


def open_fastest(module: ModuleType, path: Path, threads: int) -> Choice:
    """Return the faster of tflite-runtime's two kernel sets for this model."""
    builtin = module.Interpreter(model_path=str(path), num_threads=threads)
    builtin.allocate_tensors()
    try:
        forced = open_forced(module, path, threads)
        took_builtin, took_forced = time_both(builtin, forced)
    except (XnnpackError, RuntimeError) as err:
        reason = first_line(err)
        log.warning("%s; tflite-runtime's own kernels are used, several times slower in INT8", reason)
        return Choice(interpreter=builtin, reason="own kernels")
    reason = f"XNNPACK {took_forced * 1e3:.1f} ms, own kernels {took_builtin * 1e3:.1f} ms"
    slower = took_builtin < took_forced
    return Choice(interpreter=builtin if slower else forced, reason=reason, own_is_faster=slower)


def time_both(first: Any, second: Any) -> tuple[float, float]:
    """Return the shortest of a few interleaved runs of each, in seconds; the first run of each is warm-up."""
    best = [float("inf"), float("inf")]
    start = time.perf_counter()
    for run in range(TIMED_RUNS + 1):
        for i, interpreter in enumerate((first, second)):
            begin = time.perf_counter()
            interpreter.invoke()
            took = time.perf_counter() - begin
            if run > 0:
                best[i] = min(best[i], took)
        if run > 0 and time.perf_counter() - start > TIMING_BUDGET_S:
            break
    return best[0], best[1]
