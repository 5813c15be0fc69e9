"""What the command lines share: errors on one line, exit codes, a clean Ctrl-C."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence

from quant.missing import missing_package
from rpi_runtime.command_line import VERBOSE, Parser
from rpi_runtime.errors import DependencyError, OutputError, PiposeError

OURS = ("cython_ext", "export", "quant", "rpi_runtime")
_FULL = "no space left on the device; free some and run again"
UNWRITABLE = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EROFS: "", errno.EACCES: "", errno.EPERM: ""}
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def make_parser(
    module: str, description: str, epilog: str, former: Mapping[str, str] | None = None
) -> Parser:
    """Return the parser of ``python -m MODULE``, with the options that all commands have.

    Parameters
    ----------
    module, description, epilog : str
        The epilog ends with `rpi_runtime.command_line.exit_codes`.
    former : mapping, optional
        As of `Parser`.
    """
    parser = Parser(prog=f"python -m {module}", description=description, epilog=epilog, former=former)
    parser.add_argument("-v", "--verbose", action="store_true", help=VERBOSE)
    return parser


def _end_on_terminate() -> None:
    """Let SIGTERM unwind as Ctrl-C does, so that temporary folders go; unless it is ignored, or handled already."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def run_command(main: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Run a command's `main` and return its exit code. A user's mistake prints one line, never a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # file names may hold characters that the terminal cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    _end_on_terminate()
    try:
        return main(argv)
    except PiposeError as err:
        if {"-v", "--verbose"} & set(sys.argv if argv is None else argv):
            traceback.print_exc()
        print(f"error: {err}", file=sys.stderr)
        return err.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing was left half written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output has left, as `| head` does; keep Python from printing an error at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except ModuleNotFoundError as err:
        if (err.name or "").split(".")[0] in OURS:
            raise
        print(f"error: {missing_package(err)}", file=sys.stderr)
        return DependencyError.exit_code
    except OSError as err:
        if err.errno not in UNWRITABLE:
            raise
        reason = (
            UNWRITABLE[err.errno] or f"{err.strerror}; choose another folder (TMPDIR for temporary files)"
        )
        print(f"error: {err.filename or 'disk'}: {reason}", file=sys.stderr)
        return OutputError.exit_code
    except MemoryError:
        print(
            "error: out of memory; take a smaller --size or fewer pictures, or close other programs",
            file=sys.stderr,
        )
        return PiposeError.exit_code
