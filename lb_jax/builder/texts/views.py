"""The caption kinds of VIDAL that stages write, and where (LanguageBind spec 8.5, 8.6)."""

from collections.abc import Mapping
from typing import Any

RAW = "raw"  # the title, which every item has
# Caption kind, which is the stage's name -> the column of the stage that holds it.
COLUMNS = {"mplug": "text", "polish_mplug": "text", "sound_mplug": "text", "ofa": "texts"}


def column(kind: str) -> str:
    """Where a kind stands in `export.table`."""
    return f"{kind}.{COLUMNS[kind]}"


def of(row: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Caption kind -> what an item has of it; a kind that it lacks is left out.

    Args:
      row: of `export.kept`.
    """
    return {RAW: row["title"]} | {kind: row[kind] for kind in COLUMNS if row.get(kind)}
