"""Turn heatmaps and part affinity fields (PAFs) into people in image coordinates."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cython_ext.specs import LimbRules, PeakRules, Stored
from rpi_runtime.decode.exclusive import exclusive
from rpi_runtime.decode.maps import FLOAT, single
from rpi_runtime.decode.mode import Mode, checked_mode
from rpi_runtime.decode.settings import settings_of
from rpi_runtime.errors import CardError, DependencyError, InputError, UsageError
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import PafSettings
from rpi_runtime.model.inference import NetworkOutputs, Quantization
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform

try:
    from cython_ext.heatmaps import PeakFinder
    from cython_ext.paf import Grouper
except ImportError as err:
    raise DependencyError(str(err)) from err


@dataclass(frozen=True, slots=True, kw_only=True)
class PafOptions:
    """How to decode.

    Attributes
    ----------
    mode : {"fast", "exact"}
        Sub-pixel maxima of the maps themselves, or the reference's integer peaks of upsampled maps.
    upsample : {4, 8}
        Upsampling factor in mode "exact".
    suppression : {"position", "score"}
        In mode "fast", which of two peaks of one type that are too near stays: the left one or the higher one.
    merge : bool
        Join two partial people when a limb connects them and they have no keypoint in common.
    """

    mode: Mode = "fast"
    upsample: int = 4
    suppression: Literal["position", "score"] = "position"
    merge: bool = False

    def __post_init__(self) -> None:
        checked_mode(self.mode)
        if self.upsample not in (4, 8):
            raise UsageError(f"decoder upsample {self.upsample}: expected 4 or 8")
        if self.suppression not in ("position", "score"):
            raise UsageError(f"decoder suppression {self.suppression!r}: expected 'position' or 'score'")


class PafDecoder:
    """The decoder of one model: it turns maps into poses in image pixels and keeps its buffers between frames.

    Parameters
    ----------
    card : ModelCard
        Skeleton, limbs, stride and thresholds.
    options : PafOptions, optional
    settings : PafSettings, optional
        Instead of the card's: ``dataclasses.replace(card.decoder, peak_threshold=0.2)``.

    Raises
    ------
    CardError
        The heatmaps and PAFs have different strides, or a threshold makes no sense.

    Notes
    -----
    One decoder serves one thread.
    """

    def __init__(
        self, card: ModelCard, options: PafOptions | None = None, *, settings: PafSettings | None = None
    ) -> None:
        self.options = options if options is not None else PafOptions()
        self.lock = threading.Lock()
        stride = card.output("heatmaps").stride
        if card.output("pafs").stride != stride:
            raise CardError(f"strides of heatmaps ({stride}) and PAFs ({card.output('pafs').stride}) differ")
        peaks = peak_rules(card, self.options, settings)
        self._cell = stride / (peaks.upsample or 1)  # network pixels per pixel of the peaks' map
        self._keypoints = peaks.keypoints
        self._to_image = np.empty(4, np.float32)
        self._find_peaks = PeakFinder(peaks)
        self._group = Grouper(self._keypoints, limb_rules(card, self.options, settings), peaks.upsample)

    @exclusive
    def decode(
        self,
        heatmaps: Stored,
        pafs: Stored,
        transform: Transform,
        heatmap_quantization: Quantization = FLOAT,
        paf_quantization: Quantization = FLOAT,
    ) -> tuple[Pose, ...]:
        """Group one frame's maps into people.

        Parameters
        ----------
        heatmaps, pafs : ndarray, shape (H, W, C) or (1, H, W, C), float32 or int8
            Views as the interpreter gives them, any strides; read, not kept.
        transform : Transform
            Transform of the frame, from `rpi_runtime.preprocess.letterbox.Preprocessor`.
        heatmap_quantization, paf_quantization : Quantization
            Quantization of int8 maps; scale 0 marks float.

        Returns
        -------
        tuple of Pose
            In image pixels, in the order in which people were opened; empty when no person is found.

        Raises
        ------
        InputError
            The maps have a wrong shape or type, or a scale is not above 0.
        """
        maps, fields = single(heatmaps), single(pafs)
        if maps.shape[:2] != fields.shape[:2]:
            raise InputError(
                f"heatmaps {maps.shape} and PAFs {fields.shape}: expected the same height and width"
            )
        try:
            peaks = self._find_peaks(maps, heatmap_quantization.scale, heatmap_quantization.zero_point)
            people = self._group(peaks, fields, paf_quantization.scale, paf_quantization.zero_point)
        except (ValueError, TypeError) as err:
            raise InputError(f"cannot decode: {err}") from err
        keypoints = np.empty((len(people.score), self._keypoints, 3), np.float32)
        to_image = self._to_image
        to_image[:] = transform.pad_x, transform.pad_y, transform.scale_x, transform.scale_y
        self._group.place(peaks, self._cell, to_image, keypoints)
        scores = people.score.tolist()
        return tuple(Pose(keypoints=k, score=s) for k, s in zip(keypoints, scores, strict=True))

    def read(self, model: NetworkOutputs, transform: Transform) -> tuple[Pose, ...]:
        """Decode what `model` computed last."""
        return self.decode(
            model.output("heatmaps"),
            model.output("pafs"),
            transform,
            model.quantization("heatmaps"),
            model.quantization("pafs"),
        )


def peak_rules(card: ModelCard, options: PafOptions, settings: PafSettings | None = None) -> PeakRules:
    """Return the kernel's rules for peaks; `CardError` when a threshold makes no sense."""
    spec = settings if settings is not None else settings_of(card, PafSettings, "paf")
    try:
        return PeakRules(
            keypoints=len(card.skeleton.keypoints),
            peak_threshold=spec.peak_threshold,
            upsample=options.upsample if options.mode == "exact" else 0,
            suppression=options.suppression,
        )
    except ValueError as err:
        raise CardError(f"decoder of {card.name}: {err}") from err


def limb_rules(card: ModelCard, options: PafOptions, settings: PafSettings | None = None) -> LimbRules:
    """Return the kernel's rules for limbs; `CardError` when one makes no sense."""
    spec = settings if settings is not None else settings_of(card, PafSettings, "paf")
    try:
        return LimbRules(
            limbs=tuple((limb.a, limb.b, limb.paf_x, limb.paf_y, limb.fill_only) for limb in spec.limbs),
            limb_threshold=spec.limb_threshold,
            limb_fraction=spec.limb_fraction,
            min_keypoints=spec.min_keypoints,
            min_score=spec.min_score,
            merge=options.merge,
        )
    except ValueError as err:
        raise CardError(f"decoder of {card.name}: {err}") from err
