"""What pyproject.toml cannot say: the description on a package index, and how the kernels are built.

A package index shows the README outside the repository, where a relative link leads nowhere. Where pyproject.toml names
the repository (``[project.urls] Repository``), links become absolute; until then their text stays and pictures go.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!https?:|#)(?P<target>[^)]+)\)")
CI_MARK = re.compile(r"^<!-- ci: \w+ -->\n", re.MULTILINE)
SHARED = "cython_ext._shared"


class BuildKernels(build_ext):
    """Translate the kernels one after the other, since Cython knows no threads, and compile them side by side.

    What Cython adds to every module that takes arrays stands in one module of its own, for half the time and size.
    """

    def build_extensions(self) -> None:
        """Put C files in the place of Cython's, then compile as setuptools does."""
        from Cython.Build import cythonize

        translated = cythonize(self.extensions, quiet=True, shared_utility_qualified_name=SHARED)
        sources = {extension.name: extension.sources for extension in translated}
        for extension in self.extensions:
            extension.sources = sources[extension.name]
        super().build_extensions()


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
        cmdclass={"build_ext": BuildKernels},
        options={"build_ext": {"parallel": os.cpu_count()}},
    )
