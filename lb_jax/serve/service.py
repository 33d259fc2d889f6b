"""What the API and the page have in common: from what was sent to vectors, moments, answers."""

import asyncio
import collections
import contextlib
import dataclasses
import functools
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.serve import captions, decoding, searching
from lb_jax.serve.engine import Engine, Served
from lb_jax.serve.limits import Admission, Limits, Refusal
from lb_jax.serve.metrics import Metrics
from lb_jax.serve.searching import Found, Store

KNOWN_FILES = 50_000  # of results, that links may lead to
AT_ONCE = 500  # characters of a text that is not worth a thread
SHORTEST = 1e-6  # of a sum of unit vectors that has a direction


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing to embed.

    Attributes:
      modality: "text" or one of the model's.
      content: the text, or the bytes of a file.
      name: how errors call it, such as `image 2 ("cat.png")`.
    """

    modality: str
    content: str | bytes
    name: str


@dataclasses.dataclass(frozen=True)
class Row:
    """What the model embeds at once: a file, or a window of a text.

    Attributes:
      place: of the item among those of the request.
      item: that it is of.
      tokens: int32 [context] of a window; None of a file.
      weight: of the window in its text: its tokens without start and end.
      special: start and end, where it has these.
    """

    place: int
    item: Item
    tokens: np.ndarray | None = None
    weight: float = 1.0
    special: int = 0

    @property
    def count(self) -> int:
        """Tokens, start and end included; 0 of a file."""
        return 0 if self.tokens is None else int(self.weight) + self.special


class Service:
    """The functions of the server.

    Attributes:
      served: the model.
      limits: of requests.
      admission: what is in flight.
      metrics: what is counted.
      store: to search in; None without.
    """

    def __init__(
        self,
        engine: Engine,
        pool: decoding.Pool,
        served: Served,
        limits: Limits,
        store: Store | None,
    ):
        self.served, self.limits, self.store = served, limits, store
        self.admission = Admission(limits)
        self._engine, self._pool = engine, pool
        self.metrics = Metrics(
            {
                "lb_jax_requests_in_flight": (
                    "Requests that are being answered.",
                    lambda: self.admission.requests,
                ),
                "lb_jax_items_in_flight": (
                    "Texts and media that are being embedded or written about.",
                    lambda: self.admission.items,
                ),
                "lb_jax_queue_items": (
                    "Items at the models, or waiting for them.",
                    lambda: engine.waiting,
                ),
                "lb_jax_held_bytes": (
                    "Bytes of uploads in memory.",
                    lambda: self.admission.held_bytes,
                ),
                "lb_jax_decoder_restarts": (
                    "Decoders that were replaced.",
                    lambda: pool.restarts,
                ),
            }
        )
        self._links: collections.OrderedDict[str, tuple[str, str]] = collections.OrderedDict()
        self._secret = secrets.token_bytes()

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered."""
        return self._engine.is_alive

    @property
    def captioner(self) -> captions.Captioner:
        """The model that writes.

        Raises:
          Refusal: the server has none.
        """
        if self.served.captioner is None:
            raise Refusal(
                "no_captioner",
                "This server has no captioner; start it with `--captioner MODEL`, a VALOR model.",
            )
        return self.served.captioner

    async def embed(self, items: Sequence[Item]) -> np.ndarray:
        """Embeds texts and media of any modalities, float32 [n, e], in their order.

        Raises:
          Refusal: too much is in flight, an item cannot be used (names the first), or it takes too
            long.
        """
        vectors, _ = await self.embed_counted(items)
        return vectors

    async def embed_counted(self, items: Sequence[Item]) -> tuple[np.ndarray, int]:
        """As `embed`, with the number of tokens of all texts, start and end included.

        A text of more tokens than the model takes is embedded as `Model.embed` does it, window by
        window; a long request goes portion by portion, between those of others.
        """
        for item in items:
            self._check(item)
        self._check_total(items)
        async with self._in_time():
            rows: list[Row] = []
            for place, item in enumerate(items):
                rows += await self._rows(place, item)
            vectors: list[np.ndarray] = []
            with self.admission.reserve(len(rows)) as places:
                for start in range(0, len(rows), places):
                    vectors.extend(await self._embed_rows(rows[start : start + places]))
        return join(rows, vectors), sum(row.count for row in rows)

    async def write(
        self,
        items: Sequence[Item],
        *,
        group: str | None = None,
        question: str | None = None,
        beam: int | None = None,
    ) -> list[captions.Written]:
        """Writes a caption of each file, or answers a question about each; in their order.

        Args:
          items: files.
          group: what is written from; None goes by what each file has.
          question: that is answered; None for captions.
          beam: one of `captions.BEAMS`; None is the usual one.

        Raises:
          Refusal: without a captioner, for a question or group that cannot be, or as `embed`.
        """
        captioner = self.captioner
        views = [captioner.views(one.modality, group, one.name) for one in items]
        for item in items:
            self._check_content(item)
        prompt = None if question is None else captioner.prompt(question, self.limits)
        usual = captions.USUAL_BEAM[captions.CAPTION if question is None else captions.ANSWER]
        written: list[captions.Written] = []
        async with self._in_time():
            with self.admission.reserve(len(items)) as places:
                for start in range(0, len(items), places):
                    some = items[start : start + places]
                    jobs = [
                        captions.Viewing(item.modality, item.content, seen)
                        for item, seen in zip(some, views[start : start + places], strict=True)
                    ]
                    seen = await _each(some, [self._decode(one) for one in jobs])
                    asked = [captions.Asked(one, prompt, beam or usual) for one in seen]
                    texts = await self._engine.write(asked)
                    written += [
                        captions.Written(item.modality, one.group, text)
                        for item, one, text in zip(some, seen, texts, strict=True)
                    ]
        return written

    async def search(
        self, items: Sequence[Item], k: int, where: dict[str, Any], by: str | None = None
    ) -> tuple[list[Found], str]:
        """Moments of the store that are nearest to a text, a file, or several together.

        Args:
          items: the query; the mean of their vectors is looked for.
          k: most results.
          where: keyword arguments of the store's filter.
          by: what they are ranked by; None by what the store has.

        Returns:
          the moments, and what they are ranked by.

        Raises:
          Refusal: without a store, for a filter or ranking that cannot be, or as `embed`.
        """
        if self.store is None:
            raise Refusal(
                "no_store", "This server has no store to search; start it with `--store STORE`."
            )
        unknown = set(where.get("modalities", ())) - set(self.served.modalities)
        if unknown:
            raise Refusal(
                "bad_request",
                f"The model has no modality {sorted(unknown)[0]!r}; it has "
                f"{', '.join(self.served.modalities)}.",
            )
        searching.check_folder(where.get("under"))
        where = self.store.make_filter(**where)
        words = " ".join(one.content for one in items if isinstance(one.content, str)) or None
        by = await asyncio.to_thread(searching.chosen, self.store, words, by)
        vector = fuse(await self.embed(items))
        asked = items[0].modality if len(items) == 1 else None
        query = searching.Query(vector, words, asked, by)
        try:
            moments = await asyncio.to_thread(self.store.search, query, k, where)
        except errors.DataError as error:
            raise searching.unavailable(error) from error
        found = [Found.of(one, self._link(one.path, one.modality)) for one in moments]
        return found, by

    def file(self, link: str) -> tuple[Path, str]:
        """Path and modality of a file that a search has found.

        Raises:
          Refusal: no search has found it, or it is gone.
        """
        path, modality = self._links.get(link, ("", ""))
        if not path or not Path(path).is_file():
            raise Refusal("not_found", "There is no such file among the results; search again.")
        return Path(path), modality

    async def thumbnail(self, link: str, start_s: float) -> bytes:
        """A small JPEG of a file that a search has found.

        Raises:
          Refusal: as `file`, or it is too large or cannot be decoded.
        """
        path, modality = self.file(link)
        if modality == "audio":
            raise Refusal("not_found", "Sound has no picture.")
        if path.stat().st_size > self.limits.upload_bytes:
            raise Refusal("too_large", "The file is too large for a small picture of it.")
        data = await asyncio.to_thread(path.read_bytes)
        return await self.picture(Item(modality, data, path.name), start_s)

    async def picture(self, item: Item, start_s: float = 0.0) -> bytes:
        """A small JPEG of a picture, or of a video at a time.

        Raises:
          Refusal: it cannot be decoded, or not in time.
        """
        spec = self.served.specs[item.modality]
        job = decoding.Job("thumbnail", item.modality, spec, item.content, start_s)
        async with self._in_time():
            small = await self._pool.run(job)
        assert isinstance(small, bytes)  # as of every job of this name
        return small

    def _check(self, item: Item) -> None:
        known = self.served.specs
        if item.modality not in known:
            raise Refusal(
                "bad_request",
                f"{item.name}: the model has no modality {item.modality!r}; it has "
                f"{', '.join(sorted(known))}.",
                "input",
            )
        if item.modality == TEXT:
            if not item.content.strip():
                raise Refusal("bad_request", f"{item.name} is empty; give it words.", "input")
            if len(item.content) > self.limits.characters:
                raise Refusal(
                    "bad_request",
                    f"{item.name} has {len(item.content)} characters, expected at most "
                    f"{self.limits.characters}.",
                    "input",
                )
        self._check_content(item)

    def _check_content(self, item: Item) -> None:
        if not item.content:
            raise Refusal("undecodable_media", f"{item.name} is empty; send a media file.", "input")

    def _check_total(self, items: Sequence[Item]) -> None:
        total = sum(len(item.content) for item in items if item.modality == TEXT)
        if total > self.limits.total_characters:
            raise Refusal(
                "bad_request",
                f"The texts have {total} characters together, expected at most "
                f"{self.limits.total_characters}; send them in several requests.",
                "input",
            )

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Ends work that takes longer than a request may."""
        try:
            async with asyncio.timeout(self.limits.answer_s):
                yield
        except TimeoutError as error:
            if not self._engine.is_alive:
                raise self._engine.unavailable from error
            raise Refusal(
                "too_much_work",
                f"There is no answer after {self.limits.answer_s:g} s; send fewer or shorter "
                "inputs at once.",
                "input",
            ) from error

    async def _rows(self, place: int, item: Item) -> list[Row]:
        if not isinstance(item.content, str):
            return [Row(place, item)]
        reader, texts = self.served.reader, [item.content]
        assert reader is not None  # `_check` has seen that the model reads texts
        try:
            if len(item.content) > AT_ONCE:
                split = await asyncio.to_thread(reader.split, texts)
            else:
                split = reader.split(texts)
                await asyncio.sleep(0)  # others have their turn
        except errors.DataError as error:
            raise Refusal("bad_request", f"{item.name} {error.reason}.", "input") from error
        windows = zip(split.tokens, split.weight, strict=True)
        return [
            Row(place, item, tokens, float(weight), split.special) for tokens, weight in windows
        ]

    async def _embed_rows(self, rows: Sequence[Row]) -> np.ndarray:
        arrays = await _each([row.item for row in rows], [self._prepare(row) for row in rows])
        pairs = [(row.item.modality, array) for row, array in zip(rows, arrays, strict=True)]
        return await self._engine.embed(pairs)

    async def _prepare(self, row: Row) -> Any:
        if row.tokens is not None:
            return row.tokens
        item = row.item
        spec = self.served.specs[item.modality]
        return await self._decode(decoding.Job("preprocess", item.modality, spec, item.content))

    async def _decode(self, job: decoding.Job | captions.Viewing) -> Any:
        """What a decoder makes of a file; counted."""
        observe = functools.partial(
            _observe_second, self.metrics.decode_seconds.observe, job.modality
        )
        try:
            return await decoding.timed(self._pool.run(job), observe)
        except Refusal as refusal:
            self.metrics.decode_failures.add(job.modality, refusal.code)
            raise

    def _link(self, path: str, modality: str) -> str:
        """A name for a file that cannot be guessed and says nothing about its place."""
        told = f"{modality} {path}".encode()
        link = hmac.new(self._secret, told, hashlib.sha256).hexdigest()[:32]
        self._links[link] = (path, modality)
        self._links.move_to_end(link)
        if len(self._links) > KNOWN_FILES:
            self._links.popitem(last=False)
        return link


async def _each(items: Sequence[Item], work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """What the work of each item gives; a refusal names the first that is refused."""
    found = await asyncio.gather(*work, return_exceptions=True)
    for item, one in zip(items, found, strict=True):
        if isinstance(one, Refusal):
            raise Refusal(one.code, f"{item.name}: {one.message}", "input")
        if isinstance(one, BaseException):
            raise one
    return found


def join(rows: Sequence[Row], vectors: Sequence[np.ndarray]) -> np.ndarray:
    """The vectors of items, [n, e]: of several windows their weighted mean, made unit again.

    Args:
      rows: of the items, in their order, one at least for each.
      vectors: of the rows, [e].
    """
    places = np.array([row.place for row in rows])
    windows = np.bincount(places)
    total = np.zeros((len(windows), len(vectors[0])), np.float32)
    for row, vector in zip(rows, vectors, strict=True):
        total[row.place] += vector if windows[row.place] == 1 else row.weight * vector
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(windows[:, None] == 1, total, total / np.maximum(lengths, SHORTEST))


def fuse(vectors: np.ndarray) -> np.ndarray:
    """The mean of unit vectors [n, e], made unit again, [e].

    Raises:
      Refusal: they cancel each other.
    """
    total = vectors.sum(axis=0)
    length = np.linalg.norm(total)
    if length < SHORTEST:
        raise Refusal("bad_request", "The parts of the query cancel each other; leave one out.")
    return total / length


def _observe_second(observe: Callable[..., None], modality: str, seconds: float) -> None:
    observe(seconds, modality)
