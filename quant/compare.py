"""Float against INT8: run both files on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quant.metrics import Agreement, AgreementMeter
from rpi_runtime.card import ModelCard
from rpi_runtime.interpreter import Model
from rpi_runtime.preprocess import Frame, Preprocessor


def compare_files(real: Path, quantized: Path, card: ModelCard, frames: Sequence[Frame]) -> Agreement:
    """Return how far `quantized` is from `real` over BGR pictures of any size.

    Parameters
    ----------
    real, quantized : path
        .tflite files with the tensors that `card` describes; they need no card of their own.
    """
    models = [Model(path, card=card) for path in (real, quantized)]
    prepare = Preprocessor(card.input)
    keypoints = len(card.skeleton.keypoints)
    meter = AgreementMeter(keypoints, card.output("heatmaps").stride, card.decoder.peak_threshold)
    for frame in frames:
        for model in models:
            prepare(frame, model.input)
            model.invoke()
        heatmaps, pafs = ((models[0].real_output(r), models[1].real_output(r)) for r in ("heatmaps", "pafs"))
        meter.add(heatmaps, pafs)
    return meter.result()
