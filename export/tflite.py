"""Trained weights in, a calibrated, gated .tflite out, with a report of what the quantization cost.

python -m export.tflite --model lw-openpose --int8
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.request import ExportRequest, Kind, export_files
from export.weights.bundled import BUNDLED, is_bundled
from export.zoo.network import parse_size
from export.zoo.pair import PAIRS, SMALL
from export.zoo.registry import MODELS
from quant.calibration import DEFAULT_COUNT
from quant.cards.read import template_names
from quant.cli import make_parser, run_command
from quant.missing import missing_package
from quant.progress import Progress, print_table, reporter, reporting
from quant.recipe import load_recipe, recipe_names
from rpi_runtime.command_line import AS_JSON, COCO, SPLIT, exit_codes
from rpi_runtime.errors import GateError, UsageError
from rpi_runtime.files import ensure_writable
from rpi_runtime.strict import finite

if TYPE_CHECKING:
    from export.report.outcome import Outcome

# AP: export/docs/measurements.md, "The weights that come along"
SIZES = """\
What a size is for (--size WxH; COCO AP of lw-openpose in INT8, 125 images of val2017):
    160x120    AP  6.6   people who fill the picture: a desk, a doorway, a fitness mat
    192x144    AP 11.5   people who fill half of it
    256x192    AP 19.0   small groups
    320x240    AP 27.8   people across a room; four times the work of 160x120
COCO's people are mostly small, so these figures are low where yours are large. Two networks, or one that looks twice,
find more than a larger size: see rpi_runtime/docs/cascade.md."""
EPILOG = """\
examples:
  python -m export.tflite --model lw-openpose --int8
      from the package alone, write models/lw-openpose-160x120-int8.tflite
  python -m export.tflite --pair --int8
      a finder of people and a refiner of each, models/person-finder-320x320-int8.tflite and
      models/person-refiner-96x128-int8.tflite: what rpi_runtime takes when it is told of no other
  python -m export.tflite --pair large --int8
      the same finder with a refiner that sees four times the pixels: more AP, four times the time for each person
  python -m export.tflite --model lw-openpose --weights omz --int8 --calibration coco
      fetch published weights and COCO's pictures instead
  python -m export.tflite --model lw-openpose --weights W.xml --int8 --calibration COCO --coco COCO
      everything from local files; measure what the quantization costs in AP
  python -m export.tflite --model lw-openpose --int8 --size 160x120 --size 320x240
  python -m export.tflite --onnx net.onnx --card net.toml --int8 --calibration PICTURES
  python -m export.tflite --tflite net.tflite --card movenet-lightning-192 --int8 --calibration COCO

""" + exit_codes(
    4,
    6,
    8,
    own={
        3: "bad input: weights, pictures, card",
        5: "an output could not be written (disk full, read-only)",
        7: "the gate refused the file, which lies beside as .rejected",
        130: "Ctrl-C; nothing is half written",
    },
)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = make_parser(
        "export.tflite",
        "Export a trained pose network as a .tflite that a Raspberry Pi runs entirely in INT8.",
        EPILOG,
        former={"--evaluate": "--coco"},
    )
    network = result.add_argument_group("network")
    network.add_argument("--model", metavar="NAME", help="a network of the zoo, see --list-models")
    network.add_argument(
        "--pair",
        nargs="?",
        const=SMALL,
        choices=tuple(PAIRS),
        help="both networks of a pair, a finder of people and a refiner of each; "
        + "; ".join(f"{name}: {' and '.join(networks)}" for name, networks in PAIRS.items())
        + " (default of --pair alone: %(const)s)",
    )
    network.add_argument(
        "--list-models", action="store_true", help="print the networks and where their weights come from"
    )
    network.add_argument(
        "--weights", metavar="SOURCE",
        help="bundled (the package's own), a published source by name, or a path: .xml of OpenVINO, .pth, .safetensors "
        "(default: bundled where there are some, else the model's first source)",
    )  # fmt: skip
    network.add_argument(
        "--onnx", type=Path, metavar="FILE", help="a network of your own, instead of --model"
    )
    network.add_argument(
        "--tflite", type=Path, metavar="FILE", help="the same as a .tflite that computes in float"
    )
    network.add_argument(
        "--card",
        metavar="CARD",
        default="",
        help="what the network of your own is: size, normalisation, skeleton, limbs, outputs; FILE.toml, or the name "
        "of a card that comes with the package, see --list-cards (default: the card inside a --tflite that has one)",
    )
    network.add_argument("--list-cards", action="store_true", help="print the names of those cards")
    network.add_argument(
        "--size",
        action="append",
        metavar="WxH",
        help="input size, may be repeated (default: the network's own): 160x120 for people who fill the picture, "
        "320x240, four times the work, for people across a room; --list-models says more",
    )
    integers = result.add_argument_group("quantization")
    integers.add_argument(
        "--int8", action="store_true", help="fully INT8 (float32 without this and --float16)"
    )
    integers.add_argument("--float16", action="store_true", help="float16 weights")
    integers.add_argument(
        "--recipe",
        metavar="NAME",
        help="a quantization recipe instead of the kind's default, see --list-recipes; or FILE.toml",
    )
    integers.add_argument("--list-recipes", action="store_true", help="print the quantization recipes")
    integers.add_argument(
        "--calibration",
        metavar="PICTURES",
        help="bundled (the package's own, the default), coco (fetch COCO train2017 images), or a folder: COCO layout "
        "(train2017 is taken) or any pictures with people",
    )
    integers.add_argument(
        "--calibration-images",
        type=int,
        default=DEFAULT_COUNT,
        metavar="N",
        help="how many (default %(default)s)",
    )
    check = result.add_argument_group("measurement")
    check.add_argument(
        "--coco",
        type=Path,
        metavar="DIR",
        help="measure AP, float and quantized, and go on with the next recipe where an INT8 file loses too much, on "
        + COCO,
    )
    check.add_argument("--split", default="val2017", help=SPLIT)
    check.add_argument(
        "--max-ap-drop",
        type=finite,
        default=1.0,
        metavar="AP",
        help="refuse, or repair, an INT8 file that loses more, in points of AP (default %(default)s)",
    )
    output = result.add_argument_group("output")
    output.add_argument(
        "--output",
        type=Path,
        default=Path("models"),
        metavar="DIR",
        help="folder for files and reports (default %(default)s)",
    )
    output.add_argument("--json", action="store_true", help=AS_JSON)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the export; see `parser` for the options."""
    args = parser().parse_args(argv)
    for wanted, listing in (
        (args.list_models, _models),
        (args.list_recipes, _recipes),
        (args.list_cards, _cards),
    ):
        if wanted:
            print(listing())
            return 0
    requests = _requests(args)
    ensure_writable(args.output)
    progress = Progress(quiet=args.json)
    with reporting(progress):
        _import_exporters(args.verbose)
    exported = [outcome for request in requests for outcome in export_files(request, progress)]
    _summarize(exported, args.json)
    refused = [e.path.name for e in exported if not e.passed]
    if refused:
        lacking = {o.untried.advice for o in exported if not o.passed and o.untried is not None}
        remedy = "; ".join(["see the remedies above and the report", *sorted(lacking)])
        raise GateError(f"refused: {', '.join(refused)}", remedy=remedy)
    return 0


def _requests(args: argparse.Namespace) -> list[ExportRequest]:
    """What to export: one network, or both of a pair."""
    if not args.pair:
        return [_request(args, args.model or "")]
    pair = PAIRS[args.pair]
    if args.model or args.onnx or args.tflite or args.card or args.weights or args.size or args.coco:
        raise UsageError(
            "--pair exports both networks as the package holds them; for --weights, --size and --coco name one: "
            f"--model {' or --model '.join(pair)}"
        )
    return [_request(args, name) for name in pair]


def _request(args: argparse.Namespace, model: str) -> ExportRequest:
    if args.int8 and args.float16:
        raise UsageError("--int8 and --float16 exclude each other; run twice for both")
    kind: Kind | None = "int8" if args.int8 else "float16" if args.float16 else None
    return ExportRequest(
        model=model,
        weights=args.weights or "",
        onnx=args.onnx,
        tflite=args.tflite,
        card=args.card,
        sizes=tuple(dict.fromkeys(parse_size(s) for s in args.size or ())),
        kind=kind,
        recipe=args.recipe or "",
        calibration=args.calibration,
        calibration_images=args.calibration_images,
        coco=args.coco,
        split=args.split,
        max_ap_drop=args.max_ap_drop,
        output=args.output,
        verbose=args.verbose,
    )


def _import_exporters(verbose: bool) -> None:
    """Import the heavy packages, after telling the user, because it takes seconds."""
    from quant.quiet import quiet, verbosity

    with reporter().stage("imports"):
        try:
            with verbosity(verbose), quiet():
                import export.chain  # noqa: F401 - here, so that stage times mean work
        except ModuleNotFoundError as err:
            raise missing_package(err) from err


def _summarize(exported: Sequence[Outcome], as_json: bool) -> None:
    from export.report.advice import closing_lines
    from export.report.report import as_data, report_paths, summary_tables

    if as_json:
        print(json.dumps([as_data(e) for e in exported], indent=1))
        return
    for table in summary_tables(exported):
        print_table(table)
    print()
    for line in closing_lines(exported, [report_paths(e.path)[1] for e in exported]):
        print(line)


def _models() -> str:
    lines = []
    for name, entry in MODELS.items():
        facts = entry.facts
        width, height = facts.size
        lines.append(f"{name:<20} {entry.summary}")
        lines.append(
            f"    {facts.parameters / 1e6:.2f} M parameters, {facts.macs / 1e9:.2f} G multiply-adds at "
            f"{width}x{height}, decoder {entry.description.decoder.kind}, published AP {facts.published}"
        )
        if facts.paper:
            lines.append(f"    paper: {facts.paper}")
        if entry.bundled and is_bundled(entry.bundled):
            lines.append(f"    --weights {BUNDLED:<8} in this package")
        lines += [
            f"    --weights {key:<8} {source.summary} ({source.licence})"
            for key, source in entry.sources.items()
        ]
        if entry.elsewhere:
            lines.append(f"    --weights FILE     {entry.elsewhere}")
    return "\n".join([*lines, "", SIZES])


def _cards() -> str:
    return "\n".join(template_names())


def _recipes() -> str:
    recipes = (load_recipe(name) for name in recipe_names())
    return "\n".join(f"{r.name:<18} {r.summary}" for r in recipes)


if __name__ == "__main__":
    sys.exit(run_command(main))
