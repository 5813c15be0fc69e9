"""A recording that is made in a moment."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from rpi_runtime.capture.recording import INDEX, REPLAY_FORMAT
from tests.rpi_runtime.pictures import gradient


def write_recording(path: Path, *, frames: int, fps: float) -> Path:
    """Write `frames` pictures at `fps` as a .zip for the source `replay`; return its path."""
    lines = [{"replay": REPLAY_FORMAT, "source": "test"}]
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(frames):
            data = io.BytesIO()
            np.save(data, gradient(shift=4 * number))
            archive.writestr(f"{number:06}.npy", data.getvalue())
            lines.append({"file": f"{number:06}.npy", "timestamp_ns": round(number / fps * 1e9)})
        archive.writestr(INDEX, "\n".join(map(json.dumps, lines)))
    return path
