"""The deterministic scheduler: what it runs, what it finds, and that it finds no less than trying everything."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import intermodal
from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    compare_exchange,
    count_below,
    exchange,
    fence,
    fetch_add,
    key_compare,
    load,
    load_byte,
    match_bytes,
    object_load,
    object_store,
    pause,
    store,
    store_byte,
    try_lock,
    unlock,
)
from intermodal.memory import Block
from intermodal.testing import scheduler
from intermodal.testing.scheduler import InterleavingError, StuckError, explore, replay
from intermodal.testing.scheduler.exhaustive import Exhaustive
from intermodal.testing.scheduler.schedule import Schedule

pure = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")


def outcomes(programs, *, older=0, preemptions=9, locations=2):
    """Return every outcome of *programs*, functions of the addresses of some words, by exhaustive search."""
    found = set()

    def scenario():
        block = Block(8 * locations)
        addresses = [block.address + 64 * number for number in range(locations)]
        results = yield tuple(lambda program=program: program(*addresses) for program in programs)
        found.add((*results, *(load(address, RELAXED) for address in addresses)))

    assert explore(scenario, preemptions=preemptions, older=older).complete
    return found


def results_of(programs, **bounds):
    """Return every combination of what *programs* return."""
    return {outcome[: len(programs)] for outcome in outcomes(programs, **bounds)}


# ---- which interleavings are found -----------------------------------------------------------------------


@pure
def test_a_lost_update_is_found_and_its_schedule_replays_it():
    """The error has the interleaving by source lines, and a schedule that fails again."""

    def two_increments():
        block = Block(1)

        def increment():
            old = load(block.address, RELAXED)
            store(block.address, old + 1, RELAXED)

        yield increment, increment
        assert load(block.address, RELAXED) == 2, "an increment was lost"

    with pytest.raises(InterleavingError, match="an increment was lost") as found:
        explore(two_increments)
    message = str(found.value)
    assert "increment: old = load(block.address, RELAXED)" in message
    assert "replay(two_increments, 'A2 B3 A1')" in message
    with pytest.raises(InterleavingError, match="an increment was lost"):
        replay(two_increments, found.value.schedule)
    assert replay(two_increments, "A3 B3") == "A3 B3"
    assert replay(two_increments, "A9 B1") == "A3 B3", "what cannot be followed is told by the result"
    assert explore(two_increments, preemptions=0).complete, "it takes a preemption"


@pure
def test_without_a_conflict_one_run_is_enough():
    """Threads that share nothing are not interleaved."""

    def strangers():
        blocks = [Block(1) for _ in range(3)]
        yield tuple(
            lambda block=block: [store(block.address, n, RELAXED) for n in range(20)] for block in blocks
        )

    done = explore(strangers)
    assert done.runs == 1
    assert done.steps == done.longest == 63


Step = st.tuples(st.sampled_from(["load", "store", "add", "cas"]), st.integers(0, 1), st.integers(1, 3))
Programs = st.lists(st.lists(Step, min_size=1, max_size=3), min_size=2, max_size=3)


class Everything(Exhaustive):
    """The same search without the reduction: whoever could go on is tried."""

    def choose(self, execution, enabled, current):
        chosen = super().choose(execution, enabled, current)
        self._chosen.wanted.update(enabled)
        return chosen


@pure
@settings(max_examples=60, deadline=None)
@given(
    Programs,
    st.integers(0, 2),
    st.integers(0, 1),
    st.sampled_from([(RELAXED,) * 2, (ACQUIRE, RELEASE), (SEQ_CST,) * 2]),
)
def test_the_reduction_loses_no_outcome(programs, preemptions, older, orders):
    """Every outcome that the full search within the same bounds finds, for programs at random."""

    def thread(steps, number):
        def run(*addresses):
            results = []
            for kind, location, value in steps:
                address = addresses[location]
                if kind == "load":
                    results.append(load(address, orders[0]))
                elif kind == "store":
                    store(address, value + 10 * number, orders[1])
                elif kind == "add":
                    results.append(fetch_add(address, value, RELAXED))
                else:
                    results.append(compare_exchange(address, 0, value + 10 * number, RELAXED))
            return tuple(results)

        return run

    threads = [thread(steps, number) for number, steps in enumerate(programs)]
    reduced = outcomes(threads, older=older, preemptions=preemptions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler.exploration, "Exhaustive", Everything)
        assert reduced == outcomes(threads, older=older, preemptions=preemptions)


@pure
@pytest.mark.parametrize("method", ["random", "pct"])
def test_sampling_finds_a_lost_update_and_repeats_itself(method):
    """With the same seed the same schedule."""

    def two_increments():
        block = Block(1)

        def increment():
            store(block.address, load(block.address, RELAXED) + 1, RELAXED)

        yield increment, increment
        assert load(block.address, RELAXED) == 2

    schedules = set()
    for _ in range(2):
        with pytest.raises(InterleavingError) as found:
            explore(two_increments, method=method, seed=7)
        schedules.add(found.value.schedule)
    assert len(schedules) == 1


@pure
def test_phases_run_one_after_the_other():
    """What one phase wrote the next one sees, also with older values allowed."""

    def phases():
        block = Block(1)
        (first,) = yield (lambda: exchange(block.address, 1, RELAXED),)
        second, third = yield (lambda: load(block.address, RELAXED), lambda: load(block.address, RELAXED))
        assert (first, second, third) == (0, 1, 1)

    assert explore(phases, older=2).complete


# ---- memory orders: the classic litmus tests ---------------------------------------------------------------


def store_buffering(order, *, fenced=False):
    """Each thread writes one word and reads the other's: both may miss the other's write."""

    def one(x, y):
        store(x, 1, order)
        if fenced:
            fence(SEQ_CST)
        return load(y, SEQ_CST if order == SEQ_CST else RELAXED)

    return results_of([one, lambda x, y: one(y, x)], older=1)


@pure
def test_store_buffering_needs_a_fence_or_sequential_consistency():
    """RELEASE does not help; this is what Dekker and the reader indicators depend on."""
    assert (0, 0) in store_buffering(RELAXED)
    assert (0, 0) in store_buffering(RELEASE)
    assert store_buffering(SEQ_CST) == {(0, 1), (1, 0), (1, 1)}
    assert store_buffering(RELAXED, fenced=True) == {(0, 1), (1, 0), (1, 1)}


@pure
def test_without_older_values_everything_is_sequentially_consistent():
    """The default of explore()."""

    def one(x, y):
        store(x, 1, RELAXED)
        return load(y, RELAXED)

    assert (0, 0) not in results_of([one, lambda x, y: one(y, x)], older=0)


@pure
@pytest.mark.parametrize(
    ("write", "read", "seen"), [(RELEASE, ACQUIRE, False), (RELAXED, ACQUIRE, True), (RELEASE, RELAXED, True)]
)
def test_a_message_passed_with_release_and_acquire_brings_what_was_written_before(write, read, seen):
    """With either of them missing the reader may see the flag and not the message."""

    def sender(x, y):
        store(x, 1, RELAXED)
        store(y, 1, write)

    def receiver(x, y):
        flag = load(y, read)
        return flag, load(x, RELAXED)

    assert ((None, (1, 0)) in results_of([sender, receiver], older=1)) is seen


@pure
def test_fences_do_what_release_and_acquire_do():
    """A release fence before a relaxed write, an acquire fence after a relaxed read."""

    def sender(x, y):
        store(x, 1, RELAXED)
        fence(RELEASE)
        store(y, 1, RELAXED)

    def receiver(x, y):
        flag = load(y, RELAXED)
        fence(ACQUIRE)
        return flag, load(x, RELAXED)

    assert (None, (1, 0)) not in results_of([sender, receiver], older=2)


@pure
def test_a_read_and_write_in_one_continues_the_release():
    """Whoever reads what an increment left knows what the release before it published (release sequence)."""

    def sender(x, y):
        store(x, 1, RELAXED)
        store(y, 1, RELEASE)

    def increment(_, y):
        fetch_add(y, 1, RELAXED)

    def receiver(x, y):
        flag = load(y, ACQUIRE)
        return flag, load(x, RELAXED)

    found = results_of([sender, increment, receiver], older=1, preemptions=3)
    assert (None, None, (2, 1)) in found
    assert (None, None, (2, 0)) not in found


@pure
def test_values_of_one_location_are_never_seen_in_reverse():
    """Coherence: a thread that has read a value reads no older one."""

    def writer(x, _):
        for value in (1, 2):
            store(x, value, RELAXED)

    def reader(x, _):
        return load(x, RELAXED), load(x, RELAXED)

    read = {outcome[1] for outcome in results_of([writer, reader], older=2)}
    assert read == {(a, b) for a in range(3) for b in range(3) if a <= b}


@pure
def test_readers_agree_on_the_order_of_sequentially_consistent_writes_only():
    """Independent reads of independent writes."""

    def seen(order):
        def reader(a, b):
            return load(a, order), load(b, order)

        write = SEQ_CST if order == SEQ_CST else RELEASE
        return results_of(
            [
                lambda x, y: store(x, 1, write),
                lambda x, y: store(y, 1, write),
                reader,
                lambda x, y: reader(y, x),
            ],
            older=2,
            preemptions=2,
        )

    assert (None, None, (1, 0), (1, 0)) in seen(ACQUIRE)
    assert (None, None, (1, 0), (1, 0)) not in seen(SEQ_CST)


@pure
def test_bytes_and_slots_have_orders_too():
    """A byte stored after an object publishes it; matched bytes may be older one by one."""

    def scenario():
        block = Block(2, 1)
        slot = block.objects_address

        def sender():
            object_store(slot, "message")
            store_byte(block.address + 3, 7)

        def receiver():
            found = match_bytes(block.address, 7)
            return found, object_load(slot, None), load_byte(block.address + 3)

        _, (found, message, byte) = yield sender, receiver
        assert not found or (message == "message" and byte == 7)
        seen.add((found, message, byte))

    seen = set()
    assert explore(scenario, older=2).complete
    assert seen == {
        (8, "message", 7),
        *((0, message, byte) for message in (None, "message") for byte in (0, 7)),
    }


@pure
def test_words_that_are_counted_may_be_older_ones():
    """What count_below reads is RELAXED: what came before it is seen after a fence only."""

    def seen(fenced):
        outcomes = set()

        def scenario():
            block = Block(4)
            flag, order, words = (block.address + 8 * place for place in range(3))
            store(order, 0x0100, RELAXED)
            store(words, 10, RELAXED)
            store(words + 8, 20, RELAXED)

            def sender():
                store(flag, 1, RELAXED)
                store(words, 15, RELEASE)

            def receiver():
                count = count_below(order, words, 2, 12)
                if fenced:
                    fence(ACQUIRE)
                return count, load(flag, RELAXED)

            _, outcome = yield sender, receiver
            outcomes.add(outcome)

        assert explore(scenario, older=2).complete
        return outcomes

    assert seen(fenced=False) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert seen(fenced=True) == {(0, 1), (1, 0), (1, 1)}


@pure
def test_a_key_that_is_compared_is_published_with_what_came_before():
    """key_compare reads its slot as object_load does."""

    def scenario():
        block = Block(1, 1)
        slot = block.objects_address

        def sender():
            store(block.address, 1, RELAXED)
            object_store(slot, "key")

        def receiver():
            return key_compare(slot, "key"), load(block.address, RELAXED)

        _, outcome = yield sender, receiver
        seen.add(outcome)

    seen = set()
    assert explore(scenario, older=2).complete
    assert seen == {(2, 0), (2, 1), (0, 1)}


# ---- no way on ---------------------------------------------------------------------------------------------


@pure
def test_a_deadlock_of_spin_locks_is_found():
    """Both threads wait for what nobody will change."""

    def two_locks():
        block = Block(2)

        def both(first, second):
            for lock in (first, second):
                while not try_lock(lock, 0):
                    pause()
            for lock in (first, second):
                unlock(lock, 0)

        x, y = block.address, block.address + 8
        yield lambda: both(x, y), lambda: both(y, x)

    with pytest.raises(InterleavingError, match="livelock: what they have read will not be changed") as found:
        explore(two_locks)
    assert isinstance(found.value.error, StuckError)


@pure
def test_waiting_for_a_lock_that_is_released_is_no_error():
    """A thread that spins goes on when another one changes what it has read; spinning is no preemption."""

    def one_lock():
        block = Block(2)

        def add():
            while not try_lock(block.address, 0):
                pause()
            store(block.address + 8, load(block.address + 8, RELAXED) + 1, RELAXED)
            unlock(block.address, 0)

        yield add, add, add
        assert load(block.address + 8, RELAXED) == 3

    assert explore(one_lock, older=1).complete


@pure
def test_two_threads_that_keep_each_other_going_for_ever_are_stopped():
    """A livelock of more steps than a run may have."""

    def ping_pong():
        block = Block(1)

        def play():
            while fetch_add(block.address, 1, RELAXED) >= 0:
                pause()

        yield play, play

    with pytest.raises(InterleavingError, match="livelock: no end after 500 steps"):
        explore(ping_pong, most_steps=500)


class Waiting:
    """Uses locks of threading, as an engine's module would."""

    def __init__(self):
        self.first, self.second = threading.Lock(), threading.RLock()
        self.condition = threading.Condition()
        self.event, self.semaphore = threading.Event(), threading.Semaphore(0)
        self.ready = False


@pure
def test_a_deadlock_of_two_locks_is_found():
    """Taken in different orders."""

    def scenario():
        shared = Waiting()

        def one():
            with shared.first, shared.second:
                pass

        def two():
            with shared.second, shared.first:
                pass

        yield one, two

    with pytest.raises(InterleavingError, match="deadlock: A waits for a lock that another thread holds"):
        explore(scenario)


@pure
def test_a_lost_wake_up_is_found():
    """The condition is looked at without its lock: the notification comes before the wait."""

    def scenario(*, carefully):
        shared = Waiting()

        def wait():
            if carefully:
                with shared.condition:
                    shared.condition.wait_for(lambda: shared.ready)
            elif not shared.ready:
                with shared.condition:
                    shared.condition.wait()

        def wake():
            with shared.condition:
                shared.ready = True
                shared.condition.notify()

        yield wait, wake

    with pytest.raises(
        InterleavingError, match="lost wake-up: nobody is left to give it: A waits for being notified"
    ):
        explore(lambda: scenario(carefully=False))
    assert explore(lambda: scenario(carefully=True)).complete


@pure
def test_events_and_semaphores_hand_over():
    """Whoever waits goes on once the other has come so far; without that it is a lost wake-up."""

    def scenario(*, released):
        shared = Waiting()
        order = []

        def first():
            order.append(1)
            shared.event.set()
            shared.semaphore.acquire()
            order.append(3)

        def second():
            assert shared.event.wait(timeout=0.001)
            order.append(2)
            if released:
                shared.semaphore.release()

        yield first, second
        assert order == [1, 2, 3]

    assert explore(lambda: scenario(released=True)).complete
    with pytest.raises(InterleavingError, match="A waits for a semaphore to be released"):
        explore(lambda: scenario(released=False))


class Cell:
    """Has an attribute that changes after construction."""

    def __init__(self):
        self.value = 0


def add_one(cell):
    """Assigns the attribute, which is what makes it a shared one."""
    cell.value = cell.value + 1


@pure
def test_an_attribute_that_changes_is_shared_memory():
    """Each access of it is a switching point."""

    def scenario():
        cell = Cell()
        yield lambda: add_one(cell), lambda: add_one(cell)
        assert cell.value == 2

    with pytest.raises(InterleavingError, match="add_one: cell.value = cell.value"):
        explore(scenario)
    assert vars(Cell()) == {"value": 0}, "the class is as it was"


# ---- failures ------------------------------------------------------------------------------------------------


@pure
def test_a_failing_schedule_is_made_short():
    """Of a long run at random two switches are left."""

    def scenario():
        block = Block(3)
        x, y, noise = (block.address + 8 * number for number in range(3))

        def writer():
            for value in range(1, 20):
                store(noise, value, RELAXED)
            store(x, 1, RELAXED)
            store(y, 1, RELAXED)

        def reader():
            for _ in range(20):
                load(noise, RELAXED)
            assert load(x, RELAXED) == load(y, RELAXED)

        yield writer, reader

    with pytest.raises(InterleavingError) as found:
        explore(scenario, method="random", seed=1)
    assert Schedule.parse(found.value.schedule).switches() == 2


@pure
def test_an_exception_of_a_thread_fails_the_scenario_and_the_others_end():
    """The first exception is the one reported."""
    ended = []

    def scenario():
        block = Block(1)

        def wrong():
            store(block.address, 1, RELAXED)
            raise KeyError("k")

        def other():
            load(block.address, RELAXED)
            ended.append(1)

        yield wrong, other

    with pytest.raises(InterleavingError, match="KeyError: 'k'") as found:
        explore(scenario)
    assert isinstance(found.value.error, KeyError)
    assert ended


@pure
@pytest.mark.parametrize("threads", [1, 3])
def test_a_scenario_that_is_not_the_same_each_time_is_told_so(threads):
    """It depends on what an earlier run has left."""
    runs = []

    def scenario():
        block = Block(1)
        runs.append(1)
        yield (lambda: fetch_add(block.address, 1, RELAXED),) * (2 if len(runs) == 1 else threads)

    with pytest.raises(AssertionError, match="does not do the same in every run"):
        explore(scenario)


@pure
def test_a_word_used_whole_and_by_bytes_is_refused():
    """The scheduler would not see that the accesses conflict."""

    def scenario():
        block = Block(1)
        yield lambda: store(block.address, 1, RELAXED), lambda: load_byte(block.address)

    with pytest.raises(InterleavingError, match="is used whole and by bytes"):
        explore(scenario)


def test_the_compiled_build_is_refused():
    """Its accesses cannot be seen; the message says what to do."""

    def scenario():
        yield ()

    if intermodal.__compiled__:
        for run in (lambda: explore(scenario), lambda: replay(scenario, "A1")):
            with pytest.raises(RuntimeError, match="start Python with INTERMODAL_PURE=1"):
                run()
    else:
        assert explore(scenario).runs == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "luck"}, "method 'luck' is none of"),
        ({"preemptions": -1}, "preemptions is -1"),
        ({"older": -1}, "older is -1"),
        ({"depth": 0}, "depth is 0"),
        ({"runs": 0}, "runs is 0"),
    ],
)
def test_wrong_arguments_of_explore_are_value_errors(arguments, message):
    """With the value."""
    with pytest.raises(ValueError, match=message):
        explore(lambda: iter(()), **arguments)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 0, 1, 12]))))
def test_a_schedule_is_what_its_text_says(steps):
    """Parsed from its text it is the same."""
    assert Schedule.parse(str(Schedule(steps))).steps == steps


@pytest.mark.parametrize("text", ["A", "12", "a1", "A1B2", "A-1", "A~"])
def test_a_text_that_is_no_schedule_is_a_value_error(text):
    """It names the part."""
    with pytest.raises(ValueError, match="is not part of a schedule"):
        Schedule.parse(f"A1 {text} B1")
