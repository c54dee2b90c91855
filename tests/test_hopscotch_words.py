"""What is particular to hopscotch's typed maps: displacements, far entries, homes that feed one home."""

from __future__ import annotations

from array import array

import pytest
from helpers.resizing import resize, settle

import intermodal
from intermodal import ABSENT, tables, words
from intermodal.atomics import fast_range, mix
from intermodal.tables import COPY
from intermodal.testing.scenarios import Call, concurrently
from intermodal.testing.scheduler import explore
from intermodal_hopscotch import HopscotchIntegers
from intermodal_hopscotch import _words as hopscotch
from intermodal_hopscotch._table import NEIGHBOURS

HOMES = 16


def keys_of(home, count, homes=HOMES, first=0):
    """Return the first *count* keys from *first* on that have *home* in a table with so many homes."""
    found = []
    while len(found) < count:
        if fast_range(mix(first), homes) == home:
            found.append(first)
        first += 1
    return found


def reach_of(m):
    """Return how far from its home a far entry may be."""
    table = m._state.table
    return words.load(table.control + hopscotch.REACH, words.RELAXED)


def marked(m):
    """Return which homes have far entries."""
    table = m._state.table
    every = range(table.homes)
    return [home for home in every if words.load(table.lock_of_home(home), words.RELAXED) & hopscotch.FAR]


# ---- one thread --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("home", [0, 7, HOMES - 1])
def test_keys_that_collide_work(home):
    """More than a neighbourhood has slots for, of a home at the end of the table too, alone and in arrays."""
    m = HopscotchIntegers()
    keys = keys_of(home, 45)
    for key in keys:
        m[key] = -key
    m._check()
    assert marked(m) == [home]
    asked = array("q", [*keys, -1])
    assert list(m.get_many(asked, 1)) == [*(-key for key in keys), 1]
    assert sorted(m) == sorted(m.items_arrays()[0]) == keys
    for key in keys[::-2]:
        assert m.pop(key) == -key
        m._check()
    assert sorted(m) == keys[1::2]
    m.set_many(array("q", keys), array("q", keys))
    m._check()
    assert m.pop_many(asked, 5) == array("q", [*keys, 5])
    m._check()
    assert m == {}
    assert marked(m) == []


def test_keys_that_collide_move():
    """To a table of another size, and stay together there."""
    keys = keys_of(5, 200, homes=1 << 10)
    m = HopscotchIntegers.with_capacity(1000)
    m.set_many(array("q", keys), array("q", keys))
    assert marked(m)
    for homes in (2000, 300, 600):
        resize(m, homes)
        m._check()
        settle(m)
        m._check()
        assert list(m.get_many(array("q", keys))) == keys
    m.clear()
    assert m == {}
    m._check()


def test_a_displacement_makes_room_in_the_neighbourhood():
    """The next free slot is behind it, and an entry of the next home goes there."""
    m = HopscotchIntegers()
    crowd(m)
    new = keys_of(0, 3)[2]
    m[new] = 1
    assert marked(m) == []
    assert reach_of(m) == 0
    m._check()
    table = m._state.table
    slot = table.find(mix(new), new)
    assert table.distance_of(0, slot) == 2
    assert m[displaced()] == displaced()


def crowd(m):
    """Fill the first 32 slots, each with an entry of the home whose first slot it is, or the one before."""
    for home in range(NEIGHBOURS // 2):
        for key in keys_of(home, 2):
            m[key] = key


def displaced():
    """Return the key that goes when another one of home 0 comes."""
    return keys_of(1, 1)[0]


# ---- every interleaving, within bounds ---------------------------------------------------------------------

schedules = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")


def get(key):
    return Call(f"get({key})", lambda m: m.get(key, ABSENT))


def get_many(key):
    return Call(f"get_many({key})", lambda m: list(m.get_many(array("q", [key]), -1)))


def pop(key):
    return Call(f"pop({key})", lambda m: m.pop(key, None))


def add(key):
    return Call(f"compute({key})", lambda m: m.compute(key, lambda old: 1 if old is ABSENT else old + 1000))


def insert(key):
    return Call(f"insert({key})", lambda m: m.insert(key, key + 5000))


def home_zero(m):
    """Fill the neighbourhood of home 0 with its keys; one more, the first far one, is behind it."""
    for key in keys_of(0, NEIGHBOURS + 1):
        m[key] = key


def two_far(m):
    """Do that, and put another far one behind it."""
    home_zero(m)
    m[NEW_FAR] = NEW_FAR


def neighbour(m):
    """Do that, and put a key of home 1 behind the far one."""
    home_zero(m)
    m[OF_ONE] = OF_ONE


IN_ZERO = keys_of(0, NEIGHBOURS + 4)
FAR_ENTRY, NEW_FAR = IN_ZERO[NEIGHBOURS], IN_ZERO[NEIGHBOURS + 1]
OF_ONE = keys_of(1, 1)[0]
NEW = IN_ZERO[2]


def both(situation, *threads):
    """Return the scenario of a table of 16 homes in that situation."""
    return concurrently(HopscotchIntegers, *threads, prepare=situation)


@schedules
@pytest.mark.parametrize("older", [0, 1])
@pytest.mark.parametrize("call", [get, get_many, add, pop, insert])
def test_an_entry_that_is_displaced_is_there_throughout(call, older):
    """Once, for readers and writers; what is written to it meanwhile is not lost."""
    scenario = both(crowd, [call(displaced())], [insert(NEW)])
    assert explore(scenario, preemptions=2 - older, older=older).complete


@schedules
def test_of_two_that_displace_each_gets_a_slot():
    """Of the same home, or of two."""
    for other in (IN_ZERO[3], keys_of(1, 3)[2]):
        assert explore(both(crowd, [insert(NEW)], [insert(other)]), preemptions=1).complete


@schedules
@pytest.mark.parametrize("older", [0, 1])
@pytest.mark.parametrize("call", [get, get_many, add, pop])
def test_a_far_entrys_slot_is_not_taken_for_what_it_was(call, older):
    """When it is removed, and the slot is another home's; and the other way round."""
    for situation, key, threads in (
        (home_zero, FAR_ENTRY, [pop(FAR_ENTRY), insert(OF_ONE)]),
        (two_far, NEW_FAR, [pop(NEW_FAR), insert(OF_ONE)]),
        (neighbour, NEW_FAR, [pop(OF_ONE), insert(NEW_FAR)]),
    ):
        assert explore(both(situation, [call(key)], threads), preemptions=2 - older, older=older).complete


@schedules
@pytest.mark.parametrize(
    ("situation", "removed", "new"),
    [(crowd, displaced(), NEW), (home_zero, FAR_ENTRY, OF_ONE)],
    ids=["near", "far"],
)
def test_a_slot_is_given_back_after_the_new_version(situation, removed, new):
    """Somebody else takes it before the removal is over, and a reader is still there."""
    assert explore(both(situation, [get(removed)], [pop(removed)], [insert(new)]), preemptions=2).complete


@schedules
@pytest.mark.parametrize("older", [0, 1])
def test_iteration_meets_far_entries_whole(older):
    """In arrays too: a key with the value of another one's entry is never seen."""

    def scenario():
        m = HopscotchIntegers()
        neighbour(m)

        def change():
            m.pop(OF_ONE)
            m.insert(NEW_FAR, NEW_FAR)
            m.pop(FAR_ENTRY)

        (found, values), _ = yield m.items_arrays, change
        assert set(found) - {OF_ONE, NEW_FAR, FAR_ENTRY} == set(IN_ZERO[:NEIGHBOURS])
        assert found == values
        m._check()

    assert explore(scenario, preemptions=1, older=older).complete


@schedules
@pytest.mark.parametrize(
    "threads", [([pop(FAR_ENTRY)], [insert(NEW_FAR)]), ([insert(NEW_FAR)], [insert(IN_ZERO[-1])])]
)
def test_a_home_is_marked_while_it_has_far_entries(threads):
    """And its keys are found, whoever comes and goes."""
    assert explore(both(home_zero, *threads), preemptions=2).complete


def next_to_full(m):
    """Fill the neighbourhoods of homes 0 and 1; the next entry of either is far, the first far one."""
    for key in (*IN_ZERO[:NEIGHBOURS], *keys_of(1, 2)):
        m[key] = key


@schedules
def test_the_reach_is_that_of_the_farthest():
    """Of two homes that place far entries at the same time."""
    threads = [insert(FAR_ENTRY)], [insert(keys_of(1, 3)[2])]
    assert explore(both(next_to_full, *threads), preemptions=1).complete


def feeding(m):
    """Have some keys in 32 homes, and begin to halve their number: two feed one."""
    for home in range(8):
        for key in keys_of(home, 2, homes=2 * HOMES):
            m[key] = key
    state = m._state
    assert state.start(state.table, 2 * HOMES, COPY)
    settle(m)
    assert state.start(state.table, HOMES, COPY)


FEED = {home: keys_of(home, 3, homes=2 * HOMES) for home in range(8)}


@schedules
@pytest.mark.parametrize("older", [0, 1])
@pytest.mark.parametrize(
    "threads",
    [
        ([insert(FEED[6][2])], [insert(FEED[7][2])]),
        ([pop(FEED[6][0])], [insert(FEED[7][2])]),
        ([get_many(FEED[6][0])], [add(FEED[7][0])]),
    ],
)
def test_homes_that_feed_one_home_lose_nothing(monkeypatch, threads, older):
    """Moved by two threads at once, while the entries of one are changed in the next table already."""
    for name in ("HELP_SLOTS", "READ_HELP_SLOTS"):
        for module in (tables, words):
            monkeypatch.setattr(module, name, 1)
    assert explore(both(feeding, *threads), preemptions=1, older=older, runs=1000)
