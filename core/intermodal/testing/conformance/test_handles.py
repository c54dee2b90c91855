"""Handles: views of one map, each for one thread."""

from __future__ import annotations

import gc

import pytest

from intermodal import ABSENT, ConcurrentMap
from intermodal.testing.keys import HostileError
from intermodal.testing.promises import promised, unpromised
from intermodal.testing.threads import run_threads

# ---- handles -------------------------------------------------------------------------------------------


def test_a_handle_is_a_view_of_the_same_entries(backend):
    """Both ways, and of handles of handles."""
    m = backend.map(a=1)
    handle = m.handle()
    assert isinstance(handle, ConcurrentMap)
    handle["b"] = 2
    m["c"] = 3
    again = handle.handle()
    del again["a"]
    assert m == handle == again == {"b": 2, "c": 3}
    assert len(handle) == 2
    handle.clear()
    assert len(m) == 0


def test_a_handle_is_a_context_manager(backend):
    """It gives itself, and lets exceptions through."""
    m = backend.map()
    handle = m.handle()
    with handle as mine:
        assert mine is handle
        mine["a"] = 1
    with pytest.raises(HostileError), m.handle() as mine:
        mine["b"] = 2
        raise HostileError
    assert m == {"a": 1, "b": 2}


def test_a_map_is_a_context_manager_that_stays_usable(backend):
    """Closing a map that is not a handle does nothing."""
    m = backend.map()
    with m as same:
        assert same is m
        m["a"] = 1
    m.close()
    assert m == {"a": 1}


@unpromised("handles")
def test_where_there_is_nothing_to_keep_the_handle_is_the_map(backend):
    """And closing it does nothing."""
    m = backend.map()
    assert m.handle() is m
    m.handle().close()
    m["a"] = 1
    assert m == {"a": 1}


CLOSED_USES = [
    lambda h: h["a"],
    lambda h: h.__setitem__("a", 1),
    lambda h: h.__delitem__("a"),
    lambda h: "a" in h,
    lambda h: h.get("a"),
    lambda h: h.pop("a", None),
    lambda h: h.popitem(),
    lambda h: h.setdefault("a"),
    lambda h: h.insert("a", 1),
    lambda h: h.replace("a", 1),
    lambda h: h.compare_and_set("a", ABSENT, 1),
    lambda h: h.compute("a", lambda _: 1),
    lambda h: h.get_or_insert_with("a", int),
    lambda h: h.remove_if("a", bool),
    lambda h: h.get_many("a"),
    lambda h: h.set_many("a", [1]),
    lambda h: h.pop_many("a"),
    lambda h: h.update(a=1),
    lambda h: h.retain(bool),
    lambda h: h.clear(),
    lambda h: h.statistics(),
    lambda h: h.handle(),
    lambda h: h.copy(),
    lambda h: h == {},
    lambda h: h | {},
    lambda h: h._check(),
    len,
    list,
    repr,
]


@promised(handles=True)
@pytest.mark.parametrize("use", CLOSED_USES)
def test_a_closed_handle_refuses_every_use(backend, use):
    """ValueError says so; the map goes on."""
    m = backend.map(a=1)
    handle = m.handle()
    handle.close()
    handle.close()
    with pytest.raises(ValueError, match="this handle is closed"):
        use(handle)
    assert m == {"a": 1}


def test_a_handle_keeps_the_map_alive(backend):
    """Its entries are there when nobody else has the map."""
    handle = backend.loose((number, number) for number in range(100)).handle()
    gc.collect()
    assert handle[50] == 50
    handle.update((number, number) for number in range(100, 1000))
    assert len(handle) == 1000
    handle._check()


def test_a_map_or_handle_used_by_another_thread_is_correct(subject):
    """Whoever made it, through growth and shrinking."""
    m = subject.map(a=1)

    def elsewhere():
        for number in range(500):
            m[str(number)] = number
        assert m["a"] == 1
        for number in range(500):
            assert m.pop(str(number)) == number
        m["b"] = 2

    run_threads(elsewhere)
    assert m == {"a": 1, "b": 2}
    m["b"] = 3
    run_threads(elsewhere)
    assert m == {"a": 1, "b": 2}


def test_a_handle_made_in_a_thread_that_ended_still_works(backend):
    """It goes the slow way, correctly."""
    m = backend.map(a=1)
    (handle,) = run_threads(m.handle)
    assert handle["a"] == 1
    handle["b"] = 2
    m.update((str(number), number) for number in range(200))
    assert handle["150"] == 150
    assert len(handle) == 202
    handle.close()


def test_a_capacity_is_a_hint_only(backend):
    """Any number of entries fits."""
    for capacity in (0, 1, 16, 1000):
        m = backend.open(capacity=capacity)
        m.update((number, number) for number in range(100))
        assert len(m) == 100
        m.clear()
        assert m == {}
        m._check()
