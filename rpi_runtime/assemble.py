"""Build a run from its configuration: source, models, tracking, sinks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.source import Wanted
from rpi_runtime.estimate import Estimator
from rpi_runtime.health.thermal import HeatWatch
from rpi_runtime.model.interpreter import Model
from rpi_runtime.pipeline import Pipeline, RunLimits
from rpi_runtime.settings.run_config import RunConfig, load_config
from rpi_runtime.sinks.callback import CallbackSink
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.sinks.sink import Result, Sink
from rpi_runtime.stop import StopFlag

log = logging.getLogger(__name__)


def open_pipeline(
    *models: Path | str,
    source: str = "picamera",
    sinks: Sequence[str | Sink | Callable[[Result], object]],
    stopping: StopFlag | None = None,
    **settings: Any,
) -> Pipeline:
    """Put a run together in Python; its `run` runs it.

    Parameters
    ----------
    *models : path
        A .tflite of pipose, and smaller ones to fall back to when it gets hot.
    source : str
        As the option ``--source``.
    sinks : sequence
        Each one as the option ``--sink`` takes it, a `Sink` of one's own, or a function that takes a `Result`.
    stopping : StopFlag, optional
        Ends the run when it is set, from any thread.
    **settings
        Further keys of a configuration file, as in ``max_fps=10``.

    Raises
    ------
    PiposeError
        A setting is wrong, or a model cannot be loaded.

    Examples
    --------
    >>> from rpi_runtime import open_pipeline
    >>> counts = []
    >>> count = lambda result: counts.append(len(result.tracks))
    >>> open_pipeline("M.tflite", source="images:street", sinks=[count]).run().frames, counts
    (1, [1])
    """
    named = [s for s in sinks if isinstance(s, str)]
    own = [s if isinstance(s, Sink) else CallbackSink(s) for s in sinks if not isinstance(s, str)]
    values = {"model": [str(m) for m in models], "source": source, "sink": named or ["null"]} | settings
    return build(load_config(None, values), stopping or StopFlag(), own=own)


def build(
    config: RunConfig, stopping: StopFlag, *, patient: bool = False, own: Sequence[Sink] = ()
) -> Pipeline:
    """Load the models and wire everything; nothing runs yet.

    Parameters
    ----------
    config : RunConfig
    stopping : StopFlag
    patient : bool
        Wait for sinks that cannot be opened at the start, as a service does at boot, instead of ending the run.
    own : sequence of Sink
        Sinks beside those of the configuration.
    """
    models = [Model(path, threads=config.threads or None) for path in config.model]
    for model in models:
        log.info("%s", model.describe())
    source = config.source
    lossless = not (source.live or source.paced)
    runners = [
        SinkRunner(sink, lossless=lossless, stopping=stopping, patient=patient)
        for sink in (*(s.make() for s in config.sink), *own)
    ]
    # a crop shows more detail than the network's own input
    large = any(s.shows for s in config.sink) or config.refine is not None
    network = models[0].card.input
    wanted = Wanted(
        width=source.width or (640 if large else network.width),
        height=source.height or (480 if large else network.height),
        fps=source.fps or config.max_fps,  # frames that are never processed need not be decoded
    )
    cascade = None
    if config.refine is not None:
        from rpi_runtime.cascade.cascade import open_cascade  # loaded only if it is used

        cascade = open_cascade(config.refine, models[0].card.skeleton, threads=config.threads or None)
    recovery = Recovery(open_s=source.open_s, stall_s=source.stall_s, at_start=source.retry_at_start)
    recovery = recovery.at_rate(wanted.fps)
    return Pipeline(
        Feed(source.maker(), wanted, recovery, pace=source.paced),
        Estimator(models, track=config.tracks, smooth=config.smooth, cascade=cascade),
        runners,
        limits=RunLimits(max_fps=config.max_fps, frames=config.frames),
        heat=HeatWatch(config.heat),
        stopping=stopping,
    )
