"""The Swiss map under the deterministic scheduler: every interleaving, within bounds, of small scenarios."""

from __future__ import annotations

import itertools

import pytest
from helpers.resizing import reader_beside_moves, resize, settle

import intermodal
from intermodal import open_reclaimer, tables
from intermodal.atomics import fast_range, mix
from intermodal.tables import COPY
from intermodal.testing.scenarios import Call, calls_on, concurrently
from intermodal.testing.scheduler import explore
from intermodal.testing.sequential import SequentialMap
from intermodal_swiss import SwissMap
from intermodal_swiss._state import SwissState

pytestmark = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")


def full(m):
    """One group with 14 of 16 slots taken: the next insertion begins to enlarge it."""
    m.update((number, number) for number in range(14))


def growing(m):
    """Three entries, and 8 of 12 homes moved to a table of 16."""
    m.update((number, number) for number in (1, 2, 3))
    resize(m, 12)
    settle(m)
    resize(m, 16)


def shrinking(m):
    """Three entries, and 8 of 12 homes moved to a table of one."""
    m.update((number, number) for number in (1, 2, 3))
    resize(m, 12)
    settle(m)
    resize(m, 1)


def sparse(m):
    """Six entries in 48 slots: the next removal begins to shrink the table."""
    m.update((number, number) for number in range(6))
    resize(m, 3)
    settle(m)


SITUATIONS = [full, growing, shrinking, sparse]
HERE, THERE = 3, 100  # a key that is there, and one that is not
A, B = calls_on(HERE, "A"), calls_on(HERE, "B")
NEW_A, NEW_B = calls_on(THERE, "A"), calls_on(THERE, "B")
PAIRS = [
    *(
        (A[first], B[second])
        for first, second in itertools.combinations_with_replacement(["get", "set", "pop", "compute"], 2)
    ),
    *((NEW_A["insert"], NEW_B[second]) for second in ("get", "set", "insert", "pop", "compute")),
    (NEW_A["insert"], B["pop"]),
]
#: Those at the boundary of a resize that are explored further, in less than a minute for each situation.
CROSSING = [
    pair
    for pair in PAIRS
    if all(each.name.partition("(")[0] in ("insert", "pop", "get", "compute") for each in pair)
]
LONGER = [
    # What is found in a slot belongs to the key that was looked for, though the slot is used again meanwhile.
    ([A["get"]], [B["pop"], NEW_B["insert"]]),
    ([NEW_A["get"]], [NEW_B["insert"], NEW_B["pop"]]),
    ([A["get"], A["get"]], [B["set"], B["pop"]]),
    ([A["compute"], A["get"]], [B["pop"], B["insert"]]),
    ([NEW_A["insert"], A["get"]], [B["remove_if"], B["setdefault"]]),
    ([A["compare_and_set"]], [B["compare_and_remove"], B["get_or_insert_with"]]),
    ([NEW_A["insert"]], [NEW_B["insert"]], [NEW_B["pop"]]),
    ([A["replace"]], [B["pop"]], [NEW_B["insert"]]),
]
CLEAR = Call("clear", lambda m: m.clear())


def names(value):
    """Return a test's id."""
    if isinstance(value, tuple):
        return " | ".join(" ".join(map(str, each)) if isinstance(each, list) else str(each) for each in value)
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("pair", PAIRS, ids=names)
@pytest.mark.parametrize("situation", SITUATIONS, ids=names)
def test_two_operations_take_effect_one_after_the_other(situation, pair):
    """Wherever one of them is interrupted."""
    scenario = concurrently(SwissMap, [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=1).complete


@pytest.mark.parametrize("pair", CROSSING, ids=names)
@pytest.mark.parametrize("situation", [full, growing], ids=names)
def test_two_operations_at_the_boundary_of_a_resize(situation, pair):
    """Each of them interrupted, or one twice."""
    scenario = concurrently(SwissMap, [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize("threads", LONGER, ids=names)
@pytest.mark.parametrize("situation", [full, shrinking], ids=names)
def test_several_operations_take_effect_in_some_order(situation, threads):
    """Each thread's own order is kept."""
    assert explore(concurrently(SwissMap, *threads, prepare=situation), preemptions=1).complete


def test_a_slot_that_another_home_uses_again_comes_with_a_new_version():
    """An entry that overflows into a group takes the slot of one whose removal is not over."""
    keys = {home: [key for key in range(300) if fast_range(mix(key), 3) == home] for home in (1, 2)}
    (leaves, *_), (*crowd, comes) = keys[2], keys[1][:17]

    def prepare(m):
        m.update((key, "old") for key in (*crowd, leaves))

    scenario = concurrently(
        lambda: SwissMap(SwissState(3)),
        [calls_on(leaves, "")["get"]],
        [calls_on(leaves, "")["pop"]],
        [calls_on(comes, "new")["insert"]],
        prepare=prepare,
    )
    assert explore(scenario, preemptions=2).complete


def test_a_key_is_not_found_before_it_is_there():
    """By the tag of another home's entry, which overflowed into the same slot; the next look would miss it."""
    keys = [[key for key in range(5000) if fast_range(mix(key), 3) == home] for home in (0, 1)]
    crowd = [*keys[0][:17], *keys[1][:16]]  # of the first home one overflows, so searches go on there
    comes, leaves = next(
        pair
        for pair in itertools.product(keys[0][17:], keys[1][16:])
        if mix(pair[0]) & 0x3F == mix(pair[1]) & 0x3F
    )
    scenario = concurrently(
        lambda: SwissMap(SwissState(3)),
        [calls_on(comes, "")["get"]] * 2,
        [calls_on(leaves, "")["pop"], calls_on(comes, "new")["insert"]],
        prepare=lambda m: m.update((key, "old") for key in (*crowd, leaves)),
    )
    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize("threads", LONGER[:2], ids=names)
def test_a_slot_that_is_used_again_is_not_taken_for_what_it_was(threads):
    """By a reader that is interrupted between two looks at it."""
    assert explore(concurrently(SwissMap, *threads, prepare=full), preemptions=2).complete


def test_a_slot_that_is_used_again_does_not_make_up_a_value():
    """get() found the value taken by a removal, then the slot full again, and returned None."""
    scenario = concurrently(SwissMap, [A["get"]], [B["pop"], NEW_B["insert"]], prepare=full)
    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize("pair", [pair for pair in CROSSING if "get" not in pair[0].name], ids=names)
@pytest.mark.parametrize("situation", [full, shrinking], ids=names)
def test_the_memory_orders_suffice(situation, pair):
    """Also if one read gets the oldest value that its memory order allows."""
    scenario = concurrently(SwissMap, [pair[0]], [pair[1]], prepare=situation)
    assert explore(scenario, preemptions=1, older=1).complete


@pytest.mark.parametrize("other", [A["get"], A["pop"], NEW_A["insert"], CLEAR], ids=str)
@pytest.mark.parametrize("situation", [growing, sparse], ids=names)
def test_clearing_removes_what_was_there(situation, other):
    """An operation on one key comes before or after it."""
    assert explore(concurrently(SwissMap, [CLEAR], [other], prepare=situation), preemptions=1).complete


@pytest.mark.parametrize("other", [A["pop"], NEW_A["insert"], A["set"]], ids=str)
@pytest.mark.parametrize("situation", SITUATIONS, ids=names)
def test_iteration_yields_what_stays_once(situation, other):
    """And no key twice, whatever is moved meanwhile."""

    def scenario():
        m = SwissMap()
        situation(m)
        before = dict(m.items())
        seen, _ = yield lambda: list(m.items()), lambda: other.outcome(m.handle())
        keys = [key for key, _ in seen]
        assert len(keys) == len(set(keys)), seen
        assert {HERE} >= set(before) - set(keys), seen
        assert {HERE, THERE} >= {key for key, value in seen if before.get(key) != value}, seen
        m._check()

    assert explore(scenario, preemptions=1).complete


def test_a_shrink_gives_way_to_a_burst_of_insertions():
    """The size was chosen for the entries before; moving them must not find the next table full."""

    def scenario():
        m = SwissMap()
        sparse(m)

        def insert():
            handle = m.handle()
            for number in range(100, 114):
                handle[number] = number

        yield lambda: m.handle().pop(0), insert
        assert len(m) == 19
        m._check()

    assert explore(scenario, preemptions=1).complete


def test_an_insertion_is_counted_by_a_resize_or_sees_it(monkeypatch):
    """Otherwise the next table promises a slot that an entry to be moved needs: the fence between the two."""
    monkeypatch.setattr(tables, "HELP_SLOTS", 1)

    def scenario():
        m = SwissMap((number, number) for number in range(14))
        resize(m, 3)
        settle(m)
        yield lambda: m._state.start(m._state.table, 1, COPY), lambda: m.handle().insert(THERE, "B")
        m._check()

    assert explore(scenario, preemptions=1, older=2, runs=300).longest > 100


def test_a_reader_waits_for_nobody(monkeypatch):
    """Wherever the threads that move homes and write are interrupted; so reads are lock-free."""

    def resizing_map():
        m = SwissMap()
        growing(m)
        return m

    scenario = reader_beside_moves(monkeypatch, resizing_map, (1, 2, HERE), looks=6, moves=8)
    assert explore(scenario, preemptions=1).complete


# ---- under a reclaimer -------------------------------------------------------------------------------------


def flush(m):
    """Free what the thread has retired, as far as no section is in the way."""
    if not isinstance(m, SequentialMap):
        m._state.reclaimer.flush()


FLUSH = Call("flush", flush)
RECLAIMED = [
    ([A["get"]], [B["set"], FLUSH]),
    ([A["get"]], [B["pop"], FLUSH]),
    ([A["get"]], [NEW_B["insert"], FLUSH]),
    ([A["replace"]], [B["pop"], FLUSH]),
    ([A["pop"], FLUSH], [B["compute"], FLUSH]),
]


def reclaimed(reclaimer):
    """Return what makes maps with a reclaimer of their own."""
    return lambda: SwissMap.with_capacity(0, open_reclaimer(reclaimer))


@pytest.mark.parametrize("threads", RECLAIMED, ids=names)
@pytest.mark.parametrize("situation", [full, growing], ids=names)
@pytest.mark.parametrize("reclaimer", ["epoch", "hyaline"])
def test_nothing_is_looked_at_that_may_have_been_freed(reclaimer, situation, threads):
    """No table, which is an address in no live block then, and no key or value, which no slot holds then."""
    scenario = concurrently(reclaimed(reclaimer), *threads, prepare=situation)
    assert explore(scenario, preemptions=1).complete


@pytest.mark.parametrize("threads", RECLAIMED[:2], ids=names)
@pytest.mark.parametrize("reclaimer", ["epoch", "hyaline"])
def test_nor_with_older_values(reclaimer, threads):
    """Wherever the memory order allows one."""
    scenario = concurrently(reclaimed(reclaimer), *threads, prepare=full)
    assert explore(scenario, preemptions=1, older=1).complete
