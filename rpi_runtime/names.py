"""File names for libraries that take no other than plain ones.

OpenCV ends the process on a name that is not UTF-8, and FFmpeg takes what stands before a colon for a protocol.
"""

from __future__ import annotations

import os
from pathlib import Path

from rpi_runtime.scratch import Scratch


class PlainPath:
    """A name under which such a library can open a file: the whole path, or a link to it; closed after use.

    Parameters
    ----------
    path : path
        Need not exist yet.

    Attributes
    ----------
    text : str
        Absolute, so that no part of it looks like a protocol, and UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self._folder: Scratch | None = None
        self.text = os.path.abspath(path)  # noqa: PTH100 - follows no links, so a name stays what the user sees
        if not _is_plain(self.text):
            self._folder = Scratch()
            link = self._folder.path / f"link{_plain_suffix(path)}"
            link.symlink_to(self.text)
            self.text = str(link)

    def __str__(self) -> str:
        return self.text

    def close(self) -> None:
        """Remove the link, if there is one; what it leads to stays."""
        if self._folder is not None:
            self._folder.remove()
            self._folder = None


def _is_plain(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _plain_suffix(path: Path) -> str:
    return path.suffix if _is_plain(path.suffix) else ""
