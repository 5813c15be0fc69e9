"""Write where the repository is into pyproject.toml, for a release: the place that builds it is the place to name.

python .github/project_urls.py https://forge.example/owner/pipose
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def with_urls(text: str, repository: str) -> str:
    """Return pyproject.toml with the table ``[project.urls]``, in the place of one that it has."""
    if not re.fullmatch(r"https://[\w.-]+(/[\w.-]+){2,}", repository):
        raise SystemExit(
            f"{repository!r}: expected the repository's address, as in https://forge.example/owner/pipose"
        )
    table = (
        "[project.urls]\n"
        f'Repository = "{repository}"\n'
        f'Documentation = "{repository}/blob/HEAD/rpi_runtime/docs/README.md"\n'
        f'Issues = "{repository}/issues"\n'
        f'Changelog = "{repository}/blob/HEAD/CHANGELOG.md"\n\n'
    )
    without = re.sub(r"\[project\.urls\]\n(?:[^\[\n][^\n]*\n)*\n*", "", text)
    return without.replace("[project.optional-dependencies]", table + "[project.optional-dependencies]", 1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    PYPROJECT.write_text(with_urls(PYPROJECT.read_text(), sys.argv[1].removesuffix("/")))
