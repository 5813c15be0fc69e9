"""Annotation files as other tools write them: the same AP as COCO's own, or a refusal before the first picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.accuracy.evaluation import Evaluation, evaluate, score
from rpi_runtime.errors import InputError
from rpi_runtime.evaluate.coco import CocoSplit, read_split
from tests.quant.toycoco import write_toy_coco

Data = dict[str, Any]
CAR = {"image_id": 101, "category_id": 3, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}


def nearly_true(split: CocoSplit) -> list[dict[str, Any]]:
    """The annotated people, some of them misplaced, so that AP is neither 0 nor 100."""
    shifts = {p["id"]: 8.0 * (i % 2) for i, p in enumerate(split.people)}
    found: list[dict[str, Any]] = []
    for person in split.people:
        points = np.array(person["keypoints"]).reshape(17, 3)
        points[:, :2] += shifts[person["id"]]
        values = {"image_id": person["image_id"], "category_id": 1, "keypoints": points.reshape(-1).tolist()}
        found.append(values | {"score": 1.0 - 0.1 * len(found)})
    return found


def rewritten(folder: Path, edit: Callable[[Data], Any], encoding: str = "utf-8") -> Path:
    root = write_toy_coco(folder / "coco")
    path = root / "annotations" / "person_keypoints_val2017.json"
    data = json.loads(path.read_text())
    result = edit(data)
    path.write_bytes(json.dumps(data if result is None else result).encode(encoding))
    return root


def each(key: str, value: Callable[[Data], Any]) -> Callable[[Data], None]:
    def edit(data: Data) -> None:
        for annotation in data["annotations"]:
            annotation[key] = value(annotation)

    return edit


def without(key: str) -> Callable[[Data], None]:
    def edit(data: Data) -> None:
        for annotation in data["annotations"]:
            del annotation[key]

    return edit


def both_ids(of: Callable[[int], Any]) -> Callable[[Data], None]:
    def edit(data: Data) -> None:
        for image in data["images"]:
            image["id"] = of(image["id"])
        for annotation in data["annotations"]:
            annotation["image_id"] = of(annotation["image_id"])

    return edit


def category(number: int, *others: Data) -> Callable[[Data], None]:
    def edit(data: Data) -> None:
        data["categories"][0]["id"] = number
        data["categories"] = [*others, *data["categories"]]
        for annotation in data["annotations"]:
            annotation["category_id"] = number

    return edit


def other_things(**values: Any) -> Callable[[Data], None]:
    def edit(data: Data) -> None:
        data["categories"].append({"id": 3, "name": "car"})
        data["annotations"] += [CAR | values | {"id": 900}]

    return edit


def twice(data: Data) -> None:
    data["images"].append(dict(data["images"][0]))


def orphan(data: Data) -> None:
    data["annotations"].append(data["annotations"][0] | {"image_id": 10**9})


def named(prefix: str) -> Callable[[Data], None]:
    def edit(data: Data) -> None:
        for image in data["images"]:
            image["file_name"] = prefix + image["file_name"]

    return edit


SAME: dict[str, Callable[[Data], Any]] = {
    "as COCO": lambda _: None,
    "an id of 0": each("id", lambda a: a["id"] - 1010),
    "ids per image": each("id", lambda _: 1),
    "no ids": without("id"),
    "ids as words": each("id", lambda a: f"{a['id']:x}-a"),
    "image ids as digits on both sides": both_ids(lambda i: f"{i:012}"),
    "image ids as digits on one side": each("image_id", lambda a: str(a["image_id"])),
    "image ids as words": both_ids(lambda i: f"img{i}"),
    "image ids as floats": both_ids(float),
    "negative image ids": both_ids(lambda i: -i),
    "category 0": category(0),
    "category 2": category(2),
    "category 2 beside another 1": category(2, {"id": 1, "name": "body"}),
    "category 1 below a super category": category(1, {"id": 0, "name": "people"}),
    "boxes of other things": other_things(),
    "keypoints with names that are none": lambda data: data["categories"][0].update(keypoints=[[]] * 17),
    "keypoints of other things": other_things(keypoints=[5, 5, 2] * 17, num_keypoints=17),
    "no count of keypoints": without("num_keypoints"),
    "a wrong count of keypoints": each("num_keypoints", lambda _: 0),
    "no crowds": without("iscrowd"),
    "crowds as truth values": each("iscrowd", lambda _: False),
    "points in lists": each("keypoints", lambda a: [a["keypoints"][k : k + 3] for k in range(0, 51, 3)]),
    "visible or not": each(
        "keypoints", lambda a: [min(v, 1) if k % 3 == 2 else v for k, v in enumerate(a["keypoints"])]
    ),
    "an image twice": twice,
    "an annotation of no image": orphan,
    "names with the folder": named("val2017/"),
    "names of another machine": named("/data/coco/val2017/"),
    "names of Windows": named("D:\\coco\\val2017\\"),
    "names that climb": named("../../../etc/"),
}


@pytest.mark.parametrize("form", SAME)
def test_forms_that_mean_the_same_score_the_same(tmp_path: Path, form: str) -> None:
    """Of these, an id of 0, ids per image, other categories and ids as words gave another AP without a word."""
    split = read_split(rewritten(tmp_path, SAME[form]), "val2017")
    stats, per_image = score(nearly_true(split), split)
    reference = read_split(write_toy_coco(tmp_path / "reference"), "val2017")
    assert stats == score(nearly_true(reference), reference)[0]
    assert 0 < stats[0] < 100
    assert [i["people"] for i in per_image] == [1, 1, 1, 1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_damage(tmp_path: Path, encoding: str) -> None:
    assert len(read_split(rewritten(tmp_path, lambda _: None, encoding), "val2017").people) == 4


def corners(data: Data) -> None:
    for a in data["annotations"]:
        x, y, _, _ = a["bbox"]
        a["bbox"] = [x + 20, y + 20, x + 60, y + 44]


def other_order(data: Data) -> None:
    from rpi_runtime.evaluate.coco_people import KEYPOINTS

    data["categories"][0]["keypoints"] = list(reversed(KEYPOINTS))


def other_image(data: Data) -> None:
    data["images"].append(data["images"][0] | {"file_name": "other.png"})


REFUSED: dict[str, tuple[Callable[[Data], Any], str]] = {
    "area 0": (each("area", lambda _: 0), "annotation 0: area 0 of a person with keypoints"),
    "no area": (without("area"), "no 'area'"),
    "area NaN": (each("area", lambda _: float("nan")), "NaN is not a number that JSON has"),
    "area beyond floats": (each("area", lambda _: 10**400), "a number beyond all bounds"),
    "area as a word": (each("area", lambda _: "12"), "'12' where a number belongs"),
    "no box": (each("bbox", lambda _: None), "bbox None, expected [x, y, width, height]"),
    "three numbers": (each("bbox", lambda a: a["bbox"][:3]), "expected [x, y, width, height]"),
    "a box by name": (each("bbox", lambda _: {"x": 1}), "expected [x, y, width, height]"),
    "boxes as corners": (corners, "boxes reach far outside their images"),
    "14 keypoints": (each("keypoints", lambda a: a["keypoints"][:42]), "42 keypoint values, expected 51"),
    "keypoints that are null": (each("keypoints", lambda _: [None] * 51), "'None' where a number belongs"),
    "visibility 3": (each("keypoints", lambda _: [5, 5, 3] * 17), "a visibility that is not 0, 1 or 2"),
    "no keypoints at all": (without("keypoints"), "no person in it has keypoints"),
    "crowd 2": (each("iscrowd", lambda _: 2), "iscrowd 2, expected 0 or 1"),
    "no categories": (lambda data: data.update(categories=[]), "0 categories named person among: none"),
    "no person": (lambda data: data["categories"][0].update(name="human"), "0 categories named person"),
    "two people": (
        lambda data: data["categories"].append({"id": 2, "name": "Person"}),
        "2 categories named person",
    ),
    "19 keypoints by name": (
        lambda data: data["categories"][0].update(keypoints=["k"] * 19),
        "19 keypoints a person; expected COCO's 17",
    ),
    "another order": (other_order, "another order than COCO's"),
    "one id for two images": (other_image, "is given to two images"),
    "no size": (
        lambda data: [i.pop("width") for i in data["images"]] and None,
        "without id, file_name, width",
    ),
    "a category that is null": (
        lambda data: data["categories"].append(None),
        "a category without id and name",
    ),
    "an annotation that is none": (lambda data: data["annotations"].append(7), "annotation 4"),
    "a list": (lambda data: data["annotations"], "not COCO annotations"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_right_is_refused_before_the_first_picture(tmp_path: Path, form: str) -> None:
    edit, message = REFUSED[form]
    root = rewritten(tmp_path, edit)
    with pytest.raises(InputError) as caught:
        read_split(root, "val2017")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_people_without_keypoints_count_neither_way(tmp_path: Path) -> None:
    def edit(data: Data) -> None:
        data["annotations"][0]["keypoints"] = []
        del data["annotations"][1]["keypoints"]

    split = read_split(rewritten(tmp_path, edit), "val2017")
    assert [p["num_keypoints"] for p in split.people] == [0, 0, 17, 17]


def test_images_of_another_size_are_refused_before_the_first(tmp_path: Path) -> None:
    def edit(data: Data) -> None:
        data["images"][-1]["width"] += 1

    def never(*_: Any) -> list[Any]:
        raise AssertionError("a picture was looked at")

    split = read_split(rewritten(tmp_path, edit), "val2017")
    facts = Evaluation(file="f", model="m", recipe="r", size="s")
    with pytest.raises(InputError, match="64x48 pixels, annotated as 65x48"):
        evaluate(never, split, facts)


def test_results_name_the_images_as_their_file_does(tmp_path: Path) -> None:
    split = read_split(rewritten(tmp_path, SAME["image ids as words"]), "val2017")

    def one(image: Any, _: Any) -> list[dict[str, Any]]:
        return [d for d in nearly_true(split) if d["image_id"] == image.id]

    results = evaluate(one, split, Evaluation(file="f", model="m", recipe="r", size="s"))
    assert [d["image_id"] for d in results.detections] == ["img101", "img102", "img103", "img104"]


def test_images_without_people_give_no_ap(tmp_path: Path) -> None:
    """It was -1, with exit code 0."""

    def never(*_: Any) -> list[Any]:
        raise AssertionError("a picture was looked at")

    split = read_split(rewritten(tmp_path, lambda data: data["annotations"].clear()), "val2017")
    facts = Evaluation(file="f", model="m", recipe="r", size="s")
    with pytest.raises(InputError, match="no person with keypoints on its images"):
        evaluate(never, split, facts)
