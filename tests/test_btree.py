"""The B+ tree's own: order, neighbours, ranges, positions, encodings of keys; SortedDict beside it."""

from __future__ import annotations

import bisect
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedDict

import intermodal
from intermodal import open_map
from intermodal.testing.keys import Key
from intermodal.testing.subjects import scale
from intermodal.testing.threads import in_threads, run_threads
from intermodal_btree import BTreeMap
from intermodal_btree._state import BTreeState

#: How keys are made of numbers, in the numbers' order: each encoding, and changes between them.
ENCODINGS = {
    "int": lambda number: number - 150,
    "large int": lambda number: (number - 150) * 10**18,
    "int and float": lambda number: number if number % 3 else number + 0.5,
    "str": lambda number: f"key-{number:04d}",
    "long prefix": lambda number: "https://example.com/a/very/long/common/path/" + f"{number:04d}",
    "short": lambda number: "ab" * (number // 7) + "a" * (number % 7),
    "non-ASCII": lambda number: "é" + chr(0x7F + number * 3) + "Ω",
    "wide": lambda number: "name \U0001f600" + chr(0x10000 + number),
    "tuple": lambda number: (number // 10, str(number % 10)),
    "own": Key,
}


def of_width(most):
    """Return an empty map whose nodes have that many entries at most."""
    return BTreeMap(BTreeState(most))


@pytest.fixture(params=[4, 5, 62] if intermodal.__compiled__ else [4, 62], ids=lambda most: f"{most} a node")
def most(request):
    return request.param


def model_entry(keys, model, index):
    return (keys[index], model[keys[index]]) if 0 <= index < len(keys) else None


# ---- everything at once, beside a sorted list -----------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_all_that_depends_on_order_is_what_a_sorted_list_says(most, encoding):
    """Through insertions and removals in any order: neighbours, ranges, positions, ends."""
    make = ENCODINGS[encoding]
    generator = random.Random(f"{encoding} {most}")
    m, model = of_width(most), {}
    for step in range(scale(1500, 120)):
        key = make(generator.randrange(300))
        if generator.random() < (0.7 if step % 200 < 120 else 0.3):
            m[key] = model[key] = step
        else:
            assert m.pop(key, None) == model.pop(key, None)
        if step % 40 == 0:
            m._check()
            keys = sorted(model)
            one, other = make(generator.randrange(300)), make(generator.randrange(300))
            left, right = bisect.bisect_left(keys, one), bisect.bisect_right(keys, one)
            assert (m.bisect_left(one), m.bisect_right(one), m.bisect(one)) == (left, right, right)
            assert m.first() == model_entry(keys, model, 0)
            assert m.last() == model_entry(keys, model, len(keys) - 1)
            assert m.floor(one) == model_entry(keys, model, right - 1)
            assert m.lower(one) == model_entry(keys, model, left - 1)
            assert m.ceiling(one) == model_entry(keys, model, left)
            assert m.higher(one) == model_entry(keys, model, right)
            for low, high in ((one, other), (None, one), (one, None), (None, None)):
                expected = [
                    (key, model[key])
                    for key in keys
                    if (low is None or not key < low) and (high is None or key < high)
                ]
                assert list(m.range(low, high)) == expected
                assert list(m.range(low, high, reverse=True)) == expected[::-1]
            index = generator.randrange(-5, len(keys) + 5)
            if -len(keys) <= index < len(keys):
                assert m.peekitem(index) == (keys[index], model[keys[index]])
            assert list(reversed(m)) == keys[::-1]
            assert m.snapshot() == model
    assert list(m.items()) == sorted(model.items(), key=lambda entry: entry[0])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("order", ["ascending", "descending", "inside out"])
def test_keys_that_come_and_go_in_order_leave_a_good_tree(most, encoding, order):
    """Nodes are nearly full after insertions in order, and given back as entries go."""
    numbers = list(range(scale(280, 70)))
    if order == "descending":
        numbers.reverse()
    elif order == "inside out":
        numbers.sort(key=lambda number: abs(number - len(numbers) // 2))
    make = ENCODINGS[encoding]
    m = of_width(most)
    for number in numbers:
        m[make(number)] = number
    m._check()
    assert [value for _, value in m.items()] == sorted(numbers)
    depth = m.statistics().depth
    for number in numbers:
        assert m.pop(make(number)) == number
    m._check()
    assert len(m) == 0
    assert m.statistics().depth < max(depth, 2) + (order == "inside out")


@settings(deadline=None, max_examples=scale(150, 15))
@given(st.lists(st.one_of(st.text(max_size=12), st.text(alphabet="ab\0é\ud800", max_size=50))))
def test_any_strings_are_in_order(keys):
    """NUL, surrogates, common prefixes longer than a node can note."""
    m = of_width(4)
    for number, key in enumerate(keys):
        m[key] = number
    m._check()
    assert list(m) == sorted(set(keys))
    for key in set(keys):
        del m[key]
    assert len(m) == 0
    m._check()


@settings(deadline=None, max_examples=scale(150, 15))
@given(
    st.lists(
        st.one_of(st.integers(), st.integers(-(2**64), 2**64), st.booleans(), st.floats(allow_nan=False))
    )
)
def test_any_numbers_are_in_order(keys):
    """Of 64 bits and larger, equal ones of several types."""
    m, model = of_width(4), {}
    for number, key in enumerate(keys):
        m[key] = model[key] = number
    m._check()
    assert list(m.items()) == sorted(model.items())
    assert [m[key] for key in keys] == [model[key] for key in keys]


# ---- keys without an order ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", [None, 1j, object(), float("nan"), frozenset("a"), (1, None), (1, "a"), "b", [1]]
)
@pytest.mark.parametrize("count", [1, 3, 100])
def test_what_cannot_be_compared_raises_type_error_and_changes_nothing(key, count):
    """By every operation that changes something; None, sets and NaN have no place among numbers or tuples."""
    m = BTreeMap(
        (((number, number), number) if isinstance(key, tuple) else (number, number))
        for number in range(count)
    )
    if key == (1, "a") and count == 1:
        pytest.skip("(0, 0) and this one differ in what can be compared")
    before = list(m.items())
    for change in (
        lambda: m.__setitem__(key, 1),
        lambda: m.insert(key, 1),
        lambda: m.setdefault(key, 1),
        lambda: m.pop(key, None),
        lambda: m.compute(key, lambda old: 1),
        lambda: m.get(key),
    ):
        if count == 1 and isinstance(key, tuple):
            continue
        with pytest.raises(TypeError):
            change()
    assert list(m.items()) == before
    m._check()


@pytest.mark.parametrize("key", [None, 1j, object(), float("nan"), dict])
def test_the_first_key_must_be_one_that_others_can_be_compared_with(key):
    """An empty map refuses what would make it useless."""
    m = BTreeMap()
    with pytest.raises(TypeError):
        m[key] = 1
    assert len(m) == 0
    m[1] = 1
    m.clear()
    m["a"] = 1
    del m["a"]
    m[(1,)] = 2
    assert m == {(1,): 2}


def test_keys_that_are_equal_by_order_only_are_refused():
    """Two keys of which neither is less must be equal, or the map could not tell them apart."""

    class Rank:
        def __init__(self, rank):
            self.rank = rank

        def __lt__(self, other):
            return self.rank < other.rank

    m = BTreeMap({Rank(1): "a", Rank(3): "c"})
    with pytest.raises(TypeError, match="total order"):
        m[Rank(3)] = "d"
    assert len(m) == 2


# ---- ends -----------------------------------------------------------------------------------------------


def test_an_empty_map_has_no_ends(most):
    """Nothing is None; taking raises KeyError as popitem does, positions IndexError."""
    m = of_width(most)
    assert [m.first(), m.last(), m.floor(1), m.ceiling(1), m.lower(1), m.higher(1)] == [None] * 6
    for take in (m.pop_first, m.pop_last, m.popitem):
        with pytest.raises(KeyError):
            take()
    with pytest.raises(IndexError):
        m.peekitem()
    assert m.remove_range() == 0
    assert list(m.range(1, 2)) == list(m.islice()) == []


def test_both_ends_can_be_taken_until_nothing_is_left(most):
    """A queue with priorities, from either side."""
    m = of_width(most)
    m.update((number, str(number)) for number in range(100))
    for number in range(50):
        assert m.pop_first() == (number, str(number))
        assert m.pop_last() == (99 - number, str(99 - number))
        if number % 10 == 0:
            m._check()
    assert len(m) == 0


def test_threads_take_each_entry_once_and_in_order(most):
    """pop_first() is one step: what a thread takes is ascending, together they have all."""
    m = of_width(most)
    count = scale(3000, 120)
    m.update((number, -number) for number in range(count))

    def take(_):
        view, taken = m.handle(), []
        while True:
            try:
                key, value = view.pop_first()
            except KeyError:
                return taken
            assert value == -key
            taken.append(key)

    shares = in_threads(3, take)
    assert all(share == sorted(share) for share in shares)
    assert sorted(itertools.chain(*shares)) == list(range(count))
    m._check()


def test_upsert_says_what_was_there():
    """Or its default."""
    m = BTreeMap(a=1)
    assert (m.upsert("a", 2), m.upsert("b", 3), m.upsert("c", 4, 0)) == (1, None, 0)
    assert m == {"a": 2, "b": 3, "c": 4}


# ---- ranges ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_remove_range_removes_just_that(most, encoding):
    """Any part, and the rest is as it was."""
    make = ENCODINGS[encoding]
    count = scale(200, 60)
    ranges = [(0, count), (10, 50), (50, 10), (10, 11), (0, 30), (30, count)]
    for low, high in ranges[: scale(6, 3)]:
        m = of_width(most)
        m.update((make(number), number) for number in range(count))
        keys = [make(number) for number in range(count)]
        start, stop = keys[low], keys[high] if high < count else None
        assert m.remove_range(start, stop) == max(high - low, 0)
        m._check()
        assert list(m.values()) == [number for number in range(count) if not low <= number < high]


def test_a_scan_beside_writers_finds_what_stays_once_and_in_order(most):
    """Ascending and descending, while leaves around it are split and merged."""
    m = of_width(most)
    permanent = list(range(0, 600, 10))
    m.update((number, number) for number in permanent)
    rounds = scale(60, 1)
    left = [None] * rounds

    def disturb():
        view = m.handle()
        for round_ in range(rounds):
            for number in range(600):
                if number % 10:
                    view[number] = round_
            assert view.remove_range(1, 10) == 9
            for number in range(600):
                if number % 10:
                    view.pop(number, None)
            left.pop()

    def scan(reverse):
        view = m.handle()
        while left:
            keys = [key for key, _ in view.range(100, 501, reverse=reverse)]
            assert keys == sorted(set(keys), reverse=reverse)
            assert [key for key in keys if key % 10 == 0] == [key for key in permanent if 100 <= key <= 500][
                :: -1 if reverse else 1
            ]

    run_threads(disturb, lambda: scan(False), lambda: scan(True))
    assert list(m) == permanent
    m._check()


def test_the_first_and_the_last_are_those_of_one_moment(most):
    """A window that moves upwards, first insertion, then removal: never seen moving back, or empty."""
    m = of_width(most)
    m.update((number, number) for number in range(10))
    steps = scale(4000, 150)
    moving = [None]

    def move():
        view = m.handle()
        for number in range(10, steps):
            view[number] = number
            assert view.pop_first()[0] == number - 10
        moving.clear()

    def look():
        view, first, last = m.handle(), 0, 0
        while moving:
            seen = view.first()[0]
            assert seen >= first
            first = seen
            seen = view.last()[0]
            assert seen >= last
            last = seen
            assert view.floor(10**9)[0] >= last

    run_threads(move, look, look)


# ---- snapshots ------------------------------------------------------------------------------------------


def test_a_snapshot_is_of_one_moment(most):
    """Two entries far apart that are changed one after the other: never the second without the first."""
    m = of_width(most)
    m.update((number, 0) for number in range(200))
    rounds = scale(3000, 60)
    writing = [None]

    def write():
        view = m.handle()
        for round_ in range(1, rounds):
            view[190] = round_
            view[5] = round_
            view[1000 + round_ % 50] = round_
            view.pop(1000 + (round_ * 7) % 50, None)
        writing.clear()

    def look():
        view = m.handle()
        while writing:
            snapshot = view.snapshot()
            assert snapshot[190] - 1 <= snapshot[5] <= snapshot[190]
            assert list(snapshot) == sorted(snapshot)

    run_threads(write, look)
    with pytest.raises(TypeError):
        m.snapshot()[1] = 2


# ---- memory ---------------------------------------------------------------------------------------------


def test_nodes_are_used_again(most):
    """A map whose entries come and go takes no more memory after the first rounds."""
    m = of_width(most)
    sizes, count = [], scale(300, 70)
    for round_ in range(6):
        m.update((number, round_) for number in range(count))
        if round_ % 2:
            m.clear()
        else:
            for number in range(count):
                del m[number]
        m._check()
        sizes.append(m.statistics().memory_bytes)
    assert sizes[2:] == sizes[2:3] * 4


def test_statistics_say_how_deep_the_tree_is():
    """And repr names what there is."""
    m = of_width(4)
    depths = []
    for number in range(100):
        m[number] = number
        depths.append(m.statistics().depth)
    assert depths == sorted(depths)
    assert depths[0] == 1
    assert 3 <= depths[-1] <= 5
    assert m.statistics().entries == 100


# ---- SortedDict -----------------------------------------------------------------------------------------


def sorted_dicts(encoding, count):
    """Return a map and a SortedDict with the same entries."""
    make = ENCODINGS[encoding]
    numbers = list(range(count))
    random.Random(encoding).shuffle(numbers)
    entries = [(make(number), number) for number in numbers]
    m = of_width(5)
    m.update(entries)
    return m, SortedDict(entries), make


def same(operation, m, other):
    """Verify that both return, or raise, the same; generators and views count by what they yield."""
    answers = []
    for each in (m, other):
        try:
            answer = operation(each)
        except (KeyError, IndexError, ValueError) as error:
            answers.append(type(error))
        else:
            answers.append(
                list(answer) if hasattr(answer, "__iter__") and not isinstance(answer, str) else answer
            )
    assert answers[0] == answers[1]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("count", [0, 1, 40])
def test_what_users_of_sorted_dict_call_does_the_same(encoding, count):
    """Names, arguments, results and exceptions."""
    m, other, make = sorted_dicts(encoding, count)
    places = [0, 1, 7, 39, 40, 100]
    for index in [*places, -1, -2, -40, -41]:
        same(lambda each: each.peekitem(index), m, other)
        same(lambda each: each.keys()[index], m, other)
        same(lambda each: each.values()[index], m, other)
        same(lambda each: each.items()[index], m, other)
    for part in (
        slice(None),
        slice(3, 9),
        slice(-5, None),
        slice(None, None, -1),
        slice(30, 2, -3),
        slice(1, 1),
    ):
        for view in ("keys", "values", "items"):
            same(lambda each: getattr(each, view)()[part], m, other)
    for number in places:
        key = make(number)
        same(lambda each: each.bisect_left(key), m, other)
        same(lambda each: each.bisect_right(key), m, other)
        same(lambda each: each.bisect(key), m, other)
        same(lambda each: each.index(key), m, other)
        same(lambda each: each.index(key, 2, 30), m, other)
        same(lambda each: each.keys().index(key), m, other)
        same(lambda each: each.values().index(number), m, other)
        same(lambda each: each.items().index((key, number), 1), m, other)
        same(lambda each: each.keys().count(key), m, other)
        for value in (number, "none", (key, number), (key, -1)):
            same(lambda each: each.values().count(value), m, other)
            same(lambda each: each.items().count(value), m, other)
        for inclusive in itertools.product([True, False], repeat=2):
            for reverse in (False, True):
                same(lambda each: each.irange(key, make(20), inclusive, reverse), m, other)
                same(lambda each: each.irange(maximum=key, inclusive=inclusive, reverse=reverse), m, other)
    for start, stop, reverse in itertools.product([None, 0, 3, -4], [None, 1, 20, -2], [False, True]):
        same(lambda each: each.islice(start, stop, reverse), m, other)
    same(reversed, m, other)
    same(lambda each: reversed(each.items()), m, other)
    for index in (-1, 0, 5, 5, -3, 100, -1):
        same(lambda each: each.popitem(index), m, other)
        same(lambda each: each.items(), m, other)
    for part in (2, -1, 100, slice(4, 9), slice(20, 3, -4)):
        same(lambda each: each.keys().__delitem__(part), m, other)
        same(lambda each: each.items(), m, other)
    for key in (make(3), make(7)):
        same(lambda each: each.setdefault(key, "new"), m, other)
        same(lambda each: each.pop(key), m, other)
        same(lambda each: each.pop(key), m, other)
        same(lambda each: each.pop(key, None), m, other)
        same(lambda each: each.setdefault(key), m, other)
    same(lambda each: each.items(), m, other)
    m._check()


def test_the_default_backend_of_ordered_maps_is_this_one():
    """open_map(ordered=True)."""
    assert type(open_map(ordered=True)) is BTreeMap
    assert intermodal.open_map("btree", snapshot=True) == {}
