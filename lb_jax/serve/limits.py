"""What a request may ask for, how it is refused, and how much may be in flight."""

import contextlib
import dataclasses
from collections.abc import Iterator

from lb_jax.core.words import counted
from lb_jax.text import tokenizer

MIB = 1 << 20
PORTION = 32  # places in the queue that one request takes at most, so that others are not kept

# code of a refusal: (HTTP status, type in the words of OpenAI's API)
REFUSALS = {
    "bad_request": (400, "invalid_request_error"),
    "unauthorized": (401, "authentication_error"),
    "forbidden_host": (403, "permission_error"),
    "not_found": (404, "invalid_request_error"),
    "model_not_found": (404, "invalid_request_error"),
    "method_not_allowed": (405, "invalid_request_error"),
    "upload_too_slow": (408, "invalid_request_error"),
    "too_large": (413, "invalid_request_error"),
    "media_too_long": (413, "invalid_request_error"),
    "too_much_work": (413, "invalid_request_error"),
    "unsupported_content_type": (415, "invalid_request_error"),
    "no_such_range": (416, "invalid_request_error"),
    "undecodable_media": (422, "invalid_request_error"),
    "missing_modality": (422, "invalid_request_error"),
    "busy": (429, "rate_limit_error"),
    "internal_error": (500, "server_error"),
    "no_store": (501, "invalid_request_error"),
    "no_captions": (501, "invalid_request_error"),
    "no_captioner": (501, "invalid_request_error"),
    "engine_unavailable": (503, "server_error"),
    "store_unavailable": (503, "server_error"),
}
RETRY_AFTER_S = 1


class Refusal(Exception):
    """A request that is not answered, and why.

    Attributes:
      code: a key of `REFUSALS`.
      message: one sentence for the caller.
      param: the field at fault, where there is one.
    """

    def __init__(self, code: str, message: str, param: str | None = None):
        super().__init__(message)
        self.code, self.message, self.param = code, message, param

    @property
    def status(self) -> int:
        """The HTTP status."""
        return REFUSALS[self.code][0]

    @property
    def body(self) -> dict[str, dict[str, str | None]]:
        """The answer as JSON, in the form of OpenAI's API."""
        told = {"message": self.message, "type": REFUSALS[self.code][1]}
        return {"error": {**told, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to the answer."""
        if self.code == "busy":
            return {"Retry-After": str(RETRY_AFTER_S)}
        return {"WWW-Authenticate": "Bearer"} if self.code == "unauthorized" else {}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of one request and of all of them together.

    Attributes:
      upload_bytes: body of a request.
      held_bytes: bodies of all requests that are being answered.
      queue: places in it, and requests. A request takes one for each file and each window of
        text, up to `PORTION`; with more it goes on portion by portion.
      inputs: of a list, and of all fields of a form together.
      characters: of a text.
      total_characters: of all texts of a request.
      media_s: duration that a container may claim.
      decode_s: time that decoding one file may take.
      decode_bytes: address space that decoding one file may take beside the decoder's own.
      read_s: time that sending a body may take.
      answer_s: time that a request may take once its body is read; so every request ends, though
        2,048 files of which each may take `decode_s` could keep the decoders for hours.
      results: of a search.
    """

    upload_bytes: int = 64 * MIB
    held_bytes: int = 512 * MIB
    queue: int = 256
    inputs: int = 2048  # as OpenAI's
    characters: int = tokenizer.MAX_CHARACTERS
    total_characters: int = 1_000_000  # as OpenAI's 300,000 tokens
    media_s: float = 600.0
    decode_s: float = 20.0
    decode_bytes: int = 2048 * MIB
    read_s: float = 60.0
    answer_s: float = 120.0
    results: int = 100


class Admission:
    """Counts what is in flight and refuses more than the limits; of one thread only.

    Attributes:
      items: places in the queue that are taken.
      requests: that are being answered.
      held_bytes: of bodies announced or read.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self.items = self.requests = self.held_bytes = 0

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """A request from its head to its answer.

        Raises:
          Refusal: when too much is in flight already.
        """
        if max(self.requests, self.items) >= self.limits.queue:
            raise _busy(f"{counted(max(self.requests, self.items), 'item')} in flight")
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextlib.contextmanager
    def reserve(self, items: int) -> Iterator[int]:
        """Places in the queue for a request of so many items, from its parsed body to its vectors.

        Yields:
          How many of them may be embedded at once.

        Raises:
          Refusal: when there are not enough places.
        """
        places = min(items, PORTION, self.limits.queue)
        if self.items + places > self.limits.queue:
            raise _busy(f"{counted(self.items, 'item')} in flight")
        self.items += places
        try:
            yield places
        finally:
            self.items -= places

    def hold(self, count: int) -> None:
        """Adds bytes of a body; `release` takes them back.

        Raises:
          Refusal: when all bodies together would be too large; then nothing is added.
        """
        if self.held_bytes + count > self.limits.held_bytes:
            raise _busy(f"{self.held_bytes // MIB} MiB of uploads are held")
        self.held_bytes += count

    def release(self, count: int) -> None:
        """Takes back what `hold` added."""
        self.held_bytes -= count


def _busy(found: str) -> Refusal:
    return Refusal("busy", f"The server is busy: {found}; try again in {RETRY_AFTER_S} s.")
