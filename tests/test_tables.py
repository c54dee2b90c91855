"""What maps with homes share (intermodal.tables), and what is hopscotch's and chained's own, one step after the other."""

from __future__ import annotations

import gc
import itertools
import weakref

import pytest
from helpers.resizing import settle

import intermodal
from intermodal import open_map
from intermodal.testing.subjects import scale

NAMES = ["chained", "hopscotch", "swiss"]
each_map = pytest.mark.parametrize("name", NAMES)
ours = pytest.mark.parametrize("name", NAMES[:2])


class Colliding:
    """A key of one hash with all others."""

    def __init__(self, number):
        self.number = number

    def __hash__(self):
        return 7

    def __eq__(self, other):
        return isinstance(other, Colliding) and self.number == other.number


@pytest.mark.skipif(intermodal.__compiled__, reason="a compiled table cannot be weakly referenced")
@each_map
def test_a_view_that_lets_a_table_go_can_be_used_meanwhile(name):
    """The garbage collector may run then, what it calls use the view, and the map be resized again.

    The view kept the newest table, and went on to take the address of one that had been replaced, and freed.
    """
    m = open_map(name)
    m["here"] = 1
    view = m.handle()
    numbers = itertools.count()

    def grow():
        table = m._state.table
        while m._state.table is table:
            m[next(numbers)] = None
        assert m["here"] == 1  # which lets m itself go on to the new table

    def use(_):
        grow()
        found.append(view["here"])

    found = []
    dying = weakref.ref(view._table, use)
    grow()
    found.append(view["here"])  # lets the old table go
    assert dying() is None
    grow()
    found.append(view["here"])
    assert found == [1, 1, 1]
    m._check()


@ours
def test_many_keys_of_one_hash_are_found(name):
    """More than a neighbourhood has room for; they come and go, beside others, and through growing and shrinking."""
    m = open_map(name)
    number = scale(200, 70)
    for each in range(number):
        m[Colliding(each)] = each
        m[each] = -each
    m._check()
    for each in range(0, number, 2):
        assert m.pop(Colliding(each)) == each
        assert m.pop(each) == -each
    m._check()
    assert sorted(m.values()) == sorted([*range(1, number, 2), *(-each for each in range(1, number, 2))])
    assert all(m.get(Colliding(each)) == (each if each % 2 else None) for each in range(number))
    m.clear()
    m._check()
    assert len(m) == 0
    assert list(m) == []


@ours
def test_capacity_is_room_that_is_kept(name):
    """A map with it does not grow as far as that, and does not shrink below."""
    m = open_map(name, capacity=1000)
    begun = m.statistics()
    m.update((number, number) for number in range(1000))
    assert m.statistics().resizes == 0
    for number in range(1000):
        del m[number]
    settle(m)
    assert m.statistics().capacity == begun.capacity >= 1000
    m._check()


@ours
def test_a_map_grows_and_shrinks_with_its_entries(name):
    """Its memory follows them both ways."""
    m = open_map(name)
    empty = m.statistics().memory_bytes
    number = scale(20_000, 600)
    m.update((each, each) for each in range(number))
    full = m.statistics()
    assert full.capacity > number
    assert full.resizes >= 4
    for each in range(number):
        assert m.pop(each) == each
    while m.statistics().resizing or m.statistics().capacity >= 64 * 2:
        m["once"] = 1
        m.pop("once", None)
        m._state.help(64)
    assert m.statistics().memory_bytes < max(full.memory_bytes // 4, empty * 4)
    m._check()


@ours
@pytest.mark.parametrize("capacity", [1 << 60, 1 << 50])
def test_a_capacity_that_is_not_to_be_had_is_refused(name, capacity):
    """With an exception; the next map is made."""
    with pytest.raises((ValueError, MemoryError)):
        open_map(name, capacity=capacity)
    assert open_map(name, capacity=10) == {}


# ---- a fixed number of buckets -----------------------------------------------------------------------------


def test_a_fixed_number_of_buckets_is_never_resized():
    """Whatever comes and goes; entries stay in the nodes that they were given."""
    m = open_map("chained", fixed=True, capacity=16)
    number = scale(3000, 300)
    m.update((each, each) for each in range(number))
    m._check()
    table = m._state.table
    assert table.homes == 16
    assert m.statistics().resizes == 0
    assert m.statistics().capacity >= number
    for each in range(number):
        assert m.pop(each) == each
    m._check()
    assert m._state.table is table
    assert m == {}


def test_without_a_number_there_are_as_many_buckets_as_in_kovans_first_release():
    """524,288; and they cost little until they are used."""
    m = open_map("chained", fixed=True)
    assert m._state.table.homes == 524_288
    m.update((each, str(each)) for each in range(100))
    assert len(m) == 100
    assert m[50] == "50"
    assert m.statistics().capacity < 10_000


def test_nodes_that_are_given_back_are_used_again():
    """A fixed map that always has few entries does not get more and more nodes."""
    m = open_map("chained", fixed=True, capacity=8)
    for each in range(scale(5000, 300)):
        m[each] = each
        m.pop(each - 4, None)
    assert m.statistics().capacity <= 64
    m._check()


def test_a_fixed_map_is_cleared():
    """It has its number of buckets again, and its first nodes only; what was in it is dropped."""

    class Value:
        pass

    m = open_map("chained", fixed=True, capacity=8)
    dead = []
    for each in range(100):
        value = Value()
        dead.append(weakref.ref(value))
        m[each] = value
    del value
    m.clear()
    gc.collect()
    assert not any(ref() for ref in dead)
    assert (m._state.table.homes, m.statistics().capacity) == (8, 8)
    m._check()
    m[1] = 2
    assert m == {1: 2}


def test_the_layouts_fit_their_words():
    """Constants that are written out, since mypyc folds only those of a constant's own module."""
    from intermodal import tables
    from intermodal_chained import _table as chained
    from intermodal_hopscotch import _table as hopscotch
    from intermodal_swiss import _table as swiss

    assert tables.OWN == hopscotch.RECORDS == chained.SEGMENTS == swiss.HEADERS
    assert max(hopscotch.BUCKETS, chained.BUCKETS, swiss.SLOTS) < tables.CONTROL_WORDS * 8
    assert chained.DIRECTORY == tables.CONTROL_WORDS * 8
    assert chained.FIRST == chained.DIRECTORY + (1 << chained.SEGMENT_SHIFT)
    assert hopscotch.bit_of(0) == 1 << hopscotch.FIRST_BIT
    assert hopscotch.bit_of(31) * 2 == hopscotch.VERSION_STEP
    assert chained.HEAD_BITS * 2 >> 1 == chained.VERSION_STEP - (1 << chained.HEAD_SHIFT)
    assert (chained.MAXIMUM_SEGMENTS + 1) << chained.PLACE_BITS == chained.HEAD_MASK + 1
