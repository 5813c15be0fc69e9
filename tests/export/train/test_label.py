"""Labels made by a teacher, and labels by hand checked by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from export.train.data.pair_teacher import PairTeacher, annotation
from export.train.data.pictures import PictureStore
from export.train.label import Labels, check, chosen, label, main
from rpi_runtime.errors import InputError, UsageError


@pytest.fixture
def pictures(tmp_path: Path) -> PictureStore:
    """Five grey pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 30, 3), number, np.uint8))
    return PictureStore(folder)


def test_every_person_gets_a_number_and_its_pictures(pictures: PictureStore) -> None:
    labels = Labels(description="a teacher")
    person = annotation((1.0, 2.0, 3.0, 4.0), None, 0.5)
    label(pictures, ["0.png", "3.png"], lambda frame: [person] * int(frame[0, 0, 0]), labels)
    data = labels.data()
    assert [i["file_name"] for i in data["images"]] == ["0.png", "3.png"]
    assert (data["images"][1]["width"], data["images"][1]["height"]) == (30, 20)
    assert [(p["id"], p["image_id"]) for p in data["annotations"]] == [(1, 2), (2, 2), (3, 2)]
    assert data["annotations"][0]["bbox"] == [1.0, 2.0, 3.0, 4.0]
    assert data["annotations"][0]["num_keypoints"] == 0


def test_a_part_of_the_pictures_is_always_the_same(pictures: PictureStore) -> None:
    assert chosen(pictures, 0) == list(pictures)
    assert chosen(pictures, 9) == list(pictures)
    assert len(set(chosen(pictures, 3))) == 3
    assert chosen(pictures, 3) == chosen(pictures, 3)


class Checking:
    """Stands for a pair: exchanges the sides of picture 1 and believes nothing of picture 2."""

    def check(self, frame: Any, box: Any, by_hand: Any) -> tuple[dict[str, Any], bool]:
        """As `PairTeacher.check`."""
        number = int(frame[0, 0, 0])
        assert by_hand.shape == (17, 3)
        return annotation(box, None, 1.0) | {"num_keypoints": 0 if number == 2 else 9}, number == 1


def test_labels_by_hand_are_looked_up_by_the_name_of_the_file(pictures: PictureStore, tmp_path: Path) -> None:
    by_hand = {
        "images": [{"id": n, "file_name": f"elsewhere/{n}.png", "width": 30, "height": 20} for n in range(3)],
        "annotations": [
            {"id": n, "image_id": n, "keypoints": [1.0] * 51, "bbox": [0, 0, 9, 9], "num_keypoints": 17}
            for n in range(3)
        ],
    }
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(by_hand))
    labels = Labels(description="a pair")
    teacher = cast(PairTeacher, Checking())
    assert check(pictures, list(pictures), teacher, file, labels) == (1, 1)
    assert [len([p for p in labels.people if p["image_id"] == i["id"]]) for i in labels.images] == [
        1,
        1,
        1,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["pictures", "--output", "labels.txt"], UsageError, r"expected a \.json"),
        (["pictures", "--output", "l.json", "--labels", "x.json"], UsageError, "add --refine"),
        (["pictures", "--output", "l.json", "--most", "-1"], UsageError, "expected 0, for all, or more"),
        (["coco/val2017", "--output", "l.json"], InputError, "results are reported on val2017"),
    ],
)
def test_mistakes_are_said_before_anything_is_read(words: list[str], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        main([*words, "--model", "teacher.tflite"])
