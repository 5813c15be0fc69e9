"""What each quantization recipe costs: AP and agreement with float, by size, as a table.

    python -m tests.benchmarks.recipes --weights W.xml --coco DIR
    python -m tests.benchmarks.recipes --weights W.xml --coco DIR --rescaled 3

With --rescaled the channels between consecutive layers are first rescaled at random within so many octaves: the same
function in float, but weights that no longer lie on the grid on which published INT8 weights lie.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from quant.cli import run_command
from quant.quiet import quiet
from quant.recipe import REPAIRS, load_recipe
from rpi_runtime.files import write_text

with quiet():
    from export.calibration.sources import find_images
    from export.chain import ExportSpec, export_one
    from export.report.outcome import Outcome
    from export.zoo.registry import find_model
    from quant.accuracy.evaluation import EvaluationSpec
    from quant.calibration import DEFAULT_COUNT, read_calibration
    from quant.judge.gate import Limits
    from rpi_runtime.evaluate.coco import read_split
    from tests.rescaled import rescaled

HEAD = f"{'size':<8} {'recipe':<17} {'AP float':>8} {'AP':>6} {'change':>7} {'heatmap rmse':>12} {'PAF rel. L2':>11} "
HEAD += f"{'lost':>6} {'added':>6} {'shift px':>8}"


def row(outcome: Outcome) -> str:
    """Return one line of the table."""
    real, quantized = outcome.evaluations
    a = outcome.agreement
    assert a is not None
    return (
        f"{outcome.card.input.size:<8} {outcome.card.recipe:<17} {real.ap:8.2f} {quantized.ap:6.2f} "
        f"{quantized.ap - real.ap:+7.2f} {a.heatmap_rmse:12.4f} {a.paf_relative_l2:11.3f} {a.lost:6.1%} {a.added:6.1%} "
        f"{a.shift_px:8.2f}"
    )


def main(argv: list[str] | None = None) -> int:
    """Export and evaluate every recipe at every size."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.recipes", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", default="lw-openpose")
    parser.add_argument("--weights", required=True)
    parser.add_argument(
        "--coco",
        type=Path,
        required=True,
        help="train2017 calibrates, unless --calibration says otherwise, val2017 evaluates",
    )
    parser.add_argument("--size", action="append", default=None, metavar="WxH")
    parser.add_argument("--recipe", action="append", default=None)
    parser.add_argument("--calibration", metavar="PICTURES", help="as of export.tflite (default: --coco)")
    parser.add_argument("--calibration-images", type=int, default=DEFAULT_COUNT)
    parser.add_argument("--rescaled", type=float, default=0.0, metavar="OCTAVES")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    network = find_model(args.model).load(args.weights)
    if args.rescaled:
        network = rescaled(network, args.rescaled, seed=0)
    split = read_split(args.coco, "val2017")
    wanted = args.calibration or str(args.coco)
    paths, source = find_images(wanted, args.calibration_images)
    calibration = read_calibration(paths, source, [i.path for i in split.images])
    print(HEAD)
    outcomes = []
    for size in args.size or ("160x120", "320x240", "456x256"):
        width, height = map(int, size.split("x"))
        for name in args.recipe or ("w8c_a8", "w8c_a8_eq", *REPAIRS):
            with tempfile.TemporaryDirectory() as folder:
                spec = ExportSpec(
                    recipe=load_recipe(name),
                    calibration=calibration,
                    evaluation=EvaluationSpec(split=split),
                    limits=Limits(),
                    output=Path(folder),
                )
                outcome = export_one(network, (width, height), spec)
            print(row(outcome), flush=True)
            outcomes.append(replace(outcome, pictures=()))
    if args.json:
        import json

        figures = [
            {
                "size": o.card.input.size,
                "recipe": o.card.recipe,
                "agreement": asdict(o.agreement) if o.agreement else None,
                "evaluations": [asdict(e) for e in o.evaluations],
            }
            for o in outcomes
        ]
        write_text(args.json, json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
