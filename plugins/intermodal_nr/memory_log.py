"""The log in memory: a ring of slots that the replicas of one process share.

A lock around each append makes reserving and filling one step: nobody can stall between the two and leave a
hole that every replica would wait at. It is held for a few stores for each entry of the batch, and the batch
is that of a whole round of a combiner, so at most one thread of each replica ever wants it.

Entries are objects in slots; beside each slot a word has the number of the entry in it plus one. It is stored
before the object, whose store releases; so a reader that has got an object, and then finds its own number in
the word, has got the entry of that number or of an earlier lap. Of an earlier lap it is not: it read the tail
before. Only a replica that has been evicted meanwhile finds another number.

While a single replica is registered nothing is stored: it executes what it appends itself. So the ring is
made when a second one comes.

May import only core's public names.
"""

from __future__ import annotations

import threading
from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    compare_exchange,
    load,
    object_exchange,
    object_load,
    object_take,
    pause,
    store,
    try_lock,
    unlock,
    yield_thread,
)
from intermodal.log import EVICTED, FULL, SEALED, Log
from intermodal.memory import Block

_LINE: Final = 64
# Words, each on a line of its own: what one thread writes all the time no other one should miss.
_LOCK: Final = 0
_TAIL: Final = _LINE
_COMPLETED: Final = 2 * _LINE
_HEAD: Final = 3 * _LINE
_LIVE: Final = 4 * _LINE  # how many replicas are registered
_SEALED: Final = 5 * _LINE
_CLEARED: Final = 6 * _LINE  # no slot of an entry before this one holds it any more
_NUMBERED: Final = 6 * _LINE + 8  # no replica has had this number or a higher one
_SLOTS: Final = 6 * _LINE + 16  # the ring's object slots, 0 before there is one
_NUMBERS: Final = 6 * _LINE + 24  # and the words beside them
_REPLICAS: Final = 7 * _LINE  # for each a line: its position plus one; 0: nobody's, -1: an evicted one's
#: Replicas that one log can have.
MOST_REPLICAS: Final = 64
_WORDS: Final = (_REPLICAS + MOST_REPLICAS * _LINE) // 8
#: Looks at the lock before a waiting thread gives up its time slice; it is held for well under a microsecond.
_SPINS: Final = 64


@final
class MemoryLog(Log):
    """A ring of *capacity* entries, rounded up to a power of two, that begins at the position *start*."""

    def __init__(self, capacity: int = 4096, start: int = 0) -> None:
        if not 1 <= capacity <= 1 << 30:
            raise ValueError(f"a log has a capacity of 1 up to {1 << 30} entries; got {capacity}")
        size = 1 << (capacity - 1).bit_length()
        self._block: Final = Block(_WORDS)
        self._base: Final[i64] = self._block.address
        self._capacity: Final[i64] = size
        self._ring: Block | None = None
        self._making: Final[Any] = threading.Lock()
        for word in (_TAIL, _COMPLETED, _HEAD, _CLEARED):
            store(self._base + word, start, RELAXED)

    def capacity(self) -> i64:
        return self._capacity

    def completed_address(self) -> i64:
        return self._base + _COMPLETED

    # ---- the lock ---------------------------------------------------------------------------------------

    def _enter(self) -> None:
        spins = 0
        while not try_lock(self._base + _LOCK, 0):
            spins += 1
            if spins < _SPINS:
                pause()
            else:
                yield_thread()

    def _leave(self) -> None:
        unlock(self._base + _LOCK, 0)

    # ---- entries ----------------------------------------------------------------------------------------

    def append(self, entries: list[object], replica: i64, dropped: list[object]) -> i64:
        count: i64 = len(entries)
        self._enter()
        refusal = self._refusal(count, replica)
        if refusal < 0:
            self._leave()
            return refusal
        tail = load(self._base + _TAIL, RELAXED)
        if load(self._base + _LIVE, RELAXED) == 1:
            # Nothing is stored: what is kept ends here. It begins where the replica is, which may still have
            # to read what others, gone since, have appended.
            store(self._base + _HEAD, self._least(tail), RELAXED)
        else:
            slots = load(self._base + _SLOTS, RELAXED)
            numbers = load(self._base + _NUMBERS, RELAXED)
            at = tail
            for entry in entries:
                slot = at & (self._capacity - 1)
                store(numbers + slot * 8, at + 1, RELAXED)
                old = object_exchange(slots + slot * 8, entry, None)
                if old is not None:
                    dropped.append(old)
                at += 1
        store(self._base + _TAIL, tail + count, RELEASE)
        self._leave()
        return tail

    def _refusal(self, count: i64, replica: i64) -> i64:
        """Return why *replica* cannot append *count* entries, or 0. The lock is held."""
        if load(self._base + _SEALED, RELAXED) != 0:
            return SEALED
        if replica < 0 or load(self._base + _REPLICAS + replica * _LINE, RELAXED) <= 0:
            return EVICTED
        tail = load(self._base + _TAIL, RELAXED)
        if load(self._base + _LIVE, RELAXED) != 1 and tail + count - self.head() > self._capacity:
            least = self._least(tail)
            if tail + count - least > self._capacity:
                return FULL
            # The objects are exchanged for the new ones, one by one, rather than taken out here.
            store(self._base + _HEAD, least, RELAXED)
        return 0

    def refusal(self, count: i64, replica: i64) -> i64:
        """Return what an append of *count* entries would be refused with, or 0.

        An append that would not be refused may be only after another one, an eviction, or the seal.
        """
        self._enter()
        refusal = self._refusal(count, replica)
        self._leave()
        return refusal

    def tail(self) -> i64:
        return load(self._base + _TAIL, ACQUIRE)

    def head(self) -> i64:
        return load(self._base + _HEAD, ACQUIRE)

    def read(self, first: i64, stop: i64, entries: list[object]) -> bool:
        # Whoever asks has read a tail beyond them, and so sees the ring that they were stored in.
        slots = load(self._base + _SLOTS, RELAXED)
        numbers = load(self._base + _NUMBERS, RELAXED)
        while first < stop:
            slot = (first & (self._capacity - 1)) * 8
            found = object_load(slots + slot, None)
            if found is None or load(numbers + slot, RELAXED) != first + 1:
                return False
            entries.append(found)
            first += 1
        return True

    def completed(self) -> i64:
        return load(self._base + _COMPLETED, ACQUIRE)

    def complete(self, position: i64) -> None:
        word = self._base + _COMPLETED
        seen = load(word, RELAXED)
        # SEQ_CST: whoever is let in afterwards, on whatever replica, samples this or more.
        while seen < position and not compare_exchange(word, seen, position, SEQ_CST):
            seen = load(word, RELAXED)

    # ---- replicas ---------------------------------------------------------------------------------------

    def _least(self, tail: i64) -> i64:
        """Return the least position of a live replica, or *tail* if there is none. The lock is held."""
        least = tail
        at: i64 = 0
        count = load(self._base + _NUMBERED, RELAXED)
        while at < count:
            position = load(self._base + _REPLICAS + at * _LINE, ACQUIRE) - 1
            if 0 <= position < least:
                least = position
            at += 1
        return least

    def _make_ring(self) -> None:
        with self._making:
            if self._ring is None:
                ring = Block(self._capacity, self._capacity)
                store(self._base + _SLOTS, ring.objects_address, RELEASE)
                store(self._base + _NUMBERS, ring.address, RELEASE)
                self._ring = ring

    def register(self, position: i64) -> i64:
        replica: i64 = 0
        self._enter()
        if load(self._base + _NUMBERED, RELAXED) != 0 and load(self._base + _SLOTS, RELAXED) == 0:
            self._leave()
            self._make_ring()
            self._enter()
        while replica < MOST_REPLICAS and load(self._base + _REPLICAS + replica * _LINE, RELAXED) != 0:
            replica += 1
        if replica < MOST_REPLICAS:
            if load(self._base + _LIVE, RELAXED) <= 1:
                # Up to here nothing has been stored, and the one that appended it has executed it.
                store(self._base + _HEAD, position, RELAXED)
            store(self._base + _REPLICAS + replica * _LINE, position + 1, RELEASE)
            store(self._base + _LIVE, load(self._base + _LIVE, RELAXED) + 1, RELEASE)
            if load(self._base + _NUMBERED, RELAXED) <= replica:
                store(self._base + _NUMBERED, replica + 1, RELAXED)
        self._leave()
        if replica == MOST_REPLICAS:
            raise ValueError(f"a log has at most {MOST_REPLICAS} replicas")
        return replica

    def deregister(self, replica: i64, dropped: list[object]) -> None:
        self._enter()
        self._forget(replica, 0)
        self._leave()
        self.trim(dropped)

    def evict(self, replica: i64, dropped: list[object]) -> None:
        self._enter()
        self._forget(replica, -1)
        self._leave()
        self.trim(dropped)

    def _forget(self, replica: i64, mark: i64) -> None:
        if replica < 0:
            return
        word = self._base + _REPLICAS + replica * _LINE
        if load(word, RELAXED) > 0:
            store(self._base + _LIVE, load(self._base + _LIVE, RELAXED) - 1, RELEASE)
        store(word, mark, RELEASE)

    def advance(self, replica: i64, position: i64) -> None:
        if replica < 0:
            return
        word = self._base + _REPLICAS + replica * _LINE
        before = load(word, RELAXED)
        # An exchange: the replica may be evicted at any moment, and must stay so.
        while 0 < before <= position and not compare_exchange(word, before, position + 1, RELEASE):
            before = load(word, RELAXED)

    def position_of(self, replica: i64) -> i64:
        if replica < 0:
            return -1
        return load(self._base + _REPLICAS + replica * _LINE, ACQUIRE) - 1

    def trim(self, dropped: list[object]) -> i64:
        self._enter()
        tail = load(self._base + _TAIL, RELAXED)
        least = self._least(tail)
        at = load(self._base + _CLEARED, RELAXED)
        at = max(at, tail - self._capacity)
        slots = load(self._base + _SLOTS, RELAXED)
        if slots == 0:
            at = least
        while at < least:
            old = object_take(slots + (at & (self._capacity - 1)) * 8, None)
            if old is not None:
                dropped.append(old)
            at += 1
        store(self._base + _CLEARED, at, RELAXED)
        if load(self._base + _HEAD, RELAXED) < least:
            store(self._base + _HEAD, least, RELEASE)
        self._leave()
        return load(self._base + _HEAD, ACQUIRE)

    def seal(self) -> i64:
        self._enter()
        store(self._base + _SEALED, 1, RELEASE)
        tail = load(self._base + _TAIL, RELAXED)
        self._leave()
        return tail

    def sealed(self) -> bool:
        return load(self._base + _SEALED, ACQUIRE) != 0
