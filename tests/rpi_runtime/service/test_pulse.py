"""What is said when, on a made-up clock."""

from __future__ import annotations

from rpi_runtime.health.status import Status
from rpi_runtime.service.pulse import Pulse


class Heard:
    watchdog_s = 8.0

    def __init__(self):
        self.words = []

    def send(self, *words):
        self.words += words
        return True

    def take(self):
        words, self.words = self.words, []
        return words


def status(frames, *, fps=10.0, people=2, state="running"):
    return Status(state=state, frames=frames, fps=fps if frames > 1 else 0.0, people=people)


def test_ready_comes_with_the_first_result_and_once():
    heard = Heard()
    pulse = Pulse(heard)
    pulse.beat(status(0, state="opening"), 0.0)
    assert heard.take() == ["STATUS=waiting for the first picture"]
    pulse.beat(status(1), 1.0)
    assert heard.take() == ["READY=1", "WATCHDOG=1", "STATUS=0.0 frames per second, 2 people"]
    pulse.beat(status(12, people=1), 2.0)
    assert heard.take() == ["WATCHDOG=1", "STATUS=10.0 frames per second, 1 person"]


def test_the_watchdog_is_answered_only_while_frames_flow():
    heard = Heard()
    pulse = Pulse(heard)
    for tenth in range(30):
        pulse.beat(status(1 + tenth), tenth / 10)
    assert heard.take().count("WATCHDOG=1") == 3, "once a second is enough"
    for tenth in range(32, 600):
        pulse.beat(status(30), tenth / 10)
    assert heard.take() == []
    pulse.beat(status(31), 60.0)
    assert heard.take() == ["WATCHDOG=1"]


def test_one_frame_a_minute_is_no_stall():
    heard = Heard()
    pulse = Pulse(heard, max_fps=1 / 60)
    pings = []
    for second in range(300):
        pulse.beat(status(1 + second // 60, fps=1 / 60), float(second))
        pings += [second] * heard.take().count("WATCHDOG=1")
    assert pings == list(range(300))


def test_a_short_watchdog_is_answered_more_often():
    heard = Heard()
    heard.watchdog_s = 1.0
    pulse = Pulse(heard)
    for step in range(21):
        pulse.beat(status(1 + step), step * 0.125)
    assert heard.take().count("WATCHDOG=1") == 11


def test_a_lost_source_and_a_refused_reload_are_in_the_status():
    heard = Heard()
    pulse = Pulse(heard)
    pulse.beat(status(5), 0.0)
    heard.take()
    pulse.note = "reload refused: c.toml:3: nonsense"
    pulse.beat(status(5, state="lost"), 2.0)
    assert heard.take() == [
        "STATUS=no pictures: the source is lost, trying to open it again; reload refused: c.toml:3: nonsense"
    ]


def test_the_status_changes_at_most_once_a_second():
    heard = Heard()
    pulse = Pulse(heard)
    for step in range(41):
        pulse.beat(status(2 + step, fps=10 + step / 10), step / 4)
    assert sum(word.startswith("STATUS=") for word in heard.take()) == 11
