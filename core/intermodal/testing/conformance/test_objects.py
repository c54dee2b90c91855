"""A map as a Python object: how it is made, its views, its place among mappings."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import sys
import types
import weakref
from collections.abc import ItemsView, KeysView, MutableMapping, ValuesView

import pytest

from intermodal import ConcurrentMap
from intermodal.testing.keys import Marker

# ---- making maps ---------------------------------------------------------------------------------------


def test_a_class_is_called_as_dict_is(backend):
    """Nothing, mapping, pairs, keywords, a map; also keywords of any name."""
    made = backend.type
    assert made() == {}
    assert made({"a": 1}) == made([("a", 1)]) == made(a=1) == made(made(a=1)) == made(iter([("a", 1)]))
    assert made({"a": 1}, b=2) == {"a": 1, "b": 2}
    assert made([("a", 1)], a=2) == {"a": 2}
    assert made(data=1, self=2) == {"data": 1, "self": 2}
    for wrong in ((1,), ([1],), ({}, {})):
        with pytest.raises((TypeError, ValueError)):
            made(*wrong)


def test_calling_init_again_only_updates(backend):
    """As with dict."""
    m = backend.type(a=1)
    m.__init__({"b": 2}, c=3)
    m.__init__()
    assert m == {"a": 1, "b": 2, "c": 3}
    m._check()


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m["a"],
        lambda m: m.__setitem__("a", 1),
        lambda m: m.get("a"),
        lambda m: "a" in m,
        lambda m: m.pop("a", None),
        lambda m: m.popitem(),
        lambda m: m.setdefault("a"),
        lambda m: m.insert("a", 1),
        lambda m: m.compute("a", lambda _: 1),
        len,
        list,
        lambda m: m.clear(),
        lambda m: m.update(a=1),
        lambda m: m.statistics(),
        lambda m: m.copy(),
        lambda m: m.handle()["a"],
        lambda m: m == {},
        repr,
        pickle.dumps,
    ],
)
def test_a_map_whose_init_was_not_called_raises_instead_of_crashing(backend, use):
    """Any ordinary error but KeyError, which would be an answer."""
    m = backend.type.__new__(backend.type)
    with pytest.raises((ValueError, AttributeError, RuntimeError, TypeError)):
        use(m)
    for harmless in (sys.getsizeof, lambda m: m.close(), lambda m: m._check()):
        with contextlib.suppress(ValueError, AttributeError, RuntimeError, TypeError):
            harmless(m)
    m.__init__(a=1)
    assert m == {"a": 1}


def test_fromkeys_gives_every_key_the_same_value(backend):
    """None without one."""
    value = Marker()
    m = backend.type.fromkeys("aba", value)
    assert type(m) is backend.type
    assert dict(m) == {"a": value, "b": value}
    assert backend.type.fromkeys(iter([1])) == {1: None}


def test_classes_made_by_subclassing_keep_their_class(backend):
    """In copies, unions, fromkeys; their own attributes and methods work."""

    class Mine(backend.type):
        def double(self, key):
            return self[key] * 2

    m = Mine(a=2)
    m.note = "mine"
    assert m.double("a") == 4
    for made in (m.copy(), copy.copy(m), m | {}, {} | m, Mine.fromkeys("a")):
        assert type(made) is Mine


# ---- views ---------------------------------------------------------------------------------------------


def test_views_are_live(subject):
    """They show what happens to the map after they were made."""
    m = subject.map(a=1)
    keys, values, items = m.keys(), m.values(), m.items()
    m["b"] = 2
    del m["a"]
    assert (list(keys), list(values), list(items)) == (["b"], [2], [("b", 2)])
    assert (len(keys), len(values), len(items)) == (1, 1, 1)
    assert isinstance(keys, KeysView)
    assert isinstance(values, ValuesView)
    assert isinstance(items, ItemsView)


def test_views_tell_what_they_contain(subject):
    """Values by identity or equality, items by key and value."""
    nan = float("nan")
    m = subject.map(a=1, b=[2], c=nan)
    assert "a" in m.keys()  # noqa: SIM118
    assert "z" not in m.keys()  # noqa: SIM118
    assert [2] in m.values()
    assert nan in m.values()
    assert 3 not in m.values()
    assert ("a", 1.0) in m.items()
    assert ("c", nan) in m.items()
    assert ("a", 2) not in m.items()
    assert ("z", 1) not in m.items()


def test_keys_and_items_are_set_like(subject):
    """With the operators of dict's views, against views and sets."""
    m, other = subject.map(a=1, b=2), {"b": 2, "c": 3}
    assert m.keys() & other.keys() == {"b"}
    assert m.keys() | other == {"a", "b", "c"}
    assert m.keys() - other == {"a"}
    assert m.keys() ^ other.keys() == {"a", "c"}
    assert other.keys() & m.keys() == {"b"}
    assert {"b", "z"} - m.keys() == {"z"}
    assert m.items() & other.items() == {("b", 2)}
    assert m.items() | set() == {("a", 1), ("b", 2)}
    assert m.keys() == {"a", "b"} == m.keys()
    assert m.items() == {"a": 1, "b": 2}.items()
    assert m.keys() < {"a", "b", "c"}
    assert m.keys() >= {"a"}
    assert m.keys().isdisjoint({"c"})
    assert not m.items().isdisjoint(other.items())


def test_iterating_over_items_pairs_keys_with_their_values(subject):
    """Also while the map changes."""
    m = subject.map((number, (number, 0)) for number in range(100))
    for round_, (key, (owner, _)) in enumerate(m.items()):
        assert key == owner
        m[(key + 50) % 100] = ((key + 50) % 100, round_)
        m.pop((key + 25) % 100, None)


# ---- being a Python object -----------------------------------------------------------------------------


def test_it_is_a_mutable_mapping(subject):
    """isinstance, issubclass and match statements know."""
    m = subject.map(a=1)
    assert isinstance(m, MutableMapping)
    assert issubclass(type(m), MutableMapping)
    assert isinstance(m, ConcurrentMap)
    match m:
        case {"a": value, **rest}:
            assert (value, rest) == (1, {})
        case _:
            pytest.fail("a map is no mapping pattern")
    assert {**m} == dict(m) == {"a": 1}
    assert (lambda **entries: entries)(**m) == {"a": 1}


def test_it_is_not_hashable(subject):
    """The message names the class."""
    m = subject.map()
    with pytest.raises(TypeError, match=f"unhashable type: '{type(m).__name__}'"):
        hash(m)
    with pytest.raises(TypeError):
        {m: 1}  # noqa: B018


def test_it_takes_type_arguments(backend):
    """As dict does."""
    alias = backend.type[str, int]
    assert isinstance(alias, types.GenericAlias)
    assert alias.__origin__ is backend.type
    assert alias.__args__ == (str, int)
    assert alias(a=1) == {"a": 1}


def test_it_can_be_weakly_referenced_by_many(backend):
    """Each callback is called once, when the map goes."""
    told = []
    m = backend.loose(a=1)
    references = [weakref.ref(m, lambda _, index=index: told.append(index)) for index in range(5)]
    references.append(weakref.proxy(m))
    assert all(reference() is m for reference in references[:5])
    assert references[5]["a"] == 1
    assert weakref.getweakrefcount(m) == 6
    del m
    gc.collect()
    assert sorted(told) == list(range(5))
    assert references[0]() is None


def test_maps_can_be_the_values_of_a_weak_value_dictionary(backend):
    """As caches of shared maps need."""
    cache = weakref.WeakValueDictionary()
    cache["m"] = m = backend.loose(a=1)
    assert cache["m"] is m
    del m
    gc.collect()
    assert "m" not in cache
