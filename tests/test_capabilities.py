"""What a plugin declares is checked when it is declared, and requirements are held against it."""

from __future__ import annotations

import itertools

import attrs
import pytest

from intermodal import OptionError
from intermodal.capabilities import FIELDS, LEVELS, NAME_SETS, Capabilities, MapBackend, Option

PLAIN = Capabilities(
    points="published", iteration="weak", length="settled", length_cost="O(n)", clear="stepwise"
)


@pytest.mark.parametrize(
    ("field", "stronger", "weaker"),
    [(field, *pair) for field, levels in LEVELS.items() for pair in itertools.combinations(levels, 2)],
)
def test_a_level_satisfies_every_weaker_one_and_no_stronger(field, stronger, weaker):
    """LEVELS lists the levels of each field from the strongest to the weakest."""
    assert attrs.evolve(PLAIN, **{field: stronger}).unmet({field: weaker}) == []
    assert attrs.evolve(PLAIN, **{field: weaker}).unmet({field: stronger}) == [
        f"{field} is {weaker!r}, not {stronger!r}"
    ]


@pytest.mark.parametrize("field", sorted(set(FIELDS) - set(LEVELS) - set(NAME_SETS)))
def test_a_promise_is_met_only_by_who_makes_it(field):
    """The remaining fields are made or not, and required by True."""
    assert PLAIN.unmet({field: True}) == [f"{field} is not promised"]
    assert attrs.evolve(PLAIN, **{field: True}).unmet({field: True}) == []


@pytest.mark.parametrize("field", FIELDS)
def test_none_and_false_require_nothing(field):
    """So that a caller can pass a requirement on without knowing it."""
    assert PLAIN.unmet({field: None}) == PLAIN.unmet({field: False}) == []


def test_every_name_required_of_a_set_must_be_in_it():
    """A single name and a collection of names are both accepted."""
    has = attrs.evolve(PLAIN, key_types=("object", "int64"))
    assert has.unmet({"key_types": "int64"}) == []
    assert has.unmet({"key_types": ("float64", "int64"), "reclaimers": "epoch"}) == [
        "key_types do not include 'float64'",
        "reclaimers do not include 'epoch'",
    ]


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        ({"quick": True}, "'quick' is not a requirement; requirements are points,"),
        ({"iteration": "once"}, "iteration can be required to be one of 'snapshot', 'each_once', 'weak'"),
        ({"iteration": True}, "got True"),
        ({"ordered": "yes"}, "ordered can only be required, as ordered=True; got 'yes'"),
        ({"key_types": 3}, "key_types can be required to include a name or several names; got 3"),
    ],
)
def test_a_requirement_that_cannot_be_is_an_error_not_unmet(requirements, message):
    """A misspelt requirement would otherwise choose a wrong backend, or none for a wrong reason."""
    with pytest.raises(OptionError, match=message):
        PLAIN.unmet(requirements)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        *((field, "very", f"{field} must be one of ") for field in LEVELS),
        ("points", ["linearizable"], "points must be one of"),
        ("ordered", 1, "ordered must be True or False; got 1"),
        ("key_types", "object", "key_types must be a tuple of one or more names; got 'object'"),
        ("value_types", (), "value_types must be a tuple of one or more names"),
        ("key_types", ("int32",), "key_types may name only 'object', 'int64', 'float64'; got 'int32'"),
        ("reclaimers", (1,), "reclaimers must be a tuple of one or more names"),
    ],
)
def test_ill_formed_capabilities_cannot_be_made(field, value, message):
    """The message names the field, the value and what is allowed."""
    with pytest.raises((TypeError, ValueError), match=message):
        attrs.evolve(PLAIN, **{field: value})


def test_capabilities_cannot_be_changed():
    """They are shared by everybody who asks."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        PLAIN.ordered = True


def power_of_two(value: int) -> None:
    if value < 1 or value & (value - 1):
        raise ValueError("it must be a power of two")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (8, None),
        (9, "shards cannot be 9: it must be a power of two"),
        ("8", "shards must be int; got '8'"),
        (True, "shards must be int; got True"),
    ],
)
def test_an_option_says_which_value_it_does_not_take_and_why(value, fault):
    """Types first, True and False being no numbers, then the option's own check."""
    option = Option(name="shards", types=(int,), default=4, summary="number of shards", check=power_of_two)
    assert option.fault(value) == fault


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "two words"}, "must be an identifier; got 'two words'"),
        ({"types": int}, "types must be a tuple of one or more types"),
        ({"summary": ""}, "summary must be a str that is not empty"),
        ({"default": "4"}, "the default of option 'shards' is not a value that it takes: shards must be int"),
        ({"check": 3}, "check must be callable; got 3"),
    ],
)
def test_an_ill_formed_option_cannot_be_made(fields, message):
    """The default is held to the same rules as a value of the caller's."""
    good = {"name": "shards", "types": (int,), "default": 4, "summary": "number of shards"}
    with pytest.raises((TypeError, ValueError), match=message):
        Option(**{**good, **fields})


OPTION = Option(name="shards", types=(int,), default=4, summary="number of shards")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": None}, "name must be a str that is not empty; got None"),
        ({"capabilities": {}}, "capabilities must be Capabilities; got {}"),
        ({"open": "open"}, "open must be callable; got 'open'"),
        ({"options": [OPTION]}, "options must be a tuple of Option"),
        ({"options": (OPTION, OPTION)}, "options has two of the name 'shards'"),
        ({"rank": 1.5}, "rank must be int; got 1.5"),
    ],
)
def test_an_ill_formed_backend_cannot_be_made(fields, message):
    """So the fault shows in the plugin that makes it, not in the user's call."""
    good = {"name": "mine", "summary": "mine", "capabilities": PLAIN, "open": dict}
    with pytest.raises((TypeError, ValueError), match=message):
        MapBackend(**{**good, **fields})
