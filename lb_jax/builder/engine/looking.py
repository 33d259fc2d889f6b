"""What a process does with one film: one stage after the other, until one refuses it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lb_jax.builder import films
from lb_jax.builder.stage import ITEM, Verdict, Wants, bad
from lb_jax.builder.stages import STAGES, Planned
from lb_jax.core import errors
from lb_jax.media import given


@dataclasses.dataclass(frozen=True)
class Looks:
    """The stages that look at films, to be sent to other processes.

    Attributes:
      names: of the stages, in order.
      settings: of each, prepared.
      wants: of all together.
    """

    names: tuple[str, ...]
    settings: tuple[Any, ...]
    wants: Wants

    @classmethod
    def of(cls, plan: Sequence[Planned]) -> "Looks":
        """The looks of the stages of a plan that open films."""
        looking = [one for one in plan if one.wants is not None]
        wants = Wants()
        for one in looking:
            assert one.wants is not None  # those that do not are left out
            wants |= one.wants
        return cls(
            tuple(one.name for one in looking), tuple(one.prepared for one in looking), wants
        )

    def verdict(self, name: str, film: films.Film, batch: pa.RecordBatch) -> Verdict:
        """What a stage says of a film.

        Raises:
          DataError: the film cannot be used.
        """
        look = STAGES[name].look
        assert look is not None  # it is one that looks
        return look(batch, [film], self.settings[self.names.index(name)])[0]

    def goes_on(self, name: str, verdict: Verdict) -> bool:
        """Whether the stages behind are asked too; what is not said yet is no refusal."""
        return verdict.kept is True or STAGES[name].judge is not None

    def all(self, media: given.Media, path: str, names: Sequence[str]) -> list[tuple[str, Verdict]]:
        """What stages say of a film, up to the first that refuses it."""
        found: list[tuple[str, Verdict]] = []
        with films.Film(media, path, self.wants) as film:
            for name in names:
                try:
                    verdict = self.verdict(name, film, batch_of(path))
                except errors.DataError as error:
                    verdict = bad(error)
                found.append((name, verdict))
                if not self.goes_on(name, verdict) or verdict.kept is None:
                    break
        return found


def batch_of(path: str) -> pa.RecordBatch:
    """A row of `ITEM` for a film of which its place alone is known."""
    return pa.RecordBatch.from_pylist([{"file": path}], schema=ITEM)
