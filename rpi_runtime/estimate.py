"""One picture to the people on it: preprocess, infer, decode, track."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.card import Skeleton
from rpi_runtime.decode.choose import decoder_for
from rpi_runtime.errors import CardError
from rpi_runtime.interpreter import Model
from rpi_runtime.poses import Pose, Track
from rpi_runtime.preprocess import Preprocessor
from rpi_runtime.smooth import SmoothSpec
from rpi_runtime.track import Tracker

STAGES = ("preprocess", "infer", "decode", "track")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """The people on one picture, and the nanoseconds that each stage took, in the order of `STAGES`."""

    tracks: tuple[Track, ...]
    latency_ns: dict[str, int]


class Estimator:
    """The stages between a picture and its people, with all their buffers; for one thread.

    Parameters
    ----------
    models : sequence of Model
        The one to use, followed by smaller ones to fall back to when it gets hot. Same skeleton.
    track : bool
        Give people ids that persist.
    smooth : bool
        Smooth the keypoints of tracked people.

    Raises
    ------
    CardError
        The models have different skeletons, or one sees only crops of single people.
    """

    def __init__(self, models: Sequence[Model], *, track: bool = True, smooth: bool = True) -> None:
        self.models = tuple(models)
        self.skeleton: Skeleton = models[0].card.skeleton
        for model in self.models[1:]:
            if model.card.skeleton != self.skeleton:
                raise CardError(
                    f"{model.path}: its skeleton is not that of {models[0].path}; use models of a kind"
                )
        self._stages = [(m, Preprocessor(m.card.input), decoder_for(m.card)) for m in self.models]
        self._tracker = Tracker(self.skeleton, smooth=SmoothSpec() if smooth else None) if track else None

    def __call__(
        self,
        image: NDArray[np.uint8],
        timestamp_ns: int,
        *,
        smaller: int = 0,
        prepared: Callable[[], None] = lambda: None,
    ) -> Estimate:
        """Find the people.

        Parameters
        ----------
        image : ndarray, shape (H, W, 3), uint8, BGR
        timestamp_ns : int
            When it was taken, for tracking and smoothing.
        smaller : int
            Which model: 0 the first, 1 the next smaller one.
        prepared : callable
            Called as soon as `image` is not needed any more.
        """
        model, preprocess, decode = self._stages[smaller]
        begin = time.monotonic_ns()
        transform = preprocess(image, model.input)
        prepared()
        ready = time.monotonic_ns()
        model.invoke()
        inferred = time.monotonic_ns()
        poses = decode.read(model, transform)
        decoded = time.monotonic_ns()
        tracks = self._follow(poses, timestamp_ns)
        times = (begin, ready, inferred, decoded, time.monotonic_ns())
        spans = [after - before for before, after in itertools.pairwise(times)]
        return Estimate(tracks=tracks, latency_ns=dict(zip(STAGES, spans, strict=True)))

    def _follow(self, poses: tuple[Pose, ...], timestamp_ns: int) -> tuple[Track, ...]:
        if self._tracker is None:
            return tuple(Track(id=0, pose=pose) for pose in poses)
        return self._tracker.update(poses, timestamp_ns)
