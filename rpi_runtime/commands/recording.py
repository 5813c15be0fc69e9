"""The output of `record`: a folder, or a .zip; both can be played back whatever ends the recorder.

The format is described in `rpi_runtime.capture.recording`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from rpi_runtime.capture.cut_zip import time_field
from rpi_runtime.capture.pictures import encode_picture
from rpi_runtime.capture.recording import INDEX, REPLAY_FORMAT
from rpi_runtime.errors import OutputError, UsageError
from rpi_runtime.poses import Frame, Image

FORMATS = ("jpg", "png", "npy")
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date of a .zip; a Pi without network assumes 1970


class Recorder:
    """Writes frames one by one; use as a context manager.

    Both kinds can be played back up to the last whole frame even if the recorder was killed, and are complete up to
    that frame on a full disk. A recording without a frame is removed when it is closed, so that the same name can be
    used again.

    Parameters
    ----------
    path : path
        A .zip if it ends in .zip, otherwise a folder, which must be new or empty.
    source : str
        Written into the header, as information.
    format : {"jpg", "png", "npy"}
        jpg is small, png is exact, npy is exact and fast.
    """

    def __init__(self, path: Path, *, source: str = "", format: str = "jpg") -> None:
        if format not in FORMATS:
            raise UsageError(f"recording format {format!r}: expected one of {', '.join(FORMATS)}")
        self.path, self.frames = path, 0
        self._suffix = f".{format}"
        self._lines = [json.dumps({"replay": REPLAY_FORMAT, "source": source})]
        self._archive: Archive | None = None
        self._index: IO[str] | None = None
        self._made_folder = False

    def __enter__(self) -> Recorder:
        with self._explaining():
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise OutputError(f"{self.path}: exists already; choose another name, or remove it first")
            if self.path.suffix == ".zip":
                self._archive = Archive(self.path)
            else:
                self._made_folder = not self.path.exists()
                self.path.mkdir(parents=True, exist_ok=True)
                self._index = (self.path / INDEX).open("x", buffering=1, encoding="utf-8")
                self._index.write(self._lines[0] + "\n")
        return self

    def __exit__(self, *_: object) -> None:
        if not self.frames:
            self._discard()
            return
        with self._explaining():
            if self._archive is not None:
                self.frames = self._archive.close(self._lines)
            if self._index is not None:
                self._index.close()

    def add(self, frame: Frame) -> None:
        """Write one frame; raises `OutputError` on a full disk."""
        name = self._name(self.frames)
        line = json.dumps({"file": name, "timestamp_ns": frame.timestamp_ns})
        data = _encode(frame.image, self._suffix)
        with self._explaining():
            if self._archive is not None:
                self._archive.add(name, data, frame.timestamp_ns)
                self._lines.append(line)
            if self._index is not None:
                _write_member(self.path / name, data)
                self._index.write(line + "\n")
        self.frames += 1

    def _discard(self) -> None:
        """Close, and remove a recording without frames. Errors are suppressed in favour of the one that led here."""
        with contextlib.suppress(OSError):
            if self._archive is not None:
                self._archive.discard()
            if self._index is not None:
                with contextlib.suppress(OSError):
                    self._index.close()
                (self.path / INDEX).unlink()
                (self.path / self._name(0)).unlink(missing_ok=True)  # truncated by a full disk
            if self._made_folder:
                self.path.rmdir()

    def _name(self, number: int) -> str:
        return f"{number:06d}{self._suffix}"

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            left = f"; the {self.frames} frames before are whole" if self.frames else ""
            raise OutputError(
                f"{self.path}: cannot be written ({err.strerror or err}); free some space or choose another{left}"
            ) from err


class Archive:
    """A .zip that can be finished on a full disk, by dropping as many frames as its end needs.

    Parameters
    ----------
    path : path
        Must not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _Whole(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        self._zip = zipfile.ZipFile(self._file, "w")

    def add(self, name: str, data: bytes, timestamp_ns: int) -> None:
        """Append a frame, which carries its time. After an `OSError`, the file is unchanged."""
        begin, count = self._file.tell(), len(self._zip.filelist)
        try:
            member = zipfile.ZipInfo(name, _DATE)
            member.extra = time_field(timestamp_ns)
            self._zip.writestr(member, data)
        except OSError:
            self._go_back(begin, count)
            raise

    def close(self, lines: list[str]) -> int:
        """Write the index and the end, and return the number of frames. Each line but the first is a frame."""
        while True:
            count = len(self._zip.filelist)
            try:
                self._zip.writestr(zipfile.ZipInfo(INDEX, _DATE), "\n".join(lines) + "\n")
                self._zip.close()
                break
            except OSError:
                if count < 2:
                    raise
                self._go_back(self._zip.filelist[count - 1].header_offset, count - 1)
                lines.pop()
        self._file.close()
        return count

    def discard(self) -> None:
        """Close and remove the file."""
        self._zip.fp = None  # otherwise it would be finished on deletion
        self._file.close()
        self._path.unlink()

    def _go_back(self, position: int, count: int) -> None:
        """Remove everything from `position` on, so that `count` members are left."""
        members = self._zip.filelist[:count]
        self._zip.fp = None
        self._file.truncate(position)
        self._file.seek(position)
        self._zip = zipfile.ZipFile(self._file, "w")
        self._zip.filelist.extend(members)
        self._zip.NameToInfo.update((member.filename, member) for member in members)


class _Whole(io.RawIOBase):
    """An unbuffered file whose writes succeed completely or fail, so that a full disk is noticed at once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        while view:
            view = view[os.write(self._fd, view) :]
        return size

    def read(self, size: int = -1) -> bytes:
        return os.read(self._fd, size if size >= 0 else 1 << 30)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        os.ftruncate(self._fd, size)
        return size

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)


def _write_member(path: Path, data: bytes) -> None:
    """Write one picture of a folder, or leave no partial file."""
    try:
        path.write_bytes(data)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _encode(image: Image, suffix: str) -> bytes:
    if suffix != ".npy":
        return encode_picture(image, suffix)
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(image), allow_pickle=False)
    return buffer.getvalue()
