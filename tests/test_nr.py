"""The nr map beyond the conformance kit: replicas, what handles see, changes that fail where they are executed."""

from __future__ import annotations

import sys

import pytest

import intermodal
from intermodal import OptionError, open_map
from intermodal.testing.threads import run_threads
from intermodal_nr.states import Raised

STEPS = 3000 if intermodal.__compiled__ else 100


def on(m, replica, consistency="linearizable"):
    """Return a handle of *m* at the replica of that number."""
    while True:
        handle = m.handle(consistency)
        if handle._door.replica is m._group.replicas[replica]:
            return handle
        handle.close()


def test_what_a_handle_sees_is_chosen_for_it():
    """Everything that was finished, what it has seen or done itself, or what its replica happens to have."""
    m = open_map("nr", replicas=2)
    with on(m, 0) as here, on(m, 1, "stale") as stale, on(m, 1, "session") as session:
        here["a"] = 1
        assert "a" not in stale
        assert "a" not in session
        session["b"] = 2  # comes after "a" in the log
        assert dict(session) == {"a": 1, "b": 2}
        here["c"] = 3
        assert "c" not in stale
        m.sync()
        assert stale["c"] == 3
        here["d"] = 4
        with on(m, 1) as there:
            assert there["d"] == 4
    with pytest.raises(ValueError, match="consistency is one of"):
        m.handle("eventual")


def test_a_session_does_not_go_back_when_its_replica_is_removed():
    """It has moved to one that may be behind, and waits for it."""
    m = open_map("nr", replicas=2)
    with on(m, 1, "session") as session:
        session["a"] = 1
        assert m.remove_replica(1) == 1
        assert session["a"] == 1
        session["a"] = 2
        assert session["a"] == m["a"] == 2
    m._check()


def test_handles_go_on_while_replicas_come_and_go():
    """Each look-up and each change is of one replica; none is lost."""
    m = open_map("nr", replicas=2, log_entries=8, batch=4)

    def work(index):
        with m.handle() as mine:
            for number in range(STEPS):
                mine[index, number % 50] = number
                assert mine[index, number % 50] == number
                assert mine.get((1 - index, 50)) is None

    def change():
        for _ in range(20 if intermodal.__compiled__ else 3):
            assert m.add_replica() == 3
            assert m.remove_replica(0) == 2

    run_threads(lambda: work(0), lambda: work(1), change)
    m._check()
    assert len(m) == 100


@pytest.mark.skipif(not intermodal.__compiled__, reason="interpreted, its own calls fail there as well")
def test_a_change_that_one_copy_cannot_make_leaves_all_copies_equal():
    """At the end of the stack even comparing two ints may fail: the issuer is told, and nothing is torn."""
    m = open_map("nr", replicas=2)
    keys = [10**30 + number for number in range(50)]
    m.update(dict.fromkeys(keys, 0))
    failures = 0

    def descend(left):
        nonlocal failures
        try:
            m[10**30 + left % 50] = left
            m.pop(10**30 + (left + 1) % 50, None)
        except RecursionError:
            failures += 1
        if left:
            descend(left - 1)

    with pytest.raises(RecursionError):
        descend(sys.getrecursionlimit())
    m._check()
    m.update(dict.fromkeys(keys, 1))
    assert m == dict.fromkeys(keys, 1)
    m._check()


def test_a_copy_on_which_a_change_has_failed_begins_again_with_another():
    """Whatever made it fail there: the others may have made the change."""
    m = open_map("nr", replicas=2)
    m["a"] = 1
    m.sync()
    first, second = (replica.state for replica in m._group.replicas)
    dropped = []
    outcome = second.apply("nothing that a state could know", dropped)
    assert isinstance(outcome, Raised)
    assert second.damaged()
    with on(m, 0) as here:
        here["b"] = 2
    m.sync()
    assert not second.damaged()
    assert dict(first.data) == dict(second.data) == {"a": 1, "b": 2}
    m._check()


def test_an_entry_of_the_log_is_let_go_when_every_replica_has_it():
    """By sync(), or by those that come after it in the ring."""
    m = open_map("nr", replicas=2, log_entries=4)
    for number in range(10):
        m["a"] = number
    m.sync()
    statistics = m.statistics()
    assert statistics.entries == 1
    assert statistics.replication[0].log_entries == 0
    assert {replica.position for replica in statistics.replication[0].replicas} == {10}
    assert {replica.lag for replica in statistics.replication[0].replicas} == {0}


@pytest.mark.parametrize("option", ["replicas", "log_entries", "batch", "evict_after"])
def test_options_must_be_positive(option):
    """With the name of the one that is not."""
    with pytest.raises(OptionError, match=option):
        open_map("nr", **{option: 0})


def test_the_only_replica_stays():
    """And one that is not there cannot be removed."""
    m = open_map("nr")
    with pytest.raises(ValueError, match="the only replica"):
        m.remove_replica()
    m.add_replica()
    with pytest.raises(ValueError, match="no replica 7; there are 2"):
        m.remove_replica(7)
    m._check()
