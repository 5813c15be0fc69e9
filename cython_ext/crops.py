"""Write a part of a picture into a network's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_ext.fused import by_type
from cython_ext.specs import NOT_BUILT

try:
    import cython_ext._crops as kernels
except ImportError as err:
    raise ImportError(NOT_BUILT) from err

CUT = by_type(kernels.cut)
LEAST_SCALE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a picture lies on a crop: ``crop = picture * scale + pad``, in pixels, continuous, for each axis.

    Attributes
    ----------
    scale_x, scale_y, pad_x, pad_y : float
    area : bool
        A pixel of the crop is the mean of the area that it covers; otherwise it is interpolated bilinearly.
    """

    scale_x: float
    scale_y: float
    pad_x: float
    pad_y: float
    area: bool = False

    def __post_init__(self) -> None:
        if not (LEAST_SCALE <= self.scale_x < np.inf and LEAST_SCALE <= self.scale_y < np.inf):
            raise ValueError(
                f"scales {self.scale_x}, {self.scale_y}: expected finite, at least {LEAST_SCALE}"
            )
        if not (np.isfinite(self.pad_x) and np.isfinite(self.pad_y)):
            raise ValueError(f"pads {self.pad_x}, {self.pad_y}: expected finite")


class Cropper:
    """Cuts crops for one network input out of pictures of any size; keeps its memory between calls.

    Parameters
    ----------
    size : (int, int)
        Height and width of the input.
    table : ndarray, shape (3, 256), float32 or int8
        The input's values for 0..255 of each channel, in the input's order of channels.
    order : (int, int, int)
        For each channel of the input the picture's: (2, 1, 0) exchanges blue and red.
    pad_value : int
        0..255, outside of the picture.
    """

    def __init__(
        self,
        size: tuple[int, int],
        table: NDArray[Any],
        *,
        order: tuple[int, int, int] = (0, 1, 2),
        pad_value: int = 0,
    ) -> None:
        if table.shape != (3, 256) or table.dtype not in CUT:
            raise ValueError(f"table of {table.dtype} {table.shape}: expected float32 or int8 (3, 256)")
        if sorted(order) != [0, 1, 2] or not 0 <= pad_value <= 255 or min(size) < 1:
            raise ValueError(f"order {order}, pad_value {pad_value}, size {size}: make no sense")
        self.size, self._table, self._pad = size, np.ascontiguousarray(table), float(pad_value)
        self._order = np.array(order, np.int32)
        self._buffers = kernels.CropBuffers(*size)
        self._columns = 0
        self._cut = CUT[table.dtype]

    def __call__(self, frame: NDArray[np.uint8], placement: Placement, out: NDArray[Any]) -> None:
        """Write one crop.

        Parameters
        ----------
        frame : ndarray, shape (H, W, 3), uint8
            Only read; rows may be padded.
        placement : Placement
        out : ndarray, shape (height, width, 3), C-contiguous, of the table's type
            A network's input, or one of a batch.

        Raises
        ------
        ValueError
            The frame is no picture, or `out` is not such an input.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
            raise ValueError(f"frame of shape {frame.shape}, {frame.dtype}: expected (H, W, 3) uint8")
        if out.shape != (*self.size, 3) or out.dtype != self._table.dtype or not out.flags.c_contiguous:
            raise ValueError(
                f"input {out.shape}, {out.dtype}: expected {(*self.size, 3)} {self._table.dtype}, contiguous"
            )
        height, width = frame.shape[:2]
        if width > self._columns:
            self._buffers.fit(width)
            self._columns = width
        self._buffers.across.fit(placement.scale_x, placement.pad_x, width, placement.area)
        self._buffers.down.fit(placement.scale_y, placement.pad_y, height, placement.area)
        self._cut(self._buffers, _rows(frame), self._pad, self._order, self._table, out)


def _rows(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture's rows, (H, W * 3): itself where only the rows are apart, as a camera gives them."""
    height, width = frame.shape[:2]
    if frame.strides[1:] != (3, 1):
        frame = np.ascontiguousarray(frame)
    if frame.flags.c_contiguous:
        return frame.reshape(height, 3 * width)
    return np.lib.stride_tricks.as_strided(frame, (height, 3 * width), (frame.strides[0], 1), writeable=False)
