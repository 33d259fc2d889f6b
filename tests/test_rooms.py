"""The house plan: rooms import rooms below them, no file is in a circle, none is a drawer."""

import ast
import collections
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import lb_jax
from tests.goldens import ROOT

# Lowest first; what a room may import besides itself. Single files in lb_jax/ and the `__main__.py`
# of a room are entry points of the program and belong to cli.
MEDIA = ("core", "text", "media")
CORPORA = (*MEDIA, "corpora")
BELOW_TRAINING = ("core", "objectives", "models", *CORPORA[1:], "feed", "convert")
SCORED = (*CORPORA, "evaluation.metrics", "evaluation.benchmarks")
WORKING = (*BELOW_TRAINING, "training", *SCORED[4:], "evaluation")
ROOMS = {
    "core": (),
    "objectives": (),
    "models": ("core",),
    "text": ("core",),
    "media": ("core", "text"),
    "corpora": MEDIA,
    "feed": CORPORA,
    "convert": ("core", "models", "text"),
    "evaluation.metrics": ("core",),
    "training": (*BELOW_TRAINING, "evaluation.metrics"),
    "evaluation.benchmarks": (*CORPORA, "evaluation.metrics"),
    "evaluation": SCORED,
    "evaluation.reports": (*SCORED, "evaluation"),
    "inference": WORKING,
    "search": (*WORKING, "inference"),
    "serve": (*WORKING, "inference", "search"),
    "builder": (*WORKING, "evaluation.reports", "inference"),
    "demo": CORPORA,
    "configs": (*BELOW_TRAINING, "training", "builder"),
    "cli": (*WORKING, "evaluation.reports", "inference", "search", "serve", "demo", "builder"),
}

# Rooms that run without an accelerator's software: decoding workers, tables, the corpus writer.
WITHOUT_JAX = (*CORPORA, "evaluation.metrics", "evaluation.benchmarks", "evaluation", "demo", "cli")
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}
# Tools of the tests and benchmarks; the package installs and runs without them.
NEVER = {"torch", "torchvision", "transformers", "open_clip", "tensorflow"}

# Whatever of a room without jax is loaded, no module brings it by a third package.
WORKER = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for command in ("embed", "evaluate", "demo"):
    importlib.import_module(f"lb_jax.cli.{command}")
print(sorted({"jax", "jaxlib", "flax", "orbax"} & set(sys.modules)))
"""

MOST_LINES = 500
LINES_OF_ROOM = 10  # what a room says of itself


def module_name(path: Path) -> str:
    """The import name, such as `lb_jax.convert.rules` for `convert/rules.py`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "lb_jax" else ("lb_jax", *parts)).removesuffix(".__init__")


FILES = {
    module_name(path): path
    for top in ("lb_jax", "convert", "configs")
    for path in sorted(ROOT.glob(f"{top}/**/*.py"))
}
FOLDERS = {module_name(path.parent / "__init__.py") for path in FILES.values()} - {"lb_jax"}


def room_of(module: str) -> str:
    """The room a module belongs to: the innermost that has a row."""
    parts = module.split(".")[1:]
    if parts[-1:] == ["__main__"]:
        return "cli"
    for length in (2, 1):
        if ".".join(parts[:length]) in ROOMS:
            return ".".join(parts[:length])
    return "cli"


def imported(source: str, package: str) -> list[tuple[str, bool]]:
    """Every import in the source, with whether it runs when the module is loaded.

    Args:
      source: the text of a module.
      package: what its relative imports start from, such as `lb_jax.media`.

    Returns:
      (full dotted name, at module level); `from lb_jax import media` gives `lb_jax.media`.
    """
    tree = ast.parse(source)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    later = {id(n) for f in ast.walk(tree) if isinstance(f, functions) for n in ast.walk(f)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = ".".join([*(above if node.level else ()), *filter(None, [node.module])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [(name, id(node) not in later) for name in names]
    return found


def reached(source: str) -> list[str]:
    """What the source takes by a dot from what it imports, such as `lb_jax.media.specs.SPECS`.

    Relative imports are left out: they stay in the room, or `imported` tells of them.
    """
    tree, bound = ast.parse(source), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {a.asname: a.name for a in node.names if a.asname}
            bound |= {(top := a.name.split(".")[0]): top for a in node.names if not a.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            bound |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    dotted = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    parts = (name.partition(".") for name in dotted)
    return [f"{bound[first]}.{rest}" for first, _, rest in parts if first in bound]


def problems(room: str, source: str, package: str) -> list[str]:
    """What a module of a room imports and must not."""
    allowed, wrong = {room, *ROOMS[room]}, []
    for name in reached(source):
        last = name.rpartition(".")[2]
        if not name.startswith("lb_jax.") or last.startswith("__"):
            continue
        if last.startswith("_") and room_of(name) != room:
            wrong.append(f"{name}: the underscore says that it is for {room_of(name)} alone")
        if name.removeprefix("lb_jax.") in lb_jax.__all__ and room != "cli":
            wrong.append(f"{name}: the door of users; import the module behind it")
    for name, at_load in imported(source, package):
        top, ours = name.split(".")[0], name.startswith("lb_jax.")
        target = room_of(name) if ours else None
        if target is not None and target not in allowed:
            wrong.append(f"{name}: {room} may import {', '.join(sorted(allowed))}")
        if top in JAX and room in WITHOUT_JAX:
            wrong.append(f"{name}: {room} does without jax")
        if top in NEVER:
            wrong.append(f"{name}: no part of the package needs {top}")
        if room == "cli" and at_load and target not in (None, "core", "cli"):
            wrong.append(f"{name}: a command imports it inside the function that needs it")
        if target not in (None, room) and any(part.startswith("_") for part in name.split(".")):
            wrong.append(f"{name}: the underscore says that it is for {target} alone")
    return wrong


def package_of(module: str) -> str:
    """What relative imports of a module start from."""
    return module if FILES[module].stem == "__init__" else module.rpartition(".")[0]


def arrows() -> dict[str, set[str]]:
    """Module -> modules of the package that it imports, at load or later."""
    found = collections.defaultdict(set)
    for module, path in FILES.items():
        for name, _ in imported(path.read_text("utf-8"), package_of(module)):
            while name and name not in FILES:
                name = name.rpartition(".")[0]
            found[module] |= {name} - {"", "lb_jax", module}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules of a circle, the first also last; none without one."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_table_is_an_order():
    above = set(ROOMS)
    for room, allowed in ROOMS.items():
        assert not above & set(allowed), f"{room} may not import a room that stands later"
        above.discard(room)


def test_every_folder_is_in_a_room():
    assert {room for room in ROOMS if f"lb_jax.{room}" not in FOLDERS} == set()
    tops = {name.removeprefix("lb_jax.").split(".")[0] for name in FOLDERS}
    assert tops - set(ROOMS) == set()
    assert FOLDERS - set(FILES) == set(), "a folder without __init__.py is in no wheel"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room):
    said = ast.get_docstring(ast.parse(FILES[f"lb_jax.{room}"].read_text("utf-8")))
    assert len(said.splitlines()) <= LINES_OF_ROOM
    assert "May import" in said or "Imports nothing" in said
    assert "Read first: `" in said


@pytest.mark.parametrize("module", FILES)
def test_module_imports_only_rooms_below(module):
    source = FILES[module].read_text("utf-8")
    assert problems(room_of(module), source, package_of(module)) == []


def test_no_file_is_in_a_circle():
    assert circle(arrows()) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})


@pytest.mark.parametrize("module", FILES)
def test_no_file_is_a_drawer(module):
    assert len(FILES[module].read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("core", "from lb_jax.media import image"),
        ("core", "from lb_jax import media"),
        ("core", "import lb_jax.models.text"),
        ("text", "from lb_jax.media import specs"),
        ("media", "def f():\n    from lb_jax.models import lora"),
        ("media", "class C:\n    import jax.numpy as jnp"),
        ("media", "from ..training import loop"),
        ("media", "from lb_jax.text.tokenizer import _encode"),
        ("models", "if True:\n    from lb_jax.objectives import contrastive"),
        ("training", "from lb_jax.evaluation import evaluate"),
        ("evaluation.metrics", "from lb_jax.evaluation.benchmarks import table"),
        ("inference", "from lb_jax.search import store"),
        ("demo", "def f():\n    import jax"),
        ("media", "import lb_jax\nlb_jax.load('demo')"),
        ("serve", "from lb_jax.search import store\nstore._tables"),
        ("serve", "import lb_jax.search.store as s\ndef f():\n    return s.Store._open()"),
        ("training", "from lb_jax.cli.main import main"),
        ("inference", "import torch"),
        ("cli", "from lb_jax.inference import api"),
    ],
)
def test_wrong_import_is_found(room, source):
    assert len(problems(room, source, f"lb_jax.{room}")) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("media", "from lb_jax.core import errors\nfrom . import image\nimport numpy as np"),
        ("media", "import lb_jax"),
        ("training", "import jax\nfrom lb_jax.models import adapt"),
        ("training", "from lb_jax.evaluation.metrics import recall"),
        ("cli", "def main():\n    from lb_jax.inference import api"),
    ],
)
def test_right_import_passes(room, source):
    assert problems(room, source, f"lb_jax.{room}") == []


def test_decoding_and_command_lines_load_no_jax():
    rooms = [name for name in FILES if room_of(name) in WITHOUT_JAX and room_of(name) != "cli"]
    done = subprocess.run(
        [sys.executable, "-c", WORKER, *rooms],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
