import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import Fused
from cython_ext.specs import PointRules, Stored

class PointBuffers:
    points_array: NDArray[np.float32]
    average_array: NDArray[np.float32]
    def __init__(self, rules: PointRules) -> None: ...
    def fit(
        self,
        height: int,
        width: int,
        channels: int,
        reals: NDArray[np.float32] | None,
        weights: NDArray[np.float32] | None,
    ) -> None: ...

# buffers, rows (H, W * channels), channels
find: Fused[[PointBuffers, Stored, int], None]
# buffers, rows and mirrored rows (H, W * channels), channels
average: Fused[[PointBuffers, Stored, Stored, int], None]

def suppress(
    points: NDArray[np.float32],
    areas: NDArray[np.float64],
    spreads: NDArray[np.float64],
    order: NDArray[np.int32],
    threshold: float,
    kept: NDArray[np.int32],
) -> int: ...
