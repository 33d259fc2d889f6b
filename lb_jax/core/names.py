"""File names as text that can be written down.

A name is bytes to the system. Python gives those that are not UTF-8 (old archives, shares of other
systems) as halves of surrogate pairs, one for each such byte, which opens the file and cannot be
written anywhere. `shown` writes them as `\\xe9`; what is printed goes the same way.
"""

import codecs
import sys

ERRORS = "lb_jax.names"  # error handler of encoders
_ESCAPED = range(0xDC80, 0xDD00)  # PEP 383: byte 0x80 is U+DC80


def shown(name: object) -> str:
    """A name, or a text with names in it, for people, lists and reports.

    Returns:
      The text itself where it can be written as UTF-8; otherwise with what cannot escaped.
    """
    return str(name).encode("utf-8", ERRORS).decode("utf-8")


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def make_printable() -> None:
    """Lets any name be printed: what the terminal or the pipe cannot take is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what tests and notebooks put there may not have it
            stream.reconfigure(errors=ERRORS)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(map(_escaped, found)), error.end


def _escaped(character: str) -> str:
    code = ord(character)
    if code in _ESCAPED:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(ERRORS, _escape)
