"""Messages to systemd about a run, derived from its state."""

from __future__ import annotations

from rpi_runtime.health.status import Status
from rpi_runtime.service.notify import Notifier

_PERIOD_S = 1.0  # between two messages with nothing new
_PINGS = 4  # within the watchdog's time


class Pulse:
    """Turns the states of one run into messages: READY once, WATCHDOG while frames flow, STATUS when it changes.

    Frames flow if one arrived since the last check, or if the last one is not older than two usual intervals. Therefore
    the watchdog is not fed once a camera stalls, and one frame per minute is not a stall.

    Parameters
    ----------
    notifier : Notifier
    max_fps : float
        Limit of the run, which determines the usual interval before the second frame; 0: no limit.
    note : str
        Text after each status, as in ``reload refused: ...``.
    """

    def __init__(self, notifier: Notifier, *, max_fps: float = 0.0, note: str = "") -> None:
        self._notifier, self._max_fps = notifier, max_fps
        self.note = note
        self.ready = False
        self._frames = 0
        self._frame_at = float("-inf")
        self._ping_at = self._status_at = float("-inf")
        self._said = ""

    def beat(self, status: Status, now_s: float) -> None:
        """Check the run at `now_s` of a monotonic clock, and send the messages that are due."""
        if status.frames > self._frames:
            self._frames, self._frame_at = status.frames, now_s
        words = []
        if self._frames and not self.ready:
            self.ready = True
            words.append("READY=1")
        if self._flows(status, now_s) and now_s >= self._ping_at:
            self._ping_at = now_s + min(_PERIOD_S, self._notifier.watchdog_s / _PINGS)
            words.append("WATCHDOG=1")
        text = self._text(status)
        if text != self._said and now_s >= self._status_at:
            self._said, self._status_at = text, now_s + _PERIOD_S
            words.append(f"STATUS={text}")
        self._notifier.send(*words)

    def _flows(self, status: Status, now_s: float) -> bool:
        rate = status.fps or self._max_fps
        return now_s - self._frame_at <= (2 / rate if rate else 0.0)

    def _text(self, status: Status) -> str:
        if status.state == "lost":
            text = "no pictures: the source is lost, trying to open it again"
        elif not status.frames:
            text = "waiting for the first picture"
        else:
            people = "1 person" if status.people == 1 else f"{status.people} people"
            refined = f", {status.cascade.refined} refined" if status.cascade is not None else ""
            text = f"{status.fps:.1f} frames per second, {people}{refined}"
        troubles = [p for p in status.problems if not (p.startswith("the source") and status.state == "lost")]
        return "; ".join([text, *troubles, *([self.note] if self.note else [])])
