"""What counts in a network's outputs: cells that are sure of a person, and there errors relative to the person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant.cards.read import read_own_card, template_names
from quant.importance import EDGE, SURE, Outputs, Weights, evenly, for_decoder
from rpi_runtime.model.card import ModelCard
from rpi_runtime.model.decoders import BoxSettings
from rpi_runtime.model.outputs import output_view, tensor_shape

DETECTOR = read_own_card("rtmdet-nano-person-320")
POSES = read_own_card("yolo11n-pose-320")
CENTRES = read_own_card("movenet-multipose-256")


def run(card: ModelCard, seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {o.name: draw.normal(0, 1, tensor_shape(card, o)).astype(np.float32) for o in card.outputs}


def part(card: ModelCard, values: Outputs, role: str, stride: int) -> np.ndarray:
    return output_view(card.output(role, stride), card.input, values[card.output(role, stride).name])


def weighed(card: ModelCard, values: Outputs) -> Weights:
    return for_decoder(card)([values])[0]


@pytest.mark.parametrize("name", template_names())
def test_every_card_of_the_package_gets_weights_of_its_outputs_shapes(name: str) -> None:
    card = read_own_card(name)
    values = run(card)
    weights = weighed(card, values)
    assert {n: w.shape for n, w in weights.items()} == {n: v.shape for n, v in values.items()}
    assert all((w >= 0).all() and np.isfinite(w).all() and w.any() for w in weights.values())


def test_evenly_counts_an_output_by_its_norm_over_all_images() -> None:
    runs = [{"maps": np.full((1, 2, 2, 1), v, np.float32)} for v in (1.0, 3.0)]
    for weights in evenly(runs):
        assert weights["maps"] == pytest.approx(1 / 40)


def test_the_order_of_the_background_does_not_outweigh_keypoints() -> None:
    """A map of a thousand empty cells with one doubtful person; who is quite sure is sorted before all the same."""
    values = run(POSES)
    for output in POSES.outputs_of("scores"):
        part(POSES, values, "scores", output.stride)[:] = -12.0
    part(POSES, values, "scores", 8)[0, 3, 4] = 0.0
    part(POSES, values, "scores", 8)[0, 9, 9] = 12.0
    counts = part(POSES, weighed(POSES, values), "scores", 8)[0, ..., 0]
    person, sure = counts[3, 4], counts[9, 9]
    assert counts.sum() - person - sure < 0.01 * person
    assert sure < 3 * SURE * person


def test_beside_boxes_alone_a_score_counts_by_the_root_of_its_probability() -> None:
    values = run(DETECTOR)
    part(DETECTOR, values, "scores", 8)[0, 3, 4:6, 0] = 0.0, -4.0
    counts = part(DETECTOR, weighed(DETECTOR, values), "scores", 8)[0, 3, 4:6, 0]
    assert counts[1] / counts[0] == pytest.approx(np.sqrt(2 / (1 + np.exp(4.0))), rel=1e-3)


def test_a_cell_that_is_sure_of_nobody_hardly_counts() -> None:
    values = run(DETECTOR)
    for stride in (8, 16, 32):
        part(DETECTOR, values, "scores", stride)[:] = -12.0
        part(DETECTOR, values, "boxes", stride)[:] = 40.0
    part(DETECTOR, values, "scores", 16)[0, 3, 4] = 3.0
    weights = weighed(DETECTOR, values)
    for role in ("scores", "boxes"):
        found = part(DETECTOR, weights, role, 16)[0]
        assert found[3, 4].min() > (300 if role == "scores" else 1e4) * found[9, 9].max()
        if role == "boxes":
            assert found[3, 4].sum() == pytest.approx(1 / EDGE**2 / 80**2, rel=0.1)


def test_a_distance_counts_by_the_size_of_its_person() -> None:
    values = run(DETECTOR)
    for stride in (8, 16, 32):
        part(DETECTOR, values, "scores", stride)[:] = -20.0
        part(DETECTOR, values, "boxes", stride)[:] = 50.0
    scores, boxes = part(DETECTOR, values, "scores", 8), part(DETECTOR, values, "boxes", 8)
    scores[0, 1, 1] = scores[0, 5, 5] = 2.0
    boxes[0, 1, 1], boxes[0, 5, 5] = 25.0, 75.0
    found = part(DETECTOR, weighed(DETECTOR, values), "boxes", 8)[0]
    assert found[1, 1, 0] / found[5, 5, 0] == pytest.approx(9, rel=0.01)


def test_keypoints_count_by_cocos_sigmas_and_bins_give_the_size() -> None:
    values = run(POSES)
    found = part(POSES, weighed(POSES, values), "keypoints", 8)[0, 0, 0].reshape(17, 3)
    nose, hip = POSES.skeleton.sigmas[0], POSES.skeleton.sigmas[11]
    assert found[0, 0] / found[11, 0] == pytest.approx((hip / nose) ** 2, rel=1e-3)
    assert found[:, 0] == pytest.approx(found[:, 1])
    small, large = (dict(values) for _ in range(2))
    for bins, run_values in ((1, small), (12, large)):  # the likeliest distance, in strides
        for stride in (8, 16, 32):
            boxes = part(POSES, values, "boxes", stride)
            one = np.full((*boxes.shape[:-1], 4, 16), -20.0, np.float32)
            one[..., bins] = 20.0
            run_values[POSES.output("boxes", stride).name] = one.reshape(boxes.shape)
    ratio = (
        part(POSES, weighed(POSES, small), "keypoints", 8)[0, 0, 0, 0]
        / part(POSES, weighed(POSES, large), "keypoints", 8)[0, 0, 0, 0]
    )
    assert ratio == pytest.approx(144, rel=0.01)


@pytest.mark.parametrize(
    ("form", "box"),
    [("corners", [10, 10, 50, 90]), ("centre_size", [30, 50, 40, 80]), ("distances", [20, 40, 20, 40])],
)
def test_every_form_of_a_box_has_its_size(form: str, box: list[float]) -> None:
    decoder = DETECTOR.decoder
    assert isinstance(decoder, BoxSettings)
    card = replace(DETECTOR, decoder=replace(decoder, form=form))  # type: ignore[arg-type]
    values = run(card)
    for stride in (8, 16, 32):
        part(card, values, "boxes", stride)[:] = box
        part(card, values, "scores", stride)[:] = 20.0  # surely a person
    cells = sum(part(card, values, "scores", stride).size for stride in (8, 16, 32))
    found = cells * part(card, weighed(card, values), "boxes", 8)
    assert found == pytest.approx(1 / (EDGE * 60) ** 2 / 4, rel=1e-3)


def test_what_is_read_at_a_centre_counts_there() -> None:
    values = {name: np.abs(value) for name, value in run(CENTRES).items()}
    values["center"][:] = 0
    values["center"][0, 7, 9] = 0.8
    weights = weighed(CENTRES, values)
    assert weights["regress"][0, 7, 9].min() > 1e3 * weights["regress"][0, 0, 0].max()
    assert weights["center"] == pytest.approx(weights["center"][0, 0, 0, 0])


def test_scores_in_maps_and_boxes_in_rows_belong_together_by_stride() -> None:
    outputs, first = [], 0
    for spec in DETECTOR.outputs:
        if spec.role == "boxes":
            count = (320 // spec.stride) ** 2
            outputs.append(replace(spec, name="rows", axes="rows", first=0, rows=2100, first_row=first))
            first += count
        else:
            outputs.append(replace(spec, name=f"s{spec.stride}"))
    card = replace(DETECTOR, outputs=tuple(outputs))
    weights = weighed(card, run(card))
    assert (weights["rows"] > 0).all()
