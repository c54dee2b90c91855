"""The ``nr`` map: a replicated dict, for the map itself and its handles.

User code runs outside: see ``map_state``. May import only core's public names and this package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, cast, final

from mypy_extensions import i64, mypyc_attr

from intermodal import ABSENT
from intermodal.atomics import RELAXED, hash_object, load, reachability_fence, stored_dict_get
from intermodal.maps import ConcurrentMap, check_value, sole_argument, unusable
from intermodal_nr.group import LEVELS, LINEARIZABLE, SESSION, Group
from intermodal_nr.map_state import (
    ALWAYS,
    CLEAR,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    LENGTH,
    NAMED,
    POP_LAST,
    REMOVE,
    RETRY,
    SNAPSHOT,
    Change,
    MapState,
    Namesakes,
    Snapshot,
    Wrapped,
    is_plain,
    unwrapped,
)
from intermodal_nr.memory_log import MemoryLog
from intermodal_nr.readers import leave
from intermodal_nr.replica import WAKE, Replica, enter
from intermodal_nr.requests import MOVED
from intermodal_nr.states import result_of
from intermodal_nr.statistics import ReplicatedMapStatistics, statistics_of

_ABSENT: Final[object] = ABSENT


def new_group(
    replicas: int = 1,
    capacity: int = 4096,
    batch: int = 256,
    evict_after: float | None = None,
    checked: bool = False,
    placement: Any = None,
) -> Group:
    """Return the replicas of an empty map."""
    state = MapState({}, {}, 0)
    return Group(MemoryLog(capacity), state, replicas, batch, evict_after, checked, placement)


@mypyc_attr(allow_interpreted_subclasses=True)
class DictView(ConcurrentMap):
    """What maps of :class:`MapState` do with one key, given how they find and change an entry."""

    def _find(self, key: object) -> object:
        """Return the value of *key*, or ABSENT."""
        raise NotImplementedError

    def _change(self, key: object, condition: int, expected: object, new: object) -> object:
        """Make a change of an entry if *condition* holds; return its value before, or ABSENT."""
        raise NotImplementedError

    def __getitem__(self, key: Any) -> Any:
        value = self._find(key)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        value = self._find(key)
        return default if value is _ABSENT else value

    def __contains__(self, key: object) -> bool:
        return self._find(key) is not _ABSENT

    def __setitem__(self, key: Any, value: Any) -> None:
        check_value(value)
        self._change(key, ALWAYS, None, value)

    def __delitem__(self, key: Any) -> None:
        if self._change(key, IF_PRESENT, None, REMOVE) is _ABSENT:
            raise KeyError(key)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        value = self._change(key, IF_PRESENT, None, REMOVE)
        if value is not _ABSENT:
            return value
        if default is _ABSENT:
            raise KeyError(key)
        return default

    def setdefault(self, key: Any, default: Any = None) -> Any:
        check_value(default)
        value = self._change(key, IF_ABSENT, None, default)
        return default if value is _ABSENT else value

    def insert(self, key: Any, value: Any) -> bool:
        check_value(value)
        return self._change(key, IF_ABSENT, None, value) is _ABSENT

    def replace(self, key: Any, value: Any) -> Any:
        check_value(value)
        old = self._change(key, IF_PRESENT, None, value)
        if old is _ABSENT:
            raise KeyError(key)
        return old

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        if current is not _ABSENT:
            return self._change(key, IF_IDENTICAL, current, REMOVE if new is _ABSENT else new) is current
        if new is _ABSENT:
            return self._find(key) is _ABSENT
        return self._change(key, IF_ABSENT, None, new) is _ABSENT


@final
class Door:
    """A handle's way to its replica: its reader slot there, and the addresses of all that a look-up looks at.

    Made by the thread that uses the handle, so that to it references to this object are cheap; and nothing
    changes in it, so that a handle which changes its replica while others use it gets another one.
    """

    def __init__(self, replica: Replica) -> None:
        state = cast("MapState", replica.state)
        self.replica: Final = replica
        self.slot: Final[i64] = replica.own_slot()
        self.guarded: Final = replica.guarded
        self.base: Final[i64] = replica.base
        self.lock: Final[i64] = replica.lock
        self.completed: Final[i64] = replica.completed
        self.data: Final[i64] = state.data_address
        self.wrapped: Final[i64] = state.wrapped_address

    def close(self) -> None:
        """Give the slot back."""
        self.replica.disown(self.slot)


@mypyc_attr(allow_interpreted_subclasses=True)
class NrView(DictView):
    """A dict of which each replica has a copy, and a log that gives all changes one order.

    Args:
        data: a mapping or an iterable of pairs to start with.
        entries: keyword arguments, more entries.

    Every operation on one key, ``len``, ``clear``, ``popitem`` and the beginning of an iteration takes effect
    at one instant. Keys' ``__hash__`` and ``__eq__``, callbacks and destructors run under no lock, so they
    may use this map; a callback may be called again if the entry changes meanwhile. Iteration is over the
    entries of the moment at which it begins, in the order in which keys were added.

    A read looks at the thread's own replica. A change is made to all of them, by one thread for all that wait
    at a replica; so with several replicas reads scale and changes do not. With several, an object that was
    replaced is let go when every replica has made the change and the log has been trimmed.

    Keys of type str, int, float, complex, bytes, bool, None and tuples of these take O(1) expected time; any
    other takes about a microsecond more. Iteration, ``snapshot`` and ``copy`` take O(n).

    >>> from intermodal_nr import NrMap
    >>> m = NrMap({"a": 1}, b=2)
    >>> m.compute("a", lambda old: old + 1), m.popitem(), m
    (2, ('b', 2), {'a': 2})
    """

    _group: Group | None = None
    _closed: bool = False
    #: A handle's way to its replica; a map uses the replica of the calling thread.
    _door: Door | None = None
    _level: int = 0
    _seen: i64 = 0

    def __init__(self, /, *data: Any, **entries: Any) -> None:
        if data and isinstance(data[0], Group):  # a view of an existing map: with_options(), handle()
            if self._group is None:
                self._group = data[0]
            return
        if self._group is None:  # a second call, like dict's, only updates
            self._group = new_group()
        self.update(sole_argument(type(self).__name__, data), **entries)

    def _shared(self) -> Group:
        group = self._group
        if self._closed or group is None:
            raise unusable(self, self._closed)
        return group

    # ---- the way to the replica -------------------------------------------------------------------------

    def _read(self, operation: object) -> object:
        door = self._door
        if door is None:
            return result_of(self._shared().read(operation, -1))
        return result_of(self._read_through(door, operation))

    def _read_through(self, door: Door, operation: object) -> object:
        least: i64 = -1 if self._level == LINEARIZABLE else self._seen if self._level == SESSION else 0
        outcome = door.replica.read(door.slot, operation, least)
        while outcome is MOVED:
            door = self._move()
            outcome = door.replica.read(door.slot, operation, least)
        if self._level != LINEARIZABLE:
            self._seen = max(self._seen, door.replica.position())
        return outcome

    def _write(self, change: Change) -> object:
        door = self._door
        if door is None:
            return result_of(self._shared().write(change))
        outcome = door.replica.write(change)
        while outcome is MOVED:
            door = self._move()
            outcome = door.replica.write(change)
        if self._level != LINEARIZABLE:
            self._seen = max(self._seen, door.replica.position())
        return result_of(outcome)

    def _move(self) -> Door:
        door = Door(self._shared().next_replica())
        self._door = door
        return door

    # ---- one key ----------------------------------------------------------------------------------------

    def _find(self, key: object) -> object:
        value = self.find_plain(key)
        return self.locate(key, hash_object(key))[2] if value is RETRY else value

    def find_plain(self, key: object) -> object:
        """Return the value of *key*, or ABSENT; RETRY if user code has to be asked: then locate() it."""
        if not is_plain(key):
            return RETRY
        door = self._door
        if door is not None and self._level == LINEARIZABLE:
            # What _read does, for the case that counts.
            slot = enter(door.base, door.lock, door.completed, door.guarded, 0, door.slot, -1)
            if slot >= 0:
                wrapped = load(door.wrapped, RELAXED)
                try:
                    value = stored_dict_get(door.data, key, _ABSENT)
                finally:
                    if door.guarded and leave(door.lock, slot):
                        door.replica.wake_combiner()
                if value is not _ABSENT or wrapped == 0:
                    return value
            elif slot == WAKE:
                door.replica.wake_combiner()
        return self._read(key)

    def locate(self, key: object, key_hash: i64) -> tuple[list[object], i64, object]:
        """Return the keys of a hash, which of them equals *key*, or -1, and its value, or ABSENT."""
        entries = cast("list[object]", self._read(Namesakes(key_hash)))
        namesakes: list[object] = []
        found: i64 = -1
        value: object = _ABSENT
        index: i64 = 0
        count: i64 = len(entries)
        while index < count:
            stored = entries[index]
            if found < 0:
                present: Any = unwrapped(stored)
                if present is key or present == key:
                    found = index >> 1
                    value = entries[index + 1]
            namesakes.append(stored)
            index += 2
        return namesakes, found, value

    def _change(self, key: object, condition: int, expected: object, new: object) -> object:
        outcome = self.change_plain(key, condition, expected, new)
        if outcome is RETRY:
            return self.change_located(key, hash_object(key), condition, expected, new)
        return outcome

    def change_plain(self, key: object, condition: int, expected: object, new: object) -> object:
        """Do what _change() does; RETRY if user code has to be asked: then change_located()."""
        return self._write(Change(condition, key, expected, new)) if is_plain(key) else RETRY

    def change_located(
        self, key: object, key_hash: i64, condition: int, expected: object, new: object
    ) -> object:
        """Do what _change() does in two steps, of which user code is asked in the first; again if need be."""
        while True:
            namesakes, at, value = self.locate(key, key_hash)
            if value is _ABSENT:
                if condition >= IF_PRESENT or new is REMOVE:
                    return _ABSENT
            elif condition == IF_ABSENT or (condition == IF_IDENTICAL and value is not expected):
                return value
            stored = key if is_plain(key) else Wrapped(key, key_hash)
            demanded = expected if condition == IF_IDENTICAL else REMOVE
            outcome = self._write(Change(NAMED, stored, demanded, new, key_hash, namesakes, at))
            if outcome is not RETRY:
                return outcome

    def popitem(self) -> tuple[Any, Any]:
        """Remove the entry whose key was added last and return it; KeyError if the map is empty."""
        entry = self.pop_last()
        if entry is None:
            raise KeyError("popitem(): map is empty")
        return entry

    def pop_last(self) -> tuple[Any, Any] | None:
        """Remove the entry whose key was added last and return it, or None if the map is empty."""
        entry = self._write(Change(POP_LAST, None, None, None))
        if entry is _ABSENT:
            return None
        key, value = cast("tuple[Any, Any]", entry)
        return unwrapped(key), value

    # ---- the whole map ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        self._shared()
        return cast("int", self._read(LENGTH))

    def _entries(self) -> Snapshot:
        self._shared()
        return cast("Snapshot", self._read(SNAPSHOT))

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._entries().items())

    def snapshot(self) -> Mapping[Any, Any]:
        """Return a read-only mapping of the entries of one moment. O(n)."""
        taken = self._entries()
        return MappingProxyType(dict(taken.items()) if taken.wrapped else taken.data)

    def clear(self) -> None:
        """Remove every entry, in one step."""
        self._shared()
        removed = self._write(Change(CLEAR, None, None, None))
        reachability_fence(removed)

    def statistics(self) -> ReplicatedMapStatistics:
        """Return a frozen record of the map and its replicas."""
        statistics: ReplicatedMapStatistics = statistics_of(self._shared(), len(self))
        return statistics

    def __sizeof__(self) -> int:
        size = object.__sizeof__(self)
        for replica in self._shared().replicas:
            size += sys.getsizeof(cast("MapState", replica.state).data)
        return size

    # ---- replicas and handles ---------------------------------------------------------------------------

    def sync(self) -> None:
        """Bring every replica up to date, and let go of what only their lag has kept."""
        self._shared().sync()

    def add_replica(self) -> int:
        """Add a replica while others use the map; return how many there are."""
        return self._shared().add()

    def remove_replica(self, index: int = -1) -> int:
        """Remove a replica while others use the map; return how many are left."""
        return self._shared().remove(index)

    def handle(self, consistency: str = "linearizable") -> NrView:
        """Return a view of this map for the calling thread, with a replica and a reader slot of its own.

        Args:
            consistency: what reads through it see: ``"linearizable"``, everything finished before they began;
                ``"session"``, all that this handle has seen or done; ``"stale"``, some earlier moment.
        """
        if consistency not in LEVELS:
            raise ValueError(f"consistency is one of {', '.join(map(repr, LEVELS))}; got {consistency!r}")
        handle = NrHandle(self._shared())
        handle._level = LEVELS[consistency]
        handle._move()
        return handle

    def _check(self) -> None:
        group = self._shared()
        group.check()
        first: list[tuple[object, object]] | None = None
        for replica in group.replicas:
            state = cast("MapState", replica.state)
            entries = list(state.data.items())
            state.check()
            if first is not None:
                assert len(entries) == len(first), "two replicas have not as many entries"
                for mine, other in zip(entries, first, strict=True):
                    assert mine[0] is other[0] or mine[0] == other[0], "two replicas have other keys"
                    assert mine[1] is other[1], "two replicas have other values"
            first = entries


@final
class NrHandle(NrView):
    """A view of a replicated map for the thread that made it."""

    def close(self) -> None:
        """Let go of the map. Any later use raises ValueError."""
        door = self._door
        self._closed = True
        self._door = None
        self._group = None
        if door is not None:
            door.close()

    def __del__(self) -> None:
        if not self._closed:
            self.close()
