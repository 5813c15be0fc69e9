"""Install the service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rpi_runtime.capture.kinds import SourceConfig
from rpi_runtime.errors import UsageError
from rpi_runtime.model.card import read_card
from rpi_runtime.service import systemd
from rpi_runtime.service.changes import (
    Change,
    Record,
    apply,
    plan_file,
    plan_link,
    read,
)
from rpi_runtime.service.config_text import config_text
from rpi_runtime.service.layout import NAME, USER, Layout
from rpi_runtime.service.program import this_program
from rpi_runtime.service.unit import HIDDEN, sysusers_text, tmpfiles_text, unit_text

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What to install.

    Attributes
    ----------
    models : tuple of path
        .tflite files with cards; they are copied.
    source : SourceConfig
    refine : path or None
        The .tflite that refines; copied, too.
    layout : Layout
    start : bool
        Whether to start the service, too.
    dry_run : bool
        Only report what would be done.
    """

    models: tuple[Path, ...]
    source: SourceConfig
    refine: Path | None = None
    layout: Layout = field(default_factory=Layout)
    start: bool = True
    dry_run: bool = False

    def __post_init__(self) -> None:
        names = [m.name for m in self.files]
        if len(set(names)) < len(names):
            raise UsageError("--model, --refine: two of the files have the same name; rename one")
        target = Path(self.source.target)
        if self.source.kind in ("images", "replay", "video"):
            if not target.is_absolute():
                raise UsageError(f"--source: {target} is relative; give its whole path")
            if any(target.is_relative_to(h) for h in HIDDEN):
                raise UsageError(
                    f"--source: {target} lies in a home, which the service does not see; move it to /srv"
                )

    @property
    def files(self) -> tuple[Path, ...]:
        """The models and what refines, in this order; a model that refines too only once."""
        refine = () if self.refine is None or self.refine in self.models else (self.refine,)
        return (*self.models, *refine)


def install(wishes: Wishes, say: Say = print) -> None:
    """Write missing files, start the service if `spec.start` is set, and report each step.

    Raises
    ------
    InputError
        A model cannot be read, or has no card.
    UsageError, DependencyError
        The user is not root, or there is no systemd.
    OutputError
        A folder cannot be written.
    """
    for model in wishes.files:
        read_card(model)
    layout = wishes.layout
    if not wishes.dry_run:
        systemd.check_privileges(layout, "service install")
    record = Record(layout.record, layout)
    changes = _files(wishes, record)
    if not systemd.has_user(layout) and systemd.can_make_user(layout):
        changes.append(Change(verb="make", what=f"the user {USER}", do=lambda: systemd.make_user(layout)))
    changes += plan_link(layout.enabled, f"../{layout.unit.name}")
    made = apply(changes, dry_run=wishes.dry_run, say=say)
    if not wishes.dry_run:
        systemd.restrict(layout)
    if not made:
        say("nothing to change: everything is installed")
    for note in _notes(layout):
        say(note)
    if layout.live and not wishes.dry_run:
        in_force = any(change.do and change.verb != "keep" for change in changes)
        _activate(wishes, changed=in_force, say=say)


def _files(wishes: Wishes, record: Record) -> list[Change]:
    """Return the changes of the models, the configuration, the unit and the declaration of the user."""
    layout = wishes.layout
    copies = {model: layout.models / model.name for model in wishes.files}
    changes: list[Change] = []
    for model, copy in copies.items():
        changes += plan_file(copy, read(model) or b"", record, text=False)
    seen = {model: layout.seen(copy) for model, copy in copies.items()}
    refine = seen[wishes.refine] if wishes.refine is not None else None
    config = config_text([seen[model] for model in wishes.models], wishes.source, refine)
    program = this_program("service", "run", "--config", str(layout.seen(layout.config)))
    changes += plan_file(layout.config, config.encode(), record, mode=0o600)
    changes += plan_file(layout.unit, unit_text(program).encode(), record)
    changes += plan_file(layout.user, sysusers_text().encode(), record)
    if not systemd.has_user(layout):  # then only the system that boots can say whose the configuration is
        changes += plan_file(layout.rights, tmpfiles_text().encode(), record)
    return changes


def _activate(wishes: Wishes, *, changed: bool, say: Say) -> None:
    """Reload systemd, and make the service run with the installed files."""
    if changed:
        systemd.systemctl("daemon-reload")
    if wishes.start and (changed or not systemd.is_active()):
        say("starting; it is ready after the first result")
        say(f"running: {systemd.start(restart=changed)}")
    elif changed:
        say(f"not started; start it with: sudo systemctl restart {NAME}")


def _notes(layout: Layout) -> list[str]:
    """Return advice about this machine."""
    if not systemd.has_user(layout) and not systemd.can_make_user(layout):
        return [
            f"note: systemd-sysusers is not installed here, so the user {USER} is made when that system boots; until "
            "then only root can read its configuration"
        ]
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    if not layout.live or not controllers.is_file() or "memory" in controllers.read_text().split():
        return []
    return [
        "note: this kernel does not limit memory, so MemoryMax has no effect; on a Raspberry Pi append "
        "cgroup_enable=memory to the line in /boot/firmware/cmdline.txt"
    ]
