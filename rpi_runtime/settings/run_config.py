"""The settings of a run, from a TOML file and from the command line.

A file, with every key at its default::

    model = "lw-openpose-160x120-int8.tflite"   # or a list, from large to small, for step-down in the heat
    threads = 0            # 0: as many as the machine has, at most 4
    track = "auto"         # auto: on, but off for a folder of images
    smooth = true
    max_fps = 0            # 0: no limit
    frames = 0             # stop after this many; 0: never
    source = "picamera"    # or a table [source]: kind, target, width, height, fps, ...
    sink = ["jsonl:-"]     # or tables [[sink]]: kind, target, ...
    [heat]
    limit_c = 78.0         # also resume_c, hold_s, period_s, steps; 0 switches it off

On the command line ``--source`` and ``--sink`` take the short form, ``--heat`` takes ``limit_c=70,steps=2``,
and options there replace the settings of the file; ``--refine``, ``--refine-budget-ms`` and ``--look-every`` replace
one key each of a table ``[refine]``: ``model``, ``budget_ms``, ``look_every``. Paths are relative to the current
folder. Without a model, the pair that ``export.tflite --pair --int8`` writes is taken from ``models`` there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rpi_runtime.capture import kinds as sources
from rpi_runtime.capture.kinds import SourceConfig
from rpi_runtime.cascade.spec import RefineConfig
from rpi_runtime.errors import InputError, UsageError
from rpi_runtime.health.thermal import HeatConfig
from rpi_runtime.inputs import loads_toml, read_input
from rpi_runtime.installing import export_line
from rpi_runtime.masking import mask
from rpi_runtime.settings.default_pair import EXPORT, FINDER, default_pair
from rpi_runtime.settings.short_form import parse_pairs, parse_spec, typed
from rpi_runtime.settings.toml_lines import find_line
from rpi_runtime.sinks import kinds as sinks
from rpi_runtime.sinks.kinds import SinkConfig
from rpi_runtime.strict import from_mapping
from rpi_runtime.suggest import did_you_mean

MOST_BYTES = 1 << 20  # of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The settings that are plain values; the module documents them."""

    threads: int = 0
    track: Literal["auto", "on", "off"] = "auto"
    smooth: bool = True
    max_fps: float = 0.0
    frames: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.threads <= 64:
            raise UsageError(f"got {self.threads}, expected 0 to 64", key="threads")
        if self.max_fps < 0 or self.frames < 0:
            raise UsageError(
                f"got {self.max_fps:g}, and frames {self.frames}; expected at least 0", key="max_fps"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig(Behaviour):
    """Everything about a run.

    Attributes
    ----------
    model : tuple of str
        Paths of .tflite files. The first one is used; the others replace it when the machine gets hot.
    source : SourceConfig
    sink : tuple of SinkConfig
    heat : HeatConfig
    refine : RefineConfig or None
    """

    model: tuple[str, ...]
    source: SourceConfig = field(default_factory=lambda: SourceConfig(kind="picamera"))
    sink: tuple[SinkConfig, ...] = ()
    heat: HeatConfig = field(default_factory=HeatConfig)
    refine: RefineConfig | None = None

    def __post_init__(self) -> None:
        Behaviour.__post_init__(self)
        names = list(self.model)
        # the second network may be one of the first
        if self.refine is not None and _file(self.refine.model) not in map(_file, names):
            names.append(self.refine.model)
        names += [s.options.target for s in self.sink if s.writes_file]
        if self.source.kind != "picamera":
            names.append(self.source.target)
        files = [_file(name) for name in names]
        twice = [name for name, file in zip(names, files, strict=True) if files.count(file) > 1]
        if twice:
            raise UsageError(f"{mask(twice[0])} is named twice; each needs a file of its own", key="sink")

    @property
    def tracks(self) -> bool:
        """Return whether people get ids."""
        return self.track == "on" or (self.track == "auto" and self.source.kind != "images")


def _file(name: str) -> tuple[int, int] | str:
    """Return the identity of a file: two names may be links to one file."""
    try:
        if os.path.exists(name):  # noqa: PTH110 - of a string that may not even be a path
            found = os.stat(name)  # noqa: PTH116
            return (found.st_dev, found.st_ino)
        return os.path.realpath(name)
    except (OSError, ValueError):
        return name


KEYS = tuple(f.name for f in dataclasses.fields(RunConfig))
# options of the command line that replace one key of the table [refine] each
REFINE_OPTIONS = {"refine": "model", "refine_budget_ms": "budget_ms", "look_every": "look_every"}


def load_config(
    path: Path | None, overrides: Mapping[str, Any], *, default_sink: str = "jsonl:-"
) -> RunConfig:
    """Build the configuration of a run.

    Parameters
    ----------
    path : path, optional
        TOML file.
    overrides : mapping
        Settings of the command line, in the form of `KEYS` and `REFINE_OPTIONS`; they replace those of the file.
    default_sink : str
        The sink if neither file nor command line names one.

    Raises
    ------
    InputError
        The file cannot be read.
    UsageError
        A key or value is wrong; the message names the file and the line, or the option.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = _read_file(path)
    values |= _convert(default_pair(Path(), {**values, **overrides}))
    values["refine"] = refine_override(values.get("refine"), overrides)
    for key, value in overrides.items():
        if key in REFINE_OPTIONS:
            continue
        try:
            values |= _convert({key: value})
        except UsageError as err:
            raise _as_option(err, key, key) from err
    if not values.get("model"):
        where = f"{path}: " if path else ""
        raise UsageError(
            f"{where}no model given, and no {FINDER} with its refiner; use --model FILE.tflite or model = in a "
            f"configuration file, or export the pair: {export_line(EXPORT)}"
        )
    values.setdefault("sink", (sink_config(default_sink),))
    return RunConfig(**values)


def source_config(value: str | Mapping[str, Any], where: str = "") -> SourceConfig:
    """Return the source of a short form or of a table."""
    if isinstance(value, str):
        value = typed(SourceConfig, parse_spec(value, sources.KINDS, sources.guess_kind))
    return from_mapping(SourceConfig, value, UsageError, where)


def sink_config(value: str | Mapping[str, Any], where: str = "") -> SinkConfig:
    """Return the sink of a short form or of a table."""
    words = isinstance(value, str)
    table = dict(parse_spec(value, sinks.KINDS, sinks.guess_kind)) if isinstance(value, str) else dict(value)
    kind = str(table.pop("kind", ""))
    if kind not in sinks.KINDS:
        raise UsageError(f"unknown kind {kind!r}", remedy=did_you_mean(kind, sinks.KINDS), key="kind")
    options = sinks.KINDS[kind].options
    if words:
        for key in (k for k in sinks.KINDS[kind].secrets if k in table):
            raise UsageError(
                "refused on a command line and in a short form, which others can read; give it in a table "
                f"[[sink]] of a configuration file, or in {sinks.KINDS[kind].variable(key)}",
                key=key,
            )
        table = typed(options, table)
    return SinkConfig(kind=kind, options=from_mapping(options, table, UsageError, where))


def heat_config(value: str | Mapping[str, Any], where: str = "") -> HeatConfig:
    """Return the heat settings of a short form or of a table."""
    if isinstance(value, str):
        value = typed(HeatConfig, parse_pairs(value))
    return from_mapping(HeatConfig, value, UsageError, where)


def refine_config(value: str | Mapping[str, Any], where: str = "") -> RefineConfig:
    """Return the refinement of a table, or of a path alone."""
    return from_mapping(
        RefineConfig, {"model": value} if isinstance(value, str) else value, UsageError, where
    )


def refine_override(table: RefineConfig | None, overrides: Mapping[str, Any]) -> RefineConfig | None:
    """Return a file's refinement with the options of the command line (`REFINE_OPTIONS`)."""
    given = {option: overrides[option] for option in REFINE_OPTIONS if option in overrides}
    if given and table is None and "refine" not in given:
        option = next(iter(given)).replace("_", "-")
        raise UsageError(f"--{option}: nothing refines; name a network with --refine FILE.tflite as well")
    values = dataclasses.asdict(table) if table is not None else {}
    for option, value in given.items():
        values[REFINE_OPTIONS[option]] = value
    try:
        return RefineConfig(**values) if values else None
    except UsageError as err:
        option = next(o for o, k in REFINE_OPTIONS.items() if k == err.key)
        raise _as_option(err, option, err.key) from err


def _as_option(error: UsageError, option: str, key: str) -> UsageError:
    """Return an error of the setting `key` as that of its option on the command line."""
    inner = "" if error.key == key else error.key.removeprefix(f"{key}.")
    what = f"{inner}: {error.what}" if inner else error.what
    return UsageError(what, remedy=error.remedy, key=f"--{option.replace('_', '-')}")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = read_input(path, MOST_BYTES).decode("utf-8-sig")
        data = loads_toml(text)
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror}); give the path of a TOML file") from err
    except RecursionError as err:
        raise UsageError(f"{path}:1: not TOML: nested too deeply") from err
    except ValueError as err:
        line = re.search(r"line (\d+)", str(err))
        raise UsageError(f"{path}:{line[1] if line else 1}: not TOML: {err}") from err
    try:
        return _convert(data)
    except UsageError as err:
        raise UsageError(str(err), key=f"{path}:{find_line(text, err.key)}") from err


def _convert(data: Mapping[str, Any]) -> dict[str, Any]:
    """Validate some of the settings, in the order in which they are given."""
    values: dict[str, Any] = {}
    plain = {f.name for f in dataclasses.fields(Behaviour)}
    for key, value in data.items():
        if key not in KEYS:
            raise UsageError("unknown key", remedy=did_you_mean(key, KEYS), key=key)
        if key == "model":
            values[key] = _models(value)
        elif key == "source":
            with _naming(key):
                values[key] = source_config(_table(value), key)
        elif key == "sink":
            values[key] = _sinks(value)
        elif key == "heat":
            with _naming(key):
                values[key] = heat_config(_table(value), key)
        elif key == "refine":
            with _naming(key):
                values[key] = refine_config(_table(value), key)
        elif key in plain:
            values[key] = getattr(from_mapping(Behaviour, {key: value}, UsageError), key)
    return values


def _models(value: Any) -> tuple[str, ...]:
    paths = [value] if isinstance(value, str) else value
    if (
        not isinstance(paths, Sequence)
        or not paths
        or not all(isinstance(p, str) and p and "\0" not in p for p in paths)
    ):
        raise UsageError(f"expected the path of a .tflite or a list of them, got {value!r}", key="model")
    return tuple(paths)


def _sinks(value: Any) -> tuple[SinkConfig, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not items:
        raise UsageError(
            f"expected a short form such as 'jsonl:-' or a list of them, got {value!r}", key="sink"
        )
    made = []
    for number, item in enumerate(items):
        with _naming(f"sink[{number}]"):
            made.append(sink_config(_table(item), f"sink[{number}]"))
    return tuple(made)


def _table(value: Any) -> str | Mapping[str, Any]:
    if not isinstance(value, str | Mapping):
        raise UsageError(f"expected a short form or a table, got {value!r}")
    return value


@contextlib.contextmanager
def _naming(key: str) -> Iterator[None]:
    """Prepend the key of a table to the keys that are wrong in it."""
    try:
        yield
    except UsageError as err:
        if err.key.startswith(key):
            raise
        raise err.inside(key) from err
