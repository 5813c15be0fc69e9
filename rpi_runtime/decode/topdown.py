"""Turn the heatmaps of one person's crop into that person in image coordinates."""

from __future__ import annotations

import threading

import numpy as np

from cython_ext.specs import PointRules, Stored
from rpi_runtime.decode.crops import crop_pose
from rpi_runtime.decode.exclusive import exclusive
from rpi_runtime.decode.maps import FLOAT, partners, single
from rpi_runtime.decode.mode import Mode, checked_mode
from rpi_runtime.decode.settings import settings_of
from rpi_runtime.errors import DependencyError, InputError
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import TopdownSettings
from rpi_runtime.model.inference import NetworkOutputs, Quantization
from rpi_runtime.poses import Pose
from rpi_runtime.preprocess.letterbox import Transform

try:
    from cython_ext.topdown import PointFinder
except ImportError as err:
    raise DependencyError(str(err)) from err


class TopdownDecoder:
    """The decoder of one top-down model: it turns maps of a crop into a person in image pixels and keeps its buffers.

    Parameters
    ----------
    card : ModelCard
    mode : {"fast", "exact"}
        "fast" leaves out keypoints below the card's threshold; "exact" returns all, as the papers evaluate.
    settings : TopdownSettings, optional
        Instead of the card's: ``dataclasses.replace(card.decoder, beta=100.0)``.

    Raises
    ------
    CardError
        The card is of another kind of network.

    Notes
    -----
    The card says where the cells lie: most networks are trained with targets at ``round(x / stride)`` of pixel indices,
    so that cell i stands for pixel ``stride * i`` of the crop, whose middle is at ``stride * i + 0.5``. One decoder
    serves one thread.
    """

    def __init__(
        self,
        card: ModelCard,
        mode: Mode = "fast",
        *,
        settings: TopdownSettings | None = None,
    ) -> None:
        self._mode = checked_mode(mode)
        self.lock = threading.Lock()
        self.settings = settings if settings is not None else settings_of(card, TopdownSettings, "topdown")
        self._stride = card.output("heatmaps").stride
        count = len(card.skeleton.keypoints)
        self._find = PointFinder(
            PointRules(
                keypoints=count,
                beta=self.settings.beta or 0.0,
                quarter_offset=self.settings.quarter_offset,
                parabola=self.settings.parabola,
                partners=partners(self.settings.flip_pairs, count),
                flip_shift=self.settings.flip_shift,
            )
        )

    @exclusive
    def decode(
        self,
        heatmaps: Stored,
        transform: Transform,
        quantization: Quantization = FLOAT,
        *,
        box_score: float = 1.0,
        flipped: Stored | None = None,
    ) -> Pose:
        """Find the keypoints of one person.

        Parameters
        ----------
        heatmaps : ndarray, shape (H, W, C) or (1, H, W, C), float32 or int8
            Views as the interpreter gives them; read, not kept.
        transform : Transform
            From the image to the crop, which is the network's input.
        quantization : Quantization
            Quantization of int8 maps; scale 0 marks float.
        box_score : float
            Score of the detection that the crop comes from.
        flipped : ndarray, of the same shape and type, optional
            The network's maps of the mirrored crop, unchanged, to average with.

        Returns
        -------
        Pose
            In image pixels; its score is `box_score` times the mean value of the keypoints above the threshold.

        Raises
        ------
        InputError
            The maps have a wrong shape or type, or the scale is not above 0.
        """
        other = None if flipped is None else single(flipped)
        try:
            points = self._find(single(heatmaps), quantization.scale, quantization.zero_point, other)
        except (ValueError, TypeError) as err:
            raise InputError(f"cannot decode: {err}") from err
        found = points.copy()
        found[:, :2] = found[:, :2] * np.float32(self._stride) + np.float32(self.settings.cell_origin)
        return crop_pose(found, transform, self.settings, self._mode, box_score)

    def read(self, model: NetworkOutputs, transform: Transform, *, box_score: float = 1.0) -> Pose:
        """Decode what `model` computed last."""
        return self.decode(
            model.output("heatmaps"), transform, model.quantization("heatmaps"), box_score=box_score
        )
