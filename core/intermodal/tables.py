"""What hash maps share whose keys have *homes* that are locked one by one: resize, counts, iteration, views.

The entries of such a map lie in a *table*. Bits of a key's hash choose its *home* there; a word for each home
is its lock, and holds a version that changes with the set of keys of that home. Where entries lie and how
they are found is the technique's own: a backend subclasses :class:`Table`, :class:`SharedState` and
:class:`TableView`, and writes the fast path of an operation on one key. Everything here is for the rest.

The lock word
=============
Bit 0 is LOCKED, the lock of ``atomics.try_lock``. Bit 1 is MOVED: the keys of this home live in the next
table; it stays set for ever. The other bits are the technique's: a version, and what else it likes to change
together with that. Readers take no lock: they load the word, search, and load it again; the answer is good if
no bit but LOCKED has changed. Writers search in the same way, then take the lock expecting the word of the
search, which proves that the search is still right. So user code (``__eq__``) runs during searches only,
never under a lock.

Resizing
========
A resize replaces the current table by another of any size without stopping anybody. Its *phase* goes from
IDLE to PREPARING (one thread links the next table) to MOVING and back. While it is MOVING, every insertion
and every removal moves the home of its key, and homes with HELP_SLOTS slots more; every other operation that
meets a moved home moves some. Whoever moves the last one makes the next table the current one. So no
operation ever moves more than a few homes, readers are never stopped, and a map that is only read still gets
done.

Moving a home, under its lock, is: copy its entries to the next table, mark the home MOVED (readers and
writers now go there), empty the old slots. One reference moves from slot to slot; counts of keys and values
are not touched.

Room: the next table never runs out of slots for what has to move. At the start it promises some of its slots
to insertions and keeps the others. For that the number of entries must be exact enough, and it is: an
insertion counts its entry first and then looks at the phase; a resize sets the phase first and then adds up
the counts.

Iteration
=========
Homes are visited in the order of the hash bits that choose them, the *rank*, each read at one moment (its
lock word is the same before and after). The position is kept as a rank, not as a home of some table, so it
means the same in a table of another size. While homes are being moved, the ranks of a home of the next table
may belong to several homes of the current one, and only some of these have moved. So a step reads only the
ranks that one home of each table have in common: either they have all moved, or none.

Reclaimers
==========
Under a reclaimer, fast operations are sections of it: they find the current table by the address of its
control words in a shared word, and count no reference to it. So a table that is replaced is retired, with
the entries that ``clear()`` left in it. What becomes of keys and values that a write takes out is the
technique's.

Addresses are good for as long as their table lives, and compiled code drops a local variable after its last
use: so a function that uses addresses of a table after its last mention of the table ends with a
reachability_fence.

May import only atomics, memory, reclamation, maps and statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, cast, final

from mypy_extensions import i64, mypyc_attr

from intermodal._absent import ABSENT
from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    fast_range,
    fence,
    fetch_add,
    load,
    object_load,
    pause,
    range_start,
    reachability_fence,
    store,
    thread_token,
    try_lock,
    unlock,
    yield_thread,
)
from intermodal.maps import ConcurrentMap, sole_argument, unusable
from intermodal.memory import Block
from intermodal.reclamation import Reclaimer
from intermodal.statistics import MapStatistics, TableStatistics

# ---- layout -----------------------------------------------------------------------------------------------

LOCKED: Final = 1
MOVED: Final = 2

#: Bytes of a slot, key then value.
SLOT_BYTES: Final = 16
VALUE: Final = 8

#: Words that every table begins with: the resize's cursor, its count of moved homes, room in the next table;
#: one cache line each, since different threads write them. Then some that never change, for who has only the
#: address: the number of homes, and the counts of a stripe that make it worth a look whether the table is
#: full or sparse. The words from OWN on are the technique's.
CONTROL_WORDS: Final = 32
CURSOR: Final = 0
MODE: Final = 8
MOVED_HOMES: Final = 64
ROOM: Final = 128
HOMES: Final = 192
GROW_AT: Final = 200
SHRINK_AT: Final = 208
OWN: Final = 216

# MODE: whether the resize copies the entries, or leaves them to be dropped (clear).
COPY: Final = 0
DISCARD: Final = 1

#: The map's shared words: one line with the phase of resizing and the address of the current table's control
#: words, then the number of entries in stripes by home, so that threads changing different keys seldom write
#: the same line.
LINE: Final = 64
TABLE: Final = 8
COUNTS: Final = 64
STRIPES: Final = 8
STRIPE_MASK: Final = 7
#: Where the next popitem() begins to look; any value will do.
POP_FROM: Final = 576
SHARED_WORDS: Final = 80

# The phase word counts resizes in its upper bits; bit 0 is the lock of intermodal.atomics.try_lock.
PHASE_MASK: Final = 3
IDLE: Final = 0
PREPARING: Final = 1  # locked
MOVING: Final = 2
PHASE_STEP: Final = 4

# ---- results ----------------------------------------------------------------------------------------------

# Of a search: a slot's address, or one of these.
NOT_FOUND: Final = 0
ASK_KEYS: Final = -1  # only the keys' own __eq__ can tell
CHANGED: Final = -2  # the home changed meanwhile

# Of a write.
RETRY: Final = 0  # nothing was done: the home is locked, changed, moved or full, or __eq__ must be asked
DONE_INSERTED: Final = 1
DONE_REPLACED: Final = 2
DONE_REMOVED: Final = 3
REFUSED: Final = 4  # the condition did not hold; nothing was done

# Conditions of a write.
ALWAYS: Final = 0
IF_ABSENT: Final = 1
IF_PRESENT: Final = 2
IF_IDENTICAL: Final = 3

# Sentinels, never seen by a caller of the map.

#: What a read returns for "ask the slow path".
RETRY_READ: Final = object()
#: What a write is given as new value for "no entry".
REMOVE: Final = object()
#: What a read is given as fallback to learn that there is no entry.
MISSING: Final = object()

#: Slots in the homes that an insertion or removal moves on top of its own: a few microseconds. A read that
#: meets a moved home moves fewer: it has its own latency, and many are to be expected.
HELP_SLOTS: Final = 128
READ_HELP_SLOTS: Final = 32
#: Spins before a waiting thread gives up its time slice: the lock is held for tens of nanoseconds.
SPINS: Final = 64
#: Reads of a home without a lock before the lock is taken, so that busy writers cannot hold an iteration up.
TRIES: Final = 8
#: Less than any count.
NEVER: Final = -(1 << 62)
#: The bits of a mixed hash that choose its home; also the last rank.
LAST_RANK: Final = (1 << 63) - 1
#: Position after the last rank.
END: Final = -1


def same(word: i64, other: i64) -> bool:
    """Return whether two values of a lock word are of the same version: LOCKED does not matter."""
    return (word ^ other) | LOCKED == LOCKED


def take_lock(lock: i64) -> bool:
    """Take a home's lock, whatever its version, unless somebody holds it or the home has moved."""
    word = load(lock, ACQUIRE)
    return word & (LOCKED | MOVED) == 0 and try_lock(lock, word)


def release_lock(lock: i64) -> None:
    """Release a lock whose holder has stored the new word already."""
    unlock(lock, load(lock, RELAXED) & ~LOCKED)


def wait(spins: i64) -> i64:
    """Let the holder of a lock get on; returns the number to pass next time."""
    if spins < SPINS:
        pause()
        return spins + 1
    yield_thread()
    return 0


def larger(homes: i64) -> i64:
    """Return the next size: 1, 2, 3, 4, 6, 8, 12, 16..."""
    if homes & (homes - 1) == 0:
        return homes + (homes >> 1) if homes > 1 else 2
    return homes + homes // 3


def count_of(shared: i64, home: i64) -> i64:
    """Return the address of the count of the stripe of *home*: an eighth of the entries, near enough."""
    return shared + COUNTS + (home & STRIPE_MASK) * LINE


# ---- tables -----------------------------------------------------------------------------------------------


@mypyc_attr(allow_interpreted_subclasses=True)
class Table:
    """The memory of one table, and the table that follows it while it is being resized.

    Args:
        homes: their number.
        words: how many words the technique needs after the control words.
        objects: how many object slots.
        home_slots: how many slots there are for each home.
        era: the reclaimer's clock; its own birth.
        block: the memory of a table that is there already; None: its own.

    Subclasses define the methods that raise NotImplementedError here.
    """

    def __init__(
        self,
        homes: int,
        words: int,
        objects: int,
        home_slots: int = 1,
        era: int = 0,
        block: Block | None = None,
    ) -> None:
        self.homes: Final[i64] = homes
        self.home_slots: Final[i64] = home_slots
        self.era: Final = era
        self.block: Final = Block(CONTROL_WORDS + words, objects) if block is None else block
        self.control: Final[i64] = self.block.address
        store(self.control + HOMES, self.homes, RELAXED)
        #: Where moved homes went, from before the first one is MOVED until that table is the current one.
        self.next: Table | None = None

    # ---- what a technique defines ----------------------------------------------------------------------

    def lock_of_home(self, home: i64) -> i64:
        """Return the address of the lock word of *home*."""
        raise NotImplementedError

    def capacity(self) -> i64:
        """Return the number of slots."""
        raise NotImplementedError

    def read(self, h: i64, key: object, fallback: object) -> object:
        """Return the value of *key*, *fallback* if it has none, or RETRY_READ."""
        raise NotImplementedError

    def locate_asking(self, h: i64, key_hash: i64, key: object, word: i64) -> i64:
        """Search *key*, letting the keys compare themselves: the address of its slot, NOT_FOUND or CHANGED.

        User code runs here, under no lock: it may raise, block, or change this very map. So after each
        comparison the lock word is looked at, and the answer is CHANGED unless it is still *word*.
        """
        raise NotImplementedError

    def commit(
        self,
        word: i64,
        slot: i64,
        shared: i64,
        phase: i64,
        h: i64,
        key_hash: i64,
        key: object,
        condition: i64,
        expected: object,
        new: object,
        record: i64,
    ) -> tuple[i64, object]:
        """Carry out a write whose search, at *word*, ended with *slot*: (result, previous value).

        Under a reclaimer *record* is the thread's, and has room; else it is 0.
        """
        raise NotImplementedError

    def try_move(self, following: Table, home: i64, word: i64, shared: i64) -> bool:
        """Move the entries of *home*, whose lock word is *word*, unless a lock that it takes is not free."""
        raise NotImplementedError

    def gather(self, position: i64, last: i64, entries: list[object]) -> None:
        """Append key, value... of the entries of one home with ranks from *position* to *last*.

        They are read without a lock: the caller looks at the lock word before and after.
        """
        raise NotImplementedError

    def drop_entries(self) -> None:
        """Drop every entry that is left, one by one."""
        raise NotImplementedError

    def check(self, discards: bool) -> i64:
        """Raise AssertionError if an invariant does not hold; return the number of entries.

        Those of moved homes are none if it *discards* them.
        """
        raise NotImplementedError

    # ---- what follows from it --------------------------------------------------------------------------

    def lock_of(self, h: i64) -> i64:
        """Return the address of the lock word of the home of mixed hash *h*."""
        return self.lock_of_home(fast_range(h, self.homes))

    def last_rank(self, position: i64) -> i64:
        """Return the last rank that has the same home as *position*."""
        home = fast_range(position, self.homes)
        return range_start(home + 1, self.homes) - 1 if home + 1 < self.homes else LAST_RANK

    def memory_bytes(self) -> int:
        """Return the bytes of its blocks, touched or not."""
        return self.block.__sizeof__()


# ---- the state that all views of one map share -------------------------------------------------------------


@mypyc_attr(allow_interpreted_subclasses=True)
class SharedState:
    """The current table, the counts, and the incremental resize.

    Args:
        minimum: number of homes that the map starts with and never shrinks below.
        reclaimer: frees what operations take out; None: references are counted, and nothing waits.

    Subclasses define ``new_table`` and ``grow_above``.
    """

    def __init__(self, minimum: int, reclaimer: Reclaimer | None = None) -> None:
        self.minimum: Final[i64] = minimum
        self.reclaimer: Final = reclaimer
        self.block: Final = Block(SHARED_WORDS)
        #: Address of the phase word, followed by the counts.
        self.shared: Final[i64] = self.block.address
        #: The current table; replaced by the thread that finishes a resize.
        self.table: Table = self.sized_table(minimum)
        store(self.shared + TABLE, self.table.control, RELEASE)

    # ---- what a technique defines ----------------------------------------------------------------------

    def new_table(self, homes: i64) -> Table:
        """Return an empty table."""
        raise NotImplementedError

    def grow_above(self, table: Table) -> i64:
        """Return the number of entries above which *table* is enlarged."""
        raise NotImplementedError

    def shrink_below(self, table: Table) -> i64:
        """Return the number of entries below which *table* is made smaller: an eighth of its slots."""
        return table.capacity() // 8 if table.homes > self.minimum else NEVER

    def homes_for(self, entries: i64) -> i64:
        """Return the size that *entries* fill to about a half."""
        homes = self.minimum
        while homes * self.table.home_slots < 2 * entries:
            homes = larger(homes)
        return homes

    def enlarge(self, table: Table) -> None:
        """Let *table*, which is full, be replaced by a larger one."""
        self.try_start(table, larger(table.homes))

    def make_room(self, table: Table) -> None:
        """Do something about an insertion that found no free slot in *table*; raise MemoryError if not."""
        if self.entries() >= self.grow_above(table):
            self.start(table, larger(table.homes), COPY)

    def most_entries(self, table: Table) -> i64:
        """Return how many entries the next table has room for, with insertions while it is being filled."""
        return table.capacity()

    def sized_table(self, homes: i64) -> Table:
        """Return an empty table, with the counts that make it worth a look."""
        table = self.new_table(homes)
        self.note_size(table)
        return table

    def note_size(self, table: Table) -> None:
        """Store the counts of a stripe from which on *table* may be full or sparse."""
        store(table.control + GROW_AT, self.grow_above(table) // STRIPES, RELAXED)
        store(table.control + SHRINK_AT, self.shrink_below(table) // STRIPES, RELAXED)

    # ---- which table -----------------------------------------------------------------------------------

    def table_of(self, h: i64) -> Table:
        """Return the table in which the home of *h* lives: the current one, or the next if it has moved."""
        while True:
            table = self.table
            if load(table.lock_of(h), ACQUIRE) & MOVED == 0:
                return table
            following = table.next
            if following is not None and load(following.lock_of(h), ACQUIRE) & MOVED == 0:
                return following
            # The resize was finished since self.table was read.

    # ---- slow paths: any thread, any key, any phase -----------------------------------------------------

    def read_slowly(self, h: i64, key_hash: i64, key: object, fallback: object) -> object:
        """Return the value of *key* or *fallback*, whatever state the map is in."""
        if load(self.shared, RELAXED) & PHASE_MASK == MOVING:
            self.help(READ_HELP_SLOTS, patient=False)
        while True:
            table = self.table_of(h)
            value = table.read(h, key, fallback)
            if value is not RETRY_READ:
                return value
            lock = table.lock_of(h)
            word = load(lock, ACQUIRE)
            if word & MOVED:
                continue
            slot = table.locate_asking(h, key_hash, key, word)
            if slot == CHANGED:
                continue
            value = fallback
            if slot != NOT_FOUND:
                value = object_load(slot + VALUE, fallback)
            valid = same(load(lock, ACQUIRE), word)
            reachability_fence(table)
            if valid:
                return value

    def write_slowly(
        self, h: i64, key_hash: i64, key: object, condition: i64, expected: object, new: object
    ) -> tuple[i64, object]:
        """Change the entry of *key* if the condition holds: (result, previous value); never RETRY."""
        record: i64 = 0
        inserts = new is not REMOVE and (condition == ALWAYS or condition == IF_ABSENT)
        spins: i64 = 0
        while True:
            if load(self.shared, RELAXED) & PHASE_MASK == MOVING:
                self.help(HELP_SLOTS)
            table = self.table_of(h)
            lock = table.lock_of(h)
            word = load(lock, ACQUIRE)
            if word & (LOCKED | MOVED):
                spins = wait(spins)
                continue
            slot = table.locate_asking(h, key_hash, key, word)
            if slot == CHANGED:
                continue
            if self.reclaimer is not None:
                record = self.reclaimer.make_room()  # each time: user code may have used it up
            phase = load(self.shared, ACQUIRE)
            grows = slot == NOT_FOUND and inserts
            if grows and phase & PHASE_MASK != IDLE and not self.reserve(table, h, phase):
                spins = wait(spins)
                continue
            result, previous = table.commit(
                word, slot, self.shared, phase, h, key_hash, key, condition, expected, new, record
            )
            if result != RETRY:
                return result, previous
            if grows:
                if phase & PHASE_MASK != IDLE:
                    fetch_add(table.control + ROOM, 1, RELAXED)  # give the reserved slot back
                else:
                    self.make_room(table)  # perhaps every slot is taken
            reachability_fence(table)

    # ---- counting and checking ---------------------------------------------------------------------------

    def entries(self) -> i64:
        """Return the number of entries; exact when no insertion or removal is under way."""
        total: i64 = 0
        stripe: i64 = 0
        while stripe < STRIPES:
            total += load(self.shared + COUNTS + stripe * LINE, SEQ_CST)
            stripe += 1
        return total

    def memory_bytes(self) -> int:
        """Return the bytes of the blocks in use, of which some may never have been touched."""
        table = self.table
        following = table.next
        size = self.block.__sizeof__() + table.memory_bytes()
        return size if following is None else size + following.memory_bytes()

    def statistics(self) -> TableStatistics:
        """Return one moment's figures."""
        phase = load(self.shared, ACQUIRE)
        return TableStatistics(
            entries=max(int(self.entries()), 0),
            capacity=int(self.table.capacity()),
            resizing=phase & PHASE_MASK != IDLE,
            resizes=int(phase // PHASE_STEP),
            memory_bytes=self.memory_bytes(),
            reclamation=None if self.reclaimer is None else self.reclaimer.statistics(),
        )

    def check(self) -> None:
        """Raise AssertionError if an invariant does not hold. For a map that nobody else uses meanwhile."""
        table = self.table
        following = table.next
        discards = following is not None and load(table.control + MODE, RELAXED) == DISCARD
        found = table.check(discards)
        if following is not None:
            found += following.check(discards=False)
            if not discards:
                room = load(following.control + ROOM, RELAXED)
                most = self.most_entries(following)
                assert room + self.entries() <= most, f"{room} slots are promised, too many"
        phase = load(self.shared, ACQUIRE) & PHASE_MASK
        assert phase == (IDLE if following is None else MOVING), f"phase {phase} with next table {following}"
        assert found == self.entries(), f"{found} entries are there, {self.entries()} were counted"

    def grow_if_full(self) -> None:
        """Start to enlarge the current table if it is fuller than it should be."""
        table = self.table
        if self.entries() > self.grow_above(table):
            self.enlarge(table)

    def shrink_if_sparse(self) -> None:
        """Start to shrink the current table if it is nearly empty; get on with a resize under way."""
        table = self.table
        if table.next is not None:
            self.help(HELP_SLOTS)
            return
        entries = self.entries()
        if entries < self.shrink_below(table):
            homes = self.homes_for(entries)
            if homes < table.homes:
                self.try_start(table, homes)

    # ---- resizing --------------------------------------------------------------------------------------

    def start(self, table: Table, homes: i64, mode: i64) -> bool:
        """Start a resize of *table* to that many homes unless it is not current or one is under way."""
        phase = load(self.shared, ACQUIRE)
        if phase & PHASE_MASK != IDLE or self.table is not table:
            return False
        following = self.sized_table(homes)  # may fail or run the GC: before the lock
        room = self.most_entries(following)
        # A larger table is worth it even if it has to be replaced by a still larger one at once.
        most = room if homes > table.homes else self.grow_above(following)
        if not try_lock(self.shared, phase):
            return False
        # The phase did not change since it was IDLE, and the current table changes only in a resize; but
        # *phase* may have been read after the resize that replaced *table*.
        if self.table is not table:
            unlock(self.shared, phase)
            return False
        fence(SEQ_CST)  # the other side of commit's Dekker: first the phase, then the counts
        staying = self.entries() if mode == COPY else 0
        if staying > most:  # more were inserted since the size was chosen
            unlock(self.shared, phase)
            return False
        store(following.control + ROOM, room - staying, RELAXED)
        store(table.control + MODE, mode, RELAXED)
        table.next = following
        unlock(self.shared, phase + MOVING)
        self.help(HELP_SLOTS)  # from now on readers meet moved homes, and move more
        return True

    def try_start(self, table: Table, homes: i64) -> None:
        """Start a resize that is not urgent: without memory for it, a later operation tries again."""
        with suppress(MemoryError):
            self.start(table, homes, COPY)

    def reserve(self, table: Table, h: i64, phase: i64) -> bool:
        """Get a slot of the next table promised for an insertion while a resize is under way.

        Returns whether *table* is the next table and has promised a slot; if not, the home of *h* was moved,
        and the caller looks again.
        """
        if phase & PHASE_MASK != MOVING:
            return False  # being prepared: a matter of nanoseconds
        current = self.table
        following = current.next
        if following is None:
            return False  # finished meanwhile
        self.move_home(current, following, fast_range(h, current.homes), patient=True)
        if table is not following:
            return False
        if fetch_add(table.control + ROOM, -1, ACQUIRE) > 0:
            return True
        fetch_add(table.control + ROOM, 1, RELAXED)
        return False

    def help(self, slots: i64, patient: bool = True) -> None:
        """Move homes with *slots*, or one, of the resize under way, if any; finish it when all have moved.

        Without patience a home that somebody holds is left for the next round: readers wait for nobody.
        """
        table = self.table
        following = table.next
        if following is None:
            return
        homes: i64 = 1
        if slots > table.home_slots:
            homes = slots // table.home_slots
        cursor = fetch_add(table.control + CURSOR, homes, RELAXED)
        # Past the end once, go round again: a helper may have been interrupted after taking its share.
        stop = cursor + homes
        while cursor < stop:
            self.move_home(table, following, cursor % table.homes, patient)
            cursor += 1
        if load(table.control + MOVED_HOMES, ACQUIRE) == table.homes:
            self.finish(table, following)

    def finish(self, table: Table, following: Table) -> None:
        """Make *following* the current table; every home of *table* has moved."""
        phase = load(self.shared, ACQUIRE)
        if phase & PHASE_MASK != MOVING or self.table is not table or not try_lock(self.shared, phase):
            return  # somebody else does it, or did
        if self.table is not table:
            unlock(self.shared, phase)
            return
        if load(table.control + MODE, RELAXED) == COPY:
            table.block.abandon_objects()
        self.table = following
        store(self.shared + TABLE, following.control, RELEASE)
        table.next = None  # or a view that keeps an old table would keep all that came after it
        unlock(self.shared, phase - MOVING + PHASE_STEP)
        if self.reclaimer is not None:
            self.reclaimer.retire_memory(table, table.era)

    def move_home(self, table: Table, following: Table, home: i64, patient: bool) -> None:
        """Move the entries of *home* to the next table, unless they have moved."""
        lock = table.lock_of_home(home)
        spins: i64 = 0
        word = load(lock, ACQUIRE)
        while word & MOVED == 0:
            if word & LOCKED == 0 and table.try_move(following, home, word, self.shared):
                return
            if not patient:
                return
            spins = wait(spins)
            word = load(lock, ACQUIRE)

    # ---- the whole map ---------------------------------------------------------------------------------

    def clear(self) -> None:
        """Remove every entry that is there when its home is reached, and return to the minimum size."""
        spins: i64 = 0
        table = self.table
        while not self.start(table, self.minimum, DISCARD):
            self.help(HELP_SLOTS)
            spins = wait(spins)
            table = self.table
        while self.table is table:
            self.help(HELP_SLOTS)
            spins = wait(spins)
        # Every home has moved without its entries: only readers that came before still look at them.
        if self.reclaimer is not None:
            self.reclaimer.flush()  # they die with the table
            return
        table.drop_entries()  # one by one, here, where no lock is held


# ---- iteration --------------------------------------------------------------------------------------------


def collect(state: SharedState, position: i64, entries: list[object]) -> i64:
    """Append key, value, key, value... of the step at *position*; return that of the next step, or END."""
    tries: i64 = 0
    spins: i64 = 0
    while True:
        table = state.table
        last = table.last_rank(position)
        if load(table.lock_of(position), ACQUIRE) & MOVED:
            following = table.next
            if following is None:
                continue  # finished meanwhile
            table = following
            shared_with = table.last_rank(position)
            if shared_with < last:  # noqa: PLR1730  (min() and max() would box)
                last = shared_with
        lock = table.lock_of(position)
        word = load(lock, ACQUIRE)
        if word & MOVED:
            continue
        if tries < TRIES:
            table.gather(position, last, entries)
            complete = same(load(lock, ACQUIRE), word)
        else:
            complete = word & LOCKED == 0 and try_lock(lock, word)
            if complete:
                # Appending may fail for want of memory; it runs neither user code nor the GC.
                try:
                    table.gather(position, last, entries)
                finally:
                    unlock(lock, word)
            else:
                spins = wait(spins)
        reachability_fence(table)
        if complete:
            return last + 1 if last != LAST_RANK else END
        entries.clear()
        tries += 1


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


# ---- views ------------------------------------------------------------------------------------------------


@mypyc_attr(allow_interpreted_subclasses=True)
class TableView(ConcurrentMap):
    """The part of a map, or of a handle, that does not depend on the technique.

    Both are *views* of a shared state. A view belongs to the thread that made it, keeps the address of the
    current table's control words for it, and holds one reference to that table; so in its own thread an
    operation touches no shared reference count. In any other thread, or when a resize gets in the way, it
    goes through the shared state, which takes a reference to the table for the duration.

    Under a reclaimer a view keeps no address and has no owner. In any thread an operation is a section: it
    finds the current table by its address in a shared word, and counts no reference to anything but what it
    returns.

    During an operation on the kept address the view has no owner. Without the GIL, looking at a slot may drop
    the last reference to an object that another thread has just removed, and its destructor may use this very
    view: it then takes the other way, and leaves the kept table alone.

    Subclasses define ``_new_state``, ``handle`` and the operations on one key.
    """

    # Before __init__ has run no thread owns the view, so no address is used. Other threads than its own read
    # this plainly while it changes: whatever they see of it, it is never their own token.
    _owner: i64 = 0
    _control: i64 = 0
    _shared: i64 = 0
    #: The key of the map's reclaimer; 0: it has none.
    _reclaimed_by: i64 = 0
    _closed: bool = False
    _state: SharedState | None = None
    _table: Table | None = None

    def __init__(self, /, *data: Any, **entries: Any) -> None:
        if data and isinstance(data[0], SharedState):  # a view of an existing map: with_capacity(), handle()
            self._adopt(data[0])
            return
        if self._state is None:  # a second call, like dict's, only updates
            self._adopt(self._new_state())
        self.update(sole_argument(type(self).__name__, data), **entries)

    def _new_state(self) -> SharedState:
        """Return the state of a new, empty map."""
        raise NotImplementedError

    def _adopt(self, state: SharedState) -> None:
        if self._state is None:
            self._state = state
            if state.reclaimer is None:
                self._use(thread_token())
            else:
                self._shared = state.shared
                self._reclaimed_by = state.reclaimer.key

    def _shared_state(self) -> SharedState:
        state = self._state
        if self._closed or state is None:
            raise unusable(self, self._closed)
        return state

    def _use(self, owner: i64) -> None:
        """Keep the current table for the thread *owner*."""
        state = self._shared_state()
        table = state.table
        # The one that was kept may die of this; the GC may run then, and user code that uses this view. So it
        # has no owner meanwhile, and the old table dies last.
        self._owner = 0
        old = self._table
        self._table = table
        self._control = table.control
        self._shared = state.shared
        self._owner = owner
        reachability_fence(old)

    def popitem(self) -> tuple[Any, Any]:
        """Remove one entry, the first one found from where the last popitem() stopped; O(1) amortised."""
        state = self._shared_state()
        cursor = state.shared + POP_FROM
        position = load(cursor, RELAXED)
        empty = False
        while not empty:
            empty = position == 0  # only a whole round without an entry shows that there was none
            while position != END:
                entries: list[object] = []
                following = collect(state, position, entries)
                for at in range(0, len(entries), 2):
                    if self._compare_exchange(entries[at], entries[at + 1], ABSENT):
                        store(cursor, position, RELAXED)
                        reachability_fence(state)
                        return entries[at], entries[at + 1]
                    empty = False  # somebody else was quicker, or gave it another value
                position = following
            position = 0
        raise KeyError("popitem(): map is empty")

    def __len__(self) -> int:
        return max(int(self._shared_state().entries()), 0)

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        return cast("Iterator[tuple[Any, Any]]", EntryIterator(self._shared_state()))

    def clear(self) -> None:
        """Remove the entries, home by home: one inserted meanwhile may stay or go."""
        state = self._shared_state()
        state.clear()
        refresh(self, state)

    def statistics(self) -> MapStatistics:
        return self._shared_state().statistics()

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self._shared_state().memory_bytes()

    def _check(self) -> None:
        self._shared_state().check()

    def _close(self) -> None:
        """Let go of the map and its table: what ``close`` of a handle does. Any later use raises ValueError.

        Closed by another thread than the one that made it, it may work there until the next resize: that
        thread may be in the middle of an operation on the table.
        """
        self._closed = True
        self._reclaimed_by = 0
        if self._owner == thread_token():
            self._owner = 0
            self._state = None
            self._table = None


# ---- functions, since calls of methods on an interpreted subclass, as the public map is, are looked up -----


def refresh(view: TableView, state: SharedState) -> None:
    """Change over to the current table, if this is the owner's thread and it kept another one."""
    if view._owner == thread_token() and view._table is not state.table:
        view._use(view._owner)


def read_otherwise(view: TableView, key: object, key_hash: i64, h: i64, fallback: object) -> object:
    """Return the value of *key* or *fallback*, where the view's own address does not serve."""
    state = view._shared_state()
    value = state.read_slowly(h, key_hash, key, fallback)
    refresh(view, state)
    return value


def write_otherwise(
    view: TableView,
    key: object,
    key_hash: i64,
    h: i64,
    condition: i64,
    expected: object,
    new: object,
) -> tuple[i64, object]:
    """Change the entry of *key* where the view's own address does not serve; never RETRY."""
    state = view._shared_state()
    result, previous = state.write_slowly(h, key_hash, key, condition, expected, new)
    if result == DONE_INSERTED:
        state.grow_if_full()
    elif result == DONE_REMOVED:
        state.shrink_if_sparse()
    refresh(view, state)
    return result, previous


def suggests_resize(control: i64, shared: i64, result: i64, h: i64) -> bool:
    """Return whether a write with that *result* makes the map's size worth a look, as its stripe has it.

    *control* is the address of the control words of the table that was written to, which must be kept still.
    """
    if result != DONE_INSERTED and result != DONE_REMOVED:
        return False
    count = load(count_of(shared, fast_range(h, load(control + HOMES, RELAXED))), RELAXED)
    if result == DONE_INSERTED:
        return count >= load(control + GROW_AT, RELAXED)
    return count <= load(control + SHRINK_AT, RELAXED) or load(shared, RELAXED) & PHASE_MASK != IDLE


def look_at_size(view: TableView, result: i64) -> None:
    """Begin to grow or shrink the map after a write with that *result*, or get on with it, if it is due."""
    if result == DONE_INSERTED:
        view._shared_state().grow_if_full()
    else:
        view._shared_state().shrink_if_sparse()
