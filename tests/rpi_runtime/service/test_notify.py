"""Datagrams as sd_notify(3) describes them."""

from __future__ import annotations

import os

import pytest

from rpi_runtime.service.notify import Notifier
from tests.rpi_runtime.service.supervisor import Supervisor


@pytest.fixture(params=["path", "abstract"])
def listening(request, tmp_path):
    supervisor = Supervisor(tmp_path / "n" if request.param == "path" else f"@pipose-test-{os.getpid()}")
    yield supervisor
    supervisor.close()


def test_assignments_arrive_in_one_datagram(listening):
    notifier = Notifier({"NOTIFY_SOCKET": listening.name})
    assert notifier.send("READY=1", "STATUS=two\nlines")
    assert listening.receive() == ["READY=1", "STATUS=two lines"]


def test_nothing_to_say_is_not_sent(listening):
    assert not Notifier({"NOTIFY_SOCKET": listening.name}).send()
    assert listening.receive(0.05) == []


def test_without_a_supervisor_nothing_happens(tmp_path):
    assert not Notifier({}).send("READY=1")
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).send("READY=1")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
    ],
)
def test_the_watchdog_is_for_this_process_only(environment, seconds):
    assert Notifier(environment).watchdog_s == seconds
