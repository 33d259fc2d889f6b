"""What the routes take and answer, as OpenAPI 3.1 says it; every bound is the one that holds."""

from collections.abc import Sequence
from typing import Any

from lb_jax.inference import valor_items
from lb_jax.search import ranking
from lb_jax.serve import captions, metrics, parsing
from lb_jax.serve.engine import Served
from lb_jax.serve.limits import REFUSALS, Limits

Schema = dict[str, Any]

FORMATS = ("float", "base64")
RESULTS = 10  # of a search that does not say

# A character that is left when a text is cleaned: no blank and no control character.
_WORDS = r"[^\s\x00-\x20\x7f-\xa0\ufeff]"
# The same, and none of ASCII's punctuation, which is left out of a question.
_SAID = r"[^\s\x00-/:-@\[-`{-\xa0\ufeff]"
_BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_DATA = "data:(?:(?:image|video|audio)/[a-z0-9.+-]+|text/csv|application/octet-stream)?;base64,"
_FOLDER = r"^/[^\x00]*$"

_EVERYWHERE = ("unauthorized", "forbidden_host", "internal_error")
_BODY = (
    "bad_request",
    "model_not_found",
    "upload_too_slow",
    "too_large",
    "media_too_long",
    "too_much_work",
    "unsupported_content_type",
    "undecodable_media",
    "missing_modality",
    "busy",
    "engine_unavailable",
)
# What is refused beside that, by route.
_REFUSED = {
    "/v1/embeddings": _BODY,
    "/v1/search": (*_BODY, "no_store", "no_captions", "store_unavailable"),
    "/v1/captions": (*_BODY, "no_captioner"),
    "/v1/models": (),
    "/v1/models/{model}": ("model_not_found",),
    "/healthz": ("engine_unavailable",),
    "/metrics": (),
    "/media/{link}": ("not_found", "no_such_range", "bad_request"),
    "/media/{link}/thumbnail": (
        "bad_request",
        "not_found",
        "too_large",
        "too_much_work",
        "undecodable_media",
        "missing_modality",
        "engine_unavailable",
    ),
}
_WITHOUT_TOKEN = ("/healthz",)

_STRING: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}


def complete(document: Schema, served: Served, limits: Limits) -> None:
    """Writes bodies and answers into what FastAPI says of the routes.

    Args:
      document: of the application, changed in place.
      served: the model.
      limits: of requests.
    """
    media, seen = served.modalities, _written_of(served)
    bodies = {
        "/v1/embeddings": _body(_embeddings(served, limits), media, limits, texts=True),
        "/v1/search": _body(_search(served, limits), media, limits, texts=True),
        "/v1/captions": _body(_captions(served, limits), seen, limits, texts=False),
    }
    answers = _answers(served, limits)
    for path, methods in document["paths"].items():
        for row in methods.values():
            if path in bodies:
                row["requestBody"] = bodies[path]
            refused = [code for code in _EVERYWHERE if code in REFUSALS]
            if path in _WITHOUT_TOKEN:
                refused.remove("unauthorized")
            row["responses"] = answers[path] | _refusals([*_REFUSED[path], *refused])
            row["security"] = [{}, {"token": []}]
    document["components"] = {
        "securitySchemes": {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "of a server that was started with a token",
            }
        }
    }


def _object(properties: Schema, optional: tuple[str, ...] = (), **more: Any) -> Schema:
    required = [name for name in properties if name not in optional]
    closed = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**closed, **({"required": required} if required else {}), **more}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _null_or(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _text(limits: Limits) -> Schema:
    return {**_STRING, "minLength": 1, "maxLength": limits.characters, "pattern": _WORDS}


def _inputs(modalities: Sequence[str]) -> list[Schema]:
    """The objects that `input` may hold."""
    data = {
        **_STRING,
        "pattern": f"^(?:{_DATA})?{_BASE64}$",
        "description": "base64 of the file, or a data URL of it",
    }
    found = [_object({"type": {**_STRING, "enum": list(modalities)}, "data": data})]
    for name in modalities:
        url = {**_STRING, "pattern": f"^{_DATA}{_BASE64}$", "description": "data URL of the file"}
        wrapped = _object({"url": url, "detail": {}}, optional=("detail",))
        kind = f"{name}_url"
        found.append(_object({"type": {"const": kind}, kind: {"anyOf": [url, wrapped]}}))
    return found


def _input(served: Served, limits: Limits) -> Schema:
    text = _text(limits)
    texts = [text, _object({"type": {"const": "text"}, "text": text})]
    most = limits.total_characters
    told = f"texts and files; all texts of a request have at most {most} characters together"
    return _one_or_several(told, [*texts, *_inputs(served.modalities)], limits)


def _one_or_several(what: str, one: list[Schema], limits: Limits) -> Schema:
    return {
        "description": f"{what}; what is not answered {limits.answer_s:g} s after it was sent is "
        "refused (413)",
        "anyOf": [*one, _list({"anyOf": one}, minItems=1, maxItems=limits.inputs)],
    }


def _model(name: str) -> Schema:
    return {"enum": [name, "", None], "description": "the model that is served"}


def _written_of(served: Served) -> tuple[str, ...]:
    """Modalities that captions are of, or could be."""
    return captions.MEDIA if served.captioner is None else served.captioner.modalities


def _captions(served: Served, limits: Limits) -> Schema:
    captioner = served.captioner
    groups = valor_items.GROUPS if captioner is None else captioner.groups
    usual = ", ".join(f"{beam} for a {kind}" for kind, beam in captions.USUAL_BEAM.items())
    question = {**_STRING, "minLength": 1, "maxLength": limits.characters, "pattern": _SAID}
    return {
        "input": _one_or_several("files", _inputs(_written_of(served)), limits),
        "model": _model("" if captioner is None else captioner.name),
        "group": {"enum": [*groups, None], "description": "by what the file has if left out"},
        "question": {
            **_null_or(question),
            "description": "what is answered; left out, captions are written. One of more tokens "
            "than the captioner reads is refused (413)",
        },
        "beam": {
            "enum": [*captions.BEAMS, None],
            "description": f"texts that are followed at a time (if left out: {usual})",
        },
    }


def _embeddings(served: Served, limits: Limits) -> Schema:
    return {
        "input": _input(served, limits),
        "model": _model(served.name),
        "encoding_format": {"enum": [*FORMATS, None], "default": FORMATS[0]},
        "dimensions": {"enum": [served.width, None], "description": "the model's own width"},
        "user": {**_null_or(_STRING), "description": "has no effect"},
    }


def _search(served: Served, limits: Limits) -> Schema:
    modality = {**_STRING, "enum": list(served.modalities)}
    return {
        "query": {**_null_or(_text(limits)), "description": "what to search by, beside `input`"},
        "input": {**_input(served, limits), "description": "what to search by"},
        "model": _model(served.name),
        "k": {
            **_null_or({"type": "integer"}),
            "minimum": 1,
            "maximum": limits.results,
            "default": RESULTS,
        },
        "by": {
            "enum": [*ranking.BY, None],
            "description": "what results are ranked by; left out, both where the store has "
            "captions and a text is sent, else vector",
        },
        "modality": {"anyOf": [modality, _list(modality), {"type": "null"}]},
        "under": {
            **_null_or(_STRING),
            "pattern": _FOLDER,
            "description": "folder that results lie in",
        },
        "after_s": _null_or(_NUMBER),
        "before_s": _null_or(_NUMBER),
    }


def _body(properties: Schema, modalities: Sequence[str], limits: Limits, *, texts: bool) -> Schema:
    """JSON, or a form with files under the names of their modalities.

    Args:
      properties: of the JSON.
      modalities: of files.
      limits: of requests.
      texts: whether `input` may be a text.
    """
    # what an item needs to be there: one of these
    given = [name for name in ("input", "query") if name in properties]
    files = _list({**_STRING, "format": "binary"}, minItems=1, maxItems=limits.inputs)
    form = {name: _of_form(schema) for name, schema in properties.items() if name != "input"}
    if texts:
        form["input"] = _list(_text(limits), minItems=1, maxItems=limits.inputs)
    form |= dict.fromkeys(modalities, files)

    def either(names: list[str]) -> Schema:
        # null, which `query` may be, is nothing
        is_there = {"query": {"properties": {"query": _STRING}}}
        return {"anyOf": [{"required": [name], **is_there.get(name, {})} for name in names]}

    json = _object(properties, tuple(properties), **either(given))
    in_form = [*(given if texts else ()), *modalities]
    parts = _object(form, tuple(form), **either(in_form))
    parts["description"] = f"its fields have at most {limits.inputs} texts and files together"
    content = {parsing.JSON: {"schema": json}, parsing.FORM: {"schema": parts}}
    return {"required": True, "content": content}


def _of_form(schema: Schema) -> Schema:
    """The same without null, which no form can say."""
    changed = dict(schema)
    if isinstance(schema.get("type"), list):
        changed["type"] = schema["type"][0]
    for key, is_null in (("enum", None), ("anyOf", {"type": "null"})):
        if key in schema:
            changed[key] = [one for one in schema[key] if one != is_null]
    return changed


def _ok(description: str, content_type: str, schema: Schema) -> Schema:
    return {"200": {"description": description, "content": {content_type: {"schema": schema}}}}


def _answers(served: Served, limits: Limits) -> dict[str, Schema]:
    """What a route answers when it does not refuse."""
    modality = {**_STRING, "enum": list(served.modalities)}
    width = {"minItems": served.width, "maxItems": served.width}
    vector = {"anyOf": [_list(_NUMBER, **width), {**_STRING, "contentEncoding": "base64"}]}
    embedding = _object(
        {
            "object": {"const": "embedding"},
            "index": _COUNT,
            "modality": {**_STRING, "enum": [*served.modalities, "text"]},
            "embedding": vector,
        }
    )
    moment = _object(
        {
            "object": {"const": "moment"},
            "path": _STRING,
            "modality": modality,
            "start_s": _null_or(_NUMBER),
            "end_s": _null_or(_NUMBER),
            "cosine": {**_NUMBER, "minimum": -1.001, "maximum": 1.001},
            "probability": {**_null_or(_NUMBER), "minimum": 0, "maximum": 1},
            "withheld": {**_null_or(_STRING), "description": "why there is no probability"},
            "caption": {**_null_or(_STRING), "description": "of a store that has captions"},
            "media": _STRING,
        }
    )
    about = {"object": {"const": "model"}, "created": _COUNT, "owned_by": _STRING}
    about |= {"modalities": _list(_STRING), "digest": _STRING}
    width_of = {"dimensions": {"const": served.width}, "family": {"const": served.family}}
    model = _object({"id": {"const": served.name}, **about, **width_of})
    captioner_name = "" if served.captioner is None else served.captioner.name
    if served.captioner is not None:
        groups = {"groups": _list(_STRING)}
        captioner = _object({"id": {"const": captioner_name}, **about, **groups})
        model = {"anyOf": [model, captioner]}
    listed = {"object": {"const": "list"}}
    usage = _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT})
    name = {"model": {"const": served.name}, "family": {"const": served.family}}
    rows = _list(embedding, minItems=1, maxItems=limits.inputs)
    vectors = _object({**listed, "data": rows, **name, "usage": usage})
    grouped = {"type": "boolean", "description": "whether each modality is ordered by itself"}
    found = _list(moment, maxItems=limits.results)
    by = {"enum": list(ranking.BY), "description": "what they are ranked by"}
    moments = _object({**listed, **name, "by": by, "grouped": grouped, "data": found})
    written = _object(
        {
            "object": {"enum": [captions.CAPTION, captions.ANSWER]},
            "index": _COUNT,
            "modality": {**_STRING, "enum": list(captions.MEDIA)},
            "group": {**_STRING, "enum": list(valor_items.GROUPS)},
            "text": _STRING,
        }
    )
    texts = _list(written, minItems=1, maxItems=limits.inputs)
    said = _object({**listed, "data": texts, "model": {"const": captioner_name}})
    whole = {"description": "the file", "content": {"*/*": {"schema": {}}}}
    part = {"description": "a range of its bytes", "content": {"*/*": {"schema": {}}}}
    return {
        "/v1/embeddings": _ok("vectors, in order", parsing.JSON, vectors),
        "/v1/search": _ok("moments, the best first", parsing.JSON, moments),
        "/v1/captions": _ok("captions or answers, in order", parsing.JSON, said),
        "/v1/models": _ok(
            "what is served", parsing.JSON, _object({**listed, "data": _list(model, minItems=1)})
        ),
        "/v1/models/{model}": _ok("one of them", parsing.JSON, model),
        "/healthz": _ok("it answers", parsing.JSON, _object({"status": {"const": "ok"}})),
        "/metrics": _ok("counters", metrics.CONTENT_TYPE.partition(";")[0], _STRING),
        "/media/{link}": {"200": whole, "206": part},
        "/media/{link}/thumbnail": _ok("a picture", "image/jpeg", {**_STRING, "format": "binary"}),
    }


def _refusals(codes: list[str]) -> Schema:
    """Answers in the form of OpenAI's errors, by status."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(REFUSALS[code][0], []).append(code)
    answers: Schema = {}
    for status, names in sorted(by_status.items()):
        error = _object(
            {
                "message": _STRING,
                "type": {**_STRING, "enum": sorted({REFUSALS[name][1] for name in names})},
                "param": _null_or(_STRING),
                "code": {**_STRING, "enum": names},
            }
        )
        content = {parsing.JSON: {"schema": _object({"error": error})}}
        answers[str(status)] = {"description": ", ".join(names), "content": content}
    return answers
