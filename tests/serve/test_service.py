"""Work that takes longer than a request may."""

import asyncio
import types

import pytest

from lb_jax.media import specs
from lb_jax.serve import limits, service
from lb_jax.text import readers

ITEMS = [service.Item("image", b"a picture", "input 0"), service.Item("text", "a cat", "input 1")]


class Endless:
    """A pool of decoders, or an engine, that never answers."""

    def __init__(self, is_alive=True):
        self.is_alive, self.waiting, self.restarts, self.ended = is_alive, 0, 0, 0
        self.unavailable = limits.Refusal("engine_unavailable", "gone")

    async def run(self, job):
        """Waits until it is cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1

    embed = run


def ask(items, is_alive, answer_s=0.2):
    """The code of a refusal, and the pool and the service that gave it."""
    pool = Endless()
    served = types.SimpleNamespace(
        specs={name: specs.preset(name) for name in ("image", "text")},
        reader=readers.Pieces(specs.preset("text")),
    )
    bounds = limits.Limits(answer_s=answer_s)
    made = service.Service(Endless(is_alive), pool, served, bounds, None)
    with pytest.raises(limits.Refusal) as told:
        asyncio.run(made.embed(items))
    return told.value, pool, made


@pytest.mark.parametrize("items", [ITEMS[:1] * 2000, ITEMS[1:]])
def test_what_takes_too_long_is_refused_and_given_up(items):
    refusal, pool, made = ask(items, is_alive=True)
    assert (refusal.code, refusal.status, refusal.param) == ("too_much_work", 413, "input")
    assert "send fewer or shorter inputs" in refusal.message
    assert made.admission.items == 0
    assert pool.ended == sum(item.modality == "image" for item in items[: limits.PORTION])


def test_long_texts_are_given_up_between_each_other():
    refusal, _, made = ask(ITEMS[1:] * 10, is_alive=True, answer_s=0.0)
    assert refusal.code == "too_much_work"
    assert made.admission.items == 0


def test_an_engine_that_ended_is_told_as_such():
    refusal, _, _ = ask(ITEMS, is_alive=False)
    assert refusal.code == "engine_unavailable"
