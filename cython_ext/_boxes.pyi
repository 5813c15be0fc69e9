import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import Fused
from cython_ext.rules import BoxRules
from cython_ext.specs import Stored

FORMS: dict[str, int]

class BoxBuffers:
    boxes_array: NDArray[np.float32]
    scores_array: NDArray[np.float32]
    classes_array: NDArray[np.int32]
    points_array: NDArray[np.float32]
    count: int
    ranked: int
    people: int
    def __init__(self, rules: BoxRules) -> None: ...
    def fit(self, cells: int) -> None: ...
    def begin(self) -> None: ...

# buffers, level, scores, objectness, table (256,), object_table (256,)
collect: Fused[[BoxBuffers, int, Stored, Stored | None, NDArray[np.float32], NDArray[np.float32]], None]
# buffers, level, boxes, table (256,), weights (256,), unit_x, unit_y, step
place: Fused[
    [BoxBuffers, int, Stored, NDArray[np.float32], NDArray[np.float32], float, float, float],
    None,
]
# buffers, level, keypoints, table (256,), visibility (256,), unit_x, unit_y, step
point: Fused[
    [BoxBuffers, int, Stored, NDArray[np.float32], NDArray[np.float32], float, float, float],
    None,
]

def rank(ws: BoxBuffers) -> None: ...
def suppress(ws: BoxBuffers) -> int: ...
