"""Where the service's files lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "pipose"
USER = "pipose"
GROUP = "video"  # owns /dev/video*, /dev/media*, /dev/dma_heap/* and /dev/vcio on Raspberry Pi OS
STATE = Path("/var/lib/pipose")
RUNTIME = Path("/run/pipose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files, in the machine's own root or in the root of another system, such as a card's image."""

    root: Path = Path("/")

    @property
    def config(self) -> Path:
        """The configuration, for the user to edit."""
        return self.root / "etc/pipose/config.toml"

    @property
    def record(self) -> Path:
        """What the installer wrote, by hash; so that it knows what was edited since."""
        return self.root / "etc/pipose/installed.json"

    @property
    def unit(self) -> Path:
        """The systemd unit."""
        return self.root / "etc/systemd/system/pipose.service"

    @property
    def enabled(self) -> Path:
        """The link that starts it at boot, as `systemctl enable` makes it."""
        return self.root / "etc/systemd/system/multi-user.target.wants/pipose.service"

    @property
    def user(self) -> Path:
        """The declaration of its user, for systemd-sysusers(8)."""
        return self.root / "etc/sysusers.d/pipose.conf"

    @property
    def models(self) -> Path:
        """The folder of the models."""
        return self.root / "usr/local/share/pipose"

    @property
    def state(self) -> Path:
        """The service's own folder."""
        return self.inside(STATE)

    @property
    def live(self) -> bool:
        """Whether this is the running system."""
        return self.root == Path("/")

    def inside(self, path: Path) -> Path:
        """Return where an absolute path of that system is from here."""
        return self.root / path.relative_to("/")

    def seen(self, path: Path) -> Path:
        """Return a path of here as that system sees it."""
        return Path("/") / path.relative_to(self.root)
