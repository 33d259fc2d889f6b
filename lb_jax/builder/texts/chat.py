"""A language model behind OpenAI's chat interface: any server that answers at /chat/completions.

What was answered is never asked again (`cache`). What may pass is tried again, longer apart each
time and as the server asks; a server that does not answer at all ends the run, since it would leave
every item without a text.
"""

import dataclasses
import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lb_jax.builder.hosts import retry_after
from lb_jax.builder.texts import pace as pace_lib
from lb_jax.builder.texts.cache import Answer, Answers, content_of
from lb_jax.core import errors
from lb_jax.core.words import counted

if TYPE_CHECKING:
    import httpx2

PATH = "/chat/completions"
# Answers that another try may change (RFC 9110, RFC 6585), beside all from 500 on.
PASSING = frozenset({408, 409, 425, 429})
OF_THE_PROMPT = frozenset({400, 413, 422})  # the server takes others
NEVER_ANSWERED, IN_A_ROW = 3, 20  # such refusals that are no matter of the prompt any more
MOST_BYTES = 4 << 20  # of an answer
TOLD = 160  # characters of what a server says that are told
LET_ALONE = "what was answered is kept; the same command goes on"

Message = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Server:
    """Where a model is asked, and how often.

    Attributes:
      base_url: of the interface, such as http://127.0.0.1:8000/v1.
      options: of every request beside its messages: `model` and what chooses words.
      key_variable: of the environment, with the key; none is sent where it is not set.
      per_minute: requests.
      in_flight: requests at a time.
      timeout_s: until an answer has to be there.
      tries: of one request.
      first_wait_s: before the second try; twice that before the third, and so on.
      longest_wait_s: between two tries.
    """

    base_url: str
    options: Mapping[str, Any]
    key_variable: str = ""
    per_minute: float = 60.0
    in_flight: int = 4
    timeout_s: float = 60.0
    tries: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 300.0

    @property
    def url(self) -> str:
        """That is asked."""
        return self.base_url.rstrip("/") + PATH


class Unanswerable(Exception):
    """The server takes other prompts, and not this one; the message says why."""


class Stopped(Exception):
    """Another thread met what ends the run."""


class _Passing(Exception):
    """One try failed in a way that another may not.

    Attributes:
      after_s: how long the server asks to be let alone; None where it does not say.
    """

    def __init__(self, reason: str, after_s: float | None = None):
        super().__init__(reason)
        self.after_s = after_s


class Chat:
    """Asks a server; threads share it.

    Args:
      server: where and how often.
      answers: that are there already.
      clock: tells the time.

    Raises:
      ConfigError: the key is none.
    """

    def __init__(self, server: Server, answers: Answers, clock: pace_lib.Clock | None = None):
        import httpx2

        self._server, self._answers = server, answers
        self._clock = clock or pace_lib.RealClock()
        self._pace = pace_lib.Pace(server.per_minute, self._clock)
        self._client = httpx2.Client(timeout=server.timeout_s)
        self._key = _key(server.key_variable)
        self._lock = threading.Lock()
        self._answered, self._refused = False, 0

    def close(self) -> None:
        """Closes connections."""
        self._client.close()

    def ask(self, messages: Sequence[Message], stop: threading.Event) -> Answer:
        """The answer to a conversation: the one that is there, or the server's.

        Args:
          messages: {"role", "content"} each.
          stop: once it is set nothing is asked any more.

        Raises:
          Unanswerable: the server does not take this one.
          DataError: it does not answer, or asks to be let alone for too long.
          ConfigError: it refuses key or model, or everything.
          Stopped: `stop` was set.
        """
        asked = {**self._server.options, "messages": [dict(one) for one in messages]}
        content = content_of(self._server.url, asked)
        found = self._answers.get(content)
        if found is not None:
            return found
        for tried in range(1, self._server.tries + 1):
            self._pace.wait(stop)
            if stop.is_set():
                raise Stopped
            try:
                answer = self._once(asked)
            except _Passing as fault:
                self._rest(fault, tried, stop)
            else:
                return self._answers.put(content, answer)
        raise AssertionError("the last try raises")

    def _rest(self, fault: _Passing, tried: int, stop: threading.Event) -> None:
        """Waits before another try."""
        server = self._server
        if tried == server.tries:
            raise errors.DataError(
                server.url, f"{fault}, {counted(tried, 'time')} in a row; {LET_ALONE}"
            ) from fault
        if fault.after_s is None:
            wait_s = min(server.first_wait_s * 2.0 ** (tried - 1), server.longest_wait_s)
            self._clock.sleep(wait_s, stop)
        elif fault.after_s > server.longest_wait_s:
            raise errors.DataError(
                server.url,
                f"asks to be let alone for {fault.after_s:.0f} s, longer than longest_wait_s "
                f"({server.longest_wait_s:g}); {LET_ALONE}",
            ) from fault
        else:
            self._pace.hold(fault.after_s)

    def _once(self, asked: Mapping[str, Any]) -> Answer:
        """One request.

        Raises:
          _Passing: it failed, and another may not.
          Unanswerable, ConfigError: as `ask`.
        """
        import httpx2

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            with self._client.stream(
                "POST", self._server.url, json=asked, headers=headers
            ) as response:
                body = self._read(response)
                status, after = response.status_code, response.headers.get("retry-after")
        except httpx2.RequestError as error:
            raise _Passing(
                f"does not answer ({type(error).__name__}: {self._line(str(error))})"
            ) from error
        if status in PASSING or status >= 500:
            raise _Passing(f"answers {status} ({self._line(body)})", retry_after(after))
        if status in OF_THE_PROMPT:
            self._count_refusal(status, body)
            raise Unanswerable(f"the server does not take it: {status} ({self._line(body)})")
        if status != 200:
            raise errors.ConfigError(
                f"{self._server.url}: answers {status} ({self._line(body)}); look at base_url, "
                f"model and the key in {self._server.key_variable or 'key_variable'}."
            )
        answer = _answer(body)
        with self._lock:
            self._answered, self._refused = True, 0
        return answer

    def _read(self, response: "httpx2.Response") -> str:
        """All of an answer, which has to be there in time; the parts may come as slowly as that."""
        until, parts, size = self._clock.now() + self._server.timeout_s, [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise _Passing(f"sends more than {MOST_BYTES:,} bytes")
            if self._clock.now() > until:
                raise _Passing(f"is not done after {self._server.timeout_s:g} s")
        return b"".join(parts).decode("utf-8", "replace")

    def _count_refusal(self, status: int, body: str) -> None:
        with self._lock:
            self._refused += 1
            most = IN_A_ROW if self._answered else NEVER_ANSWERED
            if self._refused < most:
                return
        raise errors.ConfigError(
            f"{self._server.url}: answers {status} to {most} prompts in a row "
            f"({self._line(body)}); look at model and options. {LET_ALONE[0].upper()}"
            f"{LET_ALONE[1:]}."
        )

    def _line(self, text: str) -> str:
        """What a server says, as a part of a line and without the key."""
        text = text.replace(self._key, "…") if self._key else text
        return " ".join(text.split())[:TOLD] or "nothing more"


def _key(variable: str) -> str:
    """The key in a variable of the environment; empty for none."""
    found = os.environ.get(variable, "").strip() if variable else ""
    if not (found.isascii() and (not found or found.isprintable())):
        raise errors.ConfigError(
            f"{variable}: has characters that no key has; put the key into it again."
        )
    return found


def _answer(body: str) -> Answer:
    """Reads what came: an answer, or what is none.

    Raises:
      _Passing: it is no answer.
    """
    try:
        choice = json.loads(body)["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text = message.get("content")
        if text is None and message.get("refusal"):
            text, finish = message["refusal"], "refusal"
        if text is None:
            text = ""
        if not isinstance(text, str):
            raise TypeError("its content is no text")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _Passing(f"answers what is no chat completion ({type(error).__name__})") from error
    return Answer(text, finish if isinstance(finish, str) else "")
