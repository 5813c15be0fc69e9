"""Pictures for tests: smooth, so that JPEG keeps them nearly as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gradient(width: int = 64, height: int = 48, shift: int = 0) -> NDArray[np.uint8]:
    """(H, W, 3) BGR, different in every channel, moved by `shift`."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    channels = [(2 * x + shift) % 256, (3 * y + shift) % 256, (x + y + 2 * shift) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)
