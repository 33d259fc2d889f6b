"""Data warnings on their way to the user."""

import threading
import warnings

import pytest

from lb_jax.core import errors, notices


def warn(path, reason="looks wrong"):
    warnings.warn(errors.DataWarning(path, reason), stacklevel=1)


def test_equal_warnings_of_one_place_are_all_taken():
    with notices.collected() as taken:
        for _ in range(3):
            warn("a.png")
    assert [one.path for one in taken] == ["a.png"] * 3


def test_each_thread_takes_its_own():
    seen, start = {}, threading.Barrier(4)

    def work(name):
        with notices.collected() as taken:
            start.wait()
            for _ in range(50):
                warn(name)
        seen[name] = {one.path for one in taken}, len(taken)

    threads = [threading.Thread(target=work, args=(f"{n}.png",)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert seen == {f"{n}.png": ({f"{n}.png"}, 50) for n in range(4)}


def test_other_warnings_go_their_way():
    with (
        pytest.warns(RuntimeWarning, match="not about data"),
        notices.collected() as taken,
    ):
        warnings.warn("not about data", RuntimeWarning, stacklevel=1)
    assert not taken


def test_untaken_ones_are_python_warnings():
    with pytest.warns(errors.DataWarning, match=r"a.png: looks wrong"):
        warn("a.png")


def test_commands_print_one_line_for_each_file(capsys, monkeypatch):
    monkeypatch.setattr(notices, "_said", None)
    with warnings.catch_warnings():
        notices.print_lines()
        for path in ("a.png", "b.png", "a.png"):
            warn(path)
    assert capsys.readouterr().err == (
        "lb-jax: warning: a.png: looks wrong\nlb-jax: warning: b.png: looks wrong\n"
    )


def test_a_kind_is_told_once_with_its_first_file():
    found = [("a", "3.5 m is far"), ("b", "4 m is far"), ("c", "palette"), ("b", "5 m is far")]
    assert notices.told(found) == ["a and 1 more: 3.5 m is far", "c: palette"]
