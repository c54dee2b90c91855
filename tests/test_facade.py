"""open_map chooses by name, by requirements and by environment, and says what it cannot do."""

from __future__ import annotations

import sys

import pytest

import intermodal
from intermodal import BackendLoadError, BackendNotFound, OptionError, backends, open_map


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
    install("sorted_a", capabilities="ordered=True", rank=2000)
    install("sorted_b", capabilities="ordered=True", rank=2001)
    monkeypatch.setenv("INTERMODAL_BACKEND", "plain")
    open_map(ordered=True, capacity=7)
    assert request_of("sorted_a").capacity == 7
    monkeypatch.setenv("INTERMODAL_BACKEND", "sorted_b")
    open_map(ordered=True, capacity=8)
    assert request_of("sorted_b").capacity == 8


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
    install("sorted", capabilities="ordered=True, snapshot=True")
    assert open_map("locked", snapshot=True, iteration="each_once") == {}
    with pytest.raises(BackendNotFound, match=r"backend 'locked' .*ordered is not promised; .*: sorted"):
        open_map("locked", ordered=True, snapshot=True)


@pytest.mark.parametrize(("name", "marker"), [("int64", intermodal.int64), ("float64", intermodal.float64)])
def test_a_type_may_be_given_as_marker_or_by_name_and_chooses_too(install, name, marker):
    """The backend sees one form."""
    install("typed", capabilities=f"key_types=('{name}',), value_types=('object', '{name}')")
    for given in marker, name:
        open_map(key_type=given, value_type=given)
        assert (request_of("typed").key_type, request_of("typed").value_type) == (name, name)


def test_a_type_that_the_backend_does_not_take_names_those_that_do(install):
    """Also for reclaimers."""
    install("typed", capabilities="key_types=('int64',), reclaimers=('refcount', 'epoch')")
    with pytest.raises(OptionError, match=r"'locked' .*key_types do not include 'int64'; .*: typed"):
        open_map("locked", key_type="int64")
    with pytest.raises(OptionError, match=r"'locked' .*reclaimers do not include 'epoch'; .*: "):
        open_map("locked", reclaimer="epoch")
    open_map(key_type="int64", reclaimer="epoch")
    assert request_of("typed").reclaimer == "epoch"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key_type": int}, "key_type must be object, intermodal.int64 .* got <class 'int'>"),
        ({"value_type": "int32"}, "value_type must be .*'object', 'int64', 'float64'; got 'int32'"),
        ({"capacity": -1}, "capacity must be a number of entries, an int of at least 0; got -1"),
        ({"capacity": True}, "got True"),
        ({"capacity": 1.5}, "got 1.5"),
        ({"reclaimer": 3}, "reclaimer must be the name of a reclaimer, a str, or None; got 3"),
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


def test_backends_describes_every_backend_sorted_by_name(install):
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
