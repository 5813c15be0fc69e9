"""The hand-over between two threads."""

from __future__ import annotations

import threading

import numpy as np

from rpi_runtime.capture.slot import Slot
from rpi_runtime.poses import Frame


def make_frame(index, released):
    image = np.zeros((2, 2, 3), np.uint8)
    return Frame(image=image, index=index, timestamp_ns=0, taken_ns=0, release=lambda: released.append(index))


def test_the_newest_frame_wins_and_the_others_are_given_back():
    released = []
    slot = Slot(lossless=False)
    for index in range(3):
        assert slot.put(make_frame(index, released))
    assert slot.take(0).index == 2
    assert (released, slot.dropped) == ([0, 1], 2)


def test_lossless_waits_for_the_taker():
    released = []
    slot = Slot(lossless=True)
    thread = threading.Thread(target=lambda: [slot.put(make_frame(i, released)) for i in range(5)])
    thread.start()
    taken = [slot.take(5).index for _ in range(5)]
    thread.join()
    assert (taken, released, slot.dropped) == ([0, 1, 2, 3, 4], [], 0)


def test_close_frees_a_waiting_put_and_gives_every_frame_back():
    released, results = [], []
    slot = Slot(lossless=True)
    slot.put(make_frame(0, released))
    thread = threading.Thread(target=lambda: results.append(slot.put(make_frame(1, released))))
    thread.start()
    slot.close()
    thread.join()
    assert results == [False]
    assert sorted(released) == [0, 1]


def test_the_last_frame_can_be_taken_after_the_end():
    slot = Slot(lossless=False)
    slot.put(make_frame(7, []))
    slot.end()
    assert slot.ended
    assert slot.take(0).index == 7
    assert slot.take(5) is None
