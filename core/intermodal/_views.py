"""Views of a map: live, set-like where dict's are, and safe to iterate while others change the map.

Interpreted: they derive from the standard library's, and an iteration costs one generator. May import nothing
of intermodal but types.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from reprlib import recursive_repr
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from intermodal.maps import AnyMap

__all__ = ["EntriesView", "EntryValuesView", "KeysView", "map_repr"]

K = TypeVar("K")
V = TypeVar("V")


class EntriesView(ItemsView[K, V]):
    """The (key, value) pairs; each pair was an entry at one moment."""

    _mapping: AnyMap

    # The inherited one looks each key up again, and fails when it has gone meanwhile.
    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._iterate()


class EntryValuesView(ValuesView[V]):
    """The values, each once for each of its keys."""

    _mapping: AnyMap

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping._iterate())

    def __contains__(self, value: object) -> bool:
        return any(other is value or other == value for other in self)


@recursive_repr("{...}")
def map_repr(mapping: Mapping[K, V]) -> str:
    """Return the repr of a dict with the same entries."""
    return repr(dict(mapping.items()))
