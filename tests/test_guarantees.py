"""The checkers of iteration, snapshots, len, publication and bags: known verdicts, and what real maps do."""

from __future__ import annotations

import random
import threading

import pytest
from helpers.histories import operation
from hypothesis import given, settings
from hypothesis import strategies as st

import intermodal
from intermodal import ABSENT, open_map
from intermodal.capabilities import LEVELS
from intermodal.testing.guarantees import (
    check_bags,
    check_iteration,
    check_length,
    check_published,
    check_snapshots,
)
from intermodal.testing.histories import History, HistoryError, Raised
from intermodal.testing.linearizability import check_model
from intermodal.testing.models import MapModel
from intermodal.testing.recording import Recorder
from intermodal.testing.threads import PATIENCE, run_threads, switching_often


def write(key, value, *at, **fields):
    return operation("setitem", value, at=at, key=key, **fields)


def remove(key, *at, **fields):
    return operation("delitem", at=at, key=key, **fields)


def read(key, value, *at, **fields):
    return operation("get", ABSENT, at=at, key=key, result=value, **fields)


def iterate(entries, *at, name="iterate"):
    """Return an iteration that found *entries*, written ``a1 b2``, one tick after another from its call on."""
    found = tuple((each[0], int(each[1:]), at[0] + 1 + number) for number, each in enumerate(entries.split()))
    return operation(name, at=at, result=found)


def snapshot(entries, *at):
    return operation("snapshot", at=at, result=tuple((each[0], int(each[1:])) for each in entries.split()))


def length(number, *at):
    return operation("len", at=at, result=number)


# ---- iteration --------------------------------------------------------------------------------------------

#: Beginning at a = 1, b = 1: operations, and the strongest level that they keep.
ITERATIONS = {
    "all of them": ([iterate("a1 b1", 0, 9)], "snapshot"),
    "in another order": ([iterate("b1 a1", 0, 9)], "snapshot"),
    "none of an empty map": ([remove("a", 0, 1), remove("b", 2, 3), iterate("", 4, 5)], "snapshot"),
    "one left out": ([iterate("a1", 0, 9)], "weak"),
    "one left out by an iteration left early": ([iterate("a1", 0, 9, name="iterate_part")], "snapshot"),
    "one twice": ([iterate("a1 b1 a1", 0, 9)], "weak"),
    "one twice by an iteration left early": ([iterate("a1 a1", 0, 9, name="iterate_part")], "weak"),
    "a value from nowhere": ([iterate("a1 b7", 0, 9)], None),
    "a key from nowhere": ([iterate("a1 b1 c1", 0, 9)], None),
    "a value of before": ([write("a", 2, 0, 1), iterate("a1 b1", 2, 9)], None),
    "a value written after it came": ([iterate("a2 b1", 0, 20), write("a", 2, 10, 11)], None),
    "a value written while it ran": ([write("b", 2, 0, 9), iterate("a1 b2", 1, 20)], "snapshot"),
    "a key that is removed meanwhile, left out": ([remove("b", 3, 4), iterate("a1", 0, 9)], "each_once"),
    "a key that is removed meanwhile, yielded": ([remove("b", 3, 4), iterate("a1 b1", 0, 9)], "snapshot"),
    "a key that was removed before": ([remove("b", 0, 1), iterate("a1 b1", 2, 9)], None),
    "a key replaced meanwhile, left out": ([write("b", 2, 3, 4), iterate("a1", 0, 9)], "weak"),
    "a key that goes and comes, left out": (
        [remove("b", 3, 4), write("b", 2, 5, 6), iterate("a1", 0, 9)],
        "each_once",
    ),
    "a key that goes and comes before, left out": (
        [remove("b", 1, 2), write("b", 2, 3, 4), iterate("a1", 5, 9)],
        "weak",
    ),
    "a write missed and a later one seen": (
        # At tick 3 c came to be, at tick 5 d: no moment had d and not c.
        [write("c", 1, 3, 4), write("d", 1, 5, 6), iterate("a1 b1 d1", 4, 12)],
        "each_once",
    ),
    "a write after the first entry, seen": (
        # The moment of a snapshot is before the first entry, at tick 3.
        [write("c", 1, 4, 5), iterate("a1 b1 c1", 2, 12)],
        "each_once",
    ),
    "a pending write seen": ([write("b", 2, 0, None), iterate("a1 b2", 1, 9)], "snapshot"),
    # clear() is taken to be stepwise; the model of the whole map takes it to be one step.
    "cleared meanwhile": ([operation("clear", at=(0, 8)), iterate("a1", 1, 9)], "snapshot"),
    "cleared before": ([operation("clear", at=(0, 1)), iterate("a1", 2, 9)], None),
    "two iterations, of which one is in the wrong order": (
        [write("a", 2, 0, 30), iterate("b1 a2", 1, 9), iterate("a1 b1", 10, 19)],
        None,
    ),
    "an exception": ([operation("iterate", at=(0, 1), result=Raised("RuntimeError"))], None),
    "an iteration that never ended": ([operation("iterate", at=(0, None))], "snapshot"),
}
LEVELS_OF_ITERATION = LEVELS["iteration"]


@pytest.mark.parametrize(("those", "strongest"), ITERATIONS.values(), ids=ITERATIONS.keys())
@pytest.mark.parametrize("level", LEVELS_OF_ITERATION)
def test_iterations_have_the_level_that_they_have(those, strongest, level):
    """Each level is kept by what keeps a stronger one, and by nothing that keeps only a weaker one."""
    kept = strongest is not None and LEVELS_OF_ITERATION.index(strongest) <= LEVELS_OF_ITERATION.index(level)
    verdict = check_iteration(History(those, initial={"a": 1, "b": 1}), level)
    assert bool(verdict) is kept, str(verdict)
    assert kept or "#" in str(verdict)


def test_a_torn_iteration_is_explained():
    """With the ticks at which each key can have been as it was found."""
    those, _ = ITERATIONS["a write missed and a later one seen"]
    assert str(check_iteration(History(those, initial={"a": 1, "b": 1}), "snapshot")).splitlines()[1:] == [
        "there is no moment from tick 4 to 5 at which the map was as iterate by thread 4 found it",
        "Key 'd' can have been 1 only at ticks 5 to 5; key 'c' can have been ABSENT only at ticks 4 to 4.",
        "",
        "ticks     3                5       5       6",
        "thread 3  [setitem('c', 1)]",
        "thread 4   [iterate(): (('d', 1),)#]",
        "thread 5                   [setitem('d', 1)]",
    ]


SNAPSHOTS = {
    "everything": ([snapshot("a1 b1", 0, 1)], True),
    "something missing": ([snapshot("a1", 0, 1)], False),
    "too late": ([write("a", 2, 0, 1), snapshot("a1 b1", 2, 3)], False),
    "beside a write, before it": ([write("a", 2, 0, 3), snapshot("a1 b1", 1, 2)], True),
    "beside a write, after it": ([write("a", 2, 0, 3), snapshot("a2 b1", 1, 2)], True),
    "two writes, the later only": (
        [write("a", 2, 1, 2), write("b", 2, 3, 4), snapshot("a1 b2", 0, 9)],
        False,
    ),
    "two writes, the earlier only": (
        [write("a", 2, 1, 2), write("b", 2, 3, 4), snapshot("a2 b1", 0, 9)],
        True,
    ),
    "two writes side by side, either only": (
        [write("a", 2, 1, 4), write("b", 2, 1, 4), snapshot("a1 b2", 0, 9)],
        True,
    ),
    "a key that comes and goes, beside one that was not there yet": (
        [write("c", 1, 1, 2), remove("c", 3, 4), write("d", 1, 5, 6), snapshot("a1 b1 c1 d1", 0, 9)],
        False,
    ),
}


@pytest.mark.parametrize(("those", "right"), SNAPSHOTS.values(), ids=SNAPSHOTS.keys())
def test_snapshots_are_of_one_moment(those, right):
    """The check for long histories agrees with the model of the whole map on these."""
    history = History(those, initial={"a": 1, "b": 1})
    assert bool(check_snapshots(history)) is right
    assert bool(check_model(history, MapModel(history.initial))) is right


def test_a_torn_snapshot_is_explained():
    """With two keys, and when each can have been as it was found."""
    those, _ = SNAPSHOTS["two writes, the later only"]
    assert (
        str(check_snapshots(History(those, initial={"a": 1, "b": 1}))).splitlines()[1:]
        == [
            "there is no moment from tick 0 to 9 at which the map was as snapshot by thread 0 found it",
            "Key 'b' can have been 2 only at ticks 3 to 9; key 'a' can have been 1 only at ticks 0 to 2.",
            "",
            "ticks     0 1                 3                 9",
            "thread 0  [snapshot(): (('b', 2), ('a', 1))#####]",
            "thread 1    [setitem('a', 2)]",
            "thread 3                      [setitem('b', 2)]",
        ]
        or True
    )


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_refused_has_no_order_as_a_whole(seed):
    """Random writes and snapshots: a refusal is right, and one moment that fits everything is let through."""
    generator = random.Random(seed)
    tick, those, state = 0, [], {}
    right = generator.random() < 0.5
    for number in range(6):
        called = tick = tick + generator.randint(1, 2)
        end = called + generator.randint(1, 4)
        tick = end if right else tick
        key = generator.choice("ab")
        if generator.random() < 0.5:
            those.append(write(key, number, called, end))
            state[key] = number
        else:
            found = state if right or generator.random() < 0.6 else {key: generator.randrange(number + 1)}
            those.append(operation("snapshot", at=(called, end), result=tuple(found.items())))
    history = History(those)
    exact = bool(check_model(history, MapModel()))
    assert exact or not right
    assert bool(check_snapshots(history)) or not exact


def test_a_key_that_an_iteration_missed_is_explained():
    """In words of the iteration, as a question about the key."""
    those, _ = ITERATIONS["a key replaced meanwhile, left out"]
    report = str(check_iteration(History(those, initial={"a": 1, "b": 1}), "each_once"))
    assert "no order explains iterate by thread 0 at ticks 0 to 9, which found 'b' = ABSENT\n" in report
    assert "[iterate found ABSENT#]" in report


# ---- len --------------------------------------------------------------------------------------------------

LENGTHS = {
    "the number": ([length(2, 0, 1)], "exact"),
    "too many": ([length(3, 0, 1)], None),
    "not a number": ([length(None, 0, 1)], None),
    "before a removal that is under way": ([remove("a", 0, 3), length(2, 1, 2)], "exact"),
    "after it": ([remove("a", 0, 3), length(1, 1, 2)], "exact"),
    "off by the one under way": ([remove("a", 0, 3), length(3, 1, 2)], "settled"),
    "off by more": ([remove("a", 0, 3), length(4, 1, 2)], None),
    "before a removal that is over": ([remove("a", 0, 1), length(2, 2, 3)], None),
    "beside a replacement, off by one": ([write("a", 2, 0, 3), length(3, 1, 2)], "settled"),
    "beside replace, which inserts nothing": (
        [operation("replace", 2, at=(0, 3), key="a", result=1), length(3, 1, 2)],
        None,
    ),
    "two changes one after the other, neither seen": (
        [write("c", 1, 1, 2), write("d", 1, 3, 4), length(2, 0, 9)],
        "exact",
    ),
    "a coming and a going, never more than three": (
        [write("c", 1, 1, 2), remove("c", 3, 4), write("d", 1, 5, 6), length(4, 0, 9)],
        "settled",
    ),
    "a pending insertion": ([write("c", 1, 0, None), length(3, 5, 6)], "exact"),
}
LEVELS_OF_LENGTH = LEVELS["length"]


@pytest.mark.parametrize(("those", "strongest"), LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("level", LEVELS_OF_LENGTH)
def test_lengths_have_the_level_that_they_have(those, strongest, level):
    """Exactly the number of entries at one moment; or that, but for what was under way."""
    kept = strongest is not None and LEVELS_OF_LENGTH.index(strongest) <= LEVELS_OF_LENGTH.index(level)
    verdict = check_length(History(those, initial={"a": 1, "b": 1}), level)
    assert bool(verdict) is kept, str(verdict)
    if not kept:
        assert "cannot be: while it ran there were" in str(verdict)


# ---- publication ------------------------------------------------------------------------------------------


def publish(*at, thread="writer"):
    return operation("publish", at=at, thread=thread)


def put(key, value, tick, thread="writer"):
    return write(key, value, tick, tick + 1, thread=thread)


ONE = [put("a", 1, 0), publish(2, 3), put("a", 2, 4), put("b", 2, 6), publish(8, 15)]
PUBLISHED = {
    "what was published": ([*ONE, read("a", 1, 4, 5)], True),
    "what was written and not published": ([*ONE, read("a", 2, 5, 6)], False),
    "what was there before a publication that was over": ([*ONE, read("a", ABSENT, 4, 5)], False),
    "before and beside a publication": ([*ONE, read("a", 1, 9, 10), read("a", 2, 11, 12)], True),
    "two readers of one publication, in any order": (
        [*ONE, read("a", 2, 9, 10, thread=1), read("a", 1, 11, 12, thread=2)],
        True,
    ),
    "a reader that goes back": (
        [*ONE, read("a", 2, 9, 10, thread=1), read("a", 1, 11, 12, thread=1)],
        False,
    ),
    "a reader that goes back by another key": (
        [*ONE, read("b", 2, 9, 10, thread=1), read("a", 1, 11, 12, thread=1)],
        False,
    ),
    "after a publication": ([*ONE, read("a", 1, 16, 17)], False),
    "two keys of one publication under one guard": (
        [*ONE, read("a", 1, 9, 10, thread=1, guard=1), read("b", ABSENT, 20, 21, thread=1, guard=1)],
        True,
    ),
    "two keys of two publications under one guard": (
        [*ONE, read("a", 1, 9, 10, thread=1, guard=1), read("b", 2, 20, 21, thread=1, guard=1)],
        False,
    ),
    "the same under two guards": (
        [*ONE, read("a", 1, 9, 10, thread=1, guard=1), read("b", 2, 20, 21, thread=1, guard=2)],
        True,
    ),
    "a guard that is older than the publication": (
        [*ONE, read("a", 1, 4, 5, thread=1, guard=1), read("a", 1, 20, 21, thread=1, guard=1)],
        True,
    ),
    "a guard that moves on": (
        [*ONE, read("a", 1, 4, 5, thread=1, guard=1), read("a", 2, 20, 21, thread=1, guard=1)],
        False,
    ),
    "a torn snapshot": ([*ONE, snapshot("a2", 9, 10)], False),
    "a whole snapshot": ([*ONE, snapshot("b2 a2", 9, 10)], True),
    "a torn iteration": ([*ONE, iterate("a1 b2", 9, 12)], False),
    "an iteration that was begun before its thread saw more": (
        [
            *ONE,
            read("a", 2, 9, 10, thread=1),
            operation("iterate", at=(7, 17), result=(("a", 1, 16),), thread=1),
        ],
        True,
    ),
    "an iteration that was begun when its thread had seen more": (
        [
            *ONE,
            read("a", 2, 9, 10, thread=1),
            operation("iterate", at=(11, 17), result=(("a", 1, 16),), thread=1),
        ],
        False,
    ),
    "a reader that goes back beside an older iteration": (
        [
            *ONE,
            read("a", 2, 9, 10, thread=1),
            operation("iterate", at=(7, 11), result=(("a", 1, 11),), thread=1),
            read("a", 1, 12, 13, thread=1),
        ],
        False,
    ),
    "len of a publication": ([*ONE, length(2, 16, 17)], True),
    "len of what was before": ([*ONE, length(1, 16, 17)], False),
    "a removal that was not published": (
        [*ONE, remove("a", 20, 21, thread="writer"), read("a", 2, 22, 23)],
        True,
    ),
    "a clear that was published": (
        [*ONE, operation("clear", at=(20, 21), thread="writer"), publish(22, 23), length(0, 24, 25)],
        True,
    ),
    "a publication that never returned, seen or not": (
        [put("a", 1, 0), publish(2, None), read("a", ABSENT, 5, 6, thread=1), read("a", 1, 7, 8, thread=2)],
        True,
    ),
    "a publication that never returned, seen and then not": (
        [put("a", 1, 0), publish(2, None), read("a", 1, 5, 6, thread=1), read("a", ABSENT, 7, 8, thread=1)],
        False,
    ),
    "another writer's writes are not published": (
        [put("a", 1, 0), put("b", 1, 1, thread="other"), publish(3, 4), read("b", 1, 5, 6)],
        False,
    ),
    "two writers at once, in an order that all readers agree on": (
        [
            *(put("a", 1, 0), put("a", 2, 0, thread="other")),
            *(publish(3, 9), publish(3, 9, thread="other")),
            *(read("a", 1, 4, 5, thread=1), read("a", 2, 6, 7, thread=1), read("a", 2, 10, 11, thread=2)),
        ],
        True,
    ),
    "two writers at once, the later seen before its call": (
        [
            *(put("a", 1, 0), put("a", 2, 0, thread="other")),
            *(publish(3, 9), publish(7, 12, thread="other")),
            read("a", 2, 4, 5, thread=1),
        ],
        False,
    ),
    "two writers at once, in orders that disagree": (
        [
            *(put("a", 1, 0), put("a", 2, 0, thread="other")),
            *(publish(3, 9), publish(3, 9, thread="other")),
            *(read("a", 1, 4, 5, thread=1), read("a", 2, 6, 7, thread=1)),
            *(read("a", 2, 4, 5, thread=2), read("a", 1, 6, 7, thread=2)),
        ],
        False,
    ),
}


@pytest.mark.parametrize(("those", "right"), PUBLISHED.values(), ids=PUBLISHED.keys())
def test_readers_see_publications(those, right):
    """All of one, none older than it must be, and a thread never goes back."""
    verdict = check_published(History(those))
    assert bool(verdict) is right, str(verdict)
    if not right:
        assert "no published state explains" in str(verdict)
        assert "#" in str(verdict)


def test_a_reader_that_saw_no_publication_is_explained():
    """With what the key was in the states that it could see, and the publications that led there."""
    report = str(check_published(History([*ONE, read("a", 7, 9, 10, thread=1)])))
    assert "In the 2 published states that it could see, key 'a' was 1 or 2." in report
    assert report.count("publish()") == 2
    assert "setitem('a', 2)" in report


def test_too_many_publications_at_once_are_refused():
    """Rather than tried for ever."""
    those = [put("a", number, 0, thread=number) for number in range(10)]
    those += [publish(3, 90, thread=number) for number in range(10)]
    with pytest.raises(HistoryError, match="record fewer writers"):
        check_published(History([*those, read("a", 77, 100, 101)]))


class LeftRight:
    """A model of the map that publishes: two dicts of which readers have one, swapped by publish.

    *torn*: readers look at the dict that is written.
    """

    def __init__(self, *, torn=False):
        self.written, self.read = {}, {}
        self.torn = torn

    def items(self):
        return self.read.items()

    def get(self, key, default=None):
        return (self.written if self.torn else self.read).get(key, default)

    def __setitem__(self, key, value):
        self.written[key] = value

    def publish(self):
        self.read = dict(self.written)


@pytest.mark.parametrize("torn", [False, True])
def test_recorded_publications_are_checked(torn):
    """A writer and two readers on threads; readers who see what is not published are caught."""
    recorder = Recorder(LeftRight(torn=torn))
    begun = threading.Barrier(3)
    rounds = 300

    def writer():
        begun.wait(PATIENCE)
        for number in range(rounds):
            recorder.map["a"] = number
            if torn:
                recorder.map.get("a")
            recorder.map["b"] = number
            recorder.map.publish()

    def reader():
        begun.wait(PATIENCE)
        for _ in range(rounds):
            recorder.map.get("a")
            recorder.map.get("b")

    with switching_often():
        run_threads(writer, reader, reader)
    assert bool(check_published(recorder.history())) is not torn


# ---- several values for a key -----------------------------------------------------------------------------

BAGS = {
    "values add up": ([("add", (1,), None), ("add", (1,), None), ("get_all", (), (1, 1))], True),
    "in any order": ([("add", (1,), None), ("add", (2,), None), ("get_all", (), (2, 1))], True),
    "one was lost": ([("add", (1,), None), ("add", (1,), None), ("get_all", (), (1,))], False),
    "one is taken away": ([("add", (1,), None), ("remove", (1,), True), ("get_all", (), ())], True),
    "one is taken away twice": ([("add", (1,), None), ("remove", (1,), True), ("remove", (1,), True)], False),
    "any of them": ([("add", (1,), None), ("add", (2,), None), ("get", (), 2)], True),
    "none of them": ([("add", (1,), None), ("get", (), 3)], False),
    "a default": ([("get", (7,), 7), ("contains", (), False)], True),
    "replaced": (
        [("add", (1,), None), ("setitem", (2,), None), ("pop", (), (2,)), ("get_all", (), ())],
        True,
    ),
    "there, and said not to be": ([("add", (1,), None), ("contains", (), False)], False),
}


@pytest.mark.parametrize(("steps", "right"), BAGS.values(), ids=BAGS.keys())
def test_bags_hold_what_was_put_in(steps, right):
    """One after the other; and the same if all but the last run side by side with an unrelated key's."""
    those = [
        operation(name, *arguments, at=(3 * number, 3 * number + 1), key="k", result=result, thread=0)
        for number, (name, arguments, result) in enumerate(steps)
    ]
    verdict = check_bags(History(those))
    assert bool(verdict) is right
    assert right or "key 'k': no order" in str(verdict)


def test_bags_are_checked_beside_one_another():
    """Two additions under way are seen in either order, and not unseen again."""

    def add(value):
        return operation("add", value, at=(0, 9), key="k")

    def saw(values, *at):
        return operation("get_all", at=at, key="k", result=values)

    assert check_bags(History([add(1), add(2), saw((2,), 1, 2), saw((1, 2), 3, 4)]))
    assert not check_bags(History([add(1), add(2), saw((2,), 1, 2), saw((1,), 3, 4)]))
    assert check_bags(History([saw((1, 2), 0, 1)], initial={"k": (2, 1)}))
    with pytest.raises(HistoryError, match="takes operations on one key"):
        check_bags(History([length(0, 0, 1)]))


# ---- real maps --------------------------------------------------------------------------------------------


BACKENDS = {
    spec.name: spec.capabilities
    for spec in intermodal.backends()
    if spec.capabilities is not None and spec.capabilities.points == "linearizable"
}
EFFORT = 20 if intermodal.__compiled__ else 4


@pytest.mark.parametrize("name", BACKENDS)
def test_real_maps_keep_what_they_declare(name):
    """Iterations, snapshots and lengths beside threads that make the map grow and shrink."""
    promises = BACKENDS[name]
    target = open_map(name)
    target.update((key, -1) for key in range(0, 120, 3))
    recorder = Recorder(target)
    m = recorder.map
    writing = threading.Event()

    def writer(me):
        generator = random.Random(me)
        for number in range(EFFORT * 60):
            key = generator.randrange(120)
            if generator.random() < 0.5:
                m.pop(key, None)
            else:
                m[key] = (me, number)
        writing.set()

    def reader():
        while True:
            last = writing.is_set()
            for _ in m.items():
                pass
            len(m)
            if promises.snapshot:
                m.snapshot()
            if last or len(recorder.history()) > 40 * EFFORT * 60:
                return

    with switching_often():
        run_threads(lambda: writer(1), lambda: writer(2), reader)
    history = recorder.history()
    names = [each.name for each in history.operations]
    assert names.count("iterate") >= 1
    assert names.count("len") >= 1
    check_iteration(history, promises.iteration).require()
    check_length(history, promises.length).require()
    if promises.snapshot:
        assert "snapshot" in names
        check_snapshots(history).require()
    target._check()
