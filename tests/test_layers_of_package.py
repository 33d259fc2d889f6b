"""The house plan: each layer imports only layers below it, and what reads media never needs jax."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Lowest first; what a layer may import besides itself. Single files in lb_jax/ and the
# `__main__.py` of a layer are entry points of the program and belong to cli.
LAYERS = {
    "core": (),
    "objectives": (),
    "models": ("core",),
    "data": ("core",),
    "convert": ("core", "models"),
    "evaluation": ("core", "data"),
    "training": ("core", "objectives", "models", "data", "convert", "evaluation"),
    "inference": ("core", "models", "data", "convert", "evaluation", "training"),
    "demo": ("core", "data"),
    "configs": ("core", "models", "data", "training"),
    "cli": ("core", "data", "convert", "training", "evaluation", "inference", "demo"),
}

# Layers that run without an accelerator's software: decoding workers, tables, the corpus writer.
WITHOUT_JAX = ("core", "data", "evaluation", "demo", "cli")
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}
# Tools of the tests and benchmarks; the package installs and runs without them.
NEVER = {"torch", "torchvision", "transformers", "open_clip", "tensorflow"}

# Grain brings jax with it, so the pipeline is the one module of `data` that workers must not load.
WORKER = """
import importlib, pkgutil, sys
import lb_jax, lb_jax.data
names = [one.name for one in pkgutil.iter_modules(lb_jax.data.__path__) if one.name != "pipeline"]
for name in names:
    importlib.import_module(f"lb_jax.data.{name}")
from lb_jax import cli
from lb_jax.cli import main
for name in ("embed", "evaluate", "demo"):
    importlib.import_module(main.COMMANDS[name][0])
from lb_jax.demo import corpus
print(len(names), sorted({"jax", "jaxlib", "flax", "orbax"} & set(sys.modules)))
"""


def module_name(path: Path) -> str:
    """The import name, such as `lb_jax.convert.rules` for `convert/rules.py`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "lb_jax" else ("lb_jax", *parts))


def layer_of(module: str) -> str:
    """The layer a module belongs to."""
    parts = module.split(".")
    entry = (len(parts) < 3 and parts[-1] not in LAYERS) or parts[-1] == "__main__"
    return "cli" if entry else parts[1]


def imported(source: str, package: str) -> list[tuple[str, bool]]:
    """Every import in the source, with whether it runs when the module is loaded.

    Args:
      source: the text of a module.
      package: what its relative imports start from, such as `lb_jax.data`.

    Returns:
      (full dotted name, at module level); `from lb_jax import data` gives `lb_jax.data`.
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


def problems(layer: str, source: str, package: str) -> list[str]:
    """What a module of a layer imports and must not."""
    allowed, wrong = {layer, *LAYERS[layer]}, []
    for name, at_load in imported(source, package):
        top = name.split(".")[0]
        target = layer_of(name) if top == "lb_jax" and name.count(".") else None
        if target is not None and target not in allowed:
            wrong.append(f"{name}: {layer} may import {', '.join(sorted(allowed))}")
        if top in JAX and layer in WITHOUT_JAX:
            wrong.append(f"{name}: {layer} does without jax")
        if top in NEVER:
            wrong.append(f"{name}: no part of the package needs {top}")
        if layer == "cli" and at_load and target not in (None, "core", "cli"):
            wrong.append(f"{name}: a command imports it inside the function that needs it")
    return wrong


MODULES = sorted(
    path for top in ("lb_jax", "convert", "configs") for path in ROOT.glob(f"{top}/**/*.py")
)


def test_table_is_an_order():
    above = set(LAYERS)
    for layer, allowed in LAYERS.items():
        assert not above & set(allowed), f"{layer} may not import a layer that stands later"
        above.discard(layer)


def test_every_folder_has_its_row():
    folders = {path.parent.name for path in ROOT.glob("lb_jax/*/__init__.py")}
    assert folders | {"convert", "configs"} == set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_module_imports_only_layers_below(path):
    module = module_name(path)
    package = (
        module.removesuffix(".__init__") if path.stem == "__init__" else module.rpartition(".")[0]
    )
    assert (
        problems(layer_of(module.removesuffix(".__init__")), path.read_text("utf-8"), package) == []
    )


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        ("core", "from lb_jax.data import image"),
        ("core", "from lb_jax import data"),
        ("core", "import lb_jax.models.text"),
        ("data", "def f():\n    from lb_jax.models import lora"),
        ("data", "class C:\n    import jax.numpy as jnp"),
        ("data", "from ..training import loop"),
        ("models", "if True:\n    from lb_jax.objectives import contrastive"),
        ("demo", "def f():\n    import jax"),
        ("training", "from lb_jax.cli.main import main"),
        ("inference", "import torch"),
        ("cli", "from lb_jax.inference import api"),
    ],
)
def test_wrong_import_is_found(layer, source):
    assert len(problems(layer, source, f"lb_jax.{layer}")) == 1


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        ("data", "from lb_jax.core import errors\nfrom . import image\nimport numpy as np"),
        ("data", "import lb_jax"),
        ("training", "import jax\nfrom lb_jax.models import adapt"),
        ("cli", "def main():\n    from lb_jax.inference import api"),
    ],
)
def test_right_import_passes(layer, source):
    assert problems(layer, source, f"lb_jax.{layer}") == []


def test_decoding_and_command_lines_load_no_jax():
    done = subprocess.run(
        [sys.executable, "-c", WORKER], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    count, loaded = done.stdout.strip().split(" ", 1)
    assert int(count) >= 10
    assert loaded == "[]"
