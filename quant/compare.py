"""Float against INT8: run both files on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quant.metrics import Agreement, AgreementMeter, Maps
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import BoxPoseSettings, BoxSettings, SimccSettings
from rpi_runtime.model.interpreter import Model
from rpi_runtime.preprocess.letterbox import Frame, Preprocessor


def compare_files(real: Path, quantized: Path, card: ModelCard, frames: Sequence[Frame]) -> Agreement:
    """Return the difference of `quantized` from `real` over BGR pictures of any size.

    Parameters
    ----------
    real, quantized : path
        .tflite files with the tensors that `card` describes. They need not have a card.
    """
    models = [Model(path, card=card) for path in (real, quantized)]
    prepare = Preprocessor(card.input)
    keypoints = len(card.skeleton.keypoints)
    if isinstance(card.decoder, BoxSettings | BoxPoseSettings | SimccSettings):
        # a detector of boxes has no keypoints, and no peaks are looked for
        strides, meter = [], AgreementMeter(max(keypoints, 1), stride=1, peak_threshold=1.0)
    else:
        strides = [o.stride for o in card.outputs_of("heatmaps")]
        meter = AgreementMeter(keypoints, strides[-1], card.decoder.peak_threshold)

    def pair(role: str, stride: int) -> tuple[Maps, Maps]:
        return models[0].real_output(role, stride), models[1].real_output(role, stride)

    for frame in frames:
        for model in models:
            prepare(frame, model.input)
            model.invoke()
        pafs = [pair("pafs", o.stride) for o in card.outputs_of("pafs")]
        if strides:
            meter.add(pair("heatmaps", strides[-1]), pafs[0] if pafs else None)
        else:
            meter.add_image()
        for stride in strides[:-1]:
            meter.add_values(pair("heatmaps", stride))
        for output in card.outputs:
            meter.add_output(output.name, pair(output.role, output.stride))
        for tags in card.outputs_of("tags"):
            meter.add_tags(models[0].real_output("heatmaps", tags.stride), pair("tags", tags.stride))
    return meter.result()
