"""Starts the server: engine, decoders, routes, page; and ends them in the reverse order."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib.util
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lb_jax.core import errors, shipped
from lb_jax.media import settings as settings_lib
from lb_jax.serve.limits import Limits

if TYPE_CHECKING:
    from lb_jax.inference.encoder import Encoder
    from lb_jax.inference.valor import ValorModel
    from lb_jax.serve import searching
    from lb_jax.serve.engine import Served

EXTRA = ("litserve", "gradio")
DRAIN_S = 60  # for requests that were accepted before the end
# Loopback names that `Host` may say when there is no token.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
KEEP_ALIVE_S = 20


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes:
      model: source for `lb_jax.load`; None is that of the store, or without one the demo's.
      store: of vectors to search in; None for none.
      name: how the API calls the model; None is `name_of` its source.
      host, port: to listen at; port 0 is any free one.
      token: that requests must know; None for none.
      limits: of requests.
      captioner: source of a VALOR model, which writes captions and answers; None for none.
      workers: decoder processes.
      page: whether there is a page beside the API.
      settings: of files that are sent, see `lb_jax.media.settings`; those of the store where none
        are given.
      space: where vectors lie, of a model that has several; of a store its own.
    """

    model: str | None = None
    store: str | None = None
    name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
    captioner: str | None = None
    workers: int = 2
    page: bool = True
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    space: str | None = None


def open_model(source: str, **options: Any) -> "Encoder":
    """Loads the model; runs in the engine process, which is where jax is."""
    from lb_jax.inference import opening
    from lb_jax.training import compiled

    compiled.keep()
    return opening.load_encoder(source, **options)


def open_captioner(source: str) -> "ValorModel":
    """Loads the model that writes; runs in the engine process."""
    from lb_jax.inference import opening
    from lb_jax.serve import captions

    return opening.load_writer(source, batch_size=captions.SIZE)


def name_of(source: str) -> str:
    """How the API calls a model: its source, without the folders of this machine."""
    return Path(source).resolve().name if Path(source).exists() else source


def run(options: Options, samples: Callable[[Path], dict[str, Any]] | None = None) -> None:
    """Serves until SIGTERM or SIGINT; accepted requests are answered first.

    Args:
      options: what to serve, and where.
      samples: writes media for the page's examples into a folder: modality -> paths, and "text" ->
        sentences.

    Raises:
      ConfigError: a library is missing, the address cannot be had, or the model or store cannot be
        opened.
    """
    needed = EXTRA if options.page else EXTRA[:1]
    for library in needed:
        if importlib.util.find_spec(library) is None:
            raise errors.ConfigError(
                f"lb-jax serve needs {library}; install it with `pip install 'lb_jax[serve]'`."
            )
    with contextlib.ExitStack() as stack:
        stack.enter_context(_stopping_by_signal())
        bound = stack.enter_context(_bind(options.host, options.port))
        if options.token is None and options.host not in LOOPBACK:
            _say(
                f"WARNING: listening at {options.host} without a token: whoever reaches this "
                "address can use the model and see the files that are found. Give --token."
            )
        folder = stack.enter_context(_own_folder())
        _serve(stack, options, bound, folder, samples)


def _serve(
    stack: contextlib.ExitStack,
    options: Options,
    bound: socket.socket,
    folder: Path,
    samples: Callable[[Path], dict[str, Any]] | None,
) -> None:
    # After the folder is set, and before anything that does not like a fork.
    import uvicorn
    from starlette.routing import Route

    from lb_jax.serve import api, decoding, engine, gate
    from lb_jax.serve.service import Service

    source, how = options.model or shipped.DEMO, dict(options.settings, space=options.space)
    if options.store:
        made = maker_of(options.store)
        source = options.model or made["source"]
        how = store_settings(made, options) | {name: made[name] for name in ("dtype", "frames")}
        how["space"] = made["space"] or None
    if options.model is None and source == shipped.DEMO:
        shipped.instead_of(None, "serve")
    _say(f"loading {source}")
    opening = engine.Opening(
        functools.partial(open_model, source, **how), options.name or name_of(source)
    )
    if options.captioner is not None:
        _say(f"loading {options.captioner}, the captioner")
        name = name_of(options.captioner)
        opening = dataclasses.replace(
            opening,
            captioner=functools.partial(open_captioner, options.captioner),
            captioner_name=f"{name}-captioner" if name == opening.name else name,
        )
    server, ready = stack.enter_context(engine.running(opening))
    pool = decoding.Pool(options.limits, options.workers)
    stack.callback(pool.close)
    if options.page:
        import gradio  # noqa: F401 - takes seconds, in which the model loads
    served = ready()
    store = open_store(options.store, served) if options.store else None
    batches: dict[str, Callable[..., None]] = {}
    client = engine.Engine(server, lambda kind, *row: batches[kind](*row))
    service = Service(client, pool, served, options.limits, store)
    batches["embedded"] = service.metrics.batch_items.observe
    batches["written"] = service.metrics.written_items.observe

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with client.listening(app):
            yield

    app = api.make_app(service, lifespan)
    routes = [one.path for one in app.routes if isinstance(one, Route) and "{" not in one.path]
    if options.page:
        from lb_jax.serve import page

        examples = samples(folder / "samples") if samples else {}
        page.mount(app, service, examples, folder)
    loop: list[uvicorn.Server] = []
    gated = gate.Gate(
        app,
        service,
        token=options.token,
        hosts=LOOPBACK if options.token is None and options.host in LOOPBACK else None,
        routes=[*routes, "/login"],
        is_stopping=lambda: loop[0].should_exit,
    )
    config = uvicorn.Config(
        gated,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    loop.append(uvicorn.Server(config))
    address = bound.getsockname()
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    # Before uvicorn has its own handlers, and after: it raises again what it has caught.
    with _signals(lambda *_: setattr(loop[0], "should_exit", True)):
        bound.listen(config.backlog)  # from here on connections wait instead of being refused
        _say(f"ready at http://{host}:{address[1]}/ (API: /docs)")
        loop[0].run(sockets=[bound])
    _say("stopped")


def store_settings(made: dict[str, Any], options: Options) -> dict[str, Any]:
    """The settings of a store, which its model is loaded with.

    Raises:
      ConfigError: others are given.
    """
    if options.space not in (None, made["space"]):
        raise errors.ConfigError(
            f"{options.store} holds vectors of the space {made['space'] or 'that its model has'}, "
            f"not {options.space}; leave out --space, or build another store with it."
        )
    known = settings_lib.from_json(made["settings"])
    others = settings_lib.Settings(**options.settings)
    if options.settings and others.changes != known.changes:
        raise errors.ConfigError(
            f"{options.store} holds vectors made with {known or 'the settings of the model'}, not "
            f"{others}; leave out{others.options}, or build another store with it."
        )
    return known.given


def maker_of(uri: str) -> dict[str, Any]:
    """What made the vectors of a store; told by another process, as LanceDB does not like a fork.

    Raises:
      DataError: there is no store.
    """
    spawned = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawned) as pool:
        return pool.submit(_maker_of, uri).result()


def _maker_of(uri: str) -> dict[str, Any]:
    from lb_jax.search import store

    return dataclasses.asdict(store.Store.open(uri).maker)


def open_store(uri: str, served: "Served") -> "searching.Store":
    """Opens a store whose vectors the model understands.

    Raises:
      DataError: there is none, or it is of another model.
    """
    from lb_jax.search import query, ranking, rows, store
    from lb_jax.serve import searching

    opened = store.Store.open(uri, digest=served.digest)

    def search(asked: searching.Query, k: int, where: Any) -> Any:
        how = {"asked": asked.asked, "words": asked.words, "by": asked.by}
        return query.find(opened, served, asked.vector, k, where, **how)

    def make_filter(under: str | None, **others: Any) -> store.Filter:
        return store.Filter(under=None if under is None else rows.path_of(under), **others)

    return searching.Store(
        search=search,
        make_filter=make_filter,
        choose=functools.partial(ranking.chosen, opened),
        has_captions=opened.captions() is not None,
    )


@contextlib.contextmanager
def _bind(host: str, port: int) -> Iterator[socket.socket]:
    """A socket at the address, before anything slow begins.

    Raises:
      ConfigError: the address cannot be had.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise errors.ConfigError(
            f"cannot listen at {host}:{port} ({error.strerror or error}); give another --host or "
            "--port."
        ) from error
    with bound:
        yield bound


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """The only folder that is written to, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="lb_jax-serve-"))
    (folder / "page").mkdir()
    os.environ |= {
        "GRADIO_TEMP_DIR": str(folder / "page"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _stopping_by_signal() -> Iterator[None]:
    """Makes SIGTERM what Ctrl+C is, until the server listens."""

    def stop(number: int, frame: Any) -> None:
        raise errors.Stopped(number, "the server was not ready yet")

    with _signals(stop):
        yield


@contextlib.contextmanager
def _signals(handler: Callable[..., None]) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


def _say(line: str) -> None:
    print(f"lb-jax serve: {line}", file=sys.stderr, flush=True)
