"""The chained map's operations on one key, for the map itself and its handles.

May import only core's public names and this package.
"""

from __future__ import annotations

from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from intermodal import ABSENT
from intermodal.atomics import hash_object, mix, thread_token
from intermodal.maps import check_value
from intermodal.tables import (
    ALWAYS,
    DONE_INSERTED,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    MISSING,
    REFUSED,
    REMOVE,
    RETRY,
    RETRY_READ,
    SharedState,
    TableView,
    look_at_size,
    read_otherwise,
    suggests_resize,
    write_otherwise,
)
from intermodal_chained._state import MINIMUM_BUCKETS, ChainedState
from intermodal_chained._table import read, write

# A compiled module finds its own constants without a look-up in the importing module's dictionary.
_ABSENT: Final[object] = ABSENT
_MISSING: Final[object] = MISSING
_REMOVE: Final[object] = REMOVE
_RETRY_READ: Final[object] = RETRY_READ


@mypyc_attr(allow_interpreted_subclasses=True)
class ChainedView(TableView):
    """A hash map with buckets of chains: reads take no lock, a value is replaced by one store.

    Args:
        data: a mapping or an iterable of pairs to start with.
        entries: keyword arguments, more entries.

    Operations on one key are linearizable. Keys' ``__hash__`` and ``__eq__``, callbacks and destructors run
    under no lock, so they may use this map; a callback may be called again if the entry changes meanwhile.
    Iteration yields every entry that is there throughout exactly once, in no useful order, and no key twice.
    ``len`` is exact when no insertion or removal is under way.

    A thread that uses the map a lot should make a handle: the map itself keeps the table's address for the
    thread that made it; other threads take a reference to the table each time, and contend for its count.

    One-key operations take O(1) expected time, the longest one included, unless the number of buckets is
    fixed: then the length of a chain. Iteration and clear() take O(capacity).

    >>> from intermodal_chained import ChainedMap
    >>> m = ChainedMap({"a": 1}, b=2)
    >>> m.compute("a", lambda old: old + 1), m.pop("b"), m
    (2, 2, {'a': 2})
    """

    def _new_state(self) -> SharedState:
        return ChainedState(MINIMUM_BUCKETS)

    def __getitem__(self, key: Any) -> Any:
        key_hash = hash_object(key)
        h = mix(key_hash)
        owner = thread_token()
        if self._owner == owner:
            self._owner = 0
            value: object = read(self._control, h, key, _MISSING)
            self._owner = owner
            if value is _MISSING:
                raise KeyError(key)
            if value is not _RETRY_READ:
                return value
        value = read_otherwise(self, key, key_hash, h, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        key_hash = hash_object(key)
        h = mix(key_hash)
        owner = thread_token()
        if self._owner == owner:
            self._owner = 0
            value: object = read(self._control, h, key, default)
            self._owner = owner
            if value is not _RETRY_READ:
                return value
        return read_otherwise(self, key, key_hash, h, default)

    def __contains__(self, key: object) -> bool:
        return self.get(key, _MISSING) is not _MISSING

    def __setitem__(self, key: Any, value: Any) -> None:
        check_value(value)
        write_entry(self, key, ALWAYS, None, value)

    def __delitem__(self, key: Any) -> None:
        if write_entry(self, key, IF_PRESENT, None, _REMOVE)[0] == REFUSED:
            raise KeyError(key)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        result, value = write_entry(self, key, IF_PRESENT, None, _REMOVE)
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
            new = _REMOVE if new is _ABSENT else new
            return write_entry(self, key, IF_IDENTICAL, current, new)[0] != REFUSED
        if new is _ABSENT:
            return self.get(key, _MISSING) is _MISSING
        return write_entry(self, key, IF_ABSENT, None, new)[0] == DONE_INSERTED

    def handle(self) -> ChainedView:
        """Return a view of this map that keeps the table's address for the calling thread."""
        return ChainedHandle(self._shared_state())


@final
class ChainedHandle(ChainedView):
    """A view of a chained map for the thread that made it."""

    def close(self) -> None:
        """Let go of the map and its table. Any later use raises ValueError."""
        self._close()


def write_entry(
    view: ChainedView, key: object, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Change the entry of *key* if the condition holds: (result, previous value); never RETRY."""
    key_hash = hash_object(key)
    h = mix(key_hash)
    owner = thread_token()
    if view._owner == owner:
        view._owner = 0
        control = view._control
        result, previous = write(control, view._shared, h, key, condition, expected, new)
        due = suggests_resize(control, view._shared, result, h)
        view._owner = owner
        if due:
            look_at_size(view, result)
        if result != RETRY:
            return result, previous
    return write_otherwise(view, key, key_hash, h, condition, expected, new)
