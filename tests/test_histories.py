"""Histories: what recorders write down, the JSON that it becomes, and the drawing of it."""

from __future__ import annotations

import itertools
import json
import pickle
import threading
import time

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intermodal import ABSENT, open_map
from intermodal.testing.histories import PENDING, History, HistoryError, Operation, Raised
from intermodal.testing.recording import Recorder, counter
from intermodal.testing.threads import in_threads, switching_often
from intermodal.testing.timeline import label, timeline

PATIENCE = 60


def operation(name, *arguments, at=(0, 1), thread=0, key="k", **fields):
    """Return an operation on ``k``; *at* is its ticks."""
    called, returned = at
    fields.setdefault("result", PENDING if returned is None else None)
    return Operation(
        thread=thread, name=name, key=key, arguments=arguments, called=called, returned=returned, **fields
    )


def recorded(recorder):
    """Return the operations of *recorder* without their ticks."""
    return [
        (each.name, each.key, each.arguments, each.result, each.callbacks)
        for each in recorder.history().operations
    ]


# ---- operations -------------------------------------------------------------------------------------------


def test_an_operation_has_a_result_exactly_if_it_returned():
    """One without the other is a mistake of whoever recorded it."""
    assert operation("get", at=(0, None)).pending
    with pytest.raises(HistoryError, match="both a tick of return and a result"):
        operation("get", at=(0, None), result=1)
    with pytest.raises(HistoryError, match="both a tick of return and a result"):
        operation("get", at=(0, 1), result=PENDING)
    with pytest.raises(HistoryError, match="cannot return before it is called"):
        operation("get", at=(2, 1))


def test_operations_that_touch_are_side_by_side():
    """Only a lower tick of return than of call says that one came first."""
    first, second, third = operation("a", at=(0, 2)), operation("b", at=(2, 3)), operation("c", at=(3, None))
    assert not first.precedes(second)
    assert first.precedes(third)
    assert not third.precedes(first)


def test_a_history_is_in_the_order_of_calls():
    """Whatever the order in which operations are given."""
    later, earlier = operation("b", at=(5, 6)), operation("a", at=(1, 9))
    history = History([later, earlier])
    assert history.operations == (earlier, later)
    assert len(history) == 2


def test_pending_survives_pickling():
    """It is compared by identity."""
    assert pickle.loads(pickle.dumps(PENDING)) is PENDING


# ---- JSON -------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
    | st.just(ABSENT),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)
outcomes = values | st.builds(
    Raised, st.sampled_from(["KeyError", "MyError"]), st.lists(values, max_size=2).map(tuple)
)


@st.composite
def operations(draw):
    """Return any operation that JSON can hold."""
    called = draw(st.integers(-5, 2**70))
    pending = draw(st.booleans())
    return Operation(
        thread=draw(st.integers(0, 3) | st.text(max_size=2)),
        name=draw(st.sampled_from(["get", "compute", "len"])),
        key=draw(values),
        arguments=draw(st.lists(values, max_size=2).map(tuple)),
        called=called,
        returned=None if pending else called + draw(st.integers(0, 9)),
        result=PENDING if pending else draw(outcomes),
        callbacks=tuple(draw(st.lists(st.tuples(values, outcomes), max_size=2))),
        guard=draw(st.none() | st.integers(0, 3)),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(operations(), max_size=4), st.dictionaries(values, values, max_size=2))
def test_json_gives_the_same_history_back(those, initial):
    """Also the types: True is not 1, a tuple not its items, ABSENT not None."""
    history = History(those, initial)
    back = History.from_json(history.to_json())
    assert back == history
    assert repr(back.operations) == repr(history.operations)
    assert back.to_json() == history.to_json()


def test_json_has_the_documented_form():
    """Short enough to be turned into another checker's format by a few lines of code."""
    history = History(
        [
            operation("compute", at=(0, 3), result=2, callbacks=((ABSENT, 2),)),
            operation("pop", at=(1, 2), thread="main", result=Raised("KeyError", ("k",))),
            operation("setitem", (1, "x"), at=(4, None)),
            operation("len", at=(5, 6), key=ABSENT, result=1, guard=7),
        ],
        initial={"k": 1},
    )
    assert json.loads(history.to_json()) == {
        "format": "intermodal-history",
        "version": 1,
        "initial": [["k", 1]],
        "operations": [
            {
                "thread": 0,
                "name": "compute",
                "key": "k",
                "called": 0,
                "returned": 3,
                "result": 2,
                "callbacks": [{"saw": {"absent": True}, "gave": 2}],
            },
            {
                "thread": "main",
                "name": "pop",
                "key": "k",
                "called": 1,
                "returned": 2,
                "raised": {"type": "KeyError", "arguments": ["k"]},
            },
            {"thread": 0, "name": "setitem", "key": "k", "arguments": [[1, "x"]], "called": 4},
            {"thread": 0, "name": "len", "called": 5, "returned": 6, "result": 1, "guard": 7},
        ],
    }


@pytest.mark.parametrize(
    "value", [object(), [1], {"a": 1}, {1}, float("nan"), float("inf"), b"x", Raised("E")]
)
def test_what_json_cannot_hold_is_refused(value):
    """With the value, and what could be used instead."""
    history = History([operation("setitem", value)])
    with pytest.raises(HistoryError, match="JSON cannot hold .* must be None, bool"):
        history.to_json()


GOOD = {"thread": 0, "name": "get", "key": "k", "called": 0, "returned": 1, "result": 5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"called": None}, "'called' must be an integer"),
        ({"called": True}, "'called' must be an integer"),
        ({"returned": "1"}, "'returned' must be an integer"),
        ({"returned": -1}, "cannot return before it is called"),
        ({"returned": None}, "never returned has no outcome"),
        ({"raised": {"type": "KeyError"}}, "exactly one of 'result' and 'raised'"),
        ({"result": {"absent": False}}, "the only JSON object that is a value"),
        ({"resutl": 1}, "has no field 'resutl'"),
        ({"callbacks": [{"saw": 1}]}, "exactly one of 'gave' and 'raised'"),
        ({"callbacks": 1}, "not the record of a history"),
    ],
    ids=str,
)
def test_a_wrong_record_is_refused(change, message):
    """With what is wrong about it."""
    text = {"format": "intermodal-history", "version": 1, "operations": [GOOD | change]}
    with pytest.raises(HistoryError, match=message):
        History.from_json(json.dumps(text))
    assert len(History.from_json(json.dumps(text | {"operations": [GOOD]}))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be JSON"),
        ("[]", "format is 'intermodal-history'"),
        ('{"format": "other"}', "format is 'intermodal-history'"),
        ('{"format": "intermodal-history", "version": 2, "operations": []}', "version 2"),
        ('{"format": "intermodal-history", "version": 1}', "not the record of a history"),
    ],
)
def test_a_text_that_is_no_history_is_refused(text, message):
    """With what it should be."""
    with pytest.raises(HistoryError, match=message):
        History.from_json(text)


# ---- recording --------------------------------------------------------------------------------------------


def recorder(**data):
    """Return a recorder of a map with these entries, all of whose threads are called "me"."""
    target = open_map("locked")
    target.update(data)
    return Recorder(target, thread=lambda: "me")


def test_every_operation_on_one_key_is_recorded():
    """With its arguments, its outcome, and what its function saw and gave."""
    log = recorder()
    m = log.map
    m["k"] = 1
    assert m["k"] == 1
    assert m.get("x") is None
    assert m.get("x", 7) == 7
    assert "k" in m
    assert m.pop("x", 8) == 8
    with pytest.raises(KeyError):
        m.pop("x")
    with pytest.raises(KeyError):
        m["x"]
    del m["k"]
    assert m.setdefault("k", 2) == 2
    assert m.insert("k", 3) is False
    assert m.replace("k", 4) == 2
    assert m.compare_and_set("k", 4, ABSENT)
    assert m.compute("k", lambda _: 5) == 5
    assert m.get_or_insert_with("y", lambda: 6) == 6
    assert m.remove_if("k", lambda value: value == 5)
    missing = Raised("KeyError", ("x",))
    assert recorded(log) == [
        ("setitem", "k", (1,), None, ()),
        ("getitem", "k", (), 1, ()),
        ("get", "x", (None,), None, ()),
        ("get", "x", (7,), 7, ()),
        ("contains", "k", (), True, ()),
        ("pop", "x", (8,), 8, ()),
        ("pop", "x", (), missing, ()),
        ("getitem", "x", (), missing, ()),
        ("delitem", "k", (), None, ()),
        ("setdefault", "k", (2,), 2, ()),
        ("insert", "k", (3,), False, ()),
        ("replace", "k", (4,), 2, ()),
        ("compare_and_set", "k", (4, ABSENT), True, ()),
        ("compute", "k", (), 5, ((ABSENT, 5),)),
        ("get_or_insert_with", "y", (), 6, ((ABSENT, 6),)),
        ("remove_if", "k", (), True, ((5, True),)),
    ]
    ticks = [tick for each in log.history().operations for tick in (each.called, each.returned)]
    assert ticks == sorted(set(ticks))


def test_batches_are_recorded_key_by_key():
    """Each key with the ticks of the whole."""
    log = recorder()
    m = log.map
    m.set_many(["a", "b"], [1, 2])
    m.update({"c": 3}, d=4)
    assert m.get_many(["a", "x"], 0) == [1, 0]
    assert m.pop_many(["b", "x"], 0) == [2, 0]
    assert recorded(log) == [
        ("setitem", "a", (1,), None, ()),
        ("setitem", "b", (2,), None, ()),
        ("setitem", "c", (3,), None, ()),
        ("setitem", "d", (4,), None, ()),
        ("get", "a", (0,), 1, ()),
        ("get", "x", (0,), 0, ()),
        ("pop", "b", (0,), 2, ()),
        ("pop", "x", (0,), 0, ()),
    ]
    first, second, *_ = log.history().operations
    assert (first.called, first.returned) == (second.called, second.returned)


def test_operations_on_the_whole_map_are_recorded():
    """Iteration with the tick after each entry; an iteration left early says so."""
    log = recorder(a=1, b=2)
    m = log.map
    assert len(m) == 2
    assert [each for each in m.items()] == [("a", 1), ("b", 2)]  # noqa: C416  (list() would ask for the length)
    iterator = iter(m)
    assert next(iterator) == "a"
    iterator.close()
    assert m.snapshot() == {"a": 1, "b": 2}
    assert m.retain(lambda key, value: key == "a") == 1
    assert m.popitem() == ("a", 1)
    m.clear()
    history = log.history()
    assert dict(history.initial) == {"a": 1, "b": 2}
    by_name = {each.name: each for each in history.operations}
    assert [each.name for each in history.operations] == [
        *("len", "iterate", "iterate_part", "snapshot", "retain", "popitem", "clear")
    ]
    entries = by_name["iterate"].result
    assert [each[:2] for each in entries] == [("a", 1), ("b", 2)]
    ticks = [by_name["iterate"].called, *(tick for _, _, tick in entries), by_name["iterate"].returned]
    assert ticks == sorted(set(ticks))
    assert [each[:2] for each in by_name["iterate_part"].result] == [("a", 1)]
    assert by_name["snapshot"].result == (("a", 1), ("b", 2))
    assert by_name["retain"].callbacks == ((("a", 1), True), (("b", 2), False))
    assert by_name["popitem"].result == ("a", 1)


class InterruptingKey:
    """Whoever asks for its hash is interrupted."""

    def __hash__(self):
        raise KeyboardInterrupt


def test_an_exception_that_may_hit_in_the_middle_leaves_the_operation_pending():
    """An ordinary exception is an outcome; KeyboardInterrupt says nothing about what was done."""
    log = recorder()

    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.map.compute("k", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log.map.setdefault(InterruptingKey(), 1)
    with pytest.raises(ZeroDivisionError):
        log.map.compute("k", lambda _: 1 // 0)
    first, inserted, second = log.history().operations
    assert first.pending
    assert not first.callbacks
    assert inserted.pending
    assert second.result == Raised("ZeroDivisionError", ("integer division or modulo by zero",))
    assert second.callbacks == ((ABSENT, second.result),)


def test_an_operation_under_way_is_pending():
    """It is in the history from its call on."""
    log = recorder()
    log.map.compute("k", lambda _: len(log.history().operations))
    assert log.map["k"] == 1


def test_threads_are_numbered_and_handles_record_too():
    """Each thread has its own number, whichever view of the map it uses."""
    log = Recorder(open_map("swiss"))

    def work():
        with log.map.handle() as mine:
            mine["a"] = 1
        log.map["b"] = 2

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(PATIENCE)
    assert [(each.thread, each.key) for each in log.history().operations] == [
        (0, "a"),
        (0, "b"),
        (1, "a"),
        (1, "b"),
    ]
    log.map._check()


def test_a_scheduler_brings_its_own_clock_and_threads():
    """Ticks and names are what the two functions return."""
    log = Recorder(open_map("locked"), clock=itertools.count(100, 10).__next__, thread=lambda: "left")
    log.map["k"] = 1
    (only,) = log.history().operations
    assert (only.thread, only.called, only.returned) == ("left", 100, 110)


@pytest.mark.parametrize("clock", [counter, lambda: time.perf_counter_ns], ids=["counter", "perf_counter_ns"])
def test_ticks_of_threads_are_in_the_order_of_events(clock):
    """A thread that was told of another's tick gets a higher one; with the counter no two are equal."""
    tick = clock()
    rounds, told = 3000, ([-1], [-1])
    mine = ([], [])

    def work(me):
        for _ in range(rounds):
            before = told[1 - me][0]  # the other's tick was taken before it was written there
            now = tick()
            mine[me].append((before, now))
            told[me][0] = now

    with switching_often():
        in_threads(2, work)
    ticks = [now for each in mine for _, now in each]
    assert len(ticks) == 2 * rounds
    strict = clock is counter
    for each in mine:
        assert all(before < now or (before == now and not strict) for before, now in each)
        assert all(a[1] < b[1] or (a[1] == b[1] and not strict) for a, b in itertools.pairwise(each))
    assert not strict or sorted(ticks) == list(range(2 * rounds))


# ---- timelines --------------------------------------------------------------------------------------------


def test_a_timeline_shows_order_outcomes_and_what_never_returned():
    """A row for each thread; brackets in the order of ticks; what overlaps in one thread on two rows."""
    drawn = timeline(
        [
            operation("insert", 1, at=(10, 70), result=True),
            operation("get", None, at=(20, 30), thread=1, result=1),
            operation("getitem", at=(40, 50), thread=1, result=Raised("KeyError", ("k",))),
            operation("compute", at=(60, 90), thread="w", result=2, callbacks=((1, 2),)),
            operation("len", at=(65, 66), thread="w", key=ABSENT, result=1),
            operation("pop", at=(80, None), thread=1),
        ]
    )
    assert drawn.splitlines() == [
        "ticks     10            40                      60          80          90",
        "thread 0  [insert('k', 1): True----------------------------]",
        "thread 1   [get('k'): 1][getitem('k'): KeyError]            [pop('k')--->",
        "thread w                                        [compute('k', 1 -> 2): 2]",
        "thread w                                         [len(): 1]",
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(operations(), max_size=12), st.integers(60, 130))
def test_a_timeline_fits_and_is_complete(those, width):
    """No line is longer than allowed, and every operation begins somewhere."""
    those = [attrs.evolve(each, thread=index % 4, key="k") for index, each in enumerate(those)]
    drawn = timeline(those, width=width, with_keys=False)
    assert all(len(line) <= width for line in drawn.splitlines())
    whole = timeline(those, width=10**6, with_keys=False)
    for each in those:
        assert f"[{label(each, with_key=False)}" in whole
    assert whole.count("[") >= len(those)


def test_operations_of_a_thread_that_touch_are_on_two_rows():
    """At equal ticks one may have begun before the other was over."""
    drawn = timeline([operation("setitem", 1, at=(0, 5)), operation("setitem", 2, at=(5, 6))])
    assert drawn.splitlines()[1:] == ["thread 0  [setitem('k', 1)]", "thread 0   [setitem('k', 2)]"]


def test_a_marked_operation_stands_out():
    """Even where its line is no longer than its text."""
    wrong = operation("get", None, result=1)
    assert "[get('k'): 1#]" in timeline([wrong], marked=[wrong])
    assert "#" not in timeline([wrong])


def test_a_timeline_that_goes_on_below_is_not_cut_through_words():
    """Threads' names are there again, and the pieces together are the whole."""
    those = [operation("setitem", number, at=(number * 2, number * 2 + 1)) for number in range(20)]
    drawn = timeline(those, width=70)
    assert drawn.count("thread 0") == len(drawn.split("\n\n")) > 1
    for each in those:
        assert f"[{label(each)}]" in drawn


def test_a_long_text_is_shortened_in_the_middle():
    """What it begins and ends with says which operation it is and what came of it."""
    text = label(operation("setdefault", "x" * 200, result="x" * 200))
    assert len(text) <= 48
    assert text.startswith("setdefault('k', 'x")
    assert text.endswith("xx'")
