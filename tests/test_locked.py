"""The locked backend: every operation one step, functions called once, nothing destroyed under the lock."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from collections.abc import MutableMapping
from types import MappingProxyType

import pytest

from intermodal import ABSENT, ConcurrentMap, open_map
from intermodal.testing.threads import finishes, in_threads
from intermodal_locked import LockedMap

# ---- what every map can do -----------------------------------------------------------------------------


def test_it_is_made_as_a_dict_is():
    """From nothing, a mapping, pairs, keywords; a second call of __init__ only updates."""
    assert LockedMap() == {}
    assert LockedMap({1: 2}) == LockedMap([(1, 2)]) == {1: 2}
    m = LockedMap({"a": 1}, b=2)
    m.__init__(c=3)
    assert m == {"a": 1, "b": 2, "c": 3}
    assert open_map("locked", capacity=10) == {}


def test_it_is_a_mutable_mapping_that_match_statements_know():
    """It is registered as one, not derived from it."""
    m = LockedMap(a=1)
    assert isinstance(m, MutableMapping)
    assert isinstance(m, ConcurrentMap)
    match m:
        case {"a": value}:
            assert value == 1
        case _:
            pytest.fail("a map is no mapping pattern")


@pytest.mark.parametrize("key", ["a", ("a", "b"), ()])
@pytest.mark.parametrize("method", ["__getitem__", "__delitem__", "pop", "replace"])
def test_a_missing_key_is_the_argument_of_the_key_error(method, key):
    """Also a tuple, which must not become several arguments."""
    arguments = (key, 1) if method == "replace" else (key,)
    with pytest.raises(KeyError) as error:
        getattr(LockedMap(), method)(*arguments)
    assert error.value.args == (key,)


@pytest.mark.parametrize(
    "store",
    [
        lambda m: m.__setitem__("a", ABSENT),
        lambda m: m.setdefault("new", ABSENT),
        lambda m: m.insert("new", ABSENT),
        lambda m: m.replace("a", ABSENT),
        lambda m: m.update(a=ABSENT),
        lambda m: m.update({"new": 1, "a": ABSENT}),
        lambda m: m.set_many(["new", "a"], [1, ABSENT]),
        lambda m: m.set_many([("new", 1), ("a", ABSENT)]),
        lambda m: m.get_or_insert_with("new", lambda: ABSENT),
        lambda m: LockedMap(a=ABSENT),
    ],
)
def test_absent_cannot_be_stored(store):
    """And nothing else is, in the attempt."""
    m = LockedMap(a=1)
    with pytest.raises(ValueError, match="ABSENT stands for 'no entry'"):
        store(m)
    assert m == {"a": 1}
    m._check()


def test_order_is_that_in_which_keys_were_added():
    """As in a dict: popitem takes the last."""
    m = LockedMap.fromkeys("dbac", 0)
    m["b"] = 1
    assert list(m) == list(m.keys()) == ["d", "b", "a", "c"]
    assert list(m.items()) == [("d", 0), ("b", 1), ("a", 0), ("c", 0)]
    assert [m.popitem()[0] for _ in range(4)] == ["c", "a", "b", "d"]
    with pytest.raises(KeyError, match="map is empty"):
        m.popitem()


def test_conditional_updates_do_what_they_say():
    """insert, replace, compare_and_set, compute, get_or_insert_with, remove_if."""
    m = LockedMap()
    assert (m.insert("a", 1), m.insert("a", 2), m["a"]) == (True, False, 1)
    assert (m.replace("a", 2), m["a"]) == (1, 2)
    assert (m.compare_and_set("a", 2.0, 3), m.compare_and_set("a", 2, 4), m["a"]) == (True, False, 3)
    assert (m.compare_and_set("a", ABSENT, 5), m.compare_and_set("b", 0, 5)) == (False, False)
    assert (m.compare_and_set("b", ABSENT, 5), m.compare_and_set("a", 3, ABSENT), m) == (True, True, {"b": 5})
    assert (m.compute("c", lambda old: [old]), m["c"]) == ([ABSENT], [ABSENT])
    assert (m.compute("c", lambda _: ABSENT), "c" in m) == (ABSENT, False)
    assert (m.get_or_insert_with("d", list), m.get_or_insert_with("b", list)) == ([], 5)
    assert (m.remove_if("d", bool), m.remove_if("b", bool), m.remove_if("z", bool)) == (False, True, False)
    assert m == {"d": []}


def test_batches_do_what_they_say():
    """get_many, set_many, pop_many, retain, update."""
    m = LockedMap()
    m.set_many("abc", [1, 2, 3])
    m.set_many({"d": 4})
    m.update([("e", 5)], f=6)
    assert m.get_many(iter("abz"), 0) == [1, 2, 0]
    assert m.pop_many(iter("aaz")) == [1, None, None]
    assert m.retain(lambda key, value: key == "b" or value > 4) == 2
    assert m == {"b": 2, "e": 5, "f": 6}
    with pytest.raises(ValueError, match="3 keys and 1 values; nothing was set"):
        m.set_many("xyz", [1])
    m.update(m)
    m.clear()
    assert (len(m), m) == (0, {})


def test_update_reads_another_concurrent_map_by_its_entries():
    """By its keys and then each value, an entry could go in between."""

    class Vanishing(LockedMap):
        def __getitem__(self, key):
            raise KeyError(key)

    assert LockedMap(Vanishing(a=1)) == {"a": 1}


def test_copies_are_of_the_same_class_and_independent():
    """copy(), copy.copy and |; keys and values are shared."""

    class Mine(LockedMap):
        pass

    value = []
    m = Mine(a=value)
    for other in m.copy(), copy.copy(m), m | {}:
        assert type(other) is Mine
        assert other["a"] is value
        other["b"] = 1
    assert m == {"a": value}


class WithAttribute(LockedMap):
    """At module level, where pickle finds it."""


def test_a_pickle_holds_entries_and_attributes():
    """And no lock; likewise a deep copy."""
    m = WithAttribute(a=[1])
    m.note = "kept"
    for other in pickle.loads(pickle.dumps(m)), copy.deepcopy(m):
        assert (type(other), other, other.note) == (WithAttribute, m, "kept")
        assert other["a"] is not m["a"]
        other["b"] = 2
    assert pickle.loads(pickle.dumps(LockedMap(a=1))) == {"a": 1}


def test_it_can_be_weakly_referenced_by_several():
    """All are told when it goes."""
    told = []
    m = LockedMap()
    references = [weakref.ref(m, lambda _, index=index: told.append(index)) for index in range(3)]
    assert all(reference() is m for reference in references)
    del m
    gc.collect()
    assert sorted(told) == [0, 1, 2]


def test_the_collector_frees_a_map_that_holds_itself():
    """It sees the entries."""
    m = LockedMap()
    m["self"] = m
    reference = weakref.ref(m)
    del m
    gc.collect()
    assert reference() is None


def test_its_size_grows_with_its_entries():
    """sys.getsizeof counts the dict."""
    m = LockedMap()
    empty = sys.getsizeof(m)
    m.update((number, number) for number in range(1000))
    assert sys.getsizeof(m) > empty + 1000 * 16


def test_it_takes_type_arguments_and_is_not_hashable():
    """As dict."""
    assert repr(LockedMap[str, int]) == "intermodal_locked.LockedMap[str, int]"
    with pytest.raises(TypeError, match="unhashable type: 'LockedMap'"):
        hash(LockedMap())


# ---- one step ------------------------------------------------------------------------------------------


def test_compute_calls_its_function_once_and_loses_nothing_between_threads():
    """Totals are exact and no call was in vain."""
    m = LockedMap()
    calls = []

    def add_one(old):
        calls.append(1)
        return 1 if old is ABSENT else old + 1

    in_threads(4, lambda _: [m.compute("hits", add_one) for _ in range(500)])
    assert m == {"hits": 2000}
    assert len(calls) == 2000


def test_get_or_insert_with_calls_one_factory_for_all_threads():
    """All get what it made."""
    m = LockedMap()
    made, got = [], []

    def factory():
        made.append(object())
        return made[-1]

    in_threads(4, lambda _: got.append(m.get_or_insert_with("a", factory)))
    assert len(made) == 1
    assert got == made * 4


def test_batches_are_seen_whole():
    """A reader sees all of an update or none of it."""
    m = LockedMap(a=0, b=0)
    seen = []

    def work(_):
        for number in range(1, 301):
            m.update(a=number, b=number)
            seen.append(m.get_many("ab"))
            seen.append(list(m.snapshot().values()))
            seen.append(list(m.values()))

    in_threads(3, work)
    assert all(a == b for a, b in seen)


def test_a_key_inserted_by_several_threads_is_added_by_one():
    """insert() answers True exactly once for each key; popitem gives each entry away once."""
    m = LockedMap()
    added, taken = [], []
    in_threads(4, lambda _: added.append(sum(m.insert(number, number) for number in range(300))))
    assert sum(added) == len(m) == 300

    def take(_):
        try:
            while True:
                taken.append(m.popitem()[0])
        except KeyError:
            pass

    in_threads(4, take)
    assert sorted(taken) == list(range(300))


@pytest.mark.parametrize("view", [iter, LockedMap.keys, LockedMap.values, LockedMap.items])
def test_iteration_is_over_the_entries_at_its_beginning(view):
    """Changes neither show in it nor disturb it."""
    m = LockedMap((number, number) for number in range(5))
    before = list(view(m))
    seen = []
    for number, found in enumerate(view(m)):
        seen.append(found)
        m[number + 100] = None
        m.pop(number + 1, None)
    assert seen == before


def test_a_snapshot_is_read_only_and_stays_as_it_is():
    """It is a copy behind a proxy."""
    m = LockedMap(a=1)
    snapshot = m.snapshot()
    m["a"] = 2
    assert snapshot == {"a": 1}
    assert isinstance(snapshot, MappingProxyType)
    with pytest.raises(TypeError):
        snapshot["a"] = 3


class FailureError(Exception):
    pass


class Hostile:
    """A key that is equal to none and raises when compared."""

    def __hash__(self):
        return hash("a")

    def __eq__(self, other):
        raise FailureError


def fail(*_):
    raise FailureError


@pytest.mark.parametrize(
    "operation",
    [
        lambda m: m.update([("b", 0), (Hostile(), 1)]),
        lambda m: m.set_many(["b", Hostile()], [0, 1]),
        lambda m: m.pop_many(["b", Hostile()]),
        lambda m: m.retain(lambda key, _: key == "a" or fail()),
        lambda m: m.compute("a", fail),
        lambda m: m.get_or_insert_with("new", fail),
        lambda m: m.remove_if("a", fail),
        lambda m: m.compare_and_set("a", Hostile(), 2),
        lambda m: m.replace(Hostile(), 2),
        lambda m: m.insert(Hostile(), 2),
        lambda m: m.__setitem__(Hostile(), 2),
        lambda m: m.update(fail() for _ in "a"),
    ],
)
def test_if_user_code_raises_nothing_has_changed_and_the_lock_is_free(operation):
    """Also when it raises in the middle of a batch."""
    m = LockedMap(b=2, c=3, a=1)
    with pytest.raises(FailureError):
        operation(m)
    assert finishes(lambda: m.get("a"))
    assert list(m.items()) == [("b", 2), ("c", 3), ("a", 1)]


# ---- user code and the lock ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        lambda m: m.compute("a", lambda _: m.setdefault("b", 1)),
        lambda m: m.get_or_insert_with("new", lambda: len(m)),
        lambda m: m.remove_if("a", lambda _: m.pop("b", True)),
        lambda m: m.retain(lambda key, _: m.get(key)),
    ],
)
def test_a_function_may_use_the_map_that_calls_it(operation):
    """The lock is re-entrant; in another thread the same code would wait for ever if it were not."""
    m = LockedMap(a=1)
    assert finishes(lambda: operation(m))


def test_a_key_may_use_the_map_while_it_is_compared():
    """__eq__ and __hash__ of keys run under the lock, which is theirs."""
    m = LockedMap()

    class Key:
        def __hash__(self):
            len(m)
            return 1

        def __eq__(self, other):
            m.get("x")
            return False

    assert finishes(lambda: m.set_many([Key(), Key()], [1, 2]))
    assert len(m) == 2


@pytest.mark.parametrize(
    "operation",
    [
        lambda m: m.__setitem__("a", 0),
        lambda m: m.__delitem__("a"),
        lambda m: m.pop("a") and None,
        lambda m: m.popitem() and None,
        lambda m: m.replace("a", 0) and None,
        lambda m: m.compare_and_set("a", m["a"], 0),
        lambda m: m.compare_and_set("a", m["a"], ABSENT),
        lambda m: m.compute("a", lambda _: 0),
        lambda m: m.compute("a", lambda _: ABSENT),
        lambda m: m.remove_if("a", lambda _: True),
        lambda m: m.retain(lambda *_: False),
        lambda m: m.update(a=0),
        lambda m: m.set_many("a", [0]),
        lambda m: m.pop_many("a") and None,
        lambda m: m.clear(),
    ],
)
def test_a_replaced_or_removed_value_is_destroyed_after_the_lock_is_released(operation):
    """Its destructor may wait for a thread that uses the map."""
    m = LockedMap()
    free = []

    class Value:
        def __del__(self):
            free.append(finishes(lambda: m.get("a")))

    m["a"] = Value()
    operation(m)
    gc.collect()
    assert free == [True]


def test_two_maps_are_compared_under_neither_lock():
    """So threads that compare them in opposite order cannot wait for each other."""
    free = []

    class Value:
        def __eq__(self, other):
            free.append(finishes(lambda: (first.get("a"), second.get("a"))))
            return True

        __hash__ = None

    first, second = LockedMap(a=Value()), LockedMap(a=Value())
    assert first == second
    assert free == [True]


def test_the_argument_of_a_batch_is_read_before_the_lock_is_taken():
    """A generator may wait for another thread that uses the map."""
    m = LockedMap(a=1)

    def keys():
        assert finishes(lambda: m.get("a"))
        yield "a"

    assert m.get_many(keys()) == [1]
    m.update((key, 2) for key in keys())
    m.set_many(keys(), (3 for _ in keys()))
    assert m.pop_many(keys()) == [3]
