"""The reclaimers under the deterministic scheduler: every interleaving, within bounds, of small scenarios.

In the pure build a read of freed memory is an error, so a use after free cannot go unnoticed.
"""

from __future__ import annotations

import contextlib

import pytest

import intermodal
from intermodal.atomics import ACQ_REL, ACQUIRE, RELAXED, exchange, load, store
from intermodal.errors import AddressError
from intermodal.memory import Block
from intermodal.reclamation import WITNESS, Reclaimer, enter, leave
from intermodal.testing.scheduler import explore

pytest.importorskip("intermodal_epoch")
pytest.importorskip("intermodal_hyaline")
from intermodal_epoch._scheme import Epochs
from intermodal_hyaline._scheme import Hyaline

pytestmark = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")
by_scheme = pytest.mark.parametrize("scheme", [Epochs, Hyaline])
by_births = pytest.mark.parametrize("births", [False, True], ids=["ageless", "births"])
#: What a reader returns that has found something younger than its section.
TOO_YOUNG = -1
#: What is in a page that has been dropped.
DROPPED = -2


class Page:
    """A block with a number in it, which notes that it is dropped."""

    def __init__(self, number, dropped):
        self.block = Block(1)
        self.number = number
        self.dropped = dropped
        store(self.block.address, number, RELAXED)

    def __del__(self):
        # The scheduler tries who comes first where there is an access. At a run's end the GC may be earlier.
        with contextlib.suppress(AddressError):
            store(self.block.address, DROPPED, RELAXED)
        self.dropped.append(self.number)


class Register:
    """A word with the address of a page's memory; whoever replaces it retires the page that was there.

    Args:
        scheme: makes the scheme.
        births: whether to say when pages were made; readers then look whether what they find is too young.
        made: takes the numbers of the pages.
        dropped: takes the numbers of those that are dropped.
    """

    def __init__(self, scheme, births, made, dropped):
        self.reclaimer = Reclaimer(scheme())
        self.births = births
        self.made, self.dropped = made, dropped
        self.root = Block(1)
        self.pages = {}
        self.publish(0)

    def publish(self, number):
        """Link a new page; return the one that it replaces, and when that was made."""
        birth = self.reclaimer.now() if self.births else 0
        page = Page(number, self.dropped)
        self.made.append(number)
        self.pages[page.block.address] = page, birth
        old = exchange(self.root.address, page.block.address, ACQ_REL)
        return self.pages.pop(old) if old else (None, 0)

    def replace(self, number):
        """Link a new page and retire the old one."""
        self.reclaimer.retire(*self.publish(number))

    def write(self, *numbers):
        """Replace the page by one after the other, each time freeing what can be freed."""
        for number in numbers:
            # As engines do. Afterwards it would hand over, by its locks, that the page has been unlinked.
            self.reclaimer.make_room()
            self.replace(number)
            self.reclaimer.flush()

    def find(self, record, era):
        """Return the address in the register, in the section of that *era*; 0 if it is younger than that."""
        address = load(self.root.address, ACQUIRE)
        if self.births and load(load(record + WITNESS, RELAXED), ACQUIRE) != era:
            return 0
        return address

    def number_at(self, address):
        """Return the number in the page at that *address*, which must not have been dropped."""
        number = load(address, RELAXED) if address else TOO_YOUNG
        assert number != DROPPED
        assert number not in self.dropped
        return number

    def leave(self, record):
        """End a section of the calling thread."""
        released = leave(record)
        if released:
            self.reclaimer.released(released)

    def read(self):
        """Return the number in the page, read in a section."""
        record = self.reclaimer.record()
        number = self.number_at(self.find(record, enter(record)))
        self.leave(record)
        return number

    def depart(self):
        """Do what happens when the calling thread ends."""
        del self.reclaimer._local.end

    def check(self):
        """Verify that all pages but the one that is linked are dropped, once each, now that nobody reads."""
        self.reclaimer.flush()
        linked = load(load(self.root.address, RELAXED), RELAXED)
        assert sorted([*self.dropped, linked]) == sorted(self.made)
        statistics = self.reclaimer.statistics()
        assert statistics.retired == statistics.freed == len(self.dropped)
        assert (statistics.pending, statistics.pinned) == (0, 0)


def scenario(scheme, *threads, births=False, seen=None, before=None):
    """Return a scenario in which *threads*, functions of one register, run, and all is dropped in the end.

    Args:
        births: see Register.
        seen: a set that takes what the first thread has returned in any of the runs.
        before: what the first thread does alone, before all run.
    """

    def run():
        register = Register(scheme, births, [], [])
        if before is not None:
            yield lambda: before(register)
        results = yield tuple(lambda thread=thread: thread(register) for thread in threads)
        if seen is not None:
            seen.add(results[0])
        register.check()

    return run


def write(*numbers):
    """Return a thread that replaces the page by others with these *numbers*."""
    return lambda register: register.write(*numbers)


# ---- a reader and a writer --------------------------------------------------------------------------------


@by_scheme
@by_births
def test_what_a_section_finds_stays_until_its_end(scheme, births):
    """Whatever is unlinked, retired and flushed meanwhile."""
    seen = set()
    run = scenario(scheme, Register.read, write(1), births=births, seen=seen)
    assert explore(run, preemptions=3).complete
    assert {0, 1} <= seen <= {0, 1, TOO_YOUNG}


@by_scheme
@by_births
def test_the_fences_suffice(scheme, births):
    """What a section finds stays also if two reads get older values, as far as their memory order allows."""
    run = scenario(scheme, Register.read, write(1), births=births)
    assert explore(run, preemptions=2, older=1).complete
    assert explore(run, preemptions=1, older=2).complete


@by_scheme
@by_births
def test_several_pages_retired_during_one_section(scheme, births):
    """Those that the section can see wait; those that are younger are not found by it, or wait, too."""
    run = scenario(scheme, Register.read, write(1, 2), births=births)
    assert explore(run, preemptions=1, older=1).complete
    assert explore(run, preemptions=2, runs=500).runs > 100


def read_twice(register):
    """Two sections, one after the other."""
    return register.read(), register.read()


@by_scheme
@by_births
def test_a_section_that_ends_and_another_that_begins(scheme, births):
    """The record looks the same to a writer that compares it before and after (ABA)."""
    run = scenario(scheme, read_twice, write(1), births=births)
    assert explore(run, preemptions=2).complete
    assert explore(run, preemptions=1, older=1).complete


def read_nested(register):
    """Find a page in an outer section, begin and end an inner one, and read the page."""
    record = register.reclaimer.record()
    address = register.find(record, enter(record))
    inner = register.read()
    number = register.number_at(address)
    register.leave(record)
    return number, inner


@by_scheme
@by_births
def test_an_inner_section_does_not_end_the_outer_one(scheme, births):
    """What the outer one has found stays."""
    seen = set()
    run = scenario(scheme, read_nested, write(1), births=births, seen=seen)
    assert explore(run, preemptions=2).complete
    assert {(0, 0), (1, 1)} <= seen


def read_with_guards(register):
    """Do what programs in Python do, the same guard entered twice."""
    with register.reclaimer.pin() as guard:
        with guard:
            address = load(register.root.address, ACQUIRE)
        return register.number_at(address)


@by_scheme
def test_a_guard_is_a_section(scheme):
    """Also one that is entered and left inside itself."""
    assert explore(scenario(scheme, read_with_guards, write(1)), preemptions=2).complete


def replace_in_a_section(register):
    """Retire what the thread itself still looks at, and try to free it."""
    record = register.reclaimer.record()
    address = register.find(record, enter(record))
    register.write(1)
    number = register.number_at(address)
    register.leave(record)
    register.reclaimer.flush()
    return number


@by_scheme
def test_a_thread_may_retire_what_it_looks_at(scheme):
    """Its own flush frees nothing inside its section, nor does that of another thread."""
    run = scenario(scheme, replace_in_a_section, lambda register: register.reclaimer.flush())
    assert explore(run, preemptions=2).complete


# ---- several readers, several writers ----------------------------------------------------------------------


@by_scheme
def test_two_readers_and_a_writer(scheme):
    """Whoever leaves last, the page is freed once."""
    run = scenario(scheme, Register.read, Register.read, write(1))
    assert explore(run, preemptions=1, older=1).complete
    assert explore(run, preemptions=2, runs=300).runs > 100


@by_scheme
@by_births
def test_two_writers_and_a_reader(scheme, births):
    """Both hang a batch on the same section, or move the same clock."""
    run = scenario(scheme, Register.read, write(1), write(2), births=births)
    assert explore(run, preemptions=1).complete
    assert explore(run, preemptions=2, older=1, runs=300).runs > 100


def flush_and_read(register):
    """Move the clock, and then read."""
    register.reclaimer.flush()
    return register.read()


@by_scheme
def test_a_section_that_begins_after_the_clock_went_on(scheme):
    """While another thread submits: its batch was unlinked before, or the section is waited for."""
    run = scenario(scheme, flush_and_read, write(1))
    assert explore(run, preemptions=2, older=1).complete


@by_scheme
def test_a_look_at_the_records_that_is_out_of_date(scheme):
    """A thread that moves the clock, having looked before others unlinked and submitted, moves it in vain."""
    run = scenario(scheme, lambda register: register.reclaimer.flush(), Register.read, write(1))
    assert explore(run, preemptions=2, older=1, runs=1000).runs > 100


@by_scheme
@by_births
@pytest.mark.parametrize("seed", range(2))
def test_many_sections_and_many_pages(scheme, births, seed):
    """By random priorities; some reads get older values."""
    run = scenario(scheme, read_twice, read_nested, write(1, 2), write(3), births=births)
    explore(run, method="pct", runs=100, seed=seed, depth=4, older=1)


# ---- threads that come and go ------------------------------------------------------------------------------


def read_and_depart(register):
    """A thread that ends after it has read."""
    register.read()
    register.depart()


def depart_in_a_section(register):
    """A thread that ends without having left its section."""
    record = register.reclaimer.record()
    register.number_at(register.find(record, enter(record)))
    register.depart()


def replace_and_depart(register):
    """A thread that ends with something in its limbo."""
    register.replace(1)
    register.depart()


@by_scheme
@pytest.mark.parametrize("departing", [read_and_depart, depart_in_a_section])
def test_a_reader_that_ends(scheme, departing):
    """Also while a batch is being hung on it; what waits for it waits no longer."""
    run = scenario(scheme, departing, write(1))
    assert explore(run, preemptions=2).complete
    assert explore(run, preemptions=1, older=1).complete


@by_scheme
def test_a_writer_that_ends(scheme):
    """What it has retired waits for the sections of others all the same."""
    run = scenario(scheme, Register.read, replace_and_depart)
    assert explore(run, preemptions=2).complete
    assert explore(run, preemptions=1, older=1).complete


@by_scheme
def test_a_thread_that_comes_back(scheme):
    """With a record of its own, new each time."""

    def come_back(register):
        return [(register.read(), register.depart()) for _ in range(2)]

    assert explore(scenario(scheme, come_back, write(1)), preemptions=1).complete


@by_scheme
def test_a_reader_and_a_writer_that_both_end(scheme):
    """In the middle of a section, and with something in the limbo."""
    run = scenario(scheme, depart_in_a_section, replace_and_depart, Register.read)
    assert explore(run, preemptions=1).complete
    assert explore(run, preemptions=2, runs=400).runs > 100


# ---- robustness --------------------------------------------------------------------------------------------


def dropped_during_a_section(scheme):
    """Return which of five pages are dropped during a section that began before four were replaced."""
    during = []

    def run():
        register = Register(scheme, True, [], [])
        record = register.reclaimer.record()
        enter(record)
        yield lambda: register.write(1, 2, 3, 4)
        during[:] = register.dropped
        register.leave(record)
        register.check()

    explore(run)
    return during


def test_a_section_that_lasts_holds_back_what_is_not_younger():
    """With hyaline; with epoch, everything from then on."""
    assert dropped_during_a_section(Hyaline) == [2, 3]
    assert dropped_during_a_section(Epochs) == []


@by_births
def test_what_is_younger_than_a_section_is_not_taken_for_older(births):
    """A page that replaces another during the section is freed early, and the reader finds out."""
    seen = set()
    run = scenario(Hyaline, Register.read, write(1, 2), births=births, seen=seen)
    assert explore(run, preemptions=2, runs=600).runs > 100
    assert (TOO_YOUNG in seen) is births


def test_what_is_divided_is_not_freed_under_other_sections():
    """A section has stalled; of what is retired then the part that is younger waits for those that have not."""

    def run():
        register = Register(Hyaline, True, [], [])
        old = [Page(100, register.dropped)]
        register.made.append(100)
        record = register.reclaimer.record()
        enter(record)
        register.write(*range(1, 8))

        def write_both():
            register.reclaimer.retire(old.pop(), 1)
            register.write(8)

        yield register.read, write_both
        del write_both
        register.leave(record)
        register.check()

    assert explore(run, preemptions=2).complete


# ---- destructors -------------------------------------------------------------------------------------------


class Chain:
    """Retires the next one when it is dropped."""

    def __init__(self, reclaimer, length, dropped):
        self.reclaimer, self.length, self.dropped = reclaimer, length, dropped

    def __del__(self):
        self.dropped.append(self.length)
        if self.length:
            self.reclaimer.retire(Chain(self.reclaimer, self.length - 1, self.dropped))
            self.reclaimer.flush()


@by_scheme
def test_destructors_retire_and_flush(scheme):
    """While others are in sections, and free, too."""
    dropped = []

    def retire_a_chain(register):
        dropped.clear()
        register.reclaimer.retire(Chain(register.reclaimer, 2, dropped))
        register.reclaimer.flush()

    def run():
        register = Register(scheme, False, [], [])
        yield register.read, lambda: retire_a_chain(register)
        register.reclaimer.flush()
        assert dropped == [2, 1, 0]

    assert explore(run, preemptions=1, older=1).complete


# ---- figures -----------------------------------------------------------------------------------------------


@by_scheme
@pytest.mark.parametrize("other", [Register.read, write(1), replace_and_depart, flush_and_read])
def test_figures_taken_meanwhile_are_possible_ones(scheme, other):
    """Not of another time, but between those before and those after."""
    taken = []

    def look(register):
        taken.append(register.reclaimer.statistics())

    assert explore(scenario(scheme, look, other), preemptions=2).complete
    for each in taken:
        assert 0 <= each.freed <= each.retired <= 1
        assert each.pending in (0, 1)
        assert each.pinned in (0, 1)
        assert each.oldest_pin is None or each.oldest_pin in range(4)
        assert (each.oldest_thread is None) is (each.oldest_pin is None) is (each.pinned == 0)
