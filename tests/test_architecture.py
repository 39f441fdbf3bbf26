"""The rules of the house (CONTRIBUTING.md), read off the source with `ast`: no module is imported."""

import ast
import math
import statistics
from pathlib import Path

import pytest

import hearten

ROOT = Path(hearten.__file__).parent
STAGES = {"data", "collect", "augment", "annotate", "train", "align", "evaluate", "serve"}
MIDDLE = {"lm", "knowledge", "models", "safety", "web"}
DOORS = {"cli", "app", "demo", "doctor", "reproduce", "website", "__main__"}
BELOW = {
    "core": set(),
    "lm": {"core"},
    "knowledge": {"core", "lm"},
    "web": {"core"},
    "safety": {"core", "lm"},
    "models": {"core", "lm", "knowledge"},
} | {stage: {"core", *MIDDLE} for stage in STAGES}
"""Folder → what it may import besides itself."""
DEEP = {"torch", "transformers", "peft", "safetensors", "accelerate"}
DEEP_HOMES = {"lm", "models", "train", "align"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

FILES = sorted(ROOT.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
FUNCTIONS = [
    (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1)
    for path, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
]


def layer(path):
    """`core` for core/errors.py, `cli` for cli.py, `` for the package's own __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(tree, *, inside_functions=True, for_types=True):
    """Dotted names of everything a module imports, wherever the import stands."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            if node.module == "hearten":
                yield from (f"hearten.{alias.name}" for alias in node.names)
        entered = inside_functions or not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        )
        if entered:
            children = node.orelse if is_type_checking(node) and not for_types else ast.iter_child_nodes(node)
            waiting.extend(children)


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def test_imports_are_seen_wherever_they_stand():
    # the reader of these rules, tried on a text of which the answer is known
    source = (
        "import a\nfrom hearten import b\nif TYPE_CHECKING:\n    import c\nelse:\n    import d\n"
        "class X:\n    def f(self):\n        from e.g import h\n"
    )
    tree = ast.parse(source)
    assert set(imports(tree)) == {"a", "hearten", "hearten.b", "c", "d", "e.g"}
    assert set(imports(tree, inside_functions=False, for_types=False)) == {"a", "hearten", "hearten.b", "d"}


def test_every_folder_has_its_place_in_the_house():
    top = {layer(path) for path in FILES} - {""}
    assert top <= DOORS | set(BELOW), f"new at the top: {sorted(top - DOORS - set(BELOW))}"


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_imports_point_down(path):
    here = layer(path)
    if here in DOORS:
        return
    used = {name.split(".")[1] for name in imports(TREES[path]) if name.startswith("hearten.")}
    allowed = {here, "__version__", *BELOW.get(here, set())}
    assert used <= allowed, f"{here} may not import {sorted(used - allowed)}"


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_deep_learning_stays_where_it_belongs(path):
    here, tree = layer(path), TREES[path]
    if here in DEEP_HOMES:
        return
    tops_only = here == "knowledge"
    found = imports(tree, inside_functions=not tops_only, for_types=not tops_only)
    assert not DEEP & {name.split(".")[0] for name in found}


def test_no_module_is_a_drawer_for_everything():
    published = {"models/systems/misc.py"}  # MISC is the name of a system, not a drawer
    found = [name for path, name in zip(FILES, names(FILES), strict=True) if path.stem in FORBIDDEN_NAMES]
    assert set(found) <= published
    assert not [
        name for path, name in zip(FILES, names(FILES), strict=True) if path.parent.name in FORBIDDEN_NAMES
    ]


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_a_module_says_what_it_is(path):
    assert len(ast.get_docstring(TREES[path]) or "") > 20


def test_functions_are_read_at_a_glance():
    lengths = sorted(length for _, length in FUNCTIONS)
    too_long = [f"{name} ({length})" for name, length in FUNCTIONS if length > 60]
    assert not too_long, "none over 60 lines"
    assert statistics.median(lengths) <= 15
    assert lengths[math.ceil(0.9 * len(lengths)) - 1] <= 35, "nine in ten under 35"


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_has_its_door(stage):
    folder = ROOT / stage
    if not folder.is_dir():
        pytest.skip(f"{stage} is not built yet")
    assert (folder / "command.py").is_file()
    assert (folder / "__init__.py").is_file()
