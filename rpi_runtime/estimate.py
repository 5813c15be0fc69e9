"""From one picture to the people on it: preprocess, infer, decode, refine (with a cascade), track."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rpi_runtime.decode.choose import decoder_for
from rpi_runtime.errors import CardError, UsageError
from rpi_runtime.model.card import Skeleton
from rpi_runtime.model.detector_settings import DetectorSettings
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Image, Pose, Track
from rpi_runtime.preprocess.letterbox import Preprocessor
from rpi_runtime.track.smooth import SmoothSpec
from rpi_runtime.track.tracker import Tracker

if TYPE_CHECKING:
    from rpi_runtime.cascade.cascade import Cascade

LOOK_STAGES = ("preprocess", "infer", "decode")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """The people on one picture.

    Attributes
    ----------
    tracks : tuple of Track
    latency_ns : dict of str to int
        Nanoseconds of each stage in order: `LOOK_STAGES` after a full-frame pass, ``refine`` with a cascade, ``track``.
    looked : bool or None
        With a cascade: whether there was a full-frame pass.

    Examples
    --------
    >>> from rpi_runtime import Estimator, read_picture
    >>> estimate = Estimator.open("M.tflite")(read_picture("street.jpg"))
    >>> list(estimate.latency_ns)
    ['preprocess', 'infer', 'decode', 'track']
    """

    tracks: tuple[Track, ...]
    latency_ns: dict[str, int]
    looked: bool | None = None


class Estimator:
    """The stages between a picture and its people, with all their buffers; for one thread.

    Parameters
    ----------
    models : sequence of Model
        The model to use, followed by smaller models for when the processor is hot. All have the same skeleton.
    track : bool
        Give people ids that persist.
    smooth : bool
        Smooth the keypoints of tracked people.
    cascade : Cascade, optional
        Refines people on crops.

    Raises
    ------
    CardError
        The models have different skeletons, or one is a top-down network.

    Examples
    --------
    >>> from rpi_runtime import Estimator, read_picture
    >>> estimator = Estimator.open("M.tflite")
    >>> picture = read_picture("street.jpg")
    >>> for track in estimator(picture).tracks:
    ...     print(track.id, track.pose.keypoints.shape)
    1 (18, 3)
    """

    def __init__(
        self,
        models: Sequence[Model],
        *,
        track: bool = True,
        smooth: bool = True,
        cascade: Cascade | None = None,
    ) -> None:
        self.models = tuple(models)
        finder = models[0].card.skeleton
        self.skeleton: Skeleton = finder if cascade is None else cascade.skeleton
        for model in self.models[1:]:
            if model.card.skeleton != finder:
                raise CardError(
                    f"{model.path}: its skeleton is not that of {models[0].path}; use models of a kind"
                )
        self._stages = [(m, Preprocessor(m.card.input), decoder_for(m.card)) for m in self.models]
        self._tracker = Tracker(self.skeleton, smooth=SmoothSpec() if smooth else None) if track else None
        self._cascade = cascade

    @property
    def networks(self) -> str:
        """Name and size of the network, or of the finder and what refines, as people read it."""
        finder = self.models[0].card
        names = [f"{finder.name} {finder.input.size}"]
        if self._cascade is not None:
            names.append(self._cascade.network)
        return " + ".join(names)

    @classmethod
    def open(
        cls,
        *models: Path | str,
        refine: Path | str | None = None,
        threads: int | None = None,
        track: bool = True,
        smooth: bool = True,
    ) -> Self:
        """Load model files and return their estimator.

        Parameters
        ----------
        *models : path
            A .tflite of pipose, and smaller ones to fall back to when it gets hot.
        refine : path, optional
            A .tflite that refines each person on a crop.
        threads : int, optional
            Threads of the interpreter; by default all cores, at most four.
        track, smooth : bool
            See the class.

        Raises
        ------
        InputError, CardError
            A file cannot be loaded, or its card does not fit.
        DependencyError
            No TFLite interpreter is installed.

        Examples
        --------
        >>> from rpi_runtime import Estimator
        >>> Estimator.open("M.tflite").skeleton.keypoints[:2]
        ('nose', 'neck')
        """
        loaded = [Model(path, threads=threads) for path in models]
        if not loaded:
            raise UsageError("no model given", remedy="give the path of a .tflite")
        cascade = None
        if refine is not None:
            from rpi_runtime.cascade.cascade import open_cascade  # loaded by those who use it
            from rpi_runtime.cascade.spec import RefineConfig

            config = RefineConfig(model=str(refine))
            cascade = open_cascade(config, loaded[0].card.skeleton, threads=threads)
        return cls(loaded, track=track, smooth=smooth, cascade=cascade)

    def __call__(
        self,
        image: Image,
        timestamp_ns: int | None = None,
        *,
        smaller: int = 0,
        prepared: Callable[[], None] = lambda: None,
    ) -> Estimate:
        """Find the people on one picture.

        Parameters
        ----------
        image : ndarray, shape (H, W, 3), uint8, BGR
        timestamp_ns : int, optional
            When it was taken, for tracking and smoothing; by default now.
        smaller : int
            Index of the model: 0 is the first, 1 the next smaller one.
        prepared : callable
            Called as soon as `image` is no longer needed.
        """
        if timestamp_ns is None:
            timestamp_ns = time.monotonic_ns()
        if self._cascade is not None:
            return self._refined(self._cascade, image, timestamp_ns, smaller, prepared)
        poses, spans = self._look(image, smaller, prepared)
        begin = time.monotonic_ns()
        tracks = self._follow(poses, [pose.score for pose in poses], timestamp_ns, smaller)
        return Estimate(tracks=tracks, latency_ns=spans | {"track": time.monotonic_ns() - begin})

    def _look(
        self, image: Image, smaller: int, prepared: Callable[[], None]
    ) -> tuple[tuple[Pose, ...], dict[str, int]]:
        """Return the people of the whole picture, and the time of each of `LOOK_STAGES`."""
        model, preprocess, decode = self._stages[smaller]
        begin = time.monotonic_ns()
        transform = preprocess(image, model.input)
        prepared()
        ready = time.monotonic_ns()
        model.invoke()
        inferred = time.monotonic_ns()
        poses = decode.read(model, transform)
        times = (begin, ready, inferred, time.monotonic_ns())
        spans = [after - before for before, after in itertools.pairwise(times)]
        return poses, dict(zip(LOOK_STAGES, spans, strict=True))

    def _refined(
        self,
        cascade: Cascade,
        image: Image,
        timestamp_ns: int,
        smaller: int,
        prepared: Callable[[], None],
    ) -> Estimate:
        """Do the same with a cascade, which needs the picture until the last crop. Without ids, every pass is full."""
        poses: tuple[Pose, ...] | None = None
        spans: dict[str, int] = {}
        cascade.begin()
        if self._tracker is None:
            cascade.forget()
        if self._tracker is None or cascade.wants_look(timestamp_ns):
            poses, spans = self._look(image, smaller, lambda: None)
        begin = time.monotonic_ns()
        refined = cascade(image, poses, timestamp_ns)
        prepared()
        after = time.monotonic_ns()
        tracks = self._follow(refined.poses, refined.found, timestamp_ns, smaller, refined.refined)
        spans |= {"refine": after - begin, "track": time.monotonic_ns() - after}
        return Estimate(tracks=tracks, latency_ns=spans, looked=refined.looked)

    def _follow(
        self,
        poses: tuple[Pose, ...],
        scores: Sequence[float],
        timestamp_ns: int,
        smaller: int,
        refined: Sequence[bool] | None = None,
    ) -> tuple[Track, ...]:
        """Give people ids; behind a detector, a new person appears once sure (`TrackSpec.new_margin`)."""
        tracker, decoder = self._tracker, self.models[smaller].card.decoder
        refined = refined if refined is not None else (False,) * len(poses)
        if tracker is None:
            return tuple(Track(id=0, pose=p, refined=r) for p, r in zip(poses, refined, strict=True))
        sure = None
        if isinstance(decoder, DetectorSettings):
            sure = [score >= decoder.threshold + tracker.spec.new_margin for score in scores]
        tracks = tracker.update(poses, timestamp_ns, sure)
        return tuple(replace(t, refined=r) for t, r in zip(tracks, refined, strict=True) if t.id)
