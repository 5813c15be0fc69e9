"""The command line: ``python -m rpi_runtime COMMAND``."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

from rpi_runtime import __version__, streams
from rpi_runtime.command_line import exit_codes
from rpi_runtime.errors import PiposeError
from rpi_runtime.streams import program, tell
from rpi_runtime.suggest import did_you_mean

COMMANDS = {
    "run": "find people on a camera, stream, video, folder or recording",
    "live": "the same, with a page for the browser: picture, people, figures",
    "show": "draw the people on pictures or a video file, to look at a model",
    "record": "record a source, to be played back with the source `replay`",
    "service": "run all day, unattended: install it for systemd, or take it back",
    "bench": "measure a model on this machine, stage by stage",
    "evaluate": "measure COCO keypoint AP on this machine, with the latency of each stage",
    "doctor": "check this machine: interpreter, camera, power, heat, model",
}


def main(argv: list[str] | None = None) -> int:
    """Dispatch to a command and return its exit code; see `rpi_runtime.errors` for the codes."""
    streams.prepare()
    words = sys.argv[1:] if argv is None else argv
    if words[:1] in (["--version"], ["-V"]):
        print(f"pipose {__version__}")
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if words else 2
    command, rest = words[0], words[1:]
    if command not in COMMANDS:
        tell(f"error: unknown command {command!r}; {did_you_mean(command, COMMANDS)}")
        return 2
    try:
        code: int = importlib.import_module(f"rpi_runtime.commands.{command}").main(rest)
    except PiposeError as err:
        if {"-v", "--verbose"} & set(rest):
            tell(traceback.format_exc())
        tell(f"error: {err}")
        return err.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes stdout once more when it ends
        return 0
    return code


def _usage() -> str:
    lines = [f"usage: {program()} COMMAND [options]", "", "commands:"]
    lines += [f"  {name:<9} {text}" for name, text in COMMANDS.items()]
    lines += ["", f"{program()} COMMAND --help teaches a command with examples"]
    lines += [f"{program()} --version prints the version", "", exit_codes(3, 4, 5, 8)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
