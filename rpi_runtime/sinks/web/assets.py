"""The page's files, read once from the package. No other file can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# Only the files of the login form are served without a token.
PUBLIC = ("page.css", "icon.svg")
PRIVATE = ("page.js", "link.js", "stage.js", "chart.js", "panel.js")


def load_assets() -> Mapping[str, tuple[bytes, str]]:
    """Return content and media type of each file by its name, ``index.html`` and ``login.html`` included."""
    folder = files("rpi_runtime.sinks.web").joinpath("page")
    names = ("index.html", "login.html", *PUBLIC, *PRIVATE)
    return {name: (folder.joinpath(name).read_bytes(), _TYPES[name[name.rindex(".") :]]) for name in names}
