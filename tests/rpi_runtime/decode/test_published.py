"""The decoders on real maps, against each network's own decode as its facts.json puts it in words.

The maps come from ONNX Runtime on a picture of COCO. The published rule is written here in double precision, straight
from the words, without any code of the decoders.
"""

from __future__ import annotations

import json
import lzma
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rpi_runtime.decode.boxes import BoxDecoder
from rpi_runtime.decode.centres import CentreDecoder
from rpi_runtime.decode.choose import crop_decoder_for
from rpi_runtime.model.card import ModelCard
from rpi_runtime.preprocess.letterbox import Preprocessor, Transform
from tests.rpi_runtime.decode.maps_model import maps_model

CARDS = Path(__file__).parents[3] / "quant" / "cards"
SAME = Transform(scale_x=1.0, scale_y=1.0, pad_x=0.0, pad_y=0.0)  # answers in pixels of the input


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def card_of(name: str) -> ModelCard:
    return ModelCard.from_mapping(tomllib.loads((CARDS / f"{name}.toml").read_text()))


@pytest.fixture(scope="module")
def networks(shared: Path) -> Path:
    folder = shared / "data" / "networks"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/networks, trained networks of others")
    pytest.importorskip("onnxruntime", reason="computes maps with ONNX Runtime: pip install onnxruntime")
    return folder


@pytest.fixture(scope="module")
def picture(shared: Path) -> np.ndarray:
    from rpi_runtime.capture.pictures import read_picture

    return (
        read_picture(shared / "data" / "coco" / "val2017" / "000000001000.jpg")
        if (shared / "data" / "coco" / "val2017" / "000000001000.jpg").exists()
        else read_picture(sorted((shared / "data" / "coco" / "val2017").glob("*.jpg"))[0])
    )


def compute(folder: Path, name: str, picture: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs of the network, and its raw heads, by their names in ONNX."""
    import onnx
    import onnxruntime

    card = card_of(name)
    model = onnx.load_from_string(lzma.decompress((folder / name / "model.onnx.xz").read_bytes()))
    own = {o.name for o in model.graph.output}
    wanted = {o.name for o in card.outputs} - own
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in sorted(wanted))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    image = np.empty((1, card.input.height, card.input.width, 3), np.float32)
    Preprocessor(replace(card.input, fit="letterbox"))(picture, image)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": image.transpose(0, 3, 1, 2)}), strict=True))


def tensors(name: str, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As the .tflite gives them: channels last."""
    wanted = {o.name for o in card_of(name).outputs}
    return {n: v.transpose(0, 2, 3, 1) for n, v in outputs.items() if n in wanted}


def iou(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    return common / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - common)


def nms(rows: list[Any], overlap: float) -> Iterator[Any]:
    kept: list[Any] = []
    for row in sorted(rows, key=lambda r: -r[0]):
        if all(iou(row[1], other[1]) <= overlap for other in kept):
            kept.append(row)
            yield row


def assert_people(people: Any, expected: list[Any], tolerance: float) -> None:
    assert len(people) == len(expected) > 0
    for pose, (score, box, points) in zip(people, expected, strict=True):
        assert pose.score == pytest.approx(score, abs=1e-5)
        x, y, width, height = pose.box
        assert_allclose([x, y, x + width, y + height], box, atol=tolerance)
        if points is not None:
            assert_allclose(pose.keypoints, points, atol=tolerance)


def expected_boxes(maps: dict[int, np.ndarray]) -> list[Any]:
    """People by RTMDet's rule: of each stride a logit and four distances in pixels for each cell, (H, W, 5)."""
    rows = []
    for stride, lines in maps.items():
        for j, line in enumerate(lines.astype(float)):
            for i, (logit, left, top, right, bottom) in enumerate(line):
                x, y = i * stride, j * stride
                rows.append(
                    (float(sigmoid(logit)), np.array([x - left, y - top, x + right, y + bottom]), None)
                )
    return list(nms([r for r in rows if r[0] > 0.05], 0.6))[:100]


def test_yolo26(networks: Path, picture: np.ndarray) -> None:
    """Against its own end to end tail, which the file still has."""
    name = "yolo26n-pose-320"
    outputs = compute(networks, name, picture)
    final = outputs["output0"][0].astype(float)
    expected = [(r[4], r[:4], r[6:].reshape(17, 3)) for r in final if r[4] > 0.01]
    people = BoxDecoder(card_of(name), "exact").read(maps_model(card_of(name), tensors(name, outputs)), SAME)
    assert_people(people, expected, 5e-3)


def test_yolo11(networks: Path, picture: np.ndarray) -> None:
    """Against the file's own tail (distribution focal loss, anchors) and non-maximum suppression."""
    name = "yolo11n-pose-320"
    outputs = compute(networks, name, picture)
    rows = []
    for row in outputs["output0"][0].T.astype(float):
        cx, cy, width, height, score = row[:5]
        if score > 0.01:
            box = np.array([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2])
            rows.append((score, box, row[5:].reshape(17, 3)))
    expected = list(nms(rows, 0.7))[:100]
    card = card_of(name)
    people = BoxDecoder(card, "exact").read(maps_model(card, tensors(name, outputs)), SAME)
    assert_people(people, expected, 5e-3)


def test_the_decoded_tail_of_yolo11_is_read_as_columns(networks: Path, picture: np.ndarray) -> None:
    """The same network with its decode tail: one tensor (1, 56, 2100)."""
    name = "yolo11n-pose-320"
    outputs = compute(networks, name, picture)
    raw = card_of(name)
    part = {"name": "output0", "stride": 1, "axes": "columns", "rows": 2100}
    first = {"boxes": (0, 4), "scores": (4, 1), "keypoints": (5, 51)}
    data = json.loads(raw.to_json())
    data["outputs"] = [
        {"role": role, "first": at, "channels": count, **part} for role, (at, count) in first.items()
    ]
    data["decoder"] |= {
        "form": "centre_size", "unit": "pixel", "bins": 1, "logits": False, "keypoint_gain": 1.0
    }  # fmt: skip
    card = ModelCard.from_mapping(data)
    decoded = BoxDecoder(card, "exact").read(maps_model(card, {"output0": outputs["output0"]}), SAME)
    heads = BoxDecoder(raw, "exact").read(maps_model(raw, tensors(name, outputs)), SAME)
    assert len(decoded) == len(heads)
    for one, other in zip(decoded, heads, strict=True):
        assert_allclose(one.box, other.box, atol=5e-3)
        assert_allclose(one.keypoints, other.keypoints, atol=5e-3)


def test_movenet_of_one_person(networks: Path, picture: np.ndarray) -> None:
    name = "movenet-lightning-192"
    outputs = {k: v[0].astype(float) for k, v in compute(networks, name, picture).items()}
    rows, columns = np.mgrid[:48, :48]
    centre = outputs["center"][0] / (np.hypot(rows - 24, columns - 24) + 1.8)
    cy, cx = np.unravel_index(centre.argmax(), centre.shape)
    expected = np.zeros((17, 3))
    for k in range(17):
        py, px = cy + outputs["regress"][2 * k, cy, cx], cx + outputs["regress"][2 * k + 1, cy, cx]
        heat = outputs["heatmaps"][k]
        y, x = np.unravel_index((heat / (np.hypot(rows - py, columns - px) + 1.8)).argmax(), heat.shape)
        at = x + outputs["offset"][2 * k + 1, y, x], y + outputs["offset"][2 * k, y, x]
        expected[k] = at[0] * 4, at[1] * 4, heat[y, x]
    maps = tensors(name, compute(networks, name, picture))
    pose = crop_decoder_for(card_of(name), "exact").read(maps_model(card_of(name), maps), SAME)
    assert_allclose(pose.keypoints, expected, atol=2e-3)
    sure = expected[expected[:, 2] > 0.2, 2]
    assert pose.score == pytest.approx(sure.mean() if len(sure) else 0.0, abs=1e-5)


def test_movenet_of_many_people(networks: Path, picture: np.ndarray) -> None:
    name = "movenet-multipose-256"
    computed = compute(networks, name, picture)
    outputs = {k: v[0].astype(float) for k, v in computed.items()}
    rows, columns = np.mgrid[:64, :64]
    centre, padded = outputs["center"][0], np.pad(outputs["center"][0], 1, constant_values=-1)
    around = np.max([padded[i : i + 64, j : j + 64] for i in range(3) for j in range(3)], axis=0)
    cells = sorted(np.argwhere((centre == around) & (centre > 0.05)).tolist(), key=lambda c: -centre[*c])
    expected = []
    for cy, cx in cells[:30]:
        middle = np.array([cy, cx]) + outputs["box_offset"][:, cy, cx]
        low, high = (np.clip(middle + s * outputs["box_scale"][:, cy, cx] / 2, 0, 64) for s in (-1, 1))
        inside = (rows >= low[0]) & (rows <= high[0]) & (columns >= low[1]) & (columns <= high[1])
        points = np.zeros((17, 3))
        for k in range(17):
            py, px = cy + outputs["regress"][2 * k, cy, cx], cx + outputs["regress"][2 * k + 1, cy, cx]
            near = np.exp(-((rows - py) ** 2 + (columns - px) ** 2) / (0.30004883 * 64)) * inside
            heat = outputs["heatmaps"][k] * near
            y, x = np.unravel_index(heat.argmax(), heat.shape)
            at = x + outputs["offset"][2 * k + 1, y, x], y + outputs["offset"][2 * k, y, x]
            points[k] = (at[0] * 4, at[1] * 4, heat[y, x]) if heat[y, x] > 0 else (0, 0, 0)
        sure = points[points[:, 2] > 0.12695, 2]
        if len(sure):
            expected.append((centre[cy, cx] * sure.mean(), [*(low[::-1] * 4), *(high[::-1] * 4)], points))
    card = card_of(name)
    people = CentreDecoder(card, "exact").read(maps_model(card, tensors(name, computed)), SAME)
    assert_people(people, expected, 5e-3)


def expected_keypoints(maps: np.ndarray) -> np.ndarray:
    """One person by PP-TinyPose's rule, (17, 3): the vertex of a parabola through logarithms; maps are (17, H, W)."""
    expected = np.zeros((17, 3))
    for k, heat in enumerate(maps.astype(float)):
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        place = []
        for line, at in ((heat[y], x), (heat[:, x], y)):
            shift = 0.0
            if 0 < at < len(line) - 1 and min(line[at - 1 : at + 2]) > 0:
                before, here, after = np.log(line[at - 1 : at + 2])
                shift = np.clip((after - before) / (2 * (2 * here - before - after)), -0.5, 0.5)
            place.append((at + shift + 0.04) * 4)
        expected[k] = *place, heat[y, x]
    return expected


def assert_keypoints(found: np.ndarray, expected: np.ndarray) -> None:
    sure = expected[:, 2] > 0.2
    assert sure.any()
    assert_allclose(found[sure, :2], expected[sure, :2], atol=0.02)
    assert_allclose(found[sure, 2], expected[sure, 2], atol=1e-5)


def assert_int8_finds_the_same(card: ModelCard, outputs: dict[str, np.ndarray], pixels: float) -> None:
    """Every tensor rounded to int8 with one scale: people above 0.3 stay, their boxes within a few pixels."""
    real, stored = (BoxDecoder(card).read(maps_model(card, outputs, int8=i), SAME) for i in (False, True))
    assert len(real) > 0
    assert abs(len(real) - len(stored)) <= 1
    for pose in real[: len(stored) - 1]:
        assert min(np.abs(np.subtract(pose.box, other.box)).max() for other in stored) < pixels


@pytest.mark.parametrize(("name", "pixels"), [("yolo26n-pose-320", 3.0), ("yolo11n-pose-320", 4.0)])
def test_int8_heads_give_the_same_people(
    networks: Path, picture: np.ndarray, name: str, pixels: float
) -> None:
    assert_int8_finds_the_same(card_of(name), tensors(name, compute(networks, name, picture)), pixels)
