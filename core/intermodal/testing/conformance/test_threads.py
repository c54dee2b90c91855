"""Threads that use one map at once, and check every answer they get.

Bounded by counts, seeded, self-checking: each test states what must hold whatever the interleaving, in small maps
and small key spaces, so that threads meet all the time.
"""

from __future__ import annotations

import gc
import itertools
import random
import threading
from collections import Counter

import pytest

from intermodal import ABSENT
from intermodal.testing.keys import KINDS
from intermodal.testing.promises import promised
from intermodal.testing.subjects import scale
from intermodal.testing.threads import Together, in_threads, run_threads

THREADS = 3


# ---- every answer of a thread that has its keys to itself ----------------------------------------------


def test_threads_with_keys_of_their_own_see_a_dict_each(subject, kind):
    """Every return value is that of a dict, while the others make the map grow and shrink."""
    make = KINDS[kind]
    m = subject.shared()
    steps = scale(6000, 150)
    space = scale(300, 40) if kind != "colliding" else 40

    def work(index):
        generator = random.Random(f"own keys {index}")
        view, model = subject.view(m), {}
        for step in range(steps):
            name = index + THREADS * generator.randrange(space)
            key = make(name)
            choice = generator.randrange(8)
            if choice < 2:
                view[key] = model[name] = step
            elif choice == 2:
                assert view.pop(key, None) == model.pop(name, None)
            elif choice == 3:
                assert view.get(key) == model.get(name)
            elif choice == 4:
                assert view.insert(key, step) is (name not in model)
                model.setdefault(name, step)
            elif choice == 5:
                assert view.setdefault(key, step) == model.setdefault(name, step)
            elif choice == 6:
                old = model.get(name, ABSENT)
                new = ABSENT if step % 2 else step
                assert view.compare_and_set(key, old, new)
                model.pop(name, None)
                if new is not ABSENT:
                    model[name] = new
            else:
                assert (key in view) is (name in model)
            if step % (steps // 3) == steps // 3 - 1:
                for doomed in list(model):
                    assert view.pop(make(doomed)) == model.pop(doomed)
        return model

    models = in_threads(THREADS, work)
    expected = {make(name): value for model in models for name, value in model.items()}
    assert len(m) == len(expected)
    assert m == expected


# ---- one winner ----------------------------------------------------------------------------------------

RACES = {
    "insert": (lambda view, key, me: view.insert(key, me), False),
    "pop": (lambda view, key, _: view.pop(key, ABSENT_VALUE) is not ABSENT_VALUE, True),
    "setdefault": (lambda view, key, me: view.setdefault(key, me) is me, False),
    "get_or_insert_with": (lambda view, key, me: view.get_or_insert_with(key, lambda: me) is me, False),
    "compare_and_set": (lambda view, key, me: view.compare_and_set(key, "start", me), True),
    "compare_and_set from nothing": (lambda view, key, me: view.compare_and_set(key, ABSENT, me), False),
    "compare_and_set to nothing": (lambda view, key, _: view.compare_and_set(key, "start", ABSENT), True),
    "remove_if": (lambda view, key, _: view.remove_if(key, lambda _: True), True),
    "del": (lambda view, key, _: deleted(view, key), True),
}
ABSENT_VALUE = object()


def deleted(view, key):
    """Return whether the key was there to be deleted."""
    try:
        del view[key]
    except KeyError:
        return False
    return True


@pytest.mark.parametrize("race", RACES)
@pytest.mark.parametrize("keys_of", ["str", "own"])
def test_of_threads_that_race_for_a_key_one_wins(subject, race, keys_of):
    """Exactly one, for each of several keys, in hundreds of rounds."""
    compete, present = RACES[race]
    make = KINDS[keys_of]
    rounds, keys = scale(100, 8), 16
    m = subject.shared()
    together = Together(THREADS)

    def work(index):
        view = subject.view(m)
        order = random.Random(f"race {index}")
        wins = []
        for round_ in range(rounds):
            if index == 0 and present:
                for number in range(keys):
                    m[make((round_, number))] = "start"
            numbers = list(range(keys))
            order.shuffle(numbers)
            together.wait()
            wins += [
                (round_, number)
                for number in numbers
                if compete(view, make((round_, number)), ("value of", index, number))
            ]
            together.wait()
            if index == 0 and round_ % 2:
                view.clear()
        return wins

    won = Counter(itertools.chain.from_iterable(in_threads(THREADS, work)))
    assert won == dict.fromkeys(itertools.product(range(rounds), range(keys)), 1)


def test_what_threads_insert_is_what_the_losers_get(subject):
    """setdefault and get_or_insert_with give all the same object."""
    rounds = scale(500, 10)
    m = subject.shared()
    together = Together(THREADS)

    def work(index):
        view = subject.view(m)
        got = []
        for round_ in range(rounds):
            together.wait()
            mine = [index]
            if (round_ + index) % 2:
                got.append(view.setdefault(round_, mine))
            else:
                got.append(view.get_or_insert_with(round_, lambda mine=mine: mine))
        return got

    for answers in zip(*in_threads(THREADS, work), strict=True):
        assert len({id(answer) for answer in answers}) == 1


# ---- exact totals --------------------------------------------------------------------------------------


def add_one(old):
    """Count one more."""
    return 1 if old is ABSENT else old + 1


def add_by_exchange(view, key):
    """Count one more by hand."""
    while True:
        old = view.get(key, ABSENT)
        if view.compare_and_set(key, old, add_one(old)):
            return


def add_by_taking(view, key):
    """Count one more by taking the count out and putting a new one in."""
    if view.insert(key, 1):
        return
    while True:
        old = view.pop(key, 0)
        if view.insert(key, old + 1):
            return
        while True:
            present = view.get(key, ABSENT)
            if present is not ABSENT and view.compare_and_set(key, present, present + old + 1):
                return
            if present is ABSENT and view.insert(key, old + 1):
                return


WAYS = {
    "compute": lambda view, key: view.compute(key, add_one),
    "exchange": add_by_exchange,
    "taking": add_by_taking,
}


@pytest.mark.parametrize("way", WAYS)
def test_counters_are_exact(subject, kind, way):
    """No increment is lost and none counts twice, with other keys coming and going around them."""
    make, add = KINDS[kind], WAYS[way]
    m = subject.shared()
    steps, counters = scale(1500, 40), 4

    def work(index):
        view = subject.view(m)
        generator = random.Random(f"counters {index}")
        added = Counter()
        for step in range(steps):
            number = generator.randrange(counters)
            add(view, make(number))
            added[number] += 1
            noise = make(100 + index * 1000 + step % 60)
            view[noise] = 0
            if step % 2:
                view.pop(noise, None)
        return added

    totals = sum(in_threads(THREADS, work), Counter())
    assert {number: m[make(number)] for number in range(counters)} == totals


# ---- permanent keys ------------------------------------------------------------------------------------


def test_a_key_that_stays_is_always_found(subject, kind):
    """Whatever others insert, remove, resize around it: never a transient miss, never another's value."""
    make = KINDS[kind]
    permanent = {make(-number - 1): ("value of", -number - 1) for number in range(8)}
    m = subject.shared(permanent)
    stop = threading.Event()
    rounds = subject.effort(60, 6)

    def disturb():
        view = subject.view(m)
        for round_ in range(rounds):
            count = 30 if kind == "colliding" or round_ % 8 else 300
            for number in range(count):
                view[make(number)] = ("value of", number)
            for number in range(count):
                assert view.pop(make(number)) == ("value of", number)
        stop.set()

    def overwrite():
        view = subject.view(m)
        while not stop.is_set():
            for key, value in permanent.items():
                assert view.replace(key, (*value,)) == value

    def look():
        view = subject.view(m)
        looked = 0
        while not stop.is_set() or looked < 10:
            for key, value in permanent.items():
                assert view.get(key) == value
                assert view[key] == value
                assert key in view
                assert view.setdefault(key, None) == value
                assert view.insert(key, None) is False
                assert not view.compare_and_set(key, ABSENT, None)
                assert make(10_000) not in view
            looked += 1

    run_threads(disturb, look, overwrite)
    assert m == permanent


def test_a_value_that_is_read_belongs_to_its_key(subject, kind):
    """In a storm of inserts, overwrites, removals and clears of the same few keys."""
    make = KINDS[kind]
    m = subject.shared()
    steps, space = subject.effort(4000, 100), 24

    def work(index):
        view = subject.view(m)
        generator = random.Random(f"storm {index}")
        for step in range(steps):
            number = generator.randrange(space)
            key = make(number)
            choice = generator.randrange(10)
            found = None
            if choice < 3:
                view[key] = [number, step]
            elif choice < 5:
                found = view.pop(key, None)
            elif choice < 7:
                found = view.get(key)
            elif choice == 7:
                found = view.setdefault(key, [number, step])
            elif choice == 8:
                found = view.compute(key, lambda old, number=number: [number, 0] if old is ABSENT else old)
            elif step % 50 == 0:
                view.clear()
            assert found is None or found[0] == number
        return

    in_threads(THREADS, work)
    assert all(make(value[0]) == key for key, value in m.items())


def test_keys_that_take_turns_in_one_slot_are_not_taken_for_each_other(subject, kind):
    """One goes, the other comes into its place: a reader finds the value of the one it asked for, or none."""
    make = KINDS[kind]
    keys = [make(number) for number in (3, 6)]
    m = subject.shared()
    stop = threading.Event()
    rounds = subject.effort(4000, 200)

    def take_turns():
        view = subject.view(m)
        for round_ in range(rounds):
            for number, key in enumerate(keys):
                assert view.insert(key, (number, round_))
                assert view.pop(key) == (number, round_)
        stop.set()

    def look():
        view = subject.view(m)
        last = -1
        while not stop.is_set():
            for number, key in enumerate(keys):
                found = view.get(key, ABSENT)
                if found is not ABSENT:
                    assert found[0] == number
                    assert found[1] >= last
                    last = found[1]

    run_threads(take_turns, look, look)
    assert len(m) == 0


# ---- the whole map -------------------------------------------------------------------------------------


def test_len_is_exact_when_all_is_quiet(subject, kind):
    """After every kind of change by several threads at once; beside them it is never absurd."""
    make = KINDS[kind]
    m = subject.shared()
    together = Together(THREADS)
    rounds, space = scale(20, 3), 60

    def work(index):
        view = subject.view(m)
        generator = random.Random(f"len {index}")
        for _ in range(rounds):
            for _ in range(100):
                key = make(generator.randrange(space))
                if generator.random() < 0.5:
                    view[key] = 1
                else:
                    view.pop(key, None)
                assert 0 <= len(view) <= space + THREADS
            together.wait()
            assert len(view) == len(list(view)) == sum(make(number) in view for number in range(space))
            together.wait()

    in_threads(THREADS, work)


@promised(length="exact")
def test_an_exact_len_is_never_off_beside_writers(subject):
    """One thread replaces a key by another, so it is always n or n + 1."""
    m = subject.shared((number, number) for number in range(10))
    stop = threading.Event()

    def rotate():
        view = subject.view(m)
        for number in range(10, scale(3000, 100)):
            view[number] = number
            del view[number - 10]
        stop.set()

    def measure():
        while not stop.is_set():
            assert len(m) in (10, 11)

    run_threads(rotate, measure)


def test_clear_beside_inserts_leaves_a_whole_map(subject):
    """What was inserted before clear() began is gone, what comes after it ended is there."""
    m = subject.shared()
    rounds = scale(150, 6)
    together = Together(THREADS)

    def insert(index):
        view = subject.view(m)
        for round_ in range(rounds):
            together.wait()
            for number in range(40):
                view[index, round_, number] = round_
            together.wait()
            assert not any(owner == index and earlier < round_ for owner, earlier, _ in view)
            view[index, rounds, round_] = 1
            assert view.pop((index, rounds, round_)) == 1
            together.wait()

    def clear():
        view = subject.view(m)
        for _ in range(rounds):
            view.clear()
            together.wait()
            view.clear()
            together.wait()
            together.wait()

    run_threads(clear, *(lambda index=index: insert(index) for index in range(THREADS - 1)))


def test_popitem_gives_each_entry_to_one_thread(subject, kind):
    """All of them, beside look-ups; then the map is empty."""
    make = KINDS[kind]
    count = scale(1000, 60) if kind != "colliding" else 60
    m = subject.shared((make(number), number) for number in range(count))

    def take(_):
        view = subject.view(m)
        taken = []
        while True:
            try:
                key, value = view.popitem()
            except KeyError:
                return taken
            assert key == make(value)
            taken.append(value)

    taken = sorted(itertools.chain.from_iterable(in_threads(THREADS, take)))
    assert taken == list(range(count))
    assert len(m) == 0


def test_popitem_never_calls_a_map_empty_in_which_an_entry_stays(subject):
    """However often the entry's value is replaced meanwhile."""
    m = subject.shared()
    rounds = scale(200, 20)
    together = Together(2)

    def replace():
        view = subject.view(m)
        for _ in range(rounds):
            m["a"] = object()
            together.wait()
            for _ in range(100):
                try:
                    view.replace("a", object())
                except KeyError:
                    break
            together.wait()

    def pop():
        view = subject.view(m)
        for _ in range(rounds):
            together.wait()
            assert view.popitem()[0] == "a"
            together.wait()

    run_threads(replace, pop)
    assert len(m) == 0


def test_entries_put_in_by_some_are_taken_out_by_others_exactly_once(subject):
    """A bag of work: popitem on one side, insertions on the other, growing and shrinking all the time."""
    m = subject.shared()
    count = scale(3000, 100)
    producing = threading.Event()

    def produce():
        view = subject.view(m)
        for number in range(count):
            assert view.insert(number, -number)
        producing.set()

    def consume():
        view = subject.view(m)
        taken = []
        while True:
            last = producing.is_set()
            try:
                key, value = view.popitem()
            except KeyError:
                if last:
                    return taken
                continue
            assert key == -value
            taken.append(key)

    results = run_threads(produce, consume, consume)
    assert sorted(results[1] + results[2]) == list(range(count))
    assert len(m) == 0


def test_retain_beside_writers_removes_only_what_it_was_asked_about(subject):
    """A value changed after the predicate saw it stays."""
    m = subject.shared((number, [number, 0]) for number in range(40))
    stop = threading.Event()

    def overwrite():
        view = subject.view(m)
        for step in range(1, scale(100, 5)):
            for number in range(40):
                view[number] = [number, step]
        stop.set()

    def retain():
        view = subject.view(m)
        removed = []
        while not stop.is_set():

            def keep(key, value):
                assert value[0] == key
                return value[1] % 2 == 0

            removed.append(view.retain(keep))
        return removed

    run_threads(overwrite, retain)
    assert all(value[0] == key for key, value in m.items())


# ---- threads and handles that come and go --------------------------------------------------------------


def test_threads_come_and_go_by_the_thousand(subject):
    """One after the other and side by side, each with a view of its own, closed or dropped."""
    m = subject.shared()
    waves, width = scale(125, 10), 8

    def visit(wave, index):
        view = subject.view(m)
        for number in range(8):
            view[wave, index, number] = number
            assert view[wave, index, number] == number
        for number in range(6):
            del view[wave, index, number]
        if index % 2:
            view.close()

    for wave in range(waves):
        in_threads(width, lambda index, wave=wave: visit(wave, index))
    assert len(m) == waves * width * 2


def test_one_handle_used_by_all_threads_is_still_correct(subject):
    """By mistake, or left over from a thread that ended."""
    m = subject.shared()
    shared = subject.view(m)

    def work(index):
        for number in range(scale(1500, 60)):
            key = index, number % 50
            shared[key] = number
            assert shared[key] == number
            if number % 3 == 0:
                assert shared.pop(key) == number
                assert key not in shared
            shared.compute((-1, -1), add_one)

    in_threads(THREADS, work)
    assert shared[-1, -1] == THREADS * scale(1500, 60)


def test_a_map_dropped_by_one_thread_lives_as_long_as_others_hold_views(subject):
    """And then goes."""
    rounds = scale(100, 5)

    def use(view, index):
        for number in range(60):
            view[index, number] = number
        return sum(view[index, number] for number in range(60))

    for _ in range(rounds):
        m = subject.shared()
        views = [subject.view(m) for _ in range(THREADS)]
        del m
        users = [lambda view=view, index=index: use(view, index) for index, view in enumerate(views)]
        del views
        assert run_threads(*users) == [sum(range(60))] * THREADS
        del users
    gc.collect()


@promised(handles=True)
def test_closing_a_handle_under_a_thread_that_uses_it_gives_right_answers_or_a_clean_error(backend):
    """Until ValueError says that it is closed; never a crash, never what is in memory that was freed."""
    rounds = scale(300, 8)
    together = Together(2)
    box = []

    def use():
        for _ in range(rounds):
            m = backend.shared((number, str(number)) for number in range(30))
            box.append(m.handle())
            handle = box[0]
            del m
            together.wait()
            try:
                for step in range(scale(2000, 40)):
                    number = step % 30
                    assert handle[number] == str(number)
                    handle[number] = str(number)
            except ValueError as error:
                assert "closed" in str(error)  # noqa: PT017
            together.wait()
            box.clear()

    def close():
        for _ in range(rounds):
            together.wait()
            for _ in range(200):
                box[0].get(1)
            box[0].close()
            together.wait()

    run_threads(use, close)


# ---- order ---------------------------------------------------------------------------------------------


def test_a_register_is_never_seen_going_back(subject, kind):
    """One thread writes 1, 2, 3...; every reader sees them in that order, by every way of reading."""
    make = KINDS[kind]
    key = make(7)
    m = subject.shared([(key, 0)])
    stop = threading.Event()

    def write():
        view = subject.view(m)
        for number in range(1, scale(4000, 150)):
            if number % 3 == 0:
                view[key] = number
            elif number % 3 == 1:
                assert view.replace(key, number) == number - 1
            else:
                assert view.compare_and_set(key, number - 1, number)
            view[make(1000 + number % 200)] = None
            if number % 5 == 0:
                view.pop(make(1000 + number * 7 % 200), None)
        stop.set()

    def read():
        view = subject.view(m)
        last = 0
        while not stop.is_set():
            for seen in (view[key], view.get(key), view.setdefault(key, None), dict(view.items())[key]):
                assert seen >= last
                last = seen

    run_threads(write, read, read)


def test_what_one_key_says_about_another_is_true(subject):
    """A thread sets the data, then the flag; who sees the flag sees the data, in whatever homes they lie."""
    m = subject.shared(flag=0, data=0)
    rounds = scale(3000, 100)

    def write():
        view = subject.view(m)
        for number in range(1, rounds):
            view["data"] = number
            view["flag"] = number
            if number % 10 == 0:
                view[str(number)] = number

    def read():
        view = subject.view(m)
        while True:
            flag = view["flag"]
            assert view["data"] >= flag
            if flag == rounds - 1:
                return

    run_threads(write, read, read)


def test_two_threads_that_each_write_and_then_look_do_not_both_miss(subject):
    """Store buffering, which sequentially consistent registers forbid."""
    rounds = scale(1500, 40)
    m = subject.shared()
    together = Together(2)

    def work(mine, other):
        view = subject.view(m)
        missed = []
        for round_ in range(rounds):
            together.wait()
            view[mine, round_] = 1
            missed.append((other, round_) not in view)
        return missed

    left, right = run_threads(lambda: work("a", "b"), lambda: work("b", "a"))
    assert not any(map(all, zip(left, right, strict=True)))
