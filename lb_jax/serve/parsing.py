"""From the body of a request to items; nothing in it is taken for a path or a URL."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.serve.limits import Limits, Refusal
from lb_jax.serve.service import Item

JSON, FORM = "application/json", "multipart/form-data"
# What the parts of a form may say that they are; browsers and clients guess by the file's name.
PART_TYPES = ("image/", "video/", "audio/", "application/octet-stream", "application/ogg")
UPLOADS_ONLY = (
    'media are taken as uploads only: form parts, or {"type": "image", "data": "<base64>"}; no '
    "paths and no URLs"
)
NO_FILE_NAME = re.compile(r"[/\\\0]")  # of a path
NAME_CHARACTERS = 80  # of a file name, in errors


async def read(request: Request, limits: Limits) -> tuple[dict[str, Any], list[Item]]:
    """Reads a body: its plain fields, and its items in their order.

    JSON: the items are `input` (a string, or a list of strings and `{"type", "data"}`). Form: the
    items are the fields `input`, and files under the name of their modality.

    Raises:
      Refusal: for another content type, and for what cannot be read.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given == JSON:
        return _from_json(await request.body(), limits)
    if given == FORM:
        return await _from_form(request, limits)
    raise Refusal(
        "unsupported_content_type",
        f"The content type is {given or 'missing'}; expected {JSON} or {FORM}.",
    )


def _from_json(body: bytes, limits: Limits) -> tuple[dict[str, Any], list[Item]]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal("bad_request", f"The body is no JSON: {str(error)[:120]}.") from error
    if not isinstance(fields, dict):
        raise Refusal("bad_request", 'The body is no JSON object; expected {"input": …}.')
    given = fields.pop("input", [])
    given = given if isinstance(given, list) else [given]
    _check_count(sum(isinstance(one, str) for one in given), limits.texts, "texts")
    _check_count(sum(isinstance(one, dict) for one in given), limits.parts, "media")
    return fields, [_from_value(one, f"input {place}") for place, one in enumerate(given)]


def _from_value(value: Any, name: str) -> Item:
    if isinstance(value, str):
        return Item(TEXT, value, name)
    if not isinstance(value, dict):
        raise Refusal(
            "bad_request",
            f"{name} is of type {type(value).__name__}; expected a string or an object, as tokens "
            "are not taken, texts are.",
        )
    match value:
        case {"type": "text", "text": str(text), **rest} if not rest:
            return Item(TEXT, text, name)
        case {"type": str(modality), "data": str(data), **rest} if (
            modality in MODALITIES and not rest
        ):
            if data[:5].lower() == "data:":
                raise Refusal(
                    "bad_request",
                    f"{name}: its data are a data URL and no base64; give the base64 alone, which "
                    "follows the comma.",
                )
            try:
                content = base64.b64decode(data, validate=True)
            except (binascii.Error, ValueError) as error:
                raise Refusal("bad_request", f"{name}: its data are no base64: {error}.") from error
            return Item(modality, content, f"{name} ({modality})")
        case _:
            kinds = ", ".join(MODALITIES)
            raise Refusal(
                "bad_request",
                f"{name} has the fields {_shown(', '.join(value))} with type "
                f"{_shown(value.get('type'))}; {UPLOADS_ONLY}. Types: {kinds}.",
            )


async def _from_form(request: Request, limits: Limits) -> tuple[dict[str, Any], list[Item]]:
    try:
        form = await request.form(
            max_files=limits.parts,
            max_fields=limits.texts + 32,
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
            raise Refusal("bad_request", f"The field {key} holds no file; {UPLOADS_ONLY}.")
        elif key in fields:
            raise Refusal("bad_request", f"The field {_shown(key)} is there twice; give it once.")
        else:
            fields[key] = value
    _check_count(sum(item.modality == TEXT for item in items), limits.texts, "texts")
    return fields, items


async def _from_part(key: str, part: UploadFile, place: int) -> Item:
    name = f"input {place} ({key}, {_shown(part.filename or '')})"
    if key not in MODALITIES:
        raise Refusal(
            "bad_request",
            f"{name}: a file's field is its modality; expected one of {', '.join(MODALITIES)}.",
        )
    if NO_FILE_NAME.search(part.filename or ""):  # no client sends one, and nobody needs it
        raise Refusal(
            "bad_request", f"{name}: its name is a path; give the name of the file alone."
        )
    kind = (part.content_type or PART_TYPES[3]).partition(";")[0].strip().lower()
    if not kind.startswith(PART_TYPES):
        raise Refusal(
            "unsupported_content_type",
            f"{name}: its content type is {_shown(kind)}; expected image/…, video/…, audio/… or "
            "application/octet-stream.",
        )
    return Item(key, await part.read(), name)


def only(fields: Mapping[str, Any], known: Sequence[str]) -> None:
    """Checks the names of the fields.

    Raises:
      Refusal: there is another one.
    """
    for name in fields.keys() - set(known):
        raise Refusal(
            "bad_request", f"There is no field {_shown(name)}; expected {', '.join(known)}."
        )


def number(fields: Mapping[str, Any], name: str, kind: type = float) -> Any:
    """A number out of JSON or of a form; None when it is not there.

    Raises:
      Refusal: it is no finite number of the kind.
    """
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        found = kind(value)
        if found != found or found in (float("inf"), float("-inf")) or found != float(value):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        what = "whole number" if kind is int else "number"
        raise Refusal("bad_request", f"{name} is {_shown(value)}; expected a {what}.") from error
    return found


def word(fields: Mapping[str, Any], name: str, usual: str | None = None) -> str | None:
    """A string out of the fields; `usual` when it is not there, or null.

    Raises:
      Refusal: it is something else.
    """
    value = fields.get(name)
    if value is None:
        return usual
    if not isinstance(value, str):
        raise Refusal("bad_request", f"{name} is {_shown(value)}; expected a string.")
    return value


def _check_count(found: int, most: int, what: str) -> None:
    if found > most:
        raise Refusal("bad_request", f"The request has {found} {what}, expected at most {most}.")


def _shown(value: object) -> str:
    return repr(str(value)[:NAME_CHARACTERS])
