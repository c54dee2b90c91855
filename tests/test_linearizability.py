"""The linearizability checker: histories with known verdicts, agreement with a search of all orders, real maps."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from functools import partial

import attrs
import pytest
from helpers.histories import operation as any_operation
from hypothesis import example, given, settings
from hypothesis import strategies as st

import intermodal
from intermodal import ABSENT, open_map
from intermodal.testing.histories import PENDING, History, HistoryError, Operation, Raised
from intermodal.testing.linearizability import check_linearizable, check_model
from intermodal.testing.models import MapModel
from intermodal.testing.recording import Recorder
from intermodal.testing.sequential import SequentialMap
from intermodal.testing.shrinking import _Part
from intermodal.testing.threads import PATIENCE, in_threads, switching_often

NO_KEY = Raised("KeyError", ("k",))


operation = partial(any_operation, key="k")


def read(value, *at, **fields):
    return operation("get", ABSENT, at=at, result=value, **fields)


def write(value, *at, **fields):
    return operation("setitem", value, at=at, **fields)


def pop(value, *at, **fields):
    return operation("pop", at=at, result=value, **fields)


def insert(value, done, *at, **fields):
    return operation("insert", value, at=at, result=done, **fields)


def cas(expected, desired, done, *at):
    return operation("compare_and_set", expected, desired, at=at, result=done)


# ---- histories with known verdicts ------------------------------------------------------------------------

RIGHT = {
    "nothing": [],
    "one after the other": [write(1, 0, 1), read(1, 2, 3), pop(1, 4, 5), read(ABSENT, 6, 7)],
    "a read beside a write may see either": [write(1, 0, 9), read(ABSENT, 1, 2), read(1, 3, 4)],
    "two writes side by side, in either order": [write(1, 0, 5), write(2, 1, 6), read(1, 7, 8)],
    "order against the order of calls": [write(1, 0, 9), write(2, 1, 2), read(2, 3, 4), read(1, 5, 6)],
    "a register, every read beside the writes": [
        write(1, 0, 10),
        write(2, 0, 10),
        read(ABSENT, 1, 2),
        read(1, 3, 4),
        read(2, 5, 6),
    ],
    "ticks that touch": [write(1, 0, 5), read(ABSENT, 5, 6)],
    "one insert wins": [insert(1, True, 0, 5), insert(2, False, 1, 4), read(1, 6, 7)],
    "two inserts with a pop between": [insert(1, True, 0, 5), insert(2, True, 1, 6), pop(1, 2, 7)],
    "pops of a queue of one": [write(1, 0, 1), pop(1, 2, 5), pop(NO_KEY, 3, 4)],
    "a pending write that was done": [write(1, 0, None), read(ABSENT, 1, 2), read(1, 3, 4)],
    "a pending write that was not done": [write(1, 0, None), read(ABSENT, 1, 2), read(ABSENT, 3, 4)],
    "a pending insert between two pops": [
        *(insert(1, True, 0, 1), insert(2, PENDING, 2, None)),
        *(pop(1, 3, 4), pop(2, 5, 6)),
    ],
    "compare_and_set in a chain, called backwards": [
        cas(2, 3, True, 0, 9),
        cas(1, 2, True, 1, 9),
        cas(ABSENT, 1, True, 2, 9),
        read(3, 10, 11),
    ],
    "compare_and_set refused beside what refuses it": [write(1, 0, 4), cas(ABSENT, 2, False, 1, 3)],
    "compute that saw what was there": [
        operation("compute", at=(0, 9), result=1, callbacks=((ABSENT, 1),)),
        operation("compute", at=(1, 8), result=2, callbacks=((ABSENT, 1), (1, 2))),
    ],
    "a function that raised": [
        write(1, 0, 1),
        operation("compute", at=(2, 3), result=Raised("E"), callbacks=((1, Raised("E")),)),
        read(1, 4, 5),
    ],
    "factories of two threads": [
        operation("get_or_insert_with", at=(0, 5), result=1, callbacks=((ABSENT, 1),)),
        operation("get_or_insert_with", at=(1, 6), result=1, callbacks=((ABSENT, 2),)),
    ],
    "remove_if whose value went": [
        write(1, 0, 1),
        pop(1, 2, 5),
        operation("remove_if", at=(3, 6), result=False, callbacks=((1, True),)),
    ],
    "a default is not a value": [
        operation("get", 7, at=(0, 1), result=7),
        operation("pop", 7, at=(2, 3), result=7),
        operation("setdefault", 7, at=(4, 5), result=7),
        read(7, 6, 7),
    ],
    "an attempt to store ABSENT": [write(1, 0, 1), insert(ABSENT, Raised("ValueError"), 2, 3), read(1, 4, 5)],
    "clear beside an insert": [
        write(1, 0, 1),
        operation("clear", at=(2, 9), key=ABSENT),
        write(2, 3, 4),
        read(2, 10, 11),
    ],
    "popitem": [
        write(1, 0, 1),
        operation("popitem", at=(2, 3), key=ABSENT, result=("k", 1)),
        read(ABSENT, 4, 5),
    ],
    "retain": [
        write(1, 0, 1),
        operation("retain", at=(2, 3), key=ABSENT, result=1, callbacks=((("k", 1), False),)),
        read(ABSENT, 4, 5),
    ],
}

WRONG = {
    "a value from nowhere": [read(1, 0, 1)],
    "a value from the future": [read(1, 0, 1), write(1, 2, 3)],
    "a stale read": [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)],
    "a lost write": [write(1, 0, 1), read(ABSENT, 2, 3)],
    "a miss between two hits": [write(1, 0, 1), read(1, 2, 3), read(ABSENT, 4, 5), read(1, 6, 7)],
    "reads that go back": [write(1, 0, 9), read(1, 1, 2), read(ABSENT, 3, 4)],
    "two readers who disagree about the order": [
        *(write(1, 0, 4), write(2, 0, 4)),
        *(read(1, 5, 6), read(2, 7, 8)),
    ],
    "two inserts win": [insert(1, True, 0, 5), insert(2, True, 1, 4)],
    "no insert wins": [insert(1, False, 0, 5), insert(2, False, 1, 4)],
    "a value popped twice": [write(1, 0, 1), pop(1, 2, 5), pop(1, 3, 6)],
    "an insert after one that won": [insert(1, True, 0, 1), insert(2, True, 2, 3), pop(2, 4, 5)],
    "compare_and_set wins twice": [write(1, 0, 1), cas(1, 2, True, 2, 5), cas(1, 3, True, 3, 6)],
    "compare_and_set refused though it fits": [write(1, 0, 1), cas(1, 2, False, 2, 3)],
    "replace of nothing": [operation("replace", 2, at=(0, 1), result=1)],
    "replace refused": [write(1, 0, 1), operation("replace", 2, at=(2, 3), result=NO_KEY)],
    "del of nothing": [operation("delitem", at=(0, 1))],
    "another key's KeyError": [operation("delitem", at=(0, 1), result=Raised("KeyError", ("x",)))],
    "in, after del": [write(1, 0, 1), pop(1, 2, 3), operation("contains", at=(4, 5), result=True)],
    "an update lost by compute": [
        operation("compute", at=(0, 9), result=1, callbacks=((ABSENT, 1),)),
        operation("compute", at=(1, 8), result=1, callbacks=((ABSENT, 1),)),
    ],
    "compute returned what the function did not": [
        operation("compute", at=(0, 1), result=2, callbacks=((ABSENT, 1),))
    ],
    "an earlier call of a function saw what never was": [
        operation("compute", at=(0, 1), result=2, callbacks=((7, 1), (ABSENT, 2)))
    ],
    "a function that raised, and an effect": [
        operation("compute", at=(2, 3), result=Raised("E"), callbacks=((ABSENT, Raised("E")),)),
        read(1, 4, 5),
    ],
    "two factories win": [
        operation("get_or_insert_with", at=(0, 5), result=1, callbacks=((ABSENT, 1),)),
        operation("get_or_insert_with", at=(1, 6), result=2, callbacks=((ABSENT, 2),)),
    ],
    "remove_if without asking": [write(1, 0, 1), operation("remove_if", at=(2, 3), result=True)],
    "remove_if of another value": [
        write(1, 0, 1),
        operation("remove_if", at=(2, 3), result=True, callbacks=((2, True),)),
    ],
    "setdefault of two": [
        operation("setdefault", 1, at=(0, 5), result=1),
        operation("setdefault", 2, at=(1, 6), result=2),
    ],
    "a pending write seen, then not": [write(1, 0, None), read(1, 1, 2), read(ABSENT, 3, 4)],
    "a pending write seen before its call": [read(1, 0, 1), write(1, 2, None)],
    "a number for an answer": [insert(1, 1, 0, 1)],
    "a number for another answer": [operation("contains", at=(0, 1), result=0)],
    "an exception that no operation has": [read(Raised("RuntimeError"), 0, 1)],
    "get of ABSENT by another default": [operation("get", 7, at=(0, 1), result=ABSENT)],
    "clear that left something": [
        write(1, 0, 1),
        operation("clear", at=(2, 3), key=ABSENT),
        read(1, 4, 5),
    ],
    "popitem twice of one": [
        write(1, 0, 1),
        operation("popitem", at=(2, 5), key=ABSENT, result=("k", 1)),
        operation("popitem", at=(3, 4), key=ABSENT, result=("k", 1)),
    ],
    "retain saw what never was": [
        operation("retain", at=(2, 3), key=ABSENT, result=0, callbacks=((("k", 1), True),))
    ],
}


def verdicts(histories):
    return pytest.mark.parametrize("those", histories.values(), ids=histories.keys())


@verdicts(RIGHT)
def test_histories_that_can_be_are_let_through(those):
    """Each has an order, which its name describes."""
    verdict = check_linearizable(History(those))
    assert verdict
    verdict.require()
    assert str(verdict).startswith(f"linearizable: holds for {len(those)} operations")


@verdicts(WRONG)
def test_histories_that_cannot_be_are_refused(those):
    """Each has none; the report says so, and its timeline shows the operation that was refused."""
    verdict = check_linearizable(History(those))
    assert not verdict
    assert verdict.broken_keys == ("k",)
    assert "#]" in str(verdict)
    with pytest.raises(AssertionError, match="key 'k' is not linearizable"):
        verdict.require()


@verdicts(RIGHT | WRONG)
def test_json_changes_no_verdict(those):
    """A history that was written and read has the same verdict, word for word."""
    history = History(those)
    assert str(check_linearizable(History.from_json(history.to_json()))) == str(check_linearizable(history))


def test_the_beginning_counts():
    """What was in the map before the first operation is there to be read."""
    assert check_linearizable(History([read(1, 0, 1)], initial={"k": 1}))
    assert not check_linearizable(History([read(ABSENT, 0, 1)], initial={"k": 1}))
    assert not check_linearizable(History([read(1, 0, 1, key="other")], initial={"k": 1}))


def test_keys_are_independent():
    """A history is linearizable if each key's is; the verdict names those that are not, the first in time first."""
    those = [
        write(1, 0, 1, key="good"),
        read(1, 2, 3, key="good"),
        read(2, 8, 9, key="later"),
        read(2, 4, 5, key="first"),
    ]
    verdict = check_linearizable(History(those))
    assert set(verdict.broken_keys) == {"first", "later"}
    assert verdict.keys == 3
    assert verdict.violation.key == "first"


def test_what_the_checker_does_not_know_is_an_error():
    """Neither an unknown operation nor a value that cannot be compared by hash passes silently."""
    with pytest.raises(
        HistoryError, match="'fetch' is not an operation on one key; those are compare_and_set"
    ):
        check_linearizable(History([operation("fetch", at=(0, 1))]))
    with pytest.raises(HistoryError, match="'fetch' is not an operation on the whole map"):
        check_linearizable(History([operation("fetch", at=(0, 1), key=ABSENT)]))
    with pytest.raises(HistoryError, match="values of a history must be hashable"):
        check_linearizable(History([read([], 0, 1)]))
    with pytest.raises(HistoryError, match="wrong number of arguments"):
        check_linearizable(History([operation("compare_and_set", 1, at=(0, 1), result=True)]))


# ---- agreement with a search of all orders ----------------------------------------------------------------


def outcome(value, each):
    """Do *each* on a dict in which ``k`` has *value*; return (value after, result), as the contract has it.

    The function that it is given returns what was recorded, and None is returned if it saw something else.
    """
    data = {} if value is ABSENT else {"k": value}
    arguments = each.arguments
    saw, gave = each.callbacks[-1] if each.callbacks else (None, None)
    old = data.get("k", ABSENT)
    result = None
    if each.name == "get":
        result = data.get("k", *arguments)
    elif each.name == "contains":
        result = "k" in data
    elif each.name == "setitem":
        data["k"] = arguments[0]
    elif each.name in ("delitem", "pop") and not arguments and old is ABSENT:
        result = NO_KEY
    elif each.name == "delitem":
        del data["k"]
    elif each.name == "pop":
        result = data.pop("k", *arguments)
    elif each.name == "setdefault":
        result = data.setdefault("k", *arguments)
    elif each.name == "insert":
        result = old is ABSENT
        data.setdefault("k", *arguments)
    elif each.name == "replace":
        result = NO_KEY if old is ABSENT else old
        if old is not ABSENT:
            data["k"] = arguments[0]
    elif each.name == "compare_and_set":
        result = old == arguments[0]
        if result:
            data["k"] = arguments[1]
    elif each.name == "compute":
        if old != saw:
            return None
        data["k"] = result = gave
    elif each.name == "get_or_insert_with":
        if old is ABSENT and not each.callbacks:
            return None
        result = gave if old is ABSENT else old
        data["k"] = result
    elif each.name == "remove_if":
        if old is ABSENT:
            result = False
        elif old != saw:
            return None
        else:
            result = gave
            if gave:
                del data["k"]
    after = data.get("k", ABSENT)
    return after, result


def has_an_order(those):
    """Return whether *those* have a linearization: whether any permutation, with any of the pending ones, is right.

    A factory that was called says that there was no value at some moment of the operation.
    """
    asked = [
        read(ABSENT, each.called, each.returned)
        for each in those
        if each.name == "get_or_insert_with" and each.callbacks and not each.pending
    ]
    return any_order([*those, *asked], ABSENT)


def any_order(those, value):
    """Return whether *those* can follow one another in some order, from *value* on."""
    if not any(not each.pending for each in those):
        return True
    first_return = min(each.returned for each in those if not each.pending)
    for each in those:
        if each.called <= first_return:
            step = outcome(value, each)
            if step is not None and (each.pending or step[1] == each.result):
                rest = [other for other in those if other is not each]
                if any_order(rest, step[0]):
                    return True
    return False


@st.composite
def single(draw, numbers=(1, 2)):
    """Return an operation with some outcome, right or wrong, somewhere in a few ticks."""
    called = draw(st.integers(0, 8))
    some, any_value = st.sampled_from(numbers), st.sampled_from([*numbers, ABSENT])
    name = draw(
        st.sampled_from(
            [
                *("get", "get", "setitem", "setitem", "pop", "delitem", "contains", "insert", "setdefault"),
                *("replace", "compare_and_set", "compare_and_set", "compute", "get_or_insert_with"),
                "remove_if",
            ]
        )
    )
    arguments, callbacks = (), ()
    if name == "get":
        arguments, result = (draw(any_value),), draw(any_value)
    elif name in ("setitem", "delitem"):
        arguments = (draw(some),) if name == "setitem" else ()
        result = None if name == "setitem" else draw(st.sampled_from([None, NO_KEY]))
    elif name == "pop":
        arguments = draw(st.sampled_from([(), (numbers[0],)]))
        result = draw(some if arguments else some | st.just(NO_KEY))
    elif name in ("contains", "insert"):
        arguments = (draw(some),) if name == "insert" else ()
        result = draw(st.booleans())
    elif name in ("setdefault", "replace"):
        arguments, result = (draw(some),), draw(some | st.just(NO_KEY) if name == "replace" else some)
    elif name == "compare_and_set":
        arguments, result = (draw(any_value), draw(any_value)), draw(st.booleans())
    elif name == "compute":
        callbacks = ((draw(any_value), draw(any_value)),)
        result = callbacks[0][1]
    elif name == "get_or_insert_with":
        callbacks = ((ABSENT, draw(some)),) if draw(st.booleans()) else ()
        result = draw(some)
    else:
        callbacks = ((draw(some), draw(st.booleans())),)
        result = draw(st.booleans())
    pending = draw(st.integers(0, 7)) == 0
    return Operation(
        thread=0,
        name=name,
        key="k",
        arguments=arguments,
        called=called,
        returned=None if pending else called + draw(st.integers(0, 6)),
        result=PENDING if pending else result,
        callbacks=callbacks,
    )


@settings(max_examples=500, deadline=None)
@given(st.lists(single(), min_size=1, max_size=6))
@example([write(1, 0, 9), write(1, 1, 2), pop(1, 0, 4), pop(1, 5, 6)])
@example([write(2, 0, None), cas(2, 1, True, 1, 5), write(1, 2, 3), pop(1, 4, 6), pop(1, 4, 7)])
def test_the_verdict_is_that_of_trying_every_order(those):
    """On any small history; and the violation that is reported has no order by itself, either."""
    verdict = check_linearizable(History(those))
    assert bool(verdict) == has_an_order(those)
    if not verdict:
        assert check_linearizable(History(verdict.violation.operations)).violation is not None
        assert not has_an_order(list(verdict.violation.operations))


@settings(max_examples=150, deadline=None)
@given(st.lists(single(), min_size=1, max_size=6))
def test_the_whole_map_gives_the_same_verdict(those):
    """Of operations on one key the general search with the map's model says what the special one says.

    But for factories: that one was called says something about the key at another moment than its result.
    """
    those = [each for each in those if each.name != "get_or_insert_with"]
    assert bool(check_model(History(those), MapModel())) == bool(check_linearizable(History(those)))


# ---- histories made by doing operations at one instant each -----------------------------------------------


def simulated(generator, count, threads, numbers=None):
    """Return a linearizable history of *threads* overlapping one another, on one key.

    Args:
        generator: random numbers.
        count: of operations.
        threads: how many run side by side all the time.
        numbers: how many different values; None for as many as there are writes.
    """
    ends = [0] * threads
    instants = []
    for _ in range(count):
        thread = generator.randrange(threads)
        called = ends[thread] + generator.randint(1, 3)
        instant = called + generator.randint(1, 6)
        ends[thread] = instant + generator.randint(1, 6)
        instants.append((instant, generator.random(), thread, called, ends[thread]))
    names = ["get", "get", "get", "setitem", "setitem", "pop", "insert", "setdefault", "replace"]
    names += ["compare_and_set", "compute", "contains", "delitem", "get_or_insert_with", "remove_if"]
    value, made = ABSENT, []
    fresh = itertools.count() if numbers is None else iter(partial(generator.randrange, numbers), None)
    for _, _, thread, called, returned in sorted(instants):
        name, new = generator.choice(names), next(fresh)
        arguments, callbacks = (), ()
        if name == "get":
            arguments = (ABSENT,)
        elif name in ("setitem", "insert", "setdefault", "replace"):
            arguments = (new,)
        elif name == "compare_and_set":
            arguments = (generator.choice([value, ABSENT, new]), new)
        elif name == "compute" or (name == "get_or_insert_with" and value is ABSENT):
            callbacks = ((value, new),)
        elif name == "remove_if" and value is not ABSENT:
            callbacks = ((value, generator.random() < 0.5),)
        plan = Operation(
            thread=thread, name=name, key="k", arguments=arguments, called=called, callbacks=callbacks
        )
        value, result = outcome(value, plan)
        made.append(attrs.evolve(plan, returned=returned, result=result))
    return made


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from([None, 1, 2, 5]))
def test_operations_done_at_one_instant_each_are_linearizable(seed, threads, numbers):
    """Whatever the instants, the number of threads and of values; also if some never returned."""
    generator = random.Random(seed)
    those = simulated(generator, 120, threads, numbers)
    assert check_linearizable(History(those))
    last = {each.thread: index for index, each in enumerate(those)}
    for index in last.values():
        those[index] = attrs.evolve(those[index], returned=None, result=PENDING)
    assert check_linearizable(History(those))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4))
def test_a_corrupted_history_gets_the_verdict_of_trying_every_order(seed, threads):
    """One outcome changed at random is a violation exactly if no order explains it."""
    generator = random.Random(seed)
    those = simulated(generator, 8, threads, 2)
    index = generator.randrange(len(those))
    others = [*(each.result for each in those), 0, 1, ABSENT, NO_KEY, True, False, None]
    boolean = isinstance(those[index].result, bool)  # 1 is a value, and not an answer
    other = generator.choice([other for other in others if isinstance(other, bool) == boolean])
    those[index] = attrs.evolve(those[index], result=other)
    assert bool(check_linearizable(History(those))) == has_an_order(those)


# ---- the explanation --------------------------------------------------------------------------------------


def stale(generator, count, threads, numbers=None):
    """Return a long history in which one read, three quarters on, found what had been overwritten long ago."""
    those = simulated(generator, count, threads, numbers)
    late = next(index for index, each in enumerate(those) if index > count * 3 // 4 and each.name == "get")
    old = next(each.arguments[0] for each in those[count // 4 :] if each.name == "setitem")
    those[late] = attrs.evolve(those[late], result=old)
    return those


@pytest.mark.parametrize("threads", [2, 4, 8])
def test_a_violation_in_a_long_history_is_made_small(threads):
    """A stale read is told by a dozen operations at most, the writer of what was read among them."""
    those = stale(random.Random(1), 4000, threads)
    verdict = check_linearizable(History(those))
    violation = verdict.violation
    assert violation.refused.name == "get"
    shown = violation.operations
    assert 1 <= len(shown) <= 12
    assert f"setitem('k', {violation.refused.result})" in str(violation) or any(
        violation.refused.result in each.arguments for each in shown
    )
    assert not check_linearizable(History(shown))
    assert 2500 < violation.explained < 4000
    assert all(len(line) <= 110 for line in violation.text().splitlines()[3:])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from([None, 2, 4]))
def test_leaving_operations_out_makes_up_no_violation(seed, threads, numbers):
    """Whatever is left out of a linearizable history, with what the others need kept, the rest is linearizable."""
    generator = random.Random(seed)
    those = History(simulated(generator, 40, threads, numbers)).operations
    part = _Part(those, frozenset([ABSENT]))
    kept = part.closed(generator.sample(range(40), generator.randrange(1, 12)))
    assert part.search(kept) is None


def test_no_operation_of_a_small_violation_can_be_left_out():
    """It is minimal: without any one of them, and what depends on it, the others have an order."""
    for seed in range(20):
        generator = random.Random(seed)
        those = simulated(generator, 60, 3, 3)
        for index in range(30, 60):
            if those[index].name == "get":
                those[index] = attrs.evolve(those[index], result=generator.randrange(3))
        violation = check_linearizable(History(those)).violation
        if violation is None or any("had returned before leave" in note for note in violation.notes):
            continue
        shown = list(violation.operations)
        for each in shown:
            if each.name == "get" and each is not violation.refused:
                rest = [other for other in shown if other is not each]
                assert has_an_order(rest), f"{each} is not needed in\n{violation}"


def test_a_counter_of_thousands_is_cut():
    """Where a violation hangs on a chain from the beginning, the operations before it give way to the value they left."""
    those = [
        operation(
            "compute", at=(2 * number, 2 * number + 1), result=number, callbacks=((was, number),), thread=0
        )
        for number, was in enumerate([ABSENT, *range(2999)])
    ]
    lost = operation("compute", at=(4001, 4003), result=1999, callbacks=((1998, 1999),), thread=1)
    violation = check_linearizable(History([*those, lost])).violation
    assert len(violation.operations) <= 4
    assert any("had returned before leave" in note for note in violation.notes)
    assert violation.explained in (2000, 2001, 2002)


def test_a_writer_far_back_is_named():
    """If what was found was written before the cut, the report says by which operation."""
    chain = [
        operation("compute", at=(2 * n, 2 * n + 1), result=n, callbacks=((was, n),), thread=0)
        for n, was in enumerate([ABSENT, *range(1499)])
    ]
    verdict = check_linearizable(History([*chain, read(3, 3001, 3002, thread=1)]))
    assert "compute('k', 2 -> 3) by thread 0 at ticks 6 to 7" in str(verdict)


def test_the_report_reads_well():
    """The sentence, what is known of the beginning, and the drawing."""
    those = [
        write(1, 0, 1, thread=0),
        *(write(number, number * 10, number * 10 + 5, thread=number % 2) for number in range(2, 40)),
        read(1, 1000, 1010, thread=2),
    ]
    assert str(check_linearizable(History(those))).splitlines() == [
        "linearizable: does not hold for 40 operations on 1 key",
        "key 'k' is not linearizable: no order explains get('k', ABSENT) by thread 2 at ticks 1000 to 1010: 1",
        "Of the 40 operations on the key, 39 had returned by then; those can be explained.",
        "These 3 cannot be explained by themselves. At the beginning there was no value.",
        "",
        "ticks     0           390          1000      1010",
        "thread 0  [setitem(1)]",
        "thread 1              [setitem(39)]",
        "thread 2                           [get(): 1#]",
    ]


# ---- the whole map ----------------------------------------------------------------------------------------


def whole(name, result=None, *, at, **fields):
    return operation(name, at=at, key=ABSENT, result=result, **fields)


def test_len_between_two_writes_is_one_step_of_the_whole_map():
    """Each key alone is linearizable; the numbers are not."""
    writes = [write(1, 0, 1, key="a"), write(1, 2, 3, key="b")]
    wrong = History([*writes, whole("len", 1, at=(4, 5))])
    assert check_linearizable(wrong)
    verdict = check_model(wrong, MapModel())
    assert not verdict
    assert "no order of the operations explains len()" in str(verdict)
    assert check_model(History([*writes, whole("len", 2, at=(4, 5))]), MapModel())
    assert check_model(History([*writes, whole("len", 1, at=(2, 5))]), MapModel())


def test_a_snapshot_of_two_moments_is_refused():
    """b was written after a; who sees b sees a. A snapshot has no order of entries."""
    writes = [write(1, 0, 1, key="a"), write(1, 2, 3, key="b")]
    assert not check_model(History([*writes, whole("snapshot", (("b", 1),), at=(0, 9))]), MapModel())
    assert check_model(History([*writes, whole("snapshot", (("a", 1),), at=(0, 9))]), MapModel())
    assert check_model(History([*writes, whole("snapshot", (("b", 1), ("a", 1)), at=(0, 9))]), MapModel())


@pytest.mark.parametrize(
    ("step", "good"),
    [
        (whole("clear", at=(4, 5)), False),
        (whole("popitem", ("a", 1), at=(4, 5)), False),
        (whole("popitem", ("a", 2), at=(4, 5)), False),
        (whole("popitem", Raised("KeyError", ("popitem(): map is empty",)), at=(4, 5)), False),
        (whole("popitem", ("b", 1), at=(4, 5)), True),
        (whole("popitem", PENDING, at=(4, None)), True),
        (whole("clear", PENDING, at=(4, None)), True),
        (whole("iterate", (("a", 1, 5), ("b", 1, 5)), at=(4, 5)), True),
        (whole("iterate", (("a", 1, 5), ("a", 1, 5), ("b", 1, 5)), at=(4, 5)), False),
        (whole("iterate", (("a", 1, 5),), at=(4, 5)), False),
        (whole("iterate_part", (("a", 1, 5),), at=(4, 5)), True),
        (whole("retain", 1, at=(4, 5), callbacks=((("a", 1), True), (("b", 1), False))), True),
        (whole("retain", 0, at=(4, 5), callbacks=((("a", 1), True), (("b", 1), False))), False),
    ],
    ids=str,
)
def test_operations_of_the_whole_map_mean_what_they_do(step, good):
    """After a = b = 1 comes *step*, then a is read and is 1."""
    those = [write(1, 0, 1, key="a"), write(1, 2, 3, key="b"), step, read(1, 6, 7, key="a")]
    assert bool(check_model(History(those), MapModel())) is good


def test_the_model_is_a_parameter():
    """Anything with an initial state and the states after an operation: the classic queue."""

    class Queue:
        initial = ()

        def apply(self, state, each):
            if each.name == "put":
                return [(*state, *each.arguments)]
            if not state:
                return [state] if each.result is None else []
            return [state[1:]] if each.result == state[0] else []

    def put(value, *at):
        return operation("put", value, at=at, key=ABSENT)

    def take(value, *at):
        return operation("take", at=at, key=ABSENT, result=value)

    good = [put(1, 0, 3), put(2, 1, 2), take(2, 4, 5), take(1, 6, 7)]
    assert check_model(History(good), Queue())
    bad = [put(1, 0, 1), put(2, 2, 3), take(2, 4, 5), take(1, 6, 7)]
    assert not check_model(History(bad), Queue())
    assert not check_model(History([put(1, 0, 1), take(None, 2, 3)]), Queue())


# ---- real threads -----------------------------------------------------------------------------------------

EFFORT = 6000 if intermodal.__compiled__ else 240


def work(view, generator, me, keys, count):
    """Do *count* operations on *keys*, all those that concern one key, with values that tell who wrote them."""
    for number in range(count):
        key, value, choice = generator.choice(keys), (me, number), generator.randrange(14)
        try:
            if choice < 4:
                view.get(key, ABSENT)
            elif choice == 4:
                view[key] = value
            elif choice == 5:
                view.pop(key)
            elif choice == 6:
                view.insert(key, value)
            elif choice == 7:
                view.compute(key, lambda _, value=value: value)
            elif choice == 8:
                view.compare_and_set(key, view.get(key, ABSENT), generator.choice([value, ABSENT]))
            elif choice == 9:
                view.replace(key, value)
            elif choice == 10:
                view.setdefault(key, value)
            elif choice == 11:
                view.remove_if(key, lambda old: old[1] % 2)
            elif choice == 12:
                view.get_or_insert_with(key, lambda value=value: value)
            else:
                del view[key]
        except KeyError:
            pass


LINEARIZABLE = [
    spec.name
    for spec in intermodal.backends()
    if spec.capabilities is not None and not spec.capabilities.unmet({"points": "linearizable"})
]


@pytest.mark.parametrize("keys", [1, 3, 40])
@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("name", LINEARIZABLE)
def test_what_threads_do_to_real_maps_is_linearizable(name, threads, keys):
    """Every operation on one key, on a few keys all want and on many."""
    target = open_map(name)
    recorder = Recorder(target)

    def run(me):
        with recorder.map.handle() as mine:
            work(mine, random.Random(f"{me} {keys}"), me, range(keys), EFFORT // threads)

    with switching_often():
        in_threads(threads, run)
    history = recorder.history()
    assert len(history) >= EFFORT // threads * threads
    check_linearizable(history).require()
    target._check()


class HastyMap(SequentialMap):
    """Looks whether a key is there, and then inserts: another thread may come between."""

    def __init__(self, between):
        super().__init__()
        self._between = between

    def _compare_exchange(self, key, current, new):
        if self._data.get(key, ABSENT) is not current:
            return False
        self._between()
        if new is ABSENT:
            self._data.pop(key, None)
        else:
            self._data[key] = new
        return True


def test_a_map_that_checks_and_then_acts_is_caught():
    """Two threads meet between look and act, so both inserts win; the report shows the two."""
    meeting = threading.Barrier(2)
    recorder = Recorder(HastyMap(lambda: meeting.wait(PATIENCE)))
    in_threads(2, lambda me: recorder.map.insert("k", me))
    verdict = check_linearizable(recorder.history())
    assert not verdict
    assert [each.name for each in verdict.violation.operations] == ["insert", "insert"]
    assert str(verdict).count("insert(") == 3


def test_a_map_that_loses_updates_is_caught():
    """An increment that another thread's replaces: compute saw one value twice."""
    meeting = threading.Barrier(2)
    recorder = Recorder(HastyMap(lambda: meeting.wait(PATIENCE)))
    in_threads(2, lambda _: recorder.map.compute("k", lambda old: 1 if old is ABSENT else old + 1))
    assert not check_linearizable(recorder.history())


# ---- scale ------------------------------------------------------------------------------------------------


def large(count, keys, threads, numbers=None, *, broken=False):
    """Return a history of *count* operations, of so many threads on each of *keys*; one of them may be broken."""
    those = []
    for key in range(keys):
        make = stale if broken and key == 0 else simulated
        part = make(random.Random(key), count // keys, threads, numbers)
        missing = Raised("KeyError", (key,))
        those += [
            attrs.evolve(each, key=key, result=missing if each.result == NO_KEY else each.result)
            for each in part
        ]
    return History(those)


@pytest.mark.parametrize("broken", [False, True], ids=["right", "broken"])
def test_a_hundred_thousand_operations_are_verified(broken):
    """Of eight threads, each always in the middle of an operation, on four keys."""
    count = 100_000 if intermodal.__compiled__ else 20_000
    verdict = check_linearizable(large(count, 4, 8, broken=broken))
    assert verdict.operations == count
    assert verdict.broken_keys == ((0,) if broken else ())


def print_figures():
    """Print how long 100,000 operations take, as docs/testing-histories.md has it."""
    lines = [
        "| keys | threads | different values | linearizable | broken |",
        "| --- | --- | --- | --- | --- |",
    ]
    for keys, threads, numbers in ((1, 2, None), (1, 8, None), (1, 8, 3), (4, 8, None), (1000, 8, None)):
        cells = [f"{keys}", f"{threads}", f"{numbers or 'all'}"]
        for broken in (False, True):
            history = large(100_000, keys, threads, numbers, broken=broken)
            start = time.process_time()
            verdict = check_linearizable(history)
            cells.append(f"{time.process_time() - start:.1f}{' (not refused)' * (bool(verdict) is broken)}")
        lines.append(f"| {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    print_figures()
