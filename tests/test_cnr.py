"""CNR: several logs, and scans over all of them, correct where the original is not."""

from __future__ import annotations

import threading

import pytest

import intermodal
from intermodal import ConcurrentDispatch, LogMapper, OptionError, open_map, replicate
from intermodal.dispatch import ALL_LOGS
from intermodal.testing.scheduler import explore
from intermodal.testing.threads import in_threads, run_threads
from intermodal_cnr._lanes import Lanes
from intermodal_cnr._map import CnrView, new_lanes
from intermodal_nr.map import Door
from intermodal_nr.map_state import MapState

scheduled = pytest.mark.skipif(intermodal.__compiled__, reason="the scheduler runs the pure build")


class ByNumber(LogMapper):
    """Keys are numbers, and so are logs."""

    def log_of(self, operation, logs):
        return operation % logs


def cnr_map(logs=2, replicas=2):
    """A map whose key n is in log n, with logs of four entries."""
    return CnrView(new_lanes(logs, replicas, 4, 2, True, ByNumber()))


def on(m, replica):
    """A handle of *m* all of whose lanes use that replica."""
    handle = m.handle()
    for lane, group in zip(handle._lanes, m._shared.lanes.groups, strict=True):
        lane._door = Door(group.replicas[replica])
    return handle


# ---- the original's defects ----------------------------------------------------------------------------


@scheduled
def test_no_stale_read_after_a_completed_write():
    """A change that is over on one replica is read on the other."""

    def scenario():
        m = cnr_map(logs=1)
        one, two = on(m, 0), on(m, 1)
        over = []

        def write():
            one[0] = "new"
            over.append(1)

        def read():
            return len(over), two.get(0)

        _, (was_over, found) = yield write, read
        assert found == "new" or not was_over

    assert explore(scenario, preemptions=1).complete


@scheduled
def test_a_scan_is_atomic(monkeypatch):
    """One thread changes the first lane and then the second: a scan that has the second change has the first."""
    monkeypatch.setattr(Lanes, "_row", lambda lanes: lanes.rows[0])

    def scenario():
        m = cnr_map()
        other = on(m, 1)  # scans are of replica 0, whose readers keep only its own combiners out

        def write():
            other[0] = "first"
            other[1] = "second"

        second = m._shared.lanes.groups[1].replicas[0]
        _, _, found = yield write, second.sync, lambda: dict(m.snapshot())
        assert found in ({}, {0: "first"}, {0: "first", 1: "second"})

    assert explore(scenario, preemptions=1).complete


@scheduled
def test_a_scan_that_changes_is_atomic():
    """Who has missed one entry that clear() took finds no other, on any lane or replica."""

    def scenario():
        m = cnr_map()
        m.update({0: "a", 1: "b"})
        m.sync()
        one, two = on(m, 0), on(m, 1)
        _, (first, second) = yield m.clear, lambda: (one.get(0), two.get(1))
        assert (first, second) != (None, "b")

    assert explore(scenario, preemptions=1, runs=1500).runs


def test_scans_beside_changes_see_one_instant():
    """A thread adds to the lanes in turn, so their lengths never differ by more than one, as all scans see."""
    m = open_map("cnr", replicas=2, logs=4, log_entries=8, mapper=ByNumber())
    stop = threading.Event()

    def add():
        with m.handle() as mine:
            for number in range(2000 if intermodal.__compiled__ else 60):
                mine[number] = number
        stop.set()

    def look():
        while not stop.is_set():
            keys = sorted(m.snapshot())
            assert keys == list(range(len(keys)))
            keys = sorted(m)
            assert keys == list(range(len(keys)))
            assert len(m) >= len(keys)

    run_threads(add, look)
    m._check()


def test_replicas_that_come_and_go_are_seen_by_nobody():
    """All lanes at once, while threads change the map."""
    m = open_map("cnr", replicas=2, logs=3, log_entries=4)
    steps = 1500 if intermodal.__compiled__ else 60

    def work(index):
        with m.handle() as mine:
            for number in range(steps):
                mine[index, number % 50] = number
                assert mine[index, number % 50] == number

    def change():
        for _ in range(10 if intermodal.__compiled__ else 2):
            assert m.add_replica() == 3
            assert m.remove_replica(0) == 2

    run_threads(lambda: work(0), lambda: work(1), change)
    m._check()
    assert len(m) == 100


# ---- structures of one's own ---------------------------------------------------------------------------


class Counters(ConcurrentDispatch):
    """Counters, each of which is a structure by itself; two scans."""

    def __init__(self):
        self.counts = [0] * 4
        self.inside = 0

    def dispatch(self, operation):
        return sum(self.counts) if operation == "sum" else self.counts[operation]

    def dispatch_mut(self, operation):
        if operation == "reset":
            before, self.counts = sum(self.counts), [0] * 4
            return before
        if operation == "fail":
            raise ValueError(operation)
        self.counts[operation] += 1
        return self.counts[operation]


class ByCounter(LogMapper):
    def log_of(self, operation, logs):
        if operation in ("sum", "reset"):
            return ALL_LOGS
        return 0 if operation == "fail" else operation % logs


def test_a_concurrent_structure_counts_every_operation_once():
    """Of all logs, on all copies; scans that read and that change are between the others."""
    counters = replicate(Counters, replicas=2, logs=2, mapper=ByCounter(), log_entries=4, checked=True)
    steps = 800 if intermodal.__compiled__ else 40

    def work(index):
        taken = 0
        with counters.handle() as mine:
            for step in range(steps):
                assert mine.execute_mut(index) >= 1
                if step % 50 == 0:
                    taken += mine.execute_mut("reset")
                    assert mine.execute("sum") <= 3 * steps
                    with pytest.raises(ValueError, match="fail"):
                        mine.execute_mut("fail")
        return taken

    taken = sum(in_threads(3, work))
    assert taken + counters.execute_mut("reset") == 3 * steps
    counters._check()
    assert counters.execute("sum") == 0
    counters.execute_mut(1)
    counters.add_replica()
    counters.remove_replica(0)
    assert counters.execute(1) == 1
    assert counters.snapshot().state.counts == [0, 1, 0, 0]
    assert len(counters.statistics()) == 2


def test_a_mapper_that_is_wrong_is_found_out_before_anything_is_done():
    """The message says what it has said."""

    class Wrong(LogMapper):
        def log_of(self, operation, logs):
            return logs

    counters = replicate(Counters, logs=2, mapper=Wrong())
    with pytest.raises(OptionError, match="puts 1 into log 2"):
        counters.execute_mut(1)
    m = open_map("cnr", mapper=Wrong())
    with pytest.raises(ValueError, match="puts 'a' into log 4"):
        m["a"] = 1
    with pytest.raises(OptionError, match="want a mapper"):
        replicate(Counters, logs=2)
    with pytest.raises(OptionError, match="for a ConcurrentDispatch"):
        replicate(dict, logs=2, mapper=Wrong())


def test_one_log_is_enough_for_a_concurrent_structure():
    """Then everything is one after the other."""
    counters = replicate(Counters, replicas=2)
    assert counters.execute_mut(3) == 1
    assert counters.execute(3) == 1


@pytest.mark.skipif(intermodal.__compiled__, reason="compiled, the methods cannot be replaced")
@pytest.mark.parametrize(("method", "operation"), [("_query", list), ("_apply", lambda m: m.clear())])
def test_what_fails_in_one_lane_is_raised(monkeypatch, method, operation):
    """By operations of the whole map, too: no memory, or no stack."""

    def fails(*_):
        raise MemoryError

    m = open_map("cnr")
    m[1] = 2
    with monkeypatch.context() as patch:
        patch.setattr(MapState, method, fails)
        with pytest.raises(MemoryError):
            operation(m)
    assert m == {1: 2}
