"""Copies and pickles: what they hold, what they share."""

from __future__ import annotations

import copy
import pickle

import pytest

from intermodal.testing.keys import Key


def test_copies_are_independent_and_share_keys_and_values(subject):
    """copy() and copy.copy."""
    key, value = Key("a"), []
    m = subject.map([(key, value)])
    for other in (m.copy(), copy.copy(m)):
        assert other == m
        assert other[key] is value
        assert next(iter(other)) is key
        other["b"] = 1
        del other[key]
    assert dict(m) == {key: value}


def subclass_of(backend):
    """Return a subclass that pickle can find."""
    name = f"SubclassOf_{backend}"
    if name not in globals():
        globals()[name] = type(name, (backend.type,), {"__module__": __name__})
    return globals()[name]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_holds_the_entries(backend, protocol):
    """In every protocol, as a map of the same class."""
    m = backend.map({("a", 0): [1], ("b", 2): None})
    other = pickle.loads(pickle.dumps(m, protocol))
    assert type(other) is type(m)
    assert other == m
    assert other["a", 0] is not m["a", 0]
    other["c", 0] = 1
    other._check()


def test_a_pickle_of_a_subclass_holds_its_attributes(backend):
    """And so do copies that go through the same protocol."""
    m = subclass_of(backend)(a=[1])
    m.note = ["kept"]
    for other in (pickle.loads(pickle.dumps(m)), copy.deepcopy(m)):
        assert type(other) is type(m)
        assert other == m
        assert other.note == ["kept"]
        assert other.note is not m.note


def test_a_map_that_holds_itself_can_be_pickled_and_copied(backend):
    """The copy holds the copy."""
    m = backend.map(a=1)
    m["self"] = m
    m["list"] = [m]
    for other in (pickle.loads(pickle.dumps(m)), copy.deepcopy(m)):
        assert other is not m
        assert other["self"] is other
        assert other["list"][0] is other
        assert other["a"] == 1
        other.clear()
    shallow = copy.copy(m)
    assert shallow["self"] is m
    m.clear()


def test_a_deep_copy_shares_nothing_that_can_change(subject):
    """But memo's objects once."""
    value = [1]
    m = subject.map(a=value, b=value)
    other = copy.deepcopy(m)
    assert other == m
    assert other["a"] is other["b"] is not value


def test_equality_of_two_maps_that_hold_each_other_ends(backend):
    """In RecursionError, as with dict, not in a crash."""
    one, two = backend.map(), backend.map()
    one["x"], two["x"] = two, one
    with pytest.raises(RecursionError):
        assert one == two
    one.clear()
