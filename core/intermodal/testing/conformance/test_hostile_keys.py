"""Keys, values and destructors that misbehave: whatever they do, the map stays whole and usable."""

from __future__ import annotations

import contextlib
import gc
import operator
import threading

import pytest

from intermodal import ABSENT
from intermodal.testing.keys import (
    ActingKey,
    BlockingKey,
    CountedKey,
    Dying,
    HostileError,
    Key,
    Orderly,
    RaisingKey,
)
from intermodal.testing.lifetimes import collected
from intermodal.testing.promises import promised, unpromised
from intermodal.testing.subjects import scale
from intermodal.testing.threads import PATIENCE, finishes, in_a_thread, run_threads

ONE_KEY_OPERATIONS = {
    "[]": operator.getitem,
    "get": lambda m, key: m.get(key),
    "in": lambda m, key: key in m,
    "set": lambda m, key: operator.setitem(m, key, "new"),
    "del": operator.delitem,
    "pop": lambda m, key: m.pop(key, None),
    "setdefault": lambda m, key: m.setdefault(key, "new"),
    "insert": lambda m, key: m.insert(key, "new"),
    "replace": lambda m, key: m.replace(key, "new"),
    "compare_and_set": lambda m, key: m.compare_and_set(key, ABSENT, "new"),
    "compute": lambda m, key: m.compute(key, lambda _: "new"),
    "get_or_insert_with": lambda m, key: m.get_or_insert_with(key, lambda: "new"),
    "remove_if": lambda m, key: m.remove_if(key, lambda _: True),
    "get_many": lambda m, key: m.get_many([key]),
    "set_many": lambda m, key: m.set_many([key], ["new"]),
    "pop_many": lambda m, key: m.pop_many([key]),
    "update": lambda m, key: m.update([(key, "new")]),
}
every_operation = pytest.mark.parametrize("operation", ONE_KEY_OPERATIONS)


class Lonely(Orderly):
    """A key equal to nothing, itself included, and of the same hash as all others."""

    def __hash__(self):
        return 5

    def __eq__(self, other):
        return False


def usable(m):
    """Return whether another thread can use every part of *m*, and its invariants hold."""
    m._check()

    def use():
        for number in range(40):
            m[Key(f"probe {number}")] = number
        for number in range(40):
            assert m.pop(Key(f"probe {number}")) == number

    run_threads(use)
    m._check()
    return True


# ---- __hash__ and __eq__ that raise --------------------------------------------------------------------


@every_operation
@pytest.mark.parametrize("at_call", [1, 2])
@in_a_thread
def test_a_hash_that_raises_changes_nothing(subject, operation, at_call):
    """At the first call, or at a later one if the operation makes one."""
    m = subject.map(a=1)
    key = RaisingKey("a key", "hash", at_call)
    before = dict(m)
    try:
        ONE_KEY_OPERATIONS[operation](m, key)
    except HostileError:
        assert dict(m) == before
    except KeyError:
        assert at_call > 1
    else:
        assert key.calls["hash"] < at_call
    assert usable(m)


@every_operation
@pytest.mark.parametrize("at_call", [1, 2, 3])
@pytest.mark.parametrize("raising", ["stored", "given"])
@in_a_thread
def test_an_eq_that_raises_changes_nothing(subject, operation, at_call, raising):
    """Of the key that is in the map, or of the one that is looked for."""
    neighbours = [Key(number, hash_value=7) for number in range(3)]
    hostile, harmless = RaisingKey("same", "eq", at_call, 7), Key("same", 7)
    stored, given = (hostile, harmless) if raising == "stored" else (harmless, hostile)
    m = subject.map()
    m.update((key, 0) for key in neighbours)
    try:
        m[stored] = 1
    except HostileError:
        assert raising == "stored"
        assert len(m) == 3
        return
    try:
        ONE_KEY_OPERATIONS[operation](m, given)
    except HostileError:
        assert len(m) == 4
        assert sorted(m.values()) == [0, 0, 0, 1]
    except KeyError:
        pytest.fail("the key was there")
    hostile.method = ""  # in an ordered map others are compared with it
    assert usable(m)


def test_a_comparison_of_values_that_raises_changes_nothing(subject):
    """In compare_and_set, in a view, in an equality."""

    class Value:
        def __eq__(self, other):
            raise HostileError

        __hash__ = None

    m = subject.map(a=Value())
    for use in (
        lambda: m.compare_and_set("a", 1, 2),
        lambda: 1 in m.values(),
        lambda: ("a", 1) in m.items(),
        lambda: m == {"a": 1},
    ):
        with pytest.raises(HostileError):
            use()
    assert list(m) == ["a"]
    assert usable(m)


@unpromised("ordered")  # keys of which neither is less have to be equal
@pytest.mark.parametrize("answer", [NotImplemented, None, 0, "", [], 1, "yes", [0]])
def test_any_answer_of_eq_counts_by_its_truth(subject, answer):
    """NotImplemented from both sides falls back to identity, as in dict."""

    class Odd:
        def __init__(self):
            self.asked = False

        def __hash__(self):
            return 5

        def __eq__(self, other):
            return answer

    first, second = Odd(), Odd()
    m, model = subject.map(), {}
    m[first] = model[first] = 1
    m[second] = model[second] = 2
    assert len(m) == len(model)
    assert m[first] == model[first]
    assert m.get(Odd()) == model.get(Odd())
    assert usable(m)


def test_an_answer_of_eq_that_has_no_truth_raises(subject):
    """As an array's does."""

    class Array:
        def __bool__(self):
            raise HostileError

    class Odd(Orderly):
        def __hash__(self):
            return 5

        def __eq__(self, other):
            return Array()

        def place(self):
            return ("Odd",)

    m = subject.map([(Odd(), 1)])
    with pytest.raises(HostileError):
        m[Odd()] = 2
    assert len(m) == 1
    assert usable(m)


def test_a_key_that_equals_nothing_is_found_by_identity(subject):
    """Its own __eq__ is not asked about itself."""
    keys = [Lonely() for _ in range(50)]
    m = subject.map((key, number) for number, key in enumerate(keys))
    assert [m[key] for key in keys] == list(range(50))
    assert Lonely() not in m
    assert [m.pop(key) for key in reversed(keys)] == list(range(49, -1, -1))


# ---- how often user code is called ---------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["[]", "get", "in"])
def test_a_look_up_hashes_the_key_once_and_compares_it_once(subject, operation):
    """And leaves keys of other hashes alone."""
    m = subject.map((CountedKey(number), number) for number in range(100))
    given = CountedKey(50)
    for key in m:
        key.calls.clear()
    ONE_KEY_OPERATIONS[operation](m, given)
    assert given.calls["hash"] == 1
    assert given.calls["eq"] + sum(key.calls["eq"] for key in m) == 1


@unpromised("ordered")
def test_eq_is_called_only_between_keys_of_equal_hash(subject):
    """As in dict, also through growth, shrinking, iteration and copying."""
    keys = [CountedKey(number) for number in range(500)]
    m = subject.map((key, None) for key in keys)
    assert CountedKey("missing") not in m
    for key in keys:
        assert key in m
    list(m.items())
    m.copy()
    for key in keys:
        del m[key]
    assert sum(key.calls["eq"] for key in keys) == 0, "identical keys are not compared either"


# ---- colliding and changing hashes ---------------------------------------------------------------------


@pytest.mark.parametrize("order", ["forward", "backward", "inside out"])
def test_thousands_of_keys_of_one_hash_are_right_though_slow(subject, order):
    """Found, overwritten, and removed in any order."""
    count = scale(300, 60)
    keys = [Key(number, hash_value=42) for number in range(count)]
    m = subject.map((key, number) for number, key in enumerate(keys))
    assert len(m) == count
    m._check()
    for number in range(0, count, 7):
        assert m[Key(number, 42)] == number
    assert Key("missing", 42) not in m
    indices = list(range(count))
    if order == "backward":
        indices.reverse()
    elif order == "inside out":
        indices.sort(key=lambda index: (abs(index - count // 2), index))
    for done, index in enumerate(indices):
        assert m.pop(keys[index]) == index
        if done % (count // 8) == 0:
            assert sorted(m.values()) == sorted(indices[done + 1 :])
            m._check()
    assert len(m) == 0


def test_two_thousand_keys_of_one_hash_are_all_there(subject):
    """Each inserted, one in fifty looked for, all removed."""
    count = scale(2000, 100)
    keys = [Lonely() for _ in range(count)]
    m = subject.map()
    for number, key in enumerate(keys):
        m[key] = number
    assert len(m) == count
    m._check()
    assert all(m[key] == number for number, key in enumerate(keys) if number % 50 == 0)
    for key in keys:
        del m[key]
    assert len(m) == 0


@pytest.mark.parametrize("hash_value", [-1, -2, 0, 1, -113, 2**61 - 2, -(2**61) + 2])
def test_every_hash_value_works(subject, hash_value):
    """Those with a meaning to the interpreter or the compiler included."""
    key, other = Key("a", hash_value), Key("b", hash_value)
    m = subject.map([(key, 1)])
    m[other] = 2
    assert (m[Key("a", hash_value)], m[Key("b", hash_value)]) == (1, 2)
    assert m.pop(other) == 2
    assert m == {key: 1}
    m[hash_value] = 3  # an int, whose hash it is
    assert m[hash_value] == 3


def test_keys_whose_hash_changes_do_no_harm(subject):
    """They are lost, not the map; growth, iteration and removal of others work on."""
    keys = [Key(number) for number in range(100)]
    m = subject.map((key, key.name) for key in keys)
    for key in keys[::2]:
        key.hash_value += 1_000_003
    for number in range(1000, 1200):
        m[number] = number
    assert len(list(m)) == 300
    for number in range(1000, 1200):
        assert m.pop(number) == number
    for key in keys[1::2]:
        assert m.pop(key) == key.name
    for key in keys[::2]:
        m.pop(key, None)
    m.clear()
    assert len(m) == 0
    assert usable(m)


@unpromised("ordered")  # Folded's order is not the one of its equality
def test_str_subclasses_are_keys_equal_to_their_strings(subject):
    """Plain ones, and ones with their own idea of equality."""

    class Plain(str):
        __slots__ = ()

    class Folded(str):
        __slots__ = ()

        def __hash__(self):
            return hash(self.lower())

        def __eq__(self, other):
            return isinstance(other, str) and self.lower() == other.lower()

    m = subject.map()
    m["key"] = 1
    assert m[Plain("key")] == 1
    assert m[Folded("KEY")] == 1
    m[Plain("key")] = 2
    assert [type(key) for key in m] == [str]
    m[Folded("OTHER")] = 3
    assert m["other"] == 3
    assert m[Plain("other")] == 3
    for number in range(100):
        m[Plain(number)] = number
    assert [m[str(number)] for number in range(100)] == list(range(100))


# ---- keys that use the map while it uses them ----------------------------------------------------------

ACTIONS = {
    "gets itself": lambda m: m.get(Key("same", 7)),
    "sets itself": lambda m: m.__setitem__(Key("same", 7), "inner"),
    "removes itself": lambda m: m.pop(Key("same", 7), None),
    "sets a neighbour": lambda m: m.__setitem__(Key("neighbour", 7), "inner"),
    "removes a neighbour": lambda m: m.pop(Key(0, 7), None),
    "sets many others": lambda m: m.update((number, "inner") for number in range(300)),
    "clears": lambda m: m.clear(),
    "iterates": lambda m: list(m.items()),
    "pops an entry": lambda m: m.popitem() if len(m) else None,
    "computes": lambda m: m.compute(Key("other"), lambda _: "inner"),
    "copies": lambda m: m.copy(),
}


@every_operation
@pytest.mark.parametrize("action", ACTIONS)
@in_a_thread
def test_a_key_may_use_the_map_while_it_is_compared(subject, operation, action):
    """Nothing hangs, nothing is torn; afterwards the map is whole."""
    m = subject.map((Key(number, 7), number) for number in range(3))
    m[Key("same", 7)] = "outer"
    given = ActingKey("same", lambda: ACTIONS[action](m), hash_value=7, times=2)

    with contextlib.suppress(KeyError):
        ONE_KEY_OPERATIONS[operation](m, given)
    entries = list(m.items())
    assert len({id(key) for key, _ in entries}) == len(entries) == len(m)
    names = [(type(key).__name__ == "ActingKey" and "Key") or repr(key) for key, _ in entries]
    assert len(names) == len(entries)
    assert sum(key == Key("same", 7) for key, _ in entries) <= 1, "one key, one entry"
    assert usable(m)


@in_a_thread
def test_a_hash_may_use_the_map(subject):
    """It is called before the operation begins."""
    m = subject.map((number, number) for number in range(20))

    class Meddling(Key):
        def __hash__(self):
            m.update((number, number) for number in range(100))
            m.pop(3, None)
            return super().__hash__()

        __eq__ = Key.__eq__

    m[Meddling("a")] = 1
    assert m[Meddling("a")] == 1
    assert m.pop(Meddling("a")) == 1
    assert len(m) == 99
    assert usable(m)


@in_a_thread
def test_a_callback_may_use_the_map_on_other_keys(subject):
    """From compute, factories and predicates."""
    m = subject.map(a=1, b=2)
    assert m.compute("a", lambda old: m.pop("b") + old) == 3
    assert m.get_or_insert_with("c", lambda: m.setdefault("d", 4)) == 4
    assert m.remove_if("a", lambda _: m.insert("e", 5))
    assert m.retain(lambda key, _: m.get(key) != 5) == 1
    assert m == {"c": 4, "d": 4}
    assert usable(m)


@in_a_thread
def test_an_eq_of_values_may_use_the_map(subject):
    """In compare_and_set: what it changes makes the exchange start again or be overwritten, never get lost half."""
    m = subject.map(z=0)

    class Value:
        def __eq__(self, other):
            m["z"] += 1
            m["other"] = "inner"
            return True

        __hash__ = None

    m["a"] = Value()
    assert m.compare_and_set("a", 1, 2)
    assert m["a"] == 2
    assert m["z"] >= 1
    assert usable(m)


# ---- destructors ---------------------------------------------------------------------------------------

REMOVALS = {
    "overwritten": lambda m, key: operator.setitem(m, key, 0),
    "deleted": operator.delitem,
    "popped": lambda m, key: m.pop(key) and None,
    "replaced": lambda m, key: m.replace(key, 0) and None,
    "computed away": lambda m, key: m.compute(key, lambda _: ABSENT) is ABSENT,
    "exchanged": lambda m, key: m.compare_and_set(key, m[key], 0),
    "cleared": lambda m, _: m.clear(),
    "updated": lambda m, key: m.update([(key, 0)]),
    "retained not": lambda m, _: m.retain(lambda *_: False),
    "pop_many": lambda m, key: m.pop_many([key]) and None,
    "popitem": lambda m, _: m.popitem() and None,
}


@pytest.mark.parametrize("removal", REMOVALS)
@in_a_thread
def test_the_destructor_of_a_value_may_use_the_map(subject, removal):
    """It runs under no lock: also another thread may, and it may wait for that."""
    m = subject.map()
    done = []

    def use():
        m["from the destructor"] = 1
        m.update((str(number), number) for number in range(50))
        assert m.pop("from the destructor") == 1
        done.append(finishes(lambda: m.__setitem__("from another thread", 1)))

    m["a"] = Dying(use)
    REMOVALS[removal](m, "a")
    assert collected(lambda: done == [True], subject.settle)
    assert usable(m)


@pytest.mark.parametrize("removal", ["deleted", "popped", "cleared", "computed away", "popitem", "pop_many"])
@in_a_thread
def test_the_destructor_of_a_key_may_use_the_map(subject, removal):
    """Even that of the key whose removal is under way."""
    m = subject.map()
    done = []

    def use():
        m.update((number, number) for number in range(50))
        m.pop(3, None)
        done.append(True)

    m[Dying(use)] = 1
    REMOVALS[removal](m, next(iter(m)))
    assert collected(lambda: done == [True], subject.settle)
    assert usable(m)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("removal", REMOVALS)
def test_a_destructor_that_raises_is_not_the_maps_business(subject, removal):
    """The interpreter reports it; the operation goes on."""

    def fail():
        raise HostileError

    m = subject.map()
    m["a"] = Dying(fail)
    REMOVALS[removal](m, "a")
    assert m.get("a", 0) == 0
    assert usable(m)


@in_a_thread
def test_a_destructor_may_hold_the_last_reference_to_the_map(subject):
    """The map goes when the value goes that its own clear() drops."""
    holder = [subject.loose()]
    done = []

    def drop():
        if holder:
            holder.pop()
        gc.collect()
        done.append(True)

    m = holder[0]
    m["a"] = Dying(drop)
    m["b"] = Dying(drop)
    del m
    holder[0].clear()
    gc.collect()
    assert done == [True, True]


@in_a_thread
def test_values_may_put_themselves_back_while_the_map_is_cleared(subject):
    """clear() ends, and what they put in is there or gone, not half."""
    m = subject.map()

    class Stubborn:
        def __init__(self, key, lives):
            self.key, self.lives = key, lives

        def __del__(self):
            if self.lives:
                m[self.key] = Stubborn(self.key, self.lives - 1)

    for number in range(50):
        m[number] = Stubborn(number, 3)
    for _ in range(6):
        m.clear()
        gc.collect()
        m._check()
    assert len(m) == 0


@promised(handles=True)
@pytest.mark.parametrize("dying", ["key", "value"])
def test_a_destructor_may_close_the_handle_whose_operation_runs_it(backend, dying):
    """The operation had its effect and returns its result."""
    handle = backend.map().handle()
    victim = Dying(handle.close)
    if dying == "key":
        handle[victim] = "result"
        key = victim
    else:
        handle["a"] = victim
        key = "a"
    del victim
    if dying == "key":
        results = []

        def pop():
            nonlocal key
            doomed, key = key, None
            results.append(handle.pop(Alias(doomed)))

        class Alias(Orderly):
            def __init__(self, of):
                self.hash, self.name = hash(of), id(of)

            def place(self):
                return "Dying", self.name

            def __hash__(self):
                return self.hash

            def __eq__(self, other):
                return id(other) == self.name

        pop()
        assert results == ["result"]
    else:
        handle[key] = 1
    backend.settle()
    gc.collect()
    with pytest.raises(ValueError, match="closed"):
        handle.get("a")


# ---- comparisons that block ----------------------------------------------------------------------------


@promised(lock_free_reads=True)
@every_operation
def test_a_comparison_that_blocks_holds_no_reader_up(subject, operation):
    """Whatever operation makes it, and wherever the reader's key lies."""
    m = subject.shared((Key(number, 7), number) for number in range(3))
    m["other"] = 1
    blocking = BlockingKey("blocking", 7)

    def block():
        with contextlib.suppress(KeyError):
            ONE_KEY_OPERATIONS[operation](subject.view(m), blocking)

    thread = threading.Thread(target=block, daemon=True)
    thread.start()
    assert blocking.entered.wait(PATIENCE)

    def read():
        view = subject.view(m)
        assert view["other"] == 1
        assert view[Key(1, 7)] == 1
        assert view.get(Key("missing", 7)) is None
        assert Key(2, 7) in view
        assert view.get_many([Key(0, 7), "other"]) == [0, 1]
        assert len(list(view.items())) >= 4

    ended = finishes(read)
    blocking.go.set()
    thread.join(PATIENCE)
    assert ended
    assert not thread.is_alive()
    assert usable(m)
