"""Who is in the way: readers that may still look at the copy which the writer needs.

Sections end by themselves in nanoseconds, unless their thread is not running. Guards end when their user
likes. Sections are found in the records of ``_readers``, guards in a dict of the map's. The racing lines are
those of ``_state``, which has the two copies.

Nobody who makes a handle, or takes or leaves a guard, takes the writers' lock, so those never wait: the
deadlock of the original, a handle made under a guard while a publisher waits, has no place to be.

May import only core's public names and this package.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from threading import Lock
from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import ACQUIRE, RELAXED, SEQ_CST, fetch_add, heavy_fence, load, store
from intermodal.reclamation import ERA, HEAD, OUTSIDE, Reclaimer
from intermodal_evmap._table import Table

# Who is in the way.
NOBODY: Final = 0
OTHERS: Final = 1
OWN: Final = 2  # waiting would never end

#: Seconds that a writer sleeps at a time; a guard that ends wakes it up before.
SLICE: Final = 1e-4
#: Seconds that another copy takes, for each entry, about. The policy "clone" waits for as long before it
#: makes one: so it loses at most twice what it would by knowing how long the reader stays.
COPY_EACH: Final = 1e-7
#: For sections, which are over as soon as their threads have run, it waits so many times as long, and again
#: for each copy that it has left to them already: so a thread that does not run costs few of them.
PATIENCE: Final = 10.0

#: Later than any section.
NEVER_ERA: Final = (1 << 62) - 1


@final
class Hold:
    """One guard's hold on a copy; what ``guards`` keeps, so that the guard itself can be dropped."""

    def __init__(self) -> None:
        self.ident: Final[i64] = threading.get_ident()
        self.process: Final[i64] = os.getpid()
        self.table: Table | None = None


@final
class Left:
    """A copy that was left to sections that began before *era*."""

    def __init__(self, table: Table, era: int) -> None:
        self.copy: Final = table
        self.since: Final[i64] = era


@final
class Obstacles:
    """The readers of one map, as its writer sees them.

    Args:
        readers: whose sections count.
        waiting: address of a word that is 1 while a writer waits for guards to end.
    """

    def __init__(self, readers: Reclaimer, waiting: i64) -> None:
        self.readers: Final = readers
        self.waiting: Final[i64] = waiting
        #: Held but for the moment at which a guard that ends wakes a waiting writer.
        self.wake: Final[Any] = Lock()
        self.wake.acquire()
        #: Of the last publication: whether there was a heavy fence since, and the time from which on sections
        #: do not count; 0: none was found so far.
        self.fenced: bool = True
        self.era: i64 = 0
        #: Whether the last look found a section of the copy before.
        self.in_section: bool = False
        #: Each use is one operation on the dict, so it needs no lock.
        self.guards: Final[dict[int, Hold]] = {}
        #: Threads that want the lock and have guards; what is left over there does no harm.
        self.blocked: Final[dict[int, bool]] = {}
        #: By era, nearly: one that comes a moment late waits a little longer than it must.
        self.left: Final[deque[Left]] = deque()

    # ---- what readers do ---------------------------------------------------------------------------------

    def end(self, hold: Hold) -> None:
        """End a hold, in whichever thread. The copy, and what only it has, may die with the caller's."""
        self.guards.pop(id(hold), None)
        # Dekker with park(): there WAITING is set and then the guards are looked at; here it is the other way
        # round, so either the writer misses this one among them, or it is woken up.
        if load(self.waiting, SEQ_CST) != 0:
            with suppress(RuntimeError):
                self.wake.release()

    # ---- what writers do: with the lock, but for announce() ----------------------------------------------

    def announce(self) -> None:
        """Say that this thread is about to wait for the lock, if it has guards that others may wait for."""
        if self.guards:
            self.blocked[threading.get_ident()] = True

    def arrive(self) -> None:
        """Say that this thread has the lock."""
        if self.blocked:
            self.blocked.pop(threading.get_ident(), None)

    def begin(self) -> None:
        """Begin again: there was a publication, and nobody has looked since who is in the way."""
        self.fenced = False
        self.era = 0

    def who(self, spare: Table) -> i64:
        """Return who may still look at the copy that the last publication has replaced."""
        if not self.fenced:
            heavy_fence()  # racing line 1
            self.fenced = True
        found = self.who_is_in_a_section()
        self.in_section = found != NOBODY
        if found == NOBODY:
            return self.who_has_a_guard(spare)  # racing line 4: after the sections
        if self.era == 0:
            self.era = fetch_add(self.readers.scheme.clock, 1, SEQ_CST) + 1  # racing line 3
        return found

    def who_is_in_a_section(self) -> i64:
        """Return who is in a section that began before ``era``."""
        me = threading.get_ident()
        found: i64 = NOBODY
        for participant in self.readers.scheme.present():
            record = participant.record
            # Racing lines 2 and 3. HEAD first: whoever sees that a section has begun sees its ERA or a later.
            if load(record + HEAD, ACQUIRE) != OUTSIDE and (
                self.era == 0 or load(record + ERA, RELAXED) < self.era
            ):
                if participant.ident == me:
                    return OWN  # of an operation that this one has interrupted
                found = OTHERS
        return found

    def who_has_a_guard(self, spare: Table) -> i64:
        """Return who has a guard of *spare*. One from before a fork may have no thread that would end it."""
        me = threading.get_ident()
        found: i64 = NOBODY
        for hold in list(self.guards.values()):
            if hold.table is spare:
                if hold.ident == me or hold.ident in self.blocked or hold.process != os.getpid():
                    return OWN
                found = OTHERS
        return found

    def park(self, spare: Table) -> None:
        """Wait until a guard ends, or for a while."""
        store(self.waiting, 1, SEQ_CST)
        try:
            if self.who(spare) == OTHERS:
                self.wake.acquire(timeout=SLICE)
        finally:
            store(self.waiting, 0, RELAXED)

    def patience(self, entries: i64) -> float:
        """Return how many seconds to wait before another copy of that many entries is made."""
        cost = COPY_EACH * float(entries)
        return cost * PATIENCE * (1 + len(self.left)) if self.in_section else cost

    def leave(self, spare: Table) -> None:
        """Keep a copy for the sections that may look at it: they count no reference, as guards do."""
        self.left.append(Left(spare, self.era if self.era != 0 else NEVER_ERA))

    def next_left(self) -> Left | None:
        """Return a copy that was left to sections which are over, and forget it; None: there is none."""
        if not self.left:
            return None
        oldest: i64 = NEVER_ERA
        for participant in self.readers.scheme.present():
            if load(participant.record + HEAD, ACQUIRE) != OUTSIDE:
                oldest = min(oldest, load(participant.record + ERA, RELAXED))
        try:
            first = self.left.popleft()
        except IndexError:
            return None  # what a GC has run since came before
        if oldest < first.since:
            self.left.appendleft(first)
            return None
        return first
