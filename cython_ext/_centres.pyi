import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import Fused
from cython_ext.rules import CentreRules
from cython_ext.specs import Stored

class CentreBuffers:
    points_array: NDArray[np.float32]
    centres_array: NDArray[np.float32]
    boxes_array: NDArray[np.float32]
    def __init__(self, rules: CentreRules) -> None: ...
    def fit(self, height: int, width: int, tables: NDArray[np.float32]) -> None: ...

# buffers, centre, heatmaps, regress, offset, box_scale, box_offset (both None without boxes) -> people
find: Fused[
    [
        CentreBuffers,
        Stored | None,
        Stored | None,
        Stored | None,
        Stored | None,
        Stored | None,
        Stored | None,
    ],
    int,
]
