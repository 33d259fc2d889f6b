"""What LanceDB says is told in one sentence."""

import pytest

from lb_jax.core import errors
from lb_jax.search import failures


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            "lance error: LanceError(IO): Generic N/A error: Wrapped error: Not found: Wrapped "
            "error: Not found: /s/a.lance, /rustc/2d/core/src/result.rs:1896:29, /rustc/x.rs:1:2",
            "Not found: /s/a.lance",
        ),
        ("External error: it broke at /usr/.cargo/x/y.rs:4\nBacktrace:\n 0: foo", "it broke"),
        ("LanceError(IO): " + "long " * 99, ("long " * 32).strip() + "…"),
    ],
)
def test_reason_of_lancedb_is_one_sentence(told, reason):
    assert failures.sentence(told) == reason


def test_full_disk_is_told(uri):
    told = "disk is full; make room and run the same command"
    with pytest.raises(errors.DataError, match=told), failures.told(uri):
        raise RuntimeError("lance error: IO: No space left on device (os error 28), /x/a.rs:1")
