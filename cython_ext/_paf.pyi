import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import Fused
from cython_ext.specs import LimbRules, Stored

class GroupBuffers:
    entries_array: NDArray[np.int32]
    scores_array: NDArray[np.float64]
    counts_array: NDArray[np.int32]
    def __init__(
        self, keypoints: int, limbs: NDArray[np.int32], weights: NDArray[np.float32] | None, rules: LimbRules
    ) -> None: ...
    def reserve(self, people: int, pairs: int) -> None: ...
    @property
    def capacity(self) -> tuple[int, int]: ...
    def dequantize(self, table: NDArray[np.float32]) -> None: ...

# buffers, peaks (N, 3), starts (K + 1,), pafs (H, W, C) -> people, or OVERFLOW
group: Fused[[GroupBuffers, NDArray[np.float32], NDArray[np.int32], Stored], int]

def place(
    ws: GroupBuffers,
    peaks: NDArray[np.float32],
    cell: float,
    to_image: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None: ...
