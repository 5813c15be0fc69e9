"""Training pictures by name, from a folder or from tar shards, without unpacking."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from rpi_runtime.capture.pictures import SUFFIXES
from rpi_runtime.errors import InputError


class PictureStore:
    """Encoded pictures of a folder, of one .tar, or of a folder of .tar shards.

    Raises
    ------
    InputError
        The folder is empty, or a shard is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, Path] = {}
        self._members: dict[str, tuple[Path, int, int]] = {}  # name -> shard, offset, bytes
        shards = [path] if path.suffix == ".tar" else sorted(path.glob("*.tar"))
        for shard in shards:
            self._index(shard)
        if not shards:
            files = (f for f in sorted(path.rglob("*")) if f.suffix.lower() in SUFFIXES)
            self._files = {f.relative_to(path).as_posix(): f for f in files}
        if not self._files and not self._members:
            raise InputError(
                f"{path}: no pictures there; expected a folder of pictures, or .tar shards of them"
            )

    def _index(self, shard: Path) -> None:
        try:
            with tarfile.open(shard) as archive:
                for member in archive:
                    if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES:
                        self._members[member.name] = (shard, member.offset_data, member.size)
        except (OSError, tarfile.TarError) as err:
            raise InputError(f"{shard}: cannot be read as a tar ({err}); copy it again") from err

    def __len__(self) -> int:
        return len(self._files) + len(self._members)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted((*self._files, *self._members)))

    def __contains__(self, name: str) -> bool:
        return name in self._files or name in self._members

    def read(self, name: str) -> bytes:
        """Return one picture's encoded bytes; raises `InputError` if it is missing or cannot be read."""
        if name not in self:
            raise InputError(f"{self.path}: no picture {name}; the labels belong to other pictures")
        try:
            if name in self._files:
                return self._files[name].read_bytes()
            shard, offset, size = self._members[name]
            with shard.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as err:
            raise InputError(f"{name}: cannot be read from {self.path} ({err.strerror})") from err
