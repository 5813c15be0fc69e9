"""Turn centres and the keypoints near them into people in image coordinates (MoveNet), on crops or whole pictures."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from cython_ext.rules import Centred, CentreMaps, CentreRules
from rpi_runtime.decode.crops import crop_pose
from rpi_runtime.decode.exclusive import exclusive
from rpi_runtime.decode.maps import quantized
from rpi_runtime.decode.mode import Mode, checked_mode
from rpi_runtime.decode.settings import settings_of
from rpi_runtime.errors import DependencyError, InputError
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import CentreSettings
from rpi_runtime.model.inference import NetworkOutputs
from rpi_runtime.poses import Box, Pose
from rpi_runtime.preprocess.letterbox import Transform

try:
    from cython_ext.centres import CentreFinder
except ImportError as err:
    raise DependencyError(str(err)) from err

ROLES = ("centre", "heatmaps", "regress", "offset", "box_scale", "box_offset")


class _Centres:
    """The kernel for one card, and its positions in input pixels."""

    def __init__(self, card: ModelCard) -> None:
        self.settings = settings_of(card, CentreSettings, "centres")
        self._roles = tuple(role for role in ROLES if card.outputs_of(role))
        self._stride = card.output("heatmaps").stride
        many = self.settings.people == "many"
        self._find = CentreFinder(
            CentreRules(
                keypoints=len(card.skeleton.keypoints),
                many=many,
                threshold=self.settings.threshold,
                max_people=self.settings.max_people,
                nearness=self.settings.nearness,
                boxed=many and "box_scale" in self._roles,
            )
        )

    def __call__(self, model: NetworkOutputs) -> Centred:
        """Return people with points and boxes in input pixels; raises `InputError` for unsuitable maps."""
        try:
            found = self._find(CentreMaps(**{role: quantized(model, role) for role in self._roles}))
        except (ValueError, TypeError) as err:
            raise InputError(f"cannot decode: {err}") from err
        stride, origin = np.float32(self._stride), np.float32(self.settings.cell_origin)
        points = found.points.copy()
        points[..., :2] = points[..., :2] * stride + origin
        return Centred(points=points, centres=found.centres, boxes=found.boxes * stride + origin)


class CentreCropDecoder:
    """The decoder of one network with centres on crops; it returns the person with the surest centre.

    Parameters
    ----------
    card : ModelCard
    mode : {"fast", "exact"}

    Raises
    ------
    CardError
        The card is of another kind of network.
    """

    def __init__(self, card: ModelCard, mode: Mode = "fast") -> None:
        self.lock = threading.Lock()
        self._find, self._mode = _Centres(card), checked_mode(mode)
        self._keypoints = len(card.skeleton.keypoints)

    @exclusive
    def read(self, model: NetworkOutputs, transform: Transform, *, box_score: float = 1.0) -> Pose:
        """Decode what `model` computed last; no keypoint where there is no centre."""
        found = self._find(model)
        if len(found.points) == 0:
            return Pose(keypoints=np.zeros((self._keypoints, 3), np.float32), score=0.0)
        return crop_pose(found.points[0], transform, self._find.settings, self._mode, box_score)


class CentreDecoder:
    """The decoder of one network with centres on whole pictures; keeps its buffers.

    Parameters
    ----------
    card : ModelCard
    mode : {"fast", "exact"}

    Raises
    ------
    CardError
        The card is of another kind of network.
    """

    def __init__(self, card: ModelCard, mode: Mode = "fast") -> None:
        self.lock = threading.Lock()
        self._find, self._mode = _Centres(card), checked_mode(mode)

    @exclusive
    def read(self, model: NetworkOutputs, transform: Transform) -> tuple[Pose, ...]:
        """Decode what `model` computed last: people in image pixels, surest centre first.

        A person's score is the mean of the keypoints above the threshold; where there are many people, times the
        centre's value.
        """
        found = self._find(model)
        many = self._find.settings.people == "many"
        boxes = to_boxes(found.boxes, transform)
        people = []
        for points, centre, box in zip(found.points, found.centres.tolist(), boxes, strict=True):
            surely = centre if many else 1.0
            pose = crop_pose(points, transform, self._find.settings, self._mode, surely)
            people.append(Pose(keypoints=pose.keypoints, score=pose.score, box=box if many else None))
        return tuple(p for p in people if p.score > 0)


def to_boxes(corners: NDArray[np.float32], transform: Transform) -> list[Box]:
    """Return x, y, width, height in image pixels for corners (N, 4) in input pixels."""
    image = transform.to_image(corners.reshape(-1, 2, 2)).astype(float)
    return [(x, y, right - x, bottom - y) for (x, y), (right, bottom) in image.tolist()]
