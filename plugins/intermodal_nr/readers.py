"""A distributed reader-writer lock: each reader has a slot of its own, and the writer looks at all of them.

    reader   takes its slot;  fence; looks at WRITER     (and goes away if that is set)
    writer   sets WRITER;     fence; waits for each slot

Of a store followed by a load on either side one sees the other's, given a full fence between the two on both
sides, on every processor. So either the reader sees the writer, or the writer waits for the reader.

USED is the number of slots in use, and the writer looks at these only. A thread raises it *before* it takes
its slot for the first time, and the writer reads it *after* it has set WRITER. So a thread whose slot the
writer does not look at looks at WRITER later than that, finds it set, and goes away.

A writer that has waited for long parks: it says so in WRITER, and a reader that leaves afterwards wakes it.

What readers do are functions on the lock's address, so that they count no reference to an object that all
threads share. May import only core's public names.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    GIL_PROTECTS,
    RELAXED,
    RELEASE,
    SEQ_CST,
    exchange,
    fence,
    heavy_fence,
    light_fence,
    load,
    pause,
    store,
    try_lock,
    unlock,
)
from intermodal.memory import Block

#: Looks at a result or a slot before a thread parks: about a microsecond, what a short operation takes.
SPINS: Final = 0 if GIL_PROTECTS else 200

#: Words that different threads write are this many bytes apart.
LINE: Final = 64
_WRITER: Final = 0
_USED: Final = LINE
_SLOTS: Final = 2 * LINE  # for each slot a line: its lock, and the ident of the thread that holds it
#: Number of slots.
SLOTS: Final = 64

# What WRITER says.
_OPEN: Final = 0
_CLOSED: Final = 1
PARKED: Final = 2  # and the writer waits to be woken by a reader that leaves


def wake(lock: Any) -> None:
    """Wake who waits for *lock*, a held ``threading.Lock``; who is awake already will look again."""
    with contextlib.suppress(RuntimeError):
        lock.release()


# ---- what readers do --------------------------------------------------------------------------------------


def take(address: i64, slot: i64, ident: i64) -> bool:
    """Take a slot for the thread of that *ident*, if it is free; may_enter() says whether it counts."""
    word = address + _SLOTS + slot * LINE
    if not try_lock(word, 0):
        return False
    store(word + 8, ident, RELAXED)
    return True


def may_enter(address: i64) -> bool:
    """Return whether who has just taken a slot is a reader now; if not, it has to leave()."""
    fence(SEQ_CST)  # the slot is taken before WRITER is looked at; the writer does the reverse
    return is_open(address)


def is_open(address: i64) -> bool:
    """Return whether there is no writer."""
    return load(address + _WRITER, ACQUIRE) == _OPEN


def leave(address: i64, slot: i64) -> bool:
    """Give a slot back; return whether the writer waits to be woken for that."""
    word = address + _SLOTS + slot * LINE
    store(word + 8, 0, RELAXED)
    unlock(word, 0)
    light_fence()  # against the heavy one of a writer that is about to park
    return load(address + _WRITER, RELAXED) == PARKED


# ---- what the writer does ---------------------------------------------------------------------------------


@final
class ReaderLock:
    """The lock, with the writer's side. Writers take turns by other means.

    Args:
        shared: how many of the slots are in use from the beginning, by whoever finds one free.
    """

    def __init__(self, shared: i64) -> None:
        self._block: Final = Block(_SLOTS // 8 + SLOTS * LINE // 8)
        self.address: Final[i64] = self._block.address
        self._shared: Final[i64] = shared
        self._drained: Final[Any] = threading.Lock()  # released by a reader for which the writer has parked
        self._drained.acquire()
        self._owning: Final[Any] = threading.Lock()
        self._owned = 0  # bit n: slot n has an owner
        store(self.address + _USED, shared, RELEASE)

    def own_slot(self) -> i64:
        """Return a slot for the caller alone, until disown(); a shared one if all have owners."""
        with self._owning:
            slot = self._shared
            while slot < SLOTS and self._owned >> int(slot) & 1:
                slot += 1
            if slot == SLOTS:
                return 0
            self._owned |= 1 << int(slot)
            if load(self.address + _USED, RELAXED) <= slot:
                # Before the slot is taken: a writer that does not see this is seen by who takes it.
                exchange(self.address + _USED, slot + 1, SEQ_CST)
            return slot

    def disown(self, slot: i64) -> None:
        """Give back what own_slot() returned."""
        if slot >= self._shared:
            with self._owning:
                self._owned &= ~(1 << int(slot))

    def close(self) -> BaseException | None:
        """Keep readers out, wait until none is inside; return what a signal's handler raised meanwhile."""
        exchange(self.address + _WRITER, _CLOSED, SEQ_CST)
        fence(SEQ_CST)  # WRITER is set before the slots are looked at
        used = load(self.address + _USED, SEQ_CST)
        interrupt: BaseException | None = None
        slot: i64 = 0
        while slot < used:
            word = self.address + _SLOTS + slot * LINE
            spins = 0
            while load(word, ACQUIRE) & 1:
                if spins < SPINS:
                    spins += 1
                    pause()
                else:
                    interrupt = self._park(word) or interrupt
            slot += 1
        return interrupt

    def _park(self, word: i64) -> BaseException | None:
        interrupt: BaseException | None = None
        store(self.address + _WRITER, PARKED, SEQ_CST)
        heavy_fence()  # then either the slot that is looked at is free, or its reader sees that it is to wake
        if load(word, ACQUIRE) & 1:
            try:
                self._drained.acquire()
            except BaseException as error:  # noqa: BLE001  (for the caller, who cannot stop half-way)
                interrupt = error
        store(self.address + _WRITER, _CLOSED, SEQ_CST)
        return interrupt

    def open(self) -> None:
        """Let readers in."""
        store(self.address + _WRITER, _OPEN, RELEASE)

    def wake_writer(self) -> None:
        """Do what leave() has asked for."""
        wake(self._drained)

    def has_inside(self, ident: i64, but: i64 = -1) -> bool:
        """Return whether the thread of that *ident* holds a slot, other than *but*."""
        used = load(self.address + _USED, ACQUIRE)
        slot: i64 = 0
        while slot < used:
            if slot != but and load(self.address + _SLOTS + slot * LINE + 8, RELAXED) == ident:
                return True
            slot += 1
        return False
