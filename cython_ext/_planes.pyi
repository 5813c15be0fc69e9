import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import Fused
from cython_ext.specs import Stored

# rows (H, W * channels), channels, reals (256,), partner (K,), mirrored, out (K, H, W)
unpack: Fused[
    [Stored, int, NDArray[np.float32], NDArray[np.int32], bool, NDArray[np.float32]],
    None,
]

def resize(
    planes: NDArray[np.float32],
    down: NDArray[np.int32],
    down_weight: NDArray[np.float32],
    across: NDArray[np.int32],
    across_weight: NDArray[np.float32],
    wide: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None: ...
