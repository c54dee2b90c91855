"""The contract of ConcurrentMap, operation by operation, in one thread."""

from __future__ import annotations

import operator
from collections import UserDict
from types import MappingProxyType

import attrs
import pytest

from intermodal import ABSENT, ConcurrentMap, MapStatistics, open_map
from intermodal.testing.keys import HostileError, Key, Marker
from intermodal.testing.promises import unpromised
from intermodal.testing.threads import finishes


def fail(*_):
    """Be a callback that raises."""
    raise HostileError


# ---- one key: dict's operations ------------------------------------------------------------------------


def test_an_entry_set_is_found_by_every_way_of_looking(subject):
    """[], get, in, len, iteration and items agree."""
    m = subject.map()
    value = Marker()
    m["a"] = value
    assert m["a"] is value
    assert m.get("a") is value
    assert m.get("a", 1) is value
    assert "a" in m
    assert len(m) == 1
    assert list(m) == ["a"]
    assert list(m.items()) == [("a", value)]
    m["a"] = None
    assert m["a"] is None
    assert m.get("a", 1) is None
    assert "a" in m
    assert len(m) == 1


def test_a_missing_key_gives_the_default_of_get(subject):
    """None, or the object that was given, ABSENT included."""
    m = subject.map(b=1)
    default = Marker()
    assert m.get("a") is None
    assert m.get("a", default) is default
    assert m.get("a", ABSENT) is ABSENT
    assert m.get(key="a", default=default) is default
    assert "a" not in m


@pytest.mark.parametrize("method", ["__getitem__", "__delitem__", "pop", "replace"])
@pytest.mark.parametrize("key", ["a", ("a", "b"), (), None, 1.5])
def test_a_missing_key_is_the_argument_of_the_key_error(subject, method, key):
    """The very object, also a tuple, which must not become several arguments."""
    other = Key("b")
    m = subject.map([(other, 1)])
    with pytest.raises(KeyError) as error:
        getattr(m, method)(*((key, 1) if method == "replace" else (key,)))
    (argument,) = error.value.args
    assert argument is key
    assert m == {other: 1}


def test_a_key_error_carries_the_key_that_was_asked_for_not_an_equal_one(subject):
    """As dict's does."""
    key = Key("a")
    with pytest.raises(KeyError) as error:
        subject.map()[key]
    assert error.value.args[0] is key


def test_pop_returns_the_value_and_removes_the_entry(subject):
    """With a default it never raises."""
    value = Marker()
    m = subject.map(a=value, b=2)
    assert m.pop("a") is value
    assert m.pop("a", None) is None
    assert m.pop("a", default=value) is value
    assert m.pop("b", 0) == 2
    assert len(m) == 0


def test_a_deleted_entry_is_gone(subject):
    """And deleting returns nothing."""
    m = subject.map(a=1, b=2)
    del m["a"]
    assert "a" not in m
    assert m == {"b": 2}


def test_popitem_gives_each_entry_once_and_then_raises(subject):
    """KeyError with a message, as dict's."""
    entries = {number: str(number) for number in range(100)}
    m = subject.map(entries)
    popped = [m.popitem() for _ in range(100)]
    assert all(type(entry) is tuple for entry in popped)
    assert dict(popped) == entries
    assert len(m) == 0
    with pytest.raises(KeyError, match=r"popitem\(\): map is empty"):
        m.popitem()
    m[1] = 2
    assert m.popitem() == (1, 2)


def test_setdefault_inserts_only_where_nothing_is(subject):
    """It returns what is then there; None is a value."""
    m = subject.map(a=None)
    value = Marker()
    assert m.setdefault("a", 1) is None
    assert m.setdefault("b", value) is value
    assert m.setdefault("b", 1) is value
    assert m.setdefault("c") is None
    assert m == {"a": None, "b": value, "c": None}


def test_overwriting_keeps_the_first_of_equal_keys(subject):
    """As dict does, by every operation that sets."""
    first = Key("a")
    m = subject.map([(first, 0)])
    for set_value in (
        lambda key: m.__setitem__(key, 1),
        lambda key: m.replace(key, 2),
        lambda key: m.update({key: 3}),
        lambda key: m.compute(key, lambda _: 4),
        lambda key: m.compare_and_set(key, 4, 5),
        lambda key: m.set_many([key], [6]),
    ):
        set_value(Key("a"))
        assert next(iter(m)) is first
    assert list(m.values()) == [6]


def test_equal_numbers_are_one_key(subject):
    """1, 1.0 and True; 0, -0.0 and False; the first stays."""
    m = subject.map()
    for number in (1, 1.0, True, 0, -0.0, False, 2.0, 2):
        m[number] = type(number)
    assert {repr(key): value for key, value in m.items()} == {"1": bool, "0": bool, "2.0": int}


def test_tuples_of_equal_numbers_are_one_key(subject):
    """As equal numbers are."""
    m = subject.map()
    for pair in ((1, 2), (1.0, True + 1)):
        m[pair] = type(pair[0])
    assert {repr(key): value for key, value in m.items()} == {"(1, 2)": float}


@unpromised("ordered")
def test_a_complex_number_finds_the_real_one_that_it_equals(subject):
    """Though it has no order."""
    m = subject.map([(1, "one")])
    assert m[complex(1, 0)] == "one"


@unpromised("ordered")
def test_a_nan_is_found_by_identity(subject):
    """As in dict: the same object is the same key, another NaN is another."""
    nan, other = float("nan"), float("nan")
    m = subject.map([(nan, 1)])
    m[nan] = 2
    assert m[nan] == 2
    assert other not in m
    m[other] = 3
    assert len(m) == 2
    assert m.compare_and_set(nan, 2, nan)
    assert m.compare_and_set(nan, nan, 4), "values are compared by identity first"


@pytest.mark.parametrize(
    "call",
    [
        lambda m, key: m[key],
        lambda m, key: m.__setitem__(key, 1),
        lambda m, key: m.__delitem__(key),
        lambda m, key: key in m,
        lambda m, key: m.get(key),
        lambda m, key: m.pop(key),
        lambda m, key: m.pop(key, None),
        lambda m, key: m.setdefault(key),
        lambda m, key: m.insert(key, 1),
        lambda m, key: m.replace(key, 1),
        lambda m, key: m.compare_and_set(key, ABSENT, 1),
        lambda m, key: m.compute(key, lambda _: 1),
        lambda m, key: m.get_or_insert_with(key, int),
        lambda m, key: m.remove_if(key, bool),
        lambda m, key: m.get_many([key]),
        lambda m, key: m.pop_many([key]),
        lambda m, key: m.set_many([key], [1]),
        lambda m, key: m.set_many([(key, 1)]),
        lambda m, key: m.update([(key, 1)]),
        lambda m, key: m.fromkeys([key]),
    ],
)
@pytest.mark.parametrize("key", [[], {}, ([],)], ids=repr)
def test_an_unhashable_key_is_a_type_error(subject, call, key):
    """And changes nothing."""
    m = subject.map(a=1)
    with pytest.raises(TypeError, match="unhashable|cannot use"):
        call(m, key)
    assert m == {"a": 1}


# ---- one key: conditional updates ----------------------------------------------------------------------


def test_insert_adds_only_where_nothing_is(subject):
    """It tells whether it did."""
    m = subject.map()
    assert m.insert("a", None) is True
    assert m.insert("a", 1) is False
    assert m == {"a": None}


def test_replace_changes_only_what_is_there(subject):
    """It returns the old value."""
    value = Marker()
    m = subject.map(a=value)
    assert m.replace("a", 1) is value
    assert m.replace("a", None) == 1
    assert m.replace("a", 2) is None
    with pytest.raises(KeyError):
        m.replace("b", 1)
    assert m == {"a": 2}


def test_compare_and_set_compares_by_equality(subject):
    """Identity first, then ==."""
    m = subject.map(a=[1])
    assert m.compare_and_set("a", [2], 0) is False
    assert m.compare_and_set("a", [1.0], 2) is True
    assert m.compare_and_set("a", 2.0, 3) is True
    assert m.compare_and_set("a", 2, 4) is False
    assert m == {"a": 3}


def test_compare_and_set_asks_the_present_value_with_the_equality_operator(subject):
    """Not with !=, which a class may define otherwise."""

    class Value:
        def __eq__(self, other):
            return True

        def __ne__(self, other):
            return True

        __hash__ = None

    m = subject.map(a=Value())
    assert m.compare_and_set("a", 1, 2) is True
    assert m == {"a": 2}


def test_absent_stands_for_no_entry_on_either_side_of_compare_and_set(subject):
    """Expected, desired and both."""
    m = subject.map(a=1)
    assert m.compare_and_set("a", ABSENT, 2) is False
    assert m.compare_and_set("b", ABSENT, 2) is True
    assert m.compare_and_set("c", None, 2) is False
    assert m.compare_and_set("a", 3, ABSENT) is False
    assert m.compare_and_set("a", 1, ABSENT) is True
    assert m.compare_and_set("a", ABSENT, ABSENT) is True
    assert m.compare_and_set("b", ABSENT, ABSENT) is False
    assert m == {"b": 2}


def test_a_value_is_never_asked_whether_it_equals_absent(subject):
    """ABSENT is told by identity alone."""

    class Value:
        def __eq__(self, other):
            raise HostileError

        __hash__ = None

    value = Value()
    m = subject.map(a=value)
    assert m.compare_and_set("a", ABSENT, 1) is False
    assert m.compare_and_set("b", value, 1) is False
    assert m.compare_and_set("a", value, 1) is True


def test_compute_replaces_inserts_and_removes(subject):
    """By what the function returns for the old value or ABSENT."""
    m = subject.map(a=1)
    assert m.compute("a", lambda old: old + 1) == 2
    assert m.compute("b", lambda old: [old]) == [ABSENT]
    assert m.compute("a", lambda _: ABSENT) is ABSENT
    assert m.compute("z", lambda _: ABSENT) is ABSENT
    assert m == {"b": [ABSENT]}


def test_get_or_insert_with_calls_the_factory_only_if_nothing_is_there(subject):
    """And returns what is there afterwards."""
    value = Marker()
    m = subject.map(a=None)
    assert m.get_or_insert_with("a", fail) is None
    assert m.get_or_insert_with("b", lambda: value) is value
    assert m.get_or_insert_with("b", fail) is value
    assert m == {"a": None, "b": value}


def test_remove_if_removes_what_the_predicate_is_true_of(subject):
    """It is given the value and not called where there is none."""
    m = subject.map(a=1, b=0)
    assert m.remove_if("z", fail) is False
    assert m.remove_if("b", bool) is False
    assert m.remove_if("a", bool) is True
    assert m.remove_if("b", lambda value: [value]) is True, "any true object will do"
    assert len(m) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.compute("a", fail),
        lambda m: m.compute("new", fail),
        lambda m: m.get_or_insert_with("new", fail),
        lambda m: m.remove_if("a", fail),
        lambda m: m.retain(lambda key, _: key != "a" or fail()),
        lambda m: m.compare_and_set("a", Hostile(), 1),
        lambda m: m.set_many(fail() for _ in "a"),
        lambda m: m.set_many("xy", (fail() for _ in "xy")),
        lambda m: m.update(fail() for _ in "a"),
        lambda m: m.get_many(fail() for _ in "a"),
        lambda m: m.pop_many(fail() for _ in "a"),
    ],
)
def test_a_callback_that_raises_leaves_the_map_as_it_was(subject, call):
    """Its exception comes out, and any thread can use the map."""
    m = subject.map(a=1)
    with pytest.raises(HostileError):
        call(m)
    assert m == {"a": 1}
    m._check()
    assert finishes(lambda: m.insert("from another thread", 1))
    assert len(m) == 2


class Hostile:
    """A value that cannot be compared."""

    def __eq__(self, other):
        raise HostileError

    __hash__ = None


# ---- ABSENT is no value --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "store",
    [
        lambda m: m.__setitem__("a", ABSENT),
        lambda m: m.__setitem__("new", ABSENT),
        lambda m: m.setdefault("new", ABSENT),
        lambda m: m.setdefault("a", ABSENT),
        lambda m: m.insert("new", ABSENT),
        lambda m: m.insert("a", ABSENT),
        lambda m: m.replace("a", ABSENT),
        lambda m: m.replace("new", ABSENT),
        lambda m: m.update(a=ABSENT),
        lambda m: m.update({"a": ABSENT}),
        lambda m: m.update([("a", ABSENT)]),
        lambda m: m.set_many(["new", "a"], [1, ABSENT]),
        lambda m: m.set_many([("a", ABSENT)]),
        lambda m: m.set_many({"a": ABSENT}),
        lambda m: m.get_or_insert_with("new", lambda: ABSENT),
        lambda m: m.fromkeys("a", ABSENT),
        lambda m: m | {"a": ABSENT},
        lambda m: {"a": ABSENT} | m if "a" not in m else fail_with_value_error(),
        lambda m: operator.ior(m, {"a": ABSENT}),
        lambda m: type(m)({"a": ABSENT}),
        lambda m: type(m)(a=ABSENT),
    ],
)
def test_absent_cannot_be_stored(subject, store):
    """By no operation; the map stays as it was."""
    m = subject.map(a=1)
    with pytest.raises(ValueError, match="ABSENT stands for 'no entry'"):
        store(m)
    assert m == {"a": 1}


def fail_with_value_error():
    """Stand in for a case that cannot arise."""
    raise ValueError("ABSENT stands for 'no entry'")


@unpromised("ordered")
def test_absent_is_an_ordinary_key(subject):
    """Only as a value it means something."""
    m = subject.map([(ABSENT, 1)])
    assert m[ABSENT] == 1
    assert m.pop(ABSENT) == 1


# ---- many keys -----------------------------------------------------------------------------------------


def test_get_many_answers_in_the_order_of_the_keys(subject):
    """Repeated and missing ones included, from any iterable."""
    m = subject.map(a=1, b=2, c=None)
    assert m.get_many(iter("bazbc")) == [2, 1, None, 2, None]
    assert m.get_many(["z", "a"], 0) == [0, 1]
    assert m.get_many({"a": 0}) == [1]
    assert m.get_many(()) == []


def test_set_many_takes_a_mapping_pairs_or_two_iterables(subject):
    """The last of repeated keys wins."""
    m = subject.map()
    m.set_many({"a": 1})
    m.set_many([("b", 2), ("b", 3)])
    m.set_many(iter("cde"), iter([4, 5, 6]))
    m.set_many("ff", [7, 8])
    m.set_many([], [])
    m.set_many(MappingProxyType({"g": 9}))
    assert m == {"a": 1, "b": 3, "c": 4, "d": 5, "e": 6, "f": 8, "g": 9}


@pytest.mark.parametrize(("keys", "values"), [("abc", [1]), ("a", [1, 2]), ("", [1]), ("ab", "")])
def test_set_many_refuses_unequal_numbers_before_it_changes_anything(subject, keys, values):
    """The message gives both."""
    m = subject.map(a=0)
    with pytest.raises(ValueError, match=r"\d keys and \d values; nothing was set"):
        m.set_many(iter(keys), iter(values))
    assert m == {"a": 0}


def test_pop_many_removes_and_answers_in_the_order_of_the_keys(subject):
    """A repeated key is there once."""
    m = subject.map(a=1, b=2, c=3)
    assert m.pop_many(iter("caaz")) == [3, 1, None, None]
    assert m.pop_many("zb", 0) == [0, 2]
    assert len(m) == 0


def test_retain_keeps_what_the_predicate_is_true_of(subject):
    """It is given key and value and the number removed is returned."""
    m = subject.map((number, str(number)) for number in range(100))
    assert m.retain(lambda key, value: str(key) == value and key % 3) == 34
    assert sorted(m) == [number for number in range(100) if number % 3]
    assert m.retain(lambda *_: True) == 0


def test_update_takes_what_dict_update_takes(subject):
    """Mappings, objects with keys(), pairs of any kind, keywords, nothing, itself."""

    class WithKeys:
        def keys(self):
            return ["k"]

        def __getitem__(self, key):
            return key * 2

    m = subject.map()
    m.update()
    m.update({"a": 1})
    m.update(UserDict(b=2))
    m.update(WithKeys())
    m.update([("c", 3), ["d", 4], "ef"])
    m.update(g=5, other=6, self=7)
    m.update(m)
    m.update(subject.map(h=8))
    m.update({"a": 9}, a=10)
    assert m == {
        "a": 10, "b": 2, "k": "kk", "c": 3, "d": 4, "e": "f", "g": 5, "other": 6, "self": 7, "h": 8,
    }  # fmt: skip


@pytest.mark.parametrize("wrong", [1, [1], ["abc"], [("a",)], None])
def test_update_with_something_else_is_an_error_as_with_dict(subject, wrong):
    """TypeError or ValueError, and nothing set."""
    m = subject.map(a=1)
    with pytest.raises((TypeError, ValueError)):
        m.update(wrong)
    assert m == {"a": 1}


# ---- the whole map -------------------------------------------------------------------------------------


def test_clear_removes_everything_and_the_map_goes_on(subject):
    """Also when it is empty already."""
    m = subject.map((number, number) for number in range(500))
    m.clear()
    assert len(m) == 0
    assert list(m) == []
    assert 1 not in m
    m._check()
    m.clear()
    m[1] = 2
    assert m == {1: 2}


def test_a_union_is_a_new_map_in_which_the_right_side_wins(subject):
    """With mappings of every kind, on either side."""
    m = subject.map(a=1, b=2)
    for other in (
        {"b": 3, "c": 4},
        UserDict(b=3, c=4),
        MappingProxyType({"b": 3, "c": 4}),
        subject.map(b=3, c=4),
    ):
        union = m | other
        assert isinstance(union, ConcurrentMap)
        assert union == {"a": 1, "b": 3, "c": 4}
    for other in ({"b": 3, "c": 4}, UserDict(b=3, c=4), MappingProxyType({"b": 3, "c": 4})):
        union = other | m
        assert isinstance(union, ConcurrentMap)
        assert union == {"a": 1, "b": 2, "c": 4}
    assert m == {"a": 1, "b": 2}
    for wrong in ([("a", 1)], None, 1):
        with pytest.raises(TypeError):
            m | wrong
        with pytest.raises(TypeError):
            wrong | m


def test_an_update_in_place_keeps_the_map(subject):
    """|= takes mappings, and pairs as dict's does."""
    m = same = subject.map(a=1)
    m |= {"b": 2}
    m |= [("c", 3)]
    m |= m
    assert m is same
    assert m == {"a": 1, "b": 2, "c": 3}
    with pytest.raises(TypeError):
        m |= None


def test_maps_equal_any_mapping_with_the_same_entries(subject):
    """On either side of the operator; order does not matter."""
    entries = {"a": 1, "b": [2]}
    m = subject.map(entries)
    others = [entries, UserDict(entries), MappingProxyType(entries), subject.map(b=[2], a=1), m]
    others.append(open_map("locked") | entries)
    for other in others:
        assert m == other
        assert other == m
        assert not m != other
        assert not other != m
    for other in (
        {"a": 1},
        {"a": 1, "b": 2},
        {"a": 1, "c": [2]},
        UserDict(),
        {**entries, "c": 3},
        subject.map(),
    ):
        assert m != other
        assert other != m
        assert not m == other
    for other in (None, 1, [("a", 1), ("b", [2])], "ab", object()):
        assert m != other
        assert not m == other
    assert m.__eq__(1) is NotImplemented
    assert m.__ne__(1) is NotImplemented


def test_maps_have_no_order(subject):
    """As dict."""
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        with pytest.raises(TypeError):
            compare(subject.map(), {})


def test_repr_is_that_of_a_dict(subject):
    """Also of a map that holds itself, once or deeper."""
    assert repr(subject.map()) == "{}"
    assert repr(subject.map({"a": [1]})) == "{'a': [1]}"
    m = subject.map()
    m["self"] = m
    assert repr(m) == "{'self': {...}}"
    m["self"] = [{"m": m}]
    assert repr(m) == "{'self': [{'m': {...}}]}"
    assert str(m) == repr(m)
    m.clear()


def test_repr_raises_what_an_entry_raises_and_works_the_next_time(subject):
    """The recursion guard is taken away."""

    class Bad:
        def __repr__(self):
            raise HostileError

    m = subject.map(a=Bad())
    for _ in range(2):
        with pytest.raises(HostileError):
            repr(m)
    m["a"] = 1
    assert repr(m) == "{'a': 1}"


def test_statistics_are_a_frozen_record_with_the_number_of_entries(subject):
    """Of one moment."""
    m = subject.map(a=1, b=2)
    statistics = m.statistics()
    assert isinstance(statistics, MapStatistics)
    assert statistics.entries == 2
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        statistics.entries = 3
    m.clear()
    assert (statistics.entries, m.statistics().entries) == (2, 0)
