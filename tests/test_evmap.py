"""What is evmap's own: bags, guards, publication, readers in the way; the conformance kit has the rest."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import random
import threading
from collections import Counter

import pytest

import intermodal
from intermodal import NotSupported, OptionError, open_map
from intermodal.atomics import RELAXED, load
from intermodal.reclamation import enter, leave
from intermodal.testing.forks import in_child
from intermodal.testing.keys import CountedKey, Dying, HostileError, Key
from intermodal.testing.lifetimes import Ledger, collected
from intermodal.testing.subjects import scale
from intermodal.testing.threads import PATIENCE, Together, finishes, in_threads, run_threads

pytest.importorskip("intermodal_evmap")
from intermodal_evmap import EvMap, ReadGuard
from intermodal_evmap import _log as log_module
from intermodal_evmap._bags import CHUNK
from intermodal_evmap._obstacles import Obstacles
from intermodal_evmap._readers import READERS
from intermodal_evmap._state import WAITING

# ---- publishing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("publish", ["publish", "refresh", "flush", "try_publish"])
def test_every_name_of_publishing_makes_writes_visible(publish):
    """They differ in what they return and wait for."""
    m = open_map("evmap", publish_every=0)
    m["a"] = 1
    m["b"] = 2
    assert (m.pending, dict(m)) == (2, {})
    getattr(m, publish)()
    assert (m.pending, dict(m)) == (0, {"a": 1, "b": 2})
    m._check()


def test_flush_tells_whether_anything_was_pending():
    """And publishes only then."""
    m = open_map("evmap", publish_every=0)
    assert m.flush() is False
    m["a"] = 1
    assert m.flush() is True
    assert m.flush() is False
    assert m.statistics().publications == 1


def test_try_publish_does_not_wait_for_another_writer():
    """It says so, and what was written stays pending."""
    m = open_map("evmap", publish_every=0)
    m["a"] = 1
    writing, done = threading.Event(), threading.Event()

    def write():
        with m.writing():
            writing.set()
            assert done.wait(PATIENCE)

    def attempt():
        assert writing.wait(PATIENCE)
        try:
            assert m.try_publish() is False
            assert "a" not in m
        finally:
            done.set()

    run_threads(write, attempt)
    assert m["a"] == 1
    assert m.try_publish() is True


def test_an_interval_publishes_what_nobody_else_does():
    """By a thread that ends with the block."""
    m = EvMap()
    before = threading.active_count()
    with m.publishing_every(interval=0.001):
        m["a"] = 1
        while "a" not in m:
            pass
    m["b"] = 2
    assert "b" in m
    assert threading.active_count() == before


@pytest.mark.parametrize("wrong", [{"writes": -1}, {"interval": 0}, {"interval": -1.0}])
def test_nonsense_about_publishing_is_refused(wrong):
    """Before the block begins."""
    m = EvMap()
    with pytest.raises(ValueError, match="cannot publish"):
        m.publishing_every(**wrong)
    m["a"] = 1
    assert "a" in m


def test_what_is_written_in_a_writing_block_becomes_visible_at_its_end():
    """Whoever else would publish, and however blocks are nested."""
    m = EvMap()
    others = []
    with m.writing():
        m["a"] = 1
        with m.writing():
            m["b"] = 2
        m["c"] = 3
        assert "c" not in m
        writer = threading.Thread(target=lambda: others.append(m.insert("a", 9)))
        writer.start()
        m["d"] = 4
        assert not others
        assert finishes(lambda: (m.get("d"), len(m), list(m), m.handle().close())), "a reader waits"
    writer.join(PATIENCE)
    assert others == [False]
    assert dict(m) == {"a": 1, "b": 2, "c": 3, "d": 4}
    m["e"] = 5
    assert "e" in m


def test_what_an_exception_interrupts_is_published_and_the_map_goes_on():
    """Somebody else would publish it, later."""
    m = EvMap()
    with pytest.raises(HostileError), m.writing():
        m["a"] = 1
        raise HostileError
    assert m["a"] == 1
    assert finishes(lambda: m.__setitem__("b", 2))


def test_the_datum_is_published_with_the_data():
    """It belongs to a state, as guards show."""
    m = open_map("evmap", publish_every=0, meta="none")
    assert m.meta == "none"
    for version in range(3):
        m["version"] = version
        m.set_meta(f"version {version}")
        assert m.meta == ("none" if version == 0 else f"version {version - 1}")
        m.publish()
    with m.guard() as guard:
        m["version"] = 3
        m.set_meta("version 3")
        m.publish()
        assert (guard["version"], guard.meta) == (2, "version 2")
    m.clear()
    m.publish()
    assert (dict(m), m.meta) == ({}, "version 3")
    assert m.copy().meta == pickle.loads(pickle.dumps(m)).meta == "version 3"
    m._check()


def test_the_datum_alone_is_something_to_publish():
    """And counts as a write."""
    m = EvMap()
    m.set_meta(1)
    assert m.meta == 1
    m["a"] = 1
    m.set_meta(2)
    assert (m.meta, dict(m)) == (2, {"a": 1})
    m._check()


# ---- the second copy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [0, 1, 5])
def test_a_key_is_hashed_once_and_compared_once_for_both_copies(every):
    """The second copy finds what the first one found by identity."""
    m = open_map("evmap", publish_every=every)
    stored = [CountedKey(number) for number in range(50)]
    for key in stored:
        m[key] = 0
    m.publish()
    for key in stored:
        key.calls.clear()
    given = [CountedKey(number) for number in range(50)]
    for key in given[:40]:
        m[key] = 1
    for key in given[40:]:
        del m[key]
    for _ in range(3):
        m.publish()
    assert all(key.calls == {"hash": 1} for key in given), "the stored key is asked, as by dict"
    assert all(key.calls == {"eq": 1} for key in stored)
    assert len(m) == 40
    m._check()


def test_an_equality_that_changes_its_mind_cannot_make_the_copies_differ():
    """It is asked once."""

    class Fickle(Key):
        answers = random.Random("fickle")

        def __eq__(self, other):
            return self.answers.random() < 0.5

        __hash__ = Key.__hash__

    m = open_map("evmap", publish_every=7)
    for step in range(scale(600, 100)):
        key = Fickle(step % 10, hash_value=step % 2)
        if step % 3:
            m[key] = step
        else:
            m.pop(key, None)
        if step % 10 == 0:
            m._check()
    m.publish()
    m._check()


def test_a_long_log_is_given_up_for_another_copy(monkeypatch):
    """So what a map takes is bounded, however much is written before it is published."""
    if log_module.__file__.endswith(".py"):
        monkeypatch.setattr(log_module, "LEAST_LOG", 256)
    m = open_map("evmap", publish_every=0)
    ledger = Ledger(m.publish)
    for number in range(3):
        m[number] = ledger.value()
    m.publish()
    m.publish()
    for number in range(5000):
        m[number % 3] = ledger.value()
    assert ledger.live() < 4600
    m.publish()
    assert m.statistics().copies == 1
    ledger.expect(3)
    m._check()
    m[5] = 5
    m.publish()
    m._check()
    assert m.statistics().copies == 1


def test_copies_grow_and_shrink_each_by_itself():
    """And agree whenever they have caught up."""
    m = open_map("evmap", publish_every=0)
    for count in (10, 100, 1000, 50, 0, 30):
        for number in range(count):
            m[number] = count
        for number in list(m.statistics() and range(count, 1000)):
            m.pop(number, None)
        m.publish()
        assert dict(m) == dict.fromkeys(range(count), count)
        m._check()
    assert m.statistics().capacity < 1000


def test_a_capacity_is_room_that_is_never_given_up():
    """Nor enlarged before it is used up."""
    m = open_map("evmap", capacity=1000)
    capacity = m.statistics().capacity
    assert capacity >= 1000
    m.update((number, None) for number in range(1000))
    assert m.statistics().capacity == capacity
    m.clear()
    assert m.statistics().capacity == capacity


def test_what_was_overwritten_is_dropped_when_it_has_been_published():
    """Not before: readers see it."""
    m = open_map("evmap", publish_every=0)
    ledger = Ledger()
    m["a"] = ledger.value()
    m.publish()
    m["a"] = ledger.value()
    del m["a"]
    m["a"] = ledger.value()
    ledger.expect(3)
    m.publish()
    ledger.expect(1)


def test_a_destructor_may_use_the_map_that_drops_its_object():
    """Under no lock, whatever dropped it."""
    m = EvMap()
    done = []

    def use():
        m["from the destructor"] = 1
        done.append(finishes(lambda: m.__setitem__("from another thread", 1)))

    m["a"] = Dying(use)
    m["a"] = 1
    assert collected(lambda: done == [True], m.publish)
    m._check()


# ---- guards --------------------------------------------------------------------------------------------


def test_a_guard_shows_the_state_of_its_moment():
    """As a mapping that does not change, whatever is published."""
    m = EvMap({"a": 1, "b": 2})
    m.add("b", 3)
    guard = m.guard()
    assert isinstance(guard, ReadGuard)
    for number in range(50):
        m[number] = number
    del m["a"]
    assert guard == {"a": 1, "b": 2}
    assert (len(guard), sorted(guard), guard["a"], guard.get("z", 0), "b" in guard) == (
        2,
        ["a", "b"],
        1,
        0,
        True,
    )
    assert (guard.get_all("b"), guard.get_all("z")) == ((2, 3), ())
    assert (guard.key_count(), guard.value_count()) == (2, 3)
    assert sorted(guard.bags()) == [("a", (1,)), ("b", (2, 3))]
    assert eval(repr(guard).removeprefix("ReadGuard")) == {"a": 1, "b": 2}
    with pytest.raises(KeyError):
        guard["z"]
    guard.close()
    m._check()


def test_a_closed_guard_refuses_every_use():
    """ValueError says so; closing it again does nothing."""
    m = EvMap(a=1)
    with m.guard() as guard:
        pass
    guard.close()
    for use in (lambda: guard["a"], lambda: len(guard), lambda: list(guard), lambda: guard.meta, guard.bags):
        with pytest.raises(ValueError, match="this guard is closed"):
            use()
    assert m.statistics().guards == 0


def test_a_guard_that_is_dropped_is_closed():
    """Also by the collector, and with it what only its state had."""
    m = EvMap()
    ledger = Ledger(m.publish)
    for cyclic in (False, True):
        m["a"] = ledger.value()
        guard = m.guard()
        m["a"] = 1
        m["b"] = 1
        ledger.expect(1)
        if cyclic:
            m["cycle"] = [guard]
            guard = None
            ledger.expect(1)
            m["cycle"] = None
        guard = None
        ledger.expect(0)
        gc.collect()
        assert m.statistics().guards == 0


def test_guards_of_keys_that_ask_see_their_own_state():
    """Whatever the key's comparison does to the map."""
    m = EvMap()

    class Meddling(Key):
        def __eq__(self, other):
            m["meddled"] = m.get("meddled", 0) + 1
            m.pop(Key("a"), None)
            return super().__eq__(other)

        __hash__ = Key.__hash__

    m[Key("a")] = 1
    with m.guard() as guard:
        assert guard[Meddling("a")] == 1
        assert Key("a") not in m
        assert guard[Meddling("a")] == 1
        assert guard == {Key("a"): 1}
    m[Key("a")] = 2
    assert m[Meddling("a")] == 2, "the copy that the look-up began in"
    m._check()


def test_guards_are_consistent_beside_a_writer():
    """Look-ups, iteration, counts and datum belong to one publication."""
    count = 30
    m = open_map("evmap", publish_every=0)
    with m.writing():
        m.update((number, 0) for number in range(count))
        m.set_meta(0)
    stop = threading.Event()

    def write():
        view = m.handle()
        for step in range(1, scale(300, 12)):
            for number in range(count):
                view[number] = step
            view.set_meta(step)
            view.publish()
        stop.set()

    def read():
        view = m.handle()
        while not stop.is_set():
            with view.guard() as guard:
                step = guard.meta
                assert [guard[number] for number in range(count)] == [step] * count
                assert set(guard.values()) == {step}
                assert len(guard) == count

    run_threads(write, read, read)
    m._check()


# ---- readers in the way --------------------------------------------------------------------------------


class Holding:
    """A thread that holds a guard until it is told otherwise."""

    def __init__(self, m, inside=lambda: None):
        self.held, self.go = threading.Event(), threading.Event()
        self.errors = []

        def hold():
            with m.guard():
                self.held.set()
                self.go.wait(PATIENCE)
                try:
                    inside()
                except BaseException as error:  # noqa: BLE001  (looked at at the end)
                    self.errors.append(error)

        self.thread = threading.Thread(target=hold, daemon=True)

    def __enter__(self):
        self.thread.start()
        assert self.held.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        self.go.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        assert not self.errors


def until_waiting(m):
    """Return when a writer of *m* waits for guards to end."""
    while load(m._state.shared + WAITING, RELAXED) == 0:
        pass


def test_a_writer_that_waits_is_woken_when_the_guard_ends():
    """With on_stalled_reader="wait": the first write is published, the second one waits."""
    m = open_map("evmap", on_stalled_reader="wait")
    with Holding(m) as holding:
        m["a"] = 1
        writer = threading.Thread(target=m.__setitem__, args=("b", 2), daemon=True)
        writer.start()
        until_waiting(m)
        assert (m["a"], "b" in m) == (1, False)
        holding.go.set()
        writer.join(PATIENCE)
        assert not writer.is_alive()
    assert dict(m) == {"a": 1, "b": 2}
    assert m.statistics().copies == 0
    m._check()


@pytest.mark.parametrize("seconds", [0, 0.001])
def test_a_writer_whose_time_is_over_has_changed_nothing(seconds):
    """TimeoutError; what was published is visible, and once the guard ends all goes on."""
    m = open_map("evmap", on_stalled_reader=seconds)
    m["a"] = 0
    with Holding(m):
        m["a"] = 1
        for write in (
            lambda: m.__setitem__("b", 2),
            lambda: m.pop("a"),
            lambda: m.add("a", 2),
            lambda: m.set_meta(1),
            m.clear,
            lambda: m.bags.clear("a"),
        ):
            with pytest.raises(TimeoutError, match="the write was not done"):
                write()
        assert dict(m) == {"a": 1}
        m.publish()
        assert m.try_publish() is True
        with m.publishing_every(0), m.writing():
            pass  # what has nothing to publish does not wait at its end
    m["b"] = 2
    assert dict(m) == {"a": 1, "b": 2}
    m._check()


def test_a_stalled_reader_costs_one_copy_however_much_is_published():
    """With on_stalled_reader="clone", the default."""
    m = EvMap((number, 0) for number in range(20))
    with Holding(m):
        for step in range(1, 50):
            for number in range(20):
                m[number] = step
        assert m.statistics().copies == 1
        assert set(m.values()) == {49}
    m._check()


@contextlib.contextmanager
def section_of_another_thread():
    """A thread reads from here to the end of the block."""
    inside, go = threading.Event(), threading.Event()

    def read():
        record = READERS.record()
        enter(record)
        inside.set()
        go.wait(PATIENCE)
        leave(record)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert inside.wait(PATIENCE)
        yield
    finally:
        go.set()
        reader.join(PATIENCE)


def test_a_copy_that_is_left_to_a_section_lives_as_long_as_that_lasts():
    """A reader whose thread does not run counts no reference to what it looks at."""
    m = EvMap()
    ledger = Ledger()
    m["a"] = ledger.value()
    with section_of_another_thread():
        for step in range(5):
            m["a"] = step
        assert m.statistics().copies >= 1
        ledger.expect(1)
    m["a"] = 5
    ledger.expect(0)
    m._check()


@pytest.mark.parametrize("policy", ["clone", "wait", 1e9])
def test_nobody_waits_for_a_guard_of_his_own(policy):
    """It would never end."""
    m = open_map("evmap", on_stalled_reader=policy)

    def work():
        with m.guard() as outer:
            m["a"] = 1
            m["b"] = 2
            with m.guard() as inner:
                m.update((number, number) for number in range(100))
                m.clear()
                assert (dict(outer), dict(inner)) == ({}, {"a": 1, "b": 2})

    assert finishes(work)
    assert dict(m) == {}
    m._check()


@pytest.mark.parametrize("policy", ["wait", 1e9])
def test_nobody_waits_for_a_guard_whose_thread_waits_to_write(policy):
    """The writer that waits has the lock that the other one wants."""
    m = open_map("evmap", on_stalled_reader=policy)
    with Holding(m, inside=lambda: m.__setitem__("c", 3)) as holding:
        m["a"] = 1
        writer = threading.Thread(target=m.__setitem__, args=("b", 2), daemon=True)
        writer.start()
        until_waiting(m)
        holding.go.set()
        writer.join(PATIENCE)
        assert not writer.is_alive()
    assert dict(m) == {"a": 1, "b": 2, "c": 3}
    m._check()


def test_a_handle_made_under_a_guard_while_a_writer_waits_waits_for_nobody():
    """The deadlock of the original: nobody who waits has a lock that making a handle needs."""
    m = open_map("evmap", on_stalled_reader="wait")
    m["a"] = 0
    made = []

    def make():
        with m.handle() as handle:
            made.append((handle["a"], len(handle), list(handle), handle.get_all("a")))
            with handle.guard() as guard:
                made.append(guard["a"])
            made.append(in_threads(1, lambda _: m.handle()["a"]))

    with Holding(m, inside=make) as holding:
        m["a"] = 1
        writer = threading.Thread(target=m.__setitem__, args=("b", 2), daemon=True)
        writer.start()
        until_waiting(m)
        holding.go.set()
        writer.join(PATIENCE)
    assert made == [(1, 1, ["a"], (1,)), 1, [1]]
    assert dict(m) == {"a": 1, "b": 2}


def test_readers_that_never_pause_hold_no_writer_up():
    """Every look finds them in a section, but in later and later ones."""
    m = open_map("evmap", on_stalled_reader="wait")
    m["a"] = 0
    stop = threading.Event()

    def write():
        view = m.handle()
        for step in range(1, scale(2000, 100)):
            view["a"] = step
        stop.set()

    def read():
        view = m.handle()
        last = 0
        while not stop.is_set():
            for _ in range(100):
                seen = view["a"]
                assert seen >= last
                last = seen

    run_threads(write, read, read)


def test_threads_that_begin_to_read_beside_a_publisher_are_not_overlooked():
    """Each has its first section at any moment of a publication."""
    m = open_map("evmap")
    m.update((number, 0) for number in range(8))
    rounds = scale(150, 8)
    together = Together(3)

    def write():
        for step in range(rounds):
            together.wait()
            for number in range(8):
                m[number] = (step, number)
            together.wait()

    def read(_):
        for _ in range(rounds):
            together.wait()
            in_threads(1, lambda _: [m[number] for number in range(8)])
            together.wait()

    run_threads(write, lambda: read(0), lambda: read(1))
    m._check()


def test_the_more_copies_are_left_to_sections_the_longer_a_writer_waits():
    """So a thread that does not run for long costs few of them."""
    m = EvMap()
    obstacles = m._state.obstacles
    obstacles.in_section = True
    waits = []
    for _ in range(3):
        waits.append(obstacles.patience(1000))
        obstacles.leave(m._state.spare)
    assert 0 < waits[0] < waits[1] < waits[2]
    obstacles.in_section = False
    assert obstacles.patience(1000) < waits[0], "guards last, so there is no use in waiting"
    obstacles.left.clear()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("policy", ["wait", 1e9])
def test_a_child_does_not_wait_for_guards_of_threads_that_it_does_not_have(policy):
    """They would never end."""
    m = open_map("evmap", on_stalled_reader=policy)

    def write():
        m["a"] = 1
        m["b"] = 2
        m._check()

    with Holding(m):
        in_child(write)
    write()
    assert dict(m) == {"a": 1, "b": 2}


@pytest.mark.skipif(intermodal.__compiled__, reason="nothing can be put between two lines")
def test_a_publication_in_the_middle_of_another_ones_look_is_noticed(monkeypatch):
    """As by a destructor that the cyclic GC runs: the look was at another copy than the spare one by then."""
    m = open_map("evmap", on_stalled_reader="wait")
    m["a"] = 0
    reading = contextlib.ExitStack()
    look = Obstacles.who_has_a_guard

    def look_interrupted(self, spare):
        found = look(self, spare)
        monkeypatch.setattr(Obstacles, "who_has_a_guard", look)
        m["nested"] = 1
        reading.enter_context(section_of_another_thread())
        m["nested"] = 2
        return found

    monkeypatch.setattr(Obstacles, "who_has_a_guard", look_interrupted)
    with reading:
        m["a"] = 1
        assert not m._state.synced, "written to while somebody reads it"
    m["a"] = 2
    assert dict(m) == {"a": 2, "nested": 2}
    m._check()


# ---- bags ----------------------------------------------------------------------------------------------


def test_every_operation_of_the_original_on_bags():
    """Under its names."""
    m = EvMap()
    bags = m.bags
    for value in (1, 2, 2, 3):
        bags.insert("a", value)
    assert Counter(bags.get("a")) == {1: 1, 2: 2, 3: 1}
    assert bags.get_one("a") in (1, 2, 3)
    assert (bags.contains_key("a"), "b" in bags, bags.get("b")) == (True, False, None)
    assert (bags.contains_value("a", 2.0), bags.contains_value("a", 4), bags.contains_value("b", 1)) == (
        True,
        False,
        False,
    )
    assert bags.remove_value("a", 2) is True
    assert bags.retain("a", lambda value: value > 1) == 1
    assert sorted(bags.get("a")) == [2, 3]
    assert bags.retain("a", lambda _: True) == bags.retain("z", lambda _: False) == 0
    bags.update("a", 5)
    assert bags.get("a") == (5,)
    bags.extend([("b", 1), ("b", 2), ("c", 3)])
    assert (len(bags), bags.value_count(), sorted(bags)) == (3, 4, ["a", "b", "c"])
    assert {key: sorted(values) for key, values in bags.items()} == {"a": [5], "b": [1, 2], "c": [3]}
    assert bags.remove_entry("b") is True
    assert bags.remove_entry("b") is False
    bags.purge()
    assert (len(bags), bags.items()) == (0, [])
    m._check()


def test_a_key_may_be_there_without_a_value():
    """In the bags, not in the map."""
    m = EvMap(a=1)
    bags = m.bags
    bags.clear("a")
    bags.clear("new")
    assert (len(m), dict(m), "a" in m, m.get("a")) == (0, {}, False, None)
    assert (len(bags), bags.get("a"), bags.contains_key("new")) == (2, (), True)
    with m.guard() as guard:
        assert (len(guard), guard.key_count(), guard.contains_key("a"), "a" in guard) == (0, 2, True, False)
    assert m.insert("a", 2) is True
    assert m.statistics().entries == 1
    assert pickle.loads(pickle.dumps(m)).bags.contains_key("new")
    m._check()


@pytest.mark.parametrize("count", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 2, 3 * CHUNK, 3 * CHUNK + 1])
def test_bags_of_every_size_lose_and_keep_the_right_values(count):
    """Whichever value goes."""
    for index in sorted({0, count // 2, CHUNK - 1, CHUNK, count - 2, count - 1} & set(range(count))):
        m = EvMap()
        for value in range(count):
            m.add("a", value)
        assert m.remove_value("a", index)
        assert sorted(m.get_all("a")) == [value for value in range(count) if value != index]
        m.bags.fit("a")
        assert len(m.get_all("a")) == count - 1
        m._check()


def test_a_guard_of_a_bag_does_not_see_it_change():
    """Bags never change, keys get others."""
    m = EvMap()
    for value in range(100):
        m.add("a", value)
    with m.guard() as guard:
        for value in range(0, 100, 2):
            m.remove_value("a", value)
        assert sorted(guard.get_all("a")) == list(range(100))
        assert sorted(m.get_all("a")) == list(range(1, 100, 2))


def test_random_keys_are_emptied_and_returned():
    """Readers see them until the next publication."""
    m = open_map("evmap", publish_every=0)
    m.update((number, -number) for number in range(50))
    m.add(7, 70)
    victims = m.bags.empty_random(10, random.Random("victims"))
    assert len(m) == 50, "published before, seen until the next time"
    assert len({key for key, _ in victims}) == 10
    assert all(sorted(values) in ([-key], [-7, 70]) for key, values in victims)
    m.publish()
    assert sorted(m) == sorted(set(range(50)) - {key for key, _ in victims})
    assert len(m.bags.empty_random(100)) == 40
    assert m.bags.empty_random(1) == []
    m.publish()
    assert len(m) == 0
    m._check()


def test_copies_are_made_to_fit_and_to_hold():
    """By fit_all() and reserve_keys()."""
    m = EvMap()
    m.bags.reserve_keys(1000)
    m["a"] = 1
    m["b"] = 2
    capacity = m.statistics().capacity
    assert capacity >= 1000
    m.update((number, number) for number in range(900))
    assert m.statistics().capacity == capacity
    m.bags.reserve("a", 100)
    with pytest.raises(ValueError, match="no room"):
        m.bags.reserve("a", -1)
    for number in range(700):
        del m[number]
    m.bags.fit_all()
    for number in range(3):
        assert m.statistics().capacity < capacity / 2
        m["c"] = number
    assert len(m) == 203
    m._check()


def test_bags_go_by_what_is_written_and_show_what_is_published():
    """Like the map."""
    m = open_map("evmap", publish_every=0)
    bags = m.bags
    bags.insert("a", 1)
    bags.insert("a", 2)
    assert (bags.get("a"), len(bags), bags.value_count()) == (None, 0, 0)
    assert bags.remove_value("a", 1) is True
    m.publish()
    assert bags.get("a") == (2,)


@pytest.mark.parametrize(
    "use",
    [
        lambda h: h.add("a", 1),
        lambda h: h.get_all("a"),
        lambda h: h.remove_value("a", 1),
        lambda h: h.publish(),
        lambda h: h.flush(),
        lambda h: h.try_publish(),
        lambda h: h.pending,
        lambda h: h.meta,
        lambda h: h.set_meta(1),
        lambda h: h.guard(),
        lambda h: h.snapshot(),
        lambda h: h.publishing_every(1),
        lambda h: h.writing(),
        lambda h: len(h.bags),
        lambda h: h.bags.get("a"),
        lambda h: h.bags.purge(),
    ],
)
def test_a_closed_handle_refuses_what_is_evmaps_own(use):
    """As it does the rest."""
    m = EvMap(a=1)
    handle = m.handle()
    handle.close()
    with pytest.raises(ValueError, match="this handle is closed"):
        use(handle)
    assert m == {"a": 1}


# ---- options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"publish_every": -1},
        {"publish_every": "1"},
        {"on_stalled_reader": "panic"},
        {"on_stalled_reader": -1},
        {"on_stalled_reader": float("nan")},
        {"on_stalled_reader": None},
    ],
)
def test_an_option_that_makes_no_sense_is_refused(wrong):
    """With what is allowed."""
    with pytest.raises(OptionError, match=next(iter(wrong))):
        open_map("evmap", **wrong)


def test_other_backends_name_evmap_for_several_values():
    """As they name those with snapshots."""
    with pytest.raises(NotSupported, match="evmap"):
        open_map("swiss").add("a", 1)
    assert type(open_map(multi_value=True)) is EvMap


def test_what_check_is_for():
    """A copy that differs, a count that is wrong."""
    m = EvMap((number, number) for number in range(20))
    m._check()
    from intermodal.atomics import store
    from intermodal_evmap._table import ENTRIES

    control = m._state.spare.control + ENTRIES
    store(control, 7, RELAXED)
    with pytest.raises(AssertionError, match="counted wrongly"):
        m._check()
    store(control, 20, RELAXED)
    m._check()
