"""Find the keypoints of a person on which two sources agree: two views of a network, or a network and a label by hand.

The measure is COCO's object keypoint similarity of one keypoint. Its sigma is the distance between annotators, relative
to the person's size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.zoo.skeletons import COCO_17, COCO_17_FLIP_PAIRS
from rpi_runtime.decode.maps import partners

Points = NDArray[np.float64]
MIRRORED = list(partners(COCO_17_FLIP_PAIRS, 17))
SIGMAS = np.array(COCO_17.sigmas)
BODY = 0.53  # share of its box that a person covers, on COCO's average
SURE = 0.3  # smallest maximum of a heatmap that is used as a label
LOOKS_AGREE = 0.5  # least similarity of a keypoint in a crop and in its mirror image
HAND_AGREES = 0.3  # least similarity of a keypoint seen and labelled by hand; below it, one of them is wrong
SAME_PERSON = 0.5  # least mean similarity of a person seen and labelled by hand
SWAPPED = 0.1  # least gain of the mean similarity for which left and right are exchanged


def similarity(one: Points, other: Points, box_area: float) -> Points:
    """Return COCO's similarity of each keypoint, 0 to 1.

    Parameters
    ----------
    one, other : ndarray, shape (17, 2 or more)
        The first two columns are x and y in pixels.
    box_area : float
        Area of the person's box, in pixels.
    """
    square = ((one[:, :2] - other[:, :2]) ** 2).sum(axis=1)
    result: Points = np.exp(-square / (2 * BODY * max(box_area, 1.0) * (2 * SIGMAS) ** 2))
    return result


def agreed(seen: Points, straight: Points, mirrored: Points, box_area: float) -> NDArray[np.bool_]:
    """Return which keypoints are sure and at the same place in both views.

    Parameters
    ----------
    seen : ndarray, shape (17, 3)
        x, y and value of the averaged views.
    straight, mirrored : ndarray, shape (17, 3)
        Keypoints of each view alone, in the same pixels.
    """
    sure = (seen[:, 2] >= SURE) & (similarity(straight, mirrored, box_area) >= LOOKS_AGREE)
    return np.asarray(sure, bool)


def checked(
    by_hand: Points, seen: Points, sure: NDArray[np.bool_], box_area: float
) -> tuple[NDArray[np.bool_], bool] | None:
    """Compare a person labelled by hand with the keypoints seen, exchanging left and right if that fits better.

    Parameters
    ----------
    by_hand : ndarray, shape (17, 3)
        COCO's keypoints with flags.
    seen : ndarray, shape (17, 3)
    sure : ndarray of bool, shape (17,)
        Result of `agreed`.

    Returns
    -------
    (kept, swapped) or None
        Which keypoints are used: those that are sure and that no label contradicts; and whether left and right of the
        labels were exchanged. None if it is another person, or if neither can be trusted.
    """
    options = []
    for order in (list(range(17)), MIRRORED):
        labelled = by_hand[order]
        both = sure & (labelled[:, 2] > 0)
        fit = similarity(labelled, seen, box_area)
        options.append((float(fit[both].mean()) if both.any() else 0.0, fit, labelled[:, 2] > 0))
    swapped = options[1][0] > options[0][0] + SWAPPED
    mean, fit, known = options[int(swapped)]
    if mean < SAME_PERSON:
        return None
    return sure & ~(known & (fit < HAND_AGREES)), swapped
