"""What compiled loops do without the GIL: the C that mypyc makes of them has no Python object in it.

A conditional expression, min(), or a constant of more than 62 bits makes an int object there, which another
thread does at the same time: memory is corrupted, sooner or later. The sources do not show it; the C does.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import intermodal

ROOT = Path(__file__).parents[1]
WORDS = ROOT / "core" / "intermodal" / "words.py"
#: Where techniques define what the loops call.
TECHNIQUES = sorted(ROOT.glob("plugins/intermodal_*/_words.py"))
#: Methods of techniques that are called with the GIL.
WITH_GIL = {"__init__", "twin", "check"}
#: What is made of an operation on objects.
OBJECTS = re.compile(r"\b(CPyTagged\w*|CPy_(?:X?INCREF|X?DECREF)\w*|CPyStatics|PyLong_\w+|PyObject_\w+)\b")

pytestmark = pytest.mark.skipif(
    not intermodal.__compiled__ or bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="the C is the same on every compiled build: once is enough",
)


def called_by(node):
    """Return the names of the functions that a function calls, methods apart."""
    calls = (each.func for each in ast.walk(node) if isinstance(each, ast.Call))
    return {each.id for each in calls if isinstance(each, ast.Name)}


def functions_without_gil():
    """Return the functions that have a section without the GIL, and those of the module that they call."""
    tree = ast.parse(WORDS.read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    loops = {name for name, node in functions.items() if "gil_release" in called_by(node)}
    return loops | set().union(*(called_by(functions[name]) for name in loops)) & set(functions)


def methods_of(technique):
    """Return the methods of the tables of a technique that are called without the GIL, and all that they call."""
    tree = ast.parse(technique.read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    found = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and "WordTable" in {ast.unparse(base) for base in node.bases}:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name not in WITH_GIL:
                    found |= {f"{node.name}___{method.name}", *called_by(method)}
    more = found & set(functions)
    while more:
        more = set().union(*(called_by(functions[name]) for name in more)) - found
        found |= more
        more &= set(functions)
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    own = {
        each.name for node in imports if (node.module or "").startswith("intermodal_") for each in node.names
    }
    # Other modules of the package may have functions, and other classes methods, of the same names.
    return {f"_words___{name}" for name in found & set(functions)} | {
        name for name in found if "___" in name or name in own
    }


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The C of each function, by package and name."""
    folder = tmp_path_factory.mktemp("generated")
    script = (ROOT / "setup.py").read_text(encoding="utf-8").replace("__file__", repr(str(ROOT / "setup.py")))
    (folder / "generate.py").write_text(re.sub(r"(?m)^setup\(.*\)$", "mypycify(COMPILED)", script))
    for name in ("core", "plugins"):
        (folder / name).symlink_to(ROOT / name)
    subprocess.run([sys.executable, "generate.py"], cwd=folder, check=True, timeout=300)
    found = {}
    for path in (folder / "build").glob("*/__native__native.c"):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"(?ms)^[^\n;]*\bCPyDef_(\w+)\([^;{]*\)\s*\{.*?^\}", text):
            found[path.parent.name, match[1]] = match[0]
    return found


def objects_in(generated, package, name):
    """Return what a function does with objects; in C its name ends with its own."""
    own = re.compile(rf"(?<!_)___{name}$")  # not the method _compare_exchange for compare_exchange
    bodies = [body for (of, full), body in generated.items() if of == package and own.search(full)]
    return {word for body in bodies for word in OBJECTS.findall(body)}


def test_the_loops_over_arrays_touch_no_object(generated):
    """Nor what they call in their own module."""
    names = functions_without_gil()
    assert {"get_range", "write_range", "take_range", "move_range"} <= names
    for name in {*names, "WordTable___move", "move_words", "count_of", "same", "take_lock", "release_lock"}:
        assert objects_in(generated, "intermodal", name) == set(), name
    assert objects_in(generated, "intermodal", "write_piece"), "the search finds objects where there are some"


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda path: path.parent.name)
def test_what_a_technique_does_for_them_touches_none(generated, technique):
    """Find, place, take out, move: all of it."""
    names = methods_of(technique)
    assert len(names) > 8
    for name in names:
        assert objects_in(generated, technique.parent.name, name) == set(), name
