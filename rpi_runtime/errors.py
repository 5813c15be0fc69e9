"""The error tree of pipose.

::

    PiposeError                     exit 1   something the user can act on went wrong
    ├── UsageError                  exit 2   options that contradict each other or make no sense
    ├── InputError                  exit 3   a file or folder that is missing, truncated, of the wrong kind
    │   ├── CardError               exit 3   a model card that is missing, malformed or does not fit its tensors
    │   │   └── MissingMemberError  exit 3   a .tflite whose archive lacks the member asked for
    │   ├── SourceError             exit 3   a camera, stream or recording that cannot be opened, or that failed
    │   └── WeightsError            exit 3   weights that are damaged or belong to another network
    ├── DownloadError               exit 4   a download that failed, was cut or has the wrong checksum
    ├── OutputError                 exit 5   a full disk, a read-only folder
    ├── ParityError                 exit 6   a conversion step whose output is not that of the step before
    ├── GateError                   exit 7   a file that may not be called INT8; kept beside as .rejected
    └── DependencyError             exit 8   a package that is not installed; says the line that installs it

Every message says what failed, what was found, what was expected and what to do next, on one line.
"""

from __future__ import annotations


class PiposeError(Exception):
    """Root of all errors that pipose raises on purpose; `exit_code` is what a command line returns."""

    exit_code = 1


class UsageError(PiposeError):
    """Options that contradict each other or make no sense."""

    exit_code = 2


class InputError(PiposeError):
    """A file or folder given by the user is missing, truncated or of the wrong kind."""

    exit_code = 3


class CardError(InputError):
    """A model card is missing, malformed or does not fit the tensors of its file."""


class MissingMemberError(CardError):
    """The archive in a .tflite is sound and lacks the member asked for: some files are made without it."""


class SourceError(InputError):
    """A camera, stream or recording cannot be opened, stopped delivering or ended too early."""


class WeightsError(InputError):
    """Weights are damaged, or belong to another network."""


class DownloadError(PiposeError):
    """A download failed, was cut short or has the wrong checksum."""

    exit_code = 4


class OutputError(PiposeError):
    """An output could not be written: disk full, folder read-only."""

    exit_code = 5


class ParityError(PiposeError):
    """A conversion step computes something else than the step before it."""

    exit_code = 6


class GateError(PiposeError):
    """A file failed a check that it must pass before it is called INT8."""

    exit_code = 7


class DependencyError(PiposeError):
    """An optional package is not installed."""

    exit_code = 8
