"""COCO train2017 pictures for calibration: downloaded one by one, verified, cached."""

from __future__ import annotations

from pathlib import Path

from export.weights.download import RemoteFile, fetch
from quant.progress import reporter
from rpi_runtime.errors import DownloadError, UsageError

LIST = Path(__file__).parent / "coco_train2017.tsv"
FOLDER = "coco-train2017"  # below the cache folder
SOURCE = "coco/train2017"
BASE = "http://images.cocodataset.org/train2017/"


def listed_images() -> list[RemoteFile]:
    """Return the pictures that can be downloaded. The package has their names, sizes and sha256, not the pictures."""
    files = []
    for line in LIST.read_text().splitlines():
        name, size, digest = line.split("\t")
        files.append(
            RemoteFile(url=BASE + name, size=int(size), checksum=f"sha256:{digest}", path=f"{FOLDER}/{name}")
        )
    return files


def fetch_images(count: int) -> list[Path]:
    """Return the first `count` pictures of the list, after downloading those that are not cached.

    Raises
    ------
    DownloadError
        A picture cannot be downloaded. The message says how to use pictures from elsewhere.
    """
    files = listed_images()
    if count > len(files):
        raise UsageError(
            f"--calibration-images {count}: {len(files)} can be fetched; give a folder with more by --calibration"
        )
    paths = []
    try:
        with reporter().items("calibration images", count) as step:
            for file in files[:count]:
                paths.append(fetch(file))
                step(1)
    except DownloadError as err:
        raise DownloadError(
            f"calibration images: {err}; or give --calibration a COCO folder or any folder of pictures with people"
        ) from err
    return paths
