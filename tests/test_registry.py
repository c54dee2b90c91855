"""Backends are found by metadata, loaded one by one, and a broken one is in nobody's way."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading

import pytest

from intermodal import BackendLoadError, BackendNotFound, NotSupported, backends, errors, open_map, registry


def run(code, *folders):
    """Run *code* in a new interpreter that finds what is in *folders*; raise if it fails."""
    path = os.pathsep.join([*map(str, folders), *filter(None, sys.path)])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


def test_an_installed_backend_is_found_by_the_name_of_its_entry_point(install):
    """No list of backends exists but the metadata of installed distributions."""
    install("good")
    assert "good" in registry.maps.names()
    assert registry.maps.load("good").name == "good"


def test_names_are_listed_and_others_loaded_without_importing_a_plugin(install):
    """Only the plugin that is asked for is imported."""
    run(
        "import sys; from intermodal import open_map, registry; from intermodal.plugins import hookimpl\n"
        "assert {'good', 'bad', 'locked'} <= set(registry.maps.names())\n"
        "assert not {'fake_good', 'fake_bad', 'intermodal_locked'} & set(sys.modules)\n"
        "open_map('locked')\n"
        "assert not {'fake_good', 'fake_bad'} & set(sys.modules)\n"
        "registry.maps.load('good')\n"
        "assert 'fake_good' in sys.modules and 'fake_bad' not in sys.modules",
        install("good"),
        install("bad", "raise RuntimeError"),
    )


def test_listing_reclaimers_loads_no_scheme():
    """Nor do maps load one that they were not asked to use."""
    run(
        "import sys, intermodal\n"
        "assert {'epoch', 'hyaline', 'refcount'} <= {spec.name for spec in intermodal.reclaimers()}\n"
        "assert 'intermodal_epoch' in sys.modules and 'intermodal_epoch._scheme' not in sys.modules\n"
        "intermodal.open_map('locked'); intermodal.open_reclaimer('refcount')\n"
        "assert not {'intermodal_epoch._scheme', 'intermodal_hyaline._scheme'} & set(sys.modules)\n"
        "intermodal.open_reclaimer('epoch')\n"
        "assert 'intermodal_epoch._scheme' in sys.modules and 'intermodal_hyaline._scheme' not in sys.modules"
    )


def test_the_groups_know_nothing_of_each_other(install):
    """A map and a reclaimer may have the same name, and one is not taken for the other."""
    install("twin")
    install("alone", "", distribution="fake-alone", group=registry.reclaimers.group)
    assert "twin" in registry.maps.names()
    assert "twin" not in registry.reclaimers.names()
    assert "alone" in registry.reclaimers.names()
    assert "alone" not in registry.maps.names()
    with pytest.raises(BackendNotFound, match="no reclaimer 'twin' is installed"):
        registry.reclaimers.load("twin")


def test_listing_loads_no_engine():
    """backends() shows what plugins declare; the compiled engines are imported by open_map."""
    run(
        "import sys, intermodal\n"
        "assert 'locked' in [spec.name for spec in intermodal.backends()]\n"
        "assert 'intermodal_locked' in sys.modules and 'intermodal_locked._map' not in sys.modules"
    )


HOOK = """
from intermodal.plugins import MapBackend, hookimpl

@hookimpl
def intermodal_map_backend():
"""

BROKEN = {
    "import": ("import no_such_module_", "importing it raised ModuleNotFoundError: No module named 'no_such"),
    "raise": ("raise RuntimeError('out of order')", "importing it raised RuntimeError: out of order"),
    "exit": ("import sys; sys.exit(3)", "importing it raised SystemExit: 3"),
    "syntax": ("def", "importing it raised SyntaxError"),
    "empty": ("", "it has no hook intermodal_map_backend; mark a function of that name @hookimpl"),
    "misspelt": (
        HOOK.replace("map_backend", "map_backnd") + "    pass",
        "registering it raised PluginValidationError: unknown hook 'intermodal_map_backnd'",
    ),
    "arguments": (
        HOOK.replace("()", "(colour)") + "    pass",
        "registering it raised PluginValidationError",
    ),
    "hook": (HOOK + "    1 / 0", "its hook intermodal_map_backend raised ZeroDivisionError"),
    "rubbish": (HOOK + "    return {}", "its hook intermodal_map_backend returned {}, not a MapBackend"),
    "nothing": (HOOK + "    pass", "its hook intermodal_map_backend returned None, not a MapBackend"),
    "fields": (
        HOOK + "    return MapBackend(name='x', summary='x', capabilities=None, open=dict)",
        "its hook intermodal_map_backend raised TypeError: capabilities must be Capabilities; got None",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_named_with_its_fault_and_harms_no_other(install, kind):
    """The error and the listing name distribution, plugin and fault; other backends open as ever."""
    source, fault = BROKEN[kind]
    install("broken", source)
    install("good")
    with pytest.raises(BackendLoadError) as error:
        open_map("broken")
    (listed,) = [spec for spec in backends() if spec.name == "broken"]
    assert str(error.value) == listed.error
    assert (
        "backend 'broken' (plugin 'fake_broken' of distribution fake-broken 1.5) cannot be used"
        in listed.error
    )
    assert fault in listed.error
    assert (listed.capabilities, listed.options, listed.summary) == (None, (), "")
    assert (listed.distribution, listed.version) == ("fake-broken", "1.5")
    assert open_map("good") == {}


def test_the_cause_of_a_broken_plugin_is_chained(install):
    """So that its author sees where it happened."""
    install("broken", "raise RuntimeError('out of order')")
    with pytest.raises(BackendLoadError) as error:
        registry.maps.load("broken")
    assert isinstance(error.value.__cause__, RuntimeError)


def test_a_broken_plugin_is_not_imported_again_before_a_refresh(install):
    """Its fault is remembered; after a repair, refresh() makes it usable without a restart."""
    folder = install("broken", "raise RuntimeError('out of order')")
    for _ in range(2):
        with pytest.raises(BackendLoadError, match="out of order"):
            registry.maps.load("broken")
        (folder / "fake_broken.py").write_text("raise RuntimeError('imported again')")
    with pytest.raises(BackendLoadError, match="out of order"):
        registry.maps.load("broken")
    registry.refresh()
    with pytest.raises(BackendLoadError, match="imported again"):
        registry.maps.load("broken")


def test_a_keyboard_interrupt_is_the_users_not_the_plugins_fault(install):
    """It passes through, and the plugin is tried again the next time."""
    folder = install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry.maps.load("slow")
    (folder / "fake_slow.py").write_text("")
    with pytest.raises(BackendLoadError):
        registry.maps.load("slow")


def test_a_backend_must_have_the_name_of_its_entry_point(install):
    """Else the name in a listing would not be the one that opens it."""
    other = install("other")
    install("name", (other / "fake_other.py").read_text())
    with pytest.raises(
        BackendLoadError, match="a MapBackend named 'other'; its name must be that of the entry"
    ):
        registry.maps.load("name")


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("capacity", "the option 'capacity', which is a parameter of open_map itself"),
        ("ordered", "the option 'ordered', which is a field of Capabilities"),
        ("2x", "the name of an option must be an identifier; got '2x'"),
    ],
)
def test_an_option_may_not_take_a_name_that_means_something_else(install, option, fault):
    """The keywords of open_map are its own parameters, then requirements, then options."""
    install("clash", options=f"Option(name='{option}', types=(int,), default=1, summary='one'),")
    with pytest.raises(BackendLoadError, match=fault):
        registry.maps.load("clash")


def test_the_reserved_names_are_the_parameters_of_open_map():
    """The registry cannot import open_map, so it repeats them."""
    *parameters, options = inspect.signature(open_map).parameters.values()
    assert tuple(parameter.name for parameter in parameters) == registry.PARAMETERS
    assert options.kind is options.VAR_KEYWORD


def test_two_distributions_with_one_name_are_an_error_only_for_who_asks_for_it(install):
    """Neither is taken silently; the message names both."""
    install("twin", distribution="fake-first")
    install("twin", distribution="fake-second")
    install("good")
    assert registry.maps.load("good")
    with pytest.raises(BackendLoadError, match="several plugins have this name") as error:
        registry.maps.load("twin")
    assert "fake-first 1.5" in str(error.value)
    assert "fake-second 1.5" in str(error.value)


def test_damaged_metadata_does_not_hide_the_other_backends(install):
    """A distribution without METADATA still has entry points."""
    folder = install("bare")
    (folder / "fake_bare-1.5.dist-info" / "METADATA").unlink()
    install("good")
    assert {"bare", "good"} <= {spec.name for spec in backends()}


def test_threads_that_load_a_backend_at_once_get_the_same_one(install):
    """The first to finish decides for all."""
    install("good")
    barrier = threading.Barrier(4)
    loaded = []

    def load():
        barrier.wait()
        loaded.append(registry.maps.load("good"))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 4
    assert len(set(map(id, loaded))) == 1


def test_a_plugin_may_wait_for_a_thread_that_opens_a_map_while_it_is_imported(install):
    """No lock of the registry is held while a plugin's code runs."""
    install(
        "waiting",
        "import threading\n"
        "from intermodal import registry\n"
        "other = threading.Thread(target=registry.maps.load, args=('locked',), daemon=True)\n"
        "other.start(); other.join(30)\n"
        "assert not other.is_alive(), 'deadlock'\n",
    )
    with pytest.raises(BackendLoadError, match="it has no hook"):
        registry.maps.load("waiting")


def test_an_unknown_name_is_answered_with_the_nearest_and_all_others():
    """The usual cause is a misspelling."""
    with pytest.raises(
        BackendNotFound, match=r"no backend 'lokced'.*did you mean 'locked'\? Installed: .*locked"
    ):
        registry.maps.load("lokced")


def test_without_any_distribution_the_message_says_what_to_install(monkeypatch):
    """Such as when the sources are run uninstalled."""
    registry.refresh()
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    try:
        with pytest.raises(BackendNotFound, match="install intermodal itself with pip"):
            registry.maps.load("locked")
        with pytest.raises(BackendNotFound, match="install intermodal itself with pip"):
            open_map()
    finally:
        registry.refresh()


def test_not_supported_names_the_backends_that_have_the_operation(install):
    """The registry tells errors, which may not import it."""
    install("shot", capabilities="snapshot=True")
    install("blind")
    assert errors.backends_with is registry.backends_with
    message = str(NotSupported("snapshot", "BlindMap", "snapshot"))
    assert message.startswith("BlindMap has no snapshot(); backends that have it: ")
    assert "shot" in message
    assert "blind" not in message
