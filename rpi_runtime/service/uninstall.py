"""Uninstall the service."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable

from rpi_runtime.files import writing
from rpi_runtime.service import systemd
from rpi_runtime.service.changes import MAYBE_READ_ONLY, Change, Record, apply, plan_removal
from rpi_runtime.service.layout import NAME, USER, Layout


def uninstall(
    layout: Layout, say: Callable[[str], None] = print, *, purge: bool = False, dry_run: bool = False
) -> None:
    """Stop the service, remove the installed files, and report each step.

    Edited files and the output of the service stay, unless `purge` is set.

    Raises
    ------
    UsageError, DependencyError
        The user is not root, or there is no systemd.
    OutputError
        A file cannot be removed.
    """
    if not dry_run:
        systemd.check_privileges(layout, "service uninstall")
    record = Record(layout.record, layout)
    changes: list[Change] = []
    if layout.live and layout.unit.exists():
        changes.append(Change(verb="stop", what="the service", do=_stop))
    changes += plan_removal(layout.enabled)
    for path in dict.fromkeys([layout.unit, layout.user, layout.rights, layout.config, *record.paths()]):
        changes += plan_removal(path, None if purge else record)
        changes += plan_removal(path.with_name(f"{path.name}.new"))
    for name in record.foreign:
        changes.append(Change(verb="keep", what=f"{name}: {layout.record} names it, and it is none of ours"))
    if systemd.has_user(layout):
        changes.append(Change(verb="remove", what=f"the user {USER}", do=lambda: systemd.remove_user(layout)))
    changes += plan_removal(layout.record) + _state(layout, purge=purge)
    if not apply(changes, dry_run=dry_run, say=say):
        say("nothing to remove: the service is not installed")
    elif not dry_run:
        for folder in (layout.config.parent, layout.models):
            with contextlib.suppress(OSError):  # it holds a file that the service did not write
                folder.rmdir()
        if layout.live:
            systemd.systemctl("daemon-reload")


def _stop() -> None:
    systemd.systemctl("stop", NAME)
    systemd.systemctl("reset-failed", NAME)


def _state(layout: Layout, *, purge: bool) -> list[Change]:
    """Return the change that removes the service's own folder: if it is empty, or with its content."""
    if layout.state.is_symlink():
        return [Change(verb="keep", what=f"{layout.state}, which is a link to {layout.state.readlink()}")]
    if not layout.state.is_dir():
        return []
    if any(layout.state.iterdir()) and not purge:
        return [
            Change(verb="keep", what=f"{layout.state}, in which there are files; --purge removes them too")
        ]

    def remove() -> None:
        with writing(layout.state, MAYBE_READ_ONLY):
            shutil.rmtree(layout.state)

    return [Change(verb="remove", what=str(layout.state), do=remove)]
