"""dict behind one re-entrant lock.

Every operation holds the lock once, from its first look at the dict to its last; so each is one step, batches
included. Values that an operation replaces or removes are let go after the lock: their destructors may do
anything. May import only core's public names.
"""

from __future__ import annotations

import sys
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from mypy_extensions import mypyc_attr

from intermodal import ABSENT
from intermodal.atomics import reachability_fence
from intermodal.maps import ConcurrentMap, check_value, sole_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# A compiled module finds its own constants without a look-up in its dictionary.
_ABSENT: Final[object] = ABSENT


def _gather(other: Any, entries: dict[str, Any]) -> dict[Any, Any]:
    """Return what ``update(other, **entries)`` is to set; runs the code of *other*, so not under the lock."""
    if isinstance(other, ConcurrentMap):
        other = other.items()  # by keys() and [] an entry could go in between
    gathered: dict[Any, Any] = dict(other)
    gathered.update(entries)
    for value in gathered.values():
        check_value(value)
    return gathered


def _put(data: dict[Any, Any], key: Any, value: object) -> None:
    if value is _ABSENT:
        data.pop(key, None)
    else:
        data[key] = value


@mypyc_attr(allow_interpreted_subclasses=True)
class LockedMapBase(ConcurrentMap):
    """A dict that threads take turns to use: one lock, held by every operation from beginning to end.

    Args:
        data: a mapping or an iterable of pairs to start with.
        entries: keyword arguments, more entries.

    Every operation is one step. User code runs under the lock: ``__hash__`` and ``__eq__`` of keys, ``==``
    of values in ``compare_and_set()``, and the functions given to ``compute()``, ``get_or_insert_with()``,
    ``remove_if()`` and ``retain()``. That is why each of those is called once; but all other threads wait
    meanwhile, and if it waits for one that wants this map, both wait for ever. The lock is re-entrant, so
    such code may use this map itself; what it does to the entry being changed is overwritten. Destructors
    of values run after the lock is released, that of a removed key may run before.

    Iteration is over the entries of the moment at which it begins, in the order in which keys were added.

    An operation on one key takes O(1), one on the whole map O(n); so does the beginning of an iteration.

    >>> from intermodal_locked import LockedMap
    >>> m = LockedMap({"a": 1}, b=2)
    >>> m.compute("a", lambda old: old + 1), m.popitem(), m
    (2, ('b', 2), {'a': 2})
    """

    __slots__ = ("_data", "_lock")  # uncompiled, they are not among the attributes that a pickle holds

    _lock: Any
    _data: dict[Any, Any]

    def __init__(self, /, *data: Any, **entries: Any) -> None:
        if not hasattr(self, "_lock"):  # a second call, like dict's, only updates
            self._lock = RLock()
            self._data = {}
        self._merge(_gather(sole_argument(type(self).__name__, data), entries))

    # ---- one key ------------------------------------------------------------------------------------------

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of *key*, or *default* if there is none."""
        with self._lock:
            return self._data.get(key, default)

    def __getitem__(self, key: Any) -> Any:
        with self._lock:
            value = self._data.get(key, _ABSENT)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return key in self._data

    def __setitem__(self, key: Any, value: Any) -> None:
        check_value(value)
        with self._lock:
            old = self._data.get(key)
            self._data[key] = value
        reachability_fence(old)

    def __delitem__(self, key: Any) -> None:
        self.pop(key)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        """Remove *key* and return its value; if there is none, *default* or, without one, KeyError(key)."""
        with self._lock:
            value = self._data.pop(key, default)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def popitem(self) -> tuple[Any, Any]:
        """Remove the entry whose key was added last and return it; KeyError if the map is empty."""
        with self._lock:
            if self._data:
                return self._data.popitem()
        raise KeyError("popitem(): map is empty")

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the value of *key*; if there is none, insert *default* and return it."""
        check_value(default)
        with self._lock:
            return self._data.setdefault(key, default)

    def insert(self, key: Any, value: Any) -> bool:
        """Add the entry only if *key* has none; return whether it was added."""
        check_value(value)
        with self._lock:
            if key in self._data:
                return False
            self._data[key] = value
            return True

    def replace(self, key: Any, value: Any) -> Any:
        """Change the value of *key* only if it has one and return the old one; else KeyError(key)."""
        check_value(value)
        with self._lock:
            old = self._data.get(key, _ABSENT)
            if old is not _ABSENT:
                self._data[key] = value
        if old is _ABSENT:
            raise KeyError(key)
        return old

    def compare_and_set(self, key: Any, expected: Any, desired: Any) -> bool:
        """Let *key* have the value *desired* if it has the value *expected*; return whether it did.

        Values are compared by identity, then with ``==``, once, under the lock.
        """
        with self._lock:
            old = self._data.get(key, _ABSENT)
            if old is not expected and (old is _ABSENT or expected is _ABSENT or not old == expected):  # noqa: SIM201
                return False
            _put(self._data, key, desired)
        reachability_fence(old)
        return True

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        with self._lock:
            if self._data.get(key, _ABSENT) is not current:
                return False
            _put(self._data, key, new)
            return True

    def compute(self, key: Any, function: Callable[[Any], Any]) -> Any:
        """Replace the value of *key* by ``function(old value or ABSENT)`` and return the new one.

        *function* is called once. If it returns ABSENT, the entry is removed; if it raises, nothing changes.
        """
        with self._lock:
            old = self._data.get(key, _ABSENT)
            new = function(old)
            _put(self._data, key, new)
        reachability_fence(old)
        return new

    def get_or_insert_with(self, key: Any, factory: Callable[[], Any]) -> Any:
        """Return the value of *key*; if there is none, insert ``factory()``, called once, under the lock."""
        with self._lock:
            value = self._data.get(key, _ABSENT)
            if value is _ABSENT:
                value = factory()
                check_value(value)
                value = self._data.setdefault(key, value)
            return value

    def remove_if(self, key: Any, predicate: Callable[[Any], object]) -> bool:
        """Remove the entry of *key* if ``predicate(value)``, called once, is true; return whether it was."""
        with self._lock:
            value = self._data.get(key, _ABSENT)
            if value is _ABSENT or not predicate(value):
                return False
            self._data.pop(key, None)
        reachability_fence(value)
        return True

    # ---- many keys ----------------------------------------------------------------------------------------

    def retain(self, predicate: Callable[[Any, Any], object]) -> int:
        """Keep only the entries of which ``predicate(key, value)`` is true; return how many were removed.

        One step; if *predicate* raises, nothing has changed.
        """
        with self._lock:
            removed = [entry for entry in list(self._data.items()) if not predicate(entry[0], entry[1])]
            for key, _ in removed:
                self._data.pop(key, None)
        return len(removed)

    def get_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        """Return the values of *keys* at one moment, in their order, *default* for each without one."""
        wanted = list(keys)
        with self._lock:
            return [self._data.get(key, default) for key in wanted]

    def pop_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        """Remove *keys* in one step; return their values in order, *default* for each that had none."""
        wanted = list(keys)
        with self._lock:
            for key in wanted:  # a key whose code raises does it here, before any change
                self._data.get(key)
            return [self._data.pop(key, default) for key in wanted]

    def update(self, /, *arguments: Any, **entries: Any) -> None:
        """Set the entries of a mapping or of pairs, then the keyword arguments, all in one step."""
        self._merge(_gather(sole_argument("update()", arguments), entries))

    def _merge(self, incoming: dict[Any, Any]) -> None:
        with self._lock:
            # A key whose code raises does it here, before any change.
            replaced = [self._data.get(key) for key in incoming]
            self._data.update(incoming)
        reachability_fence(replaced)

    # ---- the whole map ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        with self._lock:
            return len(self._data)

    def __iter__(self) -> Iterator[Any]:
        with self._lock:
            return iter(list(self._data))

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        with self._lock:
            return iter(list(self._data.items()))

    def clear(self) -> None:
        """Remove every entry, in one step."""
        with self._lock:
            removed = self._data
            self._data = {}
        reachability_fence(removed)

    def copy(self) -> LockedMapBase:
        """Return a new map of the same class with the entries of one moment; keys and values are shared."""
        with self._lock:
            data = self._data.copy()
        new = type(self)()
        new._data = data  # nobody else has it yet
        return new

    def snapshot(self) -> Mapping[Any, Any]:
        """Return a read-only mapping of the entries of one moment. O(n)."""
        with self._lock:
            return MappingProxyType(self._data.copy())

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + sys.getsizeof(self._data)

    def _check(self) -> None:
        assert all(value is not _ABSENT for value in self._data.values())
