"""Two threads in one decoder."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from rpi_runtime.decode.paf import PafDecoder
from rpi_runtime.decode.topdown import TopdownDecoder
from rpi_runtime.errors import UsageError
from rpi_runtime.preprocess.letterbox import Transform
from tests.rpi_runtime.decode.test_topdown import CARD as TOPDOWN_CARD
from tests.rpi_runtime.toys import CARD

SAME = Transform(scale_x=1.0, scale_y=1.0, pad_x=0.0, pad_y=0.0)


def decode(decoder):
    decoder.decode(np.zeros((60, 80, 19), np.float32), np.zeros((60, 80, 38), np.float32), SAME)


def test_a_second_thread_is_told():
    decoder = PafDecoder(CARD)
    decode(decoder)
    with decoder.lock, pytest.raises(UsageError, match="two threads at once"):
        decode(decoder)
    decode(decoder)


def test_a_decoder_is_free_again_after_an_error():
    decoder = PafDecoder(CARD)
    for _ in range(2):
        with pytest.raises(Exception, match="expected the same height"):
            decoder.decode(np.zeros((6, 8, 19), np.float32), np.zeros((7, 8, 38), np.float32), SAME)


def test_many_threads_crash_nothing():
    decoder, told, done = PafDecoder(CARD), [], []

    def work():
        for _ in range(30):
            try:
                decode(decoder)
                done.append(1)
            except UsageError:
                told.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) + len(done) == 180
    assert done


@pytest.mark.parametrize(
    "make", [lambda: PafDecoder(CARD), lambda: TopdownDecoder(TOPDOWN_CARD)], ids=["paf", "topdown"]
)
def test_every_kind_of_decoder_has_a_lock(make):
    assert not make().lock.locked()
