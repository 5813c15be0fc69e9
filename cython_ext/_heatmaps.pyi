import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import Fused
from cython_ext.specs import Stored

OVERFLOW: int

class PeakBuffers:
    table_array: NDArray[np.float32]
    starts_array: NDArray[np.int32]
    def __init__(self, keypoints: int) -> None: ...
    def reserve(self, capacity: int) -> None: ...
    @property
    def capacity(self) -> int: ...
    def fit(self, height: int, width: int, channels: int, weights: NDArray[np.float32] | None) -> None: ...
    def dequantize(self, table: NDArray[np.float32]) -> None: ...
    def limit(self, channels: int, least: float) -> None: ...

# buffers, rows (H, W * channels), channels, peak_threshold, radius, by_score -> peaks, or OVERFLOW
fast: Fused[[PeakBuffers, Stored, int, float, float, bool], int]
