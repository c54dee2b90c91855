"""Iteration over a Swiss map: every key that is there throughout exactly once, no key twice.

Entries are visited in the order of the hash bits that choose homes, their *rank*, one home at a time: the
entries of a home are read at one moment (its version is the same before and after). The position is kept as a
rank, not as a group of some table, so it means the same in a table of another size when the map is resized
meanwhile: what lies before it has been visited.

While homes are being moved, the ranks of a home of the next table may belong to several homes of the current
one, of which only some have moved. So a step reads the ranks that one home of each table have in common:
either they have all moved, or none.

May import only core's public names, ``_table`` and ``_state``.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    count_trailing_zeros,
    fast_range,
    hash_object,
    key_is_str,
    load,
    match_bytes,
    mix,
    object_load,
    range_start,
    reachability_fence,
    try_lock,
    unlock,
)
from intermodal_swiss._state import SharedState, is_of_home, wait
from intermodal_swiss._table import (
    EMPTY,
    GROUP_SLOTS,
    HEADER_BYTES,
    LOCKED,
    MOVED,
    OVERFLOW,
    REMOVE,
    SLOT_BYTES,
    VALUE,
    Table,
    following_group,
    hash_of,
)

#: Position after the last rank.
END: Final = -1
#: The bits of a mixed hash that choose its home; also the last rank.
LAST_RANK: Final = (1 << 63) - 1
#: Reads of a home without a lock before the lock is taken, so that busy writers cannot hold an iteration up.
TRIES: Final = 8


def last_rank(table: Table, position: i64) -> i64:
    """Return the last rank that has the same home in *table* as *position*."""
    home = fast_range(position, table.groups)
    return range_start(home + 1, table.groups) - 1 if home + 1 < table.groups else LAST_RANK


def collect(state: SharedState, position: i64, entries: list[object]) -> i64:
    """Append key, value, key, value... of the step at *position*; return that of the next step, or END."""
    tries: i64 = 0
    spins: i64 = 0
    while True:
        table = state.table
        last = last_rank(table, position)
        if load(table.lock_of(position), ACQUIRE) & MOVED:
            following = table.next
            if following is None:
                continue  # finished meanwhile
            table = following
            last = min(last, last_rank(table, position))
        lock = table.lock_of(position)
        version = load(lock, ACQUIRE)
        if version & MOVED:
            continue
        if tries < TRIES:
            gather(table, position, last, entries)
            complete = (load(lock, ACQUIRE) ^ version) | LOCKED == LOCKED
        else:
            complete = version & LOCKED == 0 and try_lock(lock, version)
            if complete:
                # Appending may fail for want of memory; it runs neither user code nor the GC.
                try:
                    gather(table, position, last, entries)
                finally:
                    unlock(lock, version)
            else:
                spins = wait(spins)
        reachability_fence(table)
        if complete:
            return last + 1 if last != LAST_RANK else END
        entries.clear()
        tries += 1


def gather(table: Table, position: i64, last: i64, entries: list[object]) -> None:
    """Append the entries of one home with ranks from *position* to *last*, as found without a lock."""
    home = fast_range(position, table.groups)
    partial = position != range_start(home, table.groups) or last != last_rank(table, position)
    group = home
    while True:
        header = table.headers + group * HEADER_BYTES
        occupied: i64 = ~match_bytes(header, EMPTY) & 0xFFFF
        while occupied != 0:
            index = group * GROUP_SLOTS + count_trailing_zeros(occupied)
            occupied &= occupied - 1
            if not is_of_home(table, home, group, index):
                continue
            key = object_load(table.slots + index * SLOT_BYTES, REMOVE)
            value = object_load(table.slots + index * SLOT_BYTES + VALUE, REMOVE)
            if key is REMOVE or value is REMOVE:
                continue  # being removed, or moved: then the version has changed
            if partial:
                if key_is_str(key):
                    key_hash = hash_object(key)
                else:
                    key_hash = load(hash_of(table.headers, table.groups, index), RELAXED)
                rank = mix(key_hash) & LAST_RANK
                if rank < position or rank > last:
                    continue
            entries.append(key)
            entries.append(value)
        if load(header + OVERFLOW, RELAXED) == 0:
            return
        group = following_group(group, table.groups)
        if group == home:
            return


@final
class EntryIterator:
    """Iterates over (key, value) pairs. For one thread; each thread makes its own."""

    def __init__(self, state: SharedState) -> None:
        self._state: Final = state
        self._position: i64 = 0
        self._entries: list[object] = []
        self._next: i64 = 0

    def __iter__(self) -> EntryIterator:
        return self

    def __next__(self) -> object:
        entries = self._entries
        while self._next >= len(entries):
            if self._position == END:
                raise StopIteration
            entries = []
            self._position = collect(self._state, self._position, entries)
            self._entries = entries
            self._next = 0
        at = self._next
        self._next = at + 2
        return entries[at], entries[at + 1]
