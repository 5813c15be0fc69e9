"""The gate names what keeps a file from being called INT8."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf

from quant.flatbuffer import TFLiteFile
from quant.floats import compute_in_float
from quant.gate import Limits, check_agreement, check_ap, check_delegation, check_floats, check_structure
from quant.metrics import Agreement
from rpi_runtime.errors import InputError
from rpi_runtime.model.card import InputSpec
from rpi_runtime.model.delegation import Delegation
from tests.quant.toyconvert import HEIGHT, WIDTH, convert_plainly, save_network

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


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("relu"), tf.nn.relu)


@pytest.fixture(scope="module")
def good(saved: Path) -> bytes:
    return convert_plainly(saved)


def failed(data: bytes, spec: InputSpec = SPEC) -> dict[str, str]:
    return {c.name: c.found for c in check_structure(data, spec) if not c.passed}


def test_a_sound_file_passes(good: bytes) -> None:
    assert failed(good) == {}
    assert len(check_structure(good, SPEC)) == 5


def test_float_input_and_output_are_refused(saved: Path) -> None:
    found = failed(convert_plainly(saved, io=tf.float32))
    assert set(found) == {"tensors that are not integer", "converting operations", "input is pixel ^ 0x80"}
    assert "FLOAT32" in found["input is pixel ^ 0x80"]


def test_weights_with_one_scale_are_refused(saved: Path) -> None:
    found = failed(convert_plainly(saved, per_channel=False))
    assert list(found) == ["weights without a scale per channel"]


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": (1 / 255,) * 3, "mean": (0.0,) * 3},
        {"mean": (127.0,) * 3},
        {"scale": (0.01,) * 3},
    ],
    ids=str,
)
def test_another_input_scale_is_refused(good: bytes, changes: dict[str, tuple[float, ...]]) -> None:
    assert list(failed(good, replace(SPEC, **changes))) == ["input is pixel ^ 0x80"]  # type: ignore[arg-type]


@pytest.mark.parametrize("scales", [[float("nan")], [0.0], [float("inf")], []], ids=str)
def test_scales_that_are_none_are_refused(good: bytes, scales: list[float]) -> None:
    file = TFLiteFile(good)
    index = int(file.graph.operators[0].outputs[0])
    file.graph.tensors[index].quantization.scale = scales
    assert "int8 tensors without one sound scale" in failed(file.to_bytes())


def test_an_activation_with_a_scale_per_channel_is_refused(good: bytes) -> None:
    file = TFLiteFile(good)
    tensor = file.graph.tensors[int(file.graph.operators[0].outputs[0])]
    tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1] * 8, [0] * 8
    assert "int8 tensors without one sound scale" in failed(file.to_bytes())


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


def test_tables_of_float_are_allowed_and_named_with_their_cost(tmp_path: Path) -> None:
    before = convert_plainly(save_network(tmp_path, lambda x: x * tf.nn.relu6(x + 3) / 6))
    after, _ = compute_in_float(before)
    assert failed(after) == {}
    (check,) = check_floats(after)
    assert check.passed
    assert re.match(r"2 tables of HARD_SWISH; \d+\.\d% of the time", check.found)
    assert check_floats(before) == []


def test_another_island_of_float_is_named_and_refused(tmp_path: Path) -> None:
    data = convert_plainly(save_network(tmp_path, tf.math.cos))
    assert "tensors that are not integer" in failed(data)
    (check,) = check_floats(data)
    assert not check.passed
    assert check.found.startswith("2 tables of COS; ")


def test_what_falls_back_is_timed(tmp_path: Path) -> None:
    data = convert_plainly(save_network(tmp_path, lambda x: x * tf.nn.relu6(x + 3) / 6))
    fell_back = Delegation(partitions=3, delegated=4, fell_back=("HARD_SWISH", "HARD_SWISH"))
    check = check_delegation(fell_back, data)[1]
    assert not check.passed
    found = re.fullmatch(r"HARD_SWISH \(no INT8 kernel in XNNPACK\); (\d+)% of the time", check.found)
    assert found is not None
    assert 1 <= int(found[1]) <= 110


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
