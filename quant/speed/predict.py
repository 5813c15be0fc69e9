"""Predicted milliseconds of a .tflite on a Raspberry Pi: ``python -m quant.speed.predict FILE...``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from quant.cli import make_parser, run_command
from quant.speed.boards import BOARDS
from quant.speed.prediction import THREADS, predict
from rpi_runtime.command_line import AS_JSON, exit_codes


def main(argv: Sequence[str] | None = None) -> int:
    """Print the predictions for each file and board."""
    parser = make_parser(
        "quant.speed.predict",
        "Predicted milliseconds of a .tflite on a Raspberry Pi 4 and 5, with the error of the prediction.",
        exit_codes(8, own={3: "no such file, or no .tflite"}),
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="any .tflite")
    parser.add_argument(
        "--threads",
        type=int,
        default=THREADS,
        choices=(1, 2, 3, 4),
        metavar="N",
        help="1 to 4 (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help=AS_JSON)
    args = parser.parse_args(argv)
    if args.json:
        found = [
            {"file": str(path), **asdict(predict(path, board, args.threads))}
            for path in args.files
            for board in BOARDS
        ]
        print(json.dumps(found, indent=1))
        return 0
    for path in args.files:
        print(path)
        for board in BOARDS:
            print(f"  {predict(path, board, args.threads).describe()}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
