"""The commands that README and docs show, read from their text."""

import dataclasses
import itertools
import re
import shlex

from tests.goldens import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))
PROGRAMS = ("lb-jax", "make", "pip", "python", "bash", ".ci/run", ".ci/types")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
CHOICE = re.compile(r"[\w-]+(\|[\w-]+)+")
COMMENT = re.compile(r"\s+# .*$", re.MULTILINE)
SHELL = ("", "bash", "sh")  # languages of blocks that hold commands


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
      page: where it stands.
      text: as it stands there, without its comment.
      is_shown: in a block, to be typed as it is; others are named in a sentence or a table.
    """

    page: str
    text: str
    is_shown: bool

    @property
    def words(self) -> list[str]:
        """Its words, the program first; what may be left out is there, three dots are not."""
        text = re.sub(r"[\[\]](?=[\s-]|$)|(?<=\s)\[", " ", self.text)
        words = [re.sub(r"[…]$", "", word) for word in shlex.split(text)]
        program = words[0].removeprefix(".venv/bin/")
        return [program, *(word for word in words[1:] if word not in ("", "..."))]


def commands() -> list[Command]:
    """All of them, in the order of the pages, each text once."""
    found = {}
    for page in PAGES:
        for one in commands_of(page):
            found.setdefault(one.text, one)
    return list(found.values())


def commands_of(page: str) -> list[Command]:
    """Those of a page, first the shown ones in their order, each text once."""
    text = (ROOT / page).read_text("utf-8")
    found = {}
    for language, block in BLOCK.findall(text):
        if language in SHELL:
            for line in COMMENT.sub("", block.replace("\\\n", " ")).splitlines():
                found |= dict.fromkeys(spread(line.strip()), True)
    for span in SPAN.findall(BLOCK.sub("", text)):
        for one in spread(span):
            found.setdefault(one, False)
    return [Command(page, one, shown) for one, shown in found.items() if is_one(one)]


def is_one(text: str) -> bool:
    """Whether a text is a command, by its program."""
    return text.split(" ")[0].removeprefix(".venv/bin/") in PROGRAMS


def spread(text: str) -> list[str]:
    """A command for each of the alternatives `a|b`, which a table writes `a\\|b`."""
    text = text.replace("\\|", "|")
    choices = [word.split("|") if CHOICE.fullmatch(word) else [word] for word in text.split(" ")]
    return [" ".join(words) for words in itertools.product(*choices)]
