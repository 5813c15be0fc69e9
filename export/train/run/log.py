"""Rows of figures in CSV files."""

from __future__ import annotations

import csv
from pathlib import Path


def append_row(path: Path, row: dict[str, object]) -> None:
    """Append a row to a CSV file, after a header if the file is new.

    In a file from an earlier version, the columns are those of its header.
    """
    new = not path.exists()
    with path.open("a+", newline="") as file:
        file.seek(0)
        columns = list(row) if new else next(csv.reader(file), list(row))
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        if new:
            writer.writeheader()
        writer.writerow(row)
