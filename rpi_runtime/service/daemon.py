"""A run under a supervisor: it reports its state, changes its configuration on SIGHUP and stops on SIGTERM.

There are two threads. The first one runs the pipeline. The second one, the attendant, checks the pipeline four times a
second and reports to systemd. On a reload it prepares the next run, including its models, beside the running one, and
stops the running one only if everything has succeeded. If the new run fails before its first result, the former one is
started again.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from rpi_runtime.assemble import build
from rpi_runtime.errors import PiposeError, UsageError
from rpi_runtime.health.status import Status
from rpi_runtime.pipeline import Pipeline
from rpi_runtime.service.notify import Notifier
from rpi_runtime.service.pulse import Pulse
from rpi_runtime.settings.run_config import RunConfig
from rpi_runtime.stop import Signals, StopFlag

log = logging.getLogger(__name__)
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A configuration and the pipeline that was built from it."""

    config: RunConfig
    pipeline: Pipeline


build_patiently = partial(build, patient=True)


class Daemon:
    """Runs a configuration until it is told to stop.

    Parameters
    ----------
    load : callable
        Reads the configuration. Called at the start and at each reload.
    notifier : Notifier
    build : callable
        Builds the pipeline of a configuration, with a flag that stops it; for tests.

    Attributes
    ----------
    ready : bool
        Whether there was a result.
    hung : bool
        Whether a thread is stuck in a driver or a pipe, so that the process must end without waiting for it.
    """

    def __init__(
        self,
        load: Callable[[], RunConfig],
        notifier: Notifier,
        build: Callable[[RunConfig, StopFlag], Pipeline] = build_patiently,
    ) -> None:
        self._load, self._notifier, self._build = load, notifier, build
        self.leaving = StopFlag()
        self.ready = False
        self.hung = False
        self._asked = False
        self._current: Run | None = None
        self._following: Run | None = None
        self._note = ""

    def run(self) -> None:
        """Run until SIGTERM or Ctrl-C, or until a recording ends.

        Raises
        ------
        PiposeError
            The configuration is wrong at the start, or the run failed for good.
        """
        with Signals(self.leaving), self._hangups(), self._attendant():
            try:
                current, former = self._prepare(self._load()), None
            except Exception as err:
                raise as_configuration_error(err) from err
            while True:
                error = self._play(current)
                following, self._following = self._following, None
                if self.leaving():
                    return
                if following is not None:
                    current, former = following, current.config
                elif error and former and not _has_worked(current.pipeline.status()):
                    self._refuse(error)
                    current, former = self._prepare(former), None
                elif error:
                    raise error
                else:
                    return

    def ask_for_reload(self) -> None:
        """Ask for a reload of the configuration. A signal handler may call this."""
        self._asked = True

    def _prepare(self, config: RunConfig) -> Run:
        for sink in config.sink:
            if sink.kind == "jsonl" and sink.options.target == "-":
                raise UsageError(
                    "sink: jsonl:- is the standard output, which is the journal here, and a line per frame "
                    "does not belong there; name a file, as in /run/pipose/poses.jsonl"
                )
        return Run(config=config, pipeline=self._build(config, StopFlag(self.leaving)))

    def _play(self, run: Run) -> PiposeError | None:
        """Run one pipeline to its end; return the error that ended it."""
        self._current = run
        try:
            run.pipeline.run()
            error = run.pipeline.error
        except PiposeError as err:
            error = err
        except Exception as err:  # a reload that is refused leaves a run to go back to
            log.exception("unforeseen")
            error = PiposeError(f"{type(err).__name__}: {err}")
        self.hung |= run.pipeline.hung
        status = run.pipeline.status()
        if status.frames:
            self.ready = True
            log.info("ended: %s", status.describe().splitlines()[0])
        return error

    def _refuse(self, error: PiposeError) -> None:
        log.error("reload refused: %s; the former configuration stays", error)
        self._note = f"reload refused: {error}"

    def _reload(self, running: Run) -> None:
        """Prepare the next run and stop the running one; if that fails, log the reason and keep the running one."""
        log.info("reloading the configuration")
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._note = ""
        try:
            config = self._load()
            trial = replace(config, source=replace(config.source, retry_at_start=False))
            self._following = self._prepare(trial)
        except Exception as err:  # whatever is wrong with what was written, the good run goes on
            self._refuse(as_configuration_error(err))
            self._notifier.send("READY=1")
            return
        running.pipeline.stopping.stop()

    @contextlib.contextmanager
    def _hangups(self) -> Iterator[None]:
        before = signal.signal(signal.SIGHUP, lambda *_: self.ask_for_reload())
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    @contextlib.contextmanager
    def _attendant(self) -> Iterator[None]:
        """Run the second thread within this context."""
        quit_ = threading.Event()
        thread = threading.Thread(target=self._attend, args=(quit_,), name="pipose-attendant", daemon=True)
        thread.start()
        try:
            yield
        finally:
            quit_.set()
            thread.join(_LOOK_S)
            self._notifier.send("STOPPING=1")

    def _attend(self, quit_: threading.Event) -> None:
        seen, pulse = None, Pulse(self._notifier)
        while not quit_.wait(_LOOK_S):
            run = self._current
            if run is None:
                continue
            if run is not seen:  # first of all let go of the one before
                seen, pulse = run, Pulse(self._notifier, max_fps=run.config.max_fps)
            try:
                self._look(run, pulse)
            except Exception:  # without its attendant a good run is killed by the watchdog
                log.exception("the attendant goes on")

    def _look(self, run: Run, pulse: Pulse) -> None:
        """Look at the run once, and say how it is; reload when that was asked for."""
        pulse.note = self._note
        was_ready = pulse.ready
        pulse.beat(run.pipeline.status(), time.monotonic())
        if pulse.ready and not was_ready:
            _settle_memory()
        if self._asked and pulse.ready and not self.leaving():
            self._asked = False
            self._reload(run)


def _has_worked(status: Status) -> bool:
    """Whether a run got as far as a result in one of its sinks."""
    return bool(status.frames) and (not status.sinks or any(sink.written for sink in status.sinks))


def as_configuration_error(err: Exception) -> PiposeError:
    """Return ours as it is, and anything else as what it is: a configuration that cannot be used.

    A loop of links, a NUL in a path or tables a thousand deep come as errors of many kinds.
    """
    if isinstance(err, PiposeError):
        return err
    return UsageError(
        f"the configuration cannot be used: {type(err).__name__}: {err}; see what was changed last"
    )


def _settle_memory() -> None:
    """Freeze the objects alive at readiness, after collecting those of earlier runs, to keep later collections short.

    A full collection waits until the number of new objects reaches a quarter of the survivors of the last one (Python's
    `gc` module). Imports leave tens of thousands of objects, so closed connections, which are cyclic garbage, would
    accumulate for hours before the first collection. With frozen objects, collections are small and frequent enough.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.collect()
