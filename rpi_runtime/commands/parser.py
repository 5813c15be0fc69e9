"""The shared part of the commands of `python -m rpi_runtime`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from rpi_runtime.command_line import VERBOSE, Parser
from rpi_runtime.masking import mask
from rpi_runtime.streams import program
from rpi_runtime.strict import finite


def make_parser(command: str, description: str, examples: str) -> Parser:
    """Return the parser of one command, with the options that all have."""
    parser = Parser(
        prog=f"{program()} {command}",
        description=description[:1].upper() + description[1:] + ".",
        epilog=examples,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help=VERBOSE)
    return parser


def add_arguments(parser: argparse.ArgumentParser, sinks: str = "where poses go (default: jsonl:-)") -> None:
    """Declare the options. Each one equals the key of that name in a configuration file.

    Parameters
    ----------
    parser : ArgumentParser
    sinks : str
        Help text of the option ``--sink``.
    """
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="settings; options given here replace them"
    )
    parser.add_argument(
        "--model", nargs="+", metavar="FILE", help=".tflite; further, smaller ones are used when it gets hot"
    )
    add_refine_arguments(parser)
    parser.add_argument("--source", metavar="SOURCE", help="where pictures come from (default: picamera)")
    parser.add_argument("--sink", action="append", metavar="SINK", help=f"{sinks}; may be repeated")
    parser.add_argument("--threads", type=int, metavar="N", help="for the network (default: all, at most 4)")
    parser.add_argument(
        "--track",
        choices=("auto", "on", "off"),
        help="ids from frame to frame (default: on, but off for images)",
    )
    parser.add_argument(
        "--smooth",
        action=argparse.BooleanOptionalAction,
        help="smooth the keypoints of tracked people (default)",
    )
    parser.add_argument("--max-fps", type=finite, metavar="N", help="maximum number of frames per second")
    parser.add_argument("--frames", type=int, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--heat",
        metavar="KEY=VALUE,...",
        help="step down in the heat: limit_c (78; 0 never), resume_c, steps...",
    )


def add_refine_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the cascade."""
    parser.add_argument(
        "--refine", metavar="FILE", help=".tflite that refines each person on a crop: top-down, or as --model"
    )
    parser.add_argument(
        "--refine-budget-ms",
        type=finite,
        metavar="N",
        help="begin no crop that would end later than this, a frame (default: 50; 0: refine everybody)",
    )
    parser.add_argument(
        "--look-every",
        type=int,
        metavar="N",
        help="look at the whole picture every N frames, in between only at crops (default: 5)",
    )


class MaskingFormatter(logging.Formatter):
    """Removes passwords from log lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return mask(super().format(record))


def set_up_logging(*, verbose: bool = False) -> None:
    """Log one line per event on standard error."""
    logger = logging.getLogger("rpi_runtime")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(MaskingFormatter("%(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
