"""The pictures of a COCO split, each checked to be the one that was annotated."""

from __future__ import annotations

from rpi_runtime.capture.pictures import picture_size, read_picture
from rpi_runtime.errors import InputError
from rpi_runtime.evaluate.coco import CocoImage, CocoSplit
from rpi_runtime.poses import Image


def read_image(image: CocoImage) -> Image:
    """Read an image and check that it is the one that was annotated.

    A picture that its EXIF block turns may have been annotated as it is stored; its size decides.
    """
    frame = read_picture(image.path)
    if frame.shape[:2] == (image.width, image.height):
        frame = read_picture(image.path, turn=False)
    if frame.shape[:2] != (image.height, image.width):
        raise _other_size(image, frame.shape[1], frame.shape[0])
    return frame


def check_sizes(split: CocoSplit) -> None:
    """Refuse images of another size than annotated, or without people, before work on the images begins."""
    if not any(person["num_keypoints"] for person in split.people):
        raise InputError(f"{split.annotations}: no person with keypoints on its images, so there is no AP")
    for image in split.images:
        width, height = picture_size(image.path)
        if (image.width, image.height) not in ((width, height), (height, width)):
            raise _other_size(image, width, height)


def _other_size(image: CocoImage, width: int, height: int) -> InputError:
    return InputError(
        f"{image.path}: {width}x{height} pixels, annotated as {image.width}x{image.height}; "
        "the annotations belong to other images"
    )
