"""The evmap under the deterministic scheduler: every interleaving, within bounds, of small scenarios.

Each map has sections of its own, so that what a thread does for the first time it does in every run. Nobody
sleeps here, so a writer looks once and then makes another copy, where one in real time waits before it does.
"""

from __future__ import annotations

import itertools

import pytest

import intermodal
from intermodal import ABSENT
from intermodal.reclamation import Reclaimer
from intermodal.testing.keys import Key
from intermodal.testing.scenarios import Call, calls_on, concurrently
from intermodal.testing.scheduler import explore

pytest.importorskip("intermodal_evmap")
from intermodal_evmap import EvMap, _obstacles, _state
from intermodal_evmap._readers import Sections
from intermodal_evmap._state import EvMapState

pytestmark = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    """Whoever finds a reader in the way goes on without waiting."""
    monkeypatch.setattr(_state, "SPINS", 0)
    monkeypatch.setattr(_state, "BRIEF", 1)
    monkeypatch.setattr(_obstacles, "COPY_EACH", 0.0)


def new_map(every=1):
    """Return an empty map with sections of its own."""
    return EvMap(EvMapState(every=every, readers=Reclaimer(Sections())))


def few(m):
    """Three entries."""
    m.update((number, number) for number in (1, 2, 3))


HERE, THERE = 3, 100
A, B = calls_on(HERE, "A"), calls_on(HERE, "B")
NEW_A, NEW_B = calls_on(THERE, "A"), calls_on(THERE, "B")
PAIRS = [
    *(
        (A[first], B[second])
        for first, second in itertools.combinations_with_replacement(["get", "set", "pop", "compute"], 2)
    ),
    *((NEW_A["insert"], NEW_B[second]) for second in ("get", "set", "insert", "pop")),
]
LEN = Call("len", len)
ITEMS = Call("items", lambda m: sorted(m.items()))
CLEAR = Call("clear", lambda m: m.clear())
#: A reader beside a writer who publishes often enough for the copy that is read to come up for writing.
READERS = [
    ([A["get"]], [B["set"], B["pop"]]),
    ([A["get"]], [B["pop"], NEW_B["insert"]]),
    ([A["get"], A["get"]], [B["set"], B["pop"]]),
    ([NEW_A["get"]], [NEW_B["insert"], NEW_B["pop"]]),
    ([LEN], [B["pop"], NEW_B["insert"]]),
    ([ITEMS], [B["pop"], NEW_B["insert"]]),
    ([A["[]"]], [CLEAR, B["set"]]),
]


def names(value):
    """Return a test's id."""
    return " | ".join(" ".join(map(str, each)) if isinstance(each, list) else str(each) for each in value)


@pytest.mark.parametrize("pair", PAIRS, ids=names)
def test_two_operations_take_effect_one_after_the_other(pair):
    """Where each write is published by itself: wherever one of them is interrupted."""
    scenario = concurrently(new_map, [pair[0]], [pair[1]], prepare=few)
    assert explore(scenario, preemptions=1).complete


@pytest.mark.parametrize("threads", READERS, ids=names)
def test_a_reader_finds_what_one_publication_has_left(threads):
    """However far the writer gets while it is interrupted: two publications on, its copy is written to."""
    scenario = concurrently(new_map, *threads, prepare=few)
    assert explore(scenario, preemptions=2).complete


@pytest.mark.parametrize("threads", READERS[:3], ids=names)
def test_the_memory_orders_suffice(threads):
    """Also if one read gets the oldest value that its memory order allows."""
    scenario = concurrently(new_map, *threads, prepare=few)
    assert explore(scenario, preemptions=1, older=1).complete


def test_of_two_equal_keys_that_have_to_be_asked_one_is_put_in():
    """Each writer asks under no lock; who comes second asks again."""

    def scenario():
        m = new_map()
        m[Key("b", 5)] = 0
        results = yield (lambda: m.insert(Key("a", 5), 1)), (lambda: m.insert(Key("a", 5), 2))
        assert sorted(results) == [False, True]
        assert len(m) == 2
        m._check()

    assert explore(scenario, preemptions=1).complete


def test_a_removal_that_has_to_ask_removes_the_key_that_it_asked():
    """Or nothing, if that has gone meanwhile."""

    def scenario():
        m = new_map()
        m.update({Key("a", 5): 1, Key("b", 5): 2})
        results = yield (lambda: m.pop(Key("a", 5), None)), (lambda: m.pop(Key("a", 5), None))
        assert sorted(results, key=str) == [1, None]
        assert dict(m) == {Key("b", 5): 2}
        m._check()

    assert explore(scenario, preemptions=1).complete


def guarded(*programs, every=0):
    """Return a scenario of functions of a map of which all entries are always equal."""

    def scenario():
        m = new_map(every)
        with m.writing():
            m.update(dict.fromkeys((1, 2), 0))
        yield tuple((lambda program=program: program(m)) for program in programs)
        m.publish()
        m._check()

    return scenario


def write_twice(m):
    """Publish two states."""
    for step in (1, 2):
        m[1] = step
        m[2] = step
        m.publish()


def read_guarded(m):
    """Look at both keys of one state, by look-ups and by iteration."""
    with m.guard() as guard:
        first = guard[1]
        assert guard.get(2, ABSENT) == first
        assert set(guard.values()) == {first}


def read_one_state_after_the_other(m):
    """Look at both keys by themselves: the later one is never older."""
    first = m[1]
    assert m[2] >= first
    with m.guard() as guard:
        assert guard[1] >= first
        assert m[1] >= guard[1]


@pytest.mark.parametrize("read", [read_guarded, read_one_state_after_the_other])
def test_what_is_read_under_a_guard_is_of_one_publication(read):
    """And what a thread reads later is never older."""
    assert explore(guarded(write_twice, read), preemptions=1).complete


def test_two_writers_publish_what_either_wrote():
    """Nothing is lost, and the copies agree."""

    def write(m):
        m.compute(1, lambda old: old + 1)
        m.publish()

    def scenario():
        m = new_map(0)
        m[1] = 0
        m.publish()
        yield (lambda: write(m)), (lambda: write(m))
        assert m[1] == 2
        m._check()

    assert explore(scenario, preemptions=1).complete


def test_a_guard_that_ends_gives_its_copy_back():
    """While a writer makes up its mind whether it needs another one."""

    def scenario():
        m = new_map()
        few(m)
        guard = m.guard()

        def write():
            m[1] = 10
            m[1] = 20

        yield write, guard.close
        assert m[1] == 20
        assert m.statistics().copies <= 1
        m._check()

    assert explore(scenario, preemptions=2).complete
