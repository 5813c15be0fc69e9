"""What a frame holds, and the one place that states coordinates.

Images are (H, W, 3) uint8. Keypoints are (x, y) in pixels, x to the right, y down, continuous: the image's
top-left corner is (0, 0) and the centre of its first pixel is (0.5, 0.5). The same rule holds for network
inputs and for maps, so a point on a map of stride 8 lies at ``8 * (x, y)`` on the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pose:
    """One person.

    Attributes
    ----------
    keypoints : ndarray, shape (K, 3), float32
        x, y (pixels of the image) and score of each keypoint in the order of the model's skeleton.
        A keypoint that was not found is (0, 0, 0), as in COCO results.
    score : float
        Sum of keypoint and limb scores, as the reference decoder counts it; larger is surer.
    """

    keypoints: NDArray[np.float32]
    score: float

    @property
    def found(self) -> NDArray[np.bool_]:
        """Shape (K,): which keypoints were found."""
        return self.keypoints[:, 2] > 0
