"""The log: what the second copy has still to be told, as changes of slots.

An entry says what became of one slot, not what was called: the key that was found, or put in, and the new
content. So the second copy compares no keys: it finds the slot by the identity of the key in it. User code,
``__eq__`` above all, has run once by then, for the first copy.

An entry owns what it will put into the second copy; applied, it owns what it took out of there instead. So
neither application allocates or frees anything, and both can happen where no destructor may run. When it has
been applied twice, it is garbage, with all that it owns: whoever drops it does so outside of every lock.

A segment has a fixed number of entries, two words and four slots each::

    words    KIND     HASH of the key
    slots    KEY      NEW content         OLD content of the first copy        OLD_KEY of the second

May import only core's public names and this package.
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    RELAXED,
    load,
    mix,
    object_exchange,
    object_load,
    object_take,
    object_take_into,
    reachability_fence,
    store,
)
from intermodal.memory import Block
from intermodal_evmap._bags import size_of
from intermodal_evmap._table import (
    NOT_FOUND,
    VALUE,
    Table,
    claim,
    count,
    find_identical,
    release,
)

#: Entries of a segment.
SEGMENT: Final = 128
WORDS: Final = 16
SLOTS: Final = 32
KIND: Final = 0
HASH: Final = 8
KEY: Final = 0
NEW: Final = 8
OLD: Final = 16
OLD_KEY: Final = 24

#: A log longer than this, and than the map, is given up: making another copy costs less than applying it.
LEAST_LOG: Final = 4096
#: Segments that are kept for use again.
SPARE_SEGMENTS: Final = 4

# What was done.
INSERTED: Final = 1
REPLACED: Final = 2
REMOVED: Final = 3
META_SET: Final = 4


@final
class Segment:
    """Some entries of a log."""

    def __init__(self) -> None:
        self.block: Final = Block(SEGMENT * WORDS // 8, SEGMENT * SLOTS // 8)
        self.words: Final[i64] = self.block.address
        self.slots: Final[i64] = self.block.objects_address
        #: Entries in it.
        self.used: i64 = 0
        #: The one after it.
        self.next: Segment | None = None

    def drop(self) -> None:
        """Drop what the entries own; destructors run. Then it is empty."""
        slot = self.slots
        end = slot + self.used * SLOTS
        while slot < end:
            object_take(slot, None)
            slot += 8
        self.used = 0
        reachability_fence(self)


@final
class Log:
    """A chain of segments, and how far the second copy has been told of them.

    It has no lock: its owner lets one thread change it at a time, and nobody come between where that matters.
    """

    def __init__(self) -> None:
        # No list: clear() of one, compiled for a free-threaded build, waits for itself.
        self.first: Segment | None = None
        self.last: Segment | None = None
        #: Their number, and how many entries have been applied again.
        self.segments: i64 = 0
        self.applied: i64 = 0
        #: Whether it has everything that the second copy lacks; else that is made anew.
        self.complete: bool = True
        self.unused: Final[deque[Segment]] = deque()

    def has_room(self) -> bool:
        """Return whether the last segment has room for an entry."""
        last = self.last
        return last is not None and last.used < SEGMENT

    def is_long(self, entries: i64) -> bool:
        """Return whether another copy of a table of that many entries costs less than to apply all this."""
        return self.segments * SEGMENT > max(LEAST_LOG, entries)

    def new_segment(self) -> Segment:
        """Return an empty segment."""
        try:
            return self.unused.popleft()
        except IndexError:
            return Segment()

    def append(self, segment: Segment) -> None:
        """Have room in *segment*, which is empty, unless there is some already."""
        last = self.last
        if last is None:
            self.first = self.last = segment
            self.segments = 1
        elif last.used == SEGMENT:
            last.next = self.last = segment
            self.segments += 1

    def apply_to(self, table: Table) -> bool:
        """Apply what has not been applied again; False: *table* must be enlarged first."""
        number: i64 = 0
        segment = self.first
        while segment is not None:
            at = max(self.applied - number, 0)
            while at < segment.used:
                if not apply_again(segment, at, table):
                    return False
                at += 1
                self.applied += 1
            number += segment.used
            segment = segment.next
        return True

    def empty(self) -> Segment | None:
        """Be empty; return what is to be given to :meth:`recycle` where destructors may run."""
        first = self.first
        self.first = self.last = None
        self.segments = 0
        self.applied = 0
        return first

    def recycle(self, segment: Segment | None) -> None:
        """Drop what a chain of segments owns, and keep some of them. Destructors run."""
        while segment is not None:
            following = segment.next
            segment.next = None
            segment.drop()
            if len(self.unused) < SPARE_SEGMENTS:
                self.unused.append(segment)
            segment = following


def note(segment: Segment, kind: i64, key_hash: i64) -> i64:
    """Begin the next entry, of which *segment* has one; return the address of its slots."""
    at = segment.used
    store(segment.words + at * WORDS + KIND, kind, RELAXED)
    store(segment.words + at * WORDS + HASH, key_hash, RELAXED)
    segment.used = at + 1
    return segment.slots + at * SLOTS


def apply_again(segment: Segment, at: i64, table: Table) -> bool:
    """Do to the slots of *table* what entry *at* says; False, and nothing is done, if it must be enlarged.

    Runs no user code, allocates and drops nothing.
    """
    kind = load(segment.words + at * WORDS + KIND, RELAXED)
    key_hash = load(segment.words + at * WORDS + HASH, RELAXED)
    entry = segment.slots + at * SLOTS
    h = mix(key_hash)
    if kind == META_SET:
        swap(table.meta, entry + NEW)
        return True
    if kind == INSERTED:
        if table.is_full():
            return False
        size = size_of(object_load(entry + NEW, None))
        slot = claim(table, h, key_hash)
        object_take_into(entry + KEY, slot)
        object_take_into(entry + NEW, slot + VALUE)
        count(table, 0, size)
        return True
    slot = find_identical(table, h, object_load(entry + KEY, None))
    assert slot != NOT_FOUND, "the second copy has not the entry that the first one had"
    old = size_of(object_load(slot + VALUE, None))
    if kind == REPLACED:
        count(table, old, size_of(object_load(entry + NEW, None)))
        swap(slot + VALUE, entry + NEW)
        return True
    object_take_into(slot + VALUE, entry + NEW)
    object_take_into(slot, entry + OLD_KEY)
    release(table, slot)
    count(table, old, 0)
    return True


def swap(slot: i64, entry_slot: i64) -> None:
    """Exchange what two full slots hold. Nothing dies: each object has a reference throughout."""
    new = object_load(entry_slot, None)
    old = object_exchange(slot, new, None)
    object_exchange(entry_slot, old, None)
