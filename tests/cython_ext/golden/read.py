"""The golden files of the decoding kernels; `tests.cython_ext.golden.make` says where they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_ext.specs import Groups, Peaks, People, PointRules, TagRules

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[2]
Arrays = dict[str, NDArray[np.generic]]

MODES = {"fast": 0, "exact4": 4, "exact8": 8}
_TAGS = TagRules(keypoints=17, joint_order=(0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16))
TAG_MODES = {
    "matched": replace(_TAGS, adjust=False, refine=False),
    "adjusted": replace(_TAGS, refine=False),
    "final": _TAGS,
}
POINT_MODES = {
    "argmax": PointRules(keypoints=17, quarter_offset=False),
    "quarter": PointRules(keypoints=17),
    "softargmax160": PointRules(keypoints=17, beta=160, quarter_offset=False),
    "softargmax160_quarter": PointRules(keypoints=17, beta=160),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maps:
    """Heatmaps (H, W, 19) and PAFs (H, W, 38) of a picture, int8, each with its scale and zero point."""

    heatmaps: NDArray[np.int8]
    pafs: NDArray[np.int8]
    heatmap_scale: tuple[float, int]
    paf_scale: tuple[float, int]

    def arrays(self) -> Arrays:
        """Return what a file keeps."""
        return {
            "heatmaps": self.heatmaps,
            "pafs": self.pafs,
            "heatmap_scale": np.array(self.heatmap_scale),
            "paf_scale": np.array(self.paf_scale),
        }

    def real(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return both maps as float32."""
        pairs = ((self.heatmaps, self.heatmap_scale), (self.pafs, self.paf_scale))
        heatmaps, pafs = ((q.astype(np.float32) - np.float32(z)) * np.float32(s) for q, (s, z) in pairs)
        return heatmaps, pafs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PafCase:
    """One picture: its maps, and by mode the peaks and people on them."""

    name: str
    maps: Maps
    peaks: Mapping[str, Peaks]
    people: Mapping[str, People]


RECORDED = ROOT.parent / "shared" / "fixtures"  # what original implementations computed


def real_maps() -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield heatmaps and PAFs of pictures, float32: the golden ones, and recorded ones where ``../shared`` is."""
    for case in paf_cases():
        yield case.maps.real()
    for path in sorted((RECORDED / "paf_decode").glob("*.npz")):
        with np.load(path) as file:
            yield file["heatmaps"], file["pafs"]


def _scale(values: NDArray[np.float64]) -> tuple[float, int]:
    return float(values[0]), int(values[1])


def paf_cases() -> list[PafCase]:
    """Return the pictures of ``paf.npz``."""
    with np.load(FOLDER / "paf.npz") as file:
        data = dict(file)
    return [_paf_case(data, i, str(name)) for i, name in enumerate(data["pictures"])]


def _paf_case(data: Arrays, i: int, name: str) -> PafCase:
    maps = Maps(
        heatmaps=data[f"{i}_heatmaps"].astype(np.int8, copy=False),
        pafs=data[f"{i}_pafs"].astype(np.int8, copy=False),
        heatmap_scale=_scale(data[f"{i}_heatmap_scale"].astype(np.float64)),
        paf_scale=_scale(data[f"{i}_paf_scale"].astype(np.float64)),
    )
    keys = ("table", "starts", "people", "score", "count")
    of: dict[str, Any] = {mode: {key: data[f"{i}_{mode}_{key}"] for key in keys} for mode in MODES}
    return PafCase(
        name=name,
        maps=maps,
        peaks={mode: Peaks(table=x["table"], starts=x["starts"]) for mode, x in of.items()},
        people={
            mode: People(peaks=x["people"], score=x["score"], count=x["count"]) for mode, x in of.items()
        },
    )


def tag_cases() -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], Mapping[str, Groups]]]:
    """Yield heatmaps (K, H, W), tags (T, K, H, W) and the groups by mode."""
    with np.load(FOLDER / "tags.npz") as file:
        data = dict(file)
    for i in range(sum(name.endswith("_heatmaps") for name in data)):
        groups = {
            mode: Groups(**{key: data[f"{i}_{mode}_{key}"] for key in ("points", "score", "count")})
            for mode in TAG_MODES
        }
        yield data[f"{i}_heatmaps"].astype(np.float32), data[f"{i}_tags"].astype(np.float32), groups


def crop_cases() -> Iterator[tuple[NDArray[np.float32], Mapping[str, NDArray[np.float32]]]]:
    """Yield heatmaps (H, W, K) and the points (K, 3) by mode."""
    with np.load(FOLDER / "crops.npz") as file:
        data = dict(file)
    for i in range(sum(name.endswith("_maps") for name in data)):
        yield data[f"{i}_maps"].astype(np.float32), {mode: data[f"{i}_{mode}"] for mode in POINT_MODES}


def tag_maps() -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield heatmaps (K, H, W) and tags (T, K, H, W): the golden ones, and recorded ones where ``../shared`` is."""
    for heatmaps, tags, _ in tag_cases():
        yield heatmaps, tags
    for path in sorted((RECORDED / "ae_decode").glob("case*.npz")):
        with np.load(path) as file:
            yield file["heatmaps"][0], np.ascontiguousarray(file["tags"][0].transpose(3, 0, 1, 2))


def crop_maps() -> Iterator[NDArray[np.float32]]:
    """Yield heatmaps (H, W, K) of one person each: the golden ones, and recorded ones where ``../shared`` is."""
    for maps, _ in crop_cases():
        yield maps
    for path in sorted((RECORDED / "topdown_decode").glob("case*.npz")):
        with np.load(path) as file:
            yield from (np.ascontiguousarray(h.transpose(1, 2, 0)) for h in file["heatmaps"])
