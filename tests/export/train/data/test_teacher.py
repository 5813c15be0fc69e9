from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.train.data.teacher import Teacher, complete
from rpi_runtime.errors import InputError

PICTURES = Path(__file__).parents[3] / "pictures"


def test_labels_stay_and_the_teacher_fills_the_rest() -> None:
    labels, seen = np.zeros((3 + 4, 2, 2), np.float32), np.zeros((3 + 4, 2, 2), np.float32)
    labels[0, 0, 0], seen[0, 0, 0], seen[1, 1, 1] = 0.9, 0.4, 0.7
    seen[0, 0, 1] = -0.2  # no heat below 0
    labels[3, 0, 0], seen[3:5, 0, 0], seen[5:7, 1, 0] = 1.0, 0.5, -0.6
    complete(labels, seen, kinds=3)
    assert labels[0].tolist() == [[np.float32(0.9), 0], [0, 0]]
    assert labels[1, 1, 1] == np.float32(0.7)
    assert np.allclose(labels[2], [[0.1, 1], [1, 0.3]])
    assert labels[3:5, 0, 0].tolist() == [1.0, 0.0]  # a labelled field keeps both parts
    assert np.allclose(labels[5:7, 1, 0], -0.6)


def test_a_teacher_of_another_size_is_refused(exported: Path) -> None:
    with pytest.raises(InputError, match="160x120 with maps of 20x15; expected 320x240"):
        Teacher(exported, (320, 240), (30, 40))


def test_a_teacher_sees_the_person_in_the_picture(exported: Path) -> None:
    import cv2

    picture = cv2.imread(str(PICTURES / "astronaut.jpg"))
    maps = Teacher(exported, (160, 120), (15, 20))(cv2.resize(picture, (160, 120)))
    assert maps.shape == (57, 15, 20)
    assert maps[1].max() > 0.3 and maps[18].min() < 0.7  # a neck, and no background there
