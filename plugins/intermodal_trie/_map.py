"""The trie's operations, for the map itself, its handles and its snapshots: the facade over ``_state``.

May import only core's public names and this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast, final

from mypy_extensions import i64, mypyc_attr

from intermodal import ABSENT
from intermodal.atomics import (
    GIL_PROTECTS,
    RELAXED,
    cell_address,
    hash_object,
    load,
    mix,
    object_load,
    reachability_fence,
    thread_token,
)
from intermodal.maps import ConcurrentMap, check_value, sole_argument, unusable
from intermodal.statistics import MapStatistics
from intermodal_trie._iterate import EntryIterator
from intermodal_trie._nodes import generation_at
from intermodal_trie._read import MISSING, RETRY_READ, count_entries, read_borrowed, read_counted, read_root
from intermodal_trie._state import (
    ALWAYS,
    DONE_INSERTED,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    REFUSED,
    REMOVE,
    TrieState,
    write,
)
from intermodal_trie._statistics import TrieStatistics

# A compiled module finds its own constants without a look-up in the importing module's dictionary.
_ABSENT: Final[object] = ABSENT
_GIL_PROTECTS: Final[bool] = GIL_PROTECTS


@mypyc_attr(allow_interpreted_subclasses=True)
class TrieView(ConcurrentMap):
    """A hash trie: no operation takes a lock or waits, and ``snapshot()`` takes a microsecond.

    Args:
        data: a mapping or an iterable of pairs to start with.
        entries: keyword arguments, more entries.

    Operations on one key are linearizable; ``snapshot()``, iteration, ``len``, ``clear`` are of one moment.
    Keys' ``__hash__`` and ``__eq__``, callbacks and destructors run where nobody waits for them, so they may
    use this map; a callback may be called again if the entry changes meanwhile.

    One-key operations take O(log n), a snapshot O(1), and after it the first write to each part of the map
    copies the way to it. Iteration and ``len`` take a snapshot; ``len`` then counts what has changed since
    the last time, at most O(n).

    >>> from intermodal_trie import TrieMap
    >>> m = TrieMap({"a": 1}, b=2)
    >>> before = m.snapshot()
    >>> m.compute("a", lambda old: old + 1), m.pop("b"), m, dict(before) == {"a": 1, "b": 2}
    (2, 2, {'a': 2}, True)
    """

    # Before __init__ has run there is no owner, so the address is not used.
    _root: i64 = 0
    #: The thread that made it, and 0 while that is in one of its operations: what comes back here then, from
    #: user code, takes the slow path, and does not let go of the state.
    _owner: i64 = 0
    _closed: bool = False
    _state: TrieState | None = None

    def __init__(self, /, *data: Any, **entries: Any) -> None:
        if data and isinstance(data[0], TrieState):  # a view of an existing map
            self._adopt(data[0])
            return
        if self._state is None:  # a second call, like dict's, only updates
            self._adopt(TrieState())
        self.update(sole_argument(type(self).__name__, data), **entries)

    def _adopt(self, state: TrieState) -> None:
        if self._state is None:
            self._state = state
            self._root = state.root
            self._owner = thread_token()

    def _shared_state(self) -> TrieState:
        state = self._state
        if self._closed or state is None:
            raise unusable(self, self._closed)
        return state

    # ---- one key ----------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        value = look_up(self, key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        return look_up(self, key, default)

    def __contains__(self, key: object) -> bool:
        return look_up(self, key, MISSING) is not MISSING

    def __setitem__(self, key: Any, value: Any) -> None:
        check_value(value)
        write_entry(self, key, ALWAYS, None, value)

    def __delitem__(self, key: Any) -> None:
        if write_entry(self, key, IF_PRESENT, None, REMOVE)[0] == REFUSED:
            raise KeyError(key)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        result, value = write_entry(self, key, IF_PRESENT, None, REMOVE)
        if result != REFUSED:
            return value
        if default is _ABSENT:
            raise KeyError(key)
        return default

    def setdefault(self, key: Any, default: Any = None) -> Any:
        check_value(default)
        result, present = write_entry(self, key, IF_ABSENT, None, default)
        return present if result == REFUSED else default

    def insert(self, key: Any, value: Any) -> bool:
        check_value(value)
        return write_entry(self, key, IF_ABSENT, None, value)[0] == DONE_INSERTED

    def replace(self, key: Any, value: Any) -> Any:
        check_value(value)
        result, old = write_entry(self, key, IF_PRESENT, None, value)
        if result == REFUSED:
            raise KeyError(key)
        return old

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        if current is not _ABSENT:
            new = REMOVE if new is _ABSENT else new
            return write_entry(self, key, IF_IDENTICAL, current, new)[0] != REFUSED
        if new is _ABSENT:
            return self.get(key, MISSING) is MISSING
        return write_entry(self, key, IF_ABSENT, None, new)[0] == DONE_INSERTED

    def popitem(self) -> tuple[Any, Any]:
        """Remove one entry, the first one found; O(log n)."""
        state = self._shared_state()
        while True:
            # The live trie is searched first: a snapshot would make writers copy. It may seem empty when
            # entries come and go; a snapshot is the proof.
            found = first_entry(state, object_load(state.root, None))
            if found is None:
                found = first_entry(state, state.freeze())
                if found is None:
                    raise KeyError("popitem(): map is empty")
            if self._compare_exchange(found[0], found[1], _ABSENT):
                return found

    # ---- the whole map ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self._shared_state().entries())

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        state = self._shared_state()
        return cast("Iterator[tuple[Any, Any]]", EntryIterator(state, state.freeze()))

    def clear(self) -> None:
        """Remove all entries at one moment; O(1), and what they hold goes with the last snapshot of it."""
        self._shared_state().clear()

    def snapshot(self) -> Mapping[Any, Any]:
        """Return a read-only mapping of the entries of this moment; O(1).

        It shares with the map what does not change, and keeps what does. Any thread may use it.
        """
        state = self._shared_state()
        make = snapshot_makers[0]
        return make(FrozenTrie(state, state.freeze()))

    def statistics(self) -> MapStatistics:
        state = self._shared_state()
        first = state.freeze()
        generation = int(load(generation_at(cell_address(first)), RELAXED))
        return TrieStatistics(
            entries=int(count_entries(state.root, first)),
            generation=generation,
        )

    # ---- handles ----------------------------------------------------------------------------------------

    def handle(self) -> TrieView:
        """Return a view of this map for the calling thread, whose count other threads do not touch."""
        return TrieHandle(self._shared_state())

    def _check(self) -> None:
        self._shared_state().check()


@final
class TrieHandle(TrieView):
    """A view of a trie for the thread that made it."""

    def close(self) -> None:
        """Let go of the map. Any later use raises ValueError.

        Closed by another thread than the one that made it, or by user code in the middle of an operation, it
        keeps the map until it goes itself.
        """
        self._closed = True
        if self._owner == thread_token():
            self._owner = 0
            self._state = None


# ---- functions, since calls of methods on an interpreted subclass, as the public map is, are looked up ----


def look_up(view: TrieView, key: object, fallback: object) -> object:
    """Return the value of *key* or *fallback*."""
    key_hash = hash_object(key)
    h = mix(key_hash)
    owner = thread_token()
    if view._owner == owner and not view._closed:
        # The caller keeps the view, and that its state, so the state need not be counted.
        view._owner = 0
        try:
            if not _GIL_PROTECTS:
                return read_root(view._root, h, key_hash, key, fallback)
            value = read_borrowed(view._root, h, key, fallback)
            if value is RETRY_READ:
                value = read_root(view._root, h, key_hash, key, fallback)
            return value
        finally:
            view._owner = owner
    state = view._shared_state()
    value = read_root(state.root, h, key_hash, key, fallback)
    reachability_fence(state)
    return value


def write_entry(
    view: TrieView, key: object, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Change the entry of *key* if the condition holds: (result, previous value)."""
    key_hash = hash_object(key)
    h = mix(key_hash)
    owner = thread_token()
    if view._owner == owner and not view._closed:
        view._owner = 0
        try:
            return write(view._root, h, key_hash, key, condition, expected, new)
        finally:
            view._owner = owner
    state = view._shared_state()
    answer = write(state.root, h, key_hash, key, condition, expected, new)
    reachability_fence(state)
    return answer


def first_entry(state: TrieState, first: object) -> tuple[Any, Any] | None:
    """Return an entry of *first* or of what is below, or None."""
    for entry in cast("Iterator[tuple[Any, Any]]", EntryIterator(state, first)):
        return entry
    return None


# ---- snapshots --------------------------------------------------------------------------------------------


@final
class FrozenTrie:
    """The first node of a trie that never changes, and the state of the map that it was taken of."""

    def __init__(self, state: TrieState, first: object) -> None:
        self._state: Final = state
        self._first: Final = first
        # Neither is counted for a look-up: this keeps them.
        self._root: Final[i64] = state.root
        self._at: Final[i64] = cell_address(first)

    def get(self, key: Any, default: Any) -> Any:
        """Return the value of *key* or *default*."""
        key_hash = hash_object(key)
        return read_counted(self._root, self._at, mix(key_hash), key_hash, key, default)

    def count(self) -> int:
        """Return the number of entries."""
        return int(count_entries(self._root, self._first))

    def entries(self) -> Iterator[tuple[Any, Any]]:
        """Return an iterator of (key, value) pairs."""
        return cast("Iterator[tuple[Any, Any]]", EntryIterator(self._state, self._first))


#: What makes of a frozen trie the mapping that users get: a class that is interpreted, so not to be imported.
snapshot_makers: Final[list[Callable[[FrozenTrie], Mapping[Any, Any]]]] = []
