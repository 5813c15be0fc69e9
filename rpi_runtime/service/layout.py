"""Where the service's files lie, in this machine's root or in that of another system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rpi_runtime.errors import InputError

NAME = "pipose"
USER = "pipose"
GROUP = "video"  # owns /dev/video*, /dev/media*, /dev/dma_heap/* and /dev/vcio on Raspberry Pi OS
STATE = Path("/var/lib/pipose")
RUNTIME = Path("/run/pipose")
MODELS = Path("/usr/local/share/pipose")
# What an installer writes besides models; as the system sees it.
OURS = tuple(
    map(
        Path,
        (
            "/etc/pipose/config.toml",
            "/etc/systemd/system/pipose.service",
            "/etc/sysusers.d/pipose.conf",
            "/etc/tmpfiles.d/pipose.conf",
        ),
    )
)
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files, in the machine's own root or in the root of another system, such as a card's image."""

    root: Path = Path("/")

    @property
    def config(self) -> Path:
        """The configuration, which the user edits."""
        return self.inside(Path("/etc/pipose/config.toml"))

    @property
    def record(self) -> Path:
        """The hashes of what the installer wrote, by which it recognizes edited files."""
        return self.inside(Path("/etc/pipose/installed.json"))

    @property
    def unit(self) -> Path:
        """The systemd unit."""
        return self.inside(Path("/etc/systemd/system/pipose.service"))

    @property
    def enabled(self) -> Path:
        """The link that starts it at boot, as `systemctl enable` makes it."""
        return self.inside(Path("/etc/systemd/system/multi-user.target.wants/pipose.service"))

    @property
    def user(self) -> Path:
        """The declaration of the service's user, for systemd-sysusers(8)."""
        return self.inside(Path("/etc/sysusers.d/pipose.conf"))

    @property
    def rights(self) -> Path:
        """The rule that lets the service read its configuration once there is its user, for systemd-tmpfiles(8)."""
        return self.inside(Path("/etc/tmpfiles.d/pipose.conf"))

    @property
    def models(self) -> Path:
        """The folder of the models."""
        return self.inside(MODELS / "any").parent

    @property
    def state(self) -> Path:
        """The service's own folder."""
        return self.inside(STATE)

    @property
    def live(self) -> bool:
        """Whether this is the running system."""
        return self.root == Path("/")

    def inside(self, path: Path) -> Path:
        """Return where an absolute path of that system is from here; its last part is not followed if it is a link.

        Links in its folders lead where they would lead there: an absolute one from its root, and none out of it.

        Raises
        ------
        InputError
            The links lead round in a circle.
        """
        place, parts, links = self.root, _parts(path), 0
        while parts:
            part = parts.pop(0)
            if part == "..":
                place = self.root if place == self.root else place.parent
                continue
            place = place / part
            if parts and place.is_symlink():
                target, links = place.readlink(), links + 1
                if links > _MOST_LINKS:
                    raise InputError(
                        f"{self.root}: its links at {path} lead round in a circle; see what it holds"
                    )
                place = self.root if target.is_absolute() else place.parent
                parts = _parts(target) + parts
        return place

    def seen(self, path: Path) -> Path:
        """Return the path, seen from that system, of a path of here."""
        return Path("/") / path.relative_to(self.root)

    def name_of(self, path: Path) -> Path:
        """Return the name of one of the service's files as that system knows it, before any link is followed."""
        ends = ("", ".new")
        names = {
            self.inside(ours).with_name(ours.name + end): ours.with_name(ours.name + end)
            for ours in OURS
            for end in ends
        }
        if path.parent == self.models:
            return MODELS / path.name
        return names.get(path) or self.seen(path)

    def knows(self, path: Path) -> bool:
        """Whether a path of that system is one that an installer of ours may have written."""
        name = path.name.removesuffix(".new")
        if path.parent == MODELS:
            return name not in ("", ".", "..")
        return path.with_name(name) in OURS if name else False


def _parts(path: Path) -> list[str]:
    return [part for part in path.parts if part != "/"]
