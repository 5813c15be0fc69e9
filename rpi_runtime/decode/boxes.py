"""Turn a detector's maps into people in image coordinates: boxes, and keypoints where the network gives them."""

from __future__ import annotations

import threading
from dataclasses import replace

from cython_ext.rules import BoxLevel, BoxRules
from rpi_runtime.decode.exclusive import exclusive
from rpi_runtime.decode.maps import quantized
from rpi_runtime.decode.mode import Mode, checked_mode
from rpi_runtime.decode.settings import settings_of
from rpi_runtime.errors import DependencyError, InputError
from rpi_runtime.model.card import ModelCard, OutputSpec
from rpi_runtime.model.decoders import BoxPoseSettings, DetectorSettings
from rpi_runtime.model.inference import NetworkOutputs
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform

try:
    from cython_ext.boxes import BoxFinder
except ImportError as err:
    raise DependencyError(str(err)) from err

EXACT_THRESHOLD = 0.01  # detectors are scored with it: average precision needs doubtful detections, too


class BoxDecoder:
    """The decoder of one detector, with or without keypoints; keeps its buffers.

    Parameters
    ----------
    card : ModelCard
    mode : {"fast", "exact"}
        People above the card's threshold, or above 0.01 as detectors are scored; keypoints above the card's threshold,
        or all of them.

    Raises
    ------
    CardError
        The card is of another kind of network.

    Notes
    -----
    A detector without keypoints returns poses whose `keypoints` have no rows. One decoder serves one thread.
    """

    def __init__(self, card: ModelCard, mode: Mode = "fast") -> None:
        self.lock = threading.Lock()
        settings = settings_of(card, DetectorSettings, "boxes")
        if mode == "exact":
            settings = replace(settings, threshold=min(settings.threshold, EXACT_THRESHOLD))
        self.settings, self._mode = settings, checked_mode(mode)
        self._levels = tuple(_Level(card, spec, settings) for spec in reversed(card.outputs_of("boxes")))
        self._find = BoxFinder(box_rules(card, settings))
        self._least = settings.peak_threshold if isinstance(settings, BoxPoseSettings) else 0.0

    @exclusive
    def read(self, model: NetworkOutputs, transform: Transform) -> tuple[Pose, ...]:
        """Decode what `model` computed last: people in image pixels, surest first.

        Raises
        ------
        InputError
            Maps have a wrong shape or type.
        """
        try:
            found = self._find([level(model) for level in self._levels])
        except (ValueError, TypeError) as err:
            raise InputError(f"cannot decode: {err}") from err
        corners = transform.to_image(found.boxes.reshape(-1, 2, 2)).astype(float).tolist()
        points = found.points.copy()
        points[..., :2] = transform.to_image(points[..., :2])
        points[points[..., 2] <= (self._least if self._mode == "fast" else 0)] = 0
        return tuple(
            Pose(keypoints=keypoints, score=score, box=(x, y, right - x, bottom - y))
            for keypoints, score, ((x, y), (right, bottom)) in zip(
                points, found.scores.tolist(), corners, strict=True
            )
        )


class _Level:
    """One resolution of a detector's maps, read from a model."""

    def __init__(self, card: ModelCard, spec: OutputSpec, settings: DetectorSettings) -> None:
        self._stride = spec.stride
        self._has = {role: bool(card.outputs_of(role)) for role in ("objectness", "keypoints")}
        units = {
            "stride": (spec.stride,) * 2,
            "pixel": (1, 1),
            "input": (card.input.width, card.input.height),
        }
        self._unit = float(units[settings.unit][0]), float(units[settings.unit][1])
        self._step = 0.0 if spec.in_rows and spec.stride == 1 else float(spec.stride)

    def __call__(self, model: NetworkOutputs) -> BoxLevel:
        stride = self._stride
        return BoxLevel(
            scores=quantized(model, "scores", stride),
            boxes=quantized(model, "boxes", stride),
            objectness=quantized(model, "objectness", stride) if self._has["objectness"] else None,
            keypoints=quantized(model, "keypoints", stride) if self._has["keypoints"] else None,
            unit=self._unit,
            step=self._step,
        )


def box_rules(card: ModelCard, settings: DetectorSettings) -> BoxRules:
    """Return the kernel's rules."""
    count = len(card.skeleton.keypoints)
    shared = {
        "classes": settings.classes,
        "threshold": settings.threshold,
        "logits": settings.logits,
        "form": settings.form,
        "bins": settings.bins,
        "anchor": settings.anchor,
        "nms_overlap": settings.nms_overlap,
        "candidates": settings.candidates,
        "max_people": settings.max_people,
    }
    if not isinstance(settings, BoxPoseSettings):
        return BoxRules(**shared)  # type: ignore[arg-type]
    return BoxRules(
        **shared,  # type: ignore[arg-type]
        keypoints=count,
        visible=card.outputs_of("keypoints")[0].channels == 3 * count,
        keypoint_gain=settings.keypoint_gain,
        keypoint_anchor=settings.keypoint_anchor,
    )
