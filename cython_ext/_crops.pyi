from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import Fused
from cython_ext.specs import Stored

class Taps:
    def __init__(self, size: int) -> None: ...
    def fit(self, scale: float, pad: float, limit: int, area: bool) -> None: ...

class CropBuffers:
    across: Taps
    down: Taps
    def __init__(self, height: int, width: int) -> None: ...
    def fit(self, columns: int) -> None: ...

# buffers, rows (H, W * 3), pad_value, order (3,), table (3, 256), out (height, width, 3)
cut: Fused[[CropBuffers, NDArray[np.uint8], float, NDArray[np.int32], NDArray[Any], Stored], None]
