"""Texts by a language model, as a stage: answers that are checked, runs that are killed."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from lb_jax.builder import items, sheet, stage, stages, store
from lb_jax.builder.engine import driver, phases
from lb_jax.builder.texts import polish_mplug, prompts
from lb_jax.builder.texts.cache import Answers
from lb_jax.builder.texts.polish_mplug import PolishMplug
from lb_jax.core import errors
from tests.builder import raw
from tests.builder.texts import chat_server
from tests.builder.texts.chat_server import Reply

pytest.importorskip("httpx2")
pytest.importorskip("lingua")
pytest.importorskip("lancedb")

GERMAN = "Eine graue Katze springt über eine kleine Kiste."
FAULTS = {
    "429": Reply(status=429, headers=(("Retry-After", "0"),)),
    "500": Reply(status=500),
    "cut": Reply("A grey cat", cut=True),
    "slow": Reply(slow=True),
    "malformed": Reply(body=b'{"choices"'),
}
WRONG = {
    "refusal": Reply("I'm sorry, but I cannot help with that."),
    "language": Reply(GERMAN),
    "long": Reply("a very long answer about a cat " * 20),
    "cut": Reply("A grey cat jumps over", finish="length"),
}
DRIVER = """
import sys
from tests.builder import raw
from tests.builder.texts import test_polish_mplug
if __name__ == "__main__":
    source, uri, url, folder = sys.argv[1:]
    raw.run(test_polish_mplug.config(source, url, folder, in_flight=1), uri)
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield
    polish_mplug._chat.cache_clear()


@pytest.fixture
def prompt(tmp_path):
    """A prompt of the title alone, which needs no film."""
    (tmp_path / "prompt.txt").write_text("Say it better: {raw}")
    return str(tmp_path / "prompt.txt")


def config(source, url, folder, **changes):
    settings = {
        "base_url": url,
        "model": "small",
        "prompt": os.path.join(os.path.dirname(folder), "prompt.txt"),
        "cache": folder,
        "per_minute": 60_000.0,
        "timeout_s": 20.0,
        "first_wait_s": 0.001,
    }
    polish = PolishMplug(**settings | changes)
    return raw.config(source, ("title_length", "polish_mplug"), polish_mplug=polish)


def titles(tmp_path, *told):
    """A source of titles without films."""
    entries = {
        f"item{n:02}": {"title": title, "file": f"{n}.mp4", "source": "test"}
        for n, title in enumerate(told)
    }
    (tmp_path / "raw.json").write_text(json.dumps(entries))
    return tmp_path / "raw.json"


def good(text):
    """An answer that is fine, of this prompt alone."""
    return Reply(f'"The film shows {text.removeprefix("Say it better: ")} in a room."')


def of(table, name):
    return table[f"polish_mplug.{name}"].to_pylist()


def test_no_fault_loses_an_answer_and_none_is_asked_for_twice(tmp_path, prompt):
    told = [f"a cat and {fault}" for fault in FAULTS] + ["a plain cat", "a cat and all"]
    source, folder = titles(tmp_path, *told), str(tmp_path / "answers")

    def answer(messages, number):
        text = messages[0]["content"]
        mine = list(FAULTS.values()) if text.endswith("all") else []
        mine += [reply for fault, reply in FAULTS.items() if text.endswith(fault)]
        return mine[number] if number < len(mine) else good(text)

    with chat_server.serving(answer) as (url, seen):
        cfg = config(source, url, folder, in_flight=3, timeout_s=3.0)
        _, _, table = raw.run(cfg, tmp_path / "store")
        first = len(seen.asked)
        _, _, again = raw.run(cfg, tmp_path / "store")
        raw.run(cfg, tmp_path / "fresh")  # nothing of the store, all of the answers
        assert len(seen.asked) == first
    assert again.equals(table)
    assert seen.most <= 3
    found = dict(zip(table["title"].to_pylist(), of(table, "text"), strict=True))
    assert found == {one: f"The film shows {one} in a room." for one in told}
    times = {one.removeprefix("Say it better: "): n for one, n in seen.prompts.items()}
    assert times == {**{f"a cat and {f}": 2 for f in FAULTS}, "a plain cat": 1, "a cat and all": 6}
    assert of(table, "raw") == table["title"].to_pylist()
    assert set(of(table, "model")) == {"small"}
    assert set(of(table, "lacks")) == {""}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_cannot_be_used_is_asked_for_again_with_the_reason(tmp_path, prompt, wrong):
    def answer(messages, number):
        return WRONG[wrong] if len(messages) == 1 else good(messages[0]["content"])

    source = titles(tmp_path, "a grey cat")
    with chat_server.serving(answer) as (url, seen):
        _, _, table = raw.run(config(source, url, str(tmp_path / "answers")), tmp_path / "store")
    assert of(table, "text") == ["The film shows a grey cat in a room."]
    assert of(table, "answers") == [2]
    first, second = (one["messages"] for one in seen.asked)
    assert [one["role"] for one in second] == ["user", "assistant", "user"]
    assert second[:1] == first
    assert second[2]["content"].startswith("Your answer cannot be used: it ")


@pytest.mark.parametrize("required", [False, True])
def test_where_no_answer_can_be_used_the_item_is_without(tmp_path, prompt, required):
    def answer(messages, number):
        bad = "cat" in messages[0]["content"]
        return Reply(GERMAN) if bad else good(messages[0]["content"])

    source = titles(tmp_path, "a grey cat", "a brown dog")
    with chat_server.serving(answer) as (url, seen):
        cfg = config(source, url, str(tmp_path / "answers"), asks=2, required=required)
        _, _, table = raw.run(cfg, tmp_path / "store")
    found = dict(zip(table["title"].to_pylist(), table.to_pylist(), strict=True))
    cat, dog = found["a grey cat"], found["a brown dog"]
    assert len(seen.asked) == 3
    assert cat["polish_mplug.text"] is None
    assert cat["polish_mplug.answer"] == GERMAN
    assert re.match("of 2 answers none can be used; the last one is de", cat["polish_mplug.lacks"])
    assert cat["kept"] is (not required)
    assert dog["kept"]
    assert ("has no text by small" in cat["reason"]) == required


def test_items_of_one_prompt_are_asked_for_once(tmp_path, prompt):
    source = titles(tmp_path, *["a grey cat"] * 4, "", "a brown dog")
    with chat_server.serving(lambda messages, n: good(messages[0]["content"])) as (url, seen):
        cfg = config(source, url, str(tmp_path / "answers"))
        cfg = dataclasses.replace(cfg, stages=("polish_mplug",))
        _, _, table = raw.run(cfg, tmp_path / "store")
    assert len(seen.asked) == 2
    lacks = dict(zip(table["title"].to_pylist(), of(table, "lacks"), strict=True))
    assert lacks == {"a grey cat": "", "": "has no text to start from", "a brown dog": ""}


def test_a_server_that_goes_down_ends_the_run_and_loses_nothing(tmp_path, prompt):
    source = titles(tmp_path, *(f"cat number {n}" for n in range(10)))
    folder, count, lock = str(tmp_path / "answers"), [0], threading.Lock()

    def answer(messages, number):
        with lock:
            count[0] += 1
            return good(messages[0]["content"]) if count[0] <= 6 else Reply(status=503)

    with chat_server.serving(answer) as (url, seen):
        cfg = config(source, url, folder, tries=2)
        with pytest.raises(errors.DataError, match=r"answers 503 .* 2 times in a row") as caught:
            raw.run(cfg, tmp_path / "store")
        assert "\n" not in str(caught.value)
        with Answers(folder) as answers:
            assert len(answers) == 6
        plan = sheet.plan(cfg)
        said = store.Store.open(tmp_path / "store").said(plan[1].stage)
        assert set(said["kept"].to_pylist()) <= {True}
        assert None not in said["text"].to_pylist()
        count[0] = -100
        before = len(seen.asked)
        _, _, table = raw.run(cfg, tmp_path / "store")
        assert len(seen.asked) - before == 4
    assert None not in of(table, "text")


def test_kills_ask_for_no_answer_again(tmp_path, prompt):
    count = 14
    source = titles(tmp_path, *(f"cat number {n}" for n in range(count)))
    folder, uri = str(tmp_path / "answers"), tmp_path / "store"

    def answer(messages, number):
        time.sleep(0.02)
        return good(messages[0]["content"])

    with chat_server.serving(answer) as (url, seen):
        command = [sys.executable, "-c", DRIVER, str(source), str(uri), url, folder]
        for more in (3, 5):
            running = subprocess.Popen(command, start_new_session=True)
            until, before = time.monotonic() + 60, len(seen.asked)
            while len(seen.asked) < before + more and running.poll() is None:
                assert time.monotonic() < until
                time.sleep(0.002)
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            with Answers(folder) as answers:
                kept = len(answers)
            assert kept >= len(seen.asked) - (1 if more == 3 else 2)  # what was on its way
        before = len(seen.asked)
        subprocess.run(command, check=True)
        assert len(seen.asked) - before == count - kept
    table = raw.run(config(source, url, folder), uri)[2]  # the server is gone
    assert None not in of(table, "text")


def test_a_pace_may_change_and_a_prompt_may_not(tmp_path, prompt):
    source, folder = titles(tmp_path, "a grey cat"), str(tmp_path / "answers")
    with chat_server.serving(lambda messages, n: good(messages[0]["content"])) as (url, _seen):
        raw.run(config(source, url, folder), tmp_path / "store")
        raw.run(config(source, url, folder, per_minute=10.0, tries=9), tmp_path / "store")
        (tmp_path / "prompt.txt").write_text("Say it much better: {raw}")
        with pytest.raises(errors.DataError, match=r"config.polish_mplug.prompt_sha256 was"):
            raw.run(config(source, url, folder), tmp_path / "store")
        (tmp_path / "prompt.txt").write_text("Say it better: {raw}")
        with pytest.raises(errors.DataError, match=r"config.polish_mplug.most_words was 50 and is"):
            raw.run(config(source, url, folder, most_words=9), tmp_path / "store")


def test_what_it_takes_has_to_stand_before_it():
    polish = PolishMplug(model="small")
    for names, told in (
        (("polish_mplug",), "takes what 'mplug' writes, which is not among them; put 'mplug'"),
        (("polish_mplug", "mplug"), "takes what 'mplug' writes, which stands behind it"),
    ):
        with pytest.raises(errors.ConfigError, match=told):
            sheet.plan(sheet.CorpusConfig(stages=names, polish_mplug=polish))


def test_what_stages_before_it_wrote_is_in_its_batch(tmp_path, monkeypatch):
    seen = []

    def writes(batch, films, cfg):
        texts = [f"of {title}" for title in batch["title"].to_pylist()]
        return [stage.keep(text=text, model="m", lacks="") for text in texts]

    def reads(batch, films, cfg):
        seen.extend(zip(batch["title"].to_pylist(), batch["mplug.text"].to_pylist(), strict=True))
        return [stage.keep() for _ in range(len(batch))]

    settings = stages.STAGES["word_list"].settings()
    plain = {"judge": None, "wants": None, "takes": None}
    rows = {
        name: dataclasses.replace(stages.STAGES[name], look=look, **plain)
        for name, look in (("mplug", writes), ("word_list", reads))
    }
    rows["word_list"] = dataclasses.replace(rows["word_list"], takes=lambda _: [("mplug", "text")])
    length = stages.STAGES["title_length"].settings()
    plan = [
        stages.Planned(stages.STAGES["title_length"], length, length),
        *(stages.Planned(rows[name], settings, settings) for name in ("mplug", "word_list")),
    ]
    stages.require_takes(plan)
    assert [one.kind for one in phases.of(plan)] == [phases.ROWS] * 3
    source = titles(tmp_path, "a grey cat", "no", *(f"cat number {n}" for n in range(5)))
    found, opened = items.read(sheet.Source(path=str(source))), store.Store.open(tmp_path / "s")
    driver.drive(plan, found, opened, None, commit_rows=3, shown=False)
    assert len(seen) == 6
    assert all(text == f"of {title}" for title, text in seen)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"base_url": "http://[::1"}, "base_url is 'http://[::1'"),
        ({"base_url": "127.0.0.1:8000"}, "base_url is '127.0.0.1:8000'; expected one as http"),
        ({"fewest_words": 9, "most_words": 3}, "fewest_words is 9, most_words 3"),
        ({"asks": 0}, "asks is 0"),
        ({"per_minute": 0.0}, "per_minute is 0.0"),
        ({"options": "{"}, "options is no JSON"),
        ({"options": '{"stream": true}'}, "expected a JSON object without messages"),
        ({"wanted": ("fi",)}, "config.polish_mplug: fi is wanted and not in among"),
    ],
)
def test_settings_that_contradict_are_told(settings, told):
    with pytest.raises(errors.ConfigError, match=re.escape(told)):
        PolishMplug(model="small", **settings)


def test_what_is_missing_is_told_before_the_run(tmp_path):
    with pytest.raises(errors.ConfigError, match=r"config.polish_mplug: model is empty; name the"):
        polish_mplug.prepare(PolishMplug())
    with pytest.raises(errors.ConfigError, match=r"config.polish_mplug: 'xx' is no language"):
        polish_mplug.prepare(PolishMplug(model="m", wanted=("xx",), among=()))


def test_options_are_part_of_each_request():
    more = '{"max_completion_tokens": 9}'
    cfg = PolishMplug(model="m", temperature=-1.0, longest=0, options=more)
    prepared = polish_mplug.Prepared(cfg, prompts.read("", "here"))
    assert prepared.server.options == {"model": "m", "max_completion_tokens": 9}
    usual = polish_mplug.Prepared(PolishMplug(model="m"), prompts.read("", "here"))
    assert usual.server.options == {"model": "m", "temperature": 0.0, "max_tokens": 256}
