"""The prediction beside figures that the fit never sees: other networks, and runtimes other than XNNPACK's.

    python -m tests.benchmarks.pi.others

Needs ../shared/data/networks. XNNPACK did not run any of these but the last, so a difference is that of the runtimes as
much as the prediction's error. The YOLO file is of 320 pixels: at 640 it has four times the work.
"""

from __future__ import annotations

import lzma
from math import prod
from pathlib import Path
from typing import Any

import onnx

from quant.speed.boards import BOARDS, SPEEDS, total
from quant.speed.work import Work

NETWORKS = Path(__file__).resolve().parents[4] / "shared/data/networks"
# board, kind, folder, what was published, milliseconds; sources in design/peers.md, read 2026-11-29
PUBLISHED = (
    ("pi4", "float32", "movenet-lightning-192", "MoveNet Lightning FP16, TensorFlow 2021", 186),
    ("pi4", "int8", "movenet-lightning-192", "MoveNet Lightning INT8, TensorFlow 2021", 95),
    ("pi4", "float32", "yolo11n-pose-320", "YOLO11n-pose 640, TFLite, ultralytics#21167", 1145),
    ("pi4", "float32", "yolo11n-pose-320", "YOLO11n-pose 640, ncnn, ultralytics#21167", 692),
    ("pi5", "int8", "yolo11n-pose-320", "YOLO11n-pose 640, ExecuTorch with XNNPACK, Arm", 234),
)


def work_of_onnx(path: Path, width: int) -> list[Work]:
    """The operations of an ONNX graph, `width` bytes a value."""
    model = onnx.load_from_string(lzma.decompress(path.read_bytes()))
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {i.name: tuple(i.dims) for i in model.graph.initializer}
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        shapes[value.name] = tuple(d.dim_value or 1 for d in value.type.tensor_type.shape.dim)
    moving = [
        n for n in model.graph.node if n.op_type not in ("Constant", "Reshape", "Shape", "Identity", "Cast")
    ]
    return [_work(node, shapes, width) for node in moving]


def _work(node: Any, shapes: dict[str, tuple[int, ...]], width: int) -> Work:
    traffic = width * sum(prod(shapes.get(name, ())) for name in (*node.input, *node.output) if name)
    if node.op_type != "Conv":
        return Work(kernel="other", macs=0, traffic=traffic)
    weights = shapes[node.input[1]]
    macs = prod(shapes[node.output[0]][2:]) * prod(weights)
    return Work(kernel="depthwise" if weights[1] == 1 else "convolution", macs=macs, traffic=traffic)


def main() -> None:
    """Print the table."""
    print(f"{'':48} {'board':15} published predicted")
    for board, kind, folder, what, ms in PUBLISHED:
        work = work_of_onnx(NETWORKS / folder / "model.onnx.xz", 1 if kind == "int8" else 4)
        amounts = total(work) * ((4, 4, 4, 1) if "640" in what else 1)
        predicted = SPEEDS[board, kind].milliseconds(amounts, 4)
        print(f"{what:48} {BOARDS[board]:15} {ms:9} {predicted:9.0f} {100 * (predicted / ms - 1):+5.0f} %")


if __name__ == "__main__":
    main()
