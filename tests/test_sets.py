"""Sets: what Python's sets do, over any backend; their threads are those of the maps."""

from __future__ import annotations

import copy
import operator
import pickle
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intermodal import ConcurrentSet, OptionError, int64, open_set
from intermodal.testing.threads import in_threads

KINDS = {
    "locked": {},
    "swiss": {},
    "btree": {},
    "trie": {},
    "words": {"name": "swiss", "key_type": int64},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def opened(kind, values=()):
    """Return a set with these values."""
    made = open_set(**{"name": kind, **KINDS[kind]})
    made.update(values)
    return made


@each_kind
def test_one_value_is_inserted_once_and_taken_out_once(kind):
    """And each operation says what it did."""
    s = opened(kind)
    assert [s.insert(1), s.insert(1), s.insert(2)] == [True, False, True]
    s.add(2)
    assert 1 in s
    assert 3 not in s
    assert len(s) == 2
    s.discard(1)
    s.discard(1)
    s.remove(2)
    with pytest.raises(KeyError):
        s.remove(2)
    with pytest.raises(KeyError, match="pop from an empty set"):
        s.pop()
    s.add(7)
    assert s.pop() == 7
    assert not s


@each_kind
@settings(max_examples=10, deadline=None)
@given(ours=st.sets(st.integers(-20, 20)), theirs=st.sets(st.integers(-20, 20)))
def test_operators_and_methods_are_those_of_sets(kind, ours, theirs):
    """With a set of this kind or of Python's on the other side."""
    for other in theirs, opened(kind, theirs):
        for name in ("__or__", "__and__", "__sub__", "__xor__"):
            assert getattr(operator, name)(opened(kind, ours), other) == getattr(operator, name)(ours, theirs)
        for name in ("__ior__", "__iand__", "__isub__", "__ixor__"):
            s = opened(kind, ours)
            assert getattr(operator, name)(s, other) is s
            assert s == getattr(operator, name)(set(ours), theirs)
        for name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"):
            assert getattr(operator, name)(opened(kind, ours), other) is getattr(operator, name)(ours, theirs)
        for name in (
            "union",
            "intersection",
            "difference",
            "symmetric_difference",
            "issubset",
            "issuperset",
            "isdisjoint",
        ):
            for given_other in (other, list(other)):
                assert getattr(opened(kind, ours), name)(given_other) == getattr(ours, name)(theirs), name


@each_kind
def test_results_are_sets_of_the_same_backend(kind):
    """Copies, pickles and what operators return; of their own."""
    s = opened(kind, [1, 2])
    for other in (s | {3}, {3} | s, s.copy(), copy.copy(s), pickle.loads(pickle.dumps(s)), s.union([3], [4])):
        assert type(other) is ConcurrentSet
        assert type(other.map) is type(s.map)
        other.add(99)
        assert {1, 2, 99} <= other
    assert s == {1, 2}


@each_kind
def test_many_values_are_answered_one_by_one(kind):
    """In a list, in the order of the question; given twice, the second time it is not new."""
    s = opened(kind, [1])
    assert s.insert_many([1, 2, 2]) == [False, True, False]
    assert s.contains_many([1, 2, 3]) == [True, True, False]
    assert s.discard_many([1, 3, 1]) == [True, False, False]
    assert s == {2}


def test_a_set_of_integers_takes_and_gives_arrays():
    """And stores nothing else."""
    s = opened("words", range(5))
    assert s.insert_many(array("q", [4, 5, 6]), threads=2) == bytearray([0, 1, 1])
    assert s.contains_many(array("q", [6, 7])) == bytearray([1, 0])
    assert s.discard_many(array("q", [0, 0, 6])) == bytearray([1, 0, 1])
    assert sorted(s.to_array()) == [1, 2, 3, 4, 5]
    with pytest.raises(TypeError, match="the keys of this map are ints; got str"):
        s.add("a")
    assert "a" not in s
    assert s == {1, 2, 3, 4, 5}


def test_other_sets_give_no_arrays():
    """They say which do."""
    with pytest.raises(TypeError, match="key_type=int64"):
        opened("locked").to_array()


def test_a_backend_without_typed_maps_says_so():
    """As open_map() does."""
    with pytest.raises(OptionError, match="'locked' .*key_types do not include 'int64'"):
        open_set("locked", key_type=int64)


@each_kind
def test_of_threads_that_insert_the_same_one_is_told_that_it_was_new(kind):
    """By handle, where the backend has them."""
    s = opened(kind)
    count = 300

    def insert(_):
        with s.handle() as view:
            return sum(view.insert(number) for number in range(count))

    assert sum(in_threads(3, insert)) == count
    assert s == set(range(count))
    assert s.statistics().entries == count


def test_a_set_shows_its_values():
    """As Python's do."""
    assert repr(opened("locked")) == "ConcurrentSet()"
    assert repr(opened("locked", ["a"])) == "ConcurrentSet({'a'})"
