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

from typing import Self


class PiposeError(Exception):
    """Root of all errors that pipose raises on purpose.

    Attributes
    ----------
    what : str
        What failed, what was found and what was expected.
    remedy : str
        What to do next; "" where `what` says it already.
    key : str
        Dotted name of the setting that is wrong, as in ``sink[0].qos``; "" where none is.
    exit_code : int
        What a command line returns.

    Examples
    --------
    >>> print(UsageError("got 3, expected 0, 1 or 2", key="qos").inside("sink[0]"))
    sink[0].qos: got 3, expected 0, 1 or 2
    """

    exit_code = 1

    def __init__(self, what: str = "", *, remedy: str = "", key: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy, self.key = what, remedy, key

    def __str__(self) -> str:
        """Return ``KEY: WHAT; REMEDY``, less what is empty."""
        text = f"{self.what}; {self.remedy}" if self.remedy else self.what
        return f"{self.key}: {text}" if self.key else text

    def inside(self, outer: str) -> Self:
        """Return the same error for a key inside the table `outer`."""
        key = f"{outer}.{self.key}" if self.key else outer
        return type(self)(self.what, remedy=self.remedy, key=key)


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
    """An optional package is not installed; `remedy` is the command that installs it."""

    exit_code = 8

    def __str__(self) -> str:
        """Return ``WHAT; run: COMMAND``."""
        return f"{self.what}; run: {self.remedy}" if self.remedy else self.what


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
