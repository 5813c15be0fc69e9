"""Overlap of boxes: intersection over union, from 0 to 1.

Definition: https://cocodataset.org/#detection-eval. If a group is annotated as one, only the part of the
detection inside it counts, so that each of several detections may fit it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rpi_runtime.evaluate.people import Annotated, Found


def overlaps(found: Sequence[Found], people: Sequence[Annotated]) -> NDArray[np.float64]:
    """Return the overlap of each detection with each person, shape (detections, people)."""
    if not found or not people:
        return np.zeros((len(found), len(people)))
    one = np.array([f.box for f in found])[:, None, :]
    other = np.array([p.box for p in people])[None, :, :]
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    both = np.prod(np.maximum(high - low, 0), axis=2)
    own = np.prod(one[..., 2:], axis=2)
    union = own + np.prod(other[..., 2:], axis=2) - both
    crowd = np.array([p.crowd for p in people])
    whole = np.where(crowd, own, union)
    return np.asarray(np.divide(both, whole, out=np.zeros_like(both), where=whole > 0))
