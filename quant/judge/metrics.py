"""The difference of quantized maps from float ones, in the field's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cython_ext.heatmaps import PeakFinder
from cython_ext.specs import Floats, PeakRules

# A peak counts as found again if the other map has one of its type within one cell. A map of more than so many cells on
# its longer side, as at the input's own resolution, tells a place no better than the usual one of 64 x 48: there it is
# as many cells as make up one of those.
MATCH_CELLS = 64

LikenessOf = Literal["poses", "crops", "crop maps", "boxes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """INT8 against float over a set of images.

    Attributes
    ----------
    images : int
    heatmap_rmse : float
        Root mean square difference over all heatmap values; a keypoint's peak is about 1.
    paf_relative_l2 : float
        Norm of the PAFs' difference over the norm of the float PAFs; 0 without PAFs.
    peaks : int
        Keypoint peaks in the float maps; of a network without maps, the boxes and keypoints that it finds.
    lost, added : float
        Fraction of `peaks` without an INT8 peak nearby; number of INT8 peaks without a float peak nearby over `peaks`.
    shift_px, shift_p95_px : float
        Mean and 95th percentile distance of matched peaks, pixels of the network's input.
    tag_rmse : float
        Root mean square difference of tags where the float heatmap of their keypoint reaches the threshold. Tags of
        different people differ by about 1. 0 without tags.
    output_error : float
        Norm of an output's difference over the norm of the float output. The largest of all outputs.
    peak_height : float
        Largest value of a keypoint's float heatmap on any image: the network's own scale. 0 without heatmaps.
    part_shift : float
        Without heatmaps: mean distance of the boxes' edges and of the keypoints, over the person's size.
    likeness : float or None
        Without heatmaps, and for crops: AP in percent where the float network's people are the truth
        (`quant.judge.likeness`); None where COCO has no measure for them.
    strict_likeness : float or None
        The same at similarities of 0.80 to 0.98, of poses in whole pictures.
    likeness_of : {"poses", "crops", "crop maps", "boxes"}
        What that is the AP of: poses in whole pictures, poses in crops of one person each, with heatmaps or without,
        or boxes.
    """

    images: int
    heatmap_rmse: float
    paf_relative_l2: float
    peaks: int
    lost: float
    added: float
    shift_px: float
    shift_p95_px: float
    tag_rmse: float = 0.0
    output_error: float = 0.0
    peak_height: float = 1.0
    part_shift: float = 0.0
    likeness: float | None = None
    strict_likeness: float | None = None
    likeness_of: LikenessOf = "poses"


class AgreementMeter:
    """Accumulates an `Agreement` image by image.

    Parameters
    ----------
    keypoints : int
        Number of heatmap channels that are keypoints. A background channel after them counts in the rmse only.
    stride : int
        Input pixels per cell.
    peak_threshold : float
        Minimum heatmap value of a peak.
    single : bool
        Whether a map is of one person, whose keypoint is its highest peak: others are not read.
    """

    def __init__(self, keypoints: int, stride: int, peak_threshold: float, *, single: bool = False) -> None:
        self._stride, self._single = stride, single
        self._rules = PeakRules(keypoints=keypoints, peak_threshold=peak_threshold)
        self._finders = PeakFinder(self._rules), PeakFinder(self._rules)  # each keeps its own result
        self._images = self._values = self._peaks = self._lost = self._added = 0
        self._heatmap_error = self._paf_error = self._paf_energy = self._tag_error = 0.0
        self._tags = 0
        self._outputs: dict[str, list[float]] = {}
        self._height = 0.0
        self._shifts: list[float] = []

    def add(self, heatmaps: tuple[Floats, Floats], pafs: tuple[Floats, Floats] | None = None) -> None:
        """Add one image's float and INT8 maps, (H, W, C) each. Of heatmaps at several strides, give the finest."""
        self._images += 1
        self.add_values(heatmaps)
        self._height = max(self._height, float(heatmaps[0][..., : self._rules.keypoints].max()), 1e-6)
        if pafs is not None:
            self._paf_error += _energy(pafs[0] - pafs[1])
            self._paf_energy += _energy(pafs[0])
        real, other = (find(h) for find, h in zip(self._finders, heatmaps, strict=True))
        for kind in range(self._rules.keypoints):
            here = real.table[real.starts[kind] : real.starts[kind + 1]]
            there = other.table[other.starts[kind] : other.starts[kind + 1]]
            if self._single:
                here, there = _highest(here), _highest(there)
            self._match(here[:, :2], there[:, :2], max(1.0, max(heatmaps[0].shape[:2]) / MATCH_CELLS))

    def add_image(self) -> None:
        """Count an image of a network without heatmaps."""
        self._images += 1

    def add_output(self, name: str, pair: tuple[Floats, Floats]) -> None:
        """Add one image's float and INT8 values of any output."""
        sums = self._outputs.setdefault(name, [0.0, 0.0])
        sums[0] += _energy(pair[0] - pair[1])
        sums[1] += _energy(pair[0])

    def add_values(self, heatmaps: tuple[Floats, Floats]) -> None:
        """Add heatmaps of coarser strides, which count in the rmse only."""
        self._values += heatmaps[0].size
        self._heatmap_error += _energy(heatmaps[0] - heatmaps[1])

    def add_tags(self, heatmaps: Floats, tags: tuple[Floats, Floats]) -> None:
        """Add float and INT8 tags and the float heatmaps of the same stride."""
        count = self._rules.keypoints
        there = heatmaps[..., :count] >= self._rules.peak_threshold
        self._tags += int(np.count_nonzero(there))
        self._tag_error += _energy((tags[0] - tags[1])[..., :count][there])

    def _match(self, here: Floats, there: Floats, radius: float) -> None:
        self._peaks += len(here)
        if len(here) == 0 or len(there) == 0:
            self._lost += len(here)
            self._added += len(there)
            return
        distance = np.linalg.norm(here[:, None] - there[None], axis=2)
        nearest = distance.min(axis=1)
        matched = nearest <= radius
        self._lost += int(np.count_nonzero(~matched))
        self._added += int(np.count_nonzero(distance.min(axis=0) > radius))
        self._shifts.extend((nearest[matched] * self._stride).tolist())

    def result(self) -> Agreement:
        """Return the figures so far. At least one image is required."""
        shifts = np.array(self._shifts or [0.0])
        peaks = max(self._peaks, 1)
        return Agreement(
            images=self._images,
            heatmap_rmse=float(np.sqrt(self._heatmap_error / max(self._values, 1))),
            paf_relative_l2=float(np.sqrt(self._paf_error / max(self._paf_energy, 1e-12))),
            peaks=self._peaks,
            lost=self._lost / peaks,
            added=self._added / peaks,
            shift_px=float(shifts.mean()),
            shift_p95_px=float(np.percentile(shifts, 95)),
            tag_rmse=float(np.sqrt(self._tag_error / max(self._tags, 1))),
            output_error=max(
                (float(np.sqrt(e / max(s, 1e-12))) for e, s in self._outputs.values()), default=0.0
            ),
            peak_height=self._height,
        )


def _highest(peaks: Floats) -> Floats:
    """Of peaks (N, columns), with their scores in the third column, the highest; (0 or 1, columns)."""
    return peaks[np.argsort(-peaks[:, 2], kind="stable")[:1]]


def _energy(values: Floats) -> float:
    return float(np.square(values, dtype=np.float64).sum())
