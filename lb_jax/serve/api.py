"""The routes of the HTTP API."""

import base64
import dataclasses
import html
import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request, exception_handlers
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from lb_jax.core.modalities import TEXT
from lb_jax.search import fits, ranking
from lb_jax.serve import captions, metrics, parsing, schema
from lb_jax.serve.limits import Refusal
from lb_jax.serve.searching import Found
from lb_jax.serve.service import Item, Service

EMBEDDINGS_FIELDS = ("model", "input", "encoding_format", "dimensions", "user")
CAPTIONS_FIELDS = ("model", "input", "group", "question", "beam")
SEARCH_FIELDS = ("model", "query", "input", "k", "by", "modality", "under", "after_s", "before_s")
OWN = "/gradio_api/"  # between the page and its server, which have their own words
MEDIA_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "private, max-age=3600"}

# status of what the framework raises: code of the refusal
_CODES = {404: "not_found", 405: "method_not_allowed", 416: "no_such_range"}


def make_app(service: Service, lifespan: Callable[..., Any]) -> FastAPI:
    """The API as an application that the page can be mounted on.

    Args:
      service: what answers.
      lifespan: of the application.
    """
    served = service.served
    common = {
        "object": "model",
        "created": int(time.time()),  # clients want one; when it was trained no checkpoint says
        "owned_by": "lb-jax",
    }
    rows = {
        served.name: {
            "id": served.name,
            **common,
            "family": served.family,
            "modalities": list(served.inputs),
            "dimensions": served.width,
            "digest": served.digest,
        }
    }
    if (captioner := served.captioner) is not None:
        rows[captioner.name] = {
            "id": captioner.name,
            **common,
            "modalities": list(captioner.modalities),
            "groups": list(captioner.groups),
            "digest": captioner.digest,
        }
    app = FastAPI(
        title="lb-jax",
        version="1",
        description=f"Embeddings of media and text by {served.name} ({served.family}): "
        f"{', '.join(served.inputs)}; {served.width} dimensions.",
        docs_url=None,  # those of FastAPI load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to /v1/, which is not there
        lifespan=lifespan,
    )

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Response:
        """Vectors of texts and media, in the order in which they were sent.

        JSON as OpenAI's API has it, with media as base64; or a form with a file part for each
        medium, named by its modality, and a field `input` for each text.
        """
        fields, items = await parsing.read(request, service.limits)
        parsing.only(fields, EMBEDDINGS_FIELDS)
        _check_model(fields, served.name)
        encoding = parsing.word(fields, "encoding_format", schema.FORMATS[0])
        if encoding not in schema.FORMATS:
            raise Refusal(
                "bad_request",
                f"encoding_format is {encoding[:80]!r}; expected {' or '.join(schema.FORMATS)}.",
                "encoding_format",
            )
        width = parsing.number(fields, "dimensions", int)
        if width not in (None, served.width):
            raise Refusal(
                "bad_request",
                f"dimensions is {width}; the vectors of this model have {served.width}.",
                "dimensions",
            )
        parsing.word(fields, "user")
        if not items:
            raise Refusal(
                "bad_request", "There is nothing to embed; send `input` or files.", "input"
            )
        vectors, tokens = await service.embed_counted(items)
        return JSONResponse(
            {
                "object": "list",
                "data": [
                    {
                        "object": "embedding",
                        "index": place,
                        "modality": item.modality,
                        "embedding": _encoded(vector, encoding),
                    }
                    for place, (item, vector) in enumerate(zip(items, vectors, strict=True))
                ],
                "model": served.name,
                "family": served.family,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )

    @app.post("/v1/search")
    async def search(request: Request) -> Response:
        """Moments of the store that match a text, a file, or several together.

        `by` is what they are ranked by: vector, the words of captions (caption), or both ranks
        together; without it both where the store has captions and a text is sent.
        """
        fields, items = await parsing.read(request, service.limits)
        parsing.only(fields, SEARCH_FIELDS)
        _check_model(fields, served.name)
        query = parsing.word(fields, "query")
        if query is not None:
            items = [Item(TEXT, query, "query"), *items]
        if not items:
            raise Refusal(
                "bad_request", "There is nothing to search by; send `query` or files.", "query"
            )
        k = parsing.number(fields, "k", int)
        k = schema.RESULTS if k is None else k
        if not 1 <= k <= service.limits.results:
            raise Refusal(
                "bad_request",
                f"k is {k}; expected a number from 1 to {service.limits.results}.",
                "k",
            )
        by = parsing.word(fields, "by")
        if by not in (None, *ranking.BY):
            raise Refusal(
                "bad_request", f"by is {by[:80]!r}; expected {', '.join(ranking.BY)}.", "by"
            )
        where = {
            "modalities": parsing.words(fields, "modality"),
            "under": parsing.word(fields, "under"),
            "after_s": parsing.number(fields, "after_s"),
            "before_s": parsing.number(fields, "before_s"),
        }
        found, by = await service.search(items, k, where, by)
        return JSONResponse(
            {
                "object": "list",
                "model": served.name,
                "family": served.family,
                "by": by,
                "grouped": fits.is_grouped(found),
                "data": [_moment(one) for one in found],
            }
        )

    @app.post("/v1/captions")
    async def write(request: Request) -> Response:
        """A caption of each file, in order; with a `question`, its answer about each.

        `group` says what is written from: tva sight and sound, tv sight alone, ta sound alone;
        without it that goes by what a file has. `beam` is how many texts are followed at a time.
        """
        fields, items = await parsing.read(request, service.limits)
        parsing.only(fields, CAPTIONS_FIELDS)
        name = service.captioner.name
        _check_model(fields, name)
        question = parsing.word(fields, "question")
        beam = parsing.number(fields, "beam", int)
        if beam not in (None, *captions.BEAMS):
            raise Refusal(
                "bad_request",
                f"beam is {beam}; expected {' or '.join(map(str, captions.BEAMS))}.",
                "beam",
            )
        group = parsing.word(fields, "group")
        if not items:
            raise Refusal("bad_request", "There is nothing to write about; send files.", "input")
        written = await service.write(items, group=group, question=question, beam=beam)
        kind = captions.CAPTION if question is None else captions.ANSWER
        told = [
            {"object": kind, "index": place, **dataclasses.asdict(one)}
            for place, one in enumerate(written)
        ]
        return JSONResponse({"object": "list", "data": told, "model": name})

    @app.get("/v1/models")
    async def models() -> Response:
        """What is served: the model, and the captioner if there is one."""
        return JSONResponse({"object": "list", "data": [*rows.values()]})

    @app.get("/v1/models/{model:path}")
    async def one_model(model: str) -> Response:
        """One of them, by its name."""
        if model not in rows:
            raise _no_model(model, " or ".join(rows))
        return JSONResponse(rows[model])

    @app.get("/healthz")
    async def healthz() -> Response:
        """Whether requests can be answered: 200 or 503."""
        if not service.is_ready:
            raise Refusal("engine_unavailable", "The model's process has ended.")
        return JSONResponse({"status": "ok"})

    @app.get("/metrics")
    async def metrics_page() -> Response:
        """Counters and histograms in the text format of Prometheus."""
        return PlainTextResponse(service.metrics.text(), media_type=metrics.CONTENT_TYPE)

    @app.get("/media/{link}")
    async def media(link: str) -> Response:
        """A file that a search has found, whole or a range of its bytes."""
        path, _ = service.file(link)
        return _Media(path, headers=MEDIA_HEADERS)

    @app.get("/media/{link}/thumbnail")
    async def thumbnail(
        link: str, start_s: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 0.0
    ) -> Response:
        """A small picture of a file that a search has found."""
        picture = await service.thumbnail(link, start_s)
        return Response(picture, media_type="image/jpeg", headers=MEDIA_HEADERS)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()))

    schema.complete(app.openapi(), served, service.limits)
    # Said here, as what these routes do not take would go on to the page.
    taken: dict[str, set[str]] = {}
    for route in app.routes:
        if isinstance(route, Route):  # as all are so far
            if route.methods and "GET" in route.methods:  # so HEAD, by RFC 9110, section 9.1
                route.methods.add("HEAD")
            taken.setdefault(route.path, set()).update(route.methods or ())
    for path, methods in taken.items():
        app.routes.append(Route(path, _Refusing(405, {"Allow": ", ".join(sorted(methods))})))
    for path in ("/v1", "/media", "/v1/{path:path}", "/media/{path:path}"):
        app.routes.append(Route(path, _Refusing(404)))
    refuse_alike(app)
    return app


def refuse_alike(app: FastAPI) -> None:
    """Makes what an application refuses, and what breaks in it, an answer in the one form."""
    for kind, handler in (
        (Refusal, _refused),
        (HTTPException, _failed),
        (RequestValidationError, _invalid),
        (Exception, _broke),
    ):
        app.add_exception_handler(kind, handler)


class _Refusing:
    """Refuses every method; a class, as a function would be asked for some of them only."""

    def __init__(self, status: int, headers: dict[str, str] | None = None):
        self._status, self._headers = status, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(self._status, headers=self._headers)


class _Media(FileResponse):
    """A file, or a range of it; what starlette says of a wrong range is said in the one form."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def checked(message: Message) -> None:
            status = message.get("status", 200)
            if status >= 400:
                headers = {key.decode(): value.decode() for key, value in message["headers"]}
                kept = {key: headers[key] for key in ("content-range",) if key in headers}
                raise HTTPException(status, "The file has no such range of bytes.", kept)
            await send(message)

        await super().__call__(scope, receive, checked)


async def _refused(request: Request, refusal: Refusal) -> Response:
    del request
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


async def _failed(request: Request, error: HTTPException) -> Response:
    """What the framework refuses, in the same words."""
    if request.url.path.startswith(OWN):
        return await exception_handlers.http_exception_handler(request, error)
    path = request.url.path[:80]
    says = {
        404: f"There is no {path}; /docs lists what there is.",
        405: f"{path} does not take {request.method}; /docs lists what there is.",
    }
    usual = "bad_request" if error.status_code < 500 else "internal_error"
    code = _CODES.get(error.status_code, usual)
    refusal = Refusal(code, says.get(error.status_code, str(error.detail)))
    return JSONResponse(refusal.body, error.status_code, error.headers)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    """A parameter that is not of its kind."""
    if request.url.path.startswith(OWN):
        return await exception_handlers.request_validation_exception_handler(request, error)
    first = error.errors()[0]
    name = str(first["loc"][-1])
    refusal = Refusal("bad_request", f"{name}: {first['msg']}.", name)
    return JSONResponse(refusal.body, refusal.status)


async def _broke(request: Request, error: Exception) -> Response:
    """A fault of the server; the traceback goes to its log."""
    del request, error
    refusal = Refusal("internal_error", "The server failed on this request; see its log.")
    return JSONResponse(refusal.body, refusal.status, {"connection": "close"})  # uvicorn does it


def _check_model(fields: parsing.Fields, name: str) -> None:
    asked = parsing.word(fields, "model")
    if asked not in (None, "", name):
        raise _no_model(asked, name)


def _no_model(asked: str, name: str) -> Refusal:
    message = f"There is no model {asked[:80]!r}; this is {name!r}."
    return Refusal("model_not_found", message, "model")


def _encoded(vector: np.ndarray, encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return vector.tolist()


def _moment(found: Found) -> dict[str, Any]:
    begins = f"#t={found.start_s:g},{found.end_s:g}" if found.start_s is not None else ""
    return {
        "object": "moment",
        "path": found.path,
        "modality": found.modality,
        "start_s": found.start_s,
        "end_s": found.end_s,
        "cosine": found.cosine,
        "probability": found.probability,
        "withheld": found.withheld,
        "caption": found.caption,
        "media": f"/media/{found.link}{begins}",
    }


DOCS_STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; max-width: 820px; margin: 0 auto; padding: 24px 16px;
  color-scheme: light dark; }
h2 { margin: 36px 0 4px; font-size: 1.1rem; }
code, pre { font: .875rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { padding: 12px; border-radius: 8px; background: #8882; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
td { padding: 4px 12px 4px 0; vertical-align: top; border-bottom: 1px solid #8884; }
"""
EXAMPLES = {
    "/v1/embeddings": (
        """curl -s {url}v1/embeddings -H 'Content-Type: application/json' \\
  -d '{{"input": ["a dog barks", "rain"]}}'""",
        "curl -s {url}v1/embeddings -F image=@cat.jpg -F audio=@rain.wav -F 'input=a cat'",
    ),
    "/v1/captions": (
        "curl -s {url}v1/captions -F video=@dog.mp4",
        "curl -s {url}v1/captions -F video=@dog.mp4 -F 'question=what is heard?'",
    ),
    "/v1/search": (
        "curl -s {url}v1/search -F 'query=a dog barks' -F modality=video -F k=5",
        "curl -s {url}v1/search -F 'query=a dog barks' -F by=caption",
    ),
}


def docs_page(schema: dict[str, Any]) -> str:
    """The OpenAPI document as a page that loads nothing from elsewhere."""
    out = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>lb-jax API</title><style>'
        f"{DOCS_STYLE}</style><h1>lb-jax API</h1><p>{html.escape(schema['info']['description'])}"
        '</p><p>For programs: <a href="/openapi.json">openapi.json</a>.</p>'
    ]
    for path, methods in schema["paths"].items():
        for method, row in methods.items():
            out.append(
                f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>"
                f"<p>{html.escape(row.get('description', ''))}</p>"
            )
            content = row.get("requestBody", {}).get("content", {}).get(parsing.JSON)
            if content:
                out.append("<table>")
                for key, value in content["schema"]["properties"].items():
                    told = html.escape(json.dumps(value))
                    out.append(f"<tr><td><code>{key}</code><td><code>{told}</code>")
                out.append("</table>")
            for example in EXAMPLES.get(path, ()):
                shown = example.format(url="http://127.0.0.1:8000/")
                out.append(f"<pre>{html.escape(shown)}</pre>")
    return "".join(out)
