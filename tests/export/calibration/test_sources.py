"""The package's own calibration pictures, COCO's, or a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from export.calibration import sources as calibration_sources
from export.calibration.sources import FOLDER, PEOPLE, SUMS, find_images, people_of
from quant.calibration import DEFAULT_COUNT, read_calibration
from rpi_runtime.capture.pictures import read_picture
from rpi_runtime.errors import InputError, UsageError
from tests.export.toynet import write_pictures


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's pictures that may be damaged."""
    folder = shutil.copytree(FOLDER, tmp_path / "calibration")
    monkeypatch.setattr(calibration_sources, "FOLDER", folder)
    return folder


@pytest.mark.parametrize("source", [None, "bundled"])
def test_the_package_has_pictures_for_the_default_count(source: str | None) -> None:
    paths, name = find_images(source, DEFAULT_COUNT)
    assert name == "bundled"
    assert [p.name for p in paths] == [f"scene{i:02}.jpg" for i in range(DEFAULT_COUNT)]
    found = read_calibration(paths, name)
    assert not found.skipped
    assert {f.shape for f in found.frames} == {(360, 480, 3)}
    assert len({digest for _, digest in found.manifest.images}) == DEFAULT_COUNT


def test_they_are_small_and_all_listed() -> None:
    files = {p.name: p.stat().st_size for p in FOLDER.iterdir()}
    listed = {line.split()[1] for line in (FOLDER / SUMS).read_text().splitlines()}
    assert set(files) == {SUMS, PEOPLE} | listed
    assert sum(files.values()) < 1_500_000


def test_fewer_are_spread_and_more_are_refused() -> None:
    paths, _ = find_images("bundled", 4)
    assert [p.name for p in paths] == ["scene00.jpg", "scene08.jpg", "scene16.jpg", "scene24.jpg"]
    with pytest.raises(UsageError, match="32 come with the package"):
        find_images("bundled", 33)


def test_a_damaged_package_is_refused(package: Path) -> None:
    path = package / "scene05.jpg"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"scene05.jpg: damaged"):
        find_images(None, 4)
    path.unlink()
    with pytest.raises(InputError, match="install pipose again"):
        find_images(None, 4)
    (package / SUMS).write_text("nothing of the kind\n")
    with pytest.raises(InputError, match="install pipose again"):
        find_images(None, 4)


def test_coco_is_fetched_and_a_folder_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(calibration_sources, "fetch_images", lambda count: asked.append(count) or [tmp_path])
    assert find_images("coco", 7) == ([tmp_path], "coco/train2017")
    assert asked == [7]
    folder = write_pictures(tmp_path / "pictures", 3)
    assert find_images(str(folder), 7) == (sorted(folder.iterdir()), "pictures")


def test_the_generator_makes_these_pictures() -> None:
    from tests.pictures.calibration import CHOSEN
    from tests.pictures.scenes import Studio

    assert len(set(CHOSEN)) == DEFAULT_COUNT
    studio = Studio()
    for index in (4, 5):
        stored = read_picture(FOLDER / f"scene{index:02}.jpg").astype(int)
        made = studio.scene(CHOSEN[index]).astype(int)
        other = studio.scene(CHOSEN[index] + 1).astype(int)
        # JPEG lies between; the resizing of another OpenCV may differ by a step
        assert np.abs(made - stored).mean() < 6 < np.abs(other - stored).mean()


def test_scenes_are_chosen_whose_statistics_are_those_of_real_pictures() -> None:
    from tests.pictures.calibration import Statistics, choose

    rng = np.random.default_rng(2)
    real = Statistics(maximum=rng.uniform(1, 2, (40, 30)), square=rng.uniform(0.1, 0.2, (40, 30)))
    far = Statistics(maximum=real.maximum * 5, square=real.square * 9)
    near = rng.choice(40, 20, False)
    mixed = [np.where(np.isin(np.arange(40), near)[:, None], a, b) for a, b in (
        (real.maximum, far.maximum), (real.square, far.square)
    )]  # fmt: skip
    chosen = choose(Statistics(maximum=mixed[0], square=mixed[1]), real, 4)
    assert len(set(chosen)) == 4
    assert set(chosen) <= set(near.tolist())


def test_every_bundled_scene_has_a_person_inside_the_picture() -> None:
    people = people_of(None)
    paths, _ = find_images(None, 32)
    assert set(people) == {p.name for p in paths}
    for x, y, width, height in people.values():
        assert 0 <= x < x + width <= 480 + 1
        assert 0 <= y < y + height <= 360 + 1


def test_nothing_is_known_of_people_in_plain_folders_and_downloads(tmp_path: Path) -> None:
    assert people_of("coco") == {}
    assert people_of(str(tmp_path)) == {}
