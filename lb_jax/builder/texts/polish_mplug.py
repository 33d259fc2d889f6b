"""Title and captions as one text, by a language model behind OpenAI's chat interface.

Every answer is checked; one that cannot be used is told what is wrong with it and asked again, a
few times. Where all fail the item has no such text and stays, unless it is required.
"""

import concurrent.futures
import dataclasses
import functools
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.builder.filters import language
from lb_jax.builder.stage import FREE
from lb_jax.builder.texts import cache, checks, prompts, views
from lb_jax.builder.texts.captioning import LACKS, ONE
from lb_jax.builder.texts.chat import Chat, Server, Stopped, Unanswerable
from lb_jax.core import errors
from lb_jax.core.fields import require
from lb_jax.core.words import counted

WHERE = "config.polish_mplug"
# What was taken of an item stands beside what was made of it.
TAKEN = tuple(
    (kind, pa.list_(pa.string()) if views.COLUMNS.get(kind) == "texts" else pa.string())
    for kind in (views.RAW, *prompts.TAKEN)
)
FIGURES = (*ONE, ("answer", pa.string()), ("answers", pa.int32()), *TAKEN)
REFUSALS = (
    *("i cannot", "i can't", "i can not", "i'm unable", "i am unable", "i won't"),
    *("i'm sorry", "i am sorry", "i apologize", "i apologise", "sorry, but"),
    *("as an ai", "language model", "i'm not able", "i am not able", "unable to assist"),
    *("cannot assist", "can't assist", "cannot help with", "can't help with"),
)
AGAIN = "Your answer cannot be used: it {told}. Answer the request again, by its rules."


@dataclasses.dataclass(frozen=True)
class PolishMplug:
    """Settings.

    Attributes:
      base_url: of the interface; the server is asked at `base_url`/chat/completions.
      model: that the server has, by the name it goes by there.
      prompt: file with the places {raw}, {mplug}, {sound_mplug}, {ofa} for the texts of an item and
        {most_words}; empty for that of the package, which takes title and {mplug}.
      key_variable: of the environment, with the key; none is sent where it is not set.
      temperature: of the draw of words; below 0 leaves it to the server.
      longest: tokens of an answer; 0 leaves it to the server.
      options: JSON object of more fields of every request, such as {"seed": 1}.
      fewest_words, most_words, most_characters: of an answer.
      refusals: phrases of answers that refuse or speak of themselves.
      wanted, among, least: languages of an answer, as of the stage `language`; no `wanted` is any.
      asks: answers that are asked for until an item goes without.
      required: whether an item without an answer that can be used is refused.
      cache: folder of the answers that are kept; empty for one in the user's cache.
      per_minute, in_flight: requests a minute, and at a time.
      timeout_s: until an answer has to be there.
      tries: of one request, until the server counts as down and the run stops.
      first_wait_s, longest_wait_s: between two tries: at first, and at most.
    """

    base_url: str = "http://127.0.0.1:8000/v1"
    model: str = ""
    prompt: str = ""
    key_variable: str = dataclasses.field(default="OPENAI_API_KEY", metadata=FREE)
    temperature: float = 0.0
    longest: int = 256
    options: str = ""
    fewest_words: int = 4
    most_words: int = 50
    most_characters: int = 400
    refusals: tuple[str, ...] = REFUSALS
    wanted: tuple[str, ...] = ("en",)
    among: tuple[str, ...] = language.Language.among
    least: float = language.Language.least
    asks: int = 3
    required: bool = False
    cache: str = dataclasses.field(default="", metadata=FREE)
    per_minute: float = dataclasses.field(default=60.0, metadata=FREE)
    in_flight: int = dataclasses.field(default=4, metadata=FREE)
    timeout_s: float = dataclasses.field(default=60.0, metadata=FREE)
    tries: int = dataclasses.field(default=6, metadata=FREE)
    first_wait_s: float = dataclasses.field(default=1.0, metadata=FREE)
    longest_wait_s: float = dataclasses.field(default=300.0, metadata=FREE)

    def __post_init__(self):
        require(
            _is_url(self.base_url),
            f"{WHERE}: base_url is {self.base_url!r}; expected one as http://host:port/v1.",
        )
        require(
            0 <= self.fewest_words <= self.most_words and self.most_characters > 0,
            f"{WHERE}: fewest_words is {self.fewest_words}, most_words {self.most_words} and "
            f"most_characters {self.most_characters}; expected 0 or more, of which the first is "
            "not above the second, and 1 or more.",
        )
        require(
            min(self.asks, self.in_flight, self.tries) > 0,
            f"{WHERE}: asks is {self.asks}, in_flight {self.in_flight} and tries {self.tries}; "
            "expected 1 or more of each.",
        )
        require(
            min(self.per_minute, self.timeout_s, self.first_wait_s, self.longest_wait_s) > 0,
            f"{WHERE}: per_minute is {self.per_minute}, timeout_s {self.timeout_s}, first_wait_s "
            f"{self.first_wait_s} and longest_wait_s {self.longest_wait_s}; expected above 0.",
        )
        require(self.longest >= 0, f"{WHERE}: longest is {self.longest}, expected 0 or more.")
        _ = self.more, self.spoken

    @property
    def more(self) -> dict[str, Any]:
        """The fields of `options`."""
        try:
            found = json.loads(self.options or "{}")
        except ValueError as error:
            raise errors.ConfigError(f"{WHERE}: options is no JSON ({error}).") from error
        require(
            isinstance(found, dict) and not {"messages", "model", "stream"} & {*found},
            f"{WHERE}: options is {self.options!r}, expected a JSON object without messages, "
            "model and stream.",
        )
        return found

    @property
    def spoken(self) -> language.Language | None:
        """What its language is judged by."""
        if not self.wanted:
            return None
        try:
            return language.Language(self.wanted, self.among, self.least)
        except errors.ConfigError as error:
            raise _renamed(error) from error


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Settings, and what was read for them.

    Attributes:
      settings: of the sheet.
      prompt: of the file.
    """

    settings: PolishMplug
    prompt: prompts.Prompt

    @property
    def server(self) -> Server:
        """That is asked."""
        cfg = self.settings
        drawn = {"temperature": cfg.temperature} if cfg.temperature >= 0 else {}
        length = {"max_tokens": cfg.longest} if cfg.longest else {}
        options = {"model": cfg.model, **drawn, **length, **cfg.more}
        names = ("key_variable", "per_minute", "in_flight", "timeout_s", "tries")
        waits = ("first_wait_s", "longest_wait_s")
        same = {name: getattr(cfg, name) for name in (*names, *waits)}
        return Server(cfg.base_url, options, **same)

    @property
    def rules(self) -> checks.Checks:
        """What an answer must be."""
        cfg = self.settings
        lengths = cfg.fewest_words, cfg.most_words, cfg.most_characters
        return checks.Checks(*lengths, cfg.refusals, cfg.spoken)


def prepare(cfg: PolishMplug) -> Prepared:
    """Reads the prompt, and looks whether the model is named and the languages are known.

    Raises:
      ConfigError: the model is not named, the prompt has places that are none, or lingua does not
        know a language.
    """
    if not cfg.model:
        raise errors.ConfigError(
            f"{WHERE}: model is empty; name the model that {cfg.base_url} has, and its place by "
            "base_url."
        )
    if cfg.spoken is not None:
        try:
            language.prepare(cfg.spoken)
        except errors.ConfigError as error:
            raise _renamed(error) from error
    return Prepared(cfg, prompts.read(cfg.prompt, f"{WHERE}.prompt"))


def takes(cfg: Prepared) -> tuple[tuple[str, str], ...]:
    """The texts that the prompt has places for."""
    return tuple((kind, views.COLUMNS[kind]) for kind in cfg.prompt.kinds if kind != views.RAW)


def notes(cfg: Prepared) -> Mapping[str, Any]:
    """The content of the prompt, which another text under the same name would change."""
    return {"prompt_sha256": cfg.prompt.digest}


def look(batch: pa.RecordBatch, films: Sequence, cfg: Prepared) -> list[stage.Verdict]:
    """Asks of each item; items of one prompt are asked together.

    Raises:
      DataError: the server does not answer.
      ConfigError: it refuses key or model.
    """
    columns = {kind: _column(batch, kind) for kind in cfg.prompt.kinds}
    given = [dict(zip(columns, one, strict=True)) for one in zip(*columns.values(), strict=True)]
    filled = [_prompt(one, cfg) for one in given]
    unique = list(dict.fromkeys(one for one in filled if one))
    said = dict(zip(unique, _asked(unique, cfg), strict=True))
    return [
        _verdict(said.get(text, _NOTHING), one, cfg)
        for text, one in zip(filled, given, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class _Said:
    """What came of one prompt.

    Attributes:
      text: that can be used; None for none.
      lacks: why there is none.
      answer: the last one, as it was given.
      answers: how many there were.
    """

    text: str | None
    lacks: str
    answer: str | None = None
    answers: int = 0


_NOTHING = _Said(None, "has no text to start from")


def _column(batch: pa.RecordBatch, kind: str) -> list[Any]:
    name = "title" if kind == views.RAW else views.column(kind)
    return batch.column(batch.schema.get_field_index(name)).to_pylist()


def _prompt(given: Mapping[str, Any], cfg: Prepared) -> str:
    """The prompt of an item; empty where there is nothing to ask about."""
    texts = {kind: prompts.as_text(value) for kind, value in given.items()}
    if all(one == prompts.ABSENT for one in texts.values()):
        return ""
    return cfg.prompt.filled({**texts, prompts.MOST_WORDS: str(cfg.settings.most_words)})


def _verdict(said: _Said, given: Mapping[str, Any], cfg: Prepared) -> stage.Verdict:
    figures = {
        "text": said.text,
        "model": cfg.settings.model,
        LACKS: said.lacks,
        "answer": said.answer,
        "answers": said.answers,
        **given,
    }
    if said.text is None and cfg.settings.required:
        return stage.refuse(f"has no text by {cfg.settings.model}: {said.lacks}", **figures)
    return stage.keep(**figures)


def _asked(unique: Sequence[str], cfg: Prepared) -> list[_Said]:
    """What came of each prompt; what ends the run ends all."""
    if not unique:
        return []
    chat, stop = _chat(cfg), threading.Event()
    with concurrent.futures.ThreadPoolExecutor(cfg.settings.in_flight) as pool:
        futures = [pool.submit(polished, chat, one, cfg, stop) for one in unique]
        try:
            concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION)
        finally:
            stop.set()  # of no matter where all are done
            pool.shutdown(cancel_futures=True)
    met = [one.exception() for one in futures if not one.cancelled()]
    for error in sorted(filter(None, met), key=lambda one: isinstance(one, Stopped)):
        raise error
    return [one.result() for one in futures]


def polished(chat: Chat, prompt: str, cfg: Prepared, stop: threading.Event) -> _Said:
    """Asks until an answer can be used, or `asks` answers could not."""
    messages: list[dict[str, str]] = [{"role": "user", "content": prompt}]
    told, last = "", None
    for number in range(1, cfg.settings.asks + 1):
        try:
            answer = chat.ask(messages, stop)
        except Unanswerable as why:
            return _Said(None, str(why), last, number - 1)
        text, last = checks.cleaned(answer.text), answer.text
        told = checks.problem(text, answer, cfg.rules)
        if not told:
            return _Said(" ".join(text.split()), "", last, number)
        if text:
            messages.append({"role": "assistant", "content": text})
        messages.append({"role": "user", "content": AGAIN.format(told=told)})
    asked = counted(cfg.settings.asks, "answer")
    return _Said(None, f"of {asked} none can be used; the last one {told}", last, cfg.settings.asks)


@functools.cache
def _chat(cfg: Prepared) -> Chat:
    """One for all batches, so that the pace is kept from one to the next."""
    return Chat(cfg.server, cache.Answers(cfg.settings.cache or None))


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _renamed(error: errors.ConfigError) -> errors.ConfigError:
    """What the stage `language` says, of this stage."""
    return errors.ConfigError(str(error).replace("config.language", WHERE, 1))
