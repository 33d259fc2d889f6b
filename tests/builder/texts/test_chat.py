"""A language model that is asked: faults of its server, its pace, what is never asked twice."""

import dataclasses
import socket
import threading

import pytest

from lb_jax.builder.texts import chat as chat_lib
from lb_jax.builder.texts.cache import Answer, Answers
from lb_jax.builder.texts.chat import Chat, Server
from lb_jax.core import errors
from tests.builder.texts import chat_server
from tests.builder.texts.chat_server import Reply

pytest.importorskip("httpx2")

OPTIONS = {"model": "small", "temperature": 0.0}
GOOD = Reply("A grey cat jumps over a box.")
FAULTS = {
    "429": Reply(status=429, headers=(("Retry-After", "7"),)),
    "500": Reply(status=500),
    "503": Reply(status=503, headers=(("Retry-After", "Thu, 01 Jan 2015 00:00:00 GMT"),)),
    "cut": Reply("A grey cat", cut=True),
    "slow": Reply(slow=True),
    "no JSON": Reply(body=b'{"choices": [{"mess'),
    "no completion": Reply(body=b'{"choices": []}'),
    "no text": Reply(body=b'{"choices": [{"message": {"content": [1]}}]}'),
}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def answers(tmp_path):
    with Answers(tmp_path / "answers") as opened:
        yield opened


def user(text):
    return [{"role": "user", "content": text}]


def asking(url, answers, clock=None, **changes):
    settings = {"per_minute": 6000.0, "timeout_s": 20.0}
    server = dataclasses.replace(Server(url, OPTIONS, "OPENAI_API_KEY"), **(settings | changes))
    return Chat(server, answers, clock or chat_server.FakeClock())


def test_a_request_is_of_the_published_form(answers, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with chat_server.serving(lambda *_: GOOD) as (url, seen):
        found = asking(f"{url}/", answers).ask(user("a cat"), threading.Event())
    assert found == Answer("A grey cat jumps over a box.", "stop")
    assert seen.asked == [{**OPTIONS, "messages": user("a cat")}]
    assert seen.keys == ["Bearer secret"]


def test_no_key_is_sent_where_there_is_none(answers):
    with chat_server.serving(lambda *_: GOOD) as (url, seen):
        asking(url, answers).ask(user("a cat"), threading.Event())
    assert seen.keys == [None]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_costs_a_request(answers, fault):
    def answer(messages, number):
        return FAULTS[fault] if number < 2 else GOOD

    with chat_server.serving(answer) as (url, seen):
        one = asking(url, answers, timeout_s=1.0 if fault == "slow" else 20.0)
        assert one.ask(user("a cat"), threading.Event()).text == GOOD.text
        assert one.ask(user("a cat"), threading.Event()).text == GOOD.text
    assert len(seen.asked) == 3
    assert len(answers) == 1


def test_waits_grow_and_are_as_long_as_the_server_asks(answers):
    def answer(messages, number):
        return [FAULTS["500"], FAULTS["429"], FAULTS["cut"], FAULTS["500"], GOOD][number]

    clock = chat_server.FakeClock()
    with chat_server.serving(answer, clock) as (url, seen):
        asking(url, answers, clock, first_wait_s=1.0).ask(user("a cat"), threading.Event())
    apart = [after - before for before, after in zip(seen.times, seen.times[1:], strict=False)]
    assert apart == pytest.approx([1, 7, 4, 8])


def test_the_pace_is_kept_by_all_threads(answers):
    clock = chat_server.FakeClock()
    with chat_server.serving(lambda *_: GOOD, clock) as (url, seen):
        one = asking(url, answers, clock, per_minute=60.0, timeout_s=1000.0)
        threads = [
            threading.Thread(target=one.ask, args=(user(f"{n}"), threading.Event()))
            for n in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen.asked) == 12
    for number, moment in enumerate(sorted(seen.times)):
        assert moment - 1000 >= number - 1e-6


def test_a_server_that_is_down_is_one_line(answers):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = asking(f"http://127.0.0.1:{port}/v1", answers, tries=3)
    with pytest.raises(errors.DataError) as caught:
        one.ask(user("a cat"), threading.Event())
    told = str(caught.value)
    assert told.startswith(f"http://127.0.0.1:{port}/v1/chat/completions: does not answer (Connect")
    assert told.endswith("3 times in a row; what was answered is kept; the same command goes on")
    assert "\n" not in told
    assert len(answers) == 0


def test_a_server_that_wants_to_be_let_alone_for_long_ends_the_run(answers):
    wait = Reply(status=429, headers=(("Retry-After", "3600"),))
    told = "asks to be let alone for 3600 s, longer than"
    with (
        chat_server.serving(lambda *_: wait) as (url, seen),
        pytest.raises(errors.DataError, match=told),
    ):
        asking(url, answers).ask(user("a cat"), threading.Event())
    assert len(seen.asked) == 1


def test_a_wrong_key_is_told_without_it(answers, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    wrong = Reply(status=401, body=b'{"error": "Incorrect API key\nsecret"}')
    told = r"answers 401 .*key in OPENAI_API_KEY"
    with (
        chat_server.serving(lambda *_: wrong) as (url, seen),
        pytest.raises(errors.ConfigError, match=told) as e,
    ):
        asking(url, answers).ask(user("a cat"), threading.Event())
    assert "secret" not in str(e.value)
    assert len(seen.asked) == 1


def test_a_prompt_that_the_server_does_not_take_is_no_end(answers):
    def answer(messages, number):
        return Reply(status=400) if "bomb" in messages[0]["content"] else GOOD

    with chat_server.serving(answer) as (url, _):
        one = asking(url, answers)
        assert one.ask(user("a cat"), threading.Event()).text == GOOD.text
        for n in range(5):
            with pytest.raises(chat_lib.Unanswerable, match="does not take it: 400"):
                one.ask(user(f"a bomb {n}"), threading.Event())
        assert one.ask(user("a dog"), threading.Event()).text == GOOD.text


def test_a_server_that_takes_no_prompt_ends_the_run(answers):
    with chat_server.serving(lambda *_: Reply(status=422)) as (url, _):
        one = asking(url, answers)
        for n in range(2):
            with pytest.raises(chat_lib.Unanswerable):
                one.ask(user(f"{n}"), threading.Event())
        with pytest.raises(errors.ConfigError, match="answers 422 to 3 prompts in a row"):
            one.ask(user("2"), threading.Event())


def test_a_refusal_in_its_own_field_is_an_answer(answers):
    body = b'{"choices": [{"message": {"content": null, "refusal": "I will not."}}]}'
    with chat_server.serving(lambda *_: Reply(body=body)) as (url, _):
        found = asking(url, answers).ask(user("a cat"), threading.Event())
    assert found == Answer("I will not.", "refusal")


def test_nothing_is_asked_once_all_stop(answers):
    stop = threading.Event()
    stop.set()
    with chat_server.serving(lambda *_: GOOD) as (url, seen), pytest.raises(chat_lib.Stopped):
        asking(url, answers).ask(user("a cat"), stop)
    assert seen.asked == []


def test_a_key_that_is_none_is_told_without_it(answers, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sec\nret")
    with pytest.raises(errors.ConfigError, match="OPENAI_API_KEY: has characters") as caught:
        asking("http://127.0.0.1:9/v1", answers)
    assert "sec" not in str(caught.value)
