import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import Fused
from cython_ext.rules import SimccRules
from cython_ext.specs import Stored

class SimccBuffers:
    points_array: NDArray[np.float32]
    def __init__(self, rules: SimccRules) -> None: ...

# buffers, across (K, bins), down (K, bins), reals (2, 256), weights (2, 256)
find: Fused[[SimccBuffers, Stored, Stored, NDArray[np.float32], NDArray[np.float32]], None]
