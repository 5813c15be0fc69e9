"""Heat is read from files that look like a Pi's, and steps go down and up again."""

from __future__ import annotations

import threading

import pytest

from rpi_runtime.errors import UsageError
from rpi_runtime.health import thermal
from rpi_runtime.health.thermal import Heat, HeatConfig, HeatGovernor, HeatWatch, read_heat
from rpi_runtime.health.throttle import Throttle

QUICK = HeatConfig(limit_c=78, resume_c=72, hold_s=10, period_s=0.001, steps=3)


def make_sysfs(root, celsius, flags=None):
    for number, (kind, temperature) in enumerate([("gpu-thermal", 90), ("cpu-thermal", celsius)]):
        zone = root / "sys/class/thermal" / f"thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(kind + "\n")
        (zone / "temp").write_text(f"{round(temperature * 1000)}\n")
    if flags is not None:
        file = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
        file.parent.mkdir(parents=True)
        file.write_text(f"{flags:x}\n")


def test_temperature_and_flags_of_a_pi(tmp_path):
    make_sysfs(tmp_path, 61.3, 0x50005)
    heat = read_heat(tmp_path)
    assert heat == Heat(celsius=61.3, flags=0x50005)
    assert heat.throttled
    assert heat.describe() == "61.3 C, under-voltage, throttled"


def test_flags_from_vcgencmd_where_sysfs_has_none(tmp_path, monkeypatch):
    command = tmp_path / "vcgencmd"
    command.write_text("#!/bin/sh\necho throttled=0x4\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(thermal, "_THROTTLED", "none")
    assert read_heat().throttled
    command.write_text("#!/bin/sh\nexit 1\n")
    assert read_heat().flags is None


def test_past_flags_are_told_apart():
    heat = Heat(celsius=50.0, flags=0x80000)
    assert not heat.throttled
    assert heat.describe() == "50.0 C, soft temperature limit since boot"


def test_a_machine_that_tells_nothing(tmp_path):
    assert read_heat(tmp_path) == Heat()
    assert Heat().describe() == "temperature unknown"


def test_unreadable_files_count_as_nothing(tmp_path):
    make_sysfs(tmp_path, 50)
    (tmp_path / "sys/class/thermal/thermal_zone1/temp").write_text("no number")
    assert read_heat(tmp_path).celsius == 90


def test_steps_down_while_hot_and_up_when_cool():
    governor = HeatGovernor(QUICK)
    readings = [
        (0, 60),
        (2, 80),
        (4, 80),
        (12, 80),
        (22, 80),
        (32, 80),
        (40, 75),
        (60, 71),
        (65, 71),
        (75, 60),
    ]
    levels = [governor.update(Heat(celsius=c), now) for now, c in readings]
    assert levels == [0, 1, 1, 2, 3, 3, 3, 2, 2, 1]


def test_throttling_counts_as_hot_at_any_temperature():
    governor = HeatGovernor(QUICK)
    assert governor.update(Heat(celsius=40, flags=1 << 2), 0) == 1
    assert governor.update(Heat(celsius=40, flags=1 << 0), 100) == 0, "under-voltage is not heat"


def test_unknown_heat_changes_nothing():
    assert HeatGovernor(QUICK).update(Heat(), 0) == 0


def test_the_watch_reads_until_it_is_stopped():
    read = threading.Event()
    watch = HeatWatch(QUICK, lambda: read.set() or Heat(celsius=90))
    watch.start()
    assert read.wait(10)
    watch.stop()
    watch._thread.join(10)
    assert (watch.level, watch.most_level) == (1, 1)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="less than limit_c"):
        HeatConfig(limit_c=60)
    with pytest.raises(UsageError, match="expected 0 to 10"):
        HeatConfig(steps=11)


def test_steps_take_smaller_models_first_and_then_halve_the_rate():
    throttle = Throttle(models=2)
    assert [throttle.smaller(level) for level in range(4)] == [0, 1, 1, 1]
    now = 0.0
    for _ in range(200):
        throttle.begin(now, 0)
        now += 0.1
    throttle.begin(now, 1)
    assert throttle.wait_s(now, 1) <= 0
    assert throttle.wait_s(now, 2) == pytest.approx(0.2, rel=0.01)
    assert throttle.wait_s(now, 3) == pytest.approx(0.4, rel=0.01)
    assert throttle.wait_s(now + 0.5, 3) < 0, "and back at once when it has cooled"


def test_a_limit_on_frames_per_second():
    throttle = Throttle(max_fps=10)
    assert throttle.wait_s(5.0, 0) == 0
    throttle.begin(5.0, 0)
    assert throttle.wait_s(5.03, 0) == pytest.approx(0.07)
    throttle.begin(5.1, 0)
    assert throttle.fps == pytest.approx(10)
