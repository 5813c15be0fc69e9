"""Turn two one-dimensional distributions per keypoint into the person of a crop, in image coordinates."""

from __future__ import annotations

import threading

import numpy as np

from cython_ext.rules import SimccRules
from rpi_runtime.decode.crops import crop_pose
from rpi_runtime.decode.exclusive import exclusive
from rpi_runtime.decode.maps import quantized
from rpi_runtime.decode.mode import Mode, checked_mode
from rpi_runtime.decode.settings import settings_of
from rpi_runtime.errors import DependencyError, InputError
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import SimccSettings
from rpi_runtime.model.inference import NetworkOutputs
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform

try:
    from cython_ext.simcc import SimccFinder
except ImportError as err:
    raise DependencyError(str(err)) from err


class SimccDecoder:
    """The decoder of one SimCC model; keeps its buffers.

    Parameters
    ----------
    card : ModelCard
    mode : {"fast", "exact"}

    Raises
    ------
    CardError
        The card is of another kind of network.

    Notes
    -----
    One decoder serves one thread.
    """

    def __init__(self, card: ModelCard, mode: Mode = "fast") -> None:
        self.lock = threading.Lock()
        self.settings, self._mode = settings_of(card, SimccSettings, "simcc"), checked_mode(mode)
        self._find = SimccFinder(
            SimccRules(keypoints=len(card.skeleton.keypoints), softmax=self.settings.softmax)
        )

    @exclusive
    def read(self, model: NetworkOutputs, transform: Transform, *, box_score: float = 1.0) -> Pose:
        """Decode what `model` computed last; `InputError` when its outputs have a wrong shape or type."""
        across, down = (quantized(model, role, rows=True) for role in ("simcc_x", "simcc_y"))
        try:
            points = self._find(across, down).copy()
        except (ValueError, TypeError) as err:
            raise InputError(f"cannot decode: {err}") from err
        points[:, :2] = points[:, :2] * np.float32(1 / self.settings.split) + np.float32(
            self.settings.cell_origin
        )
        return crop_pose(points, transform, self.settings, self._mode, box_score)
