"""In which steps stages are run, so that a film is opened once for all that look at it.

Stages of titles alone are run as they come. The first stage that looks at films brings all others
that do, whatever stands between them: what lies behind a comparison of all items is looked at
before that is known, and counts only for those that stay.
"""

import dataclasses
from collections.abc import Sequence

from lb_jax.builder.stages import Planned

ROWS, FILMS, COMPARE = "rows", "films", "compare"


@dataclasses.dataclass(frozen=True)
class Phase:
    """A step.

    Attributes:
      kind: `ROWS`, `FILMS` or `COMPARE`.
      stages: places in the plan.
    """

    kind: str
    stages: tuple[int, ...]


def of(plan: Sequence[Planned]) -> list[Phase]:
    """The steps of a plan, in order."""
    films = tuple(i for i, one in enumerate(plan) if one.wants is not None)
    found: list[Phase] = []
    for place, one in enumerate(plan):
        if place in films[:1]:
            found.append(Phase(FILMS, films))
        if one.wants is None and one.stage.look is not None:
            found.append(Phase(ROWS, (place,)))
        if one.stage.compare is not None:
            found.append(Phase(COMPARE, (place,)))
    return found
