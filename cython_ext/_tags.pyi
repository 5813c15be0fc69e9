import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import TagRules

class TagBuffers:
    points_array: NDArray[np.float32]
    scores_array: NDArray[np.float64]
    counts_array: NDArray[np.int32]
    def __init__(self, rules: TagRules) -> None: ...
    def fit(
        self,
        down: NDArray[np.int32],
        down_weight: NDArray[np.float32],
        across: NDArray[np.int32],
        across_weight: NDArray[np.float32],
    ) -> None: ...

def group(ws: TagBuffers, heatmaps: NDArray[np.float32], tags: NDArray[np.float32]) -> int: ...
