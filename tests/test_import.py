"""Importing the package costs little, and everything public is there when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import intermodal
import intermodal.plugins


def modules_after(statement):
    """Return the names of the modules that *statement* makes a new interpreter import."""
    code = f"import sys; before = set(sys.modules)\n{statement}\nprint(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_neither_dependency_nor_backend():
    """Only which build runs is found out at once, and what finds the public names when they are used."""
    imported = modules_after("import intermodal")
    own = {name for name in imported if name.startswith("intermodal")}
    assert own == {"intermodal", "intermodal._lazy", "intermodal._mode"}
    assert not {name.partition(".")[0] for name in imported} & {
        "attr",
        "attrs",
        "pluggy",
        "librt",
        "mypy_extensions",
    }
    assert "importlib.metadata" not in imported


@pytest.mark.parametrize("name", ["ABSENT", "Capabilities", "IntermodalError", "backends"])
def test_using_a_public_name_imports_no_backend(name):
    """Plugins wait until they are asked for."""
    imported = modules_after(f"from intermodal import {name}")
    assert not {module for module in imported if module.startswith("intermodal_")}


def test_what_a_plugin_imports_is_not_the_map_contract():
    """Listing the backends loads their plugins, but no compiled code."""
    assert "intermodal.maps" not in modules_after("import intermodal.plugins")


@pytest.mark.parametrize("listing", ["backends", "reclaimers"])
def test_listing_imports_no_technique(listing):
    """Of each plugin the package alone, which says what there is."""
    imported = modules_after(f"import intermodal\nintermodal.{listing}()")
    of_plugins = {module for module in imported if module.startswith("intermodal_")}
    assert {"backends": "intermodal_swiss", "reclaimers": "intermodal_epoch"}[listing] in of_plugins
    assert not {module for module in of_plugins if "." in module or module.endswith("__mypyc")}


@pytest.mark.parametrize("module", [intermodal, intermodal.plugins])
def test_every_public_name_is_there(module):
    """The list is sorted, without repetition, and all of it resolves."""
    assert module.__all__ == sorted(set(module.__all__))
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_dir_shows_names_before_they_are_imported():
    """So that completion offers them."""
    code = "import intermodal; assert set(intermodal.__all__) <= set(dir(intermodal)), dir(intermodal)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", [intermodal, intermodal.plugins])
def test_a_name_that_is_not_public_is_an_attribute_error(module):
    """With the usual words."""
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'opem_map'"):
        module.opem_map  # noqa: B018


def test_compiled_tells_which_build_runs():
    """True with extensions, False from sources."""
    from intermodal import maps

    assert intermodal.__compiled__ is not maps.__file__.endswith(".py")


def test_the_contract_is_a_mutable_mapping():
    """For isinstance and for match statements."""
    from collections.abc import MutableMapping

    assert issubclass(intermodal.ConcurrentMap, MutableMapping)
