"""What the pages show is there: imports of their programs, files and names that they point to."""

import ast
import re

import pytest

from tests.goldens import ROOT
from tests.test_rooms import FILES, ROOMS, imported

ARCHITECTURE = "docs/architecture.md"
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))
PLACES = (ROOT, ROOT / "docs", ROOT / "lb_jax")  # that paths on the pages start from
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PATH = re.compile(r"`((?:[\w.]+/)+(?:[\w.]+\.(?:py|md))?|[\w.]+\.py)`")
BRACKETS = re.compile(r"\(([^()]*)\)")
NAME = re.compile(r"`(\w+)`")
API = re.compile(r"^::: (\S+)$", re.MULTILINE)
ROOM = re.compile(r"^\| `([a-z.]+)` \|", re.MULTILINE)


def names_of(module):
    """What a module of the package defines or imports."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def is_there(name):
    """Whether a dotted name is a module of the package, or a name in one."""
    module, _, last = name.rpartition(".")
    return name in FILES or (module in FILES and last in names_of(module))


def files_of(line):
    """The files that a line names; one without a folder lies beside the one before it."""
    folder, found = "", []
    for path in PATH.findall(line):
        if "NAME" in path:
            continue
        path = path if "/" in path else f"{folder}/{path}"
        folder = path.rpartition("/")[0]
        there = [place / path for place in PLACES if (place / path).exists()]
        assert there, f"{path} is not there"
        found += there[0].glob("*.py") if there[0].is_dir() else there[:1]
    return found


PROGRAMS = [
    (page, program)
    for page in PAGES
    for program in PROGRAM.findall((ROOT / page).read_text("utf-8"))
]


@pytest.mark.parametrize(("page", "program"), PROGRAMS)
def test_what_a_program_of_a_page_imports_is_there(page, program):
    ours = [name for name, _ in imported(program, "") if name.startswith("lb_jax.")]
    assert [name for name in ours if not is_there(name)] == []


def test_modules_of_the_api_pages_are_there():
    told = [
        line for page in (ROOT / "docs/api").glob("*.md") for line in API.findall(page.read_text())
    ]
    assert [name for name in told if name != "lb_jax" and not is_there(name)] == []
    assert len(told) == len(set(told)) > len(ROOMS)


def test_the_rooms_of_the_page_are_those_of_the_plan():
    told = (ROOT / ARCHITECTURE).read_text("utf-8").partition("## From file to vector")[0]
    assert ROOM.findall(told) == list(ROOMS)


def test_what_is_added_is_added_where_the_page_says():
    told = (ROOT / ARCHITECTURE).read_text("utf-8").partition("## Where something is added")[2]
    count = 0
    for line in told.splitlines():
        texts = [file.read_text("utf-8") for file in files_of(line)]
        for name in (name for inside in BRACKETS.findall(line) for name in NAME.findall(inside)):
            assert any(re.search(rf"\b{name}\b", text) for text in texts), f"{name}: {line}"
            count += 1
    assert count > 30


def test_a_module_that_moved_is_found():
    assert is_there("lb_jax.core.errors.DataError")
    assert not is_there("lb_jax.core.errors.NoSuchError")
    assert not is_there("lb_jax.data.specs")
