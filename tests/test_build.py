"""What plugin authors build with: its refusals, its flags, and what it leaves behind."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import sys
import sysconfig

import pytest
from helpers import sample

import intermodal
from intermodal import build

MODULE = """
from intermodal.atomics import RELAXED, load
from mypy_extensions import i64


def twice(address: i64) -> i64:
    return 2 * load(address, RELAXED)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with one module to compile, in which nothing of the environment asks for anything else."""
    for name in ("INTERMODAL_PURE", "INTERMODAL_DEBUG", "INTERMODAL_PORTABLE_MATCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(build, "COMPILED", True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "doubler.py").write_text(MODULE)
    return {"doubler": ["doubler.py"]}


@pytest.mark.parametrize("version", ["2.4.0", "2.4.1.post1", "3.0"])
def test_another_version_of_mypy_is_refused(project, monkeypatch, version):
    """The message says which is needed, which was found, and what to write where."""
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    with pytest.raises(RuntimeError) as caught:
        build.mypycify(project)
    for part in (
        f"mypy {build.MYPY_VERSION}",
        f"mypy {version}",
        f"mypy=={build.MYPY_VERSION}",
        "build-system",
    ):
        assert part in str(caught.value)


def test_no_mypy_at_all_is_refused_in_the_same_words(project, monkeypatch):
    """Rather than as a distribution that has no metadata."""

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(RuntimeError, match=rf"mypy=={build.MYPY_VERSION} into build-system\.requires"):
        build.mypycify(project)


@pytest.mark.parametrize(
    "source",
    [
        "from intermodal.plugins import ConcurrentMap\nclass Mine(ConcurrentMap): ...\n",
        "from intermodal.tables import Table as T\nclass Mine(T): ...\n",
        "import intermodal.maps\nclass Mine(intermodal.maps.ConcurrentMap): ...\n",
        "import intermodal as im\nclass Mine(im.ConcurrentMap[str, int]): ...\n",
        "from intermodal_swiss._map import SwissView\nclass Mine(SwissView): ...\n",
    ],
)
def test_a_class_with_a_base_of_intermodals_is_not_compiled(project, source):
    """It would compile, and crash the interpreter when it is used. The message says what to do instead."""
    (file := build.Path("mine.py")).write_text(source)
    with pytest.raises(
        TypeError, match=r"mine\.py, line 2: Mine cannot be compiled.* leave the class interp"
    ):
        build.mypycify({"mine": [str(file)]})


@pytest.mark.parametrize(
    ("source", "groups"),
    [
        ("from intermodal.errors import IntermodalError\nclass Mine(IntermodalError): ...\n", {}),
        ("from mine.base import ConcurrentMap\nclass Mine(ConcurrentMap): ...\n", {}),
        ("from intermodal.maps import ConcurrentMap\nclass Mine(ConcurrentMap): ...\n", {"intermodal": []}),
        (
            "from intermodal.maps import ConcurrentMap\n@f(native_class=False)\nclass Mine(ConcurrentMap): ...\n",
            {},
        ),
    ],
)
def test_other_classes_are_compiled(project, source, groups):
    """Exceptions, a plugin's own, those that are compiled together with their base, and ones left as they are."""
    (file := build.Path("mine.py")).write_text(source)
    build._check_bases({"mine": [str(file)], **groups})


@pytest.mark.parametrize("value", ["1", "yes"])
def test_a_pure_build_compiles_nothing(project, monkeypatch, value):
    """And needs no mypy, of whatever version."""
    monkeypatch.setenv("INTERMODAL_PURE", value)
    monkeypatch.setattr(build, "MYPY_VERSION", "0")
    assert build.mypycify(project) == []


def test_a_plugin_of_a_pure_installation_is_built_pure(project, monkeypatch):
    """Compiled operations cannot reach the memory that the pure installation simulates."""
    monkeypatch.setattr(build, "COMPILED", False)
    monkeypatch.setattr(build, "MYPY_VERSION", "0")
    assert build.mypycify(project) == []
    with pytest.raises(RuntimeError, match="needs mypy 0"):
        build.mypycify({"intermodal": ["doubler.py"], **project})  # intermodal itself, not yet compiled


@pytest.mark.parametrize("value", ["", "0"])
def test_zero_and_nothing_ask_for_nothing(monkeypatch, value):
    """INTERMODAL_PURE=0 is the same as no such variable."""
    monkeypatch.setenv("INTERMODAL_PURE", value)
    assert not build.pure_requested()


def test_the_mypy_that_is_pinned_for_builds_is_the_one_that_is_checked_for():
    """In the sample plugin's build requirements, as in intermodal's own."""
    text = (sample.SOURCE / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"mypy=={build.MYPY_VERSION}"' in text
    own = sample.SOURCE.parents[1] / "pyproject.toml"
    assert f'"mypy=={build.MYPY_VERSION}"' in own.read_text(encoding="utf-8")


def test_the_header_is_installed_beside_the_modules():
    """Builds of other distributions include it from there."""
    header = importlib.resources.files(intermodal) / "atomics.h"
    assert "IM_ALWAYS int64_t im_load(" in header.read_text(encoding="utf-8")
    assert str(build._HEADER) in build._compile_flags()


@pytest.mark.parametrize("name", ["DEBUG", "PORTABLE_MATCH"])
def test_an_option_of_the_environment_becomes_a_definition(monkeypatch, name):
    """Exactly when it is set."""
    definition = f"-DINTERMODAL_{name}"
    monkeypatch.setenv(f"INTERMODAL_{name}", "1")
    assert definition in build._compile_flags()
    monkeypatch.setenv(f"INTERMODAL_{name}", "0")
    assert definition not in build._compile_flags()


@pytest.mark.parametrize(
    ("free_threaded", "version", "needed"),
    [(1, (3, 13, 5), True), (1, (3, 14, 0), False), (0, (3, 13, 5), False), (None, (3, 11, 2), False)],
)
def test_what_only_3_14_has_is_replaced_on_an_older_free_threaded_build(
    monkeypatch, free_threaded, version, needed
):
    """And nowhere else."""
    real = sysconfig.get_config_var
    monkeypatch.setattr(
        sysconfig, "get_config_var", lambda name: free_threaded if name == "Py_GIL_DISABLED" else real(name)
    )
    monkeypatch.setattr(sys, "version_info", version)
    flags = build._compile_flags()
    monkeypatch.undo()
    assert ("-D_PyObject_XDecRefDelayed=Py_DECREF" in flags) is needed


def test_a_build_leaves_no_temporary_folder_behind(sample_plugin):
    """Neither mypy's cache nor anything else; pip's own are pip's business."""
    left = [path.name for path in (sample_plugin.parent / "tmp").iterdir()]
    assert [name for name in left if "mypy" in name] == []


def test_a_sample_build_installs_what_it_needs_and_no_more(sample_plugin):
    """Sources beside the extensions, so that INTERMODAL_PURE=1 finds them; no C, no build folder."""
    names = {
        path.name.partition(".")[0] + path.suffix for path in (sample_plugin / "intermodal_sample").iterdir()
    }
    expected = {"__init__.py", "_engine.py", "_loops.py", "_map.py", "py.typed"}
    if intermodal.__compiled__:
        suffix = "." + sysconfig.get_config_var("EXT_SUFFIX").rpartition(".")[2]
        expected |= {"_engine" + suffix, "_loops" + suffix, "_native__mypyc" + suffix}
    assert names - {"__pycache__"} == expected
