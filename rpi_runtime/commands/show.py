"""The command `show`: poses drawn on a picture or a video file, to look at a model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rpi_runtime.capture.kinds import guess_kind
from rpi_runtime.capture.pictures import SUFFIXES, read_picture, write_picture
from rpi_runtime.errors import UsageError
from rpi_runtime.estimate import Estimate, Estimator
from rpi_runtime.model.interpreter import Model
from rpi_runtime.sinks.draw import draw_people

HELP = "draw the people on a picture or a video file, to look at a model"
EXAMPLES = """\
examples:
  python -m rpi_runtime show --model M.tflite street.jpg                  writes street-poses.jpg
  python -m rpi_runtime show --model M.tflite street.jpg --output out.png
  python -m rpi_runtime show --model M.tflite walk.mp4                    writes walk-poses.mp4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("input", help="a picture or a video file")
    parser.add_argument("--model", required=True, metavar="FILE", help=".tflite")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: beside the input, with -poses in the name"
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="default: all, at most 4")


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    from rpi_runtime.commands.parser import make_parser, set_up_logging

    parser = make_parser("show", HELP, EXAMPLES)
    add_arguments(parser)
    given = parser.parse_args(argv)
    set_up_logging()
    source = Path(given.input)
    kind = guess_kind(given.input)
    if kind == "video":
        target = given.output or source.with_name(f"{source.stem}-poses.mp4")
        return _show_video(given, source, target)
    if kind == "images" and source.suffix.lower() in SUFFIXES:
        target = given.output or source.with_name(f"{source.stem}-poses{source.suffix}")
        return _show_picture(given, source, target)
    raise UsageError(
        f"{given.input}: expected a picture or a video file; for other sources use the command `run`"
    )


def _show_picture(given: argparse.Namespace, source: Path, target: Path) -> int:
    _refuse_same(source, target)
    image = read_picture(source)
    estimator = Estimator([Model(given.model, threads=given.threads or None)], track=False)
    estimate = estimator(image, 0)
    write_picture(draw_people(image, estimate.tracks, estimator.skeleton), target)
    print(f"{target}: {describe(estimate, estimator)}", file=sys.stderr)
    return 0


def _show_video(given: argparse.Namespace, source: Path, target: Path) -> int:
    from rpi_runtime.commands.run import run
    from rpi_runtime.settings.run_config import load_config

    _refuse_same(source, target)
    chosen = {"model": given.model, "source": f"video:{source}", "sink": f"video:{target}"}
    return run(load_config(None, chosen | {"threads": given.threads}))


def _refuse_same(source: Path, target: Path) -> None:
    if target.resolve() == source.resolve():
        raise UsageError(f"{target}: is the input itself; choose another --output")


def describe(estimate: Estimate, estimator: Estimator) -> str:
    """As in ``2 people (15 and 9 keypoints of 18)``."""
    counts = [str(int(track.pose.found.sum())) for track in estimate.tracks]
    if not counts:
        return "nobody found"
    people = "1 person" if len(counts) == 1 else f"{len(counts)} people"
    return f"{people} ({' and '.join(counts)} keypoints of {len(estimator.skeleton.keypoints)})"
