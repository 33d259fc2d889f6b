"""From the body of a request to items; nothing in it is taken for a path, and no URL is fetched."""

import asyncio
import base64
import binascii
import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.serve.limits import Limits, Refusal
from lb_jax.serve.service import Item

JSON, FORM = "application/json", "multipart/form-data"
# What files may say that they are; browsers and clients guess by the file's name.
PART_TYPES = (
    *("image/", "video/", "audio/", "application/octet-stream", "application/ogg"),
    *("text/csv", "text/tab-separated-values", "application/vnd.ms-excel", "application/zip"),
    *("application/vnd.apache.parquet", "application/x-parquet", "application/x-npz"),
)
# Parts of a message as OpenAI's API has them, and their kin: type, and field of the URL -> modality
URL_PARTS = {f"{name}_url": name for name in MODALITIES}
UPLOADS_ONLY = (
    'media are taken as uploads only: form parts, {"type": "image", "data": "<base64>"}, or '
    '{"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}; no paths and no URLs '
    "to fetch"
)
TEXTS_ONLY = (
    "tokens are not taken, texts are, as every model has tokens of its own (of langchain's "
    "OpenAIEmbeddings with check_embedding_ctx_length=False)"
)
NO_FILE_NAME = re.compile(r"[/\\\0]")  # of a path
NAME_CHARACTERS = 80  # of a file name, in errors
DATA_URL = re.compile(r"data:[^,]{0,80};base64,", re.IGNORECASE)
MANY = ("modality",)  # fields that a form may have several times
OTHERS = 32  # fields of a form beside its texts


@dataclasses.dataclass(frozen=True)
class Fields:
    """The plain fields of a request.

    Attributes:
      values: by name.
      is_form: whether numbers are written as text.
    """

    values: dict[str, Any]
    is_form: bool = False


async def read(request: Request, limits: Limits) -> tuple[Fields, list[Item]]:
    """Reads a body: its plain fields, and its items in their order.

    JSON: the items are `input`: a string, an object of `_from_value`, or a list of them. Form: the
    items are the fields `input`, and files under the name of their modality.

    Raises:
      Refusal: for another content type, for what is compressed, for what cannot be read, and for
        what takes longer than sending and answering a request may.
    """
    seconds = limits.read_s + limits.answer_s
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, limits)
    except TimeoutError as error:
        raise Refusal(
            "too_much_work",
            f"The body is not read after {seconds:g} s; send fewer or smaller parts at once.",
        ) from error


async def _read(request: Request, limits: Limits) -> tuple[Fields, list[Item]]:
    packed = request.headers.get("content-encoding", "").strip().lower()
    if packed not in ("", "identity"):
        raise Refusal(
            "unsupported_content_type",
            f"The body is compressed ({_shown(packed)}); send it without Content-Encoding.",
        )
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given == JSON:
        return _from_json(await request.body(), limits)
    if given == FORM:
        return await _from_form(request, limits)
    raise Refusal(
        "unsupported_content_type",
        f"The content type is {_shown(given) if given else 'missing'}; expected {JSON} or {FORM}.",
    )


def _from_json(body: bytes, limits: Limits) -> tuple[Fields, list[Item]]:
    try:
        fields = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal("bad_request", f"The body is no JSON: {str(error)[:120]}.") from error
    if not isinstance(fields, dict):
        raise Refusal("bad_request", 'The body is no JSON object; expected {"input": …}.')
    given = fields.pop("input", [])
    given = given if isinstance(given, list) else [given]
    if any(type(one) in (int, float) for one in given):
        raise _wrong(f"input holds numbers; {TEXTS_ONLY}.")
    _check_count(len(given), limits, "inputs")
    return Fields(fields), [_from_value(one, f"input {place}") for place, one in enumerate(given)]


def _no_constant(name: str) -> NoReturn:
    """Python's own reader takes `NaN` and `Infinity`, which are no JSON (RFC 8259)."""
    raise ValueError(f"it holds {name}")


def _from_value(value: Any, name: str) -> Item:
    """A text, a file as base64, or a part of a message as OpenAI's API has it."""
    if isinstance(value, str):
        if DATA_URL.match(value):
            raise _wrong(f"{name} is a data URL and no text; {UPLOADS_ONLY}.")
        return Item(TEXT, value, name)
    if not isinstance(value, dict):
        raise _wrong(
            f"{name} is of type {type(value).__name__}; expected a string or an object: "
            f"{TEXTS_ONLY}."
        )
    match value:
        case {"type": "text", "text": str(text), **rest} if not rest:
            return Item(TEXT, text, name)
        case {"type": str(modality), "data": str(data), **rest} if (
            modality in MODALITIES and not rest
        ):
            name = f"{name} ({modality})"
            is_url = data[:5].lower() == "data:"
            return Item(modality, (_from_url if is_url else _from_base64)(data, name), name)
        case {"type": str(kind), **rest} if kind in URL_PARTS and rest.keys() == {kind}:
            name = f"{name} ({kind})"
            match rest[kind]:  # `detail` is how closely OpenAI's models look at it
                case str(url):
                    return Item(URL_PARTS[kind], _from_url(url, name), name)
                case {"url": str(url), **more} if more.keys() <= {"detail"}:
                    return Item(URL_PARTS[kind], _from_url(url, name), name)
    raise _wrong(
        f"{name} has the fields {_shown(', '.join(value))} with type "
        f"{_shown(value.get('type'))}; {UPLOADS_ONLY}. Types: {', '.join(MODALITIES)}."
    )


def _from_url(url: str, name: str) -> bytes:
    """The content of a data URL (RFC 2397)."""
    head, comma, data = url.partition(",")
    scheme, _, kind = head.partition(":")
    if scheme.lower() != "data" or not comma:
        raise _wrong(f"{name}: its URL is {_shown(url)}, which is not fetched; {UPLOADS_ONLY}.")
    kind, *parameters = kind.lower().split(";")
    if "base64" not in parameters[-1:]:
        raise _wrong(
            f"{name}: its data URL begins with {_shown(head)}; expected data:TYPE;base64,DATA."
        )
    _check_type(kind, name)
    return _from_base64(data, name)


def _from_base64(data: str, name: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(f"{name}: its data are no base64: {error}.") from error


async def _from_form(request: Request, limits: Limits) -> tuple[Fields, list[Item]]:
    try:
        form = await request.form(
            max_files=limits.inputs,  # of all fields, refused before another is held
            max_fields=limits.inputs + OTHERS,
            max_part_size=4 * limits.characters,
        )
    except HTTPException as error:  # starlette's word for a damaged form
        told = str(error.detail).rstrip(".")
        raise Refusal("bad_request", f"The form cannot be read: {told}.") from error
    fields: dict[str, Any] = {}
    items: list[Item] = []
    for key, value in form.multi_items():
        if isinstance(value, UploadFile):
            items.append(await _from_part(key, value, len(items)))
        elif key == "input":
            items.append(Item(TEXT, value, f"input {len(items)}"))
        elif key in MODALITIES:
            raise _wrong(f"The field {key} holds no file; {UPLOADS_ONLY}.", key)
        elif key in MANY:
            fields.setdefault(key, []).append(value)
        elif key in fields:
            raise _wrong(f"The field {_shown(key)} is there twice; give it once.", key)
        else:
            fields[key] = value
    _check_count(len(items), limits, "inputs")
    return Fields(fields, is_form=True), items


async def _from_part(key: str, part: UploadFile, place: int) -> Item:
    name = f"input {place} ({key}, {_shown(part.filename or '')})"
    if key not in MODALITIES:
        raise _wrong(
            f"{name}: a file's field is its modality; expected one of {', '.join(MODALITIES)}.", key
        )
    if NO_FILE_NAME.search(part.filename or ""):  # no client sends one, and nobody needs it
        raise _wrong(f"{name}: its name is a path; give the name of the file alone.", key)
    _check_type((part.content_type or "").partition(";")[0].strip().lower(), name)
    return Item(key, await part.read(), name)


def _check_type(kind: str, name: str) -> None:
    if kind and not kind.startswith(PART_TYPES):
        raise Refusal(
            "unsupported_content_type",
            f"{name}: its content type is {_shown(kind)}; expected image/…, video/…, audio/… or "
            "application/octet-stream.",
            "input",
        )


def only(fields: Fields, known: Sequence[str]) -> None:
    """Checks the names of the fields.

    Raises:
      Refusal: there is another one.
    """
    for name in sorted(fields.values.keys() - set(known)):
        raise _wrong(f"There is no field {_shown(name)}; expected {', '.join(known)}.", name)


def number(fields: Fields, name: str, kind: type = float) -> Any:
    """A number out of JSON or of a form; None when it is not there.

    Raises:
      Refusal: it is no finite number of the kind.
    """
    value = fields.values.get(name)
    if value is None:
        return None
    try:
        if isinstance(value, bool) or isinstance(value, str) != fields.is_form:
            raise ValueError
        found = kind(value)
        if found != found or found in (float("inf"), float("-inf")) or found != float(value):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        what = "whole number" if kind is int else "number"
        raise _wrong(f"{name} is {_shown(value)}; expected a {what}.", name) from error
    return found


def word(fields: Fields, name: str, usual: str | None = None) -> str | None:
    """A string out of the fields; `usual` when it is not there, or null.

    Raises:
      Refusal: it is something else.
    """
    value = fields.values.get(name)
    if value is None:
        return usual
    if not isinstance(value, str):
        raise _wrong(f"{name} is {_shown(value)}; expected a string.", name)
    return value


def words(fields: Fields, name: str) -> tuple[str, ...]:
    """Strings out of the fields: none, one or a list of them.

    Raises:
      Refusal: it is something else.
    """
    value = fields.values.get(name)
    found = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in found):
        raise _wrong(f"{name} is {_shown(value)}; expected a string or a list of strings.", name)
    return tuple(found)


def _check_count(found: int, limits: Limits, what: str) -> None:
    if found > limits.inputs:
        raise _wrong(
            f"The request has {found} {what}, expected at most {limits.inputs}; send several."
        )


def _wrong(message: str, param: str = "input") -> Refusal:
    # a name may be any text, and the answer is UTF-8
    return Refusal("bad_request", message, param.encode(errors="replace").decode())


def _shown(value: object) -> str:
    return repr(str(value)[:NAME_CHARACTERS])
