"""Put a run together from its configuration: source, models, tracking, sinks. Nothing runs yet."""

from __future__ import annotations

import logging

from rpi_runtime.capture.feed import Feed, Recovery
from rpi_runtime.capture.source import Wanted
from rpi_runtime.estimate import Estimator
from rpi_runtime.health.thermal import HeatWatch
from rpi_runtime.model.interpreter import Model
from rpi_runtime.pipeline import Limits, Pipeline
from rpi_runtime.settings.run_config import RunConfig
from rpi_runtime.sinks.runner import SinkRunner
from rpi_runtime.stop import StopFlag

log = logging.getLogger(__name__)


def build(config: RunConfig, stopping: StopFlag, *, patient: bool = False) -> Pipeline:
    """Load the models and wire everything; nothing runs yet.

    Parameters
    ----------
    config : RunConfig
    stopping : StopFlag
    patient : bool
        Wait for sinks that cannot be opened at the start, as a service does at boot, instead of ending the run.
    """
    models = [Model(path, threads=config.threads or None) for path in config.model]
    for model in models:
        log.info("%s", model.describe())
    source = config.source
    lossless = not (source.live or source.paced)
    runners = [
        SinkRunner(s.make(), lossless=lossless, stopping=stopping, patient=patient) for s in config.sink
    ]
    # a crop has more to show than the network's own input
    large = any(s.shows for s in config.sink) or config.refine is not None
    network = models[0].card.input
    wanted = Wanted(
        width=source.width or (640 if large else network.width),
        height=source.height or (480 if large else network.height),
        fps=source.fps or config.max_fps,  # frames that nobody takes need not be decoded
    )
    cascade = None
    if config.refine is not None:
        from rpi_runtime.cascade.cascade import open_cascade  # loaded by those who use it

        cascade = open_cascade(config.refine, models[0].card.skeleton, threads=config.threads or None)
    recovery = Recovery(open_s=source.open_s, stall_s=source.stall_s, at_start=source.retry_at_start)
    recovery = recovery.at_rate(wanted.fps)
    return Pipeline(
        Feed(source.maker(), wanted, recovery, pace=source.paced),
        Estimator(models, track=config.tracks, smooth=config.smooth, cascade=cascade),
        runners,
        limits=Limits(max_fps=config.max_fps, frames=config.frames),
        heat=HeatWatch(config.heat),
        stopping=stopping,
    )
