"""Numbers in sentences: `1 file`, `2 files`, `0:30`."""

IRREGULAR = {"class": "classes", "process": "processes", "query": "queries", "entry": "entries"}


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


def clock(time_s: float) -> str:
    """Writes a time as 0:30, 1:02:03 or 0:02.5."""
    tenths = round(time_s * 10)
    hours, minutes, rest = tenths // 36000, tenths // 600 % 60, tenths % 600
    told = f"{minutes:02}:" if hours else f"{minutes}:"
    told += f"{rest // 10:02}" + (f".{rest % 10}" if rest % 10 else "")
    return f"{hours}:{told}" if hours else told
