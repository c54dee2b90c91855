"""What all views of one evmap share: the two copies, the log between them, and who is in the way.

The idea
========
There are two copies of the data. Readers look at one, the *current* copy, which nobody changes; the writer
changes the other, the *spare* one, which nobody looks at. To *publish* is to let them change places, by one
store of an address: from then on readers find all that was written, none of it before. What is now the spare
copy lacks the last writes; when the readers that still look at it have left, the *log* of them is applied to
it, and the writer can go on::

                 current      spare
    m[x] = 1     A            B + x=1                log: x=1
    m[y] = 2     A            B + x=1, y=2           log: x=1, y=2
    publish()    B            A, behind              log: x=1, y=2       readers enter B; some are still in A
    (later)      B            A + x=1, y=2           log is empty        the last reader has left A

Readers take no lock, wait for nothing and try nothing twice: they say that they read (a *section*, see
``_readers``), load the address of the current copy, search it, and say that they have done.

The original keeps the writes in the log and applies them at the publication. Here the first copy gets them at
once, since a map's ``insert``, ``pop`` or ``compute`` must know what is there, written or published. So it is
not publishing that waits for readers but the first write after it, if it comes while they are still there.

Who owns what
=============
``lock`` makes one writer of several. It is re-entrant. User code runs under it in two cases only: a cyclic GC
in the middle of an allocation, and a signal's handler. Both may use this very map, in this very thread. So
all that is not one step is done between ``try_lock`` and ``unlock`` of the word TURN. Nothing is allocated
and nothing dies there (and the interpreted machine keeps handlers and GC out); what was looked at before is
looked at again. *synced* says that the spare copy is the writer's: it has all that is published, and all
*pending* writes.

The racing lines
================
1. *A section against a publication.* The reader stores that it is in a section, has a light fence, and loads
   CURRENT; the writer stores CURRENT, has a heavy fence, and looks at the records. Of the two fences one
   comes first. If it is the reader's, the writer sees the section and waits. If it is the writer's, the
   reader loads the new address: it is in the copy that the writer leaves alone.
2. *A section that ends.* It is over with a RELEASE store that the writer reads with ACQUIRE: what it loaded
   was loaded before the writer changes the copy.
3. *Sections without end.* A thread that reads all the time is found in a section at every look. So the writer
   moves the clock on when it finds one: a section that began by the new time loaded CURRENT after the
   publication, whose store came before the clock's (the clock is read with ACQUIRE). Only older ones count.
4. *A guard against a publication.* A guard keeps a copy for longer, with user code in between. It is entered
   in ``guards`` within a section. So when no section is in the way any more, all guards of the spare copy are
   entered, and no more will come, since that copy is not to be found at CURRENT.

Who is in the way, and until when, is found out in ``_obstacles``. Then it is the map's *policy* that counts:
the writer waits, or waits for a while and raises TimeoutError, the write not done; or it leaves the copy to
who looks at it and makes another one of the current copy. It does that in any case where waiting would never
end: for a guard of its own thread, of a thread that waits for this lock, or from before a fork.

Sources: Ramalhete and Correia, Left-right; the left-right and evmap crates. May import only core's public
names and this package.
"""

from __future__ import annotations

from collections import deque
from threading import RLock
from time import monotonic
from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    load,
    object_exchange,
    object_exchange_into,
    object_load,
    object_store,
    object_take_into,
    pause,
    reachability_fence,
    store,
    try_lock,
    unlock,
)
from intermodal.memory import Block
from intermodal.reclamation import Reclaimer, enter, leave
from intermodal_evmap._bags import first_of, size_of
from intermodal_evmap._log import (
    INSERTED,
    KEY,
    META_SET,
    NEW,
    OLD,
    REMOVED,
    REPLACED,
    SEGMENT,
    Log,
    Segment,
    note,
)
from intermodal_evmap._obstacles import NOBODY, OWN, SLICE, Hold, Obstacles
from intermodal_evmap._readers import READERS
from intermodal_evmap._statistics import EvMapStatistics
from intermodal_evmap._table import (
    ASK_KEYS,
    DENOMINATOR,
    ENTRIES,
    GROUP_SLOTS,
    NOT_FOUND,
    NOTHING,
    VALUE,
    VALUES,
    Table,
    are_candidates,
    candidates,
    check_table,
    claim,
    copied,
    count,
    find,
    find_identical,
    gather,
    groups_for,
    hash_at,
    is_taken,
    larger,
    move,
    release,
    slot_at,
)

# ---- the shared words -------------------------------------------------------------------------------------

#: Address of the control words of the current copy.
CURRENT: Final = 0
#: The lock of ``try_lock``, in a line of its own.
TURN: Final = 64
#: Always 0: the witness of searches that are no sections.
ZERO: Final = 72
#: 1 while a writer waits for guards to end.
WAITING: Final = 80
SHARED_WORDS: Final = 16

# ---- writes -----------------------------------------------------------------------------------------------

# Conditions.
ALWAYS: Final = 0
IF_ABSENT: Final = 1
IF_PRESENT: Final = 2
IF_IDENTICAL: Final = 3  # its first value is the one expected
IF_CONTENT: Final = 4  # the content of its slot is the one expected, NOTHING: it has no slot
LOOK: Final = 5  # never: only tell what is there

# Results.
RETRY: Final = 0
DONE: Final = 1
REFUSED: Final = 2
ASK: Final = 3

#: What a write is given as new content for "no entry".
REMOVE: Final = object()

# ---- waiting ----------------------------------------------------------------------------------------------

# Policies.
CLONE: Final = 0
WAIT: Final = 1
TIMEOUT: Final = 2

# A reader that is running leaves its section within the SPINS. If it is still there, its thread does not run:
# who sleeps for a moment gives it the processor, and it leaves.
SPINS: Final = 100
#: Looks of a publication at once, before it leaves the spare copy as it is for the next write.
BRIEF: Final = 50


@final
class Asked:
    """What the keys of equal hash have said: which of *keys* is the wanted one, -1 none."""

    def __init__(self, keys: list[Any], match: int) -> None:
        self.keys: Final = keys
        self.match: Final = match


@final
class EvMapState:
    """The state that all views of one map share.

    Args:
        capacity: entries below which the copies never shrink.
        policy: CLONE, WAIT or TIMEOUT.
        patience: seconds until TIMEOUT takes effect.
        every: publish after that many writes; 0: only when asked.
        meta: the user's first datum.
        readers: whose sections count; None: those of the process.
    """

    def __init__(
        self,
        capacity: int = 0,
        policy: int = CLONE,
        patience: float = 0.0,
        every: int = 1,
        meta: object = None,
        readers: Reclaimer | None = None,
    ) -> None:
        self.minimum: Final[i64] = groups_for(capacity)
        #: Groups below which the copies do not shrink for the time being.
        self.floor: i64 = self.minimum
        self.policy: Final[i64] = policy
        self.patience: Final[float] = patience
        self.readers: Final = READERS if readers is None else readers
        self.lock: Final[Any] = RLock()
        self.block: Final = Block(SHARED_WORDS)
        self.shared: Final[i64] = self.block.address
        self.obstacles: Final = Obstacles(self.readers, self.shared + WAITING)
        self.current: Table = Table(self.minimum, meta)
        self.spare: Table = Table(self.minimum, meta)
        store(self.shared + CURRENT, self.current.control, RELEASE)
        self.synced: bool = True
        self.log: Final = Log()
        self.pending: i64 = 0
        self.publications: i64 = 0
        self.every: i64 = every
        self.copies: i64 = 0
        self.cursor: i64 = 0
        #: What is to be dropped outside the lock.
        self.trash: Final[deque[object]] = deque()

    # ---- reading -----------------------------------------------------------------------------------------

    def hold(self) -> Hold:
        """Return a hold on the current copy; end it with :meth:`let_go`."""
        hold = Hold()
        name = id(hold)
        record = self.readers.record()
        enter(record)
        try:
            # Racing line 4. The address says which copy it is; whatever the publisher has got done of letting
            # the two change places, it is one of them, unless it published in between: then again.
            while hold.table is None:
                address = load(self.shared + CURRENT, ACQUIRE)
                table = self.current
                if table.control != address:
                    table = self.spare
                if table.control == address:
                    self.obstacles.guards[name] = hold
                    hold.table = table
        finally:
            leave(record)
        return hold

    def let_go(self, hold: Hold) -> None:
        """End a hold, in whichever thread. The copy, and what only it has, may die with the caller's."""
        self.obstacles.end(hold)

    # ---- writing -----------------------------------------------------------------------------------------

    def write(
        self, h: i64, key_hash: i64, key: object, condition: i64, expected: object, new: object, due: bool
    ) -> tuple[i64, object]:
        """Change the content of the slot of *key* if the condition holds: (DONE or REFUSED, first value).

        The value is the one before; NOTHING if there was none. With the condition LOOK it is the content.
        *due*: publish, if it is time.

        Raises: what the key's ``__eq__`` raises, TimeoutError, MemoryError; and then nothing has changed.
        """
        asked: Asked | None = None
        while True:
            self.obstacles.announce()
            keys: list[Any] | None = None
            with self.lock:
                self.make_ready()
                result, previous = self.apply(h, key_hash, key, condition, expected, new, asked)
                if result == ASK:
                    keys = candidates(self.spare, h, key_hash)
                else:
                    self.finish_write(due)
            self.drop_trash()
            if keys is not None:
                asked = Asked(keys, ask(keys, key))  # user code, under no lock
            elif result != RETRY:
                return result, previous

    def remove_identical(self, h: i64, key_hash: i64, key: object, content: object, due: bool) -> bool:
        """Remove the entry with that very key if its content is *content*; return whether it was."""
        self.obstacles.announce()
        with self.lock:
            result: i64 = RETRY
            while result == RETRY:
                self.make_ready()
                asked = Asked(candidates(self.spare, h, key_hash), 0)
                for index, each in enumerate(asked.keys):
                    if each is key:
                        asked = Asked(asked.keys, index)
                        break
                else:
                    return False
                result, _ = self.apply(h, key_hash, key, IF_CONTENT, content, REMOVE, asked)
                if result == ASK:
                    result = RETRY
            self.finish_write(due)
        self.drop_trash()
        return result == DONE

    def finish_write(self, due: bool) -> None:
        """After a write, with the lock: publish if it is time; keep no log that nobody will read."""
        if not self.log.complete and self.synced:
            self.discard_log()
        if due and self.every != 0 and self.pending >= self.every:
            self.publish_now()

    def make_ready(self) -> None:
        """Let the spare copy be the writer's, with room for an insertion, and the log have room for an entry.

        The lock is held. What is allocated here may run the GC, which may run anything: so whoever relies on
        all this looks again.
        """
        self.obstacles.arrive()
        log = self.log
        while True:
            spare = self.spare
            if not self.synced:
                self.sync()
            elif not log.has_room():
                if log.complete and log.is_long(spare.keys()):
                    log.complete = False
                    self.discard_log()
                else:
                    self.append_segment(log.new_segment())
            elif spare.is_full():
                self.resize(spare, larger(spare.groups))
            elif spare.groups > self.floor and spare.keys() * DENOMINATOR < spare.groups * GROUP_SLOTS:
                self.resize(spare, max(self.floor, groups_for(int(spare.keys() * 2))))
            else:
                return

    def apply(
        self,
        h: i64,
        key_hash: i64,
        key: object,
        condition: i64,
        expected: object,
        new: object,
        asked: Asked | None,
    ) -> tuple[i64, object]:
        """Do what :meth:`write` does, if all is ready; RETRY: it was not. ASK: only the keys can tell."""
        turn = self.shared + TURN
        if not try_lock(turn, 0):
            return RETRY, None
        result: i64 = RETRY
        previous: object = None
        segment = self.log.last
        if self.synced and segment is not None and segment.used < SEGMENT and not self.spare.is_full():
            result, previous = self.change(
                self.spare, segment, h, key_hash, key, condition, expected, new, asked
            )
        unlock(turn, 0)
        return result, previous

    def change(
        self,
        table: Table,
        segment: Segment,
        h: i64,
        key_hash: i64,
        key: object,
        condition: i64,
        expected: object,
        new: object,
        asked: Asked | None,
    ) -> tuple[i64, object]:
        """Change *table*, the writer's, and note it in *segment*. Allocates nothing, and nothing dies."""
        if asked is None:
            slot = find(table.headers, table.slots, table.groups, h, key, self.shared + ZERO, 0)
            if slot == ASK_KEYS:
                return ASK, None
        elif not are_candidates(table, h, key_hash, asked.keys):
            return ASK, None  # others came or went since they were asked
        elif asked.match < 0:
            slot = NOT_FOUND
        else:
            slot = find_identical(table, h, asked.keys[asked.match])
        content: object = NOTHING
        if slot != NOT_FOUND:
            content = object_load(slot + VALUE, NOTHING)
        if condition == LOOK:
            return REFUSED, content
        first = first_of(content, NOTHING)
        if not holds(condition, content, first, expected) or (slot == NOT_FOUND and new is REMOVE):
            return REFUSED, first
        old: i64 = 0
        if slot == NOT_FOUND:
            entry = note(segment, INSERTED, key_hash)
            object_store(entry + KEY, key)
            object_store(entry + NEW, new)
            slot = claim(table, h, key_hash)
            object_store(slot, key)
            object_store(slot + VALUE, new)
            count(table, 0, size_of(new))
        elif new is REMOVE:
            old = size_of(content)
            entry = note(segment, REMOVED, key_hash)
            object_take_into(slot + VALUE, entry + OLD)
            object_take_into(slot, entry + KEY)
            release(table, slot)
            count(table, old, 0)
        else:
            old = size_of(content)
            entry = note(segment, REPLACED, key_hash)
            object_store(entry + KEY, object_load(slot, None))
            object_store(entry + NEW, new)
            object_exchange_into(slot + VALUE, new, entry + OLD)
            count(table, old, size_of(new))
        self.pending += 1
        return DONE, first

    def set_meta(self, meta: object) -> None:
        """Replace the user's datum, to be published with the writes."""
        self.obstacles.announce()
        turn = self.shared + TURN
        with self.lock:
            done = False
            while not done:
                self.make_ready()
                if try_lock(turn, 0):
                    segment = self.log.last
                    if self.synced and segment is not None and segment.used < SEGMENT:
                        entry = note(segment, META_SET, 0)
                        object_store(entry + NEW, meta)
                        object_exchange_into(self.spare.meta, meta, entry + OLD)
                        self.pending += 1
                        done = True
                    unlock(turn, 0)
            self.finish_write(True)
        self.drop_trash()

    def clear(self) -> None:
        """Remove everything but the user's datum: the writer's copy is another one."""
        self.obstacles.announce()
        turn = self.shared + TURN
        with self.lock:
            done = False
            while not done:
                self.make_ready()
                empty = Table(self.minimum, object_load(self.spare.meta, None))
                self.trash.append(self.spare)
                if try_lock(turn, 0):
                    if self.synced:
                        # Whatever the spare copy's datum has become, it is this one's.
                        object_exchange(empty.meta, object_load(self.spare.meta, None), None)
                        self.spare = empty
                        self.floor = self.minimum
                        self.log.complete = False
                        self.pending += 1
                        done = True
                    unlock(turn, 0)
            self.finish_write(True)
        self.drop_trash()
        self.log.unused.clear()

    def resize(self, table: Table, groups: i64) -> None:
        """Let the spare copy, if it is *table*, be one of that many groups."""
        other = Table(groups, NOTHING)
        turn = self.shared + TURN
        if try_lock(turn, 0):
            if self.spare is table and self.current is not table:
                move(table, other)
                self.spare = other
            unlock(turn, 0)

    def resize_to(self, groups: i64) -> None:
        """Let both copies be of that many groups, or more if they have to, until clear() or the next time.

        The second one is made anew when this is published.
        """
        self.obstacles.announce()
        with self.lock:
            self.make_ready()
            self.floor = max(groups, self.minimum)
            spare = self.spare
            self.resize(spare, max(self.floor, groups_for(int(spare.keys()))))
            self.log.complete = False
            self.pending += 1
            self.finish_write(True)
        self.drop_trash()

    # ---- the whole of what is written --------------------------------------------------------------------

    def written(self) -> list[Any]:
        """Return key, content, key... of all that is written, published or not."""
        self.obstacles.announce()
        with self.lock:
            self.make_ready()
            spare = self.spare
            return gather(spare)

    def any_entry(self, start: i64) -> tuple[object, object, i64]:
        """Return an entry that has a value, and the hash of its key; NOTHING for the key: there is none.

        The first from slot *start* on; -1: from where the last one was found.
        """
        self.obstacles.announce()
        with self.lock:
            self.make_ready()
            table = self.spare
            slots = table.groups * GROUP_SLOTS
            step: i64 = 0
            start = self.cursor if start < 0 else start
            while step < slots:
                index: i64 = (start + step) % slots
                if is_taken(table, index):
                    slot = slot_at(table, index)
                    key = object_load(slot, NOTHING)
                    content = object_load(slot + VALUE, NOTHING)
                    if size_of(content) != 0 and key is not NOTHING:
                        self.cursor = index
                        return key, content, load(hash_at(table, index), RELAXED)
                step += 1
        return NOTHING, NOTHING, 0

    # ---- publishing --------------------------------------------------------------------------------------

    def publish(self) -> bool:
        """Make all writes visible; return whether there were any."""
        self.obstacles.announce()
        with self.lock:
            self.obstacles.arrive()
            pending = self.pending != 0
            self.publish_now()
        self.drop_trash()
        return pending

    def try_publish(self) -> bool:
        """Publish unless another thread has the lock; return whether it had not."""
        if not self.lock.acquire(blocking=False):
            return False
        try:
            self.publish_now()
        finally:
            self.lock.release()
        self.drop_trash()
        return True

    def publish_if_due(self) -> None:
        """Publish, if the number of writes says so."""
        self.obstacles.announce()
        with self.lock:
            self.obstacles.arrive()
            if self.every != 0 and self.pending >= self.every:
                self.publish_now()
        self.drop_trash()

    def publish_now(self) -> None:
        """Publish if there are writes, and catch up if nobody is in the way. Waits for no reader.

        The lock is held.
        """
        if self.pending != 0:
            self.change_places()
        self.clean()
        looks: i64 = 0
        while not self.synced and looks < BRIEF:
            publication = self.publications
            if self.obstacles.who(self.spare) == NOBODY:
                self.catch_up(publication)
            else:
                pause()
            looks += 1

    def change_places(self) -> None:
        """Let the spare copy, which has been written to, be the current one. The lock is held."""
        turn = self.shared + TURN
        if try_lock(turn, 0):
            if self.synced and self.pending != 0:
                spare, current = self.spare, self.current
                # Racing line 1: from here on readers find the new copy. The address is what counts; the two
                # attributes follow it.
                store(self.shared + CURRENT, spare.control, RELEASE)
                self.current = spare
                self.spare = current
                self.synced = False
                self.obstacles.begin()
                self.log.applied = 0
                self.pending = 0
                self.publications += 1
            unlock(turn, 0)

    def sync(self) -> None:
        """Let the spare copy be the writer's, by the policy if somebody is in the way. The lock is held.

        Raises: TimeoutError.
        """
        looks: i64 = 0
        began = 0.0
        while not self.synced:
            publication = self.publications
            who = self.obstacles.who(self.spare)
            looks += 1
            if who == NOBODY:
                self.catch_up(publication)
            elif who == OWN:
                self.copy_current(publication, self.obstacles.in_section)
            elif looks <= SPINS:
                pause()
            else:
                now = monotonic()
                began = now if began == 0.0 else began
                self.wait_or_copy(publication, now - began)

    def wait_or_copy(self, publication: i64, waited: float) -> None:
        """Do what the policy says about others in the way for whom it has *waited* so many seconds.

        Raises: TimeoutError.
        """
        if self.policy == CLONE:
            patience = self.obstacles.patience(self.current.keys())
            if waited >= patience:
                self.copy_current(publication, self.obstacles.in_section)
                return
            if patience < SLICE:
                pause()  # where threads want more cores than there are, who sleeps is away for longer
                return
        elif self.policy == TIMEOUT and waited >= self.patience:
            raise TimeoutError(
                f"a reader has kept the version before the last for {self.patience} s; the write was not "
                "done, what was published is visible"
            )
        self.obstacles.park(self.spare)

    def catch_up(self, publication: i64) -> None:
        """Let the spare copy be like the current one; after that *publication* nobody has looked at it.

        There may have been another since, by what a GC runs: then somebody may look at what is spare now.
        """
        if not self.log.complete:
            self.copy_current(publication, False)
            return
        spare = self.spare
        turn = self.shared + TURN
        if not try_lock(turn, 0):
            return
        done = True
        if not self.synced and self.publications == publication and self.spare is spare:
            done = self.log.apply_to(spare)
            if done:
                self.discard_log()
                self.synced = True
        unlock(turn, 0)
        if not done:
            self.resize(spare, larger(spare.groups))

    def copy_current(self, publication: i64, left: bool) -> None:
        """Let the spare copy be a new one of the current, if that *publication* was the last one.

        *left*: sections may look at the one before.
        """
        current = self.current
        spare = self.spare
        other = copied(current, int(current.groups))
        # Before the step: it may be interrupted after it.
        if left:
            self.obstacles.leave(spare)
        else:
            self.trash.append(spare)
        turn = self.shared + TURN
        if try_lock(turn, 0):
            if not self.synced and self.publications == publication and self.spare is spare:
                self.spare = other
                self.discard_log()
                self.log.complete = True
                self.synced = True
                self.copies += 1
            unlock(turn, 0)

    def clean(self) -> None:
        """Let go of copies that were left to sections which are over. The lock is held."""
        left = self.obstacles.next_left()
        while left is not None:
            self.trash.append(left)
            left = self.obstacles.next_left()

    # ---- what is to be dropped ---------------------------------------------------------------------------

    def append_segment(self, segment: Segment) -> None:
        """Let the log have room in *segment*, unless it has some already."""
        turn = self.shared + TURN
        if try_lock(turn, 0):
            self.log.append(segment)
            unlock(turn, 0)

    def discard_log(self) -> None:
        """Let the log be empty; what it owns is dropped later."""
        first = self.log.empty()
        if first is not None:
            self.trash.append(first)

    def drop_trash(self) -> None:
        """Drop what is not needed any more. Destructors run: not under the lock."""
        while self.trash:
            try:
                garbage = self.trash.popleft()
            except IndexError:
                return
            if isinstance(garbage, Segment):
                self.log.recycle(garbage)

    # ---- about it ----------------------------------------------------------------------------------------

    def statistics(self) -> EvMapStatistics:
        """Return one moment's figures."""
        hold = self.hold()
        table = hold.table
        assert table is not None
        found = EvMapStatistics(
            entries=int(load(table.control + ENTRIES, RELAXED)),
            values=int(load(table.control + VALUES, RELAXED)),
            pending=int(self.pending),
            publications=int(self.publications),
            copies=int(self.copies),
            guards=len(self.obstacles.guards) - 1,
            capacity=int(table.groups * GROUP_SLOTS),
            memory_bytes=self.memory_bytes(),
        )
        self.let_go(hold)
        return found

    def memory_bytes(self) -> int:
        """Return the bytes of the blocks in use."""
        blocks = [self.block, self.current.block, self.spare.block]
        return sum(block.__sizeof__() for block in blocks)

    def check(self) -> None:
        """Raise AssertionError if an invariant does not hold. For a map that nobody else uses meanwhile."""
        with self.lock:
            assert load(self.shared + TURN, RELAXED) == 0, "somebody has the turn"
            assert load(self.shared + CURRENT, ACQUIRE) == self.current.control, "another copy is current"
            assert self.current is not self.spare, "there is one copy only"
            check_table(self.current)
            check_table(self.spare)
            if self.pending == 0:
                self.sync()
                check_equal(self.current, self.spare)
            else:
                assert self.synced, "writes are pending on a copy that is not the writer's"
        self.drop_trash()


def holds(condition: i64, content: object, first: object, expected: object) -> bool:
    """Return whether *condition* is true of a slot's content, whose first value is *first*."""
    if condition == IF_ABSENT:
        return first is NOTHING
    if condition == IF_PRESENT:
        return first is not NOTHING
    if condition == IF_IDENTICAL:
        return first is expected
    if condition == IF_CONTENT:
        return content is expected
    return True


def ask(keys: list[Any], key: Any) -> int:
    """Return which of *keys* is or equals *key*, -1 if none: their ``__eq__`` runs."""
    for index, stored in enumerate(keys):
        if stored is key:
            return index
    for index, stored in enumerate(keys):
        if stored == key:
            return index
    return -1


def check_equal(one: Table, other: Table) -> None:
    """Raise AssertionError unless two copies hold the same objects."""
    contents = []
    for table in (one, other):
        entries = gather(table)
        contents.append({id(entries[at]): id(entries[at + 1]) for at in range(0, len(entries), 2)})
    assert contents[0] == contents[1], "the copies differ"
    assert object_load(one.meta, None) is object_load(other.meta, None), "the copies have different data"
    reachability_fence(one)
    reachability_fence(other)
