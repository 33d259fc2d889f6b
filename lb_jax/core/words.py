"""Numbers in sentences: `1 file`, `2 files`."""

IRREGULAR = {"class": "classes", "query": "queries"}


def counted(count: int, what: str) -> str:
    """A number with its noun: 1 file, 0 files, 12 bad rows.

    Args:
      count: how many.
      what: the noun for one; words before it stay (`bad file`).
    """
    return f"{count} {noun(count, what)}"


def noun(count: int, what: str) -> str:
    """The noun alone, for a number that is written otherwise."""
    before, space, last = what.rpartition(" ")
    return what if count == 1 else f"{before}{space}{IRREGULAR.get(last, f'{last}s')}"
