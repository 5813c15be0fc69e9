"""The state of a run, and its summary at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rpi_runtime.health.timing import Buckets, Percentiles, format_table
from rpi_runtime.poses import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSummary:
    """The state of one sink.

    Attributes
    ----------
    name : str
    written, dropped : int
    error : str
        Why it does not work now, or why it ended; empty if it works or lasted to the end of the run.
    trouble : str
        As `error`, and also a problem that the sink reports itself, such as a lost broker; empty if its reader left.
    over : bool
        Whether it takes no more results. If False, a failed sink is tried again.
    outages : int
        Number of failures after it had worked.
    age : Percentiles or None
    """

    name: str
    written: int
    dropped: int
    error: str = ""
    trouble: str = ""
    over: bool = False
    outages: int = 0
    age: Percentiles | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeSummary:
    """Counts of a cascade.

    Attributes
    ----------
    refined : int
        People refined on the latest frame.
    people_total, refined_total : int
        Number of people over all frames, and of those refined.
    looks_total : int
        Number of full-frame passes.
    """

    refined: int = 0
    people_total: int = 0
    refined_total: int = 0
    looks_total: int = 0

    def after(self, tracks: Sequence[Track], *, looked: bool) -> CascadeSummary:
        """Return the counts with one more frame."""
        refined = sum(track.refined for track in tracks)
        return CascadeSummary(
            refined=refined,
            people_total=self.people_total + len(tracks),
            refined_total=self.refined_total + refined,
            looks_total=self.looks_total + looked,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of a run, now or at its end.

    Attributes
    ----------
    state : {"opening", "running", "lost", "ended"}
        State of the source.
    frames, dropped : int
        Number of processed frames, and of frames dropped because a newer one had arrived.
    undecodable : int
        Number of frames that arrived and could not be decoded.
    seconds : float
        Time since the first frame.
    fps : float
        Mean over about the last second; in the summary, over the whole run.
    people : int
        Number of people on the latest frame.
    restarts : int
        How often the source was lost and recovered; `last_recovery_s` is the time of the latest recovery.
    heat_level : int
        Current number of steps down; in the summary, the maximum.
    celsius : float or None
        Temperature of the processor; None if unknown.
    throttled : bool
        Whether the firmware is slowing the processor down because of heat.
    stages : mapping of str to Percentiles
        Latency of each stage.
    histograms : mapping of str to Buckets
        The same latencies as counts that can be added over several machines.
    sinks : tuple of SinkSummary
    cascade : CascadeSummary or None
        None without a cascade.
    """

    state: str
    frames: int = 0
    dropped: int = 0
    undecodable: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    people: int = 0
    restarts: int = 0
    last_recovery_s: float = 0.0
    heat: str = ""
    heat_level: int = 0
    celsius: float | None = None
    throttled: bool = False
    stages: dict[str, Percentiles] = field(default_factory=dict)
    histograms: dict[str, Buckets] = field(default_factory=dict)
    sinks: tuple[SinkSummary, ...] = ()
    cascade: CascadeSummary | None = None

    @property
    def known_people(self) -> int | None:
        """Number of people on the latest frame while frames arrive; None if unknown."""
        return self.people if self.state == "running" and self.frames else None

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each thing that does not work now."""
        source = ("the source is lost and looked for again",) if self.state == "lost" else ()
        return source + tuple(
            f"sink {'ended' if sink.over else 'fails'}: {sink.trouble}" for sink in self.sinks if sink.trouble
        )

    def describe(self) -> str:
        """Return the summary of a run in several lines."""
        lines = [
            f"{self.frames} frames in {self.seconds:.1f} s, {self.fps:.1f} a second, {self.dropped} dropped, "
            f"source restarted {self.restarts} times",
            format_table(self.stages),
        ]
        if self.cascade is not None:
            done = self.cascade
            lines.append(
                f"refined {done.refined_total} of {done.people_total} people, "
                f"whole picture looked at on {done.looks_total} of {self.frames} frames"
            )
        if self.undecodable:
            lines.append(f"{self.undecodable} frames could not be decoded")
        for sink in self.sinks:
            age = f", age at most {sink.age.p95_ms:.1f} ms for 95 %" if sink.age and sink.age.count else ""
            outages = f", failed {sink.outages} times" if sink.outages else ""
            error = f"; ended early: {sink.error}" if sink.error else ""
            lines.append(
                f"sink {sink.name}: {sink.written} written, {sink.dropped} dropped{outages}{age}{error}"
            )
        if self.heat:
            lines.append(f"heat: {self.heat}; {self.heat_level} steps down at most")
        return "\n".join(lines)
