"""Print the inputs and outputs of an ONNX file or a .tflite, as the start of a card.

python -m export.describe FILE
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.zoo.network import parse_size
from quant.cli import make_parser, run_command
from rpi_runtime.command_line import exit_codes

if TYPE_CHECKING:
    import onnx

    from quant.cards.describe import FileDescription

DYNAMIC = (256, 256)  # pixels a side where the file leaves the size open


def describe(path: Path, size: tuple[int, int] | None = None) -> FileDescription:
    """Describe a file. `size` (width, height) is for files with a dynamic size."""
    from export.graph.adopt.network import read_network  # packages of the export: --help does without them
    from export.graph.tidy.read import read_onnx
    from quant.cards.describe import describe_tflite
    from quant.tflite.read import read_model
    from quant.tflite.schema import IDENTIFIER

    data = read_network(path)
    if data[4:8] == IDENTIFIER:
        return describe_tflite(read_model(data))
    return _describe_onnx(read_onnx(path)[0], path, size)


def _describe_onnx(model: onnx.ModelProto, path: Path, size: tuple[int, int] | None) -> FileDescription:
    from export.graph.tidy.plain import tidy
    from quant.cards.describe import DescribedOperation, FileDescription, find_heads

    graph = model.graph
    constants = {t.name for t in graph.initializer}
    images = [i for i in graph.input if i.name not in constants]
    inputs = tuple(f"{i.name} {_dims(i)}" for i in images)
    outputs = [o.name for o in graph.output]
    described = tuple(f"{o.name} {_dims(o)}" for o in graph.output)
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    kind = f"ONNX, opset {opset}, {len(graph.node)} nodes"
    width, height = size or _size(images[0])
    plain = tidy(model, width, height, outputs, str(path))
    steps = [
        DescribedOperation(
            kind=n.kind, inputs=n.inputs, outputs=tuple((o, n.shapes.get(o, ())) for o in n.outputs if o)
        )
        for n in plain.nodes
    ]
    heads = find_heads(steps, outputs, (width, height))
    return FileDescription(
        kind=kind, inputs=inputs, outputs=described, size=(width, height), heads=heads, whole=plain.whole
    )


def _dims(info: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_value or d.dim_param or "?" for d in info.type.tensor_type.shape.dim]


def _size(info: onnx.ValueInfoProto) -> tuple[int, int]:
    from export.graph.tidy.cut import channels_last

    dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
    if len(dims) != 4:
        return DYNAMIC
    height, width = dims[1:3] if channels_last(info) else dims[2:]
    return width or DYNAMIC[0], height or DYNAMIC[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Describe one file."""
    parser = make_parser(
        "export.describe",
        "Print what an ONNX file or a .tflite holds: inputs, candidate heads, guessed roles, as a card.",
        exit_codes(8, own={3: "no such file, or a broken one"}),
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--size", metavar="WxH", help="for an ONNX file that leaves it open (default 256x256)"
    )
    args = parser.parse_args(argv)
    from quant.cards.draft import draft_of

    found = describe(args.file, parse_size(args.size) if args.size else None)
    print(draft_of(args.file, found))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
