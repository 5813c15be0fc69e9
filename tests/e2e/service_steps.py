"""What a user and bad luck do to the service, one function each; all in one container, in this order."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.container import Container

CONFIG = "etc/pipose/config.toml"
DROP_IN = "etc/systemd/system/pipose.service.d/test.conf"
POSES = "run/pipose/poses.jsonl"
SOURCE = "replay:/srv/walk.zip,loop=yes"
OWN = ("etc/pipose", "etc/systemd", "etc/sysusers.d", "usr/local", "var/lib", "run/pipose")
EXPOSURE = 3.0
STOP_S = 2.0


@dataclass(slots=True)
class Case:
    """The container, how pipose is called in it, and what the steps leave for each other."""

    container: Container
    python: str
    model: str
    watchdog_s: int = 0
    before: frozenset[str] = frozenset()

    def attempt(self, step: Callable[[Case], str]) -> bool:
        """Make one step, print its line; False when it failed."""
        title = (step.__doc__ or "").splitlines()[0].rstrip(".")
        begin = time.monotonic()
        try:
            print(f"  ok    {title}: {step(self)}", flush=True)
        except AssertionError as err:
            print(f"  FAIL  {title}, after {time.monotonic() - begin:.1f} s: {err}", flush=True)
            return False
        return True

    def service(self, *words: str, code: int = 0) -> str:
        """Run `service ...`; what it printed."""
        done = self.container(self.python, "-m", "rpi_runtime", "service", *words, check=False)
        assert done.returncode == code, f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def install(self, *words: str, code: int = 0) -> str:
        """Run `service install` with the model and the recording."""
        return self.service("install", "--model", self.model, "--source", SOURCE, *words, code=code)

    def show(self, name: str) -> str:
        """One property of the unit."""
        return self.container("systemctl", "show", "--value", f"--property={name}", "pipose").stdout.strip()

    def pid(self) -> str:
        """The service's process."""
        pid = self.show("MainPID")
        assert pid != "0", "the service does not run"
        return pid

    def journal(self, *words: str) -> str:
        """What the service and systemd said about it."""
        return self.container("journalctl", "--unit=pipose", "--output=cat", "--no-pager", *words).stdout

    def path(self, name: str) -> Path:
        """A file of the container."""
        return self.container.root / name

    def files(self) -> frozenset[str]:
        """All files where the installer writes."""
        found = self.container("find", *(f"/{o}" for o in OWN), "-not", "-type", "d", check=False).stdout
        return frozenset(found.splitlines())

    def poses(self) -> int:
        """How many bytes of poses there are; nothing when there is no file."""
        done = self.container("stat", "--format=%s", f"/{POSES}", check=False)
        return int(done.stdout or 0)

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait until `condition` holds; how long that took."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < seconds, f"{what}: not within {seconds:g} s\n{self.journal()}"
            time.sleep(0.05)
        return time.monotonic() - begin

    def recover(self, former: str, seconds: float) -> float:
        """Wait until another process than `former` is ready; how long that took."""

        def back() -> bool:
            return self.show("MainPID") not in (former, "0") and self.show("ActiveState") == "active"

        return self.wait(back, seconds, "the service is back")


def dry_run(case: Case) -> str:
    """install --dry-run."""
    case.before = case.files()
    said = case.install("--dry-run")
    assert case.files() == case.before, "it changed something"
    assert "would write /etc/systemd/system/pipose.service" in said and "WatchdogSec=30" in said
    return "shows unit and configuration, changes nothing"


def install(case: Case) -> str:
    """install."""
    if case.watchdog_s:
        case.path(DROP_IN).parent.mkdir(parents=True)
        case.path(DROP_IN).write_text(f"[Service]\nWatchdogSec={case.watchdog_s}\n")
    begin = time.monotonic()
    said = case.install()
    took = time.monotonic() - begin
    assert re.search(r"^running: \d+\.\d frames per second, \d+ (person|people)$", said, re.MULTILINE), said
    assert case.show("ActiveState") == "active"
    assert case.container("id", "-nG", "pipose").stdout.split() == ["pipose", "video"]
    owner = case.container("stat", "--format=%U:%G %a", f"/{CONFIG}").stdout.strip()
    assert owner == "root:pipose 640", owner
    return f"made, started and ready after {took:.1f} s"


def readiness(case: Case) -> str:
    """readiness comes with the first result."""
    case.container("systemctl", "stop", "pipose")
    case.container("systemctl", "start", "--no-block", "pipose")
    early = case.show("ActiveState")
    assert early == "activating", f"active without a result: {early}"
    took = case.wait(lambda: case.show("ActiveState") == "active", 30, "ready")
    case.wait(lambda: case.poses() > 0, 1, "poses")
    assert "frames per second" in case.show("StatusText")
    return f"activating at first, active with poses after {took:.1f} s"


def sandbox(case: Case) -> str:
    """the sandbox."""
    pid = case.pid()
    status = case.container("cat", f"/proc/{pid}/status").stdout
    for line in ("CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert line in status, f"{line!r} is not in {status}"
    seen = case.container(
        "nsenter", f"--target={pid}", "--mount", "find", "/home/pi", "-maxdepth", "1"
    ).stdout
    assert seen.splitlines() == ["/home/pi", "/home/pi/pose env"], seen
    wrote = case.container("nsenter", f"--target={pid}", "--mount", "touch", "/etc/pipose/x", check=False)
    assert "Read-only file system" in wrote.stderr, wrote.stderr
    return "no capabilities, nothing of the home but the interpreter, /etc read-only"


def verify(case: Case) -> str:
    """systemd-analyze verify."""
    done = case.container("systemd-analyze", "verify", "/etc/systemd/system/pipose.service", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stdout + done.stderr
    return "silent"


def security(case: Case) -> str:
    """systemd-analyze security."""
    unit = "/etc/systemd/system/pipose.service"
    done = case.container("systemd-analyze", "security", "--offline=true", "--no-pager", unit, check=False)
    found = re.search(r"exposure level.*: (\d+\.\d)", done.stdout)
    assert found and float(found[1]) <= EXPOSURE, done.stdout[-500:] + done.stderr
    return f"exposure {found[1]}"


def reinstall(case: Case) -> str:
    """install again."""
    pid, files = case.pid(), case.files()
    said = case.install()
    assert said.startswith("nothing to change: everything is installed\n"), said
    assert (case.show("MainPID"), case.files()) == (pid, files)
    return "changes nothing, the same process goes on"


def kill(case: Case) -> str:
    """kill -9."""
    pid = case.pid()
    case.container("kill", "-KILL", pid)
    took = case.recover(pid, 30)
    return f"restarted, poses again after {took:.1f} s"


def hang(case: Case) -> str:
    """hang (kill -STOP)."""
    pid = case.pid()
    limit = float(case.watchdog_s or 30)
    case.container("kill", "-STOP", pid)
    took = case.recover(pid, limit + 40)
    assert "Watchdog timeout" in case.journal()
    assert took >= limit / 2, "something else than the watchdog ended it"
    return f"ended by the watchdog of {limit:g} s, poses again after {took:.1f} s"


def reload_bad(case: Case) -> str:
    """reload of a wrong configuration."""
    pid, good = case.pid(), case.path(CONFIG).read_text()
    case.path(CONFIG).write_text(good + "max_fsp = 3\n")
    case.container("systemctl", "reload", "pipose")
    took = case.wait(lambda: "reload refused: " in case.show("StatusText"), 10, "refused")
    (line,) = [x for x in case.journal().splitlines() if "reload refused" in x]
    assert "config.toml:" in line and line.endswith("; the former configuration stays"), line
    before = case.poses()
    case.wait(lambda: case.poses() != before, 5, "poses")
    assert (case.show("MainPID"), case.show("ActiveState")) == (pid, "active")
    case.path(CONFIG).write_text(good)
    return f"refused after {took:.1f} s, in the status and one line of the journal; the former one goes on"


def reload_failing(case: Case) -> str:
    """reload of a configuration whose source does not open."""
    pid, good = case.pid(), case.path(CONFIG).read_text()
    case.path(CONFIG).write_text(good.replace("walk.zip", "none.zip"))
    begin = time.monotonic()
    case.container("systemctl", "reload", "pipose")
    case.wait(lambda: "no such recording" in case.show("StatusText"), 10, "refused")
    case.wait(lambda: case.show("ActiveState") == "active", 10, "active again")
    assert case.show("MainPID") == pid
    case.path(CONFIG).write_text(good)
    return f"the former one started again, poses after {time.monotonic() - begin:.1f} s"


def reload_good(case: Case) -> str:
    """reload of a good configuration."""
    pid, good = case.pid(), case.path(CONFIG).read_text()
    case.path(CONFIG).write_text(good.replace(f"/{POSES}", "/var/lib/pipose/kept.jsonl"))
    begin = time.monotonic()
    case.container("systemctl", "reload", "pipose")
    kept = case.path("var/lib/pipose/kept.jsonl")
    case.wait(lambda: kept.exists() and kept.stat().st_size > 0, 10, "poses in the other file")
    took = time.monotonic() - begin
    case.wait(lambda: case.show("ActiveState") == "active", 10, "active again")
    assert case.show("MainPID") == pid and "refused" not in case.show("StatusText")
    return f"poses in the other file after {took:.1f} s, the same process"


def keeps_edits(case: Case) -> str:
    """install over an edited configuration."""
    edited = case.path(CONFIG).read_text()
    assert "kept /etc/pipose/config.toml: it was edited" in case.install()
    other = case.service("install", "--model", case.model, "--source", f"{SOURCE},pace=recorded")
    assert "config.toml.new" in other, other
    assert case.path(CONFIG).read_text() == edited
    assert 'pace = "recorded"' in case.path(f"{CONFIG}.new").read_text()
    return "kept, what would have been written is beside it"


def stop(case: Case) -> str:
    """stop."""
    begin = time.monotonic()
    case.container("systemctl", "stop", "pipose")
    took = time.monotonic() - begin
    assert took <= STOP_S, f"{took:.1f} s"
    assert (case.show("ActiveState"), case.show("Result")) == ("inactive", "success")
    return f"stopped after {took:.1f} s, result success"


def bad_configuration(case: Case) -> str:
    """start with a wrong configuration."""
    good = case.path(CONFIG).read_text()
    case.path(CONFIG).write_text(good + "max_fsp = 3\n")
    case.container("systemctl", "start", "pipose", check=False)
    time.sleep(4)  # longer than RestartSec
    found = {name: case.show(name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")}
    assert found == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}, found
    assert "unknown key" in case.show("StatusText") and "max_fsp" in case.show("StatusText")
    case.path(CONFIG).write_text(good.replace("/var/lib/pipose/kept.jsonl", f"/{POSES}"))
    case.container("systemctl", "start", "pipose")
    return "failed with 78, not restarted; the status names file, line and key; corrected, it starts"


def quiet(case: Case) -> str:
    """the journal."""
    ours = ("--identifier=python",)
    lines, poses = len(case.journal(*ours).splitlines()), case.poses()
    time.sleep(2)
    assert case.poses() != poses, "no frames came, so that this says nothing"
    assert len(case.journal(*ours).splitlines()) == lines, case.journal(*ours)
    assert "<6>" not in case.journal(*ours), "priorities are not taken as such"
    errors = case.journal(*ours, "--priority=3").splitlines()
    assert len(errors) == 3, errors
    return "no line while all is well; one line for each of the three errors so far, with its priority"


def uninstall(case: Case) -> str:
    """uninstall."""
    shutil.rmtree(case.path(DROP_IN).parent, ignore_errors=True)
    said = case.service("uninstall")
    assert "kept /etc/pipose/config.toml: it was edited" in said, said
    assert "kept /var/lib/pipose" in said, said
    case.service("uninstall", "--purge")
    assert case.files() == case.before, f"left behind: {case.files() - case.before}"
    assert case.container("id", "pipose", check=False).returncode == 1
    assert case.show("LoadState") == "not-found"
    assert "nothing to remove" in case.service("uninstall")
    return "stopped and removed; edits and recordings stay until --purge, then nothing is left"


STEPS = (
    dry_run,
    install,
    readiness,
    sandbox,
    verify,
    security,
    reinstall,
    kill,
    hang,
    reload_bad,
    reload_failing,
    reload_good,
    keeps_edits,
    stop,
    bad_configuration,
    quiet,
    uninstall,
)
