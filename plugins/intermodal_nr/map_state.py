"""The state of a replicated map: a dict, changed and read without running any user code.

Keys that run none when they are hashed and compared, *plain* ones, are keys of the dict. Any other is put in
a :class:`Wrapped`, which is equal to itself only. The keys that have a certain hash are *namesakes*. An index
has the wrapped ones by hash. For the plain ones the dict itself is asked, with a probe that is equal to
nothing and notes what it is compared with.

So an operation on a key that is not plain, or on a plain one with namesakes that are not, has two steps: look
at the namesakes; compare them with the key, outside, where user code may do anything; then say what is to
happen to which, if the namesakes are still the same. If not, it begins again. An operation on a plain key is
one step, and finds out by itself if that is not enough.

May import only core's public names and ``states``.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any, Final, cast, final

from mypy_extensions import i64

from intermodal import ABSENT
from intermodal.atomics import (
    GIL_PROTECTS,
    RELAXED,
    hash_object,
    key_is_str,
    load,
    object_exchange,
    object_store,
    store,
)
from intermodal.memory import Block
from intermodal_nr.states import Raised, State

_ABSENT: Final[object] = ABSENT


_NONE: Final[list[object]] = []
#: What an operation returns that must take two steps.
RETRY: Final[object] = object()
#: As new value: remove the entry.
REMOVE: Final[object] = object()

# When a change is made: always, if there is no entry, if there is one, if its value is the expected one.
ALWAYS: Final = 0
IF_ABSENT: Final = 1
IF_PRESENT: Final = 2
IF_IDENTICAL: Final = 3
# Changes of another kind.
CLEAR: Final = 4
POP_LAST: Final = 5
NAMED: Final = 6

# Reads.
LENGTH: Final[object] = object()
SNAPSHOT: Final[object] = object()

_PLAIN: Final[frozenset[Any]] = frozenset((int, float, bool, complex, bytes, type(None)))


def is_plain(key: object) -> bool:
    """Return whether hashing and comparing *key* runs no user code."""
    if key_is_str(key):
        return True
    kind = type(key)
    if kind is tuple:
        return all(is_plain(each) for each in cast("tuple[object, ...]", key))
    return kind in _PLAIN


@final
class Wrapped:
    """A key that is not plain; equal to itself only."""

    def __init__(self, key: object, key_hash: i64) -> None:
        self.key: Final = key
        self.hash: Final[i64] = key_hash


def unwrapped(key: object) -> object:
    """Return the key that users know."""
    return key.key if isinstance(key, Wrapped) else key


@final
class Probe:
    """Is equal to nothing, and keeps what it has been compared with: the keys of its hash."""

    def __init__(self) -> None:
        self.found: Final[list[object]] = []
        self.hash: i64 = 0

    def __hash__(self) -> int:
        return int(self.hash)

    def __eq__(self, other: object) -> bool:
        self.found.append(other)
        return False


@final
class Change:
    """A change of one entry, or of the whole map, as it stands in the log."""

    def __init__(
        self,
        condition: int,
        key: object,
        expected: object,
        new: object,
        key_hash: i64 = 0,
        namesakes: list[object] | None = None,
        at: i64 = -1,
    ) -> None:
        self.condition: Final = condition
        self.key: Final = key
        self.expected: Final = expected
        self.new: Final = new
        #: For a change in two steps: the keys of this hash, and which of them is meant; -1: none.
        self.key_hash: Final[i64] = key_hash
        self.namesakes: Final = namesakes
        self.at: Final[i64] = at


@final
class Namesakes:
    """The read of the first step: keys of a hash, each followed by its value."""

    def __init__(self, key_hash: i64) -> None:
        self.key_hash: Final[i64] = key_hash


@final
class Snapshot:
    """A copy of the dict, and whether some of its keys are wrapped."""

    def __init__(self, data: dict[object, object], wrapped: bool) -> None:
        self.data: Final = data
        self.wrapped: Final = wrapped

    def items(self) -> Iterable[tuple[object, object]]:
        """Return the entries, with the keys that users know."""
        if self.wrapped:
            return [(unwrapped(key), value) for key, value in self.data.items()]
        return self.data.items()


@final
class MapState(State):
    """One copy of the map.

    Readers with a handle find the dict, and whether keys are wrapped, by addresses: so they count no
    reference to what other threads use too.
    """

    def __init__(self, data: dict[object, object], index: dict[int, list[object]], wrapped: i64) -> None:
        block = Block(1, 1)
        self._block: Final = block
        #: Address of a word: the number of keys that are wrapped.
        self.wrapped_address: Final[i64] = block.address
        #: Address of an object slot: the dict.
        self.data_address: Final[i64] = block.objects_address
        self.data: dict[object, object] = data
        #: Hash -> the wrapped keys of that hash.
        self._index: dict[int, list[object]] = index
        self._probe: Final = Probe()  # for changes, which run alone
        #: Whether a change has failed that other copies may have made.
        self._damaged = False
        store(self.wrapped_address, wrapped, RELAXED)
        object_store(self.data_address, data)

    def trusted(self) -> bool:
        return True

    def copy(self) -> State:
        index = {key: each[:] for key, each in self._index.items()}
        return MapState(self.data.copy(), index, self.wrapped())

    def adopt(self, other: State, dropped: list[object]) -> bool:
        taken = cast("MapState", other)
        dropped.append(self._index)
        dropped.append(self._replace_data(taken.data))
        self._index = taken._index
        self._damaged = False
        store(self.wrapped_address, taken.wrapped(), RELAXED)
        return True

    def _replace_data(self, data: dict[object, object]) -> dict[object, object]:
        before = self.data
        self.data = data
        object_exchange(self.data_address, data, None)  # what was there does not die here
        return before

    def wrapped(self) -> i64:
        """Return the number of keys that are wrapped."""
        return load(self.wrapped_address, RELAXED)

    def _count_wrapped(self, more: i64) -> None:
        store(self.wrapped_address, self.wrapped() + more, RELAXED)

    # ---- changes ----------------------------------------------------------------------------------------

    def damaged(self) -> bool:
        return self._damaged

    def apply(self, operation: object, dropped: list[object]) -> object:
        """Make a change; return the value before or ABSENT, of a whole map what it has lost, or RETRY."""
        try:
            return self._apply(cast("Change", operation), dropped)
        except BaseException as error:  # noqa: BLE001  (no memory, or no stack where it runs)
            self._damaged = True
            return Raised(error)

    def _apply(self, change: Change, dropped: list[object]) -> object:
        condition = change.condition
        if condition >= CLEAR:
            return self._apply_guarded(change, dropped)
        data = self.data
        key = change.key
        old = data.get(key, _ABSENT)
        if old is _ABSENT:
            if self.wrapped() and int(hash_object(key)) in self._index:
                return RETRY
            if condition <= IF_ABSENT and change.new is not REMOVE:
                data[key] = change.new
            return _ABSENT
        if condition == IF_ABSENT or (condition == IF_IDENTICAL and old is not change.expected):
            return old
        if change.new is REMOVE:
            del data[key]  # a plain one: nothing runs
        else:
            data[key] = change.new
        return old

    def _apply_guarded(self, change: Change, dropped: list[object]) -> object:
        """Make a change that allocates what the GC tracks; it must not run here. See ``states``.

        Where the GIL protects, nobody else runs meanwhile. Elsewhere the GC does not run in compiled code,
        and in the pure build the role keeps it out.
        """
        if GIL_PROTECTS and gc.isenabled():
            gc.disable()
            outcome = self._apply_other(change, dropped)
            gc.enable()
            return outcome
        return self._apply_other(change, dropped)

    def _apply_other(self, change: Change, dropped: list[object]) -> object:
        data = self.data
        if change.condition == NAMED:
            return self._apply_named(change)
        if change.condition == CLEAR:
            dropped.append(self._index)
            self._index = {}
            store(self.wrapped_address, 0, RELAXED)
            return self._replace_data({})
        if not data:
            return _ABSENT
        last = data.popitem()
        if isinstance(last[0], Wrapped):
            self._forget(last[0])
        return last

    def _apply_named(self, change: Change) -> object:
        expected = change.namesakes
        assert expected is not None
        found = self._namesakes(change.key_hash, self._probe)
        same = len(found) == len(expected)
        at = 0
        while same and at < len(found):
            same = found[at] is expected[at]
            at += 1
        found.clear()  # each is still in the dict
        if not same:
            return RETRY
        data = self.data
        if change.at >= 0:
            stored = expected[change.at]
            old = data[stored]
            if change.expected is not REMOVE and old is not change.expected:
                return RETRY
            if change.new is REMOVE:
                del data[stored]  # the change has it too, so it does not die here
                if isinstance(stored, Wrapped):
                    self._forget(stored)
            else:
                data[stored] = change.new
            return old
        key = change.key
        data[key] = change.new
        if isinstance(key, Wrapped):
            self._index.setdefault(int(key.hash), []).append(key)
            self._count_wrapped(1)
        return _ABSENT

    def _forget(self, key: Wrapped) -> None:
        others = self._index[int(key.hash)]
        others.remove(key)
        if not others:
            del self._index[int(key.hash)]
        self._count_wrapped(-1)

    # ---- reads ------------------------------------------------------------------------------------------

    def _namesakes(self, key_hash: i64, probe: Probe) -> list[object]:
        found = probe.found
        found.extend(self._index.get(int(key_hash), _NONE))
        probe.hash = key_hash
        self.data.get(probe)
        return found

    def query(self, operation: object) -> object:
        """Return the value of a plain key, ABSENT, or RETRY; or what one of the other reads returns."""
        try:
            return self._query(operation)
        except BaseException as error:  # noqa: BLE001  (as in apply)
            return Raised(error)

    def _query(self, operation: object) -> object:
        if isinstance(operation, Namesakes):
            entries: list[object] = []
            for stored in self._namesakes(operation.key_hash, Probe()):
                entries.append(stored)
                entries.append(self.data[stored])
            return entries
        if operation is LENGTH:
            return len(self.data)
        if operation is SNAPSHOT:
            return Snapshot(self.data.copy(), self.wrapped() > 0)
        value = self.data.get(operation, _ABSENT)
        if value is _ABSENT and self.wrapped():
            return RETRY
        return value

    def check(self) -> None:
        """Assert that the index has the wrapped keys, and that nothing stands for no entry."""
        assert sum([isinstance(key, Wrapped) for key in self.data]) == self.wrapped()
        assert sum([len(each) for each in self._index.values()]) == self.wrapped()
        for key_hash, keys in self._index.items():
            assert keys
            for key in keys:
                assert isinstance(key, Wrapped)
                assert key.hash == key_hash
                assert key in self.data
        for value in self.data.values():
            assert value is not _ABSENT
