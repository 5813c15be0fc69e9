"""`service run` and a network camera that is away: for a moment, and for longer than the watchdog waits."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request

import pytest

from tests.benchmarks.servers import SECRET, MjpegServer
from tests.rpi_runtime.service.test_run import stop
from tests.rpi_runtime.sinks.mqtt.mosquitto import free_port, wait_for

pytest.importorskip("cv2")
pytest.importorskip("aiohttp")
LOST = "STATUS=no pictures: the source is lost, trying to open it again"
WATCHDOG_S = 2.0  # what the fixture `start` says


@pytest.fixture
def camera():
    camera = MjpegServer(free_port(), fps=30)
    yield camera
    camera.hold(False)
    camera.close()


@pytest.fixture
def page(config, camera):
    """The service's page, with the camera as the configured source; gives the status of a path."""
    port = free_port()
    source = f"stream:{camera.url},stall_s=0.5,open_s=3,retry_at_start=yes"
    config(source=source, sink=[f"web:127.0.0.1:{port}"], max_fps=20.0)

    def get(path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as err:
            return err.code

    return get


def lose(camera, how):
    camera.close() if how == "hangs up" else camera.hold(True)


def find(camera):
    camera.hold(False)
    camera.open()


@pytest.mark.parametrize("how", ["hangs up", "stalls"])
def test_for_a_moment_the_same_process_goes_on(config, page, camera, start, supervisor, tmp_path, how):
    process = start(config.path)
    supervisor.wait_for("WATCHDOG=1")
    lose(camera, how)
    assert "READY=1" not in supervisor.wait_for(LOST)
    assert page("/readyz") == 503 and page("/healthz") == 200
    find(camera)
    supervisor.wait_for("WATCHDOG=1")
    assert wait_for(lambda: page("/readyz") == 200, 3)
    stop(process)
    log = (tmp_path / "log").read_text()
    assert log.count("source is back after ") == 1
    reasons = [
        line.partition("source lost: ")[2].partition(";")[0] for line in log.splitlines() if "lost: " in line
    ]
    # the picture ends, then nobody answers: each said once
    assert reasons and len(set(reasons)) == len(reasons)
    assert SECRET not in log


@pytest.mark.parametrize("how", ["hangs up", "stalls"])
def test_for_long_there_is_no_sign_of_life_and_the_next_process_waits(
    config,
    page,
    camera,
    start,
    supervisor,
    how,
):
    process = start(config.path)
    supervisor.wait_for("WATCHDOG=1")
    lose(camera, how)
    supervisor.wait_for(LOST)
    quiet_until = time.monotonic() + 2 * WATCHDOG_S
    while (left := quiet_until - time.monotonic()) > 0:
        assert not any(w in ("WATCHDOG=1", "READY=1") for w in supervisor.receive(left))

    process.send_signal(signal.SIGABRT)  # what systemd sends when the watchdog's time is over
    assert process.wait(5) == -signal.SIGABRT

    process = start(config.path)
    assert "READY=1" not in supervisor.wait_for(LOST)
    assert page("/healthz") == 200, "page and broker are served while it waits"
    assert page("/readyz") == page("/api/poses") == 503
    assert process.poll() is None
    find(camera)
    seen = supervisor.wait_for("READY=1", 40)
    assert "WATCHDOG=1" not in seen
    supervisor.wait_for("WATCHDOG=1")
    assert wait_for(lambda: page("/readyz") == 200, 3)
    stop(process)


def test_a_start_without_the_camera_stops_at_once_when_told_to(config, page, camera, start, supervisor):
    camera.close()
    process = start(config.path)
    supervisor.wait_for(LOST)
    begin = time.monotonic()
    stop(process)
    assert time.monotonic() - begin < 2.5
