"""Views of a sorted map: what the views of every map are, and sequences by position, as SortedDict's.

Interpreted, as the views of the standard library that they derive from; they import types only.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Sequence, ValuesView
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intermodal_btree._map import BTreeView


class _Positions:
    """Access by position. Complexity: O(n / 50) and what is returned."""

    _mapping: BTreeView
    _wanted: str

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._entries(self._wanted, False)

    def __reversed__(self) -> Iterator[Any]:
        return self._mapping._entries(self._wanted, True)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            key, value = self._mapping.peekitem(index)
            return {"keys": key, "values": value}.get(self._wanted, (key, value))
        start, stop, step = index.indices(len(self._mapping))
        if step < 0:
            low, high = stop + 1, start + 1
            return self._mapping._part(self._wanted, low, high)[::step] if low < high else []
        return self._mapping._part(self._wanted, start, stop)[::step]

    def index(self, value: Any, start: int | None = None, stop: int | None = None) -> int:
        """Return the first position of *value*, *start* or later. Raises ValueError if there is none."""
        first, last, _ = slice(start, stop).indices(len(self._mapping))
        for position, other in enumerate(islice(self, first, last), first):
            if other is value or other == value:
                return position
        raise ValueError(f"{value!r} is not there between {first} and {last}")


class SortedKeysView(_Positions, KeysView[Any], Sequence[Any]):
    _wanted = "keys"

    def __delitem__(self, index: int | slice) -> None:
        """Remove the entry at a position, or those of a slice, one by one."""
        for key in self[index] if isinstance(index, slice) else [self[index]]:
            self._mapping.pop(key, None)

    def index(self, value: Any, start: int | None = None, stop: int | None = None) -> int:
        """Return the position of the key *value*. Raises ValueError if it is not there."""
        return self._mapping.index(value, start, stop)

    def count(self, value: Any) -> int:
        return int(value in self)


class SortedValuesView(_Positions, ValuesView[Any], Sequence[Any]):
    _wanted = "values"

    def __contains__(self, value: object) -> bool:
        return any(other is value or other == value for other in self)


class SortedEntriesView(_Positions, ItemsView[Any, Any], Sequence[tuple[Any, Any]]):  # type: ignore[misc]
    _wanted = "items"
