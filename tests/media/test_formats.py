"""Each row of the table of formats in docs/media.md is run: it is read, or refused in its words."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from lb_jax.core import errors, modalities, notices
from lb_jax.media import preprocess
from tests.media import formats

PAGE = Path(__file__).parents[2] / "docs" / "media.md"
# | modality | `file` | what becomes of it |
NAMES = "|".join(modalities.MODALITIES)
ROW = re.compile(rf"^\| ({NAMES}) \| `([^`]+)`[^|]* \| ([^|]+) \|$", re.M)
TABLE = {name: (modality, told) for modality, name, told in ROW.findall(PAGE.read_text("utf-8"))}


def test_the_table_has_every_file_once():
    assert len(TABLE) == len(ROW.findall(PAGE.read_text("utf-8")))
    files = {name: modality for name, (modality, *_) in (formats.FILES | formats.REFUSED).items()}
    assert {name: modality for name, (modality, _) in TABLE.items()} == files


@pytest.mark.parametrize("name", formats.FILES)
def test_what_the_table_says_is_read_is_read(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "dji_thermal_cli", None)  # it knows real cameras only
    modality, told = TABLE[name]
    assert told.startswith("read")
    with notices.collected() as warned:
        array = preprocess.preprocess(modality, formats.whole(name))
    assert np.isfinite(array).all()
    assert ("warning" in told) == bool(warned)


@pytest.mark.parametrize("name", formats.REFUSED)
def test_what_the_table_says_is_refused_is_refused(name):
    modality, make, words = formats.REFUSED[name]
    assert TABLE[name][1].startswith("refused: ")
    with pytest.raises(errors.DataError, match=re.escape(words)):
        preprocess.preprocess(modality, make())
