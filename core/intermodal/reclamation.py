"""Reclamation: what readers may still look at is freed when no reader can any more.

A writer *unlinks* an object or a block of memory, so that nobody who comes later finds it, and *retires* it.
A reader uses what it finds inside a *section*, between :func:`enter` and :func:`leave` (for programs: ``with
reclaimer.pin():``). What was retired is freed when every section that had begun by then is over. So in a
section a borrowed pointer or address stays good without counting a reference to it.

When that is, a *scheme* finds out: ``epoch`` and ``hyaline`` are plugins. ``refcount``, here, frees at once:
it protects nothing, since a counted reference is protection enough (``Scheme.protects`` is False).

Who owns what
=============
Each thread has a *record* of two cache lines with each reclaimer. Its first line says whether the thread is
in a section, and since which *era*: its owner writes it, whoever frees reads it. The second is the owner's
alone::

    line 0    ERA, the clock when the section began    HEAD, OUTSIDE or what scheme "lists" hangs on it
    line 1    DEPTH   LISTS   CLOCK   WITNESS   LIMBO   LIMIT   OLDEST

What a thread retires goes to the *limbo* of its record, slots that own the references meanwhile. A full limbo
is *closed*: it becomes a batch, and the scheme decides when that is ready to be freed. Batches are freed by
any thread that is outside of every section, destructors run there, one after the other; a destructor may
retire again, and what becomes ready meanwhile waits for its turn.

The racing lines
================
``enter`` stores ERA and HEAD and then has a light fence; a scheme has a heavy fence between the unlinking and
its look at the records. Of the two one comes first. If it is the light one, the look sees the section and the
batch waits for it. If it is the heavy one, all that is read in the section comes after the unlinking, and
what was unlinked is not found. HEAD is stored after ERA, RELEASE, and read before it, ACQUIRE: whoever sees
that a section has begun sees its era, or a later one's. The era itself may be out of date when it is stored:
then the section seems older than it is, and holds back more than it must.

``leave`` stores OUTSIDE with RELEASE: all reads of the section come before it, so whoever sees it (ACQUIRE)
may free.

Sources: Fraser, Practical lock-freedom (epochs); Nikolaev and Ravindran, Hyaline, Crystalline (lists,
births); Desnoyers and others, User-level implementations of read-copy update (asymmetric fences). May import
only atomics, memory, errors and statistics.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from intermodal.atomics import (
    ACQ_REL,
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    exchange,
    fetch_add,
    light_fence,
    load,
    object_store,
    object_take,
    reachability_fence,
    set_thread_word,
    store,
    thread_word,
)
from intermodal.memory import Block
from intermodal.statistics import ReclamationStatistics

# ---- a record ---------------------------------------------------------------------------------------------

ERA: Final = 0
HEAD: Final = 8
DEPTH: Final = 64
#: Whether sections end by taking the list that hangs on HEAD.
LISTS: Final = 72
#: The address of the scheme's clock.
CLOCK: Final = 80
#: The address of a word that is ERA for as long as what is found is protected: the clock where younger
#: objects are not, else ERA's own.
WITNESS: Final = 88
#: The addresses of the next free slot for what is retired, and of the first that is not to be filled.
LIMBO: Final = 96
LIMIT: Final = 104
#: The earliest birth of anything in the limbo.
OLDEST: Final = 112
RECORD_WORDS: Final = 16

#: HEAD outside of a section.
OUTSIDE: Final = -1
#: Objects in a full limbo. A heavy fence for each batch costs every running thread a microsecond or two.
BATCH: Final = 1024
#: The most that one operation of a compiled caller retires at once.
MOST_AT_ONCE: Final = 2
#: Empty batches that are kept for each thread.
SPARE: Final = 2
SLOT: Final = 8
#: Later than any era.
NEVER: Final = (1 << 62) - 1

# The scheme's words, a cache line each: its clock, and what was retired in closed batches and freed.
RETIRED: Final = 64
FREED: Final = 128
SCHEME_WORDS: Final = 24

# Next key of a reclaimer; 0 is no key.
_keys: Final = itertools.count(1)


def enter(record: i64) -> i64:
    """Begin a section of the calling thread, whose *record* it is, or one more inside it; returns its era.

    Complexity: O(1), no locked instruction where the system has asymmetric fences, no reference counted.
    """
    depth = load(record + DEPTH, RELAXED)
    if depth != 0:
        store(record + DEPTH, depth + 1, RELAXED)
        return load(record + ERA, RELAXED)
    era = load(load(record + CLOCK, RELAXED), ACQUIRE)
    store(record + ERA, era, RELAXED)
    store(record + HEAD, 0, RELEASE)
    light_fence()
    store(record + DEPTH, 1, RELAXED)
    return era


def leave(record: i64) -> i64:
    """End the section that the last :func:`enter` began; returns what to pass to ``Scheme.release``, or 0."""
    depth = load(record + DEPTH, RELAXED) - 1
    store(record + DEPTH, depth, RELAXED)
    if depth != 0:
        return 0
    if load(record + LISTS, RELAXED) == 0:
        store(record + HEAD, OUTSIDE, RELEASE)
        return 0
    return exchange(record + HEAD, OUTSIDE, ACQ_REL)


def record_of(key: i64) -> i64:
    """Return the calling thread's record with the reclaimer of that *key*; 0: ask ``Reclaimer.make_room``."""
    return thread_word(key)


def has_room(record: i64) -> bool:
    """Return whether an operation may retire MOST_AT_ONCE objects; if not, ask ``Reclaimer.make_room``."""
    return load(record + LIMBO, RELAXED) + MOST_AT_ONCE * SLOT <= load(record + LIMIT, RELAXED)


def retired(record: i64, birth: i64) -> None:
    """Note that the next slot of the limbo holds what was born at *birth* or later."""
    slot = load(record + LIMBO, RELAXED)
    store(record + LIMBO, slot + SLOT, RELAXED)
    if load(record + LISTS, RELAXED) != 0:
        store(birth_of(slot), birth, RELAXED)
        if birth < load(record + OLDEST, RELAXED):
            store(record + OLDEST, birth, RELAXED)


def birth_of(slot: i64) -> i64:
    """Return the address of the birth of what is in that slot of a batch: the words lie before the slots."""
    return slot - BATCH * SLOT


# ---- batches ----------------------------------------------------------------------------------------------


@final
class Batch:
    """What one thread has retired: the limbo's slots, their births, and what a scheme notes about them."""

    def __init__(self, births: bool) -> None:
        self.block: Final = Block(BATCH if births else 0, BATCH)
        #: How many slots are filled.
        self.count: i64 = 0
        #: The earliest birth of any of them.
        self.oldest: i64 = 0
        #: The scheme's own; a batch that was freed is used again, with its nodes.
        self.stamp: i64 = 0
        self.nodes: Block | None = None
        #: The next of those that wait for being submitted.
        self.next: Batch | None = None

    def drop(self) -> None:
        """Free what is in it, one after the other; then it is empty."""
        slot = self.block.objects_address
        end = slot + self.count * SLOT
        while slot < end:
            object_take(slot, None)
            slot += SLOT
        self.count = 0
        reachability_fence(self)


@final
class Participant:
    """One thread's part in a scheme."""

    def __init__(self, scheme: Scheme, thread: str) -> None:
        self.block: Final = Block(RECORD_WORDS)
        self.record: Final[i64] = self.block.address
        #: The thread's name, and its number, which no other running thread has.
        self.thread: Final = thread
        self.ident: Final[i64] = threading.get_ident()
        #: Whether the thread is about to end: destructors that run then find it here.
        self.ending: bool = False
        #: Whether the thread frees a batch: destructors that come back here leave further ones to it.
        self.freeing: bool = False
        #: None until it retires something.
        self.batch: Batch | None = None
        #: What has been closed, but not submitted: memory could not be had.
        self.closed: Batch | None = None
        record = self.record
        store(record + HEAD, OUTSIDE, RELAXED)
        store(record + LISTS, 1 if scheme.lists else 0, RELAXED)
        store(record + CLOCK, scheme.clock, RELAXED)
        store(record + WITNESS, scheme.clock if scheme.lists else record + ERA, RELAXED)

    def open(self, batch: Batch) -> None:
        """Let *batch*, which is empty, be the limbo."""
        self.batch = batch
        start = batch.block.objects_address
        store(self.record + LIMBO, start, RELAXED)
        store(self.record + LIMIT, start + BATCH * SLOT, RELAXED)
        store(self.record + OLDEST, NEVER, RELAXED)

    def pending(self) -> i64:
        """Return how many objects are in the limbo; 0 while its thread changes it for another."""
        batch = self.batch
        if batch is None:
            return 0
        count = (load(self.record + LIMBO, RELAXED) - batch.block.objects_address) // SLOT
        return count if 0 <= count <= BATCH else 0


# ---- schemes ----------------------------------------------------------------------------------------------


@mypyc_attr(allow_interpreted_subclasses=True)
class Scheme:
    """When batches are ready to be freed; what a plugin's reclaimer is made of.

    Args:
        name: the name of the entry point.
        protects: whether what is retired is kept while sections last that had begun before.
        lists: whether the scheme hangs lists on the records of threads in sections. Then ``leave`` gives the
            list to :meth:`release`, and an object that is younger than a section is not protected by it:
            readers check that WITNESS is still their era after they have loaded a pointer.

    Subclasses implement submit, release and ready. They are called by any number of threads at once.
    """

    def __init__(self, name: str, *, protects: bool, lists: bool) -> None:
        self.name: Final = name
        self.protects: Final = protects
        self.lists: Final = lists
        self.block: Final = Block(SCHEME_WORDS)
        #: Address of the clock, in eras, from 1.
        self.clock: Final[i64] = self.block.address
        store(self.clock, 1, RELAXED)
        #: By record. Each use is one operation on the dict, so it needs no lock, and a fork finds none held.
        self.participants: Final[dict[int, Participant]] = {}
        #: Empty batches, at most a few for each thread. Used as a stack, in single operations. No list: the
        #: pop of one is several, compiled for a free-threaded build.
        self._empty: Final[deque[Batch]] = deque()

    def submit(self, batch: Batch) -> None:
        """Take over *batch*, whose objects have been unlinked; or raise, and leave it to the caller."""
        raise NotImplementedError

    def release(self, head: i64) -> None:
        """Let go of the list that ``leave`` returned."""
        raise NotImplementedError

    def ready(self) -> Batch | None:
        """Return a batch that nobody can look at any more, each once, or None."""
        raise NotImplementedError

    def advance(self) -> None:
        """Do what makes batches ready when no section is in the way; for ``flush``."""

    # ---- for all schemes -------------------------------------------------------------------------------

    def present(self) -> list[Participant]:
        """Return who takes part at one moment; threads may come and go meanwhile."""
        # One operation: nothing is allocated between two of them that could run the cyclic GC. A copy of the
        # dict is one, too; but of a dict from which a third is gone CPython 3.13 without the GIL copies entry
        # by entry, and first waits, 20 microseconds or more, for the dict's lock, which it holds itself.
        return list(self.participants.values())

    # ---- what Reclaimer does for all schemes -----------------------------------------------------------

    def close(self, participant: Participant) -> None:
        """Submit what *participant* has retired; it has no limbo then.

        Raises MemoryError, and then what could not be submitted waits for the next time.
        """
        # No allocation in here: it may run the GC, and so a destructor that comes back.
        batch = participant.batch
        if batch is not None:
            batch.count = participant.pending()
            batch.oldest = load(participant.record + OLDEST, RELAXED)
            participant.batch = None
            store(participant.record + LIMBO, 0, RELAXED)
            store(participant.record + LIMIT, 0, RELAXED)
            # From here on the batch is nobody else's.
            if batch.count == 0:
                self._keep(batch)
            else:
                fetch_add(self.clock + RETIRED, batch.count, RELAXED)
                batch.next = participant.closed
                participant.closed = batch
        self._submit_closed(participant)

    def _submit_closed(self, participant: Participant) -> None:
        while True:
            batch = participant.closed
            if batch is None:
                return
            participant.closed = batch.next
            batch.next = None
            try:
                self.submit(batch)
            except BaseException:
                batch.next = participant.closed
                participant.closed = batch
                raise

    def make_room(self, participant: Participant) -> None:
        """Give *participant* an empty limbo, or one with room; destructors may run.

        Raises MemoryError, and then all is as before.
        """
        empty = self.new_batch()
        self.close(participant)
        if participant.batch is None:
            participant.open(empty)
        else:  # a destructor that ran in between has opened one
            self._keep(empty)
        self.drain(participant)

    def _keep(self, empty: Batch) -> None:
        if len(self._empty) < SPARE * len(self.participants):
            self._empty.append(empty)

    def new_batch(self) -> Batch:
        """Return an empty batch."""
        try:
            return self._empty.pop()
        except IndexError:
            return Batch(self.lists)

    def drain(self, participant: Participant) -> None:
        """Free what is ready, unless the thread is in a section, or frees already."""
        if participant.freeing or load(participant.record + DEPTH, RELAXED) != 0:
            return
        participant.freeing = True
        try:
            while True:
                batch = self.ready()
                if batch is None:
                    return
                count = batch.count
                batch.drop()
                fetch_add(self.clock + FREED, count, RELAXED)
                self._keep(batch)
        finally:
            participant.freeing = False

    def end(self, participant: Participant) -> None:
        """Forget *participant*, whose thread, the calling one, ends, perhaps in a section."""
        participant.ending = True
        self._leave_all(participant)
        while participant.batch is not None or participant.closed is not None:
            self.close(participant)
            self.drain(participant)  # destructors may retire, once more, for this participant
        self.drain(participant)
        self.participants.pop(participant.record, None)

    def depart(self, participant: Participant) -> None:
        """Forget *participant*, whose thread has ended long since, or has not survived a fork.

        The calling thread may be in a section: what becomes ready is freed by whoever frees next.
        """
        self._leave_all(participant)
        self.close(participant)
        self.participants.pop(participant.record, None)

    def _leave_all(self, participant: Participant) -> None:
        store(participant.record + DEPTH, 0, RELAXED)
        released = exchange(participant.record + HEAD, OUTSIDE, ACQ_REL)
        if self.lists and released != OUTSIDE and released != 0:
            self.release(released)


@final
class CountedReferences(Scheme):
    """``refcount``: nothing waits, since whoever looks at an object holds a reference to it.

    It protects Python objects that readers count, on every build. It protects neither borrowed pointers nor
    raw addresses: a backend that uses those in sections needs another scheme.
    """

    def __init__(self) -> None:
        super().__init__("refcount", protects=False, lists=False)
        self._batches: Final[deque[Batch]] = deque()

    def submit(self, batch: Batch) -> None:
        self._batches.append(batch)

    def release(self, head: i64) -> None:
        pass

    def ready(self) -> Batch | None:
        try:
            return self._batches.pop()
        except IndexError:
            return None


@final
class _ThreadEnd:
    """Lies among the thread's own variables; its destructor tells the scheme that the thread ends."""

    def __init__(self, scheme: Scheme, participant: Participant, key: i64, among: threading.local) -> None:
        self._scheme: Final = scheme
        self._key: Final[i64] = key
        self._among: Final = weakref.ref(among)
        self.participant: Final = participant

    def __del__(self) -> None:
        if self._among() is None:
            # The reclaimer dies, and all that is pending with it. Where the cyclic GC has found it, blocks
            # may have been finalized before this: they are not to be used any more.
            return
        participant = self.participant
        if participant.ident != threading.get_ident():  # the thread has not survived a fork
            self._scheme.depart(participant)
            return
        set_thread_word(
            self._key, participant.record
        )  # for destructors: _among has nothing for this thread now
        self._scheme.end(participant)
        # A foreign thread may come back with a new Python thread state.
        if thread_word(self._key) == participant.record:
            set_thread_word(self._key, 0)


# ---- what users and backends call --------------------------------------------------------------------------


@final
class Reclaimer:
    """Frees what was retired when nobody who had begun to look before can still do so.

    Args:
        scheme: how it finds out.

    Threads take part when they first use it and need not say good-bye. A child process goes on with the
    thread that forked. When the reclaimer dies, all that is pending is freed: whoever may be in a section
    keeps it alive.

    Any number of threads may use it at once; a guard belongs to the thread that entered it.

    >>> from intermodal import open_reclaimer
    >>> reclaimer = open_reclaimer("refcount")
    >>> with reclaimer.pin():
    ...     reclaimer.retire(["no longer linked"])
    >>> reclaimer.flush()
    >>> reclaimer.statistics().freed
    1
    """

    def __init__(self, scheme: Scheme) -> None:
        self.scheme: Final = scheme
        #: What ``record_of`` takes.
        self.key: Final[i64] = next(_keys)
        # Not reachable from the scheme, which the threads' variables refer to: else the two would keep each
        # other alive until the threads end.
        self._local: Final = threading.local()

    def record(self) -> i64:
        """Return the address of the calling thread's record, which now takes part."""
        return self._participant().record

    def _participant(self) -> Participant:
        record = thread_word(self.key)
        if record != 0:
            found = self.scheme.participants.get(record)
            if found is not None:
                return found
        end: _ThreadEnd | None = getattr(self._local, "end", None)
        participant = self._new_participant() if end is None else end.participant
        set_thread_word(self.key, participant.record)
        return participant

    def _new_participant(self) -> Participant:
        ident = threading.get_ident()
        for other in self.scheme.present():
            if other.ident == ident:
                if other.ending:
                    return other
                # Of a thread that is no more, and took part again when all its variables were gone.
                self.scheme.depart(other)
        participant = Participant(self.scheme, threading.current_thread().name)
        end = _ThreadEnd(self.scheme, participant, self.key, self._local)
        self.scheme.participants[participant.record] = participant
        self._local.end = end
        return participant

    def pin(self) -> Guard:
        """Return a guard: a context manager, inside which what could be found at its start is not freed.

        Guards nest. Raises RuntimeError if another thread leaves it. Complexity: O(1).
        """
        return Guard(self)

    def retire(self, value: object, birth: int = 0) -> None:
        """Free *value*, which has been unlinked, when no section can still look at it.

        Args:
            value: an object, to which this counts a reference meanwhile; a Block, or what owns one.
            birth: :meth:`now` when it was made, or any earlier: what is known to be younger than a stalled
                section is not held back by it. 0: not known.

        Destructors may run, here or in another thread, outside of sections. Complexity: O(1) amortised.
        Raises MemoryError, and then *value* has not been retired.
        """
        if not self.scheme.protects:
            fetch_add(self.scheme.clock + RETIRED, 1, RELAXED)
            fetch_add(self.scheme.clock + FREED, 1, RELAXED)
            return  # it dies with the caller's reference
        participant = self._participant()
        record = participant.record
        # One more than has_room asks for: an operation under way keeps its room. Again, if destructors used
        # it up.
        while load(record + LIMBO, RELAXED) + (MOST_AT_ONCE + 1) * SLOT > load(record + LIMIT, RELAXED):
            self.scheme.make_room(participant)
        object_store(load(record + LIMBO, RELAXED), value)
        retired(record, birth)

    def retire_memory(self, owner: object, birth: int = 0) -> None:
        """Do as :meth:`retire` with something large, and free it now if no section is in the way."""
        self.retire(owner, birth)
        self.flush()

    def now(self) -> int:
        """Return the era: the birth of what is made from now on."""
        return int(load(self.scheme.clock, ACQUIRE))

    def flush(self) -> None:
        """Free what the calling thread has retired, and what else is due, as far as no section is in the way.

        Also what destructors that it runs retire in turn. Inside a section it frees nothing. Complexity:
        O(threads + what is freed), for each generation of destructors that retire.
        """
        participant = self._participant()
        while True:
            self.scheme.close(participant)
            self.scheme.advance()
            self.scheme.drain(participant)
            if participant.pending() == 0:  # else a destructor has retired what is in the new limbo
                return

    def make_room(self) -> i64:
        """Return the calling thread's record with room for MOST_AT_ONCE; destructors may run."""
        participant = self._participant()
        while not has_room(participant.record):  # again, if destructors have used it up
            self.scheme.make_room(participant)
        return participant.record

    def released(self, head: i64) -> None:
        """Let go of what ``leave`` returned, and free what is ready; destructors may run."""
        participant = self._participant()
        self.scheme.release(head)
        self.scheme.drain(participant)

    def statistics(self) -> ReclamationStatistics:
        """Return one moment's figures; exact when nobody retires or frees meanwhile."""
        scheme = self.scheme
        freed = load(scheme.clock + FREED, SEQ_CST)
        closed = load(scheme.clock + RETIRED, SEQ_CST)
        waiting: i64 = 0
        pinned: i64 = 0
        oldest: i64 = NEVER
        stalled: str | None = None
        participants = scheme.present()
        for participant in participants:
            waiting += participant.pending()
            if load(participant.record + HEAD, ACQUIRE) != OUTSIDE:
                pinned += 1
                era = load(participant.record + ERA, RELAXED)
                if era < oldest:
                    oldest = era
                    stalled = participant.thread
        now = load(scheme.clock, SEQ_CST)  # the last: it is later than any of these eras
        return ReclamationStatistics(
            scheme=scheme.name,
            retired=int(closed + waiting),
            freed=int(freed),
            pending=max(int(closed + waiting - freed), 0),
            threads=len(participants),
            pinned=int(pinned),
            oldest_pin=int(now - oldest) if pinned else None,
            oldest_thread=stalled,
        )


@final
class Guard:
    """A section as a context manager; made by ``Reclaimer.pin``. For the thread that enters it."""

    def __init__(self, reclaimer: Reclaimer) -> None:
        self._reclaimer: Final = reclaimer
        #: Not only its record: that could lie where this was, when the thread has ended.
        self._participant: Participant | None = None
        self._depth: i64 = 0

    def __enter__(self) -> Guard:
        participant = self._reclaimer._participant()
        if self._depth and participant is not self._participant:
            raise RuntimeError(
                "a guard that another thread has entered cannot be entered; take one with pin()"
            )
        enter(participant.record)
        self._participant = participant
        self._depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        participant = self._reclaimer._participant()
        if self._depth == 0:
            raise RuntimeError("a guard that has not been entered cannot be left")
        if participant is not self._participant:
            raise RuntimeError("a guard can only be left by the thread that entered it, which is still in it")
        self._depth -= 1
        released = leave(participant.record)
        if released:
            self._reclaimer.released(released)
        elif load(participant.record + DEPTH, RELAXED) == 0:
            self._reclaimer.scheme.drain(participant)
