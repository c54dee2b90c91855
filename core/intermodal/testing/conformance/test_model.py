"""Every backend against dict: sequences of operations of which the results must be the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import intermodal
from intermodal import ABSENT
from intermodal.testing.keys import Key
from intermodal.testing.subjects import scale

#: Few enough that they meet: equal ones of several types, colliding ones, those that hashes treat specially.
KEYS = [
    None, True, False, 0, 1, 1.0, 0.0, -1, -2, -1.0, 2**61 - 1, 2**61, -113, 1 + 0j, "", "a", "b", "\xe9", "\u20ac",
    "1", b"", b"a", (), (1,), (1.0,), ("a", 1), frozenset(), frozenset([1]), float("inf"), 0.5,
]  # fmt: skip

own_keys = st.integers(0, 40).map(lambda number: Key(number, hash_value=number % 3))
mixed_keys = st.one_of(st.sampled_from(KEYS), st.integers(0, 60), st.integers(0, 40).map(str), own_keys)


def comparable(key):
    """Return which of the families of comparable keys *key* belongs to; None: to none."""
    if isinstance(key, (bool, int, float)):
        return "numbers"
    return type(key).__name__ if isinstance(key, (str, bytes)) else None


#: Keys of which any two can be compared.
FAMILIES = {
    "numbers": st.one_of(
        st.sampled_from([key for key in KEYS if comparable(key) == "numbers"]), st.integers(0, 60), own_keys
    ),
    "strings": st.one_of(
        st.sampled_from([key for key in KEYS if comparable(key) == "str"]),
        st.integers(0, 40).map(str),
        own_keys,
    ),
}

#: Those of the machine that runs.
keys = st.runner().flatmap(lambda machine: machine.family)
values = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["x", 1.0, True]))
missing = st.sampled_from([None, 0, "default"])


def outcome(function, *arguments):
    """Return what a call returns or raises, comparable."""
    try:
        return "returned", function(*arguments)
    except KeyError as error:
        return "raised", error.args


def same(left, right):
    """Return whether two results are the same, not merely equal: 1 is not True."""
    return type(left) is type(right) and left == right and repr(left) == repr(right)


class MapMachine(RuleBasedStateMachine):
    """A map, and a dict to which the same is done."""

    subject = None
    family = mixed_keys

    @initialize(entries=st.lists(st.tuples(keys, values), max_size=40))
    def make(self, entries):
        self.m = self.subject.map(entries)
        self.model = dict(entries)

    @rule(key=keys, value=values)
    def set_item(self, key, value):
        self.m[key] = self.model[key] = value

    @rule(key=keys)
    def delete(self, key):
        assert outcome(self.m.__delitem__, key) == outcome(self.model.__delitem__, key)

    @rule(key=keys, default=missing)
    def look_up(self, key, default):
        assert same(outcome(self.m.__getitem__, key), outcome(self.model.__getitem__, key))
        assert same(self.m.get(key, default), self.model.get(key, default))
        assert (key in self.m) is (key in self.model)

    @rule(key=keys, default=missing)
    def pop_with_default(self, key, default):
        assert same(self.m.pop(key, default), self.model.pop(key, default))

    @rule(key=keys)
    def pop(self, key):
        assert same(outcome(self.m.pop, key), outcome(self.model.pop, key))

    @rule()
    def popitem(self):
        if not self.model:
            assert outcome(self.m.popitem)[0] == "raised"
            return
        key, value = self.m.popitem()
        stored = next(each for each in self.model if each == key)
        assert same(key, stored)
        assert same(value, self.model.pop(key))

    @rule(key=keys, value=values)
    def setdefault(self, key, value):
        assert same(self.m.setdefault(key, value), self.model.setdefault(key, value))

    @rule(key=keys, value=values)
    def insert(self, key, value):
        assert self.m.insert(key, value) is (key not in self.model)
        self.model.setdefault(key, value)

    @rule(key=keys, value=values)
    def replace(self, key, value):
        expected = outcome(self.model.__getitem__, key)
        assert same(outcome(self.m.replace, key, value), expected)
        if expected[0] == "returned":
            self.model[key] = value

    @rule(key=keys, expected=st.one_of(values, st.just(ABSENT)), desired=st.one_of(values, st.just(ABSENT)))
    def compare_and_set(self, key, expected, desired):
        old = self.model.get(key, ABSENT)
        changes = old is expected if ABSENT in (old, expected) else old == expected
        assert self.m.compare_and_set(key, expected, desired) is changes
        if changes:
            self._put(key, desired)

    @rule(key=keys, new=st.one_of(values, st.just(ABSENT)))
    def compute(self, key, new):
        seen = []
        assert same(self.m.compute(key, lambda old: (seen.append(old), new)[1]), new)
        assert same(seen, [self.model.get(key, ABSENT)])
        self._put(key, new)

    @rule(key=keys, value=values)
    def get_or_insert_with(self, key, value):
        assert same(self.m.get_or_insert_with(key, lambda: value), self.model.setdefault(key, value))

    @rule(key=keys, wanted=values)
    def remove_if(self, key, wanted):
        removes = key in self.model and self.model[key] == wanted
        assert self.m.remove_if(key, lambda value: value == wanted) is removes
        if removes:
            del self.model[key]

    @rule(wanted=values)
    def retain(self, wanted):
        kept = {key: value for key, value in self.model.items() if value != wanted}
        assert self.m.retain(lambda _, value: value != wanted) == len(self.model) - len(kept)
        self.model = kept

    @rule(entries=st.lists(st.tuples(keys, values), max_size=60))
    def update(self, entries):
        self.m.update(entries)
        self.model.update(entries)

    @rule(entries=st.lists(st.tuples(keys, values), max_size=20))
    def batches(self, entries):
        names = [key for key, _ in entries]
        self.m.set_many(names, [value for _, value in entries])
        self.model.update(entries)
        assert same(self.m.get_many(names, 0), [self.model.get(key, 0) for key in names])
        assert same(self.m.pop_many(names[::2]), [self.model.pop(key, None) for key in names[::2]])

    @rule(first=st.integers(0, 3), count=st.integers(0, 400))
    def grow(self, first, count):
        for number in range(first, first + count):
            key = str(number) if self.family is FAMILIES["strings"] else number
            self.m[key] = self.model[key] = None

    @rule(keep=st.integers(0, 30))
    def shrink(self, keep):
        for key in list(self.model)[keep:]:
            assert same(self.m.pop(key), self.model.pop(key))

    @rule()
    def clear(self):
        self.m.clear()
        self.model.clear()

    @rule()
    def go_on_with_a_copy(self):
        self.m = self.m.copy()

    @rule(key=keys, value=values)
    def go_on_with_a_union(self, key, value):
        self.m |= {key: value}
        self.model |= {key: value}

    @invariant()
    def agree(self):
        if not hasattr(self, "m"):
            return
        self.m._check()
        assert len(self.m) == len(self.model)
        assert self.m == self.model
        assert {id(key): id(value) for key, value in self.m.items()} == {
            id(key): id(value) for key, value in self.model.items()
        }, "the same objects, not equal ones"

    def _put(self, key, value):
        if value is ABSENT:
            self.model.pop(key, None)
        else:
            self.model[key] = value


def test_any_sequence_of_operations_gives_what_dict_gives(subject):
    """Results, exceptions, entries and the identity of the first of equal keys."""
    families = FAMILIES.values() if subject.capabilities.ordered else (mixed_keys,)
    checks = settings(
        max_examples=scale(60, 8),
        stateful_step_count=scale(40, 15),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    from hypothesis.stateful import run_state_machine_as_test

    for family in families:
        members = {"subject": subject, "family": family}
        run_state_machine_as_test(type(f"MapMachine[{subject}]", (MapMachine,), members), settings=checks)


def key_maker(kind):
    """Return the function from numbers to keys of a *kind*."""
    return {
        "int": int,
        "str": str,
        "own": Key,
        "colliding": lambda number: Key(number, hash_value=number // 20),
        "mixed": lambda number: (number, str(number), Key(number), float(number))[number % 4],
    }[kind]


@pytest.mark.parametrize("keys_of", ["int", "str", "own", "colliding", "mixed"])
def test_a_long_random_walk_through_growth_and_shrinking_agrees_with_dict(subject, keys_of):
    """Every return value, and the whole contents from time to time."""
    if keys_of == "mixed" and subject.capabilities.ordered:
        pytest.skip("numbers and strings cannot be compared")
    make = key_maker(keys_of)
    generator = random.Random(f"walk {keys_of}")
    m, model = subject.map(), {}
    steps = scale(20_000, 600)
    phase = max(steps // 8, 1)
    space = scale(2_000, 150)
    for step in range(steps):
        growing = step // phase % 2 == 0
        number = generator.randrange(space)
        key = make(number)
        choice = generator.random()
        if choice < (0.6 if growing else 0.1):
            m[key] = model[key] = step
        elif choice < (0.7 if growing else 0.85):
            assert m.pop(key, None) == model.pop(key, None)
        elif choice < 0.9:
            assert m.get(key) == model.get(key)
        elif choice < 0.95:
            assert m.setdefault(key, step) == model.setdefault(key, step)
        else:
            assert m.insert(key, step) is (key not in model)
            model.setdefault(key, step)
        if step % (steps // 40) == 0:
            assert len(m) == len(model)
            assert dict(m.items()) == model
            assert len(list(m)) == len(model)
            m._check()
        if not growing and step % phase == phase - 1:
            for doomed in list(model)[: len(model) * 9 // 10]:
                assert m.pop(doomed) == model.pop(doomed)
    assert m == model


@pytest.mark.parametrize("count", [0, 1, 7, 13, 14, 15, 16, 17, 28, 29, 57, 113, 225, 449])
def test_every_size_is_reached_and_left_with_the_right_entries(subject, count):
    """All entries are there after each insertion and each removal, whatever is under way inside."""
    if not intermodal.__compiled__ and count > 30:
        count //= 4
    m = subject.map()
    for number in range(count):
        m[number] = -number
        if number % 7 == 0 or count < 30:
            assert sorted(m) == list(range(number + 1))
    m._check()
    for number in range(count):
        assert m.pop(number) == -number
        if number % 7 == 0 or count < 30:
            assert sorted(m) == list(range(number + 1, count))
            m._check()
    assert list(m) == []
