"""Typed maps: the contract with ints and floats, arrays, growth, threads."""

from __future__ import annotations

import contextlib
import copy
import gc
import math
import pickle
import random
import signal
import struct
import threading
from array import array

import pytest
from helpers.coded import coded
from helpers.resizing import settle
from hypothesis import given, settings
from hypothesis import strategies as st

import intermodal
from intermodal import ABSENT, OptionError, _batches, float64, int64, open_map, open_reclaimer, tables, words
from intermodal.testing import forks
from intermodal.testing.conformance import conformance_suite
from intermodal.testing.subjects import scale
from intermodal.testing.threads import Together, in_threads, run_threads

try:
    import numpy  # noqa: ICN001
except ImportError:
    numpy = None

BACKENDS = ["swiss", "hopscotch", "chained"]
#: What an entry takes at most in a map that was filled from arrays.
ENTRY_BYTES = {"swiss": 26, "hopscotch": 26, "chained": 40}
LOWEST, HIGHEST = -(2**63), 2**63 - 1
EXTREMES = [0, 1, -1, -113, 2**31, 2**62, 2**62 - 1, -(2**62), -(2**62) - 1, HIGHEST, LOWEST]

each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_kind = pytest.mark.parametrize("kind", ["int64", "float64", "none"])


def typed(backend="swiss", kind="int64", **options):
    return open_map(backend, key_type="int64", value_type=kind, **options)


def value_of(kind, number):
    """Return some value of that kind."""
    return {"int64": number, "float64": number / 8, "none": None}[kind]


def values_array(kind, numbers):
    """Return the values of *numbers* as an array; None where there are none."""
    return (
        None if kind == "none" else array("qd"[kind == "float64"], [value_of(kind, each) for each in numbers])
    )


# ---- the conformance kit: its threads meet in typed maps ---------------------------------------------------

for _name in BACKENDS:
    _suite = conformance_suite(coded(_name))
    for _concept in ("Threads", "Linearizability", "Iteration"):
        _title = f"Test{_concept}Of{_name.title()}Words"
        globals()[_title] = type(_title, (getattr(_suite, f"Test{_concept}"),), {})


# ---- opening -----------------------------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize(
    ("key_type", "value_type"),
    [(int64, int64), ("int64", float64), (int64, None), ("int64", "none")],
)
def test_types_are_given_as_markers_or_by_name(backend, key_type, value_type):
    """None means: keys only."""
    m = open_map(backend, key_type=key_type, value_type=value_type)
    assert m == {}
    assert len(m) == 0
    assert repr(m) == "{}"


@each_backend
@pytest.mark.parametrize(
    ("key_type", "value_type"), [("object", "int64"), ("object", "none"), ("int64", "object")]
)
def test_a_combination_that_is_not_there_says_which_are(backend, key_type, value_type):
    """Objects for both, or words for both."""
    with pytest.raises(OptionError, match="both are 'object', or keys are 'int64' and values"):
        open_map(backend, key_type=key_type, value_type=value_type)


def test_a_fixed_number_of_buckets_is_for_objects():
    """A typed map of chains grows and shrinks."""
    with pytest.raises(OptionError, match="fixed=True is for maps of objects"):
        open_map("chained", key_type="int64", value_type="none", fixed=True)
    assert open_map("chained", key_type="int64", value_type="none", fixed=False) == {}


def test_a_map_is_found_by_its_types():
    """Without a name."""
    assert type(open_map(key_type=int64, value_type=int64)).__name__ == "SwissIntegers"


# ---- one key -----------------------------------------------------------------------------------------------


@each_backend
@each_kind
def test_every_key_of_64_bits_can_be_stored(backend, kind):
    """And is found, replaced and removed by every operation."""
    m = typed(backend, kind)
    for number, key in enumerate(EXTREMES):
        value, other = value_of(kind, number), value_of(kind, number + 1)
        assert key not in m
        assert m.get(key, ABSENT) is ABSENT
        with pytest.raises(KeyError) as error:
            m[key]
        assert error.value.args == (key,)
        m[key] = value
        assert m[key] == value
        assert type(m[key]) is type(value)
        assert m.get(key, ABSENT) == value
        assert key in m
        assert m.insert(key, other) is False
        assert m.setdefault(key, other) == value
        assert m.replace(key, other) == value
        assert m.pop(key) == other
        assert m.insert(key, other) is True
        del m[key]
        assert m.pop(key, None) is None
        with pytest.raises(KeyError):
            del m[key]
        with pytest.raises(KeyError):
            m.replace(key, value)
        assert m.setdefault(key, value) == value
    assert dict(m) == {key: value_of(kind, number) for number, key in enumerate(EXTREMES)}
    m._check()


@each_backend
@pytest.mark.parametrize("value", EXTREMES)
def test_every_integer_of_64_bits_is_a_value(backend, value):
    """Those that mypyc uses as marks included."""
    m = typed(backend)
    m[7] = value
    assert m[7] == m.get(7) == m.pop(7) == value
    assert m.setdefault(7, value) == value
    assert m.compare_and_set(7, value, ABSENT)


@each_backend
@pytest.mark.parametrize("value", [0.0, -0.0, -113.0, 5e-324, math.inf, -math.inf, math.nan])
def test_every_float_is_a_value(backend, value):
    """With its bits; a NaN too, which equals nothing, and is found by compute."""
    m = typed(backend, "float64")
    m[7] = value
    assert struct.pack("d", m[7]) == struct.pack("d", value)
    assert m.compute(7, lambda old: old) is not ABSENT
    assert m.remove_if(7, lambda old: True)


@each_backend
@pytest.mark.parametrize("key", ["a", None, 1.0, 1.5, (1,), b"1", 2**63, -(2**63) - 1, 2**100, -(2**100)])
@each_kind
def test_a_key_that_cannot_be_there_is_not_there(backend, kind, key):
    """For whoever looks for it or takes it away, as for any missing key."""
    m = typed(backend, kind)
    m[1] = value = value_of(kind, 1)
    assert key not in m
    assert m.get(key, "nothing") == "nothing"
    assert m.pop(key, "nothing") == "nothing"
    for missing in (m.__getitem__, m.__delitem__, m.pop, lambda key: m.replace(key, value)):
        with pytest.raises(KeyError) as error:
            missing(key)
        assert error.value.args[0] is key
    assert m.compare_and_set(key, value, value) is False
    assert m.compare_and_set(key, ABSENT, ABSENT) is True
    assert m.remove_if(key, lambda _: True) is False
    assert m.compute(key, lambda old: old) is ABSENT
    assert m.get_many([key, 1], 0) == [0, value]
    assert m.contains_many([key, 1]) == [False, True]
    assert m == {1: value}


WRITES = [
    lambda m, key, value: m.__setitem__(key, value),
    lambda m, key, value: m.insert(key, value),
    lambda m, key, value: m.setdefault(key, value),
    lambda m, key, value: m.compute(key, lambda _: value),
    lambda m, key, value: m.compare_and_set(key, ABSENT, value),
    lambda m, key, value: m.get_or_insert_with(key, lambda: value),
    lambda m, key, value: m.update({key: value}),
    lambda m, key, value: m.set_many([key], [value]),
    lambda m, key, value: m.insert_many([key], [value]),
    lambda m, key, value: m | {key: value},
]


@each_backend
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("a", TypeError, "the keys of this map are ints; got str"),
        (1.0, TypeError, "the keys of this map are ints; got float"),
        ([], TypeError, "unhashable"),
        (2**63, OverflowError, "a key of this map is from .* got 9223372036854775808"),
        (-(2**63) - 1, OverflowError, "a key of this map is from"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(backend, write, key, error, message):
    """By every operation that would store it; the map is unchanged."""
    m = typed(backend)
    m[1] = 1
    with pytest.raises(error, match=message):
        write(m, key, 1)
    assert m == {1: 1}


@each_backend
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("kind", "value", "error", "message"),
    [
        ("int64", "a", TypeError, "the values of this map are ints; got str"),
        ("int64", 1.0, TypeError, "the values of this map are ints; got float"),
        ("int64", None, TypeError, "the values of this map are ints; got NoneType"),
        ("int64", 2**63, OverflowError, "a value of this map is from .* got 9223372036854775808"),
        ("float64", "1.0", TypeError, "the values of this map are floats; got str"),
        ("float64", None, TypeError, "the values of this map are floats; got NoneType"),
        ("float64", 10**400, OverflowError, "too large"),
        ("none", 0, TypeError, "this map has no values"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(backend, write, kind, value, error, message):
    """By every operation that would store it; the map is unchanged."""
    m = typed(backend, kind)
    m[1] = value_of(kind, 1)
    with pytest.raises(error, match=message):
        write(m, 2, value)
    assert m == {1: value_of(kind, 1)}


@each_backend
def test_absent_is_no_value(backend):
    """As in every map."""
    for kind in ("int64", "float64", "none"):
        m = typed(backend, kind)
        for write in (m.__setitem__, m.insert, m.setdefault):
            with pytest.raises(ValueError, match="ABSENT stands for"):
                write(1, ABSENT)
        assert m == {}


class Index:
    """An integer of a class of its own."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        if self.number is None:
            raise ZeroDivisionError
        return self.number


@each_backend
def test_whatever_has_an_index_is_an_integer(backend):
    """True is 1, as ever; what its __index__ raises comes out."""
    m = typed(backend)
    m[Index(3)] = Index(4)
    m[True] = False
    assert m == {3: 4, 1: 0}
    assert [type(each) for each in (*m, *m.values())] == [int] * 4
    assert m[Index(3)] == 4
    for call in (m.get, m.__contains__, m.pop, lambda key: m.__setitem__(key, 1), m.get_many):
        with pytest.raises((ZeroDivisionError, TypeError)):
            call(Index(None))
    assert m == {3: 4, 1: 0}


@each_backend
def test_numpys_scalars_are_numbers(backend):
    """As keys, values and amounts."""
    if numpy is None:
        pytest.skip("numpy is not installed")
    m = typed(backend)
    m[numpy.int64(5)] = numpy.uint8(7)
    assert m[numpy.int32(5)] == m[5] == 7
    assert m.increment(numpy.int64(5), numpy.int64(1)) == 8
    m.add_many(array("q", [5, 6]), numpy.int64(2))
    assert m == {5: 10, 6: 2}
    floats = typed(backend, "float64")
    floats[1] = numpy.float32(0.5)
    floats[2] = 3
    assert floats == {1: 0.5, 2: 3.0}


@each_backend
def test_compare_and_set_compares_values(backend):
    """By ==, an int with a float too; an unequal one changes nothing."""
    m = typed(backend)
    m[1] = 5
    assert not m.compare_and_set(1, 4, 6)
    assert m.compare_and_set(1, 5.0, 6)
    assert m.compare_and_set(1, 6, ABSENT)
    assert not m.compare_and_set(1, 6, 7)
    assert m.compare_and_set(1, ABSENT, 7)
    assert m == {1: 7}


@each_backend
def test_increment_adds(backend):
    """To 0 where there is nothing; it returns the sum."""
    m = typed(backend)
    assert [m.increment(5), m.increment(5, 10), m.increment(6, -3)] == [1, 11, -3]
    assert m == {5: 11, 6: -3}
    floats = typed(backend, "float64")
    assert [floats.increment(5), floats.increment(5, 0.25), floats.increment(5, 1)] == [1.0, 1.25, 2.25]
    assert floats == {5: 2.25}


@each_backend
@pytest.mark.parametrize(("value", "amount"), [(HIGHEST, 1), (LOWEST, -1), (2**62, 2**62), (LOWEST, LOWEST)])
def test_a_sum_that_does_not_fit_is_refused(backend, value, amount):
    """And nothing has changed; by arrays too, where the keys before it are done."""
    m = typed(backend)
    m[5] = value
    with pytest.raises(OverflowError, match="do not fit into 64 bits"):
        m.increment(5, amount)
    assert m == {5: value}
    with pytest.raises(OverflowError, match="the sum for key 5 does not fit"):
        m.add_many(array("q", [4, 5, 6]), amount)
    assert m == {5: value, 4: amount}
    m._check()


@each_backend
def test_a_map_without_values_has_nothing_to_add_to(backend):
    """Nor to get."""
    m = typed(backend, "none")
    m[1] = None
    assert (m[1], m.get(1), m.get(2), m.get(2, 0)) == (None, None, None, 0)
    for call in (lambda: m.increment(1), lambda: m.add_many([1]), lambda: m.add_many(array("q", [1]))):
        with pytest.raises(TypeError, match="no values to add to"):
            call()
    with pytest.raises(TypeError, match="contains_many"):
        m.get_many(array("q", [1]))
    assert list(m.items()) == [(1, None)]


@each_backend
@each_kind
def test_a_long_random_walk_agrees_with_dict(backend, kind):
    """Through growing and shrinking, on the map and by a handle, one key at a time and in arrays."""
    generator = random.Random(f"walk {kind}")
    m, model = typed(backend, kind), {}
    view = m.handle()
    for step in range(scale(300, 60)):
        count = generator.choice([1, 3, 40, 300])
        keys = [generator.randrange(-1000, 1000) << generator.choice([0, 40]) for _ in range(count)]
        keys_array, numbers = array("q", keys), [generator.randrange(1000) for _ in keys]
        some = generator.choice([m, view])
        choice = generator.randrange(7 if kind == "none" else 9)
        if choice == 0:
            for key, number in zip(keys, numbers, strict=True):
                some[key] = model[key] = value_of(kind, number)
        elif choice in (1, 2):
            some.set_many(keys_array, values_array(kind, numbers))
            model.update((key, value_of(kind, each)) for key, each in zip(keys, numbers, strict=True))
        elif choice == 3:
            fresh = some.insert_many(keys_array, values_array(kind, numbers))
            for key, number, new in zip(keys, numbers, fresh, strict=True):
                assert new == (key not in model)
                model.setdefault(key, value_of(kind, number))
        elif choice == 4:
            for key in keys:
                assert some.pop(key, "none") == model.pop(key, "none")
        elif choice == 5:
            popped = some.pop_many(keys_array, default=None if kind == "none" else 3)
            for key, value in zip(keys, popped, strict=True):
                assert value == (key in model if kind == "none" else model.get(key, 3))
                model.pop(key, None)
        elif choice == 6 and step % 50 == 6:
            some.clear()
            model.clear()
        elif choice == 7:
            some.add_many(keys_array, values_array(kind, numbers))
            for key, number in zip(keys, numbers, strict=True):
                model[key] = model.get(key, 0) + value_of(kind, number)
        assert some.contains_many(keys_array) == bytearray(key in model for key in keys)
        if kind != "none":
            assert list(some.get_many(keys_array, 9)) == [model.get(key, 9) for key in keys]
        assert len(m) == len(model)
    assert m == model
    assert sorted(m.items_arrays()[0]) == sorted(model)
    m._check()
    settle(m)
    m._check()


@each_backend
@each_kind
def test_copies_pickles_and_unions_are_of_the_same_type(backend, kind):
    """Also of a handle, but for pickles; entries are those of iteration."""
    m = typed(backend, kind)
    m.update((number, value_of(kind, number)) for number in range(100))
    for other in (m.copy(), copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m)), m.handle().copy()):
        assert other == m
        other[1000] = value_of(kind, 1)
        with pytest.raises(TypeError):
            other["a"] = value_of(kind, 1)
        assert 1000 not in m
    more = {7: value_of(kind, 9), 2000: value_of(kind, 1)}
    assert (m | more) == dict(m) | more
    assert (more | m) == more | dict(m)
    with pytest.raises(TypeError, match="pickle or copy the map"):
        pickle.dumps(m.handle())


@each_backend
def test_a_closed_handle_refuses_every_use(backend):
    """And one that is left open keeps the map."""
    m = typed(backend)
    m[1] = 1
    handle = m.handle()
    with m.handle() as other:
        del m
        assert other[1] == handle[1] == 1
    for use in (
        lambda: other[1],
        lambda: other.get(1),
        lambda: other.__setitem__(1, 1),
        lambda: other.increment(1),
        lambda: other.get_many(array("q", [1])),
        lambda: other.set_many(array("q", [1]), array("q", [1])),
        other.items_arrays,
        lambda: len(other),
        other.copy,
    ):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert handle == {1: 1}


@each_backend
def test_a_map_that_was_not_initialized_says_so(backend):
    """As every map here."""
    kind = type(typed(backend))
    blank = kind.__new__(kind)
    for use in (lambda: blank[1], lambda: blank.increment(1), lambda: blank.get_many(array("q", [1]), 0)):
        with pytest.raises(ValueError, match="has not been called"):
            use()


# ---- arrays ------------------------------------------------------------------------------------------------


def arrays_of(numbers):
    """Yield arrays of the same numbers, each of another maker."""
    yield array("q", numbers)
    yield memoryview(array("q", numbers))
    yield memoryview(array("q", numbers[::-1]))[::-1]
    if numpy is not None:
        yield numpy.array(numbers, dtype="int64")
        yield numpy.array(numbers, dtype="int64").repeat(2)[::2]


@each_backend
def test_an_array_in_is_an_array_out(backend):
    """Whoever made it; lists give lists."""
    numbers = [5, -7, 2**62, 5, 0]
    for keys in arrays_of(numbers):
        m = typed(backend)
        m.set_many(keys, array("q", [1, 2, 3, 4, 5]))
        assert m == {5: 4, -7: 2, 2**62: 3, 0: 5}
        assert m.get_many(keys) == array("q", [4, 2, 3, 4, 5])
        assert m.insert_many(keys, keys) == bytearray(5)
        assert m.contains_many(keys) == bytearray([1] * 5)
        m.add_many(keys)
        m.add_many(keys, array("q", [10] * 5))
        assert m.pop_many(keys, default=-1) == array("q", [26, 13, 14, -1, 16])
        assert m == {}
    assert m.set_many(numbers, [1, 2, 3, 4, 5]) is None
    assert m.get_many(numbers) == [4, 2, 3, 4, 5]
    assert m.insert_many([5, 6], [0, 0]) == [False, True]
    assert m.contains_many([5, 6, 7]) == [True, True, False]
    m.add_many([5, 6, 6])
    assert m.pop_many([5, 6, 7]) == [5, 2, None]


@each_backend
def test_floats_come_in_arrays_of_doubles(backend):
    """And go out in them."""
    m = typed(backend, "float64")
    keys = array("q", [1, 2])
    m.set_many(keys, array("d", [0.5, -0.0]))
    m.add_many(keys, 0.25)
    m.add_many(keys, array("d", [1, 2]))
    assert m.get_many(keys) == array("d", [1.75, 2.25])
    assert m.get_many(array("q", [3]), 0.5) == array("d", [0.5])
    found, values = m.items_arrays()
    assert (type(found), type(values), values.typecode) == (array, array, "d")
    assert dict(zip(found, values, strict=True)) == {1: 1.75, 2: 2.25}


@each_backend
def test_keys_alone_come_in_one_array(backend):
    """Their answers are marks."""
    m = typed(backend, "none")
    keys = array("q", [1, 2, 1])
    assert m.insert_many(keys) == bytearray([1, 1, 0])
    m.set_many(array("q", [3]))
    assert m.insert_many([3, 4]) == [False, True]
    assert m.contains_many(array("q", [1, 9])) == bytearray([1, 0])
    assert m.pop_many(keys) == bytearray([1, 1, 0])
    found, values = m.items_arrays()
    assert sorted(found) == [3, 4]
    assert values is None
    for call in (m.set_many, m.insert_many):
        with pytest.raises(TypeError, match=r"no values; call \w+\(keys\)"):
            call(keys, keys)


@each_backend
def test_values_go_into_the_array_that_is_given(backend):
    """Which is returned; only a fitting one is written to."""
    m = typed(backend)
    m.set_many(array("q", [1, 2]), array("q", [10, 20]))
    keys = array("q", [2, 1])
    for out in arrays_of([0, 0]):
        if not memoryview(out).contiguous:
            with pytest.raises(TypeError, match="out must be contiguous"):
                m.get_many(keys, out=out)
            continue
        assert m.get_many(keys, out=out) is out
        assert [int(each) for each in out] == [20, 10]
    assert m.get_many(keys, out=keys) is keys, "in place"
    assert keys == array("q", [20, 10])
    for out, error, message in [
        (memoryview(bytes(16)).cast("q"), TypeError, "out must be writable"),
        (array("d", [0, 0]), TypeError, "out must be an array of signed 64-bit integers"),
        (array("q", [0]), ValueError, "got 2 keys and 1 places in out"),
        ([0, 0], TypeError, "out must be an array of .*; got list"),
    ]:
        with pytest.raises(error, match=message):
            m.get_many(keys, 0, out=out)
        with pytest.raises(error, match=message):
            m.pop_many(keys, 0, out=out)
    with pytest.raises(TypeError, match="out= with an array of keys only"):
        m.get_many([1], out=array("q", [0]))
    assert m == {1: 10, 2: 20}


@each_backend
def test_without_a_default_a_missing_key_is_an_error(backend):
    """It is the first one's; pop_many() takes nothing without a default."""
    m = typed(backend)
    m.set_many(array("q", [1, 2]), array("q", [10, 20]))
    with pytest.raises(KeyError) as error:
        m.get_many(array("q", [1, 7, 2, 8]))
    assert error.value.args == (7,)
    assert m.get_many(array("q", [1, 7]), -1) == array("q", [10, -1])
    with pytest.raises(TypeError, match="needs default="):
        m.pop_many(array("q", [1]))
    for wrong, kind in (("a", TypeError), (2**63, OverflowError), (0.5, TypeError)):
        with pytest.raises(kind):
            m.get_many(array("q", [1]), wrong)
    assert len(m) == 2


@each_backend
@pytest.mark.parametrize("keys", [array("i", [1]), array("d", [1]), b"12345678", memoryview(b"1234567")[::2]])
@pytest.mark.parametrize(
    "call",
    [
        lambda m, keys: m.get_many(keys, 0),
        lambda m, keys: m.contains_many(keys),
        lambda m, keys: m.set_many(keys, keys),
        lambda m, keys: m.insert_many(keys, keys),
        lambda m, keys: m.add_many(keys),
        lambda m, keys: m.pop_many(keys, 0),
    ],
)
def test_an_array_of_another_type_is_refused(backend, keys, call):
    """The message says what was given."""
    m = typed(backend)
    with pytest.raises(TypeError, match="keys must be an array of signed 64-bit integers; the .* convert"):
        call(m, keys)
    assert m == {}


@each_backend
def test_lengths_that_differ_are_refused_before_anything_is_done(backend):
    """By every operation that takes two arrays, or lists."""
    m = typed(backend)
    for keys, values in ((array("q", [1, 2]), array("q", [1])), (array("q", [1, 2]), [1]), ([1, 2], [1])):
        for call in (m.set_many, m.insert_many, m.add_many):
            with pytest.raises(ValueError, match=r"2 keys and 1 (values|amounts); nothing was"):
                call(keys, values)
    with pytest.raises(TypeError, match="as many values as keys"):
        m.set_many(array("q", [1]))
    assert m == {}


@each_backend
def test_values_may_be_any_iterable(backend):
    """They are all checked before the first is stored."""
    m = typed(backend)
    keys = array("q", [1, 2])
    m.set_many(keys, (each for each in (5, 6)))
    for values, error in (([7, "a"], TypeError), ([7, 2**63], OverflowError), ([7, ABSENT], ValueError)):
        for call in (m.set_many, m.insert_many, m.add_many):
            with pytest.raises(error):
                call(keys, values)
    assert m == {1: 5, 2: 6}


@each_backend
def test_empty_arrays_do_nothing(backend):
    """And give empty ones."""
    m = typed(backend)
    none = array("q")
    assert m.get_many(none) == none
    assert m.get_many(none, out=none) is none
    assert m.contains_many(none) == bytearray()
    m.set_many(none, none)
    m.add_many(none)
    assert m.insert_many(none, none) == bytearray()
    assert m.pop_many(none, 0) == none
    assert m.items_arrays() == (none, none)
    assert m == {}


@each_backend
@each_kind
def test_a_map_is_made_from_its_arrays(backend, kind):
    """And equals the one that they came from."""
    m = typed(backend, kind)
    count = scale(50_000, 2000)
    m.set_many(array("q", range(count)), values_array(kind, range(count)))
    again = type(m).from_arrays(*m.items_arrays())
    assert type(again) is type(m)
    assert again == m
    assert len(again) == count
    again._check()


@each_backend
def test_the_arrays_can_be_resized_afterwards(backend):
    """Nothing keeps them exported, also after an exception."""
    m = typed(backend)
    keys, out = array("q", range(10)), array("q", [0] * 10)
    m.set_many(keys, keys)
    m.get_many(keys, out=out)
    m.add_many(keys, out)
    m.contains_many(keys)
    m.pop_many(keys, 0, out=out)
    for wrong in (lambda: m.get_many(keys), lambda: m.get_many(keys, 0, out=array("d"))):
        with contextlib.suppress(KeyError, TypeError):
            wrong()
    gc.collect()
    keys.append(1)
    out.append(1)


@given(
    entries=st.dictionaries(st.integers(LOWEST, HIGHEST), st.integers(LOWEST, HIGHEST)),
    asked=st.lists(st.integers(LOWEST, HIGHEST)),
)
@settings(max_examples=50, deadline=None)
def test_any_arrays_give_what_dict_gives(entries, asked):
    """With keys of all 64 bits."""
    for backend in BACKENDS:
        m = typed(backend)
        m.set_many(array("q", entries), array("q", entries.values()))
        keys = array("q", [*asked, *entries])
        assert list(m.get_many(keys, 5)) == [entries.get(key, 5) for key in keys]
        found, values = m.items_arrays()
        assert dict(zip(found, values, strict=True)) == entries
        assert list(m.pop_many(keys, 5)) == [entries.pop(key, 5) for key in keys]
        m._check()


# ---- size --------------------------------------------------------------------------------------------------


@each_backend
def test_a_call_makes_room_for_what_is_to_come(backend):
    """A few resizes, however many keys; and not much more room than they need."""
    count = scale(200_000, 4000)
    m = typed(backend)
    m.set_many(array("q", range(count)), array("q", range(count)))
    statistics = m.statistics()
    assert len(m) == count
    assert statistics.resizes <= 4
    assert statistics.memory_bytes <= ENTRY_BYTES[backend] * count + 5000
    m._check()


@each_backend
def test_few_keys_often_repeated_reserve_no_memory(backend):
    """Counting many events over few keys."""
    m = typed(backend)
    m.add_many(array("q", range(50)) * scale(10_000, 200))
    assert len(m) == 50
    assert m.statistics().capacity <= 50 * 8
    assert set(m.values()) == {scale(10_000, 200)}


@each_backend
def test_room_for_keys_that_did_not_come_is_given_back(backend):
    """The first of them were all different, the rest are not."""
    few, many = scale(10_000, 500), scale(1_000_000, 20_000)
    m = typed(backend)
    m.add_many(array("q", range(few)) + array("q", [0]) * many)
    settle(m)
    assert len(m) == few
    assert m.statistics().capacity <= few * 8
    m._check()


@each_backend
def test_a_map_that_grows_entry_by_entry_is_seldom_half_empty(backend):
    """A large one: it grows by a quarter at a time."""
    m = typed(backend, capacity=words.LARGE)
    state = m._state
    homes = state.table.homes
    assert state.table.capacity() >= words.LARGE
    state.enlarge(state.table)
    while m.statistics().resizing:
        state.help_much(10**6, 8)
    assert state.table.homes == homes * 5 // 4
    m._check()


@each_backend
def test_a_map_shrinks_when_arrays_are_taken_out(backend):
    """And gives its memory back."""
    count = scale(100_000, 3000)
    keys = array("q", range(count))
    m = typed(backend)
    m.set_many(keys, keys)
    full = m.statistics().memory_bytes
    m.pop_many(keys, 0)
    for key in range(100):
        m.pop_many(array("q", [key] * 500), 0)
        m[key] = 1
        del m[key]
    settle(m)
    assert m == {}
    assert m.statistics().memory_bytes < full // 4
    m._check()


@each_backend
@pytest.mark.parametrize("capacity", [1000, 100_000])
def test_capacity_is_room_that_is_kept(backend, capacity):
    """For arrays too."""
    m = typed(backend, capacity=capacity)
    begun = m.statistics().capacity
    m.set_many(array("q", range(1000)), array("q", range(1000)))
    m.pop_many(array("q", range(1000)), 0)
    assert m.statistics().capacity == begun >= capacity
    assert m.statistics().resizes == 0
    for absurd in (1 << 60, 1 << 50):
        with pytest.raises((ValueError, MemoryError)):
            typed(backend, capacity=absurd)


@each_backend
def test_what_is_counted_and_not_used_is_given_back(backend):
    """len() is exact after every call, whatever stopped the loop."""
    m = typed(backend)
    for number in range(40):
        m.insert_many(array("q", range(number, number * 3)), array("q", range(number * 2)))
        assert len(m) == len(list(m)) == max(number * 3 - 1, 0)
    m._check()


@pytest.mark.parametrize(
    ("backend", "reclaimer"),
    [
        (spec.name, reclaimer)
        for spec in intermodal.backends()
        for reclaimer in spec.capabilities.reclaimers
        if spec.name in BACKENDS and reclaimer != "refcount"
    ],
)
def test_replaced_tables_go_to_the_reclaimer(backend, reclaimer):
    """And are freed; the map works as without."""
    reclaimer = open_reclaimer(reclaimer)
    m = type(typed(backend)).with_capacity(0, reclaimer)
    keys = array("q", range(scale(20_000, 1500)))
    m.set_many(keys, keys)
    assert m.get_many(keys) == keys
    assert m.statistics().reclamation.retired >= m.statistics().resizes >= 1
    reclaimer.flush()
    assert m.statistics().reclamation.pending <= 1
    m._check()


# ---- threads -----------------------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch):
    """Threads share work of any size, and pieces are small."""
    monkeypatch.setattr(_batches, "LEAST", 1)
    monkeypatch.setattr(_batches, "PIECE", 50)


@each_backend
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_threads_share_the_work_of_one_call(backend, threads, small_parts):
    """The answers are in the order of the keys."""
    count = scale(20_000, 700)
    keys = array("q", random.Random(1).sample(range(count * 3), count))
    m = typed(backend)
    m.set_many(keys, array("q", range(count)), threads=threads)
    assert len(m) == count
    assert m.get_many(keys, threads=threads) == array("q", range(count))
    assert m.contains_many(keys, threads=threads) == bytearray([1]) * count
    assert m.insert_many(keys, keys, threads=threads) == bytearray(count)
    m.add_many(keys, 7, threads=threads)
    assert m.pop_many(keys, 0, threads=threads) == array("q", range(7, count + 7))
    assert m == {}
    m._check()


@each_backend
def test_of_several_failures_the_first_is_raised(backend, small_parts):
    """When all threads have ended."""
    m = typed(backend)
    keys = array("q", range(400))
    m.set_many(keys, keys)
    for key in (150, 350):
        del m[key]
    with pytest.raises(KeyError) as error:
        m.get_many(keys, threads=4)
    assert error.value.args == (150,)


@each_backend
@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", None])
def test_a_number_of_threads_that_is_none_is_refused(backend, threads):
    """Before anything is done."""
    m = typed(backend)
    with pytest.raises((TypeError, ValueError)):
        m.set_many(array("q", [1]), array("q", [1]), threads=threads)
    assert m == {}


@each_backend
@pytest.mark.parametrize("kind", ["int64", "float64"])
def test_counters_are_exact(backend, kind):
    """From arrays and one by one, from several threads, on few keys and on many, while the map grows."""
    together, times = Together(4), scale(200, 8)
    for spread in (3, 1000):
        m = typed(backend, kind)
        keys = array("q", [number % spread for number in range(1000)])
        together = Together(4)

        def count(index, m=m, keys=keys, together=together):
            view = m.handle()
            together.wait()
            for turn in range(times):
                if index == 3 and turn % 10 == 0:
                    for key in keys:
                        view.increment(key)
                else:
                    view.add_many(keys)

        in_threads(4, count)
        expected = {key: 4.0 * times * keys.count(key) for key in range(spread)}
        assert m == expected
        m._check()


@each_backend
def test_of_threads_that_insert_a_key_one_is_told_so(backend):
    """Arrays of the same keys, in other orders."""
    count = scale(5000, 400)
    m = typed(backend)
    together = Together(3)

    def insert(index):
        keys = list(range(count))
        random.Random(index).shuffle(keys)
        together.wait()
        marks = m.insert_many(array("q", keys), array("q", [index] * count))
        return {key for key, mark in zip(keys, marks, strict=True) if mark}

    won = in_threads(3, insert)
    assert sorted(key for keys in won for key in keys) == list(range(count))
    assert all(m[key] == index for index, keys in enumerate(won) for key in keys)
    m._check()


@each_backend
def test_entries_are_taken_out_once(backend):
    """By threads that take the same keys, while others put them in."""
    count, rounds = 300, scale(100, 6)
    m = typed(backend)
    keys = array("q", range(count))

    def put():
        return sum(sum(m.insert_many(keys, keys)) for _ in range(rounds))

    def take():
        return sum(value >= 0 for _ in range(rounds) for value in m.pop_many(keys, -1))

    put_in, taken, more = run_threads(put, take, take)
    assert put_in == taken + more + len(m)
    m._check()


@each_backend
def test_a_value_that_is_read_belongs_to_its_key(backend):
    """While slots are used again, and the map grows and shrinks."""
    span = 2000
    m = typed(backend)
    finished = threading.Event()

    def write():
        generator = random.Random(1)
        try:
            for _ in range(scale(300, 12)):
                keys = array("q", [generator.randrange(span) for _ in range(generator.choice([5, 700]))])
                m.set_many(keys, array("q", [key << 20 | generator.randrange(1000) for key in keys]))
                m.pop_many(
                    array("q", [generator.randrange(span) for _ in range(generator.choice([5, 700]))]), 0
                )
        finally:
            finished.set()

    def read():
        keys = array("q", range(span))
        while not finished.is_set():
            for key, value in enumerate(m.get_many(keys, -1)):
                assert value == -1 or value >> 20 == key
            found, values = m.items_arrays()
            assert len(set(found)) == len(found)
            assert all(value >> 20 == key for key, value in zip(found, values, strict=True))

    run_threads(write, read, read)
    m._check()


@each_backend
def test_a_key_that_stays_is_always_found(backend):
    """By arrays, while all around it comes and goes."""
    m = typed(backend)
    staying = array("q", range(0, 1000, 10))
    m.set_many(staying, staying)
    finished = threading.Event()

    def change():
        try:
            for turn in range(scale(60, 6)):
                keys = array("q", [key for key in range(3000 if turn % 2 else 300) if key % 10])
                m.set_many(keys, keys)
                m.pop_many(keys, 0)
        finally:
            finished.set()

    def look():
        while not finished.is_set():
            assert m.get_many(staying) == staying
            assert set(staying) <= set(m)

    run_threads(change, look)
    m._check()


@each_backend
def test_clear_beside_arrays_leaves_a_whole_map(backend):
    """Some entries or none."""
    m = typed(backend)
    keys = array("q", range(500))

    def fill():
        for _ in range(scale(100, 6)):
            m.set_many(keys, keys)

    def clear():
        for _ in range(scale(100, 6)):
            m.clear()

    run_threads(fill, clear, fill)
    assert set(m) <= set(keys)
    m._check()
    m.clear()
    assert m == {}
    m._check()


def test_a_child_process_has_threads_of_its_own():
    """The parent's are not there after a fork."""
    m = typed()
    keys = array("q", range(_batches.LEAST * 3))
    m.set_many(keys, keys, threads=3)

    def child():
        assert m.get_many(keys, threads=3) == keys

    forks.in_child(child)


def test_a_signal_handler_runs_between_two_pieces(monkeypatch):
    """What it raises comes out; the map is whole, and some of the keys are done."""
    monkeypatch.setattr(_batches, "PIECE", 10)
    keys = array("q", range(1000))
    m = typed()
    write_piece = _batches.write_piece

    def interrupted(*arguments):
        done = write_piece(*arguments)
        if done == 500 and not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGUSR1)
        return done

    raised = []

    def handler(*_):
        raise InterruptedError

    monkeypatch.setattr(_batches, "write_piece", interrupted)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(InterruptedError):
            m.set_many(keys, keys)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(m) == 500
    m._check()
    m.set_many(keys, keys)
    assert m.get_many(keys) == keys


@pytest.mark.skipif(not intermodal.__compiled__, reason="pure loops keep the GIL")
def test_python_code_runs_while_an_array_is_worked_on():
    """A loop gives the GIL up for as long as a piece takes: another thread sees it from the inside."""
    m = typed()
    keys = array("q", range(300_000))
    m.set_many(keys, keys)
    key = 299_999
    seen = []
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            seen.append(m[key] - key)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        turns = 0
        while not any(0 < each < 10**6 for each in seen[-1000:]) and turns < 1000:
            m.add_many(keys)
            turns += 1
    finally:
        stop.set()
        watcher.join()
    assert any(seen)
    assert seen == sorted(seen), "a counter is never seen going back"


@pytest.mark.parametrize("name", ["read_word", "write_word"])
def test_a_loop_that_meets_a_locked_home_waits_for_nobody(name, monkeypatch):
    """It goes to the slow path, which waits and gives up the GIL meanwhile; then the loop goes on."""
    if intermodal.__compiled__:
        pytest.skip("compiled methods cannot be watched")
    m = typed()
    keys = array("q", range(50))
    m.set_many(keys, keys)
    table = m._state.table
    lock = table.lock_of(words.mix(25))
    word = words.load(lock, words.ACQUIRE)
    assert words.try_lock(lock, word)
    slow = []
    state_type = type(m._state)
    original = getattr(state_type, name)

    def let_go(state, *arguments):
        slow.append(arguments[1])
        if words.load(lock, words.ACQUIRE) & tables.LOCKED:
            words.unlock(lock, word)
        return original(state, *arguments)

    monkeypatch.setattr(state_type, name, let_go)
    if name == "read_word":
        assert m.get_many(keys) == keys
        assert slow == [], "readers do not look at the lock"
        words.unlock(lock, word)
    else:
        m.add_many(keys, 1)
        assert len(slow) == 1
        assert list(m.get_many(keys)) == list(range(1, 51))
    m._check()
