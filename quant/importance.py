"""How much each value of a network's outputs counts for the people that are decoded from them.

A detector has thousands of cells, and its people come from a few: what stands in a cell that is sure of no person is
never read. An error that counts every value alike would spend the 256 steps of each tensor on the background. So each
cell counts with its probability of a person, and there an error counts relative to what COCO's measures forgive: a
keypoint's by its own sigma and the person's size, a box edge's by the person's size, a score's by its logit. Maps count
the same everywhere, except those that are read at a centre or a keypoint only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cython_ext.specs import Floats
from rpi_runtime.model.card import ModelCard, OutputSpec
from rpi_runtime.model.decoders import BoxPoseSettings, CentreSettings, DetectorSettings
from rpi_runtime.model.outputs import output_view

Outputs = Mapping[str, Floats]  # by name
Weights = dict[str, Floats]  # of the shapes of the outputs
Weigh = Callable[[Sequence[Outputs]], list[Weights]]

LEAST_SIZE = 0.25  # of the mean person's size: smaller ones count as if they had it
BACKGROUND = 1e-6  # least weight of a cell that is sure of no person
SURE = 0.05  # what the logit of a cell counts that is sure of a person
SORTED = 0.01  # probability below which a cell comes behind all that AP looks at, however it is sorted
# Errors that count as 1. An edge that is off by a tenth of the size costs a fifth of the overlap (IoU); a logit that is
# off by 1 changes a probability of 0.5 to 0.27.
EDGE, LOGIT = 0.1, 1.0
VISIBILITY = 2.0  # the logit of a keypoint's visibility sorts nothing
SIGMA = 0.07  # of a keypoint whose sigma the card does not say: the mean of COCO's


def evenly(runs: Sequence[Outputs]) -> list[Weights]:
    """Weigh each output's error relative to its norm over all images, all its values alike.

    Parameters
    ----------
    runs : sequence of mapping of str to ndarray
        The float outputs of each image.

    Returns
    -------
    list of dict of str to ndarray
        For each image the factors of squared errors, of the outputs' shapes.
    """
    energy: dict[str, float] = {}
    for run in runs:
        for name, value in run.items():
            energy[name] = energy.get(name, 0.0) + float(np.square(value, dtype=np.float64).sum())
    return [{n: np.full_like(v, 1 / max(energy[n], 1e-24)) for n, v in run.items()} for run in runs]


def for_decoder(card: ModelCard) -> Weigh:
    """Return the weights for what the decoder of `card` reads; the result is used as `evenly` is."""
    decoder = card.decoder
    if isinstance(decoder, DetectorSettings):
        return lambda runs: _detector(card, decoder, runs)
    if isinstance(decoder, CentreSettings):
        return lambda runs: _centres(card, runs)
    return evenly


def _detector(card: ModelCard, decoder: DetectorSettings, runs: Sequence[Outputs]) -> list[Weights]:
    """Weights of a detector's outputs, over the number of people that the probabilities of all cells add up to."""
    sure = [_by_stride(card, run, "scores", lambda v: _sureness(v, decoder)) for run in runs]
    sizes = [_by_stride(card, run, "boxes", lambda v: _sizes(v, decoder)) for run in runs]
    cells = [(s[stride], z[stride]) for s, z in zip(sure, sizes, strict=True) for stride in s]
    people = sum(float(s.sum()) for s, _ in cells)
    least = LEAST_SIZE * sum(float((s * z).sum()) for s, z in cells) / people
    found: list[Weights] = []
    for run, surely, size in zip(runs, sure, sizes, strict=True):
        weights = {name: np.zeros_like(value) for name, value in run.items()}
        for spec in card.outputs:
            wide = np.maximum(size[spec.stride], least)
            likely = surely[spec.stride]
            chance = _sorting(likely, decoder) if spec.role == "scores" else likely
            output_view(spec, card.input, weights[spec.name])[:] = (
                chance / people * _forgiven(card, decoder, spec, wide)
            )
        found.append(weights)
    return found


def _sorting(likely: Floats, decoder: DetectorSettings) -> Floats:
    """How much a cell's logit matters to the order in which AP takes people.

    The doubtful are sorted, too, so it grows with the root of the probability only. Beside keypoints, the thousands of
    cells of the background, and those that no error makes doubtful, count less, or they outweigh all keypoints; boxes
    they do not outweigh, and the bundled finder's pair loses an AP where they count less.
    """
    if not isinstance(decoder, BoxPoseSettings):
        return np.sqrt(likely)
    open_to_doubt = 1 - (1 - SURE) * likely
    return np.asarray(np.sqrt(likely) * open_to_doubt * likely / (likely + SORTED), np.float32)


def _forgiven(card: ModelCard, decoder: DetectorSettings, spec: OutputSpec, size: Floats) -> Floats | float:
    """One over the square of the error that counts as 1, over the number of values; (1, H, W, 1 or channels)."""
    if spec.role == "keypoints":
        assert isinstance(decoder, BoxPoseSettings)
        sigmas = np.array(card.skeleton.sigmas or [SIGMA] * len(card.skeleton.keypoints), np.float32)
        # of the size: where COCO's similarity has fallen to exp(-1/2)
        far = 2 * sigmas / decoder.keypoint_gain
        places = 1 / np.square(far[None, None, None, :] * size) / len(sigmas)
        seen = np.full_like(places, VISIBILITY**-2 / len(sigmas))
        parts = spec.channels // len(sigmas)
        return np.stack([places, places, seen][:parts], axis=-1).reshape(*places.shape[:-1], -1)
    if spec.role == "boxes":
        if decoder.bins > 1 or decoder.form == "exponential":  # logits of bins, logarithms of sides
            return LOGIT**-2 / spec.channels
        return np.asarray(1 / np.square(EDGE * size) / spec.channels)
    return LOGIT**-2 / spec.channels


def _by_stride(
    card: ModelCard, run: Outputs, role: str, read: Callable[[Floats], Floats]
) -> dict[int, Floats]:
    """What `read` makes of the outputs of a role, by stride."""
    return {o.stride: read(output_view(o, card.input, run[o.name])) for o in card.outputs_of(role)}


def _sureness(scores: Floats, decoder: DetectorSettings) -> Floats:
    """Each cell's probability of a person, (1, H, W, 1)."""
    likely = scores[..., list(decoder.classes)].max(axis=-1, keepdims=True)
    return np.maximum(_probability(likely) if decoder.logits else likely, np.float32(BACKGROUND))


def _sizes(boxes: Floats, decoder: DetectorSettings) -> Floats:
    """Mean of each cell's box's sides, in the decoder's unit, (1, H, W, 1)."""
    if decoder.bins > 1:
        bins = boxes.reshape(*boxes.shape[:-1], 4, decoder.bins)
        chances = np.exp(bins - bins.max(axis=-1, keepdims=True))
        boxes = (chances @ np.arange(decoder.bins, dtype=np.float32)) / chances.sum(axis=-1)
    if decoder.form == "distances":
        return np.asarray(np.abs(boxes).sum(axis=-1, keepdims=True) / 2)
    sides = boxes[..., 2:] - boxes[..., :2] if decoder.form == "corners" else boxes[..., 2:]
    if decoder.form == "exponential":
        sides = np.exp(np.minimum(sides, np.float32(20)))
    return np.asarray(np.abs(sides).mean(axis=-1, keepdims=True))


def _probability(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)


def _centres(card: ModelCard, runs: Sequence[Outputs]) -> list[Weights]:
    """Maps evenly; what is read at a person's centre by the centre's map, offsets by their keypoint's."""
    roles = {o.role: o for o in card.outputs}
    weights = evenly(runs)
    for spec in card.outputs:
        if spec.role in ("centre", "heatmaps"):
            continue
        guide = roles["heatmaps" if spec.role == "offset" else "centre"]
        parts = []
        for run in runs:
            there = np.clip(output_view(guide, card.input, run[guide.name]), BACKGROUND, None)
            parts.append(np.repeat(there, spec.channels // there.shape[-1], axis=-1))
        values = [output_view(spec, card.input, run[spec.name]) for run in runs]
        energy = sum(
            float((p * np.square(v)).sum(dtype=np.float64)) for p, v in zip(parts, values, strict=True)
        )
        for part, found in zip(parts, weights, strict=True):
            output_view(spec, card.input, found[spec.name])[:] = part / max(energy, 1e-24)
    return weights
