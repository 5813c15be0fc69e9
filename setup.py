"""What pyproject.toml cannot say: the description on a package index, and that the kernels are built side by side.

A package index shows the README outside the repository, where a relative link leads nowhere. Where pyproject.toml names
the repository (``[project.urls] Repository``), links become absolute; until then their text stays and pictures go.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!https?:|#)(?P<target>[^)]+)\)")
CI_MARK = re.compile(r"^<!-- ci: \w+ -->\n", re.MULTILINE)


def index_description(readme: str, repository: str) -> str:
    """Return the README with absolute links into `repository`, or without relative links where it is empty."""

    def absolute(link: re.Match[str]) -> str:
        text, target = link["text"], link["target"]
        if repository:
            view = "raw" if link["picture"] else "blob"
            return f"{link['picture']}[{text}]({repository.rstrip('/')}/{view}/HEAD/{target})"
        return "" if link["picture"] else text

    return CI_MARK.sub("", LINK.sub(absolute, readme))


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    setup(
        long_description=index_description(
            (ROOT / "README.md").read_text(), project.get("urls", {}).get("Repository", "")
        ),
        long_description_content_type="text/markdown",
        options={"build_ext": {"parallel": os.cpu_count()}},
    )
