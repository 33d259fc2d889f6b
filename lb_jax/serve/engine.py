"""The one process that holds the model, and how the server talks to it.

LitServe starts the process, queues items and gathers batches; the functions below say what a batch
is. Items of all requests and modalities share one queue, a batch is embedded modality by modality;
what is to be written about (`captions`) goes through the same queue.
"""

import asyncio
import bisect
import concurrent.futures
import contextlib
import dataclasses
import logging
import multiprocessing
import os
import queue
import signal
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import litserve
import numpy as np
from litserve.loops.simple_loops import BatchedLoop
from litserve.utils import LitAPIStatus, ResponseBufferItem, wrap_litserve_start

from lb_jax.core import errors, processes
from lb_jax.core.modalities import TEXT
from lb_jax.evaluation import calibrations
from lb_jax.media import specs as specs_lib
from lb_jax.serve import captions
from lb_jax.serve.limits import Refusal
from lb_jax.text import readers

if TYPE_CHECKING:  # the server's process has no jax
    from lb_jax.inference.encoder import Encoder
    from lb_jax.inference.valor import ValorModel

# Items that one compiled program takes; a batch is padded to the next size.
SIZES = (1, 32)
# How long the first item of a batch waits for others while nothing else is to be done.
GATHER_S = 0.004
IDLE_S = 1.0  # the empty queue is asked this often, which notices the end


@dataclasses.dataclass(frozen=True)
class Served:
    """What the server knows about its model.

    Attributes:
      name: how the API calls it.
      source: what it was loaded from.
      digest, preprocessing, dtype: which vectors its own mix with.
      width: of the vectors.
      specs: preprocessing by modality, `text` included.
      logit_scale: log of the inverse temperature by modality.
      calibrated: curves from cosine to probability; or why there are none.
      reader: how it reads texts; None where it reads none.
      captioner: the model that writes; None without.
      family, space: see `Encoder`.
    """

    name: str
    source: str
    digest: str
    preprocessing: str
    dtype: str
    width: int
    specs: dict[str, specs_lib.Spec]
    logit_scale: dict[str, float]
    calibrated: calibrations.Calibrations | str
    reader: readers.Reader | None = None
    captioner: captions.Captioner | None = None
    family: str = "LanguageBind"
    space: str | None = None

    @property
    def calibration(self) -> calibrations.Calibrations:
        """As `Model.calibration`, for `lb_jax.search.query`.

        Raises:
          ConfigError: the model has none.
        """
        if isinstance(self.calibrated, str):
            raise errors.ConfigError(self.calibrated)
        return self.calibrated

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities besides text, sorted."""
        return tuple(sorted(self.specs.keys() - {TEXT}))

    @property
    def inputs(self) -> tuple[str, ...]:
        """`modalities`, and "text" where it reads texts."""
        return (*self.modalities, *((TEXT,) if TEXT in self.specs else ()))

    def probability(self, one: str, other: str, cosine: np.ndarray) -> np.ndarray | None:
        """Calibrated probability of a match, float64 of the same shape; None without a curve."""
        if isinstance(self.calibrated, str):
            return None
        found = self.calibrated.pairs.get(calibrations.key(one, other))
        return None if found is None else found.curve.probability(cosine)

    def logits(self, one: str, other: str, cosine: np.ndarray) -> np.ndarray | None:
        """Cosine times inverse temperature; None unless exactly one of the two is text."""
        media = [name for name in (one, other) if name != TEXT]
        return cosine * np.exp(self.logit_scale[media[0]]) if len(media) == 1 else None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the engine says about an item.

    Attributes:
      vector: float32 [e], unit length.
      batch: items that were embedded together, told by the first of them; 0 by the others.
    """

    vector: np.ndarray
    batch: int


def embed_batch(
    items: Sequence[tuple[str, Any]], encode: Callable[[str, list[Any]], list[Any]]
) -> list[Answer]:
    """Embeds items of any modalities, grouped, and gives the answers in their order.

    Args:
      items: (modality, array of one item; of text, its tokens).
      encode: modality and arrays -> a vector for each.
    """
    places = defaultdict(list)
    for place, (modality, _) in enumerate(items):
        places[modality].append(place)
    answers: dict[int, Answer] = {}
    for modality, rows in places.items():
        vectors = encode(modality, [items[row][1] for row in rows])
        for number, (row, vector) in enumerate(zip(rows, vectors, strict=True)):
            answers[row] = Answer(vector, 0 if number else len(rows))
    return [answers[place] for place in range(len(items))]


@dataclasses.dataclass(frozen=True)
class Opening:
    """How models are opened, in the engine process; sent there by pickle.

    Attributes:
      model: loads the model.
      name: how the API calls it.
      captioner: loads the model that writes; None for none.
      captioner_name: how the API calls that.
    """

    model: Callable[[], "Encoder"]
    name: str
    captioner: Callable[[], "ValorModel"] | None = None
    captioner_name: str = ""


class ModelAPI(litserve.LitAPI):
    """The models in LitServe's engine process."""

    def __init__(self, opening: Opening, facts: Connection):
        """Args:
        opening: how models are opened.
        facts: pipe that `Served`, or the error of loading, goes through.
        """
        super().__init__(max_batch_size=SIZES[-1], batch_timeout=GATHER_S, loop=Gathering())
        self._opening, self._facts = opening, facts

    def setup(self, device: str) -> None:
        """Loads the models and compiles their programs; LitServe calls it once."""
        # Ctrl+C, and a manager of services that ends a whole group, mean the server: it ends this
        # process when the last request is answered, and says so first.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._facts.poll() and os._exit(0))
        processes.end_with_parent()
        processes.quiet_libtpu()
        try:
            self._model = self._opening.model()
            warm_up(self._model)
            served = describe(self._model, self._opening.name)
            if self._opening.captioner is not None:
                self._captioner = self._opening.captioner()
                captions.warm_up(self._captioner)
                facts = captions.describe(self._captioner, self._opening.captioner_name)
                served = dataclasses.replace(served, captioner=facts)
        except errors.LbJaxError as error:
            self._facts.send(error)
            sys.exit()  # LitServe would print the traceback of what the command says in a line
        self._facts.send(served)

    def predict(self, items: list[Any]) -> list[Answer | captions.Said]:
        """Embeds a batch, and writes of what is to be written about."""
        to_write = [one for one in items if isinstance(one, captions.Asked)]
        to_embed = [one for one in items if not isinstance(one, captions.Asked)]
        said = iter(captions.write_batch(self._captioner, to_write) if to_write else ())
        answers = iter(embed_batch(to_embed, self._encode))
        return [next(said if isinstance(one, captions.Asked) else answers) for one in items]

    def decode_request(self, request: Any, **kwargs: Any) -> Any:
        """Items come as they are."""
        return request

    def batch(self, inputs: list[Any]) -> list[Any]:
        """A batch is a list."""
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        """A batch is a list."""
        return output

    def encode_response(self, output: Any, **kwargs: Any) -> Any:
        """Answers go as they are."""
        return output

    def _encode(self, modality: str, given: list[np.ndarray]) -> list[np.ndarray]:
        size = max(1, SIZES[-1] // self._model.clips_of(modality))  # of arrays in memory together
        parts = (given[i : i + size] for i in range(0, len(given), size))
        return [row for part in parts for row in encode(self._model, modality, np.stack(part))]


def encode(
    model: "Encoder", modality: str, array: np.ndarray, size: int | None = None
) -> np.ndarray:
    """Encodes up to `SIZES[-1]` items with the smallest program that takes them.

    Args:
      model: that encodes.
      modality: of the items.
      array: [n, ...].
      size: items of the program; None is as many as there are, and all their clips.
    """
    count = len(array) * model.clips_of(modality) if size is None else size
    return model.encode(modality, array, batch_size=_padded(count))


def _padded(count: int) -> int:
    """Items of the smallest program that takes so many."""
    import jax

    devices = jax.local_device_count()
    size = SIZES[min(bisect.bisect_left(SIZES, count), len(SIZES) - 1)]
    return -(-size // devices) * devices


def warm_up(model: "Encoder") -> None:
    """Compiles every program that requests will use."""
    for modality in model.inputs:
        shape = specs_lib.shape(model.specs[modality])
        kind = np.int32 if modality == TEXT else np.float32
        for size in SIZES:
            rows = max(1, size // model.clips_of(modality))
            encode(model, modality, np.ones((rows, *shape), kind), size)


def describe(model: "Encoder", name: str) -> Served:
    """What the server is told about the model."""
    try:
        calibrated = model.calibration
    except errors.ConfigError as error:  # a model without a calibration is served without
        calibrated = str(error)
    return Served(
        name=name,
        source=model.source,
        digest=model.digest,
        preprocessing=model.preprocessing,
        dtype=np.dtype(model.dtype).name,
        width=model.width,
        specs={name: model.specs[name] for name in model.inputs},
        logit_scale=model.logit_scale,
        calibrated=calibrated,
        reader=model.reader if TEXT in model.inputs else None,
        family=model.family,
        space=model.space,
    )


class Gathering(BatchedLoop):
    """LitServe's loop of batches, with a queue that is waited at instead of polled."""

    def get_batch_requests(self, lit_api, request_queue, transport) -> tuple[list, list]:
        """The next batch: what is there, or comes within `GATHER_S` of the first item.

        Returns:
          ([(response queue, uid, item)], uids that waited too long: none, the server counts time).
        """
        del transport
        batch = []
        deadline = None
        while len(batch) < lit_api.max_batch_size:
            left = IDLE_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                break
            try:
                queue_id, uid, _, item = request_queue.get(timeout=left)
            except queue.Empty:
                break
            batch.append((queue_id, uid, item))
            deadline = deadline or time.monotonic() + lit_api.batch_timeout
        return batch, []


class Engine:
    """The server's end of the queue.

    Attributes:
      waiting: items that were sent and have no answer yet.
    """

    def __init__(self, server: litserve.LitServer, observe: Callable[..., None]):
        """Args:
        server: whose engine process runs.
        observe: called with ("embedded", items, modality) or ("written", items, group) for every
          batch.
        """
        self.waiting = 0
        self._server, self._observe = server, observe
        assert not isinstance(server.lit_api, list)  # `running` gives it one
        self._queue = server._get_request_queue(server.lit_api.api_path)
        # One thread, one connection to the queue: items go in the order in which they were given.
        self._sender = concurrent.futures.ThreadPoolExecutor(1, "to-engine")

    @property
    def is_alive(self) -> bool:
        """Whether the engine process runs."""
        return all(process.is_alive() for process in self._server.inference_workers)

    @property
    def unavailable(self) -> Refusal:
        """What is said where the engine cannot be reached."""
        return Refusal("engine_unavailable", "The model did not answer; try again later.")

    @contextlib.asynccontextmanager
    async def listening(self, app: Any) -> AsyncIterator[None]:
        """Takes answers out of the queue while it is open."""
        app.response_queue_id = 0
        async with self._server.lifespan(app):
            yield
        self._sender.shutdown(wait=False, cancel_futures=True)

    async def embed(self, items: Sequence[tuple[str, Any]]) -> np.ndarray:
        """Vectors of items of any modalities, float32 [n, e], in their order.

        Raises:
          Refusal: the engine does not answer.
        """
        found = await self._ask(items)
        for (modality, _), answer in zip(items, found, strict=True):
            if answer.batch:
                self._observe("embedded", answer.batch, modality)
        return np.stack([answer.vector for answer in found])

    async def write(self, asked: Sequence[captions.Asked]) -> list[str]:
        """What is written about items, in their order.

        Raises:
          Refusal: the engine does not answer.
        """
        found = await self._ask(asked)
        for one, said in zip(asked, found, strict=True):
            if said.batch:
                self._observe("written", said.batch, one.seen.group)
        return [said.text for said in found]

    async def _ask(self, items: Sequence[Any]) -> list[Any]:
        """What the engine answers to items."""
        loop = asyncio.get_running_loop()
        sent = {str(uuid.uuid4()): item for item in items}
        events = [asyncio.Event() for _ in sent]
        buffer = self._server.response_buffer
        for uid, event in zip(sent, events, strict=True):
            buffer[uid] = ResponseBufferItem(event)
        self.waiting += len(sent)
        try:
            await loop.run_in_executor(self._sender, self._send, sent)
            for event in events:
                await event.wait()
            responses = [buffer[uid].response for uid in sent]
        except (ConnectionError, EOFError) as error:
            raise self.unavailable from error
        finally:
            self.waiting -= len(sent)
            for uid in sent:
                buffer.pop(uid, None)
        answers = [one for one in responses if one is not None]  # each event says that it is there
        if any(status != LitAPIStatus.OK for _, status in answers):
            raise Refusal("internal_error", "The model failed on this batch; see the server's log.")
        return [answer for answer, _ in answers]

    def _send(self, items: Mapping[str, Any]) -> None:
        for uid, item in items.items():
            self._queue.put((0, uid, time.monotonic(), item))


@contextlib.contextmanager
def running(
    opening: Opening,
) -> Iterator[tuple[litserve.LitServer, Callable[[], Served]]]:
    """Starts the engine process and ends it, with its queue, on leaving.

    Args:
      opening: how models are opened.

    Yields:
      The LitServe server, and a function that waits until they are ready and says what they are;
      it raises the error that loading ended with.
    """
    logging.getLogger("litserve").setLevel(logging.ERROR)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    api = ModelAPI(opening, theirs)
    server = litserve.LitServer(api, accelerator="cpu", timeout=False)  # jax chooses the devices
    # The queue's process is forked; like the others it must not outlive a server that was killed.
    parent = os.getpid()

    def join_server() -> None:
        if os.getppid() == parent:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            processes.end_with_parent()

    os.register_at_fork(after_in_child=join_server)
    with wrap_litserve_start(server):
        theirs.close()

        def ready() -> Served:
            # Other processes inherit the pipe, so its end does not tell that the engine has ended.
            while not ours.poll(IDLE_S):
                is_alive = all(process.is_alive() for process in server.inference_workers)
                if not is_alive and not ours.poll():  # it may end right after it has told why
                    raise errors.ConfigError(
                        "the engine process ended while it loaded the model; what it said is above."
                    )
            found = ours.recv()
            if isinstance(found, errors.LbJaxError):
                raise found
            return found

        try:
            yield server, ready
        finally:
            with contextlib.suppress(BrokenPipeError):  # it has ended already
                ours.send("end")
