"""Several values for a key: they are counted, in no order, and the map shows one of them."""

from __future__ import annotations

import copy
import pickle
import random
from collections import Counter

import pytest

from intermodal import ABSENT, NotSupported, backends
from intermodal.testing.guarantees import check_bags
from intermodal.testing.keys import KINDS, HostileError, Key
from intermodal.testing.lifetimes import Ledger
from intermodal.testing.promises import promised, unpromised
from intermodal.testing.recording import Recorder
from intermodal.testing.subjects import scale
from intermodal.testing.threads import in_a_thread, in_threads

THREADS = 3


def with_values(subject, **values):
    """Return a map whose keys have these values."""
    m = subject.map()
    for key, each in values.items():
        for value in each:
            m.add(key, value)
    return m


@promised(multi_value=True)
def test_a_key_has_the_values_that_were_added_less_those_removed(subject):
    """Equal ones are counted, and removed one by one."""
    m = subject.map()
    assert m.get_all("a") == ()
    for value in (1, 2, 1):
        assert m.add("a", value) is None
    assert sorted(m.get_all("a")) == [1, 1, 2]
    assert type(m.get_all("a")) is tuple
    assert m.remove_value("a", 1) is True
    assert m.remove_value("a", 3) is False
    assert sorted(m.get_all("a")) == [1, 2]
    assert m.remove_value("b", 1) is False
    assert m.get_all("b") == ()


@promised(multi_value=True)
def test_as_a_mapping_it_shows_one_value_of_each_key(subject):
    """The same by every way of looking, and each key once."""
    m = with_values(subject, a=(1, 2, 3), b=(4,))
    assert len(m) == 2
    assert sorted(m) == ["a", "b"]
    assert m["a"] in (1, 2, 3)
    assert m["a"] == m.get("a") == dict(m)["a"] == m.setdefault("a", 0)
    assert m.insert("a", 0) is False
    assert m["b"] == 4
    assert len(m.get_all("a")) == 3


@promised(multi_value=True)
def test_setting_a_key_sets_all_of_its_values_to_the_one(subject):
    """By every operation that sets; removing removes all."""
    for set_value in (
        lambda m: m.__setitem__("a", 9),
        lambda m: m.replace("a", 9),
        lambda m: m.update(a=9),
        lambda m: m.compute("a", lambda _: 9),
        lambda m: m.compare_and_set("a", m["a"], 9),
    ):
        m = with_values(subject, a=(1, 2, 3))
        set_value(m)
        assert m.get_all("a") == (9,)
    for remove in (
        lambda m: m.__delitem__("a"),
        lambda m: m.pop("a"),
        lambda m: m.popitem(),
        lambda m: m.clear(),
        lambda m: m.remove_if("a", lambda _: True),
        lambda m: m.retain(lambda *_: False),
    ):
        m = with_values(subject, a=(1, 2, 3))
        remove(m)
        assert m.get_all("a") == ()
        assert len(m) == 0


@promised(multi_value=True)
def test_a_key_without_its_last_value_is_not_in_the_map(subject):
    """By no way of looking; and may come back."""
    m = with_values(subject, a=(1,), b=(2, 3))
    assert m.remove_value("a", 1)
    assert "a" not in m
    assert m.get("a", "none") == "none"
    assert (len(m), list(m), list(m.items())) == (1, ["b"], list(m.items()))
    for look in (lambda: m["a"], lambda: m.pop("a"), lambda: m.replace("a", 1), lambda: m.__delitem__("a")):
        with pytest.raises(KeyError):
            look()
    assert m.pop("b") in (2, 3)
    with pytest.raises(KeyError):
        m.popitem()
    assert m.insert("a", 4) is True
    assert m.get_all("a") == (4,)


@promised(multi_value=True)
def test_values_are_removed_by_identity_first_and_then_by_equality(subject):
    """They need not be hashable, nor comparable."""

    class Value:
        __hash__ = None

        def __eq__(self, other):
            raise HostileError

    first, second = Value(), Value()
    m = with_values(subject, a=(first, second))
    assert m.remove_value("a", second) is True
    assert m.get_all("a") == (first,)
    with pytest.raises(HostileError):
        m.remove_value("a", 1)
    assert m.get_all("a") == (first,)
    m = with_values(subject, a=([1], [2]))
    assert m.remove_value("a", [2.0]) is True
    assert m.get_all("a") == ([1],)


@promised(multi_value=True)
@in_a_thread
def test_an_equality_of_values_may_use_the_map(subject):
    """It runs under no lock."""
    m = subject.map()

    class Value:
        __hash__ = None

        def __eq__(self, other):
            m["other"] = m.get("other", 0) + 1
            return True

    m.add("a", Value())
    assert m.remove_value("a", 1) is True
    assert m["other"] == 1
    assert m.get_all("a") == ()


@promised(multi_value=True)
def test_what_cannot_be_stored_cannot_be_added(subject):
    """ABSENT as a value, and what has no hash as a key."""
    m = subject.map(a=1)
    with pytest.raises(ValueError, match="ABSENT stands for 'no entry'"):
        m.add("a", ABSENT)
    for call in (lambda: m.add([], 1), lambda: m.get_all([]), lambda: m.remove_value([], 1)):
        with pytest.raises(TypeError, match="unhashable|cannot use"):
            call()
    assert m.get_all("a") == (1,)


@promised(multi_value=True)
@pytest.mark.parametrize("how", ["copy", "copy.copy", "pickle", "deepcopy"])
def test_copies_have_all_values(backend, how):
    """And share no bag."""
    m = with_values(backend, a=(1, 2, 2), b=(3,))
    other = {
        "copy": m.copy,
        "copy.copy": lambda: copy.copy(m),
        "pickle": lambda: pickle.loads(pickle.dumps(m)),
        "deepcopy": lambda: copy.deepcopy(m),
    }[how]()
    assert Counter(other.get_all("a")) == {1: 1, 2: 2}
    assert other.get_all("b") == (3,)
    other.add("a", 4)
    assert len(m.get_all("a")) == 3
    assert len(other) == 2


@promised(multi_value=True)
def test_values_are_dropped_when_they_go(subject):
    """Each once."""
    ledger = Ledger(subject.settle)
    m = subject.map()
    for number in range(scale(100, 40)):
        m.add("a", ledger.value(number))
    values = m.get_all("a")
    ledger.expect(len(values))
    assert m.remove_value("a", values[3])
    count = len(values) - 1
    del values
    ledger.expect(count)
    m["a"] = 1
    ledger.expect(0)
    m.add(ledger.key("b"), ledger.value())
    m.add(Key("b"), ledger.value())
    ledger.expect(3)
    m.clear()
    ledger.expect(0)


@promised(multi_value=True)
def test_a_long_walk_agrees_with_counted_values(subject, kind):
    """Through bags of every size."""
    make = KINDS[kind]
    generator = random.Random(f"bags {kind}")
    m, model = subject.map(), {number: Counter() for number in range(5)}
    for step in range(scale(2000, 300)):
        number = generator.randrange(5)
        key, value = make(number), generator.randrange(8)
        choice = generator.random()
        if choice < (0.7 if step // 200 % 2 == 0 else 0.3):
            m.add(key, value)
            model[number][value] += 1
        elif choice < 0.98:
            assert m.remove_value(key, value) is (model[number][value] > 0)
            model[number] -= Counter([value])
        elif choice < 0.99:
            assert m.pop(key, None) in (model[number] or [None])
            model[number] = Counter()
        else:
            m[key] = value
            model[number] = Counter([value])
        assert Counter(m.get_all(key)) == +model[number]
        assert (key in m) is bool(+model[number])
        if step % 100 == 0:
            m._check()
            assert len(m) == sum(bool(+values) for values in model.values())


@promised(multi_value=True)
def test_recorded_histories_of_values_are_those_of_counted_values(subject):
    """Three threads that add, remove and look at two keys."""
    m = subject.shared()
    recorder = Recorder(m)

    def work(me):
        view = subject.view(recorder.map)
        generator = random.Random(f"values {me}")
        for _ in range(scale(300, 12)):
            key, value = generator.randrange(2), generator.randrange(3)
            choice = generator.random()
            if choice < 0.35:
                view.add(key, value)
            elif choice < 0.6:
                view.remove_value(key, value)
            elif choice < 0.7:
                view[key] = value
            else:
                view.get_all(key)

    in_threads(THREADS, work)
    check_bags(recorder.history()).require()


@promised(multi_value=True)
def test_no_value_that_threads_add_is_lost(subject):
    """All to one key."""
    m = subject.shared()
    count = scale(500, 25)

    def work(index):
        view = subject.view(m)
        for number in range(count):
            view.add("a", (index, number))

    in_threads(THREADS, work)
    assert sorted(m.get_all("a")) == [(index, number) for index in range(THREADS) for number in range(count)]


@unpromised("multi_value")
@pytest.mark.parametrize("operation", ["add", "get_all", "remove_value"])
def test_a_backend_with_one_value_for_a_key_names_those_with_several(backend, operation):
    """In a NotSupported."""
    call = {
        "add": lambda m: m.add("a", 1),
        "get_all": lambda m: m.get_all("a"),
        "remove_value": lambda m: m.remove_value("a", 1),
    }[operation]
    m = backend.map(a=1)
    with pytest.raises(NotSupported, match=rf"has no {operation}\(\)") as error:
        call(m)
    for spec in backends():
        if spec.capabilities is not None and spec.capabilities.multi_value:
            assert spec.name in str(error.value)
    assert m == {"a": 1}
