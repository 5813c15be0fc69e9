"""Float against INT8: run both files on the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cython_ext.specs import Floats
from quant.judge.likeness import Likeness
from quant.judge.metrics import Agreement, AgreementMeter
from quant.judge.people import PeopleMeter
from rpi_runtime.decode.choose import crop_decoder_for, decoder_for
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import CentreSettings, DetectorSettings, SimccSettings
from rpi_runtime.model.interpreter import Model
from rpi_runtime.poses import Image, Pose
from rpi_runtime.preprocess.letterbox import Preprocessor, Transform

Read = Callable[[Transform], Sequence[Pose]]


def compare_files(real: Path, quantized: Path, card: ModelCard, frames: Sequence[Image]) -> Agreement:
    """Return the difference of `quantized` from `real` over BGR pictures of any size.

    Maps are compared as maps; boxes, positions along lines, and maps whose peaks count only near a centre by the
    people that they decode to. Maps of crops are compared in both ways: their keypoints lie so exactly that a shift
    costs AP which is small beside a cell.

    Parameters
    ----------
    real, quantized : path
        .tflite files with the tensors that `card` describes. They need not have a card.
    """
    models = [Model(path, card=card) for path in (real, quantized)]
    if isinstance(card.decoder, DetectorSettings | CentreSettings | SimccSettings):
        return _people(models, card, frames)
    prepare = Preprocessor(card.input)
    strides = [o.stride for o in card.outputs_of("heatmaps")]
    meter = AgreementMeter(
        len(card.skeleton.keypoints),
        strides[-1],
        card.decoder.peak_threshold,
        single=card.sees_crops,
    )

    def pair(role: str, stride: int) -> tuple[Floats, Floats]:
        return models[0].real_output(role, stride), models[1].real_output(role, stride)

    likeness, readers = Likeness(card), [_reader(model) for model in models] if card.sees_crops else []
    for frame in frames:
        for model in models:
            transform = prepare(frame, model.input)
            model.invoke()
        if readers:
            real_people, other_people = (read(transform) for read in readers)
            likeness.add(real_people, other_people)
        pafs = [pair("pafs", o.stride) for o in card.outputs_of("pafs")]
        meter.add(pair("heatmaps", strides[-1]), pafs[0] if pafs else None)
        for stride in strides[:-1]:
            meter.add_values(pair("heatmaps", stride))
        for output in card.outputs:
            meter.add_output(output.name, pair(output.role, output.stride))
        for tags in card.outputs_of("tags"):
            meter.add_tags(models[0].real_output("heatmaps", tags.stride), pair("tags", tags.stride))
    return replace(meter.result(), likeness=likeness.percent(), likeness_of="crop maps")


def _people(models: Sequence[Model], card: ModelCard, frames: Sequence[Image]) -> Agreement:
    prepare, meter = Preprocessor(card.input), AgreementMeter(1, stride=1, peak_threshold=1.0)

    likeness = Likeness(card)
    people, readers = PeopleMeter(card), [_reader(model) for model in models]
    for frame in frames:
        found = []
        for model, read in zip(models, readers, strict=True):
            transform = prepare(frame, model.input)
            model.invoke()
            found.append(read(transform))
        meter.add_image()
        people.add(*found)
        likeness.add(*found)
        for output in card.outputs:
            values = [model.real_output(output.role, output.stride) for model in models]
            meter.add_output(output.name, (values[0], values[1]))
    seen = people.result()
    return replace(
        meter.result(),
        peaks=seen.parts,
        lost=seen.lost,
        added=seen.added,
        shift_px=seen.shift_px,
        shift_p95_px=seen.shift_p95_px,
        part_shift=seen.shift,
        likeness=likeness.percent(),
        strict_likeness=likeness.strict_percent(),
        likeness_of="crops" if card.sees_crops else "poses" if card.skeleton.keypoints else "boxes",
    )


def _reader(model: Model) -> Read:
    """What decodes the last run, doubtful people included."""
    if model.card.sees_crops:
        crop = crop_decoder_for(model.card, "exact")
        return lambda transform: [crop.read(model, transform)]
    whole = decoder_for(model.card, "exact")
    return lambda transform: whole.read(model, transform)
