"""Reclaimers: what is retired is freed once, outside of sections, and not before the last one that matters ends."""

from __future__ import annotations

import _thread
import gc
import os
import sys
import sysconfig
import threading

import pytest
from helpers import sample
from test_atomics_contention import COMPILED, interpreted_loops

import intermodal
from intermodal import atomics, open_reclaimer
from intermodal.atomics import ACQUIRE, RELAXED, load, object_store
from intermodal.errors import AddressError
from intermodal.memory import Block
from intermodal.reclamation import (
    BATCH,
    DEPTH,
    ERA,
    HEAD,
    LIMBO,
    LIMIT,
    MOST_AT_ONCE,
    OUTSIDE,
    SLOT,
    WITNESS,
    Batch,
    CountedReferences,
    Participant,
    Reclaimer,
    Scheme,
    enter,
    has_room,
    leave,
    record_of,
    retired,
)
from intermodal.testing.forks import in_child
from intermodal.testing.lifetimes import Ledger
from intermodal.testing.threads import PATIENCE, in_threads, run_threads, switching_often

PROTECTING = ["epoch", "hyaline"]
by_name = pytest.mark.parametrize("name", PROTECTING)
#: More steps where they are cheap.
MANY = 10 if intermodal.__compiled__ else 1


@pytest.fixture(params=PROTECTING)
def reclaimer(request):
    """A new reclaimer of each kind that protects."""
    return open_reclaimer(request.param)


@pytest.fixture
def ledger():
    """Counts values; all must be dropped in the end."""
    return Ledger()


class Noted:
    """Notes its destruction, and does something in its destructor."""

    def __init__(self, log, name="object", then=lambda: None):
        self.log, self.name, self.then = log, name, then

    def __del__(self):
        self.log.append(self.name)
        self.then()


def settled(reclaimer, pending=0):
    """Return the figures after a flush, when *pending* objects should be left."""
    reclaimer.flush()
    statistics = reclaimer.statistics()
    assert statistics.pending == statistics.retired - statistics.freed == pending, statistics
    return statistics


class Elsewhere:
    """Another thread, which does one thing after the other that it is asked for."""

    def __init__(self):
        self._asked, self._answered = _thread.allocate_lock(), _thread.allocate_lock()
        self._asked.acquire()
        self._answered.acquire()
        self._function = None
        self._result = self._error = None
        self._thread = threading.Thread(target=self._run, name="elsewhere", daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            self._asked.acquire()
            function, self._function = self._function, None
            if function is None:
                break
            try:
                self._result = function()
            except BaseException as error:  # noqa: BLE001  (raised where it was asked for)
                self._error = error
            del function
            self._answered.release()

    def __call__(self, function):
        """Return what *function* returns there, or raise what it raises."""
        self._function = function
        del function
        self._asked.release()
        assert self._answered.acquire(timeout=PATIENCE)
        result, error = self._result, self._error
        self._result = self._error = None
        if error is not None:
            raise error
        return result

    def end(self):
        """Let the thread end, and wait for it."""
        if self._thread.is_alive():
            self._asked.release()
            self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture
def elsewhere():
    """Another thread."""
    thread = Elsewhere()
    yield thread
    thread.end()


# ---- sections ---------------------------------------------------------------------------------------------


def test_what_is_retired_in_a_section_is_dropped_after_it(reclaimer):
    """Once, by the flush that follows, and not by one inside."""
    log = []
    with reclaimer.pin():
        reclaimer.retire(Noted(log))
        reclaimer.flush()
        assert log == []
        assert reclaimer.statistics().pending == 1
    settled(reclaimer)
    assert log == ["object"]


def test_the_section_of_another_thread_holds_it_back(reclaimer, elsewhere):
    """Whoever retires and flushes, and however often."""
    log = []
    guard = reclaimer.pin()
    elsewhere(guard.__enter__)
    for _ in range(5):
        reclaimer.retire(Noted(log))
        reclaimer.flush()
    assert log == []
    elsewhere(lambda: guard.__exit__(None, None, None))
    settled(reclaimer)
    assert log == ["object"] * 5


def test_a_section_that_begins_later_does_not(reclaimer, elsewhere):
    """What is retired before it begins is not found in it."""
    log = []
    reclaimer.retire(Noted(log))
    if reclaimer.scheme.lists:
        reclaimer.flush()  # the limbo counts as being unlinked only now
    with reclaimer.pin():
        elsewhere(reclaimer.flush)
    reclaimer.flush()
    assert log == ["object"]


def test_sections_nest(reclaimer):
    """The outermost one counts, also if guards are left in another order than they were entered in."""
    log = []
    first, second, third = (reclaimer.pin() for _ in range(3))
    first.__enter__()
    with second:
        third.__enter__()
        reclaimer.retire(Noted(log))
        first.__exit__(None, None, None)
        settled(reclaimer, pending=1)
    settled(reclaimer, pending=1)
    assert reclaimer.statistics().pinned == 1
    third.__exit__(None, None, None)
    assert settled(reclaimer).pinned == 0
    assert log == ["object"]


def test_a_guard_can_be_used_again_and_inside_itself(reclaimer):
    """It has no state but how often it has been entered."""
    guard = reclaimer.pin()
    log = []
    for _ in range(3):
        with guard as entered, guard, guard:
            assert entered is guard
            reclaimer.retire(Noted(log))
            settled(reclaimer, pending=1)
        settled(reclaimer)
    assert len(log) == 3


@pytest.mark.parametrize("name", [*PROTECTING, "refcount"])
def test_a_guard_of_another_thread_is_refused(name, elsewhere):
    """RuntimeError, and it goes on to be whose it is."""
    reclaimer = open_reclaimer(name)
    guard = reclaimer.pin()
    elsewhere(guard.__enter__)
    with pytest.raises(RuntimeError, match="left by the thread that entered it"):
        guard.__exit__(None, None, None)
    with pytest.raises(RuntimeError, match="take one with pin"):
        guard.__enter__()
    assert reclaimer.statistics().pinned == 1
    elsewhere(lambda: guard.__exit__(None, None, None))
    with guard:
        with pytest.raises(RuntimeError, match="take one with pin"):
            elsewhere(guard.__enter__)
        assert reclaimer.statistics().pinned == 1
    assert reclaimer.statistics().pinned == 0


def test_a_guard_that_was_not_entered_cannot_be_left(reclaimer):
    """RuntimeError, and sections work as before."""
    guard = reclaimer.pin()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="has not been entered"):
            guard.__exit__(None, None, None)
        with guard:
            assert reclaimer.statistics().pinned == 1
    assert reclaimer.statistics().pinned == 0


def test_a_guard_is_not_taken_over_by_a_later_thread(reclaimer):
    """Not even by one whose record lies where that of the thread was that entered the guard, and has ended."""
    guard = reclaimer.pin()
    records = []

    def enter_and_end():
        guard.__enter__()
        records.append(reclaimer.record())

    def leave_again():
        records.append(reclaimer.record())
        with pytest.raises(RuntimeError):
            guard.__exit__(None, None, None)
        with reclaimer.pin():
            assert load(reclaimer.record() + DEPTH, RELAXED) == 1

    in_threads(1, lambda _: enter_and_end())
    for _ in range(50):
        in_threads(1, lambda _: leave_again())
        if records[-1] == records[0]:
            break
    settled(reclaimer)


def test_an_exception_ends_the_section_and_passes_through(reclaimer):
    """As a with statement does; also if it comes from an inner one."""
    with pytest.raises(ZeroDivisionError), reclaimer.pin(), reclaimer.pin():
        raise ZeroDivisionError
    assert reclaimer.statistics().pinned == 0


def test_compiled_callers_enter_and_leave_by_record(reclaimer):
    """The era of the outermost section is that of all inside."""
    record = reclaimer.record()
    assert record_of(reclaimer.key) in (0, record)
    era = enter(record)
    assert era == reclaimer.now() == load(record + ERA, RELAXED)
    assert load(load(record + WITNESS, RELAXED), ACQUIRE) == era
    in_threads(1, lambda _: [reclaimer.retire(object()), reclaimer.flush()])
    assert enter(record) == era
    assert leave(record) == 0
    assert load(record + HEAD, ACQUIRE) != OUTSIDE
    released = leave(record)
    assert load(record + HEAD, ACQUIRE) == OUTSIDE
    if released:
        reclaimer.released(released)
    settled(reclaimer)


def test_the_last_to_leave_frees_with_hyaline(elsewhere):
    """Nobody has to ask."""
    reclaimer = open_reclaimer("hyaline")
    guard = reclaimer.pin()
    elsewhere(guard.__enter__)
    with reclaimer.pin():
        reclaimer.retire(object())
        reclaimer.flush()
    assert reclaimer.statistics().freed == 0
    elsewhere(lambda: guard.__exit__(None, None, None))
    assert reclaimer.statistics().freed == 1


# ---- retiring ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objects", [0, 3])
def test_a_block_is_freed_with_all_that_is_in_it(reclaimer, ledger, objects):
    """Until the section ends its addresses are good."""
    block = Block(2, objects)
    address, slots = block.address, block.objects_address
    for number in range(objects):
        object_store(slots + 8 * number, ledger.value())
    with reclaimer.pin():
        reclaimer.retire_memory(block)
        del block
        assert load(address, RELAXED) == 0
        ledger.expect(objects)
    settled(reclaimer)
    ledger.expect(0)
    with pytest.raises(AddressError):
        load(address, RELAXED)


def test_memory_that_nobody_looks_at_is_freed_at_once(reclaimer, ledger):
    """retire_memory() is for what is large."""
    reclaimer.retire_memory(ledger.value())
    ledger.expect(0)


def test_each_reference_is_given_up_once(reclaimer):
    """An object may be retired by several, and as often as there were links to it."""
    shared = object()
    before = sys.getrefcount(shared)
    for _ in range(3 * BATCH + 7):
        reclaimer.retire(shared)
    settled(reclaimer)
    assert sys.getrefcount(shared) == before


def test_garbage_is_bounded_without_any_flush(reclaimer):
    """Freeing is part of retiring: of n objects a few batches are pending."""
    log = []
    for _ in range(20 * BATCH):
        reclaimer.retire(Noted(log))
        assert 0 <= reclaimer.statistics().pending <= 4 * BATCH
    statistics = reclaimer.statistics()
    assert (statistics.retired, statistics.freed) == (20 * BATCH, len(log))
    settled(reclaimer)
    assert len(log) == 20 * BATCH


def test_refcount_frees_with_the_callers_reference(ledger):
    """A section holds back nothing; that is what `protects` says."""
    reclaimer = open_reclaimer("refcount")
    assert not reclaimer.scheme.protects
    with reclaimer.pin():
        value = ledger.value()
        reclaimer.retire(value)
        reclaimer.retire_memory(value, birth=reclaimer.now())
        ledger.expect(1)
        del value
        ledger.expect(0)
    assert reclaimer.statistics() == intermodal.ReclamationStatistics(
        scheme="refcount",
        retired=2,
        freed=2,
        pending=0,
        threads=1,
        pinned=0,
        oldest_pin=None,
        oldest_thread=None,
    )


def test_figures(reclaimer, elsewhere):
    """Every one of them, where nobody retires or frees meanwhile."""

    def expect(**figures):
        statistics = reclaimer.statistics()
        assert {name: getattr(statistics, name) for name in figures} == figures

    name = reclaimer.scheme.name
    expect(
        scheme=name, retired=0, freed=0, pending=0, threads=0, pinned=0, oldest_pin=None, oldest_thread=None
    )
    guard = reclaimer.pin()
    elsewhere(guard.__enter__)
    expect(threads=1, pinned=1, oldest_pin=0, oldest_thread="elsewhere")
    reclaimer.retire(object())
    expect(retired=1, freed=0, pending=1, threads=2, pinned=1)
    reclaimer.flush()
    expect(retired=1, freed=0, pending=1, oldest_pin=1)
    with reclaimer.pin():
        expect(pinned=2, oldest_pin=1, oldest_thread="elsewhere")
        elsewhere(lambda: guard.__exit__(None, None, None))
        expect(pinned=1, oldest_pin=0, oldest_thread="MainThread")
    reclaimer.flush()
    expect(retired=1, freed=1, pending=0, threads=2, pinned=0, oldest_pin=None, oldest_thread=None)
    elsewhere.end()
    expect(threads=1)


def test_eras_go_on_and_births_are_eras(reclaimer):
    """now() never goes back, and moves when batches are submitted."""
    seen = []
    for _ in range(5):
        seen.append(reclaimer.now())
        reclaimer.retire(object(), birth=seen[-1])
        reclaimer.flush()
    assert seen == sorted(set(seen))
    assert seen[0] >= 1


# ---- a section that never ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "least", "most"), [("refcount", 0, 0), ("hyaline", 1, 10_000), ("epoch", 100_000, 100_000)]
)
def test_a_stalled_section(elsewhere, name, least, most):
    """What waits for it after a hundred thousand objects have been retired: that is what `robust` says.

    Of each hundred one was there before the section began, the others come and go.
    """
    reclaimer = open_reclaimer(name)
    links = [(object(), reclaimer.now()) for _ in range(1010)]
    guard = reclaimer.pin()
    elsewhere(guard.__enter__)
    for number in range(100_000):
        place = 10 + number // 100 if number % 100 == 0 else number % 10
        born = reclaimer.now()
        reclaimer.retire(*links[place])
        links[place] = object(), born
    assert least <= reclaimer.statistics().pending <= most
    elsewhere(lambda: guard.__exit__(None, None, None))
    settled(reclaimer)


# ---- destructors ------------------------------------------------------------------------------------------


def test_destructors_run_outside_of_sections(reclaimer):
    """Of the thread that they run in, which may be in the middle of anything else."""
    depths = []

    def note():
        depths.append(load(reclaimer.record() + DEPTH, RELAXED))

    for number in range(3 * BATCH):
        with reclaimer.pin():
            reclaimer.retire(Noted([], then=note))
            if number % 100 == 0:
                reclaimer.flush()
    settled(reclaimer)
    assert depths == [0] * 3 * BATCH


def test_a_destructor_may_enter_retire_and_flush(reclaimer):
    """What it retires is freed by whoever frees what it was in."""
    log = []

    def use():
        with reclaimer.pin():
            reclaimer.retire(Noted(log, "inner"))
        reclaimer.flush()

    for _ in range(10):
        reclaimer.retire(Noted(log, "outer", use))
    settled(reclaimer)
    assert sorted(log) == ["inner"] * 10 + ["outer"] * 10


@pytest.mark.parametrize("flushing", [False, True])
def test_a_long_chain_of_destructors_does_not_recurse(reclaimer, flushing):
    """Each retires the next one."""
    length = 2000 * MANY
    deepest = []

    class Link:
        def __init__(self, left):
            self.left = left

        def __del__(self):
            if self.left:
                reclaimer.retire(Link(self.left - 1))
                if flushing:
                    reclaimer.flush()
            if self.left % 1000 == 0:
                frame, depth = sys._getframe(), 0
                while frame is not None:
                    frame, depth = frame.f_back, depth + 1
                deepest.append(depth)

    reclaimer.retire(Link(length))
    while reclaimer.statistics().pending:
        reclaimer.flush()
    assert reclaimer.statistics().freed == length + 1
    assert max(deepest) < 100


def test_a_destructor_that_raises_is_reported_and_the_others_run(reclaimer, monkeypatch):
    """As Python does with it anywhere."""
    reported, log = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(unraisable.exc_type))
    for _ in range(3):
        reclaimer.retire(Noted(log, then=lambda: 1 / 0))
        reclaimer.retire(Noted(log))
    settled(reclaimer)
    assert reported == [ZeroDivisionError] * 3
    assert len(log) == 6


def retire_as_compiled_callers_do(reclaimer, values):
    """Put each of *values* into the limbo, having asked for room for MOST_AT_ONCE."""
    for value in values:
        record = record_of(reclaimer.key)
        if record == 0 or not has_room(record):
            record = reclaimer.make_room()
        assert has_room(record)
        object_store(load(record + LIMBO, RELAXED), value)
        retired(record, 0)


@pytest.mark.parametrize("left", range(MOST_AT_ONCE + 2))
@pytest.mark.parametrize(
    "retire", [Reclaimer.retire, lambda reclaimer, value: retire_as_compiled_callers_do(reclaimer, [value])]
)
def test_destructors_that_fill_the_limbo_leave_room_for_who_asked(reclaimer, retire, left):
    """Who makes room runs destructors, and they may use it up, or all but a few slots."""
    log = []

    def fill():
        record = reclaimer.make_room()
        while load(record + LIMBO, RELAXED) + left * SLOT < load(record + LIMIT, RELAXED):
            object_store(load(record + LIMBO, RELAXED), Noted(log))
            retired(record, 0)

    retire_as_compiled_callers_do(reclaimer, [Noted(log, then=fill) for _ in range(3)])
    for _ in range(2 * BATCH):
        retire(reclaimer, Noted(log))
        record = reclaimer.record()
        assert load(record + LIMBO, RELAXED) <= load(record + LIMIT, RELAXED)
    statistics = settled(reclaimer)
    assert len(log) == statistics.freed > 3 * BATCH - 10


@pytest.mark.parametrize("left", range(MOST_AT_ONCE, MOST_AT_ONCE + 4))
def test_an_operation_that_has_room_keeps_it(reclaimer, left):
    """Whatever user code retires before it uses it."""
    record = reclaimer.make_room()
    while load(record + LIMBO, RELAXED) + left * SLOT < load(record + LIMIT, RELAXED):
        retire_as_compiled_callers_do(reclaimer, [object()])
    for _ in range(left + 1):
        assert has_room(record)
        reclaimer.retire(object())
    assert has_room(record)
    settled(reclaimer)


# ---- memory that is not to be had ----------------------------------------------------------------------------


class Failing(Scheme):
    """Frees everything at once, unless it is told to fail."""

    def __init__(self, *, lists=False):
        super().__init__("failing", protects=True, lists=lists)
        self.fails = False
        self.batches = []

    def submit(self, batch):
        if self.fails:
            raise MemoryError
        self.batches.append(batch)

    def release(self, head):
        raise AssertionError(head)

    def ready(self):
        return self.batches.pop() if self.batches else None


def test_a_batch_that_cannot_be_submitted_is_not_lost(ledger):
    """What waited goes on to wait, what was to be retired is not, and when memory is there again all is freed."""
    reclaimer = Reclaimer(Failing())
    for _ in range(5):
        reclaimer.retire(ledger.value())
    reclaimer.scheme.fails = True
    for _ in range(2):
        with pytest.raises(MemoryError):
            reclaimer.flush()
        ledger.expect(5)
    for retire in (reclaimer.retire, lambda value: retire_as_compiled_callers_do(reclaimer, [value])):
        with pytest.raises(MemoryError):
            retire(ledger.value())
        ledger.expect(5)
    assert reclaimer.statistics().pending == 5
    reclaimer.scheme.fails = False
    reclaimer.retire(ledger.value())
    assert settled(reclaimer).freed == 6
    ledger.expect(0)


def test_a_full_limbo_that_cannot_be_submitted_is_not_lost(ledger):
    """Retiring fails from then on, before anything is changed, and goes on when there is memory again."""
    reclaimer = Reclaimer(Failing())
    reclaimer.scheme.fails = True
    count = 0
    with pytest.raises(MemoryError):
        while count < 2 * BATCH:
            reclaimer.retire(ledger.value())
            count += 1
    assert count >= BATCH - MOST_AT_ONCE
    for _ in range(3):
        with pytest.raises(MemoryError):
            reclaimer.retire(ledger.value())
    ledger.expect(count)
    assert reclaimer.statistics().pending == count
    reclaimer.scheme.fails = False
    reclaimer.retire(ledger.value())
    ledger.expect(1)
    assert settled(reclaimer).freed == count + 1
    ledger.expect(0)


@pytest.mark.skipif(intermodal.__compiled__, reason="compiled code cannot be made to run out of memory here")
@by_name
def test_no_memory_for_what_a_scheme_needs(name, ledger, elsewhere, monkeypatch):
    """In the middle of a submission, with a section in the way."""
    reclaimer = open_reclaimer(name)
    guard = reclaimer.pin()
    elsewhere(guard.__enter__)
    module = sys.modules[type(reclaimer.scheme).__module__]
    for _ in range(5):
        reclaimer.retire(ledger.value())
    failing = []

    def no_memory(*_):
        failing.append(1)
        raise MemoryError

    if hasattr(module, "Block"):
        monkeypatch.setattr(module, "Block", no_memory)
        with pytest.raises(MemoryError):
            reclaimer.flush()
        assert failing
    ledger.expect(5)
    monkeypatch.undo()
    reclaimer.flush()
    ledger.expect(5)
    elsewhere(lambda: guard.__exit__(None, None, None))
    settled(reclaimer)
    ledger.expect(0)


# ---- threads that come and go -----------------------------------------------------------------------------


@pytest.mark.parametrize("pinned", [False, True])
def test_a_thread_may_end_without_a_word(reclaimer, ledger, pinned):
    """In a section or outside; what it retired is freed by others, and nothing waits for it."""

    def work(_):
        guard = reclaimer.pin()
        guard.__enter__()
        for _ in range(BATCH + 5):
            reclaimer.retire(ledger.value())
        if not pinned:
            guard.__exit__(None, None, None)

    in_threads(2, work)
    for _ in range(5):
        reclaimer.retire(ledger.value())
    statistics = settled(reclaimer)
    assert (statistics.threads, statistics.pinned) == (1, 0)
    assert statistics.freed == 2 * (BATCH + 5) + 5
    ledger.expect(0)


def test_what_waits_for_a_thread_waits_no_longer_when_it_has_ended(reclaimer, ledger, elsewhere):
    """It was in a section when the others flushed for the last time; the next one frees."""
    elsewhere(reclaimer.pin().__enter__)
    reclaimer.retire(ledger.value())
    settled(reclaimer, pending=1)
    elsewhere.end()
    settled(reclaimer)
    ledger.expect(0)


def generations(reclaimer, ledger, left):
    """Return what retires another one of its kind when it dies, *left* times one after the other."""

    class Generation:
        def __init__(self, left):
            self.left, self.value = left, ledger.value()

        def __del__(self):
            with reclaimer.pin():
                if self.left:
                    reclaimer.retire(Generation(self.left - 1))

    return Generation(left)


def test_a_flush_frees_what_destructors_retire_meanwhile(reclaimer, ledger):
    """Through all generations: the flush is the last call that this thread makes."""
    reclaimer.retire(generations(reclaimer, ledger, 10))
    assert settled(reclaimer).freed == 11
    ledger.expect(0)


def test_a_flush_in_a_destructor_leaves_the_rest_to_the_one_that_runs_it(reclaimer, ledger):
    """It comes back, with what the destructor has retired before."""
    log = []
    last = Noted(log, "last", ledger.value)

    def retire_and_flush():
        reclaimer.retire(objects.pop())
        reclaimer.flush()

    objects = [last]
    del last
    reclaimer.retire(Noted(log, "first", retire_and_flush))
    assert settled(reclaimer).freed == 2
    assert log == ["first", "last"]


def test_destructors_that_run_at_the_end_of_a_thread_may_retire(reclaimer, ledger):
    """Also through several generations: nothing is left with a thread that is no more."""
    # One thread at a time. Without a GIL an object that another thread drops dies in the thread that made it,
    # perhaps after that one's own variables: the next test.
    for _ in range(10):
        in_threads(1, lambda _: reclaimer.retire(generations(reclaimer, ledger, 3)))
    statistics = settled(reclaimer)
    assert (statistics.threads, statistics.freed) == (1, 40)
    ledger.expect(0)


@pytest.mark.parametrize("first", [False, True])
def test_what_the_last_destructors_of_a_thread_retire_is_not_lost(reclaimer, ledger, first):
    """A thread's own variables die in any order: what is left of it is the next thread's with its number."""
    variables = threading.local()

    def work(_):
        if first:
            reclaimer.record()
        variables.last = Noted([], then=lambda: reclaimer.retire(ledger.value()))
        reclaimer.record()

    for _ in range(50):
        in_threads(1, work)
    reclaimer.flush()
    statistics = reclaimer.statistics()
    assert statistics.retired == 50
    assert statistics.threads <= 10
    assert statistics.pending <= 10


def count(kind):
    """Return how many objects of that class there are."""
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


def test_ten_thousand_short_threads_leave_nothing_behind(ledger):
    """Each pins, retires and ends."""
    reclaimers = [open_reclaimer(name) for name in PROTECTING]
    before = [count(kind) for kind in (Participant, Batch, Block)]

    def work():
        for reclaimer in reclaimers:
            with reclaimer.pin():
                reclaimer.retire(ledger.value(), birth=reclaimer.now())

    for _ in range(10_000 // 8):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for reclaimer in reclaimers:
            statistics = reclaimer.statistics()
            assert statistics.threads == 0
            assert statistics.pending < 100, "freeing is part of a thread's end"
    for reclaimer in reclaimers:
        assert settled(reclaimer).retired == 10_000
    ledger.expect(0)
    participants, batches, blocks = (
        count(kind) - old for kind, old in zip((Participant, Batch, Block), before, strict=True)
    )
    assert participants <= 2
    assert batches <= 40
    assert blocks <= 2 * batches + participants


def test_threads_without_a_thread_object_take_part(reclaimer, ledger):
    """Such as those of other libraries: they have Python's own state, and say nothing when they end."""
    ended = threading.Semaphore(0)

    def work():
        reclaimer.retire(ledger.value())
        end.at = Noted([], then=ended.release)

    end = threading.local()
    for _ in range(20):
        _thread.start_new_thread(work, ())
    for _ in range(20):
        assert ended.acquire(timeout=PATIENCE)
    while reclaimer.statistics().threads:  # the thread's own variables die in any order
        atomics.yield_thread()
    assert settled(reclaimer).retired == 20
    ledger.expect(0)


# ---- reclaimers that come and go ---------------------------------------------------------------------------


@by_name
def test_a_reclaimer_takes_along_what_is_pending(name, ledger, elsewhere):
    """Of all threads, those in the limbo and those that wait for a section."""
    reclaimer = open_reclaimer(name)
    kept = [reclaimer]
    guard = reclaimer.pin()
    elsewhere(guard.__enter__)
    for _ in range(BATCH + 5):
        reclaimer.retire(ledger.value())
    reclaimer.flush()
    reclaimer.retire(ledger.value())
    elsewhere(lambda: kept[0].retire(ledger.value()))
    ledger.expect(BATCH + 7)
    del kept[0], reclaimer
    ledger.expect(BATCH + 7)
    del guard  # it keeps its reclaimer
    ledger.expect(0)
    elsewhere(lambda: None)  # the thread is as before, and ends as any


@by_name
def test_a_reclaimer_in_a_cycle_is_collected(name, ledger, elsewhere, monkeypatch):
    """What is pending refers to it; nothing is reported, and no thread keeps it alive."""
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    class Cyclic:
        def __init__(self, reclaimer):
            self.reclaimer, self.value = reclaimer, ledger.value()

    kept = [open_reclaimer(name)]
    for _ in range(3):
        kept[0].retire(Cyclic(kept[0]))
    elsewhere(lambda: kept[0].retire(Cyclic(kept[0])))
    elsewhere(lambda: kept[0].retire(kept[0]))
    elsewhere(lambda: None)
    ledger.expect(4)
    kept.clear()
    ledger.expect(0)
    elsewhere.end()
    assert reported == []


def test_twenty_reclaimers_at_once(ledger):
    """More than a thread remembers the records of: each has its own, and sections of one are none of another."""
    reclaimers = [open_reclaimer(PROTECTING[number % 2]) for number in range(20)]

    def use(_):
        records = [each.record() for each in reclaimers]
        assert len(set(records)) == 20
        for _ in range(3):
            for each, record in zip(reclaimers, records, strict=True):
                assert each.record() == record
                assert record_of(each.key) == record, "what was asked for last is remembered"
            assert all(
                record_of(each.key) in (0, record) for each, record in zip(reclaimers, records, strict=True)
            )
        guards = [each.pin() for each in reclaimers]
        for guard, each in zip(guards, reclaimers, strict=True):
            with guard:
                each.retire(ledger.value())
                each.flush()
        for each in reclaimers:
            each.retire(ledger.value())

    in_threads(3, use)
    for each in reclaimers:
        settled(each)
    with reclaimers[0].pin(), reclaimers[1].pin():
        for number, each in enumerate(reclaimers):
            each.retire(ledger.value())
            settled(each, pending=int(number < 2))
    for each in reclaimers:
        statistics = settled(each)
        assert (statistics.retired, statistics.threads) == (7, 1)
    ledger.expect(0)


def test_keys_are_never_used_again():
    """Else a thread could take the record of a reclaimer that died for that of another."""
    keys = set()
    for _ in range(100):
        reclaimer = open_reclaimer("epoch")
        reclaimer.record()
        assert reclaimer.key > max(keys, default=0)
        keys.add(reclaimer.key)


# ---- schemes of others ------------------------------------------------------------------------------------


class Patient(Scheme):
    """A scheme in plain Python, as a third party would write one: frees when everybody is outside."""

    def __init__(self):
        super().__init__("patient", protects=True, lists=False)
        self.batches = []

    def submit(self, batch):
        atomics.heavy_fence()
        self.batches.append(batch)

    def release(self, head):
        raise AssertionError(head)

    def ready(self):
        for participant in self.present():
            if load(participant.record + HEAD, ACQUIRE) != OUTSIDE:
                return None
        return self.batches.pop() if self.batches else None


def test_a_scheme_in_plain_python_works(ledger, elsewhere):
    """Also where the core is compiled."""
    reclaimer = Reclaimer(Patient())
    guard = reclaimer.pin()
    elsewhere(guard.__enter__)
    for _ in range(2 * BATCH):
        reclaimer.retire(ledger.value())
    reclaimer.flush()
    ledger.expect(2 * BATCH)
    elsewhere(lambda: guard.__exit__(None, None, None))
    assert settled(reclaimer).scheme == "patient"
    ledger.expect(0)
    in_threads(2, lambda _: [reclaimer.retire(ledger.value()) for _ in range(10)])
    settled(reclaimer)
    ledger.expect(0)


def test_a_scheme_must_do_its_part():
    """The base class has none of it."""
    scheme = Scheme("unfinished", protects=True, lists=False)
    for call in (lambda: scheme.submit(Batch(False)), lambda: scheme.release(1), scheme.ready):
        with pytest.raises(NotImplementedError):
            call()
    assert scheme.advance() is None


def test_refcount_frees_what_compiled_callers_put_into_its_limbo(ledger):
    """They do the same whatever the scheme."""
    reclaimer = Reclaimer(CountedReferences())
    with reclaimer.pin():
        retire_as_compiled_callers_do(reclaimer, [ledger.value() for _ in range(BATCH + 5)])
    settled(reclaimer)
    ledger.expect(0)


# ---- fork -------------------------------------------------------------------------------------------------


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@needs_fork
@pytest.mark.parametrize("inside", [False, True])
def test_a_child_goes_on_without_the_other_threads(reclaimer, ledger, elsewhere, inside):
    """One that is in a section in the parent does not hold back anything in the child."""
    elsewhere(reclaimer.pin().__enter__)
    elsewhere(lambda: reclaimer.retire(ledger.value()))
    reclaimer.retire(ledger.value())
    reclaimer.flush()
    reclaimer.retire(ledger.value())
    guard = reclaimer.pin()
    if inside:
        guard.__enter__()

    def child():
        if inside:
            reclaimer.flush()
            ledger.expect(3)
            guard.__exit__(None, None, None)
        statistics = settled(reclaimer)
        assert (statistics.threads, statistics.pinned, statistics.freed) == (1, 0, 3)
        ledger.expect(0)
        in_threads(2, lambda _: [reclaimer.retire(ledger.value()) for _ in range(10)])
        settled(reclaimer)
        ledger.expect(0)

    for _ in range(2):
        in_child(child)
    ledger.expect(3)
    assert reclaimer.statistics().threads == 2


@needs_fork
def test_a_child_of_a_thread_goes_on_as_that_thread(reclaimer, ledger, elsewhere):
    """In its section; the main thread is no more."""
    guard = reclaimer.pin()
    elsewhere(guard.__enter__)
    reclaimer.pin().__enter__()
    reclaimer.retire(ledger.value())

    def child():
        assert reclaimer.statistics().pinned == 1
        reclaimer.flush()
        ledger.expect(1)
        guard.__exit__(None, None, None)
        settled(reclaimer)
        ledger.expect(0)

    elsewhere(lambda: in_child(child))


# ---- the end of the interpreter ----------------------------------------------------------------------------


def run(code):
    """Run *code* in a new interpreter; it must end well and without a word."""
    done = sample.run(os.pathsep.join(filter(None, sys.path)), code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


SHUTDOWN = """
import sys
import threading
from intermodal import open_reclaimer

class Noted:
    def __init__(self, reclaimer, left=2):
        self.reclaimer, self.left = reclaimer, left
    def __del__(self):
        if self.left:
            self.reclaimer.retire(Noted(self.reclaimer, self.left - 1))

reclaimer = open_reclaimer("{name}")
forever = threading.Lock()
forever.acquire()

def stay(pinned):
    if pinned:
        reclaimer.pin().__enter__()
    reclaimer.retire(Noted(reclaimer))
    forever.acquire()

def go_on():
    while True:
        with reclaimer.pin():
            reclaimer.retire(Noted(reclaimer))

def stays(thread):
    frame = sys._current_frames().get(thread.ident)
    return frame is not None and frame.f_code is stay.__code__ and frame.f_lineno == frame.f_code.co_firstlineno + 4

threads = [threading.Thread(target=stay, args=(pinned,), daemon=True) for pinned in range(2)]
if {going_on}:
    threading.Thread(target=go_on, daemon=True).start()
for thread in threads:
    thread.start()
while not all(map(stays, threads)):
    pass
for _ in range(3000):
    reclaimer.retire(Noted(reclaimer))
guard = reclaimer.pin()
{last}
"""


@by_name
@pytest.mark.parametrize(
    "last",
    [
        "guard.__enter__()",
        "reclaimer.flush()",
        "import sys; sys.modules['kept'] = reclaimer",
        "import builtins; builtins.kept = Noted(reclaimer), guard",
        "import atexit; atexit.register(reclaimer.flush)",
    ],
)
def test_the_interpreter_ends_with_garbage_pending(name, last):
    """And with daemon threads, one in a section, one that goes on retiring: exit code 0, nothing said."""
    # Without the GIL, CPython 3.13 may itself crash at its end if a daemon thread is not blocked for good.
    going_on = not sysconfig.get_config_var("Py_GIL_DISABLED")
    run(SHUTDOWN.format(name=name, last=last, going_on=going_on))


# ---- real threads -----------------------------------------------------------------------------------------


@pytest.fixture(params=[COMPILED, "interpreted"])
def loops(request):
    """Loops on shared slots, as engines have them."""
    if request.param == "compiled":
        return sample.import_from(request.getfixturevalue("sample_plugin"), "intermodal_sample._loops")
    return interpreted_loops("interpreted_loops_of_sections")


@pytest.mark.parametrize("readers", [1, 3])
def test_readers_that_borrow_find_what_is_there(loops, reclaimer, readers):
    """Without counting: whole objects only; each that is made is dropped once, and garbage is freed meanwhile."""
    ledger, count = Ledger(), 7
    times = 30_000 if not loops.__file__.endswith(".py") else 3_000
    block, gate = Block(count, count), Block(1)
    cells = block.objects_address
    for place in range(count):
        object_store(cells + 8 * place, ledger.value(place))
    atomics.store(gate.address, -readers - 1, atomics.RELEASE)
    most = []

    def make(number):
        if number % 100 == 0:
            most.append(reclaimer.statistics().pending)
        return ledger.value(number)

    with switching_often():
        _, *found = run_threads(
            lambda: loops.replace_cells(gate.address, reclaimer, cells, block.address, count, times, make),
            *[lambda: loops.read_cells(gate.address, reclaimer, cells, count)] * readers,
        )
    assert [wrong for wrong, _ in found] == [0] * readers
    if not reclaimer.scheme.lists:
        assert [young for _, young in found] == [0] * readers
    statistics = settled(reclaimer)
    assert statistics.retired == times
    assert all(0 <= pending <= times for pending in most)
    ledger.expect(count - 1)


def test_an_empty_batch_is_given_to_one_thread(reclaimer):
    """Whichever threads put some back and take some at the same time."""
    scheme = reclaimer.scheme

    def work(_):
        reclaimer.record()
        shared = 0
        for _ in range(5000 * MANY):
            batch = scheme.new_batch()
            shared += batch.count
            batch.count = 1
            batch.count = 0
            scheme._keep(batch)
        return shared

    with switching_often():
        assert in_threads(4, work) == [0] * 4


def test_threads_that_read_and_replace_account_for_everything(reclaimer, ledger):
    """Readers find whole values only; each that was made is dropped once, when the last is replaced."""
    cells = [[ledger.value(number)] for number in range(4)]
    rounds = 200 * MANY
    done = []

    def write(index):
        for number in range(rounds):
            cell = cells[(number + index) % 4]
            born = reclaimer.now()
            with reclaimer.pin():
                old, cell[0] = cell[0], ledger.value(number)
                reclaimer.retire(old, born if number % 3 else 0)
            if number % 50 == index:
                reclaimer.flush()
        done.append(index)

    def read():
        while len(done) < 2:
            with reclaimer.pin():
                for cell in cells:
                    assert isinstance(cell[0].content, int)

    with switching_often():
        run_threads(lambda: write(0), lambda: write(1), read)
    cells.clear()
    assert settled(reclaimer).retired == 2 * rounds
    ledger.expect(0)
