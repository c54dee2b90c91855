"""One test for each defect of the original algorithm, named for it; most under the deterministic scheduler."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

import intermodal
from intermodal import Dispatch, replicate
from intermodal.atomics import RELAXED, load, pause, store
from intermodal.memory import Block
from intermodal.testing.scheduler import explore
from intermodal.testing.threads import PATIENCE, run_threads
from intermodal_nr import readers
from intermodal_nr import replica as module
from intermodal_nr.gate import Gate
from intermodal_nr.group import Group
from intermodal_nr.memory_log import MemoryLog
from intermodal_nr.readers import PARKED
from intermodal_nr.requests import MOVED
from intermodal_nr.states import State

scheduled = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")


@pytest.fixture(autouse=True)
def nobody_spins(monkeypatch):
    """Who waits sleeps at once, so that nothing but being woken ends it."""
    if not intermodal.__compiled__:
        monkeypatch.setattr(module, "SPINS", 0)
        monkeypatch.setattr(readers, "SPINS", 0)


class Total(State):
    """A number that changes add to, in two words, so that a read beside a change would see them differ.

    Trusted, so that no thread's ident is stored.
    """

    def __init__(self, value=0, seen=()):
        self.block, self.seen = Block(2), list(seen)
        for word in (0, 8):
            store(self.block.address + word, value, RELAXED)

    def trusted(self):
        return True

    def apply(self, operation, dropped):
        self.seen.append(operation)
        value = load(self.block.address, RELAXED) + operation
        store(self.block.address, value, RELAXED)
        store(self.block.address + 8, value, RELAXED)
        return value

    def query(self, operation):
        value = load(self.block.address, RELAXED)
        assert load(self.block.address + 8, RELAXED) == value, "read beside a change"
        return value

    def copy(self):
        return Total(load(self.block.address, RELAXED), self.seen)


def group(replicas=2, capacity=4, batch=2, state=None):
    """A group with a log of four entries and batches of two; the invariants are asserted after each step."""
    return Group(MemoryLog(capacity), state or Total(), replicas, batch, None, True)


def same(replicated):
    """Assert that all replicas have seen the same, and return it."""
    replicated.check()
    first, *others = [replica.state.seen for replica in replicated.replicas]
    assert all(other == first for other in others)
    return first


def until(condition):
    """Wait for what another thread is about to do."""
    end = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < end


# ---- reads and completed writes ------------------------------------------------------------------------


@scheduled
def test_no_stale_read_after_a_completed_write():
    """Who has seen a change on one replica, or been told that it is done, finds it on the other."""

    def scenario():
        both = group()
        first, second = both.replicas
        answered = []

        def write():
            answered.append(first.write(1))

        def read():
            done = len(answered)
            return done, second.read(0, None, -1)

        _, (done, seen) = yield write, read
        assert seen >= done
        assert same(both) == [1]

    assert explore(scenario, preemptions=2).complete


@scheduled
def test_no_new_then_old_read():
    """A change that one reader has seen on its replica is seen by who asks the other replica afterwards."""

    def scenario():
        both = group()
        first, second = both.replicas

        def look():
            return first.read(0, None, -1), second.read(0, None, -1)

        _, (new, old) = yield lambda: first.write(1), look
        assert new <= old
        same(both)

    assert explore(scenario, preemptions=2).complete


@scheduled
def test_two_combiners_and_a_reader_agree_on_the_order():
    """Each of two threads changes at its replica and reads there; both see the other's change or it theirs."""

    def scenario():
        both = group()
        first, second = both.replicas

        def work(replica, number):
            return replica.write(number), replica.read(0, None, -1)

        (one, one_sees), (two, two_sees) = yield lambda: work(first, 1), lambda: work(second, 2)
        assert sorted((one, two)) in ([1, 3], [2, 3])
        assert max(one_sees, two_sees) == 3
        assert sorted(same(both)) == [1, 2]

    assert explore(scenario, preemptions=1).complete


# ---- the combiner's role -------------------------------------------------------------------------------


@scheduled
def test_no_operation_is_missed_by_the_combiners_pass():
    """One that comes just after the combiner has looked is done by it, or its issuer gets the role: no
    timeout.

    The scheduler calls a thread that waits for a wake-up that does not come a failure.
    """

    def scenario():
        alone = group(replicas=1)
        (replica,) = alone.replicas
        results = yield lambda: replica.write(1), lambda: replica.write(2), lambda: replica.write(4)
        assert max(results) == 7
        assert sorted(same(alone)) == [1, 2, 4]

    assert explore(scenario, preemptions=1).complete
    assert explore(scenario, method="pct", depth=3, runs=500).runs == 500


@scheduled
def test_a_combiner_that_has_served_long_enough_hands_its_role_over(monkeypatch):
    """After its rounds it wakes those who wait, and goes; none of them is left behind."""
    monkeypatch.setattr(module, "ROUNDS", 1)

    def scenario():
        alone = group(replicas=1)
        (replica,) = alone.replicas
        yield lambda: replica.write(1), lambda: replica.write(2), lambda: replica.write(4)
        assert sorted(same(alone)) == [1, 2, 4]

    assert explore(scenario, preemptions=1).complete
    assert explore(scenario, method="pct", depth=3, runs=500).runs == 500


def test_an_operation_that_waits_for_a_slow_one_is_done_after_it():
    """By whoever executes that: there is nobody else to do it, and nothing that times out."""
    begun, go = threading.Event(), threading.Event()

    class Slow(Dispatch):
        done = ()

        def dispatch_mut(self, operation):
            if operation == "slow":
                begun.set()
                assert go.wait(PATIENCE)
            self.done = (*self.done, operation)
            return self.done

    slow = replicate(Slow, replicas=1)

    def quick():
        assert begun.wait(PATIENCE)
        go.set()
        return slow.execute_mut("quick")

    _, seen = run_threads(lambda: slow.execute_mut("slow"), quick)
    assert seen == ("slow", "quick")


# ---- readers and the combiner --------------------------------------------------------------------------


@scheduled
def test_no_reader_is_beside_a_combiner():
    """Neither in a slot of its own nor in a shared one: a change is never seen half."""

    def scenario():
        alone = group(replicas=1)
        (replica,) = alone.replicas
        slot = replica.own_slot()
        results = yield (
            lambda: replica.write(1),
            lambda: replica.read(slot, None, -1),
            lambda: replica.read(0, None, -1),
        )
        assert set(results) <= {0, 1}

    assert explore(scenario, preemptions=1).complete


@scheduled
def test_a_reader_that_registers_during_a_combine_keeps_out():
    """The number of slots is raised before the slot is used, and read after readers have been told to keep out."""

    def scenario():
        alone = group(replicas=1)
        (replica,) = alone.replicas

        def register_and_read():
            return replica.read(replica.own_slot(), None, -1)

        results = yield lambda: replica.write(1), register_and_read
        assert set(results) <= {0, 1}

    assert explore(scenario, preemptions=2).complete
    assert explore(scenario, preemptions=1, older=1).complete


@scheduled
@pytest.mark.parametrize("older", [0, 1])
def test_a_reader_and_a_combiner_see_each_other_on_every_processor(older):
    """Each sets its own word and looks at the other's, with a full fence between."""

    def scenario():
        alone = group(replicas=1)
        (replica,) = alone.replicas
        results = yield lambda: replica.write(1), lambda: replica.read(0, None, -1)
        assert set(results) <= {0, 1}

    assert explore(scenario, preemptions=1, older=older).complete


def test_a_writer_that_has_parked_is_woken():
    """By the reader that it waits for, when that leaves."""
    begun, waited_for = threading.Event(), threading.Event()

    class Slow(Dispatch):
        value = 0

        def dispatch(self, operation):
            begun.set()
            assert waited_for.wait(PATIENCE)
            return self.value

        def dispatch_mut(self, operation):
            self.value = operation

    slow = replicate(Slow, replicas=1)
    lock = slow._group.replicas[0]._readers.address

    def change():
        assert begun.wait(PATIENCE)
        slow.execute_mut(1)

    def let_go():
        assert begun.wait(PATIENCE)
        until(lambda: load(lock, RELAXED) == PARKED)
        waited_for.set()

    seen, _, _ = run_threads(lambda: slow.execute(None), change, let_go)
    assert seen == 0
    assert slow.execute(None) == 1


# ---- exceptions ----------------------------------------------------------------------------------------


def test_replicas_do_not_diverge_when_user_code_raises():
    """A change that fails half-way is executed once on each copy, with those around it."""

    class Failing(Dispatch):
        def __init__(self):
            self.seen = []

        def dispatch_mut(self, operation):
            self.seen.append(operation)
            if operation % 3 == 0:
                raise ValueError(operation)
            return len(self.seen)

    failing = replicate(Failing, replicas=3, log_entries=4, batch=2, checked=True)

    def work(index):
        with failing.handle() as mine:
            for number in range(60):
                try:
                    mine.execute_mut(100 * index + number)
                except ValueError as error:
                    assert error.args == (100 * index + number,)  # noqa: PT017

    run_threads(*(lambda index=index: work(index) for index in range(3)))
    failing._check()
    first, *others = [replica.state.structure.seen for replica in failing._group.replicas]
    assert sorted(first) == sorted(100 * index + number for index in range(3) for number in range(60))
    assert all(other == first for other in others)


def test_an_operation_that_cannot_be_encoded_leaves_no_hole(tmp_path):
    """It is found out before anything is reserved."""
    numbers = replicate(list, replicas=2, log=f"file://{tmp_path}", fsync=False)
    numbers.append(1)
    with pytest.raises((AttributeError, TypeError)):
        numbers.append(lambda: None)
    numbers.append(2)
    assert numbers == [1, 2]
    numbers.close()


# ---- membership ----------------------------------------------------------------------------------------


def test_a_replica_can_be_added_when_the_log_has_forgotten_its_beginning():
    """It begins with a copy, not with the log."""
    numbers = replicate(list, replicas=2, log_entries=4, batch=2, checked=True)
    for number in range(50):
        numbers.append(number)
    numbers.sync()
    assert numbers.statistics().log_entries == 0
    numbers.add_replica()
    numbers.append(50)
    numbers._check()
    assert [replica.state.structure for replica in numbers._group.replicas] == [list(range(51))] * 3


@scheduled
def test_a_replica_that_is_added_during_a_combine_misses_nothing():
    """And has nothing twice: its copy and its position are of one moment."""

    def scenario():
        both = group(replicas=1)
        yield lambda: both.replicas[0].write(1), both.add, lambda: both.replicas[0].write(2)
        assert sorted(same(both)) == [1, 2]

    assert explore(scenario, preemptions=1).complete


@scheduled
def test_who_asks_a_replica_that_is_removed_is_told_to_ask_another():
    """Whenever: nothing is lost, nothing done twice, nobody waits for ever, asleep or not."""

    def scenario():
        both = group()
        first, second = both.replicas

        def write():
            if first.write(1) is MOVED:
                second.write(1)

        yield write, lambda: both.remove(0), lambda: first.read(0, None, -1)
        assert same(both) == [1]

    assert explore(scenario, preemptions=1).complete


# ---- a full log ----------------------------------------------------------------------------------------


@scheduled
def test_a_replica_that_nobody_uses_blocks_no_writer():
    """Who finds the log full executes it there too."""

    def scenario():
        both = group()
        first, _ = both.replicas

        def work():
            for number in range(6):
                first.write(number)

        yield work
        assert same(both) == list(range(6))

    assert explore(scenario, preemptions=2).complete


@scheduled
def test_two_replicas_that_wait_for_room_do_not_wait_for_each_other():
    """Each brings itself up to date before it waits, and is told when the other has."""

    def scenario():
        both = group(capacity=1, batch=1)
        first, second = both.replicas

        def work(replica, number):
            replica.write(number)
            replica.write(number)

        yield lambda: work(first, 1), lambda: work(second, 2)
        assert sorted(same(both)) == [1, 1, 2, 2]

    assert explore(scenario, preemptions=1).complete
    assert explore(scenario, method="pct", depth=3, runs=500).runs == 500


@scheduled
def test_who_waits_for_a_replica_finds_that_its_combiner_has_gone():
    """It may have published all that it will, and release its role before anybody waits: nobody would come."""

    def scenario():
        both = group(capacity=1, batch=1)
        first, second = both.replicas

        def work():
            first.write(1)
            first.write(2)

        yield work, second.sync
        assert same(both) == [1, 2]

    assert explore(scenario, preemptions=2).complete


@scheduled
def test_a_copy_that_nobody_has_yet_does_not_stop_who_made_it():
    """The thread that adds a replica may serve others as combiner, but not between the copy and its joining."""

    def scenario():
        alone = group(replicas=1, capacity=1, batch=1)

        def work():
            alone.write(1)
            alone.write(2)

        yield alone.add, work
        assert same(alone) == [1, 2]

    assert explore(scenario, preemptions=2).complete


def test_a_stuck_replica_is_evicted_and_begins_again():
    """Its combiner is blocked in user code while others fill the log; after that it has what they have."""
    blocked, go = threading.Event(), threading.Event()
    victim = []

    class Blocking(Dispatch):
        def __init__(self):
            self.seen = []

        def dispatch_mut(self, operation):
            if operation == "block" and threading.current_thread() in victim:
                blocked.set()
                assert go.wait(PATIENCE)
            self.seen.append(operation)
            return len(self.seen)

        def copy(self):
            made = Blocking()
            made.seen = self.seen.copy()
            return made

    structure = replicate(Blocking, replicas=2, log_entries=4, batch=2, evict_after=0.01, checked=True)
    one, two = structure.handle(), structure.handle()

    def get_stuck():
        victim.append(threading.current_thread())
        return one.execute_mut("block")

    def go_on():
        assert blocked.wait(PATIENCE)
        for number in range(20):
            two.execute_mut(number)
        go.set()

    run_threads(get_stuck, go_on)
    one.execute_mut("after")
    structure._check()
    first, second = [replica.state.structure.seen for replica in structure._group.replicas]
    assert first == second == ["block", *range(20), "after"]


# ---- the gate of scans ---------------------------------------------------------------------------------


@scheduled
@pytest.mark.parametrize("older", [0, 1])
def test_nobody_is_inside_while_the_gate_is_closed(older):
    """And everybody gets through in the end."""

    def scenario():
        gate, inside, closed = Gate(), [], []

        def pass_it():
            slot = gate.enter()
            assert not closed
            inside.append(1)
            gate.leave(slot)

        def close():
            gate.close()
            closed.append(1)
            before = len(inside)
            pause()  # where others go on
            assert len(inside) == before
            closed.clear()
            gate.open()

        yield pass_it, close
        assert inside == [1]

    assert explore(scenario, preemptions=2, older=older).complete
