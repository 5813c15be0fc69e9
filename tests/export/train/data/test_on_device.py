"""Samples made on an accelerator are those that the loading processes make, up to rounding and noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export.train.data.augment import Augmentation
from export.train.data.crops import Crops
from export.train.data.data import RenderedSamples, SampleSpec
from export.train.data.examples import LabelledSource, read_source
from export.train.tasks.box_task import BoxSamples
from export.train.tasks.crop_task import CropSamples, Drawing
from export.train.tasks.paf_task import PafSamples
from export.train.tasks.targets import TargetSpec

LIGHT = Augmentation(scale=(0.3, 2.2), noise=0.0)
PEOPLE = 3
TOLERANCE = 3  # of 255: OpenCV samples at 32nds of a pixel and rounds twice


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> LabelledSource:
    """Smooth pictures, each with a few people of random keypoints, and a person without any."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    images, annotations = [], []
    for number, (width, height) in enumerate([(320, 240), (233, 351), (90, 64)]):
        noise = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(
            folder / f"{number}.png"
        )
        images.append({"id": number, "file_name": f"{number}.png", "width": width, "height": height})
        for person in range(PEOPLE):
            points = np.column_stack((rng.uniform(0, (width, height), (17, 2)), rng.integers(0, 3, 17)))
            if person == 0:
                points[:] = 0
            box = [5, 6, width / 2, height / 2]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "keypoints": points.reshape(-1).tolist(),
                    "num_keypoints": int((points[:, 2] > 0).sum()),
                    "bbox": box,
                    "area": 1.0,
                    "iscrowd": 0,
                    "category_id": 1,
                }
            )
    labels = folder / "labels.json"
    labels.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return LabelledSource(pictures=str(folder), labels=str(labels))


def _spec(size: tuple[int, int]) -> SampleSpec:
    return SampleSpec(sizes=(size,), batch=4)


def _crops(source: LabelledSource, draw: Drawing) -> RenderedSamples:
    examples = read_source(source, frozenset())
    return CropSamples(
        examples, _spec((96, 128)), 12, Crops(half_body=0.5, jitter=0.5), light=LIGHT, draw=draw
    )


def _boxes(source: LabelledSource) -> RenderedSamples:
    return BoxSamples(read_source(source, frozenset()), _spec((160, 160)), 12, LIGHT)


def _pafs(source: LabelledSource, larger: float = 0.0) -> RenderedSamples:
    examples = read_source(source, frozenset())
    return PafSamples(examples, _spec((160, 120)), 12, TargetSpec(), augmentation=LIGHT, larger=larger)


KINDS = {
    "crops": lambda s: _crops(s, Drawing(stride=4, sigma=2.0)),
    "exact crops": lambda s: _crops(s, Drawing(stride=4, sigma=1.1, origin=0.5)),
    "boxes": _boxes,
    "fields": _pafs,
    "fields and a larger crop": lambda s: _pafs(s, 2.0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_accelerator_makes_the_samples_of_the_loading_processes(kind: str, source: LabelledSource) -> None:
    """Pictures within a few levels, maps and weights within the rounding of half floats."""
    drawn, planned = KINDS[kind](source), KINDS[kind](source)
    planned.place("cpu")
    assert planned.pictures is not None
    for step in range(3):
        numbers = range(4 * step, 4 * step + 4)
        wanted = [torch.stack(part) for part in zip(*(drawn[n] for n in numbers), strict=True)]
        plans = [torch.stack(part) for part in zip(*(planned[n] for n in numbers), strict=True)]
        found = planned.render(plans, step, "cpu")
        assert len(found) == len(wanted)
        for got, want in zip(found, wanted, strict=True):
            assert got.shape == want.shape
            difference = (got.float() - want.float()).abs()
            if want.dtype == torch.uint8 and want.max() > 1:
                assert difference.mean() < 1
                assert (difference > TOLERANCE).float().mean() < 2e-3  # where a picture ends
            else:
                assert difference.max() < 2e-3


def test_noise_is_the_same_whenever_a_step_is_made(source: LabelledSource) -> None:
    """A resumed run sees what it would have seen."""
    examples = read_source(source, frozenset())
    spec = SampleSpec(sizes=((64, 64),), batch=2)
    samples = BoxSamples(examples, spec, 12, Augmentation(noise=20.0))
    samples.place("cpu")
    plans = [torch.stack(part) for part in zip(*(samples[n] for n in range(2)), strict=True)]
    first, again, other = (samples.render(plans, step, "cpu")[0] for step in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_pictures_that_moved_are_not_kept_twice(source: LabelledSource, tmp_path: Path) -> None:
    """Memory of the host is given back."""
    samples = _boxes(source)
    samples.place("cpu")
    assert not any("kept" in e.__dict__ for e in samples.examples)
