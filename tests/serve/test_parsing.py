"""Bodies with more inputs, and bodies that take longer to read, than a request may."""

import asyncio

import httpx
import pytest
from starlette.requests import Request

from lb_jax.serve import limits, parsing


class Slow:
    """A request whose body never ends."""

    def __init__(self, kind):
        self.headers, self.ended = {"content-type": kind}, False

    async def body(self, **bounds):
        """Waits until it is cancelled."""
        del bounds
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    form = body


@pytest.mark.parametrize("kind", [parsing.FORM, parsing.JSON])
def test_reading_that_takes_too_long_is_given_up(kind):
    request = Slow(kind)
    with pytest.raises(limits.Refusal, match="is not read after 0 s") as told:
        asyncio.run(parsing.read(request, limits.Limits(read_s=0.0, answer_s=0.0)))
    assert (told.value.code, told.value.status) == ("too_much_work", 413)
    assert request.ended


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (["image", "audio", "image", "audio"], "Too many files. Maximum number of files is 3."),
        (["image", "input", "audio", "input"], "has 4 inputs, expected at most 3"),
    ],
)
def test_inputs_of_all_fields_are_counted_together(fields, says):
    def read(fields):
        parts = [(name, (None if name == "input" else "a.bin", b"a")) for name in fields]
        sent = httpx.Request("POST", "http://localhost/", files=parts)

        async def receive():
            return {"type": "http.request", "body": sent.read()}

        scope = {"type": "http", "app": None}  # as within one: refusals by status
        scope["headers"] = [(name.lower(), value) for name, value in sent.headers.raw]
        return asyncio.run(parsing.read(Request(scope, receive), limits.Limits(inputs=3)))

    _, items = read(fields[:3])
    assert len(items) == 3
    with pytest.raises(limits.Refusal) as told:
        read(fields)
    assert says in told.value.message
    assert told.value.status == 400
