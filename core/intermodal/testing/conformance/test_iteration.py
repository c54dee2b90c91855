"""Iteration and snapshots: what they find beside changes, as far as it is declared."""

from __future__ import annotations

import gc
import pickle
import threading
from collections.abc import Mapping

import pytest

from intermodal import NotSupported, backends
from intermodal.testing.keys import KINDS
from intermodal.testing.promises import promised, unpromised
from intermodal.testing.subjects import scale
from intermodal.testing.threads import run_threads


@promised(iteration="each_once")
def test_iteration_survives_changes_made_meanwhile(subject):
    """What was there throughout comes exactly once, as far as the backend promises; nothing comes twice."""
    m = subject.map((number, number) for number in range(300))
    seen = []
    for key in m:
        seen.append(key)
        if key < 1000:
            m[key + 1000] = key
        if 100 <= key < 200:
            del m[key]
    assert len(seen) == len(set(seen))
    assert set(range(100)) | set(range(200, 300)) <= set(seen)


def test_an_iterator_is_one_and_ends_for_good(subject):
    """Two of them do not disturb each other."""
    m = subject.map(a=1)
    one, two = iter(m), iter(m)
    assert iter(one) is one
    assert (next(one), next(two)) == ("a", "a")
    for _ in range(3):
        assert next(one, None) is None
    assert list(two) == []


def test_an_iterator_outlives_its_map(subject):
    """It keeps what it needs."""
    m = subject.loose((number, number) for number in range(100))
    entries = iter(m.items())
    next(entries)
    del m
    gc.collect()
    assert len(list(entries)) == 99


# ---- beside writers ------------------------------------------------------------------------------------


def disturbed(subject, kind, permanent, look, rounds=10):
    """Let two threads *look* at views of a map with *permanent* entries, while one makes it grow and shrink."""
    make = KINDS[kind]
    m = subject.shared(permanent)
    stop = threading.Event()
    rounds = subject.effort(rounds, 3)

    def disturb():
        view = subject.view(m)
        for round_ in range(rounds):
            count = 40 if kind == "colliding" or round_ % 4 else 600
            for number in range(count):
                view[make(number)] = ("value of", number)
            for number in range(count):
                del view[make(number)]
        stop.set()

    def iterate():
        view = subject.view(m)
        iterations = 0
        while not stop.is_set() or iterations < 3:
            look(view)
            iterations += 1

    run_threads(disturb, iterate, iterate)
    assert m == permanent


@promised(iteration="weak")
def test_iteration_never_raises_and_yields_keys_with_values_of_theirs(subject, kind):
    """Through growth and shrinking."""
    make = KINDS[kind]

    def look(view):
        assert all(make(value[1]) == key for key, value in view.items())
        assert all(value[0] == "value of" for value in view.values())

    disturbed(subject, kind, {make(-1): ("value of", -1)}, look, rounds=4)


@promised(iteration="each_once")
def test_iteration_finds_every_key_that_stays_once_and_no_key_twice(subject, kind):
    """Through growth and shrinking; and each pair belongs together."""
    make = KINDS[kind]
    permanent = {make(-number - 1): ("value of", -number - 1) for number in range(40)}

    def look(view):
        found = list(view.items())
        keys = [key for key, _ in found]
        assert all(make(value[1]) == key for key, value in found)
        assert len(set(keys)) == len(keys), "a key came twice"
        assert permanent.keys() <= set(keys), "a key that was there throughout did not come"

    disturbed(subject, kind, permanent, look)


@promised(iteration="each_once")
def test_copies_and_unions_beside_writers_have_every_key_that_stays(subject):
    """They iterate."""
    permanent = {f"permanent {number}": ("value of", number) for number in range(20)}

    def look(view):
        made = view.copy()
        made._check()
        assert permanent.items() <= dict(made).items()
        assert permanent.items() <= (view | {}).items()

    disturbed(subject, "str", permanent, look)


def seen_at_one_instant(subject, look):
    """Let two threads *look*, at (key, value) pairs, while one raises the values of all keys in their order.

    At any one instant, then, the values fall by at most 1 from the first key to the last.
    """
    count = 40
    m = subject.shared((number, 0) for number in range(count))
    finished = []

    def write():
        view = subject.view(m)
        value = 0
        while len(finished) < 2:
            value += 1
            for number in range(count):
                view[number] = value

    def compare():
        view = subject.view(m)
        try:
            for _ in range(scale(300, 30)):
                values = [value for _, value in sorted(look(view))]
                assert len(values) == count
                assert values == sorted(values, reverse=True)
                assert values[0] - values[-1] <= 1
        finally:
            finished.append(True)

    run_threads(write, compare, compare)


@promised(iteration="snapshot")
@pytest.mark.parametrize(
    "look", [lambda view: list(view.items()), lambda view: dict(view.copy()).items()], ids=["items", "copy"]
)
def test_iteration_yields_the_entries_of_one_instant(subject, look):
    """Also a copy is made of them."""
    seen_at_one_instant(subject, look)


@promised(iteration="snapshot")
def test_an_iteration_does_not_see_what_comes_after_its_first_entry(subject):
    """Nor miss what goes."""
    m = subject.map((number, number) for number in range(200))
    entries = iter(m.items())
    found = [next(entries)]
    m.clear()
    m.update((number, -number) for number in range(300))
    found += entries
    assert sorted(found) == [(number, number) for number in range(200)]


# ---- snapshots -----------------------------------------------------------------------------------------


@promised(snapshot=True)
def test_a_snapshot_has_the_entries_of_one_instant(subject):
    """Beside a thread that changes all of them."""
    seen_at_one_instant(subject, lambda view: list(view.snapshot().items()))


@promised(snapshot=True)
def test_a_snapshot_is_a_mapping_of_one_moment_that_cannot_be_changed(backend):
    """Later changes do not show in it."""
    m = backend.map(a=1)
    snapshot = m.snapshot()
    m["a"] = 2
    m["b"] = 3
    assert isinstance(snapshot, Mapping)
    assert snapshot == {"a": 1}
    with pytest.raises((TypeError, AttributeError)):
        snapshot["a"] = 3


@unpromised("snapshot")
def test_a_backend_without_snapshots_names_those_that_have_them(backend):
    """In a NotSupported, which is a NotImplementedError."""
    with pytest.raises(NotSupported, match=r"has no snapshot\(\)") as error:
        backend.map().snapshot()
    assert isinstance(error.value, NotImplementedError)
    for spec in backends():
        if spec.capabilities is not None and spec.capabilities.snapshot:
            assert spec.name in str(error.value)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
