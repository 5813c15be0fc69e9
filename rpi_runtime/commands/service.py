"""The command `service`: install, uninstall, run."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
from pathlib import Path

from rpi_runtime.command_line import VERBOSE, exit_codes
from rpi_runtime.commands.parser import make_parser, set_up_logging
from rpi_runtime.errors import DependencyError, InputError, PiposeError, SourceError, UsageError
from rpi_runtime.inputs import real_path
from rpi_runtime.installing import export_line
from rpi_runtime.library_messages import LibraryMessages
from rpi_runtime.service.layout import Layout
from rpi_runtime.service.unit import EX_CONFIG
from rpi_runtime.settings.default_pair import EXPORT, FINDER, default_pair
from rpi_runtime.settings.run_config import load_config, source_config
from rpi_runtime.stop import leave

log = logging.getLogger(__name__)

HELP = "run all day, unattended, as a systemd service"
EXAMPLES = """\
examples:
  what would be done, and the files that would be written:
    python -m rpi_runtime service install --model lw-openpose-160x120-int8.tflite --dry-run
  the Raspberry Pi's camera; starts now and at every boot:
    sudo venv/bin/python -m rpi_runtime service install --model lw-openpose-160x120-int8.tflite
  a USB camera:
    sudo venv/bin/python -m rpi_runtime service install --model M.tflite --source camera:0
  how it is, what it said, and after a change of /etc/pipose/config.toml:
    systemctl status pipose
    journalctl -u pipose
    sudo systemctl reload pipose
  take it back; what you edited and what it recorded stays, unless --purge:
    sudo venv/bin/python -m rpi_runtime service uninstall

It runs as the user pipose, with the interpreter that installed it, and sees nothing of your home but that
interpreter. It restarts after a crash, and when no frame came for 30 s; a camera that stays away is waited for.
The poses are in /run/pipose/poses.jsonl until you say something else in /etc/pipose/config.toml.

"""
_NOT_DONE = {
    2: "wrong usage, or not root",
    3: "a model or an earlier installation cannot be read",
    5: "a folder cannot be written",
    8: "no systemd",
}
_RESTARTS = {
    0: "stopped",
    3: "the source failed",
    5: "a sink failed",
    78: "wrong settings: systemd does not restart it",
}
CODES = {
    "install": exit_codes(own=_NOT_DONE),
    "uninstall": exit_codes(own=_NOT_DONE),
    "run": exit_codes(own=_RESTARTS),
    "": exit_codes(own=_NOT_DONE | {78: "of `service run`: wrong settings; systemd does not restart it"}),
}


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    args = _parse(argv)
    if args.action == "run":
        return run(args.config, verbose=args.verbose)
    if args.verbose:
        set_up_logging(verbose=True)
    os.umask(0o022)  # the service has to read files that root writes
    layout = Layout(root=_root(args.root))
    if args.action == "uninstall":
        from rpi_runtime.service.uninstall import uninstall

        uninstall(layout, purge=args.purge, dry_run=args.dry_run)
        return 0
    from rpi_runtime.service.install import Wishes, install

    models, refine = _networks(args.model, args.refine)
    wishes = Wishes(
        models=models,
        refine=refine,
        source=source_config(args.source),
        layout=layout,
        start=not args.no_start,
        dry_run=args.dry_run,
    )
    install(wishes)
    return 0


def _root(path: Path) -> Path:
    """Return the absolute path of a root; `UsageError` for a folder that is not one, as where no card is mounted."""
    if not (path / "etc").is_dir():
        what = "has no etc/" if path.is_dir() else "no such folder"
        raise UsageError(f"--root {path}: {what}; expected the root of a system, as where a card is mounted")
    return real_path(path)


def _networks(models: list[Path], refine: Path | None) -> tuple[tuple[Path, ...], Path | None]:
    """Return what was named, or the pair in the usual place where no model was."""
    if models:
        return tuple(models), refine
    pair = default_pair(Path(), {} if refine is None else {"refine": refine})
    if not pair:
        raise UsageError(
            f"--model: not given, and no {FINDER} with its refiner; name one, or export them: {export_line(EXPORT)}"
        )
    return (Path(pair["model"]),), Path(pair["refine"]) if refine is None else refine


def run(path: Path, *, verbose: bool = False) -> int:
    """Run a configuration until it is told to stop; return the exit code, `EX_CONFIG` if a restart cannot help."""
    with LibraryMessages():
        return _serve(path, verbose=verbose)


def _serve(path: Path, *, verbose: bool) -> int:
    from rpi_runtime.service.daemon import Daemon
    from rpi_runtime.service.journal import set_up_journal
    from rpi_runtime.service.notify import Notifier

    faulthandler.enable()  # on the watchdog's SIGABRT, print where each thread hangs
    set_up_logging(verbose=verbose)
    set_up_journal(logging.getLogger("rpi_runtime"))
    notifier = Notifier()
    daemon = Daemon(lambda: load_config(path, {}), notifier)
    code = 0
    try:
        daemon.run()
    except PiposeError as err:
        log.error("%s", err)
        code = exit_code(err)
        notifier.send(f"STATUS={err}")
    else:
        if daemon.ready:  # otherwise the status already names what it waited for
            notifier.send("STATUS=stopped")
    if daemon.hung:  # Python would wait for a thread that is stuck in a driver or a pipe
        leave(code)
    return code


def exit_code(error: PiposeError) -> int:
    """Return `EX_CONFIG` for a permanent error; a camera, for example, may come back."""
    lasting = isinstance(error, UsageError | InputError | DependencyError)
    return EX_CONFIG if lasting and not isinstance(error, SourceError) else error.exit_code


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = make_parser("service", HELP, f"{EXAMPLES}\n{CODES['']}")
    actions = parser.add_subparsers(dest="action", required=True, metavar="{install,uninstall,run}")

    def action_of(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=text, epilog=CODES[name])

    add = action_of("install", "write configuration and unit, make the user, start")
    add.add_argument(
        "--model",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help=".tflite; further, smaller ones are used when it gets hot (default: the pair of `export.tflite --pair "
        "--int8` in ./models)",
    )
    add.add_argument("--refine", type=Path, metavar="FILE", help=".tflite that refines each person on a crop")
    add.add_argument(
        "--source", default="picamera", metavar="SOURCE", help="as for `run` (default: %(default)s)"
    )
    add.add_argument("--no-start", action="store_true", help="only install, to start at the next boot")
    remove = action_of("uninstall", "stop it and remove what was installed")
    remove.add_argument("--purge", action="store_true", help="also what was edited, and the recordings")
    for action in (add, remove):
        action.add_argument("--dry-run", action="store_true", help="change nothing, say what would be done")
        action.add_argument(
            "--root", type=Path, default=Path("/"), metavar="DIR", help="another system's root, as of a card"
        )
    daemon = action_of("run", "what the unit calls: run a configuration under systemd")
    daemon.add_argument(
        "--config", type=Path, required=True, metavar="FILE.toml", help="settings, as of `run`"
    )
    for action in (add, remove, daemon):  # suppressed, so that it may stand before the action as well
        action.add_argument(
            "-v",
            "--verbose",
            action="store_true",
            default=argparse.SUPPRESS,
            help=VERBOSE,
        )
    return parser.parse_args(argv)
