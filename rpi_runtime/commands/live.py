"""The command `live`: a run with the live page as its sink."""

from __future__ import annotations

import dataclasses

from rpi_runtime.command_line import exit_codes
from rpi_runtime.commands.parser import add_arguments, make_parser, set_up_logging
from rpi_runtime.commands.run import OWN_CODES, run
from rpi_runtime.settings.run_config import RunConfig, load_config, sink_config

HELP = "find people, and show the picture and them on a page for the browser"
EXAMPLES = """\
examples:
  the Raspberry Pi's camera, on this machine at http://127.0.0.1:8080/
    python -m rpi_runtime live --model lw-openpose-160x120-int8.tflite
  from a laptop, without opening the page to the network:
    ssh -L 8080:127.0.0.1:8080 pi@raspberrypi     and there http://127.0.0.1:8080/
  open to the network, with a token that the page asks for:
    PIPOSE_LIVE_TOKEN=$(cat token.txt) python -m rpi_runtime live --model M.tflite --listen 0.0.0.0:8080
  a video file at its own speed, again and again; poses into a file as well:
    python -m rpi_runtime live --model M.tflite --source walk.mp4,loop=yes --sink jsonl:poses.jsonl

paths: /  /healthz  /readyz  /metrics  /api/poses  /api/schema  /stream.mjpg
Programs send the token as `Authorization: Bearer TOKEN`. Sources, sinks and the other options are those of
`run`; see `python -m rpi_runtime run --help`. A file is played at its own speed unless pace=free is given.

""" + exit_codes(8, own=OWN_CODES | {5: "a sink failed, or the address is in use"})


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("live", HELP, EXAMPLES)
    add_arguments(parser, sinks="where poses go besides the page (default: nowhere)")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="where the page is (default: 127.0.0.1:8080, this machine only)"
    )
    given = vars(parser.parse_args(argv))
    set_up_logging(verbose=given.pop("verbose"))
    path, listen = given.pop("config"), given.pop("listen")
    overrides = {key: value for key, value in given.items() if value is not None}
    page = f"web:{listen}" if listen else "web"
    config = load_config(path, overrides, default_sink=page)
    return run(with_page(config, listen))


def with_page(config: RunConfig, listen: str | None = None) -> RunConfig:
    """Return the configuration with a sink ``web``, at `listen` if given, and recordings at their own speed."""
    sinks = [
        dataclasses.replace(s, options=dataclasses.replace(s.options, target=listen))
        if s.kind == "web" and listen
        else s
        for s in config.sink
    ]
    if not any(s.kind == "web" for s in sinks):
        sinks.append(sink_config(f"web:{listen}" if listen else "web"))
    source = config.source
    if not source.live and source.pace == "auto":
        source = dataclasses.replace(source, pace="recorded")
    return dataclasses.replace(config, sink=tuple(sinks), source=source)
