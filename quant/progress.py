"""Stage names, times and progress bars on standard error.

A command reports through one `Progress` for as long as it runs::

    with reporting(Progress()):
        ...

Code at any depth asks for it with `reporter`. Outside of `reporting`, as in a library, it is silent.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich is imported where it is used, so that a missing package gives an error on one line
    from rich.console import Console
    from rich.progress import ProgressColumn
    from rich.table import Table

Step = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One finished stage: name, duration and note."""

    name: str
    seconds: float
    note: str = ""


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True)


@dataclass(slots=True)
class Progress:
    """Progress reporter for long-running work.

    Parameters
    ----------
    console : rich.console.Console
    quiet : bool
        Whether to print neither bars nor lines.
    """

    console: Console = field(default_factory=_stderr)
    quiet: bool = False
    stages: list[Stage] = field(default_factory=list)
    _has_bar: bool = False  # work inside work with a bar shows none of its own

    def part(self) -> Progress:
        """Return a reporter that shows the same to the user and has stages of its own."""
        return replace(self, stages=[])

    def say(self, text: str) -> None:
        """Print one line for the user."""
        if not self.quiet:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[list[str]]:
        """Time a stage. Text appended to the yielded list becomes its note."""
        notes: list[str] = []
        start = time.perf_counter()
        if self.console.is_terminal and not self.quiet:
            self.console.print(f"  {name} ...", end="\r", highlight=False, markup=False)
        try:
            yield notes
        except BaseException:
            if self.console.is_terminal and not self.quiet:  # what is printed next may be shorter
                self.console.print(" " * len(f"  {name} ..."), end="\r")
            raise
        stage = Stage(name=name, seconds=time.perf_counter() - start, note="; ".join(notes))
        self.stages.append(stage)
        self.say(f"  {stage.name:<12} {stage.seconds:6.1f} s  {stage.note}")

    def bytes(self, name: str, total: int) -> AbstractContextManager[Step]:
        """Show the progress of a download, in bytes."""
        from rich.progress import DownloadColumn

        return self._bar(name, total, DownloadColumn())

    def items(self, name: str, total: int) -> AbstractContextManager[Step]:
        """Show the progress of counted work."""
        from rich.progress import MofNCompleteColumn

        return self._bar(name, total, MofNCompleteColumn())

    @contextmanager
    def _bar(self, name: str, total: int, column: ProgressColumn) -> Iterator[Step]:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("  {task.description:<24}"), BarColumn(), column, TimeRemainingColumn())
        hidden = self.quiet or self._has_bar or not self.console.is_terminal
        bars = Bars(*columns, console=self.console, transient=True, disable=hidden)
        outer, self._has_bar = self._has_bar, True
        try:
            with bars:
                task = bars.add_task(name, total=total or None)
                yield lambda amount: bars.advance(task, amount)
        finally:
            self._has_bar = outer


_CURRENT: ContextVar[Progress | None] = ContextVar("progress", default=None)


def reporter() -> Progress:
    """Return the reporter of the innermost `reporting` of this thread, or a silent one."""
    return _CURRENT.get() or Progress(quiet=True)


@contextmanager
def reporting(progress: Progress) -> Iterator[None]:
    """Make `progress` the reporter of everything that runs inside the block, in this thread."""
    token = _CURRENT.set(progress)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def print_table(table: Table) -> None:
    """Print a table on standard output at full width: in a pipe, a table cut to 80 columns would lose figures."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=200)
    console.print(table)
