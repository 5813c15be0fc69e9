"""Files to write or remove, with respect for files that the user has edited."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rpi_runtime.errors import OutputError
from rpi_runtime.files import write_bytes, writing
from rpi_runtime.masking import mask
from rpi_runtime.service.layout import Layout

MAYBE_READ_ONLY = "is it read-only?"

RECORD_FORMAT = 2  # 1 had paths of the machine that prepared a card
PAST = {
    "write": "wrote",
    "replace": "replaced",
    "adopt": "adopted",
    "keep": "kept",
    "link": "linked",
    "make": "made",
    "remove": "removed",
    "stop": "stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step: a verb of `PAST` with its object, and a function that does it. Without `do` there is nothing to do.

    `shows` is the text of the file, shown in a dry run.
    """

    verb: str
    what: str
    do: Callable[[], None] | None = None
    shows: str = ""


class Record:
    """Which files the installer wrote, by their hash, kept beside the configuration.

    Parameters
    ----------
    path : path
    layout : Layout
        Paths of the system to which the files belong. The record holds paths as that system sees them, so that a
        card may be mounted anywhere, and only such as an installer of ours writes.

    Attributes
    ----------
    hashes : dict of str to str
    foreign : tuple of str
        Paths in the file that are not ours: they are left alone.
    """

    def __init__(self, path: Path, layout: Layout | None = None) -> None:
        self.path, self._layout = path, layout if layout is not None else Layout()
        self.hashes: dict[str, str] = {}
        self.foreign: tuple[str, ...] = ()
        try:
            data = json.loads(path.read_bytes())
            files = {str(k): str(v) for k, v in data["files"].items()}
            known = {1: self._of_format_1(files), RECORD_FORMAT: files}[data["installed"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return  # without a record every file counts as the user's, and is kept
        self.hashes = {k: v for k, v in known.items() if self._layout.knows(Path(k))}
        self.foreign = tuple(k for k in known if not self._layout.knows(Path(k)))

    def _of_format_1(self, files: dict[str, str]) -> dict[str, str]:
        """Paths below whatever root the card had when it was prepared."""
        found = {}
        for name, value in files.items():
            parts = Path(name).parts
            ends = (Path("/", *parts[i:]) for i in range(1, len(parts)))
            found[str(next((end for end in ends if self._layout.knows(end)), name))] = value
        return found

    def paths(self) -> list[Path]:
        """Where the files are now."""
        return [self._layout.inside(Path(name)) for name in self.hashes]

    def wrote(self, path: Path, data: bytes) -> bool:
        """Whether these bytes are those last written to `path`."""
        return self.hashes.get(str(self._layout.name_of(path))) == _hash(data)

    def note(self, path: Path, data: bytes) -> None:
        """Record the hash of a written file, also on disk."""
        self.hashes[str(self._layout.name_of(path))] = _hash(data)
        text = json.dumps({"installed": RECORD_FORMAT, "files": self.hashes}, indent=1) + "\n"
        write_bytes(self.path, text.encode())


def plan_file(
    path: Path, data: bytes, record: Record, *, text: bool = True, mode: int = 0o644
) -> list[Change]:
    """Return what has to be done so that `path` holds `data`, with permissions `mode`.

    A file that differs from what the installer wrote was edited by the user: it stays, and the new content goes beside
    it as ``.new``, unless the new content equals that of the last installation.
    """
    shows = data.decode() if text else ""

    def write(target: Path = path) -> None:
        write_bytes(target, data, mode)
        target.chmod(mode)
        record.note(path, data)

    current = read(path)
    if current == data:
        return (
            []
            if record.wrote(path, data)
            else [Change(verb="adopt", what=f"{path}, which was there", do=write)]
        )
    if current is None:
        return [Change(verb="write", what=str(path), do=write, shows=shows)]
    if record.wrote(path, current):
        return [Change(verb="replace", what=str(path), do=write, shows=shows)]
    if record.wrote(path, data):
        return [Change(verb="keep", what=f"{path}: it was edited")]
    beside = path.with_name(f"{path.name}.new")
    what = f"{path}: it was edited; what would have been written is {beside}"
    return [Change(verb="keep", what=what, do=lambda: write(beside), shows=shows)]


def plan_link(path: Path, target: str) -> list[Change]:
    """Return the changes that make `path` a link to `target`."""
    if path.is_symlink() and str(path.readlink()) == target:
        return []

    def link() -> None:
        with writing(path, MAYBE_READ_ONLY):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(target)

    return [Change(verb="link", what=f"{path}: it starts at boot", do=link)]


def plan_removal(path: Path, record: Record | None = None) -> list[Change]:
    """Return the changes that remove `path`. With a record, an edited file stays."""
    if not path.is_symlink() and not path.exists():
        return []
    if record is not None and not record.wrote(path, read(path) or b""):
        return [Change(verb="keep", what=f"{path}: it was edited; --purge removes it too")]

    def remove() -> None:
        with writing(path, MAYBE_READ_ONLY):
            path.unlink()

    return [Change(verb="remove", what=str(path), do=remove)]


def apply(changes: Iterable[Change], *, dry_run: bool, say: Callable[[str], None]) -> int:
    """Make the changes, or only report them; return the number of changes."""
    made = 0
    for change in changes:
        if change.do:
            made += 1
            if not dry_run:
                change.do()
        say(mask(f"would {change.verb} {change.what}" if dry_run else f"{PAST[change.verb]} {change.what}"))
        if dry_run and change.shows:
            say("\n".join(f"    {mask(line)}".rstrip() for line in change.shows.splitlines()))
    return made


def read(path: Path) -> bytes | None:
    """Return the bytes of a file, or None if it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as err:
        remedy = "run it with sudo" if isinstance(err, PermissionError) else "see what is in its way"
        raise OutputError(f"{path}: cannot be read ({err.strerror}); {remedy}") from err


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
