"""Keep what TensorFlow's C++ code prints out of the user's sight, unless asked or something fails."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rpi_runtime.errors import PiposeError

# before the first import of tensorflow
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def quiet(verbose: bool = False) -> Iterator[None]:
    """Send file descriptors 1 and 2 to a temporary file inside the block; show it when the block raises.

    Python's own warnings are silenced too: the exporters of today warn of each other's deprecations.
    """
    if verbose:
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
        except PiposeError:  # says by itself what is wrong
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
