"""The replica: one copy of a structure, kept up to date from a log by whichever thread holds its *role*.

**Combining.** One thread at a time is a replica's combiner: it holds the lock in the ROLE word. A thread that
has something to be done and finds the role free takes it, and does its own operation and all others that
wait. A thread that finds it taken puts a :class:`Request` on the replica's stack. Nothing there is forgotten:

    requester  pushes; fence; tries the role           (then waits)
    combiner   releases the role; fence; looks at the stack

Of a store followed by a load on either side one sees the other's, so a request that fails to get the role is
seen by the holder after the release. The holder then serves it, up to ROUNDS times; after that it wakes the
requesters, who take the role themselves, and goes about its own business. A woken one that finds the role
taken again has nothing to fear: that holder will look at the stack too. Nobody waits on a timeout.

**A round**, the steps that make the structure linearizable, in this order:

1. append the writes that wait, in one batch, to the log;
2. keep readers out;
3. execute what others have appended, then the own batch, keeping its results;
4. raise the log's *completed* position to the new one;
5. publish the own position, to readers and to the log;
6. let readers in;
7. hand over the results.

4 comes before 6 and 7, so nobody sees an effect that *completed* does not cover; and it comes before 5, so
that no position is ever ahead of it.

**Reading.** A reader takes a slot, which keeps the combiner out (``readers``). In it, it looks at *completed*
once and compares the replica's position, which cannot change now: if the position has got there, every write
that was finished when the read began is in. If not, it catches up as combiner; if it meets one, it asks that
one to execute the read for it, after a round: the wait is one round long, however many writers there are, and
needs no fairness of the lock.

**User code.** A state that is *trusted* runs none. Others run their structure's methods here: under the role,
and within a reader's slot. Such code must not use the structure that it belongs to; that is detected, and
raises RuntimeError.

With the GIL, compiled code on a trusted state is not interrupted: it neither takes slots nor waits for them.

Objects whose last reference may be dropped are put on a list of the caller's, who lets go of them when it
holds nothing. May import only core's public names and what is below it in this package: ``states``,
``requests``, ``readers``, ``progress``, ``gate``.
"""

from __future__ import annotations

import threading
from time import perf_counter_ns
from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    GIL_PROTECTS,
    RELAXED,
    RELEASE,
    SEQ_CST,
    fence,
    light_fence,
    load,
    pause,
    store,
    try_lock,
    unlock,
    yield_thread,
)
from intermodal.errors import IntermodalError
from intermodal.log import EVICTED, SEALED, Log, LogError, LogSealedError
from intermodal.memory import Block
from intermodal_nr.gate import Gate
from intermodal_nr.progress import Progress, is_awaited
from intermodal_nr.readers import LINE, SPINS, ReaderLock, is_open, leave, may_enter, take
from intermodal_nr.requests import (
    COPY,
    MOVED,
    PENDING,
    READ,
    RETIRE,
    SYNC,
    WRITE,
    Request,
    is_empty,
    make_empty,
    push,
    take_all,
    turn_away,
    wake_all,
)
from intermodal_nr.states import Raised, State

# Words of a replica, on lines of their own.
_ROLE: Final = 0
_POSITION: Final = LINE
_EXECUTOR: Final = 2 * LINE  # ident of the thread that runs user code under the role
_COUNTS: Final = 3 * LINE  # two lines, the combiner's
_WORDS: Final = 5 * LINE // 8

#: Reader slots for whoever has none of its own, before those of handles.
SHARED_SLOTS: Final = 8

# The lock word of a role that nobody can take any more: the replica has been removed.
_RETIRED: Final = 2

# Counts.
_ROUNDS: Final = _COUNTS
_OPERATIONS: Final = _COUNTS + 8
_HELPED: Final = _COUNTS + 16  # times that somebody else brought this replica up to date
_WAITS: Final = _COUNTS + 24  # times that its combiner waited for room in the log
_TIMED: Final = _COUNTS + 32
_NANOSECONDS: Final = _COUNTS + 40
_BATCHES: Final = _COUNTS + 64  # rounds by size of the batch: 0, 1, 2, up to 4, 8, 16, 32, more
BATCH_SIZES: Final = (0, 1, 2, 4, 8, 16, 32)

#: What enter() returns if the caller is not in and has to wake the combiner.
WAKE: Final = -2

#: Rounds after which a combiner passes its role on, if there is still something to do.
ROUNDS: Final = 4


class ResultLostError(IntermodalError):
    """The operation has taken effect, but its result went with a replica that had to be thrown away."""


#: The "no operation" of a combiner that has none of its own.
_NOTHING: Final[object] = object()
#: That of one that wants to execute what others have appended.
_CATCH_UP: Final[object] = object()


def enter(base: i64, lock: i64, completed: i64, guarded: bool, me: i64, slot: i64, least: i64) -> i64:
    """Do what :meth:`Replica.enter` does, given the addresses of its words; counts no reference to it.

    With the GIL and a trusted state nothing is taken: only the position is looked at, and whether the replica
    has been removed, which closes the lock for good.

    Returns: the slot, -1, or WAKE: not in, and the caller has to call :meth:`Replica.wake_combiner`.
    """
    if not guarded:
        if least < 0:
            least = load(completed, ACQUIRE)
        return slot if load(base + _POSITION, ACQUIRE) >= least and is_open(lock) else -1
    if not take(lock, slot, me):  # shared with another thread, or this one reads already
        slot = 0
        while slot < SHARED_SLOTS and not take(lock, slot, me):
            slot += 1
        if slot == SHARED_SLOTS:
            return -1
    if may_enter(lock):
        if least < 0:
            least = load(completed, ACQUIRE)
        if load(base + _POSITION, ACQUIRE) >= least:
            return slot
    return WAKE if leave(lock, slot) else -1


@final
class Copied:
    """A copy of a replica's state, its position, and its number in the log."""

    def __init__(self, state: State, position: i64, number: i64) -> None:
        self.state: Final = state
        self.position: Final[i64] = position
        self.number: Final[i64] = number


@final
class Replica:
    """A state, its position in the log, and those who wait for it. See the module's first lines.

    Args:
        log: the log.
        copied: the state, at which position, as which replica of the log.
        batch: the most entries that it appends at once.
        evict_after: seconds that its combiner waits for another replica that holds the log up, before it
            throws that one out; None: as long as it takes.
        checked: whether to assert the invariants of the log after every step.
    """

    def __init__(
        self, log: Log, copied: Copied, batch: i64, evict_after: float | None = None, checked: bool = False
    ) -> None:
        self.log: Final = log
        self.state: State = copied.state
        self.number: i64 = copied.number
        self._batch: Final[i64] = min(batch, log.capacity())
        self._evict_after: Final = evict_after
        self._checked: Final = checked
        self._trusted: Final = copied.state.trusted()
        #: Whether readers and the combiner have to keep out of each other's way.
        self.guarded: Final = not (self._trusted and GIL_PROTECTS)
        self._encodes: Final = log.encodes()
        #: What a change passes, where there are scans over several logs.
        self.gate: Gate | None = None
        #: The other replicas; None while there is none.
        self.peers: list[Replica] | None = None
        self._block: Final = Block(_WORDS, 1)
        self.base: Final[i64] = self._block.address
        self._stack: Final[i64] = self._block.objects_address
        self._readers: Final = ReaderLock(SHARED_SLOTS)
        self.lock: Final[i64] = self._readers.address
        self._progress: Final = Progress()
        self._waiting: Final[i64] = self._progress.address
        self.completed: Final[i64] = log.completed_address()
        store(self.base + _POSITION, copied.position, RELEASE)
        make_empty(self._stack)
        # The combiner's own, emptied after each round; made here so that a round allocates nothing.
        self._taken: Final[list[Request]] = []
        self._requests: Final[list[Request]] = []
        self._changes: Final[list[Request]] = []  # those that copy the replica or let it go
        self._changed = False
        self._entries: Final[list[object]] = []
        self._incoming: Final[list[object]] = []
        self._retired = False
        self._begins_again = False
        #: With the GIL and a trusted state: nobody but this thread can see it true, in a destructor.
        self._busy = False
        self._interrupt: BaseException | None = None

    # ---- what may be asked ------------------------------------------------------------------------------

    def position(self) -> i64:
        """Return the position up to which everything has been executed."""
        return load(self.base + _POSITION, ACQUIRE)

    def write(self, entry: object) -> object:
        """Append *entry* and execute it; return its outcome, or MOVED if the replica has been removed."""
        dropped: list[object] = []
        self._refuse_reentry()
        gate = self.gate
        if gate is None:
            return self._append_and_execute(entry, dropped)
        passed = gate.enter()
        try:
            return self._append_and_execute(entry, dropped)
        finally:
            gate.leave(passed)

    def _append_and_execute(self, entry: object, dropped: list[object]) -> object:
        if try_lock(self.base + _ROLE, 0):
            return self._combine(entry, dropped)
        return self._ask(WRITE, entry, dropped)

    def read(self, slot: i64, operation: object, least: i64) -> object:
        """Execute a read; return its outcome, or MOVED.

        Args:
            slot: a reader slot of this replica.
            operation: the operation.
            least: the position that the replica must have reached; -1: what is completed now.
        """
        if least < 0:
            least = load(self.completed, ACQUIRE) if self.completed else self.log.completed()
        taken = self.enter(slot, least)
        if taken < 0:
            self._refuse_reentry()
            dropped: list[object] = []
            if try_lock(self.base + _ROLE, 0):
                self._combine(_CATCH_UP, dropped)
                taken = self.enter(slot, least)
            if taken < 0:
                return self._ask(READ, operation, dropped)
        outcome = self.state.query(operation)
        self.leave(taken)
        return outcome

    def sync(self) -> object:
        """Execute everything that has been appended until now; return None, or MOVED."""
        return self._request(SYNC)

    def duplicate(self) -> object:
        """Return a Copied of the state, registered as a new replica at its position, or an outcome."""
        return self._request(COPY)

    def retire(self) -> object:
        """Be no replica any more: who asks is told MOVED. Return None, or MOVED if it was none before."""
        return self._request(RETIRE)

    def _request(self, kind: int) -> object:
        self._refuse_reentry()
        return self._ask(kind, None, [])

    # ---- readers ----------------------------------------------------------------------------------------

    def own_slot(self) -> i64:
        """Return a reader slot for the caller alone, or a shared one if all are owned."""
        return self._readers.own_slot()

    def disown(self, slot: i64) -> None:
        """Give back what own_slot() returned."""
        self._readers.disown(slot)

    def enter(self, slot: i64, least: i64) -> i64:
        """Keep the combiner out, and return the slot to leave(), if the replica has got far enough; else < 0.

        *least*: the position that it must have reached; -1: what is completed now.
        """
        if least < 0 and self.completed == 0:
            least = self.log.completed()
        me: i64 = 0 if self._trusted else threading.get_ident()
        taken = enter(self.base, self.lock, self.completed, self.guarded, me, slot, least)
        if taken == WAKE:
            self.wake_combiner()
        return taken

    def leave(self, slot: i64) -> None:
        """Let the combiner in again."""
        if self.guarded and leave(self.lock, slot):
            self.wake_combiner()

    def wake_combiner(self) -> None:
        """Do what a reader's leaving asks for: the combiner has parked."""
        self._readers.wake_writer()

    def _refuse_reentry(self) -> None:
        """Raise RuntimeError if this thread is in the structure's own code: it would wait for itself."""
        if self._trusted:
            return
        me: i64 = threading.get_ident()
        inside = self._holds(me)
        peers = self.peers
        if peers is not None:
            for peer in peers:
                inside = inside or peer._holds(me)
        if inside:
            raise RuntimeError(
                "an operation of a replicated structure used that structure itself; operations run on each "
                "copy, apart from the others: use the structure inside (self) instead"
            )

    def _holds(self, me: i64) -> bool:
        return load(self.base + _EXECUTOR, RELAXED) == me or self._readers.has_inside(me)

    # ---- requests ---------------------------------------------------------------------------------------

    def _ask(self, kind: int, operation: object, dropped: list[object]) -> object:
        """Have it done by whoever is the combiner, this thread if nobody is; return the outcome."""
        if self._busy:
            raise RuntimeError(
                "a destructor that the garbage collector runs in the middle of a change cannot use the map"
            )
        request = Request(kind, operation)
        push(self._stack, request)
        fence(SEQ_CST)  # the push comes before the look at the role
        interrupted: BaseException | None = None
        spins = 0
        while request.outcome is PENDING:
            if try_lock(self.base + _ROLE, 0):
                self._combine(_NOTHING, dropped)
            elif load(self.base + _ROLE, ACQUIRE) == _RETIRED:
                turn_away(self._stack)
            elif spins < SPINS:
                spins += 1
                pause()
            else:
                try:
                    request.wake.acquire()
                except BaseException as error:  # noqa: BLE001  (raised below)
                    # A signal's handler has raised. The operation may be under way: see it through, it is
                    # one round's time, and then tell.
                    interrupted = error
        if interrupted is not None:
            raise interrupted
        return request.outcome

    # ---- the combiner -----------------------------------------------------------------------------------

    def _combine(self, own: object, dropped: list[object]) -> object:
        """Be the combiner: do *own* and what waits, release the role; return the outcome of *own*."""
        outcome: object = None
        rounds = 0
        while True:
            self._changed = False
            done: object
            try:
                done = self._serve(own, dropped)
            except BaseException as error:  # noqa: BLE001  (nobody may be left waiting)
                done = Raised(error)
                self._fail(done)
                if own is _NOTHING or own is _CATCH_UP:
                    self._interrupt = error
            changed = self._changed
            if own is not _NOTHING:
                outcome = done
                own = _NOTHING
            interrupt = self._interrupt
            if interrupt is not None:
                self._interrupt = None
            if self._retired:
                unlock(self.base + _ROLE, _RETIRED)
                fence(SEQ_CST)  # as below: who pushes later sees that there is nobody left to serve it
                turn_away(self._stack)
            else:
                unlock(self.base + _ROLE, 0)
                fence(SEQ_CST)  # the release comes before the looks at the stack and at WAITING
            if is_awaited(self._waiting):
                self._progress.tell()
            if dropped and self.gate is None:  # inside the gate no destructor may run: it may wait for others
                dropped.clear()
            if interrupt is not None:
                wake_all(self._stack)
                raise interrupt
            rounds += 1
            if self._retired or is_empty(self._stack):
                break
            if rounds == ROUNDS or changed:
                wake_all(self._stack)
                break
            if not try_lock(self.base + _ROLE, 0):
                break  # whoever has it now looks at the stack after us
        return outcome

    def _fail(self, outcome: Raised) -> None:
        """Tell everybody whose request is under way that this replica cannot do it."""
        for requests in (self._taken, self._requests, self._changes):
            for request in requests:
                if request.outcome is PENDING:
                    request.answer(outcome)
            requests.clear()
        self._entries.clear()
        self._incoming.clear()
        self._admit()

    def _let_go(self) -> None:
        """Release the role without doing what has come since: who waits for it is woken to do it."""
        unlock(self.base + _ROLE, 0)
        fence(SEQ_CST)
        if is_awaited(self._waiting):
            self._progress.tell()
        wake_all(self._stack)

    def _serve(self, own: object, dropped: list[object]) -> object:
        """Do *own* and all requests that are there, in rounds; return the outcome of *own*."""
        requests = self._requests
        entries = self._entries
        if is_empty(self._stack):
            if own is _NOTHING:
                return None
            if own is _CATCH_UP:
                return self._round(_NOTHING, 0, 0, dropped)
            entries.append(own)
            outcome = self._round(own, 0, 0, dropped)
            entries.clear()  # it is somebody's argument, so it does not die here
            return outcome
        if own is _CATCH_UP:
            own = _NOTHING  # the rounds of the others do that
        take_all(self._stack, self._taken)
        for request in self._taken:
            if request.kind >= COPY:
                self._changes.append(request)
            else:
                requests.append(request)
            dropped.append(request)  # so that it, and its operation, does not die here
        self._taken.clear()
        requests.reverse()  # first come, first served
        begin: i64 = perf_counter_ns()
        outcome = None
        done: i64 = 0
        total: i64 = len(requests)
        while done < total or own is not _NOTHING:
            if own is not _NOTHING:
                entries.append(own)
            stop = done
            while stop < total and len(entries) < self._batch:
                if requests[stop].kind == WRITE:
                    entries.append(requests[stop].operation)
                stop += 1
            result = self._round(own, done, stop, dropped)
            if own is not _NOTHING:
                outcome = result
                own = _NOTHING
            entries.clear()
            done = stop
        requests.clear()
        if self._changes:
            self._change_membership(dropped)
        self._add(_TIMED, 1)
        self._add(_NANOSECONDS, perf_counter_ns() - begin)
        return outcome

    def _round(self, own: object, done: i64, stop: i64, dropped: list[object]) -> object:
        """Do a round, with *own* and the requests from *done* up to *stop*; return the outcome of *own*."""
        requests = self._requests
        count: i64 = len(self._entries)
        refused: object = None
        first: i64 = 0
        if count > 0:
            try:
                first = self._append(dropped)
            except BaseException as error:  # noqa: BLE001  (nothing was appended: its issuers are told)
                refused = Raised(error)
                count = 0
        if count == 0:
            first = self.log.tail()
        self._close()
        lost = not self._replay(first, dropped)
        outcome = refused
        if lost:
            refused = outcome = Raised(ResultLostError("it has taken effect; its result is lost"))
        elif count > 0:
            outcome = self._execute(own, done, stop, dropped)
        self._publish(first + count, dropped)
        index = done
        while index < stop:
            request = requests[index]
            if request.kind == WRITE:
                if refused is not None:
                    request.result = refused
            elif request.kind == READ:
                request.result = self.state.query(request.operation)
            index += 1
        self._admit()
        self._count(count)
        index = done
        while index < stop:
            request = requests[index]
            request.answer(request.result)
            index += 1
        return outcome

    def _change_membership(self, dropped: list[object]) -> None:
        """Copy this replica, or let it go. Last of all, and this thread does nothing more as combiner.

        From here on the log keeps entries for a copy that is nobody's replica yet, so nobody helps it; it is
        until who asked for it, perhaps this very thread, has come back from here. Were this thread to append
        something first, it could wait for room that only itself can make.
        """
        self._close()
        self._catch_up(dropped)
        for request in self._changes:
            if request.kind == COPY and not self._retired:
                request.result = self._copied()
            elif request.kind == COPY:
                request.result = MOVED
            elif not self._retired:
                self._retired = True
                self._readers.close()  # for good
                self._leave_log(dropped)
        if not self._retired:
            self._admit()
        else:
            store(self.base + _EXECUTOR, 0, RELAXED)
            self._busy = False
        for request in self._changes:
            request.answer(request.result)
        self._changes.clear()
        self._changed = True

    def _execute(self, own: object, done: i64, stop: i64, dropped: list[object]) -> object:
        """Execute the entries that were just appended, and keep their results; return that of *own*."""
        position = load(self.base + _POSITION, RELAXED)
        outcome: object = None
        if own is not _NOTHING:
            outcome = self._apply(own, dropped)
            position += 1
            # After each: whatever interrupts this, nothing is executed twice.
            store(self.base + _POSITION, position, RELEASE)
        while done < stop:
            request = self._requests[done]
            if request.kind == WRITE:
                request.result = self._apply(request.operation, dropped)
                position += 1
                store(self.base + _POSITION, position, RELEASE)
            done += 1
        return outcome

    def _apply(self, entry: object, dropped: list[object]) -> object:
        """Execute one entry; return its outcome."""
        if not self._encodes:
            return self.state.apply(entry, dropped)
        try:
            operation = self.log.decode(entry)
        except Exception as error:  # noqa: BLE001  (the same on every replica: its result)
            return Raised(error)
        dropped.append(operation)
        return self.state.apply(operation, dropped)

    def _replay(self, until: i64, dropped: list[object]) -> bool:
        """Execute what others have appended before *until*; return whether nothing after it was executed too.

        That happens to a replica that was evicted: it begins again with a copy of another one.
        """
        position = load(self.base + _POSITION, RELAXED)
        while position < until:
            kept = self.log.read(position, until, self._incoming)
            for entry in self._incoming:
                dropped.append(entry)  # of an evicted replica the log may have let go of it
                result = self._apply(entry, dropped)
                if result is not None:
                    dropped.append(result)
                position += 1
                store(self.base + _POSITION, position, RELEASE)
            self._incoming.clear()
            if not kept:
                position = self._begin_again(dropped)
        return position == until

    def _catch_up(self, dropped: list[object]) -> None:
        """Execute everything that has been appended, and let others see it. Readers are out, and stay so."""
        self._replay(self.log.tail(), dropped)
        self._publish(load(self.base + _POSITION, RELAXED), dropped)

    def _publish(self, position: i64, dropped: list[object]) -> None:
        """Let others see that everything before *position* has been executed. Readers are still out."""
        if self.state.damaged() and self.peers is not None:
            at = self._begin_again(dropped)
            while at < position and not self._replay(position, dropped):
                at = load(self.base + _POSITION, RELAXED)
        position = max(position, load(self.base + _POSITION, RELAXED))
        self.log.complete(position)
        self.log.advance(self.number, position)
        if self._checked:
            self.check_invariants()
        light_fence()  # against the heavy one of a thread that is about to wait for this
        self._busy = False
        if is_awaited(self._waiting):
            self._progress.tell()

    def _append(self, dropped: list[object]) -> i64:
        """Append the entries, when there is room; return the position of the first."""
        while True:
            first = self.log.append(self._entries, self.number, dropped)
            if first >= 0:
                return first
            if first == SEALED:
                raise LogSealedError("the log has been sealed: nothing can be changed any more")
            if first == EVICTED:
                self._follow(dropped)
            else:
                self._make_room(dropped)

    # ---- room in the log --------------------------------------------------------------------------------
    # Whoever finds the log full brings its own replica up to date first: others may wait for that. Then it
    # does the same for the one that is furthest behind, if its role is free. If that one has a combiner, it
    # publishes a position and releases the role when its round is over, or comes here and waits for a replica
    # that is further behind; so the one that is furthest behind never has a combiner that waits.

    def _make_room(self, dropped: list[object]) -> None:
        self._follow(dropped)
        least = self.position()
        slowest: Replica | None = None
        peers = self.peers
        if peers is not None:
            for peer in peers:
                behind = peer.held_at()
                if peer is not self and 0 <= behind < least:
                    slowest, least = peer, behind
        if slowest is None:
            yield_thread()  # a replica is being added, and is not among the peers yet
        elif not slowest.help(dropped):
            self._add(_WAITS, 1)
            interrupt = slowest.wait_beyond(least, self._evict_after, dropped)
            if interrupt is not None:
                self._interrupt = interrupt

    def _follow(self, dropped: list[object]) -> None:
        """Execute everything that has been appended; begin again if evicted. The role is held."""
        self._close()
        if self.held_at() < 0:
            self._begin_again(dropped)
        self._catch_up(dropped)
        self._admit()

    def held_at(self) -> i64:
        """Return the position from which on the log keeps entries for this replica; negative: none."""
        return self.log.position_of(self.number)

    def help(self, dropped: list[object]) -> bool:
        """Bring this replica up to date, if it has no combiner; return whether it had none."""
        if not try_lock(self.base + _ROLE, 0):
            return False
        self._add(_HELPED, 1)
        self._follow(dropped)
        self._let_go()
        return True

    def wait_beyond(
        self, position: i64, patience: float | None, dropped: list[object]
    ) -> BaseException | None:
        """Wait until this replica has got beyond *position*; evict it if its *patience* ends before."""
        # Then either the position and the role that are looked at are as whoever had the role has left them,
        # or that one tells. It may have published all that it will and not yet released the role; so to look
        # at the position is not enough: the role may be free, and nobody comes.
        told = self._progress.expect()
        interrupt: BaseException | None = None
        if 0 <= self.held_at() <= position and not self.help(dropped):
            try:
                got = told.acquire() if patience is None else told.acquire(timeout=patience)
            except BaseException as error:  # noqa: BLE001  (raised when the role is released)
                interrupt = error
                got = True
            if not got and 0 <= self.held_at() <= position:
                self.log.evict(self.number, dropped)
                self._progress.tell()
        self._progress.forget(told)
        return interrupt

    def _begin_again(self, dropped: list[object]) -> i64:
        """Replace the state, which has missed something, by a copy of another replica's; return its position.

        The role is held and readers are out. Nobody waits for this replica meanwhile: the log has forgotten
        it. Nor does it wait for one that does the same.
        """
        self._busy = False
        self._begins_again = True
        self._leave_log(dropped)
        for peer in self.peers or []:
            if peer is not self and not peer._begins_again:
                copied = peer._ask(COPY, None, [])
                if isinstance(copied, Copied):
                    if not self.state.adopt(copied.state, dropped):
                        dropped.append(self.state)
                        self.state = copied.state
                    self.number = copied.number
                    store(self.base + _POSITION, copied.position, RELEASE)
                    self._begins_again = False
                    return copied.position
        self._begins_again = False
        raise LogError("a replica has missed entries, and there is no other one to copy")

    def _leave_log(self, dropped: list[object]) -> None:
        """Let the log keep nothing for this replica any more, and wake who waits for it to get on.

        In this order: who comes too late to be woken finds that there is nothing to wait for.
        """
        self.log.deregister(self.number, dropped)
        self.number = -1
        self._progress.tell()

    def _copied(self) -> object:
        """Return a copy of the state, registered with the log. Its position is this one's, which stays."""
        try:
            copied = self.state.copy()
            position = load(self.base + _POSITION, RELAXED)
            return Copied(copied, position, self.log.register(position))
        except Exception as error:  # noqa: BLE001  (for who has asked)
            return Raised(error)

    # ---- for scans over several logs --------------------------------------------------------------------

    def seize(self, dropped: list[object]) -> None:
        """Be the combiner, bring the replica up to date, and keep readers out, until release().

        For a time in which nobody appends: whoever has the role now has it for a moment.
        """
        while not try_lock(self.base + _ROLE, 0):
            self._ask(SYNC, None, dropped)
        self._close()
        self._catch_up(dropped)

    def release(self) -> None:
        """Undo seize()."""
        self._admit()
        self._let_go()

    # ---- readers out, readers in ------------------------------------------------------------------------

    def _close(self) -> None:
        if not self.guarded:
            self._busy = True
            return
        if not self._trusted:
            store(self.base + _EXECUTOR, threading.get_ident(), RELAXED)
        interrupt = self._readers.close()
        if interrupt is not None:
            self._interrupt = interrupt

    def _admit(self) -> None:
        if self.guarded:
            if not self._trusted:
                store(self.base + _EXECUTOR, 0, RELAXED)
            self._readers.open()
        else:
            self._busy = False

    # ---- figures and checks -----------------------------------------------------------------------------

    def _add(self, word: i64, amount: i64) -> None:
        store(self.base + word, load(self.base + word, RELAXED) + amount, RELAXED)

    def _count(self, count: i64) -> None:
        self._add(_ROUNDS, 1)
        self._add(_OPERATIONS, count)
        size: i64 = 0
        while size < 7 and count > (size if size < 3 else 1 << (size - 1)):
            size += 1
        self._add(_BATCHES + size * 8, 1)

    def figures(self) -> dict[str, Any]:
        """Return what has been counted: rounds, operations, batches by size..."""
        words = [int(load(self.base + _COUNTS + word * 8, RELAXED)) for word in range(16)]
        return {
            "rounds": words[0],
            "operations": words[1],
            "helped": words[2],
            "waits": words[3],
            "timed": words[4],
            "nanoseconds": words[5],
            "batches": tuple(words[8:16]),
        }

    def check_invariants(self) -> None:
        """Assert head <= this position <= completed <= tail, and tail <= each position + capacity.

        What is read first in a comparison can only have grown when the other is read, or is this position.
        """
        head = self.log.head()
        mine = self.log.position_of(self.number)
        completed = self.log.completed()
        tail = self.log.tail()
        if mine >= 0:
            assert head <= mine, f"the log keeps nothing before {head}, and a replica is at {mine}"
            assert mine <= completed, f"a replica is at {mine}, and completed only {completed}"
        assert completed <= tail, f"{completed} is completed, and only {tail} appended"
        for peer in self.peers or [self]:
            position = peer.held_at()
            if position >= 0:
                assert tail <= position + self.log.capacity(), (
                    f"a replica is at {position}, the tail at {tail}"
                )
