"""Every key and value is dropped when it should be, once, and the memory of the map with it."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
import types
import weakref

import pytest

from intermodal import ABSENT
from intermodal.testing.keys import Key
from intermodal.testing.lifetimes import Ledger
from intermodal.testing.promises import unpromised
from intermodal.testing.subjects import scale
from intermodal.testing.threads import in_threads

# ---- exact accounting ----------------------------------------------------------------------------------


def test_an_overwritten_value_is_dropped(subject):
    """By every operation that sets; the map holds one."""
    ledger = Ledger(subject.settle)
    m = subject.map(a=ledger.value())
    for set_value in (
        lambda: m.__setitem__("a", ledger.value()),
        lambda: m.replace("a", ledger.value()) and None,
        lambda: m.compute("a", lambda _: ledger.value()) and None,
        lambda: m.compare_and_set("a", m["a"], ledger.value()),
        lambda: m.update(a=ledger.value()),
        lambda: m.set_many("a", [ledger.value()]),
        lambda: m.insert("a", ledger.value()),
        lambda: m.setdefault("a", ledger.value()) and None,
        lambda: m.get_or_insert_with("a", ledger.value) and None,
    ):
        set_value()
        ledger.expect(1)
    del m["a"]
    ledger.expect(0)


def test_removed_keys_and_values_are_dropped(subject):
    """By every operation that removes."""
    for remove in (
        lambda m, key: m.__delitem__(key),
        lambda m, key: m.pop(key) and None,
        lambda m, _: m.popitem() and None,
        lambda m, key: m.compute(key, lambda _: ABSENT) is ABSENT,
        lambda m, key: m.compare_and_set(key, m[key], ABSENT),
        lambda m, key: m.remove_if(key, lambda _: True),
        lambda m, _: m.retain(lambda *_: False),
        lambda m, key: m.pop_many([key]) and None,
        lambda m, _: m.clear(),
    ):
        ledger = Ledger(subject.settle)
        m = subject.map()
        m[ledger.key("a")] = ledger.value()
        ledger.expect(2)
        remove(m, Key("a"))
        ledger.expect(0)


def test_a_key_given_for_an_entry_that_exists_is_not_kept(subject):
    """The first of equal keys stays, the others go."""
    ledger = Ledger(subject.settle)
    m = subject.map([(ledger.key("a"), 0)])
    for number in range(10):
        m[ledger.key("a")] = number
        m.setdefault(ledger.key("a"), number)
        m.replace(ledger.key("a"), number)
        m.get(ledger.key("a"))
        m.insert(ledger.key("a"), number)
    ledger.expect(1)
    m.clear()
    ledger.expect(0)


@pytest.mark.parametrize("hashes", ["spread", "colliding"])
def test_growth_and_shrinking_neither_lose_nor_keep_anything(subject, hashes):
    """At every step as many are alive as the map has, keys and values."""
    ledger = Ledger(subject.settle)
    count = scale(400, 60)
    m = subject.map()

    def key(make, number):
        return make(number, number % 5 if hashes == "colliding" else None)

    for _ in range(2):
        for number in range(count):
            m[key(ledger.key, number)] = ledger.value()
            if number % 50 == 0:
                ledger.expect(2 * len(m))
        for number in range(count):
            del m[key(Key, number)]
            if number % 50 == 0:
                ledger.expect(2 * len(m))
        ledger.expect(0)


def test_copies_share_and_release(subject):
    """Objects go with the last map that has them."""
    ledger = Ledger(subject.settle)
    m = subject.map((ledger.key(number), ledger.value()) for number in range(50))
    other = m.copy()
    ledger.expect(100)
    m.clear()
    ledger.expect(100)
    del other[Key(1)]
    ledger.expect(98)
    del other
    ledger.expect(0)


def test_a_dropped_map_drops_its_entries(subject):
    """Also in the middle of a resize."""
    for count in (1, 14, 15, 16, 30, 100, 113, 120):
        ledger = Ledger(subject.settle)
        m = subject.loose()
        for number in range(count):
            m[ledger.key(number)] = ledger.value()
        ledger.expect(2 * count)
        del m
        ledger.expect(0)


def test_closing_and_dropping_handles_drops_nothing_of_the_map(backend):
    """And closing the last one drops everything."""
    ledger = Ledger(backend.settle)
    m = backend.loose((ledger.key(number), ledger.value()) for number in range(50))
    for _ in range(20):
        with m.handle() as handle:
            handle[1] = 2
        m.handle()[2] = 3
    ledger.expect(100)
    last = m.handle()
    del m, handle
    ledger.expect(100)
    last.close()
    del last
    ledger.expect(0)


def test_an_iterator_left_alone_keeps_no_removed_entries_for_long(subject):
    """It may keep those it has read ahead, and drops them when it goes."""
    ledger = Ledger(subject.settle)
    m = subject.map((ledger.key(number), ledger.value()) for number in range(200))
    entries = iter(m.items())
    next(entries)
    m.clear()
    del entries
    ledger.expect(0)


def test_an_operation_that_raises_keeps_nothing(subject):
    """Neither the key nor the value."""
    ledger = Ledger(subject.settle)
    m = subject.map()

    def fail(_):
        raise RuntimeError

    for call in (
        lambda: m.__setitem__(ledger.key("a"), ABSENT),
        lambda: m[ledger.key("a")],
        lambda: m.pop(ledger.key("a")),
        lambda: m.replace(ledger.key("a"), ledger.value()),
        lambda: m.compute(ledger.key("a"), fail),
        lambda: m.set_many([ledger.key("a")], [ledger.value(), ledger.value()]),
    ):
        with pytest.raises((ValueError, KeyError, RuntimeError)):
            call()
    ledger.expect(0)


def test_reference_counts_of_shared_objects_come_back_to_what_they_were(subject):
    """A key and a value used a thousand times."""
    key, value = Key("a"), object()
    counts = sys.getrefcount(key), sys.getrefcount(value)
    m = subject.map()
    for number in range(scale(300, 50)):
        m[key] = value
        m[Key("a")] = value
        m.get(key)
        m.setdefault(key, value)
        m[number] = value
        m.compute(key, lambda old: old)
        m.pop(key)
    m.clear()
    gc.collect()
    assert (sys.getrefcount(key), sys.getrefcount(value)) == counts


def test_threads_that_change_one_map_lose_no_object(subject):
    """After a storm, as many are alive as the map has; after clear() none."""
    ledger = Ledger(subject.settle)
    m = subject.map()

    def storm(seed):
        view = m.handle()
        for number in range(scale(1500, 60)):
            name = (number * 7 + seed) % 40
            view[ledger.key(name)] = ledger.value()
            if number % 3 == 0:
                view.pop(Key((name + seed) % 40), None)
            if number % 100 == 99:
                view.clear()
        view.close()

    in_threads(3, storm)
    ledger.expect(2 * len(m))
    m._check()
    m.clear()
    ledger.expect(0)


# ---- the cyclic garbage collector ----------------------------------------------------------------------


def test_a_map_that_holds_itself_is_collected(backend):
    """As value, in a value, as a handle, and through a bound method."""
    for tie in (
        lambda m: m.__setitem__("self", m),
        lambda m: m.__setitem__("list", [[m]]),
        lambda m: m.__setitem__("handle", m.handle()),
        lambda m: m.__setitem__("method", m.get),
        lambda m: m.__setitem__("view", m.items()),
        lambda m: m.__setitem__("iterator", iter(m.items())),
    ):
        m = backend.loose((str(number), number) for number in range(40))
        tie(m)
        reference = weakref.ref(m)
        del m
        gc.collect()
        assert reference() is None


@pytest.mark.parametrize("count", [1, 14, 15, 29, 113])
def test_values_that_refer_to_the_map_are_collected(backend, count):
    """Also if it was being resized."""
    ledger = Ledger(backend.settle)
    m = backend.loose()
    for number in range(count):
        value = ledger.value()
        value.owner = m
        m[ledger.key(number)] = value
    del m, value
    ledger.expect(0)


def test_maps_that_hold_each_other_are_collected(backend):
    """Through handles too."""
    ledger = Ledger(backend.settle)
    one, two = backend.loose(), backend.loose()
    one["two"], two["one"] = two.handle(), one.handle()
    one["value"], two["value"] = ledger.value(), ledger.value()
    del one, two
    ledger.expect(0)


@pytest.mark.parametrize("count", [1, 15, 200])
def test_the_collector_can_reach_everything_in_a_map(backend, count):
    """From the map, by gc.get_referents; and everything once, so that counts come out right."""
    m = backend.map()
    values = [[number] for number in range(count)]
    for number, value in enumerate(values):
        m[number] = value
    elsewhere = type, types.ModuleType, types.FunctionType, types.FrameType
    reachable, queue, seen = [], [m], set()
    while queue:
        at = queue.pop()
        if id(at) in seen or isinstance(at, type) or at is values:
            continue
        seen.add(id(at))
        referents = gc.get_referents(at)
        reachable += [each for each in referents if type(each) is list and len(each) == 1]
        queue += [each for each in referents if not isinstance(each, elsewhere)]
        assert len(seen) < 100_000, "it leads out of the map"
    assert {id(value) for value in values} <= {id(each) for each in reachable}


def test_the_collector_does_not_free_what_a_handle_still_uses(backend):
    """A cycle that can be reached stays."""
    m = backend.loose()
    m["self"] = m
    m["value"] = 1
    handle = m.handle()
    del m
    gc.collect()
    assert handle["value"] == 1
    assert handle["self"]["value"] == 1
    handle.clear()


# ---- memory --------------------------------------------------------------------------------------------


def nested(backend, depth):
    """Return a map in a map in a map..."""
    outer = backend.loose()
    for _ in range(depth):
        inner, outer = outer, backend.loose()
        outer["inner"] = inner
    return outer


def test_ten_thousand_nested_maps_are_freed_without_a_crash(backend):
    """However little stack there is."""
    outer = nested(backend, scale(10_000, 2000))
    reference = weakref.ref(outer)
    del outer
    gc.collect()
    assert reference() is None


def test_nested_maps_are_freed_without_a_crash_in_a_thread(backend):
    """Whose stack is smaller."""

    def work(_):
        outer = nested(backend, scale(10_000, 2000))
        del outer

    in_threads(2, work)


def test_nested_maps_in_a_cycle_are_collected_without_a_crash(backend):
    """By the collector, not by counts."""
    innermost = outer = backend.loose()
    for _ in range(scale(5000, 1000)):
        inner, outer = outer, backend.loose()
        outer["inner"] = inner
    innermost["outer"] = outer
    reference = weakref.ref(outer)
    del innermost, outer, inner
    gc.collect()
    assert reference() is None


@unpromised("ordered")  # a tree keeps its nodes for what comes next
def test_memory_is_given_back_by_clear(subject):
    """What the interpreter allocated for the entries and, if the backend counts it, what the engine did."""
    m = subject.map()
    m[1] = 1
    m.clear()
    used = getattr(m.statistics(), "memory_bytes", 0)
    tracemalloc.start()
    try:
        # Once in a while something grows that all maps share, such as the registry of blocks.
        assert any(part_that_clear_leaves(m) < 1 / 10 for _ in range(3))
    finally:
        tracemalloc.stop()
    assert getattr(m.statistics(), "memory_bytes", 0) == used


def part_that_clear_leaves(m):
    """Return how much of the traced memory that entries take is still taken when they have been removed."""
    before = tracemalloc.get_traced_memory()[0]
    m.update((number, (number,)) for number in range(1000, 1000 + scale(10_000, 400)))
    full = tracemalloc.get_traced_memory()[0]
    m.clear()
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / (full - before)


def test_threads_that_come_and_go_leave_nothing_behind(backend):
    """Their handles' memory, closed or not."""
    m = backend.map((number, number) for number in range(100))
    gc.collect()
    before = len(gc.get_objects())

    def visit(seed):
        view = m.handle()
        view[seed] = seed
        if seed % 2:
            view.close()

    for _ in range(scale(50, 10)):
        in_threads(4, visit)
    gc.collect()
    assert len(gc.get_objects()) < before + 200
    assert threading.active_count() < 20
