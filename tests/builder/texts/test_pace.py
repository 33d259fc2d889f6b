"""How often is asked: evenly, and not while the server wants to be let alone."""

import threading

import pytest

from lb_jax.builder.texts.pace import Pace
from tests.builder.texts.chat_server import FakeClock

STOP = threading.Event()


def test_requests_are_spread_evenly():
    clock, moments = FakeClock(), []
    pace = Pace(120, clock)
    for _ in range(5):
        pace.wait(STOP)
        moments.append(clock.now() - 1000)
    assert moments == pytest.approx([0, 0.5, 1.0, 1.5, 2.0])


def test_time_that_passed_is_not_made_up_for():
    clock = FakeClock()
    pace = Pace(60, clock)
    pace.wait(STOP)
    clock.sleep(30, STOP)
    moments = []
    for _ in range(3):
        pace.wait(STOP)
        moments.append(clock.now() - 1030)
    assert moments == pytest.approx([0, 1, 2])


def test_nobody_asks_while_the_server_wants_to_be_let_alone():
    clock = FakeClock()
    pace = Pace(60, clock)
    pace.wait(STOP)
    pace.hold(20)
    pace.wait(STOP)
    assert clock.now() == pytest.approx(1020)
    pace.wait(STOP)
    assert clock.now() == pytest.approx(1021)


def test_who_waits_already_waits_longer():
    clock = FakeClock()
    pace = Pace(60, clock)
    pace.wait(STOP)
    sleep, held = clock.sleep, []

    def once(seconds, stop):
        if not held:
            held.append(1)
            pace.hold(20)  # another thread is told to
        sleep(seconds, stop)

    clock.sleep = once
    pace.wait(STOP)
    assert clock.now() >= 1020


def test_nobody_waits_once_all_stop():
    clock, stop = FakeClock(), threading.Event()
    pace = Pace(1, clock)
    pace.wait(stop)
    stop.set()
    pace.wait(stop)
    assert clock.now() == 1000
