"""Hide the output of native code, unless the user asks for it or the code fails."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rpi_runtime.errors import PiposeError

# before the first import of tensorflow
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


_VERBOSE: ContextVar[bool] = ContextVar("verbose", default=False)


@contextmanager
def verbosity(verbose: bool) -> Iterator[None]:
    """Let the `quiet` blocks inside this block hide their output, or show it if `verbose`."""
    token = _VERBOSE.set(verbose)
    try:
        yield
    finally:
        _VERBOSE.reset(token)


@contextmanager
def quiet() -> Iterator[None]:
    """Redirect file descriptors 1 and 2 to a temporary file inside the block, and print it if the block raises.

    Python's warnings are silenced, too, because exporters warn of each other's deprecations. Inside of
    ``verbosity(True)`` nothing is redirected.
    """
    if _VERBOSE.get():
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as sink:
        saved = os.dup(1), os.dup(2)
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except PiposeError:  # an error of ours explains itself
            raise
        except Exception:
            _restore(saved)
            sink.seek(0)
            sys.stderr.write(sink.read().decode(errors="replace")[-4000:])
            raise
        finally:
            _restore(saved)
            for descriptor in saved:
                os.close(descriptor)


def _restore(saved: tuple[int, int]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(saved[0], 1)
    os.dup2(saved[1], 2)
