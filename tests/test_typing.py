"""What type checkers are told is true: of the sources, of the public stub, and of code that uses it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import sample

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed"),
    pytest.mark.skipif(
        importlib.util.find_spec("ast_serialize") is None,
        reason="mypy's native parser has no wheel for this Python, and without it a check takes minutes",
    ),
]


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """A function that runs mypy, or a module of it, and returns the output if that objects."""
    cache = tmp_path_factory.mktemp("mypy-cache")

    def check(*arguments, module="mypy", folder=ROOT, **environment):
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=folder,
            env={**sample.environment(), "MYPY_CACHE_DIR": str(cache / folder.name), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout if done.returncode else ""

    return check


def test_the_sources_are_strictly_typed(check, tmp_path):
    """As they are compiled: against maps.py, whose place maps.pyi takes for everybody else."""
    folders = [name for name in ("core", "plugins", "contrib") if any((ROOT / name).rglob("*.py"))]
    for name in folders:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("maps.pyi", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    packages = [
        path.parent.name for name in folders for path in tmp_path.glob(f"{name}/intermodal*/__init__.py")
    ]
    assert len(packages) > 2
    selected = [argument for package in packages for argument in ("-p", package)]
    assert check("--strict", *selected, folder=tmp_path) == ""


def test_users_code_is_checked_as_the_documentation_says(check):
    """Parameters, overloads, narrowing by ABSENT; and the mistakes, each of which has to be found."""
    assert check("--strict", "tests/typing/user_code.py") == ""


def test_a_third_partys_plugin_is_strictly_typed(check):
    """The sample, by the public names that it uses."""
    sources = sample.SOURCE / "src"
    modules = sorted(sources.rglob("*.py"))
    assert len(modules) > 3
    assert check("--strict", *modules, MYPYPATH=str(sources)) == ""


#: What the stub says differently on purpose.
DIFFERENCES = r"""
# In the stub the class is Generic, which brings it.
intermodal\.maps\.ConcurrentMap\.__class_getitem__
# Its default is a sentinel that no caller passes: there are overloads with and without the parameter.
intermodal\.maps\.ConcurrentMap\.pop
"""


def test_the_public_stub_matches_the_class(check, tmp_path):
    """Same names, same parameters, same defaults as the sources have, uncompiled."""
    allowed = tmp_path / "differences"
    allowed.write_text(DIFFERENCES)
    folders = os.pathsep.join(str(ROOT / name) for name in ("core", "plugins"))
    arguments = ("intermodal.maps", "--mypy-config-file", "pyproject.toml", "--allowlist", allowed)
    paths = {"PYTHONPATH": folders, "MYPYPATH": folders, "INTERMODAL_PURE": "1"}
    assert check(*arguments, module="mypy.stubtest", **paths) == ""
