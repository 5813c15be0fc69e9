"""What the commands of `python -m rpi_runtime` have in common."""

from __future__ import annotations

import argparse
import difflib
import logging
import re
import sys
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Names the nearest valid option when one is mistyped."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit with 2."""
        unknown = re.match(r"unrecognized arguments: (--?[\w-]+)", message)
        if unknown:
            known = [o for a in self._actions for o in a.option_strings]
            near = difflib.get_close_matches(unknown[1], known, 1, 0.5)
            message += f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
        super().error(message)


def make_parser(command: str, description: str, examples: str) -> Parser:
    """Return the parser of one command; abbreviated options are refused, so that new ones break no script."""
    return Parser(
        prog=f"python -m rpi_runtime {command}",
        description=description[:1].upper() + description[1:] + ".",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def set_up_logging(*, verbose: bool = False) -> None:
    """One line an event on standard error."""
    logger = logging.getLogger("rpi_runtime")
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
