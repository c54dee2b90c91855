"""What a backend declares: every capability has tests, and those that no other module is about have theirs here."""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import threading

import pytest

from intermodal import ABSENT, OptionError
from intermodal.capabilities import FIELDS, Capabilities
from intermodal.testing.keys import Key
from intermodal.testing.lifetimes import Ledger
from intermodal.testing.promises import promised, without_tests
from intermodal.testing.subjects import scale
from intermodal.testing.suite import every_test
from intermodal.testing.threads import Together, in_a_thread, in_threads, run_threads

THREADS = 3


def test_everything_that_is_declared_is_tested(backend):
    """Or the declaration is worth nothing."""
    assert isinstance(backend.capabilities, Capabilities)
    assert without_tests(backend.capabilities, every_test()) == {}


def test_a_capability_can_be_required_where_it_is_declared(backend):
    """open_map takes the backend for each requirement that it meets."""
    for field in FIELDS:
        declared = getattr(backend.capabilities, field)
        if declared is not False:
            assert backend.open(**({} if field in TYPES_AND_RECLAIMERS else {field: declared})) == {}


TYPES_AND_RECLAIMERS = {"key_types", "value_types", "reclaimers"}

# ---- types and reclaimers ------------------------------------------------------------------------------

SAMPLES = {
    "object": ["a", None, (1, 2), 0.5, -1],
    "ordered": ["a", "", "\xe9", "\u20ac" * 20, "\0"],
    "int64": [0, 1, -1, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63), *range(100, 400)],
    "float64": [0.0, 1.0, -1.5, 1e300, -1e-300, float("inf"), float("-inf"), *map(float, range(100, 400))],
    "none": [None],
}


def combinations_of(backend):
    """Return the types of keys and values that go together, and a map with each: not all need to."""
    kinds = itertools.product(backend.capabilities.key_types, backend.capabilities.value_types)
    found = {}
    for key_type, value_type in kinds:
        with contextlib.suppress(OptionError):
            found[key_type, value_type] = backend.open(key_type=key_type, value_type=value_type)
    return found


def test_every_declared_type_goes_with_some_other(backend):
    """Keys of it with some values, values of it with some keys."""
    key_types, value_types = zip(*combinations_of(backend), strict=True)
    assert set(key_types) == set(backend.capabilities.key_types)
    assert set(value_types) == set(backend.capabilities.value_types)


def test_every_declared_type_of_keys_and_values_can_be_stored(backend):
    """Up to its limits, and comes back equal; any combination."""
    for (key_type, value_type), m in combinations_of(backend).items():
        values = SAMPLES[value_type]
        keys = SAMPLES["ordered" if key_type == "object" and backend.capabilities.ordered else key_type]
        model = {key: values[index % len(values)] for index, key in enumerate(keys)}
        m.update(model)
        assert m == model
        assert {key: m.get(key) for key in model} == model
        assert len(m) == len(model)
        m._check()
        for key in list(model)[::2]:
            assert m.pop(key) == model.pop(key)
        assert dict(m) == model
        m._check()


@pytest.mark.parametrize(("type_name", "wrong"), [("int64", 2**63), ("int64", "a"), ("float64", "a")])
def test_what_is_not_of_the_declared_type_is_refused(backend, type_name, wrong):
    """As key and as value; the map stays as it was."""
    for (key_type, value_type), m in combinations_of(backend).items():
        if type_name == key_type:
            with pytest.raises((TypeError, ValueError, OverflowError)):
                m[wrong] = SAMPLES[value_type][0]
        if type_name == value_type:
            with pytest.raises((TypeError, ValueError, OverflowError)):
                m[SAMPLES[key_type][0]] = wrong
        assert len(m) == 0


def test_every_declared_reclaimer_gives_everything_back(backend):
    """At the latest when the map goes."""
    for reclaimer in backend.capabilities.reclaimers:
        ledger = Ledger(backend.settle)
        m = backend.open(reclaimer=reclaimer)
        for number in range(200):
            m[ledger.key(number)] = ledger.value()
        for number in range(100):
            del m[Key(number)]
        m._check()
        del m
        ledger.expect(0)


@promised(shared="threads")
def test_the_threads_of_a_process_share_a_map(subject):
    """What one puts in another finds."""
    m = subject.shared()
    together = Together(THREADS)

    def work(index):
        view = subject.view(m)
        view[index] = index
        together.wait()
        assert [view[each] for each in range(THREADS)] == list(range(THREADS))

    in_threads(THREADS, work)


# ---- order ---------------------------------------------------------------------------------------------


@promised(ordered=True)
@pytest.mark.parametrize("make", [int, str, float, lambda number: (number % 7, number)])
def test_iteration_follows_the_order_of_the_keys(subject, make):
    """Through insertions and removals in any order; views and copies too."""
    generator = random.Random("order")
    m, model = subject.map(), {}
    for step in range(scale(3000, 200)):
        key = make(generator.randrange(300))
        if generator.random() < 0.6:
            m[key] = model[key] = step
        else:
            assert m.pop(key, None) == model.pop(key, None)
        if step % 50 == 0:
            assert list(m) == sorted(model)
    expected = sorted(model.items())
    assert list(m.items()) == expected
    assert list(m.keys()) == [key for key, _ in expected]
    assert list(m.values()) == [value for _, value in expected]
    assert list(m.copy().items()) == expected


@promised(ordered=True)
def test_iteration_follows_the_order_of_the_keys_beside_writers(subject):
    """Whatever it may miss."""
    m = subject.shared((number * 10, None) for number in range(30))
    stop = threading.Event()

    def disturb():
        view = subject.view(m)
        generator = random.Random("disturbed order")
        for _ in range(scale(2000, 100)):
            view[generator.randrange(300)] = None
            view.pop(generator.randrange(300), None)
        stop.set()

    def iterate():
        view = subject.view(m)
        while not stop.is_set():
            keys = list(view)
            assert keys == sorted(keys)

    run_threads(disturb, iterate, iterate)


# ---- length --------------------------------------------------------------------------------------------


@promised(length="settled")
def test_len_is_the_number_of_entries_when_all_is_quiet(subject):
    """After every single change."""
    m = subject.map()
    for number in range(300):
        m[number] = m[-1 - number % 7] = None
        assert len(m) == number + 1 + min(number + 1, 7)
    for number in range(300):
        del m[number]
        assert len(m) == 299 - number + 7


def work_of_len(m):
    """Return how many lines of Python ``len(m)`` executes; none where the engine is compiled."""
    lines = itertools.count()

    def trace(*_):
        next(lines)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        len(m)
    finally:
        sys.settrace(before)
    return next(lines)


@promised(length_cost="O(1)")
def test_len_does_the_same_work_whatever_the_size(subject):
    """As far as it is work in Python; and calls no method of a key."""
    m = subject.map()
    m.update((number, None) for number in range(10))
    few = work_of_len(m)
    m.update((number, None) for number in range(scale(3000, 400)))
    assert work_of_len(m) <= few + 3


@promised(length_cost="O(n)")
def test_len_counts_no_key_twice(subject):
    """However often it was set, and however the hashes of the keys collide."""
    m = subject.map()
    for number in range(200):
        m[Key(number % 50, hash_value=number % 50 % 3)] = number
    assert len(m) == 50


# ---- callbacks -----------------------------------------------------------------------------------------

CALLS = {
    "compute": lambda m, key, call: m.compute(key, lambda _: call()),
    "get_or_insert_with": lambda m, key, call: m.get_or_insert_with(key, call),
    "remove_if": lambda m, key, call: m.remove_if(key, lambda _: call() and False),
}


@promised(callbacks_once=True)
@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("present", [False, True])
@in_a_thread
def test_a_callback_is_called_once_even_if_it_changes_its_own_entry(subject, operation, present):
    """It could not know that it was called again."""
    m = subject.map()
    if present:
        m["a"] = 0
    calls = []

    def call():
        calls.append(None)
        if len(calls) < 10:
            m["a"] = -len(calls)
        return "new"

    CALLS[operation](m, "a", call)
    assert len(calls) <= 1


@promised(callbacks_once=True)
def test_callbacks_of_threads_that_meet_are_called_once_each(subject):
    """As many calls as operations, and no result of a call is lost."""
    m = subject.shared()
    steps = scale(1000, 50)

    def work(_):
        view = subject.view(m)
        calls = itertools.count()

        def add_one(old):
            next(calls)
            return 1 if old is ABSENT else old + 1

        for step in range(steps):
            view.compute(step % 3, add_one)
        return next(calls)

    assert in_threads(THREADS, work) == [steps] * THREADS
    assert sum(m.values()) == THREADS * steps


# ---- clear ---------------------------------------------------------------------------------------------


@promised(clear="stepwise")
def test_clear_removes_what_was_there_before_it_began(subject):
    """Beside look-ups of all kinds."""
    m = subject.shared()
    rounds = scale(50, 4)
    together = Together(THREADS)

    def work(index):
        view = subject.view(m)
        for round_ in range(rounds):
            if index == 0:
                view.update((number, round_) for number in range(100))
            together.wait()
            if index == 0:
                view.clear()
            else:
                assert all(view.get(number, round_) == round_ for number in range(100))
            together.wait()
            assert len(view) == 0
            together.wait()

    in_threads(THREADS, work)


@promised(clear="atomic")
def test_an_atomic_clear_takes_all_entries_at_one_instant(subject):
    """Who has missed one entry finds none any more."""
    m = subject.shared()
    rounds, count = scale(150, 20), 30
    together = Together(THREADS)

    def clear():
        view = subject.view(m)
        for _ in range(rounds):
            view.update((number, None) for number in range(count))
            together.wait()
            view.clear()
            together.wait()

    def look(order):
        view = subject.view(m)
        for _ in range(rounds):
            together.wait()
            while True:
                there = [number in view for number in order]
                if not all(there):
                    break
            assert not any(there[there.index(False) :])
            together.wait()

    forward = list(range(count))
    run_threads(clear, lambda: look(forward), lambda: look(forward[::-1]))
