"""Predicted milliseconds: work as counted by hand, constants as fitted, errors said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quant.speed.boards import SPEEDS, Speed, total
from quant.speed.predict import main
from quant.speed.prediction import Prediction, predict, predict_bytes
from quant.speed.work import computes_in_int8, work_of
from quant.tflite.read import read_model
from rpi_runtime.errors import InputError
from tests.benchmarks.pi.fit import fitted, left_out, typical_factor
from tests.benchmarks.pi.networks import NETWORKS, published_size


def test_a_files_work_is_that_of_its_layers(toy_coco: tuple[Path, Path]) -> None:
    model = read_model(toy_coco[0].read_bytes())
    work = work_of(model)
    dense = [op for op in model.operators if op.name == "CONV_2D"]
    by_hand = 0
    for op in dense:
        assert op.inputs[1] is not None
        _, height, width, channels = op.outputs[0].shape
        _, kernel_h, kernel_w, inputs = op.inputs[1].shape
        by_hand += height * width * channels * kernel_h * kernel_w * inputs
    assert by_hand > 0
    assert sum(w.macs for w in work if w.kernel == "convolution") == by_hand
    assert all(w.traffic > 0 for w in work)


def test_the_constants_are_those_of_the_fit() -> None:
    for (board, kind), speed in SPEEDS.items():
        again = fitted(board, kind)
        for name in Speed.__slots__:
            assert getattr(speed, name) == pytest.approx(getattr(again, name), rel=5e-3), (board, kind, name)


def test_no_figure_is_predicted_by_a_fit_that_has_seen_its_network() -> None:
    unseen = left_out("pi4", "int8")
    assert {f.network for f in unseen} == {
        "MobileNet v1",
        "MobileNet v2",
        *(f"EfficientDet-lite{n}" for n in range(3)),
    }
    assert typical_factor(unseen) == pytest.approx(SPEEDS["pi4", "int8"].factor, abs=0.01)


# multiply-adds in millions and parameters in millions, as the papers give them
AS_PUBLISHED = {
    "MobileNet v1": (569, 4.2), "MobileNet v2": (300, 3.4), "MobileNet v3 Large": (219, 5.4),
    "MobileNet v3 Small": (56, 2.5), "ResNet-50": (4100, 25.6), "SqueezeNet 1.0": (820, 1.25), "GoogLeNet": (1500, 6.6),
}  # fmt: skip


def test_the_networks_are_those_of_their_papers() -> None:
    counted = {name: (macs, parameters) for name, macs, parameters in published_size()}
    for name, figures in AS_PUBLISHED.items():
        assert counted[name] == pytest.approx(figures, rel=0.06), name


def test_more_work_takes_longer_and_more_threads_less() -> None:
    small, large = (total(NETWORKS[n](1).work) for n in ("MobileNet v3 Small", "ResNet-50"))
    for speed in SPEEDS.values():
        assert speed.milliseconds(small, 4) < speed.milliseconds(large, 4) < speed.milliseconds(large, 1)


def test_the_error_stands_beside_every_figure() -> None:
    near = Prediction(board="pi4", threads=4, ms=60.0, factor=1.23)
    assert near.describe() == (
        "Raspberry Pi 4, 4 threads: 60 ms predicted, not measured: 49 to 74 (typical error 23 %)"
    )
    assert "a factor of 2.1" in Prediction(board="pi5", threads=4, ms=10.0, factor=2.06).describe()


def test_the_type_of_the_multiplications_decides(toy_coco: tuple[Path, Path]) -> None:
    model = read_model(toy_coco[0].read_bytes())
    assert computes_in_int8(model)
    assert predict(toy_coco[0]).factor == SPEEDS["pi4", "int8"].factor
    for tensor in model.tensors():
        tensor.dtype = np.dtype(np.float32)
    assert not computes_in_int8(model)


def test_what_is_no_tflite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.tflite"):
        predict(tmp_path / "nothing.tflite")
    with pytest.raises(InputError, match="the file: not a TFLite file"):
        predict_bytes(b"something else")


def test_the_command_prints_both_boards(
    toy_coco: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(toy_coco[0])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Raspberry Pi 4, 4 threads" in lines[1]
    assert "Raspberry Pi 5, 4 threads" in lines[2]
    assert all("typical error" in line for line in lines[1:])
