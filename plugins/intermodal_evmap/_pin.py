"""What is read while a guard holds it: one published state, which does not change.

User code may run meanwhile, which it may not in the sections of look-ups.

May import only core's public names and this package.
"""

from __future__ import annotations

from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import RELAXED, hash_object, load, mix, object_load, reachability_fence
from intermodal_evmap._bags import first_of, values_of
from intermodal_evmap._obstacles import Hold
from intermodal_evmap._state import EvMapState
from intermodal_evmap._table import (
    ASK_KEYS,
    NOT_FOUND,
    NOTHING,
    UNUSED,
    VALUE,
    Table,
    find,
    gather,
    next_candidate,
)

_NOTHING: Final[object] = NOTHING


@final
class Pin:
    """A guard's hold on one published state; ends with :meth:`close`, or when it is dropped."""

    def __init__(self, state: EvMapState) -> None:
        self._state: Final = state
        self._hold: Hold | None = state.hold()

    def table(self) -> Table:
        """Return the copy; it does not change."""
        hold = self._hold
        if hold is None:
            raise ValueError("this guard is closed; take another with guard()")
        return table_of(hold)

    def get(self, key: Any, default: Any) -> Any:
        """Return the first value of *key*, or *default*."""
        key_hash = hash_object(key)
        content = content_in(self.table(), mix(key_hash), key_hash, key)
        return default if content is _NOTHING else first_of(content, default)

    def get_all(self, key: Any) -> tuple[Any, ...]:
        """Return the values of *key*."""
        key_hash = hash_object(key)
        content = content_in(self.table(), mix(key_hash), key_hash, key)
        return () if content is _NOTHING else values_of(content)

    def has_key(self, key: Any) -> bool:
        """Return whether *key* is there, with or without a value."""
        key_hash = hash_object(key)
        return content_in(self.table(), mix(key_hash), key_hash, key) is not _NOTHING

    def entries(self) -> list[Any]:
        """Return key, content, key, content..."""
        return gather(self.table())

    def meta(self) -> object:
        """Return the user's datum."""
        return meta_in(self.table())

    def word(self, offset: int) -> int:
        """Return a control word of the copy."""
        table = self.table()
        return int(load(table.control + offset, RELAXED))

    def close(self) -> None:
        """Give the copy back."""
        hold = self._hold
        if hold is not None:
            self._hold = None
            self._state.let_go(hold)

    def __del__(self) -> None:
        if hasattr(self, "_hold"):
            self.close()


def table_of(hold: Hold) -> Table:
    """Return the copy that is held."""
    table = hold.table
    assert table is not None
    return table


def meta_in(table: Table) -> object:
    """Return the datum of a copy that is held."""
    return object_load(table.meta, None)


def entries_of(state: EvMapState) -> list[Any]:
    """Return key, content, key... of the published state."""
    hold = state.hold()
    try:
        return gather(table_of(hold))
    finally:
        state.let_go(hold)


def content_in(table: Table, h: i64, key_hash: i64, key: Any) -> object:
    """Return the content of the slot of *key* in a copy that is held, NOTHING if it has none."""
    slot = find(table.headers, table.slots, table.groups, h, key, table.control + UNUSED, 0)
    if slot == ASK_KEYS:
        slot = next_candidate(table, h, key_hash, 0)
        while slot != NOT_FOUND:
            stored: Any = object_load(slot, None)
            if stored is key or stored == key:
                break
            slot = next_candidate(table, h, key_hash, slot)
    content: object = NOTHING
    if slot != NOT_FOUND:
        content = object_load(slot + VALUE, NOTHING)
    reachability_fence(table)
    return content
