"""The read guard that users get; interpreted, since it derives from a class of the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from intermodal_evmap._bags import first_of, values_of
from intermodal_evmap._table import ENTRIES, KEYS, NOTHING, VALUES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from intermodal_evmap._pin import Pin


class ReadGuard(Mapping[Any, Any]):
    """One published state of an evmap, as a read-only mapping that does not change.

    A context manager; also closed when it is dropped. Any number of threads may use it. Later uses raise
    ValueError. While it is open the map's writer has to do with another copy, or to wait: see
    ``on_stalled_reader``.
    """

    __slots__ = ("__weakref__", "_pin")

    def __init__(self, pin: Pin) -> None:
        self._pin = pin

    def __getitem__(self, key: Any) -> Any:
        value = self._pin.get(key, NOTHING)
        if value is NOTHING:
            raise KeyError(key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        """Return one of the values of *key*, or *default* if it has none."""
        return self._pin.get(key, default)

    def __contains__(self, key: object) -> bool:
        return self._pin.get(key, NOTHING) is not NOTHING

    def __len__(self) -> int:
        return self._pin.word(ENTRIES)

    def __iter__(self) -> Iterator[Any]:
        entries = self._pin.entries()
        for at in range(0, len(entries), 2):
            if first_of(entries[at + 1], NOTHING) is not NOTHING:
                yield entries[at]

    def get_all(self, key: Any) -> tuple[Any, ...]:
        """Return all values of *key*."""
        return self._pin.get_all(key)

    def contains_key(self, key: Any) -> bool:
        """Return whether *key* is there, with or without a value."""
        return self._pin.has_key(key)

    def bags(self) -> list[tuple[Any, tuple[Any, ...]]]:
        """Return all keys with their values, those without one included."""
        entries = self._pin.entries()
        return [(entries[at], values_of(entries[at + 1])) for at in range(0, len(entries), 2)]

    def key_count(self) -> int:
        """Return the number of keys, those without a value included."""
        return self._pin.word(KEYS)

    def value_count(self) -> int:
        """Return the number of values of all keys."""
        return self._pin.word(VALUES)

    @property
    def meta(self) -> Any:
        """The user's datum of this state."""
        return self._pin.meta()

    def close(self) -> None:
        """Give the copy back to the writer."""
        self._pin.close()

    def __enter__(self) -> ReadGuard:  # noqa: PYI034  (as in the other context managers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)!r})"
