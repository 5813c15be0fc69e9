"""Downloads: requested by name, resumable, verified by checksum, cached per user, renamed only when complete."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.progress import reporter
from rpi_runtime.errors import DownloadError, OutputError
from rpi_runtime.files import reading, writing

CHUNK = 1 << 18
TIMEOUT_S = 30.0
NO_ROOM = "free some space or set PIPOSE_CACHE elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file on the network, with its checksum.

    Attributes
    ----------
    url : str
    size : int
        Bytes; 0 if not published.
    checksum : str
        ``sha384:HEX``, ``sha256:HEX`` or ``git:HEX`` (git's blob SHA-1, for files that only a repository identifies).
    path : str
        Path below the cache folder.
    """

    url: str
    size: int
    checksum: str
    path: str

    def __post_init__(self) -> None:
        if not self.url.startswith(("https://", "http://")):
            raise DownloadError(f"{self.url}: only http and https are fetched")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWeights:
    """A published set of weights: files (the first one is read), licence, and a one-line description."""

    files: tuple[RemoteFile, ...]
    licence: str
    summary: str


def cache_folder() -> Path:
    """Return PIPOSE_CACHE, else the XDG cache folder's ``pipose``.

    Raises
    ------
    OutputError
        Neither is set and the user has no home, as with a number alone in a container.
    """
    if chosen := os.environ.get("PIPOSE_CACHE"):
        return Path(chosen)
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "pipose"
    try:
        return Path.home() / ".cache/pipose"
    except RuntimeError as err:
        raise OutputError(
            "this user has no home folder to keep weights in; set PIPOSE_CACHE to a folder that may be written"
        ) from err


def fetch(remote: RemoteFile) -> Path:
    """Return the cached file, after downloading it if necessary.

    Raises
    ------
    DownloadError
        There is no network, the server refused, or the checksum is wrong (a damaged file is removed).
    InputError
        The cached file cannot be read.
    OutputError
        The cache folder cannot be written.
    """
    target = cache_folder() / remote.path
    with reading(target, "make it readable, or set PIPOSE_CACHE elsewhere"):
        if target.is_file() and _matches(target, remote):
            return target
    with writing(target, NO_ROOM):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(target) as part:
        _download(remote, part, target)
        with writing(target, NO_ROOM):
            if not _matches(part, remote):
                size = part.stat().st_size
                part.unlink()
                raise DownloadError(
                    f"{remote.url}: {size} bytes arrived and their checksum is not {remote.checksum}; "
                    "the damaged copy was removed: try again, or fetch it from another place"
                )
            part.replace(target)
    return target


@contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """Yield a file that no other process writes: the one that a cut download has left, or a new one of our own."""
    usual = target.with_name(target.name + ".part")
    with writing(target, NO_ROOM):
        lock = os.open(usual, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        part = (
            usual if _is_ours(lock, usual) else target.with_name(f"{target.name}.{secrets.token_hex(8)}.part")
        )
    try:
        yield part
    finally:
        os.close(lock)
        if part != usual or (part.is_file() and not part.stat().st_size):
            part.unlink(missing_ok=True)


def _is_ours(descriptor: int, path: Path) -> bool:
    """Lock an open file; return whether no other process has it, and whether it still has its name."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except OSError:  # another process has it or has finished it, or the file system knows no locks
        return False


def _download(remote: RemoteFile, part: Path, target: Path) -> None:
    with writing(target, NO_ROOM):
        have = part.stat().st_size if part.exists() else 0
    if remote.size and have >= remote.size:
        return
    answer = _ask(remote, target, have)
    if answer is None:  # the part file is longer than the file: start over
        with writing(target, NO_ROOM):
            os.truncate(part, 0)  # not removed: its lock is of this file
        _download(remote, part, target)
        return
    with answer:
        resumed = have > 0 and answer.status == 206
        have = have if resumed else 0
        total = have + int(answer.headers.get("Content-Length") or 0)
        got = have
        with (
            writing(target, NO_ROOM),
            part.open("ab" if resumed else "wb") as file,
            reporter().bytes(target.name, total) as step,
        ):
            step(have)
            while chunk := _read(answer, remote, got):
                file.write(chunk)
                got += len(chunk)
                step(len(chunk))
    if total > have and got < total:
        raise DownloadError(f"{remote.url}: cut after {got} of {total} bytes; run this again to resume")


def _ask(remote: RemoteFile, target: Path, have: int) -> Any:
    """Return the server's open response to a request for the rest of the file; None if there is no rest."""
    request = urllib.request.Request(remote.url, headers={"Range": f"bytes={have}-"} if have else {})
    # An opener of its own: urlopen keeps the first one, with the proxies that were set at that time.
    opener = urllib.request.build_opener()
    try:
        return opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as err:
        err.close()  # the error is the response, with an open connection
        if err.code == 416 and have:
            return None
        raise DownloadError(
            f"{remote.url}: the server answered {err.code} {err.reason}; {_by_hand(remote, target)}"
        ) from err
    except (OSError, http.client.HTTPException) as err:  # of URLError, timeouts and TLS the first is the base
        reason = getattr(err, "reason", err)
        raise DownloadError(
            f"{remote.url}: cannot be reached ({reason}); {_by_hand(remote, target)}"
        ) from err


def _read(answer: Any, remote: RemoteFile, got: int) -> bytes:
    """Return the next bytes. An error here is the network's, although the same loop writes to the disk."""
    try:
        chunk: bytes = answer.read(CHUNK)
    except (OSError, http.client.HTTPException) as err:
        raise DownloadError(
            f"{remote.url}: the connection broke after {got} bytes ({err}); run this again to resume"
        ) from err
    return chunk


def _by_hand(remote: RemoteFile, target: Path) -> str:
    return (
        f"fetch it on a machine with network and put it at {target} ({remote.checksum}), then run this again"
    )


def _matches(path: Path, remote: RemoteFile) -> bool:
    kind, _, expected = remote.checksum.partition(":")
    if remote.size and path.stat().st_size != remote.size:
        return False
    return checksum(path, kind) == expected


def checksum(path: Path, kind: str = "sha256") -> str:
    """Return the hex digest of a file. Kind ``git`` is its id as a git blob."""
    digest = hashlib.new("sha1" if kind == "git" else kind)
    if kind == "git":
        digest.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
