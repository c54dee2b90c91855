"""Builds plugins as their authors' users would, with pip, once for each set of options."""

from __future__ import annotations

import functools
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import intermodal
from helpers.compiler import compiler
from intermodal.testing.threads import PATIENCE

SOURCE = Path(__file__).parents[1] / "sample_plugin"


def environment(**options):
    """Return this process's environment for a subprocess, with INTERMODAL_PURE as intermodal itself runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERMODAL_")}
    if not intermodal.__compiled__:
        kept["INTERMODAL_PURE"] = "1"
    return {**kept, **options}


@functools.cache
def build(folder, source=SOURCE, **options):
    """Install the plugin of *source* into a new folder in *folder*, built with *options* in the environment."""
    if intermodal.__compiled__ and compiler() is None:
        pytest.skip("no C compiler: a plugin cannot be built")
    folder = Path(tempfile.mkdtemp(dir=folder, prefix="plugin-"))
    source = shutil.copytree(
        source, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "*.so")
    )
    temporary = folder / "tmp"
    temporary.mkdir()
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index"]
    command += ["--no-build-isolation", "--no-deps", "--target", str(target), str(source)]
    done = subprocess.run(
        command,
        env=environment(TMPDIR=str(temporary), **options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"the plugin does not build:\n{done.stdout}"
    return target


def import_from(folder, name):
    """Import module *name* from *folder* without leaving the folder, whose plugin it is, on the path."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def run(folder, code, **options):
    """Run *code* in a new interpreter that finds the plugin in *folder*."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment(PYTHONPATH=str(folder), **options),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def pytest_in(folder, *arguments, **options):
    """Run pytest in a process of its own, and return its outcome: test -> passed, failed or skipped."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    command += [f"--junitxml={report}", "-o", "junit_family=xunit2", *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=10 * PATIENCE,
    )
    assert report.exists(), done.stdout
    outcomes = {}
    for case in ET.parse(report).iter("testcase"):
        concept = case.get("classname").rpartition(".")[2]
        outcome = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcomes[case.get("classname"), f"{concept}::{case.get('name')}"] = outcome or {"passed"}
    return outcomes, done.stdout
