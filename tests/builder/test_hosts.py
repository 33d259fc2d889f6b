"""Rates, waits and back-off, by a clock that stands still."""

import concurrent.futures
import email.utils
import time

import pytest

from lb_jax.builder.hosts import Closed, Failed, Hosts, Manners, Passing, host_of, retry_after
from lb_jax.core import errors
from tests.builder.loopback import Clock


def hosts(**settings):
    clock = Clock()
    return Hosts(Manners(**settings), clock), clock


def failing(*faults):
    """Fails so many times, then gives "done"."""
    waiting = list(faults)

    def once():
        if waiting:
            raise waiting.pop(0)
        return "done"

    return once


def test_requests_of_a_host_are_apart_and_others_do_not_wait():
    one, clock = hosts(per_minute=30, rates={"slow.org": 6})
    times = {}
    for host in ("a.org", "slow.org", "a.org", "api.slow.org", "a.org", "slow.org"):
        one.wait(host)
        times.setdefault(host, []).append(clock.now())
    assert times["a.org"] == [0, 2, 4]
    assert times["slow.org"] == [0, 10]
    assert times["api.slow.org"] == [2]  # of its own, at the rate of the host above it
    assert one.manners.apart_s("api.slow.org") == 10
    assert one.manners.apart_s("notslow.org") == 2


def test_threads_take_turns():
    one, clock = hosts(per_minute=60)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: one.wait("a.org"), range(16)))
    assert clock.now() >= 15
    assert one._slot("a.org") >= 16  # so many slots were taken, one a second


def test_waits_double_up_to_the_longest():
    one, clock = hosts(per_minute=1e9, tries=6, first_wait_s=1, longest_wait_s=5)
    assert one.ask("a.org", "it", failing(*[Passing("answers 500")] * 5)) == "done"
    assert [round(s) for s in clock.slept if s > 0.5] == [1, 2, 4, 5, 5]
    with pytest.raises(Failed, match="it: answers 500, 6 times in a row; run the command again"):
        one.ask("a.org", "it", failing(*[Passing("answers 500")] * 6))


def test_a_host_that_says_how_long_is_left_alone_for_so_long():
    one, clock = hosts(per_minute=60)
    assert one.ask("a.org", "it", failing(Passing("answers 429", 30.0))) == "done"
    assert clock.now() >= 30
    before = clock.now()
    one.wait("b.org")
    assert clock.now() == before


def test_a_host_that_asks_for_too_long_is_not_asked_any_more():
    one, clock = hosts(longest_wait_s=60)
    with pytest.raises(Closed, match=r"a.org: asks to be left alone for 3600 s"):
        one.ask("a.org", "it", failing(Passing("answers 429", 3600.0)))
    with pytest.raises(Closed):
        one.ask("a.org", "another", failing())
    assert one.ask("b.org", "it", failing()) == "done"
    assert clock.now() == 0


def test_a_host_that_is_asked_too_much_is_closed_after_all_tries():
    one, _ = hosts(per_minute=1e9, tries=3, first_wait_s=1)
    limit = Passing("answers 429", is_limit=True)
    with pytest.raises(Closed, match=r"a.org: answers 429, 3 times in a row; run the command"):
        one.ask("a.org", "it", failing(limit, limit, limit))
    with pytest.raises(Closed):
        one.ask("a.org", "another", failing())


def test_gain_is_no_failure_in_a_row():
    one, _ = hosts(tries=3, per_minute=1e9)
    cuts = [Passing("cuts", gained=number % 2 == 0) for number in range(20)]
    assert one.ask("a.org", "it", failing(*cuts)) == "done"


def test_retry_after_is_a_number_or_a_date():
    assert retry_after("120") == 120
    assert retry_after(None) is None
    assert retry_after("soon") is None
    later = email.utils.format_datetime(
        email.utils.datetime.datetime.fromtimestamp(time.time() + 100, email.utils.datetime.UTC),
        usegmt=True,
    )
    assert 90 < retry_after(later) < 101
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_hosts_of_urls():
    assert host_of("https://A.org/x") == "a.org"
    assert host_of("http://127.0.0.1:80/x") == "127.0.0.1:80"
    for wrong in ("x.mp4", "http://", "http://[x"):
        with pytest.raises(errors.DataError, match="is no URL"):
            host_of(wrong)
