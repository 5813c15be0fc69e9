"""A teacher that completes labels, so that unlabelled people do not count as background.

Labels made by a network (`export.train.label`) lack every person that it missed; a student that learns from them
alone learns to miss these people, too. The teacher processes the picture that the student gets, and its maps fill in
cells without a label (knowledge distillation; Hinton et al. 2015, arXiv:1503.02531).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import Floats
from rpi_runtime.errors import InputError
from rpi_runtime.model.inference import Quantization
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Image
from rpi_runtime.preprocess.letterbox import Preprocessor


class Teacher:
    """A .tflite with heatmaps and PAFs, on one thread.

    Raises
    ------
    InputError
        Its input or its maps do not have the student's size.
    """

    def __init__(self, path: Path, network: tuple[int, int], grid: tuple[int, int]) -> None:
        self._model = Model(path, threads=1)
        card = self._model.card
        shape = self._model.output("heatmaps").shape[1:3]
        if (card.input.width, card.input.height) != network or shape != grid:
            raise InputError(
                f"{path}: {card.input.size} with maps of {shape[1]}x{shape[0]}; expected "
                f"{network[0]}x{network[1]} with {grid[1]}x{grid[0]}, as the student has"
            )
        self._prepare = Preprocessor(card.input)

    def __call__(self, picture: Image) -> Floats:
        """Return heatmaps, then PAFs, (57, h, w), of a picture (H, W, 3) BGR."""
        self._prepare(picture, self._model.input)
        self._model.invoke()
        parts = [_real(self._model.output(r), self._model.quantization(r)) for r in ("heatmaps", "pafs")]
        return np.concatenate(parts, axis=2).transpose(2, 0, 1)


def _real(maps: NDArray[np.generic], quantization: Quantization) -> Floats:
    values: Floats = maps[0].astype(np.float32)
    if quantization.scale:
        values = (values - np.float32(quantization.zero_point)) * np.float32(quantization.scale)
    return values


def complete(labels: Floats, seen: Floats, kinds: int) -> None:
    """Complete labelled maps in place by the teacher's: the larger heatmap value, and fields where none is drawn.

    Parameters
    ----------
    labels, seen : ndarray, shape (kinds + fields, h, w), float32
    kinds : int
        Number of heatmaps; the last one is the background.
    """
    keypoints, background, fields = labels[: kinds - 1], labels[kinds - 1], labels[kinds:]
    np.maximum(keypoints, np.clip(seen[: kinds - 1], 0, 1), out=keypoints)
    background[:] = 1 - keypoints.max(axis=0)
    pairs, teacher = fields.reshape(-1, 2, *background.shape), seen[kinds:].reshape(-1, 2, *background.shape)
    empty = ~pairs.any(axis=1, keepdims=True)
    np.copyto(pairs, teacher, where=empty)
