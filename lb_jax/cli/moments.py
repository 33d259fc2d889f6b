"""Moments that a search found, as text: one list, or a block for each modality."""

import itertools
from collections.abc import Callable, Iterator, Sequence

NUMERIC = ("rank", "probability", "cosine")


def show(found: Sequence, clock: Callable[[float], str]) -> None:
    """Prints moments: drawn on a terminal, aligned plain lines anywhere else.

    Where scores of different modalities do not compare, each has a block and ranks of its own.

    Args:
      found: as `query.find` gives them.
      clock: writes seconds.
    """
    import rich.box
    import rich.console
    import rich.markup
    import rich.table

    from lb_jax.search import fits

    is_grouped = fits.is_grouped(found)
    calibrated = any(moment.probability is not None for moment in found)
    captioned = any(moment.caption is not None for moment in found)
    names = ["rank", *(["probability"] if calibrated else []), "cosine", "modality", "time", "file"]
    names += ["caption"] if captioned else []
    blocks = [
        list(_rows(block, clock, calibrated, captioned)) for block in _blocks(found, is_grouped)
    ]
    console = rich.console.Console()
    if not console.is_terminal:
        every = [row for block in blocks for row in block]
        widths = [max(map(len, column)) for column in zip(names, *every, strict=True)]
        for number, block in enumerate(blocks):
            for row in block if number else (names, *block):
                cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                print("  ".join(cells).rstrip())
            if number + 1 < len(blocks):
                print()
    else:
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
        for name in names:
            justify = "right" if name in NUMERIC else "left"
            folds = name in ("file", "caption")
            table.add_column(name, justify=justify, no_wrap=not folds, overflow="fold")
        for block in blocks:
            for row in block:
                table.add_row(*map(rich.markup.escape, row))
            table.add_section()
        console.print(table)
    if is_grouped:
        print("\na block for each modality: cosines of different ones do not compare")
    for reason in dict.fromkeys(one.withheld for one in found if one.withheld):
        print(f"no probability: {reason}")


def _blocks(found: Sequence, is_grouped: bool) -> list[list]:
    if not is_grouped:
        return [list(found)]
    return [list(block) for _, block in itertools.groupby(found, lambda one: one.modality)]


def _rows(
    block: Sequence, clock: Callable[[float], str], calibrated: bool, captioned: bool
) -> Iterator[list[str]]:
    for rank, moment in enumerate(block, 1):
        likely = "" if moment.probability is None else f"{moment.probability:.3f}"
        time = "" if moment.start_s is None else f"{clock(moment.start_s)}-{clock(moment.end_s)}"
        shown = [likely] if calibrated else []
        said = [moment.caption or ""] if captioned else []
        yield [str(rank), *shown, f"{moment.cosine:.3f}", moment.modality, time, moment.path, *said]
