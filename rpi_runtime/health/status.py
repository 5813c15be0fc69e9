"""What a run is doing, and its summary at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rpi_runtime.health.timing import Buckets, Percentiles, format_table
from rpi_runtime.poses import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSummary:
    """What became of one sink.

    Attributes
    ----------
    name : str
    written, dropped : int
    error : str
        Why it does not work at the moment, or ended; empty when it works, or lived to the end.
    trouble : str
        As `error`, also for what it says of itself, as that its broker is away; empty when its reader left.
    over : bool
        It takes no more results; otherwise it is tried again.
    outages : int
        How often it failed after it had worked.
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
    """What a cascade did.

    Attributes
    ----------
    refined : int
        People refined on the latest frame.
    people_total, refined_total : int
        People over all frames, and how many of them were refined.
    looks_total : int
        Frames whose whole picture was looked at.
    """

    refined: int = 0
    people_total: int = 0
    refined_total: int = 0
    looks_total: int = 0

    def after(self, tracks: Sequence[Track], *, looked: bool) -> CascadeSummary:
        """Return the summary with one more frame."""
        refined = sum(track.refined for track in tracks)
        return CascadeSummary(
            refined=refined,
            people_total=self.people_total + len(tracks),
            refined_total=self.refined_total + refined,
            looks_total=self.looks_total + looked,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a run is doing at the moment, or did in the end.

    Attributes
    ----------
    state : {"opening", "running", "lost", "ended"}
        Of the source.
    frames, dropped : int
        Processed, and dropped before that because newer ones had come.
    undecodable : int
        Frames that came and could not be decoded.
    seconds : float
        Since the first frame.
    fps : float
        Over the last second or so; in the summary of a run over all of it.
    people : int
        On the latest frame.
    restarts : int
        How often the source was lost and came back; `last_recovery_s` is how long that took.
    heat_level : int
        Steps down; in the summary the most there were.
    celsius : float or None
        Temperature of the processor; None where the machine does not tell.
    throttled : bool
        Whether the firmware is slowing the processor down because of heat.
    stages : mapping of str to Percentiles
        Latency of each stage.
    histograms : mapping of str to Buckets
        The same, in a form that can be added over several machines.
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
        """People on the latest frame while pictures come; None when it cannot be known."""
        return self.people if self.state == "running" and self.frames else None

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work at the moment, one sentence each."""
        source = ("the source is lost and looked for again",) if self.state == "lost" else ()
        return source + tuple(
            f"sink {'ended' if sink.over else 'fails'}: {sink.trouble}" for sink in self.sinks if sink.trouble
        )

    def describe(self) -> str:
        """Return the summary that ends a run, several lines."""
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
