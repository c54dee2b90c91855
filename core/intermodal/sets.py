"""Sets: the keys of a map, with the operations of Python's sets.

Interpreted; every operation is one of the map's. May import only the contract of maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableSet
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

    from intermodal.maps import AnyMap
    from intermodal.statistics import MapStatistics

_T = TypeVar("_T")
_MISSING: Final = object()


class ConcurrentSet(MutableSet[_T]):
    """A set that any number of threads may use at once: the keys of a concurrent map, whose values are None.

    Args:
        opener: returns the new, empty map that holds the values, and those of copies and of results.
        values: what the set starts with.

    It has the operations of Python's sets. Those on one value are one step, as the map's are; those on
    several (operators, comparisons, ``update``) are as many steps, and others may come in between. Costs are
    those of the map's operations. :func:`intermodal.open_set` makes one of a backend.

    >>> from intermodal import open_set
    >>> seen = open_set("swiss")
    >>> seen.insert("a"), seen.insert("a")
    (True, False)
    >>> seen |= {"b"}
    >>> "b" in seen, len(seen), sorted(seen - {"a"})
    (True, 2, ['b'])
    """

    def __init__(self, opener: Callable[[], AnyMap], values: Iterable[_T] = ()) -> None:
        self._opener = opener
        #: The map, for what sets do not have: ``publish``, ``statistics``, ranges of ordered maps...
        self.map: AnyMap = opener()
        self.update(values)

    # ---- one value --------------------------------------------------------------------------------------

    def __contains__(self, value: object) -> bool:
        return value in self.map

    def insert(self, value: _T) -> bool:
        """Add *value*; return whether it was new: of threads that insert the same, one is told so."""
        return self.map.insert(value, None)

    def add(self, value: _T) -> None:
        """Add *value*, unless it is there."""
        self.map.insert(value, None)

    def discard(self, value: _T) -> None:
        """Take *value* out, if it is there."""
        self.map.pop(value, None)

    def remove(self, value: _T) -> None:
        """Take *value* out.

        Raises: KeyError if it is not there.
        """
        del self.map[value]

    def pop(self) -> _T:
        """Take one value out and return it.

        Raises: KeyError if there is none.
        """
        try:
            value: _T = self.map.popitem()[0]
        except KeyError:
            raise KeyError("pop from an empty set") from None
        return value

    # ---- many values ------------------------------------------------------------------------------------

    def contains_many(self, values: Iterable[_T], **options: Any) -> Any:
        """Return for each of *values* whether it is there.

        A list; of an array, in a set of 64-bit integers, a bytearray of 0 and 1. Such sets take ``threads=``.
        """
        if hasattr(self.map, "contains_many"):
            return self.map.contains_many(values, **options)
        return [value in self.map for value in values]

    def insert_many(self, values: Iterable[_T], **options: Any) -> Any:
        """Add *values*; return for each whether it was new, as :meth:`contains_many` does."""
        if hasattr(self.map, "insert_many"):
            return self.map.insert_many(values, **options)
        return [self.map.insert(value, None) for value in values]

    def discard_many(self, values: Iterable[_T], **options: Any) -> Any:
        """Take *values* out; return for each whether it was there, as :meth:`contains_many` does."""
        found = self.map.pop_many(values, _MISSING, **options)
        return [each is not _MISSING for each in found] if isinstance(found, list) else found

    def to_array(self) -> Any:
        """Return the values as an array of 64-bit integers.

        Raises: TypeError if the set is one of objects.
        """
        if not hasattr(self.map, "items_arrays"):
            raise TypeError("a set of objects has no array; open_set(..., key_type=int64) makes one that has")
        return self.map.items_arrays()[0]

    # ---- the whole set ----------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[_T]:
        return iter(self.map)

    def __len__(self) -> int:
        return len(self.map)

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self))
        return f"{type(self).__name__}({{{inside}}})" if inside else f"{type(self).__name__}()"

    def clear(self) -> None:
        """Take every value out, as the map's clear() does."""
        self.map.clear()

    def copy(self) -> ConcurrentSet[_T]:
        """Return a new set of the same backend with the same values."""
        return self._from_iterable(self)

    __copy__ = copy

    def update(self, *others: Iterable[_T]) -> None:
        """Add the values of all *others*."""
        for other in others:
            self.insert_many(other)

    def union(self, *others: Iterable[_T]) -> ConcurrentSet[_T]:
        """Return a new set with the values of this one and of all *others*."""
        new = self.copy()
        new.update(*others)
        return new

    def intersection(self, other: Iterable[_T]) -> ConcurrentSet[_T]:
        """Return a new set with the values that are in both."""
        return self._from_iterable(value for value in other if value in self)

    def difference(self, other: Iterable[_T]) -> ConcurrentSet[_T]:
        """Return a new set with the values that are not in *other*."""
        other = other if isinstance(other, AbstractSet) else set(other)
        return self._from_iterable(value for value in self if value not in other)

    def symmetric_difference(self, other: Iterable[_T]) -> ConcurrentSet[_T]:
        """Return a new set with the values that are in one of the two."""
        other = other if isinstance(other, AbstractSet) else set(other)
        return self.difference(other).union(value for value in other if value not in self)

    def issubset(self, other: Iterable[_T]) -> bool:
        """Return whether all values are in *other*."""
        return self <= (other if isinstance(other, AbstractSet) else set(other))

    def issuperset(self, other: Iterable[_T]) -> bool:
        """Return whether all values of *other* are in this set."""
        return all(value in self for value in other)

    # Not a class method, as the operators of collections.abc.Set have it: results are of this set's backend.
    def _from_iterable(self, values: Iterable[Any]) -> ConcurrentSet[Any]:  # type: ignore[override]
        return ConcurrentSet(self._opener, values)

    def __reduce__(self) -> tuple[Any, ...]:
        return ConcurrentSet, (self._opener, list(self))

    # ---- handles ----------------------------------------------------------------------------------------

    def handle(self) -> ConcurrentSet[_T]:
        """Return a view of this set for the calling thread, by a handle of its map."""
        view: ConcurrentSet[_T] = ConcurrentSet.__new__(ConcurrentSet)
        view._opener, view.map = self._opener, self.map.handle()
        return view

    def close(self) -> None:
        """Close the handle."""
        self.map.close()

    def __enter__(self) -> ConcurrentSet[_T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def statistics(self) -> MapStatistics:
        """Return counts of what the map holds and has done."""
        return self.map.statistics()
