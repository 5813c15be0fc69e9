from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import torch

from export.train.data import examples
from export.train.data.augment import Augmentation
from export.train.data.data import Samples, SampleSpec
from export.train.data.examples import LabelledSource, read_source
from export.train.data.pictures import PictureStore
from export.train.recipe import Holdout
from export.train.tasks.paf_task import PafSamples
from export.train.tasks.targets import TargetSpec
from export.train.validate import held_out
from rpi_runtime.errors import InputError

SPEC = SampleSpec(sizes=((64, 64), (96, 64)), batch=2)
VARIED = Augmentation()


@pytest.fixture
def flat(labelled: Path) -> Samples:
    labels = str(labelled / "annotations/person_keypoints_train2017.json")
    found = read_source(LabelledSource(pictures=str(labelled / "train2017"), labels=labels), frozenset())
    return PafSamples(found, SPEC, 100, TargetSpec(), augmentation=VARIED)


def test_a_sample_depends_on_its_number_alone(flat: Samples) -> None:
    again = PafSamples(flat.examples, SPEC, 100, TargetSpec(), augmentation=VARIED)
    _ = again[40]
    assert all(torch.equal(a, b) for a, b in zip(flat[7], again[7], strict=True))
    assert not torch.equal(flat[6][0], flat[7][0])


def test_sizes_take_turns_by_batch(flat: Samples) -> None:
    assert [tuple(flat[n][0].shape) for n in (0, 1, 2, 3, 4)] == [
        (3, 64, 64), (3, 64, 64), (3, 64, 96), (3, 64, 96), (3, 64, 64)
    ]  # fmt: skip
    assert flat[2][1].shape == (57, 8, 12)


def test_every_picture_comes_once_an_epoch(flat: Samples) -> None:
    plain = Augmentation(scale=(1.0, 1.0), rotation=0, shift=0, flip=0, gain=0, offset=0, grey=0, noise=0)
    spec = SampleSpec(sizes=((64, 64),), batch=2)
    found = PafSamples(flat.examples, spec, 12, TargetSpec(), augmentation=plain)
    assert len({found[n][0].numpy().tobytes() for n in range(6)}) == 6


def test_crowds_are_masked(flat: Samples) -> None:
    assert len(flat.examples[1].ignored) == 1
    masks = [flat[n][2].float().mean() for n in range(12)]
    assert min(masks) < 1
    assert sum(m == 1 for m in masks) >= 8  # the other five pictures have no crowd


def test_held_out_pictures_are_not_read(labelled: Path) -> None:
    split, names = held_out(Holdout(coco=str(labelled), train_every=3))
    assert [i.id for i in split.images] == [2, 3, 5, 6]
    labels = str(labelled / "annotations/person_keypoints_train2017.json")
    left = read_source(LabelledSource(pictures=str(labelled / "train2017"), labels=labels), frozenset(names))
    assert len(left) == 2
    everything = frozenset(i.path.name for i in held_out(Holdout(coco=str(labelled)))[0].images)
    with pytest.raises(InputError, match="all 6 labelled pictures are held out"):
        read_source(LabelledSource(pictures=str(labelled / "train2017"), labels=labels), everything)


def test_a_name_that_ends_like_a_held_out_one_is_trained_on(labelled: Path) -> None:
    labels = str(labelled / "annotations/person_keypoints_train2017.json")
    source = LabelledSource(pictures=str(labelled / "train2017"), labels=labels)
    assert len(read_source(source, frozenset({"1.jpg"}))) == 6
    assert len(read_source(source, frozenset({"000000000001.jpg"}))) == 5


def test_one_in_so_many_is_held_out(labelled: Path) -> None:
    split, _ = held_out(Holdout(coco=str(labelled), held_every=4))
    assert [i.id for i in split.images] == [1, 5]
    with pytest.raises(InputError, match="one of train_every and held_every"):
        Holdout(coco=str(labelled), held_every=4, train_every=5)


def test_pictures_that_do_not_fit_into_memory_are_read_when_they_are_drawn(
    labelled: Path, flat: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "IN_MEMORY", 1000)
    labels = str(labelled / "annotations/person_keypoints_train2017.json")
    found = read_source(LabelledSource(pictures=str(labelled / "train2017"), labels=labels), frozenset())
    lazy = PafSamples(found, SPEC, 100, TargetSpec(), augmentation=VARIED)
    assert all(torch.equal(a, b) for a, b in zip(flat[7], lazy[7], strict=True))
    assert not any("kept" in vars(e) for e in found)
    assert all("kept" in vars(e) for e in flat.examples)
    (labelled / "train2017" / found[0].name).unlink()
    with pytest.raises(InputError, match=f"{found[0].name}: cannot be read from"):
        found[0].read()


def test_people_are_counted_where_a_tool_left_the_count_out(labelled: Path) -> None:
    path = labelled / "annotations/person_keypoints_train2017.json"
    data = json.loads(path.read_text())
    for person in data["annotations"]:
        del person["num_keypoints"]
    path.write_text(json.dumps(data))
    source = LabelledSource(pictures=str(labelled / "train2017"), labels=str(path))
    found = read_source(source, frozenset())
    assert [len(e.people) for e in found] == [1] * 6
    assert [len(e.ignored) for e in found] == [0, 1, 0, 0, 0, 0]


def test_shards_and_folders_hold_the_same(labelled: Path, tmp_path: Path) -> None:
    shard = tmp_path / "shards" / "a.tar"
    shard.parent.mkdir()
    with tarfile.open(shard, "w") as archive:
        for file in sorted((labelled / "train2017").iterdir()):
            archive.add(file, f"sub/{file.name}")
    packed, plain = PictureStore(shard.parent), PictureStore(labelled / "train2017")
    assert len(packed) == len(plain) == 6
    assert [packed.read(f"sub/{name}") for name in plain] == [plain.read(name) for name in plain]


def test_a_cut_shard_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar")
    with pytest.raises(InputError, match="cannot be read as a tar"):
        PictureStore(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures there"):
        PictureStore(tmp_path / "empty")
