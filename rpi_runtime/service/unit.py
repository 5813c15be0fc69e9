"""The text of the systemd unit; see systemd.service(5), systemd.exec(5) and systemd.resource-control(5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rpi_runtime.service.layout import GROUP, NAME, USER

EX_CONFIG = 78  # sysexits(3), EX_CONFIG: a restart would not help
HIDDEN = tuple(Path(p) for p in ("/home", "/root", "/run/user"))  # what ProtectHome covers

TEMPLATE = """\
# Written by `python -m rpi_runtime service install`. For changes of your own: systemctl edit {name}
[Unit]
Description=Poses of people from a camera (pipose)
After=network.target
# Restarts never stop: a full /run and a late address are temporary. A permanent fault exits with {ex_config} below.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
{environment}\
EnvironmentFile=-/etc/{name}/secrets
User={user}
Group={user}
SupplementaryGroups={group}
WorkingDirectory=/var/lib/{name}
StateDirectory={name}
StateDirectoryMode=0750
RuntimeDirectory={name}
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=restart
UMask=0027

# Ready after the first result. The service waits for a missing camera; such a start takes 90 s.
TimeoutStartSec=90
WatchdogSec=30
TimeoutStopSec=5
Restart=on-failure
RestartSec=5
RestartPreventExitStatus={ex_config}
LimitCORE=0
MemoryMax=512M
TasksMax=128

# Cameras: V4L2 (USB, CSI and the ISP behind it), their media controllers, the buffers of libcamera, and the
# firmware's mailbox for the throttling flags.
DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-dma_heap rw
DeviceAllow=/dev/vcio rw

ProtectSystem=strict
ProtectHome=tmpfs
{visible}\
PrivateTmp=yes
PrivateIPC=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The command that starts the service.

    Attributes
    ----------
    command : tuple of str
        The interpreter and its arguments.
    pythonpath : str
        Path of a package that the interpreter would not find; "" if it is not needed.
    folders : tuple of path
        Folders of the interpreter and its packages.
    """

    command: tuple[str, ...]
    pythonpath: str = ""
    folders: tuple[Path, ...] = ()

    @property
    def visible(self) -> tuple[Path, ...]:
        """The folders that lie in a home directory, which the service does not see otherwise."""
        homes = [f for f in self.folders if any(f.is_relative_to(h) for h in HIDDEN)]
        return tuple(f for f in sorted(set(homes)) if not any(f != o and f.is_relative_to(o) for o in homes))


def unit_text(program: Program) -> str:
    """Return the unit that runs `program`."""
    environment = f"Environment={quote(f'PYTHONPATH={program.pythonpath}')}\n" if program.pythonpath else ""
    visible = "".join(f"BindReadOnlyPaths={quote_path(f)}\n" for f in program.visible)
    return TEMPLATE.format(
        name=NAME,
        user=USER,
        group=GROUP,
        ex_config=EX_CONFIG,
        command=command_line(program.command),
        environment=environment,
        visible=visible,
    )


def sysusers_text() -> str:
    """Return the declaration of the user; see sysusers.d(5)."""
    return f'u {USER} - "pipose service" /var/lib/{NAME}\nm {USER} {GROUP}\n'


def tmpfiles_text() -> str:
    """Return the rule that gives the configuration to the service's user at boot; see tmpfiles.d(5)."""
    return f"z /etc/{NAME}/config.toml 0640 root {USER} -\n"


def command_line(words: Sequence[str]) -> str:
    """Return a command for ``ExecStart=``. `$` is doubled except in the program, where systemd replaces nothing."""
    program, *arguments = words
    return " ".join([quote(program), *(quote(a.replace("$", "$$")) for a in arguments)])


def quote(word: str) -> str:
    """Return one word of a setting, quoted as in systemd.syntax(7); `%` is doubled."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(c in word for c in " \t'\"\\;") or not word else escaped


def quote_path(path: Path) -> str:
    """Return one path of a setting with colons as separators."""
    return quote(str(path)).replace(":", "\\:")
