"""The command `show`: poses drawn on a picture or a video file, to look at a model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rpi_runtime.capture.kinds import guess_kind
from rpi_runtime.capture.pictures import SUFFIXES, read_picture, write_picture
from rpi_runtime.command_line import exit_codes
from rpi_runtime.commands.parser import add_refine_arguments
from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.estimate import Estimate, Estimator
from rpi_runtime.files import reading
from rpi_runtime.inputs import real_path
from rpi_runtime.masking import mask
from rpi_runtime.model.interpreter import Model
from rpi_runtime.settings.run_config import REFINE_OPTIONS, refine_override
from rpi_runtime.sinks.draw import draw_people
from rpi_runtime.streams import tell

_PROGRESS_S = 5.0

HELP = "draw the people on pictures or a video file, to look at a model"
EXAMPLES = """\
examples:
  python -m rpi_runtime show --model M.tflite street.jpg                  writes street-poses.jpg
  python -m rpi_runtime show --model M.tflite street.jpg --output out.png
  python -m rpi_runtime show --model M.tflite photos/                     writes photos-poses/
  python -m rpi_runtime show --model M.tflite a.jpg b.jpg photos/ --output drawn/
  python -m rpi_runtime show --model M.tflite walk.mp4                    writes walk-poses.mp4
  python -m rpi_runtime show --model FINDER.tflite --refine CROPS.tflite street.jpg

""" + exit_codes(5, 8, own={3: "an input or the model cannot be read (others are done)"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "input", nargs="+", help="pictures, video files, folders of pictures (not their subfolders)"
    )
    parser.add_argument("--model", required=True, metavar="FILE", help=".tflite")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="a file for one picture or video, otherwise a folder; default: beside the input, with -poses in the name",
    )
    add_refine_arguments(parser)
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="default: all, at most 4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file to draw on: where it is and where the drawing goes."""

    source: Path
    target: Path
    is_video: bool


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    from rpi_runtime.commands.parser import make_parser, set_up_logging

    parser = make_parser("show", HELP, EXAMPLES)
    add_arguments(parser)
    given = parser.parse_args(argv)
    set_up_logging(verbose=given.verbose)
    jobs = plan(given.input, given.output)
    unreadable = _show_pictures([job for job in jobs if not job.is_video], given)
    for job in jobs:
        if job.is_video:
            _show_video(job, given)
    if unreadable and len(jobs) > 1:
        raise InputError(
            f"{len(unreadable)} of {len(jobs)} files could not be read, first {unreadable[0]}; all others are done"
        )
    return 0


def plan(inputs: Sequence[str], output: Path | None) -> list[Job]:
    """Return a job for each file.

    Raises
    ------
    UsageError
        An input is neither a picture nor a video nor a folder, an output would be an input, or two would be one.
    """
    files = [file for name in inputs for file in _files(name)]
    into_folder = output is not None and (
        len(files) > 1 or output.is_dir() or any(Path(name).is_dir() for name in inputs)
    )
    if into_folder and output is not None and output.is_file():
        raise UsageError(f"{output}: is a file; for several inputs give a folder as --output")
    jobs = []
    for source, folder in files:
        is_video = guess_kind(str(source)) == "video"
        suffix = ".mp4" if is_video else source.suffix
        name = f"{source.stem}-poses{suffix}"
        if into_folder and output is not None:
            target = output / name
        elif output is not None:
            target = output
        else:
            target = folder / name
        jobs.append(Job(source=source, target=target, is_video=is_video))
    _check(jobs)
    return jobs


def _files(name: str) -> list[tuple[Path, Path]]:
    """The files that an input means, with the folder for their drawings: of a folder one beside it."""
    path = Path(name)
    kind = guess_kind(name)
    if path.is_dir() and kind == "images":
        with reading(path, "give a folder that you may read"):
            pictures = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES)
        if not pictures:
            raise InputError(f"{path}: no pictures there; expected files ending in {', '.join(SUFFIXES)}")
        return [(picture, path.with_name(f"{real_path(path).name}-poses")) for picture in pictures]
    if kind == "video" or (kind == "images" and path.suffix.lower() in SUFFIXES):
        return [(path, path.parent)]
    raise UsageError(
        f"{mask(name)}: expected a picture or a video file, or a folder of pictures; for other sources use the "
        "command `run`"
    )


def _check(jobs: Sequence[Job]) -> None:
    sources = {real_path(job.source) for job in jobs}
    seen: set[Path] = set()
    for job in jobs:
        target = real_path(job.target)
        if target in sources:
            raise UsageError(f"{job.target}: is the input itself; choose another --output")
        if target in seen:
            raise UsageError(
                f"{job.target}: two of the inputs have this output; rename one, or do them one by one"
            )
        seen.add(target)


def _show_pictures(jobs: Sequence[Job], given: argparse.Namespace) -> list[Path]:
    """Draw on each picture, saying which; returns those that could not be read, when there are others."""
    unreadable: list[Path] = []
    if not jobs:
        return unreadable
    estimator: Estimator | None = None
    for number, job in enumerate(jobs, 1):
        count = f"[{number}/{len(jobs)}] " if len(jobs) > 1 else ""
        try:
            image = read_picture(job.source)
        except InputError as err:
            if len(jobs) == 1:
                raise
            tell(f"{count}passed over: {err}")
            unreadable.append(job.source)
            continue
        if estimator is None:
            estimator = _estimator(given)
        estimate = estimator(image, 0)
        drawn = draw_people(image, estimate.tracks, estimator.skeleton)
        del image  # of a large picture two copies are enough: this one's memory is for the encoder
        write_picture(drawn, job.target)
        tell(f"{count}{job.target}: {describe(estimate, estimator)}")
    return unreadable


def _show_video(job: Job, given: argparse.Namespace) -> None:
    from rpi_runtime.commands.run import run
    from rpi_runtime.settings.run_config import load_config

    job.target.parent.mkdir(parents=True, exist_ok=True)
    chosen = {"model": given.model, "source": f"video:{job.source}", "sink": f"video:{job.target}"}
    tell(f"{job.source} to {job.target}")
    run(
        load_config(None, chosen | _refine_options(given) | {"threads": given.threads}),
        progress_s=_PROGRESS_S,
    )


def _refine_options(given: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name in REFINE_OPTIONS if (value := getattr(given, name)) is not None}


def _estimator(given: argparse.Namespace) -> Estimator:
    """Return the estimator of one picture: it refines all people, however long that takes, without a budget."""
    model, threads = Model(given.model, threads=given.threads or None), given.threads or None
    config = refine_override(None, _refine_options(given))
    if config is None:
        return Estimator([model], track=False)
    if given.refine_budget_ms is None:
        config = replace(config, budget_ms=0)
    from rpi_runtime.cascade.cascade import open_cascade  # loaded by those who use it

    return Estimator([model], track=False, cascade=open_cascade(config, model.card.skeleton, threads=threads))


def describe(estimate: Estimate, estimator: Estimator) -> str:
    """As in ``2 people (15 and 9 keypoints of 18)``."""
    counts = [str(int(track.pose.found.sum())) for track in estimate.tracks]
    if not counts:
        return "nobody found"
    people = "1 person" if len(counts) == 1 else f"{len(counts)} people"
    if not estimator.skeleton.keypoints:
        return f"{people} (boxes alone: a detector gives no keypoints)"
    return f"{people} ({' and '.join(counts)} keypoints of {len(estimator.skeleton.keypoints)})"
