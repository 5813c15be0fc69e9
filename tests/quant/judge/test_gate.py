"""The gate names what keeps a file from being called INT8."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from quant.judge.gate import (
    STRICT_LIKENESS,
    Limits,
    check_agreement,
    check_ap,
    check_delegation,
    check_floats,
    check_structure,
)
from quant.judge.metrics import Agreement
from quant.tflite.records import Model, Operator, Quantization, Tensor
from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.delegation import Delegation
from tests.quant.toynetwork import HEIGHT, WIDTH, Builder, network, quantized

SPEC = InputSpec(width=WIDTH, height=HEIGHT)
GOOD = Agreement(
    images=4,
    heatmap_rmse=0.004,
    paf_relative_l2=0.05,
    peaks=100,
    lost=0.03,
    added=0.3,
    shift_px=1,
    shift_p95_px=9,
)


@pytest.fixture
def good() -> Model:
    return quantized(network()).model


def failed(model: Model, spec: InputSpec = SPEC) -> dict[str, str]:
    return {c.name: c.found for c in check_structure(model, spec) if not c.passed}


def test_a_sound_file_passes(good: Model) -> None:
    assert failed(good) == {}
    assert len(check_structure(good, SPEC)) == 5


def test_float_input_is_refused(good: Model) -> None:
    (entry,) = good.inputs.values()
    real = Tensor(name="real", shape=entry.shape)
    good.operators.insert(0, Operator(name="QUANTIZE", inputs=[real], outputs=[entry]))
    good.inputs = {"image": real}
    found = failed(good)
    assert set(found) == {"tensors that are not integer", "converting operations", "input is pixel ^ 0x80"}
    assert "FLOAT32" in found["input is pixel ^ 0x80"]


def test_weights_with_one_scale_are_refused(good: Model) -> None:
    weights = good.operators[0].inputs[1]
    assert weights is not None
    weights.quantization = Quantization.of(0.01)
    assert list(failed(good)) == ["weights without a scale per channel"]


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": (1 / 255,) * 3, "mean": (0.0,) * 3},
        {"mean": (127.0,) * 3},
        {"scale": (0.01,) * 3},
    ],
    ids=str,
)
def test_another_input_scale_is_refused(good: Model, changes: dict[str, tuple[float, ...]]) -> None:
    assert list(failed(good, replace(SPEC, **changes))) == ["input is pixel ^ 0x80"]  # type: ignore[arg-type]


@pytest.mark.parametrize("quantization", [Quantization.of(0.0), None], ids=["zero", "none"])
def test_scales_that_are_none_are_refused(good: Model, quantization: Quantization | None) -> None:
    good.operators[0].outputs[0].quantization = quantization
    assert "int8 tensors without one sound scale" in failed(good)


def test_an_activation_with_a_scale_per_channel_is_refused(good: Model) -> None:
    scales, zeros = np.full(8, 0.1, np.float32), np.zeros(8, np.int64)
    good.operators[0].outputs[0].quantization = Quantization(scales=scales, zero_points=zeros, axis=3)
    assert "int8 tensors without one sound scale" in failed(good)


@pytest.mark.parametrize(
    ("delegation", "names"),
    [
        (Delegation(partitions=1, delegated=9, fell_back=()), []),
        (Delegation(partitions=2, delegated=9, fell_back=()), ["XNNPACK partitions"]),
        (Delegation(partitions=0, delegated=0, fell_back=("CONV_2D",)), None),
        (
            Delegation(partitions=1, delegated=8, fell_back=("ELU",)),
            ["operations that fall back from XNNPACK"],
        ),
    ],
)
def test_delegation(delegation: Delegation, names: list[str] | None) -> None:
    found = [c.name for c in check_delegation(delegation) if not c.passed]
    assert found == names if names is not None else len(found) == 2


def test_tables_of_float_are_allowed_and_named_with_their_cost() -> None:
    made = quantized(network(lambda b, x: b.same("HARD_SWISH", b.conv(x, 8)))).model
    assert failed(made) == {}
    (check,) = check_floats(made)
    assert check.passed
    assert re.match(r"1 table of HARD_SWISH; \d+\.\d% of the time", check.found)
    assert check_floats(quantized(network()).model) == []


def test_outputs_beside_one_that_ends_in_a_chain_of_float_may_be_in_float_too() -> None:
    model = network()
    builder = Builder()
    maps = model.outputs["maps"]
    model.outputs["weights"] = builder.same("SOFTMAX", maps, beta=1.0)
    model.operators += builder.operators
    made = quantized(model).model
    assert {t.dtype.name for t in made.outputs.values()} == {"float32"}
    assert failed(made) == {}


def test_another_island_of_float_is_named_and_refused() -> None:
    made = quantized(network(lambda b, x: b.same("ZEROS_LIKE", x))).model
    assert "tensors that are not integer" in failed(made)
    (check,) = check_floats(made)
    assert not check.passed
    assert check.found.startswith("1 group of layers of ZEROS_LIKE (")


def test_what_falls_back_is_timed(good: Model) -> None:
    fell_back = Delegation(partitions=3, delegated=4, fell_back=("DEPTHWISE_CONV_2D",))
    check = check_delegation(fell_back, good)[1]
    assert not check.passed
    found = re.fullmatch(r"DEPTHWISE_CONV_2D \(XNNPACK has it .*\); (\d+)% of the time", check.found)
    assert found is not None
    assert 1 <= int(found[1]) <= 110
    assert (
        "(no INT8 kernel in XNNPACK)"
        in check_delegation(replace(fell_back, fell_back=("HARD_SWISH",)))[1].found
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"heatmap_rmse": 0.0081}, "heatmap rmse"),
        ({"paf_relative_l2": 0.11}, "PAF relative L2"),
        ({"lost": 0.08}, "lost peaks"),
        ({"heatmap_rmse": float("nan")}, "heatmap rmse"),
    ],
)
def test_agreement(changes: dict[str, float], name: str) -> None:
    assert all(c.passed for c in check_agreement(GOOD, Limits()))
    bad = [c for c in check_agreement(replace(GOOD, **changes), Limits()) if not c.passed]  # type: ignore[arg-type]
    assert [c.name for c in bad] == [name]
    assert bad[0].allowed.startswith("<= 0.")


def test_heatmaps_are_judged_by_their_own_height() -> None:
    low = replace(GOOD, peak_height=0.4)
    assert [c.name for c in check_agreement(low, Limits()) if not c.passed] == ["heatmap rmse"]
    assert all(c.passed for c in check_agreement(replace(low, heatmap_rmse=0.003), Limits()))


def test_outputs_without_heatmaps_are_judged_by_their_relative_error() -> None:
    boxes = replace(GOOD, peaks=0, peak_height=0.0, output_error=0.05)
    (check,) = check_agreement(boxes, Limits())
    assert (check.name, check.passed) == ("output error", True)
    assert not check_agreement(replace(boxes, output_error=0.2), Limits())[0].passed


def test_a_network_without_heatmaps_is_judged_by_the_people_that_it_finds() -> None:
    people = replace(GOOD, peak_height=0.0, output_error=0.3, part_shift=0.01)
    assert all(c.passed for c in check_agreement(people, Limits()))
    for changes, name in (
        ({"lost": 0.08}, "lost people and keypoints"),
        ({"part_shift": 0.1}, "shift of people"),
    ):
        bad = [c for c in check_agreement(replace(people, **changes), Limits()) if not c.passed]  # type: ignore[arg-type]
        assert len(bad) == 1
        assert bad[0].name.startswith(name)


@pytest.mark.parametrize(
    ("kind", "least"),
    [("poses", Limits().pose_likeness), ("crops", Limits().crop_likeness), ("boxes", Limits().box_likeness)],
)
def test_people_are_judged_by_the_ap_of_int8_where_floats_are_the_truth(kind: str, least: float) -> None:
    people = replace(GOOD, peak_height=0.0, output_error=0.01, part_shift=1.0, likeness_of=kind)  # type: ignore[arg-type]
    assert all(c.passed for c in check_agreement(replace(people, likeness=least), Limits()))
    bad = [c for c in check_agreement(replace(people, likeness=least - 0.1), Limits()) if not c.passed]
    assert [c.name for c in bad] == ["AP where the float network's people are the truth"]


def test_poses_in_the_right_places_but_not_exactly_there_are_refused() -> None:
    limits = Limits()
    people = replace(GOOD, peak_height=0.0, likeness=limits.pose_likeness, likeness_of="poses")
    strict = limits.strict_pose_likeness
    assert all(c.passed for c in check_agreement(replace(people, strict_likeness=strict), limits))
    bad = [c for c in check_agreement(replace(people, strict_likeness=strict - 0.1), limits) if not c.passed]
    assert [c.name for c in bad] == [STRICT_LIKENESS]


def test_maps_without_a_peak_prove_nothing() -> None:
    nothing = replace(GOOD, peaks=0, lost=0.0, heatmap_rmse=0.0, paf_relative_l2=0.0)
    bad = [c for c in check_agreement(nothing, Limits()) if not c.passed]
    assert [(c.name, c.found, c.allowed) for c in bad] == [("peaks compared", "0", ">= 1")]
    assert all(c.passed for c in check_agreement(replace(GOOD, peaks=1), Limits()))


@pytest.mark.parametrize("aps", [(-1.0, -1.0), (-1.0, 3.0)])
def test_pictures_without_people_give_no_ap_to_compare(aps: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="hold no labelled people"):
        check_ap(*aps, Limits())
    assert all(c.passed for c in check_ap(0.0, 0.0, Limits()))


def test_ap() -> None:
    assert all(c.passed for c in check_ap(40.0, 39.1, Limits()))
    assert all(c.passed for c in check_ap(40.0, 42.0, Limits()))
    assert not any(c.passed for c in check_ap(40.0, 38.9, Limits()))
    assert not any(c.passed for c in check_ap(40.0, 39.9, Limits(ap_drop=0.05)))
