"""Calibration images by source: the package's, COCO's (downloaded), or a folder of the user's."""

from __future__ import annotations

import json
from pathlib import Path

from export.calibration.coco_images import SOURCE, fetch_images
from export.weights.download import checksum
from quant.accuracy.boxes import XYWH
from quant.calibration import choose_images, spread
from quant.calibration_people import largest_people
from rpi_runtime.errors import InputError, UsageError

FOLDER = Path(__file__).parent / "bundled"
SUMS = "pictures.sha256"  # as sha256sum writes it
PEOPLE = "people.json"  # of tests.pictures.people: the largest person of each picture
BUNDLED, COCO = "bundled", "coco"


def find_images(source: str | None, count: int) -> tuple[list[Path], str]:
    """Find calibration images.

    Parameters
    ----------
    source : str or None
        ``bundled`` (also None), ``coco``, or the path of a folder as `quant.calibration.choose_images` takes it.
    count : int
        Number of images.

    Returns
    -------
    list of Path
        In the order in which they calibrate.
    str
        Their source, for the manifest.

    Raises
    ------
    UsageError
        `count` exceeds the source's number of images.
    InputError
        The package's own pictures are damaged, or the folder is unsuitable.
    DownloadError
        COCO's pictures cannot be downloaded.
    """
    if source in (None, BUNDLED):
        return _bundled_images(count), BUNDLED
    if source == COCO:
        return fetch_images(count), SOURCE
    return choose_images(Path(str(source)), count)


def people_of(source: str | None) -> dict[str, XYWH]:
    """Return where the largest person is on each image of a source, by file name; nothing where that is not known."""
    if source in (None, BUNDLED):
        try:
            boxes = json.loads((FOLDER / PEOPLE).read_text())
            return {name: (float(x), float(y), float(w), float(h)) for name, (x, y, w, h) in boxes.items()}
        except (OSError, ValueError, AttributeError) as err:
            raise InputError(f"{FOLDER / PEOPLE}: cannot be read ({err}); install pipose again") from err
    return {} if source == COCO else largest_people(Path(str(source)))


def _bundled_images(count: int) -> list[Path]:
    sums = FOLDER / SUMS
    try:
        listed = [line.split() for line in sums.read_text().splitlines()]
        paths = [FOLDER / name for _, name in listed]
        wrong = [p.name for p, (digest, _) in zip(paths, listed, strict=True) if checksum(p) != digest]
    except (OSError, ValueError) as err:
        raise InputError(
            f"{FOLDER}: the package's calibration pictures cannot be read ({err}); install pipose again, or give "
            "--calibration a folder of pictures with people"
        ) from err
    if wrong:
        raise InputError(
            f"{FOLDER / wrong[0]}: damaged, its sha256 is not that of {SUMS}; install pipose again, or give "
            "--calibration a folder of pictures with people"
        )
    if count > len(paths):
        raise UsageError(
            f"--calibration-images {count}: {len(paths)} come with the package; give a folder with more by "
            "--calibration"
        )
    return spread(paths, count)
