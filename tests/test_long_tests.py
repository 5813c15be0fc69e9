"""How the long tests end: skipped where a server is out of reach, failed where anything else is wrong."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.commands import SKIPPED, SkippedError, fetch, out_of_reach

APT = """\
Err:1 http://deb.debian.org/debian trixie InRelease
  {said}
Reading package lists...
E: Failed to fetch http://deb.debian.org/debian/dists/trixie/InRelease  {said}
E: Some index files failed to download. They have been ignored, or old ones used instead.
E: apt-get update --error-on=any -oAPT::Status-Fd=<$fd> -oDpkg::Use-Pty=false failed
E: mmdebstrap failed to run
"""
PIP_RETRIES = (
    "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError('<...>: Failed "
    "to establish a new connection: [Errno 111] Connection refused')': /simple/numpy/\n"
)
PIP_NOTHING = "ERROR: Could not find a version that satisfies the requirement numpy (from versions: none)\n"
PIP_OTHERS = (
    "ERROR: Could not find a version that satisfies the requirement numpy==99 (from versions: 1.26, 2.4)\n"
)
COMPILER = (
    "  error: command '/usr/bin/gcc' failed with exit code 1\nERROR: Failed building wheel for pipose\n"
)


@pytest.mark.parametrize(
    "said",
    [
        APT.format(said="Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)"),
        APT.format(said="Could not resolve 'deb.debian.org'"),
        APT.format(said="Connection timed out [IP: 151.101.2.132 80]"),
        APT.format(said="503  Service Unavailable [IP: 151.101.2.132 80]"),
        PIP_RETRIES + PIP_NOTHING,
        f"  {PIP_RETRIES}      {PIP_NOTHING}error: subprocess-exited-with-error\n",  # for a build's own environment
        "ERROR: HTTPSConnectionPool(host='pypi.org', port=443): Read timed out.\n",
    ],
)
def test_a_server_out_of_reach_is_told_from_what_was_said(said: str) -> None:
    assert out_of_reach(said)


@pytest.mark.parametrize(
    "said",
    [
        "",
        APT.format(said="404  Not Found [IP: 151.101.2.132 80]"),
        "E: Unable to locate package python3-of-ours\n",
        PIP_NOTHING,
        PIP_OTHERS,
        PIP_RETRIES + PIP_OTHERS,  # an index that is out of reach, and another that was asked
        PIP_RETRIES + COMPILER,
    ],
)
def test_any_other_failure_is_one(said: str) -> None:
    assert not out_of_reach(said)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_script_ends_accordingly(capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(*python("print('fetched')")) == "fetched\n"
    refused = "import sys; sys.exit('E: Failed to fetch http://mirror  Connection refused')"
    with pytest.raises(SkippedError) as skipped:
        fetch(*python(refused))
    assert skipped.value.code == SKIPPED
    assert capsys.readouterr().out.startswith("skipped: out of reach for python")
    with pytest.raises(SystemExit) as failed:
        fetch(*python("import sys; sys.exit('gcc: error: kernels.c')"))
    assert "failed with 1" in str(failed.value.code)
    assert not isinstance(failed.value, SkippedError)


def test_what_has_no_end_is_ended_with_all_that_it_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    begin = time.monotonic()
    with pytest.raises(SkippedError):
        fetch("sh", "-c", f'{sys.executable} -c "{child}"; true', patience_s=3)
    assert time.monotonic() - begin < 300
    assert "was not done within 3 s" in capsys.readouterr().out
    pid = int((tmp_path / "pid").read_text())
    for _ in range(200):  # until whoever inherits it has buried it
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("a process was left")
