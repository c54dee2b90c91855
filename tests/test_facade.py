"""open_map chooses by name, by requirements and by environment, and says what it cannot do."""

from __future__ import annotations

import sys

import pytest

import intermodal
from intermodal import (
    BackendLoadError,
    BackendNotFound,
    OptionError,
    Reclaimer,
    backends,
    open_map,
    open_reclaimer,
    reclaimers,
    registry,
)


@pytest.fixture(autouse=True)
def no_preference(monkeypatch):
    monkeypatch.delenv("INTERMODAL_BACKEND", raising=False)


def request_of(name):
    """Return the last request that a fake backend got."""
    return sys.modules[f"fake_{name}"].opened.request


def test_a_name_opens_that_backend():
    """A new map each time."""
    first, second = open_map("locked"), open_map("locked")
    assert type(first).__name__ == "LockedMap"
    assert first is not second


def test_without_name_and_requirements_the_lowest_rank_is_taken(install):
    """The rank is the plugin's own statement of how good a default it is."""
    install("first", rank=-2)
    install("zeroth", rank=-3)
    open_map()
    assert request_of("zeroth").options == {}


def test_of_equal_ranks_the_first_name_is_taken(install):
    """The choice may not depend on the order of installation."""
    install("bb", rank=-3)
    install("aa", rank=-3)
    open_map(capacity=5)
    assert request_of("aa").capacity == 5


def test_the_environment_variable_overrides_the_default(install, monkeypatch):
    """It is for trying another backend without touching the code."""
    install("chosen")
    monkeypatch.setenv("INTERMODAL_BACKEND", "chosen")
    open_map(capacity=6)
    assert request_of("chosen").capacity == 6


def test_a_name_in_the_code_overrules_the_environment_variable(monkeypatch):
    """Even one that names nothing."""
    monkeypatch.setenv("INTERMODAL_BACKEND", "no such backend")
    assert open_map("locked") == {}


def test_an_empty_environment_variable_is_none(monkeypatch):
    """As shells leave it."""
    monkeypatch.setenv("INTERMODAL_BACKEND", "")
    assert open_map() == {}


def test_requirements_overrule_the_environment_variable(install, monkeypatch):
    """A program that needs a promise gets it; the variable decides among those who make it."""
    install("plain")
    install("shared_a", capabilities="shared='processes'", rank=2000)
    install("shared_b", capabilities="shared='processes'", rank=2001)
    monkeypatch.setenv("INTERMODAL_BACKEND", "plain")
    open_map(shared="processes", capacity=7)
    assert request_of("shared_a").capacity == 7
    monkeypatch.setenv("INTERMODAL_BACKEND", "shared_b")
    open_map(shared="processes", capacity=8)
    assert request_of("shared_b").capacity == 8


@pytest.mark.parametrize("requirements", [{}, {"snapshot": True}])
def test_an_environment_variable_that_names_no_usable_backend_is_reported(install, monkeypatch, requirements):
    """Rather than silently ignored; the message says where the name comes from."""
    monkeypatch.setenv("INTERMODAL_BACKEND", "lokced")
    with pytest.raises(BackendNotFound, match=r"INTERMODAL_BACKEND=lokced: .*did you mean 'locked'"):
        open_map(**requirements)
    install("broken", "1 / 0")
    monkeypatch.setenv("INTERMODAL_BACKEND", "broken")
    with pytest.raises(BackendLoadError, match=r"INTERMODAL_BACKEND=broken: .*ZeroDivisionError"):
        open_map(**requirements)


def test_requirements_choose_the_lowest_rank_that_meets_them_all(install):
    """Those before it are passed over."""
    install("cheap", rank=-9, capabilities="ordered=True")
    install("right", rank=-8, capabilities="ordered=True, multi_value=True, shared='processes'")
    open_map(ordered=True, multi_value=True, shared="threads", snapshot=False, clear=None)
    assert request_of("right").options == {}


def test_unsatisfiable_requirements_say_what_fails_where(install):
    """Each backend with what it lacks, each broken one with its fault."""
    install("sorted", capabilities="ordered=True")
    install("broken", "1 / 0")
    with pytest.raises(BackendNotFound) as error:
        open_map(ordered=True, shared="machines")
    lines = [line.strip() for line in str(error.value).splitlines()]
    assert lines[0] == "no installed backend meets the requirements:"
    assert "sorted: shared is 'threads', not 'machines'" in lines
    assert "locked: ordered is not promised; shared is 'threads', not 'machines'" in lines
    assert any("'broken'" in line and "ZeroDivisionError" in line for line in lines)


def test_a_broken_backend_does_not_hinder_the_choice(install):
    """Choosing loads all plugins; those that cannot be loaded are not chosen."""
    install("broken", "1 / 0")
    assert open_map() == {}


def test_a_named_backend_is_held_to_the_requirements(install):
    """The name does not make the requirement true; who meets it is named."""
    install("sorted", capabilities="ordered=True, callbacks_once=True")
    assert open_map("locked", snapshot=True, iteration="each_once") == {}
    with pytest.raises(BackendNotFound, match=r"backend 'locked' .*ordered is not promised; .*: sorted"):
        open_map("locked", ordered=True, callbacks_once=True)


@pytest.mark.parametrize(("name", "marker"), [("int64", intermodal.int64), ("float64", intermodal.float64)])
def test_a_type_may_be_given_as_marker_or_by_name_and_chooses_too(install, name, marker):
    """The backend sees one form."""
    install("typed", capabilities=f"key_types=('{name}',), value_types=('object', '{name}')", rank=1)
    for given in marker, name:
        open_map(key_type=given, value_type=given)
        assert (request_of("typed").key_type, request_of("typed").value_type) == (name, name)


def test_a_type_that_the_backend_does_not_take_names_those_that_do(install):
    """Also for reclaimers."""
    install("typed", capabilities="key_types=('int64',), reclaimers=('refcount', 'epoch')", rank=1)
    with pytest.raises(OptionError, match=r"'locked' .*key_types do not include 'int64'; .*: .*\btyped"):
        open_map("locked", key_type="int64")
    with pytest.raises(OptionError, match=r"'locked' .*reclaimers do not include 'epoch'; .*: "):
        open_map("locked", reclaimer="epoch")
    open_map(key_type="int64", reclaimer="epoch")
    assert request_of("typed").reclaimer == "epoch"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key_type": int}, "key_type must be object, intermodal.int64 .* got <class 'int'>"),
        ({"value_type": "int32"}, "value_type must be .*'object', 'int64', 'float64', 'none'; got 'int32'"),
        ({"capacity": -1}, "capacity must be a number of entries, an int of at least 0; got -1"),
        ({"capacity": True}, "got True"),
        ({"capacity": 1.5}, "got 1.5"),
        (
            {"reclaimer": 3},
            "reclaimer must be the name of a reclaimer, a str, or a Reclaimer, or None; got 3",
        ),
        ({"iteration": "once"}, "iteration can be required to be one of"),
        ({"capcity": 3}, "backend 'locked' has no option 'capcity'; did you mean 'capacity'"),
        ({"snapshots": True}, "no option 'snapshots'; did you mean 'snapshot'"),
        ({"xyzzy": 1}, "no option 'xyzzy'. Its options: none; every backend's: capacity,"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value_and_what_is_allowed(arguments, message):
    """One exception type for all of them, which is also a TypeError."""
    with pytest.raises(OptionError, match=message):
        open_map("locked", **arguments)


def test_a_name_that_is_not_a_str_is_refused():
    """Such as a class given by mistake."""
    with pytest.raises(OptionError, match="name must be the name of a backend, a str; got <class 'dict'>"):
        open_map(dict)


def test_options_are_checked_and_completed_for_the_backend(install):
    """Defaults where the caller gives nothing; a value that the option does not take never arrives."""
    install(
        "tuned",
        options="Option(name='shards', types=(int,), default=4, summary='how many'), "
        "Option(name='mode', types=(str,), default='fast', summary='which'),",
    )
    open_map("tuned", mode="safe")
    assert request_of("tuned").options == {"shards": 4, "mode": "safe"}
    with pytest.raises(TypeError):
        request_of("tuned").options["mode"] = "fast"
    with pytest.raises(OptionError, match="backend 'tuned': shards must be int; got 'many'"):
        open_map("tuned", shards="many")
    with pytest.raises(OptionError, match="no option 'shard'; did you mean 'shards'"):
        open_map("tuned", shard=2)


def test_capacity_takes_what_counts_as_an_integer(install):
    """As range() does."""

    class Three:
        def __index__(self):
            return 3

    install("sized")
    open_map("sized", capacity=Three())
    assert request_of("sized").capacity == 3


PLUGIN = """
from intermodal.plugins import Capabilities, MapBackend, hookimpl

def opened(request):
    {body}

@hookimpl
def intermodal_map_backend():
    return MapBackend(
        name="late", summary="late", open=opened, capabilities=Capabilities(
            points="linearizable", iteration="weak", length="exact", length_cost="O(1)", clear="atomic"))
"""


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            "import no_such_engine_",
            "opening it raised ModuleNotFoundError: No module named 'no_such_engine_'",
        ),
        ("return {}", "opening it returned {}, not a ConcurrentMap"),
    ],
)
def test_an_engine_that_cannot_be_had_is_reported_as_the_backends_fault(install, body, fault):
    """The message names the distribution, as for faults of the plugin itself."""
    install("late", PLUGIN.format(body=body))
    with pytest.raises(BackendLoadError, match=f"of distribution fake-late 1.5.*{fault}"):
        open_map("late")


def test_an_error_of_the_opening_backend_itself_passes_unchanged(install):
    """It may be about an option, and is the backend's to word."""
    install("late", PLUGIN.format(body="raise ValueError('no room')"))
    with pytest.raises(ValueError, match=r"^no room$"):
        open_map("late")


def test_backends_describes_every_backend_shared_by_name(install):
    """With where it comes from."""
    install("zz")
    install("aa", options="Option(name='shards', types=(int,), default=4, summary='how many'),")
    specs = {spec.name: spec for spec in backends()}
    assert list(specs) == sorted(specs)
    assert {"aa", "locked", "zz"} <= set(specs)
    assert (specs["aa"].distribution, specs["aa"].version) == ("fake-aa", "1.5")
    assert [option.name for option in specs["aa"].options] == ["shards"]
    assert specs["locked"].distribution == "intermodal"
    assert specs["locked"].error is None
    assert specs["locked"].capabilities.callbacks_once


# ---- reclaimers -------------------------------------------------------------------------------------------

RECLAIMER = """
from intermodal.plugins import ReclaimerBackend, hookimpl

def opened():
    {body}

@hookimpl
def intermodal_reclaimer():
    return ReclaimerBackend(name="{name}", summary="for tests", protects=True, robust=False, open=opened)
"""
WORKING = (
    "from intermodal.reclamation import CountedReferences, Reclaimer; return Reclaimer(CountedReferences())"
)


@pytest.fixture
def install_reclaimer(install):
    """Install a distribution with one reclaimer, which opens by *body*."""

    def install_reclaimer(name, body=WORKING, source=RECLAIMER):
        return install(name, source.format(name=name, body=body), group=registry.reclaimers.group)

    return install_reclaimer


@pytest.mark.parametrize("name", ["epoch", "hyaline", "refcount"])
def test_a_reclaimer_is_opened_by_name(name):
    """A new one each time; one that is open already is passed on, so that callers may take either."""
    first, second = open_reclaimer(name), open_reclaimer(name)
    assert first is not second
    assert first.statistics().scheme == name
    assert open_reclaimer(first) is first


def test_an_unknown_reclaimer_is_answered_with_the_nearest_and_all_others():
    """As an unknown backend is."""
    with pytest.raises(
        BackendNotFound,
        match=r"^no reclaimer 'hyalin' is installed; did you mean 'hyaline'\? Installed: epoch, hyaline, refcount$",
    ):
        open_reclaimer("hyalin")


@pytest.mark.parametrize("given", [None, 3, dict])
def test_a_reclaimer_that_is_neither_name_nor_reclaimer_is_refused(given):
    """With what was given."""
    with pytest.raises(OptionError, match=f"a reclaimer is named by a str; got {given!r}"):
        open_reclaimer(given)


def test_reclaimers_describes_every_reclaimer_shared_by_name(install_reclaimer):
    """With what it declares and where it comes from; a broken one with its fault."""
    install_reclaimer("late")
    install_reclaimer("broken", source="raise RuntimeError('out of order')")
    specs = {spec.name: spec for spec in reclaimers()}
    assert list(specs) == sorted(specs) == ["broken", "epoch", "hyaline", "late", "refcount"]
    declared = {name: (spec.protects, spec.robust) for name, spec in specs.items()}
    assert declared == {
        "broken": (None, None),
        "epoch": (True, False),
        "hyaline": (True, True),
        "late": (True, False),
        "refcount": (False, True),
    }
    assert (specs["late"].distribution, specs["late"].version) == ("fake-late", "1.5")
    assert specs["epoch"].distribution == "intermodal"
    assert all(spec.summary and spec.error is None for name, spec in specs.items() if name != "broken")
    assert specs["broken"].summary == ""
    assert (
        "reclaimer 'broken' (plugin 'fake_broken' of distribution fake-broken 1.5)" in specs["broken"].error
    )
    assert "RuntimeError: out of order" in specs["broken"].error


def test_what_a_reclaimer_declares_it_is():
    """protects is that of its scheme."""
    for spec in reclaimers():
        assert open_reclaimer(spec.name).scheme.protects is spec.protects
        assert open_reclaimer(spec.name).scheme.name == spec.name


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("return {{}}", "opening it returned {}, not a Reclaimer"),
        ("return None", "opening it returned None, not a Reclaimer"),
        (
            "import no_such_engine_",
            "opening it raised ModuleNotFoundError: No module named 'no_such_engine_'",
        ),
    ],
)
def test_a_reclaimer_that_cannot_be_had_is_reported_as_its_plugins_fault(install_reclaimer, body, fault):
    """The message names the distribution, as for backends of maps."""
    install_reclaimer("late", body.replace("{{}}", "{}"))
    with pytest.raises(BackendLoadError, match=f"reclaimer 'late' .*of distribution fake-late 1.5.*{fault}"):
        open_reclaimer("late")


def test_an_error_of_the_opening_reclaimer_itself_passes_unchanged(install_reclaimer):
    """It is the scheme's to word."""
    install_reclaimer("late", "raise ValueError('no room')")
    with pytest.raises(ValueError, match=r"^no room$"):
        open_reclaimer("late")


def test_a_broken_plugin_of_a_reclaimer_is_named_with_its_fault(install_reclaimer):
    """Also one whose hook is that of the other group, or names another reclaimer."""
    install_reclaimer("broken", source="1 / 0")
    install_reclaimer("empty", source="")
    install_reclaimer("other", source=RECLAIMER.replace("{name}", "epoch"))
    for name, fault in (
        ("broken", "importing it raised ZeroDivisionError"),
        ("empty", "it has no hook intermodal_reclaimer; mark a function of that name @hookimpl"),
        ("other", "a ReclaimerBackend named 'epoch'; its name must be that of the entry point"),
    ):
        with pytest.raises(BackendLoadError, match=fault):
            open_reclaimer(name)
    assert open_reclaimer("epoch").statistics().scheme == "epoch"


def test_a_map_takes_a_reclaimer_that_is_open(install):
    """By the name of its scheme the backend is chosen, and held to."""
    install("reclaimed", capabilities="reclaimers=('refcount', 'epoch')")
    reclaimer = open_reclaimer("epoch")
    assert isinstance(reclaimer, Reclaimer)
    open_map("reclaimed", reclaimer=reclaimer)
    assert request_of("reclaimed").reclaimer is reclaimer
    open_map("reclaimed", reclaimer="epoch")
    assert request_of("reclaimed").reclaimer == "epoch"
    open_map("reclaimed")
    assert request_of("reclaimed").reclaimer is None
    with pytest.raises(OptionError, match=r"'reclaimed' .*reclaimers do not include 'hyaline'"):
        open_map("reclaimed", reclaimer=open_reclaimer("hyaline"))


@pytest.mark.parametrize("given", [3, Reclaimer, dict])
def test_a_map_takes_nothing_else_for_a_reclaimer(given):
    """Such as the class."""
    with pytest.raises(OptionError, match="reclaimer must be the name of a reclaimer, a str, or a Reclaimer"):
        open_map("locked", reclaimer=given)
