"""Make the golden files of the decoding kernels: maps of our own, and the people that the oracles find on them.

The maps of ``paf.npz`` are what the bundled lw-openpose computes, in INT8, on bundled pictures; those of ``tags.npz``
and ``crops.npz`` are drawn, since the package has no weights of such networks. The oracles of `cython_ext` decode them.

Golden files are worth as much as the oracle that made them. So this first runs the tests that hold the oracles to what
the original implementations computed on recorded cases (in ``../shared``), and writes nothing unless every one has run
and passed::

    python -m export.tflite --model lw-openpose --int8 --output models
    python -m tests.cython_ext.golden.make models/lw-openpose-160x120-int8.tflite
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np

from cython_ext import reference, reference_tags, reference_topdown
from cython_ext.specs import PeakRules
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.model.interpreter import Model
from rpi_runtime.preprocess.letterbox import Preprocessor
from tests.cython_ext import tagged
from tests.cython_ext.golden.read import FOLDER, MODES, POINT_MODES, ROOT, TAG_MODES, Arrays, Maps
from tests.cython_ext.openpose import KEYPOINTS, RULES

PICTURES = (
    "tests/pictures/astronaut.jpg",
    "tests/pictures/chelsea.jpg",  # a cat: nothing but false peaks
    "export/calibration/bundled/scene05.jpg",
    "export/calibration/bundled/scene21.jpg",
)
ORIGINALS = (
    "tests/cython_ext/test_reference.py::test_equals_the_original_decoder_on_real_maps",
    "tests/cython_ext/test_tags.py::test_equals_the_original_on_every_case",
    "tests/cython_ext/test_topdown.py::test_equals_the_original_on_every_case",
    "tests/cython_ext/test_topdown.py::test_positions_on_the_map_equal_the_originals",
)


def require_originals() -> None:
    """End unless the oracles have just equalled what the original implementations computed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-ra", *ORIGINALS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    summary = (done.stdout.strip().splitlines() or [""])[-1]
    print(f"against the originals: {summary}")
    if done.returncode or re.search("skipped|failed|error", summary):
        sys.exit(
            f"nothing written: the oracles were not held to the originals ({done.returncode})\n{done.stdout}"
        )


def paf_maps(file: Path) -> list[Maps]:
    """Return heatmaps (H, W, 19) and PAFs (H, W, 38) of each picture, int8, as the model gives them."""
    model = Model(file, threads=1)
    prepare = Preprocessor(model.card.input)
    found = []
    for name in PICTURES:
        prepare(read_picture(ROOT / name), model.input)
        model.invoke()
        stored = {role: model.output(role)[0].copy() for role in ("heatmaps", "pafs")}
        scales = {role: astuple(model.quantization(role)) for role in stored}
        found.append(
            Maps(
                heatmaps=stored["heatmaps"], pafs=stored["pafs"],
                heatmap_scale=scales["heatmaps"], paf_scale=scales["pafs"],
            )
        )  # fmt: skip
    return found


def decoded(maps: Maps, upsample: int) -> Arrays:
    """Return the oracle's peaks and people on the int8 maps."""
    rules = PeakRules(keypoints=KEYPOINTS, upsample=upsample)
    peaks = reference.find_peaks(maps.heatmaps, rules, *maps.heatmap_scale)
    people = reference.group(peaks, maps.pafs, RULES, *maps.paf_scale, upsample)
    return {
        "table": peaks.table, "starts": peaks.starts,
        "people": people.peaks, "score": people.score, "count": people.count,
    }  # fmt: skip


def paf_file(file: Path) -> Arrays:
    """Return every array of ``paf.npz``."""
    arrays: Arrays = {"pictures": np.array(PICTURES)}
    for i, maps in enumerate(paf_maps(file)):
        arrays |= {f"{i}_{name}": value for name, value in maps.arrays().items()}
        for mode, upsample in MODES.items():
            arrays |= {f"{i}_{mode}_{name}": value for name, value in decoded(maps, upsample).items()}
    return arrays


def tags_file() -> Arrays:
    """Return every array of ``tags.npz``: drawn crowds, some with two tags a cell."""
    arrays: Arrays = {}
    for i, (people, components) in enumerate(((0, 1), (3, 1), (8, 2))):
        heatmaps, tags, _ = tagged.crowd(people, seed=i, components=components, size=(20, 28))
        heatmaps, tags = (a.astype(np.float16).astype(np.float32) for a in (heatmaps, tags))
        arrays |= {f"{i}_heatmaps": heatmaps.astype(np.float16), f"{i}_tags": tags.astype(np.float16)}
        for mode, rules in TAG_MODES.items():
            groups = reference_tags.group(heatmaps, tags, rules)
            arrays |= {f"{i}_{mode}_points": groups.points, f"{i}_{mode}_score": groups.score}
            arrays |= {f"{i}_{mode}_count": groups.count}
    return arrays


def crops_file() -> Arrays:
    """Return every array of ``crops.npz``: heatmaps (H, W, 17) of one drawn person each, with noise."""
    arrays: Arrays = {}
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[:32, :24]
    for i in range(3):
        at = rng.uniform(1, (23, 31), (17, 2))
        maps = np.exp(-((columns[..., None] - at[:, 0]) ** 2 + (rows[..., None] - at[:, 1]) ** 2) / 8)
        maps = (maps * (rng.random(17) > 0.2) + rng.normal(0, 0.01, maps.shape)).astype(np.float16)
        arrays[f"{i}_maps"] = maps
        for mode, rules in POINT_MODES.items():
            arrays[f"{i}_{mode}"] = reference_topdown.find_points(maps.astype(np.float32), rules)
    return arrays


def main() -> None:
    """Check the oracles, then write the three files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="lw-openpose-160x120-int8.tflite of the bundled weights")
    file = parser.parse_args().model
    require_originals()
    for name, arrays in (("paf", paf_file(file)), ("tags", tags_file()), ("crops", crops_file())):
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
        print(f"{name}.npz: {(FOLDER / f'{name}.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
