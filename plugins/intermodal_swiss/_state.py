"""What all views of one Swiss map share: the current table, the counts, and its incremental resize.

A resize replaces the current table by another of any size without stopping anybody. Its *phase* goes from
IDLE to PREPARING (one thread links the next table) to MOVING and back. While it is MOVING, every insertion
moves the home of its key and HELP_HOMES more, every removal HELP_HOMES, and every other operation that meets
a moved home some, until the last one makes the next table the current one. So no operation ever moves more
than a few groups, readers are never stopped, and a map that is only read still gets done.

Moving a home, under its lock, is: copy its entries to the next table, mark the home MOVED (readers and
writers now go there), empty the old slots. One reference moves from slot to slot; counts of keys and values
are not touched.

Room: the next table never runs out of slots for what has to move. At the start it promises
``capacity - entries`` slots to insertions and keeps the others; the number of entries is exact enough because
an insertion that the sum missed steps back (see ``commit``).

Addresses are good for as long as their table lives, and compiled code drops a local variable after its last
use: so a function that uses addresses of a table after its last mention of the table ends with a
reachability_fence.

Under a reclaimer, fast operations find the current table by its address in a shared word and count no
reference to it. So a table that is replaced is retired, with the entries that clear() left in it.

May import only core's public names and ``_table``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    count_trailing_zeros,
    fast_range,
    fence,
    fetch_add,
    load,
    load_byte,
    match_bytes,
    mix,
    object_copy,
    object_forget,
    object_load,
    object_prefetch,
    object_take,
    pause,
    reachability_fence,
    store,
    stored_hash,
    stored_key_is_str,
    try_lock,
    unlock,
    yield_thread,
)
from intermodal.memory import Block
from intermodal.reclamation import Reclaimer
from intermodal_swiss._statistics import SwissStatistics
from intermodal_swiss._table import (
    ALWAYS,
    CHANGED,
    COPY,
    COUNTS,
    CURSOR,
    DISCARD,
    DISPLACED,
    EMPTY,
    FAR,
    GROUP_BYTES,
    GROUP_SLOTS,
    GROW_AT,
    HEADER_BYTES,
    IDLE,
    IF_ABSENT,
    LINE,
    LOCK,
    LOCKED,
    MAXIMUM_GROUPS,
    MODE,
    MOVED,
    MOVED_HOMES,
    MOVING,
    NOT_FOUND,
    OVERFLOW,
    PHASE_MASK,
    PHASE_STEP,
    REMOVE,
    RESIDENT,
    RETRY,
    RETRY_READ,
    ROOM,
    SHARED_WORDS,
    SHRINK_AT,
    SLOT_BYTES,
    STRIPE_MASK,
    STRIPES,
    TABLE,
    VALUE,
    VERSION_STEP,
    Table,
    births_of,
    claim,
    commit,
    distance_of,
    following_group,
    hash_of,
    locate_asking,
    publish,
    read,
    release_slot,
)

#: Homes that an insertion or removal moves on top of its own: 128 slots, a few microseconds. A read that
#: meets a moved home moves fewer: it has its own latency, and many are to be expected.
HELP_HOMES: Final = 8
READ_HELP_HOMES: Final = 2
# What walk_home does with each entry.
COUNT_ENTRIES: Final = 0
COPY_ENTRIES: Final = 1
FORGET_ENTRIES: Final = 2
#: Spins before a waiting thread gives up its time slice: the lock is held for tens of nanoseconds.
SPINS: Final = 64

# Load factor: grow above 7/8 (as abseil); shrink below 1/8, to at most 1/2, so that a map whose size swings
# by less than a factor of three does not resize back and forth.
GROW_NUMERATOR: Final = 7
DENOMINATOR: Final = 8
SHRINK_ROOM: Final = 2
#: Less than any count.
NEVER: Final = -(1 << 62)


def larger(groups: i64) -> i64:
    """Return the next size: 1, 2, 3, 4, 6, 8, 12, 16... A table just grown is at least 58 % full."""
    if groups & (groups - 1) == 0:
        return groups + (groups >> 1) if groups > 1 else 2
    return groups + groups // 3


def grow_above(table: Table) -> i64:
    """Return the number of entries above which *table* is enlarged."""
    return table.capacity() * GROW_NUMERATOR // DENOMINATOR


def shrink_below(table: Table, minimum: i64) -> i64:
    """Return the number of entries below which *table* is made smaller."""
    return table.capacity() // DENOMINATOR if table.groups > minimum else NEVER


def groups_for(capacity: int) -> int:
    """Return the size that holds *capacity* entries without growing."""
    groups: i64 = 1
    while groups * GROUP_SLOTS * GROW_NUMERATOR < capacity * DENOMINATOR:
        groups = larger(groups)
        if groups > MAXIMUM_GROUPS:
            raise ValueError(f"a map cannot have the capacity {capacity}: that takes too many slots")
    return groups


def wait(spins: i64) -> i64:
    """Let the holder of a lock get on; returns the number to pass next time."""
    if spins < SPINS:
        pause()
        return spins + 1
    yield_thread()
    return 0


@final
class SharedState:
    """The state that all views of one map share.

    Args:
        minimum: number of groups that the map starts with and never shrinks below.
        reclaimer: frees what operations take out; None: references are counted, and nothing waits.
    """

    def __init__(self, minimum: int, reclaimer: Reclaimer | None = None) -> None:
        self.minimum: Final[i64] = minimum
        self.reclaimer: Final = reclaimer
        self.block: Final = Block(SHARED_WORDS)
        #: Address of the phase word, followed by the counts.
        self.shared: Final[i64] = self.block.address
        #: The current table; replaced by the thread that finishes a resize.
        self.table: Table = self.new_table(minimum)
        store(self.shared + TABLE, self.table.control, RELEASE)

    def new_table(self, groups: i64) -> Table:
        """Return an empty table."""
        reclaimer = self.reclaimer
        births = reclaimer is not None and reclaimer.scheme.lists
        table = Table(groups, births, reclaimer.now() if reclaimer is not None else 0)
        store(table.control + GROW_AT, grow_above(table) // STRIPES, RELAXED)
        store(table.control + SHRINK_AT, shrink_below(table, self.minimum) // STRIPES, RELAXED)
        return table

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
            self.help(READ_HELP_HOMES, patient=False)
        while True:
            table = self.table_of(h)
            value = read(table.headers, table.slots, table.groups, h, key, fallback, 0, 0)
            if value is not RETRY_READ:
                return value
            lock = table.lock_of(h)
            version = load(lock, ACQUIRE)
            if version & MOVED:
                continue
            slot = locate_asking(table, h, key_hash, key, version)
            if slot == CHANGED:
                continue
            value = fallback
            if slot != NOT_FOUND:
                value = object_load(slot + VALUE, fallback)
            valid = (load(lock, ACQUIRE) ^ version) | LOCKED == LOCKED
            reachability_fence(table)
            if valid:
                return value

    def write_slowly(
        self, h: i64, key_hash: i64, key: object, condition: i64, expected: object, new: object
    ) -> tuple[i64, object]:
        """Do what ``_table.write`` does, whatever state the map is in; never returns RETRY."""
        record: i64 = 0
        inserts = new is not REMOVE and (condition == ALWAYS or condition == IF_ABSENT)
        spins: i64 = 0
        while True:
            if load(self.shared, RELAXED) & PHASE_MASK == MOVING:
                self.help(HELP_HOMES)
            table = self.table_of(h)
            lock = table.lock_of(h)
            version = load(lock, ACQUIRE)
            if version & (LOCKED | MOVED):
                spins = wait(spins)
                continue
            slot = locate_asking(table, h, key_hash, key, version)
            if slot == CHANGED:
                continue
            if self.reclaimer is not None:
                record = self.reclaimer.make_room()  # each time: user code may have used it up
            phase = load(self.shared, ACQUIRE)
            grows = slot == NOT_FOUND and inserts
            if grows and phase & PHASE_MASK != IDLE and not self.reserve(table, h, phase):
                spins = wait(spins)
                continue
            home = fast_range(h, table.groups)
            result, previous = commit(
                table.headers,
                table.slots,
                table.groups,
                home,
                version,
                slot,
                self.shared,
                phase,
                h,
                key_hash,
                key,
                condition,
                expected,
                new,
                record,
            )
            if result != RETRY:
                return result, previous
            if grows:
                if phase & PHASE_MASK != IDLE:
                    fetch_add(table.control + ROOM, 1, RELAXED)  # give the reserved slot back
                elif self.entries() >= table.capacity():
                    self.start(table, larger(table.groups), COPY)  # perhaps every slot is taken
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
        """Return the bytes of the blocks in use, of which those of the hashes may never have been touched."""
        table = self.table
        following = table.next
        size = self.block.__sizeof__() + table.block.__sizeof__()
        return size if following is None else size + following.block.__sizeof__()

    def statistics(self) -> SwissStatistics:
        """Return one moment's figures."""
        phase = load(self.shared, ACQUIRE)
        return SwissStatistics(
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
        found = check_table(table)
        following = table.next
        if following is not None:
            found += check_table(following)
            if load(table.control + MODE, RELAXED) == COPY:
                room = load(following.control + ROOM, RELAXED)
                assert room + self.entries() <= following.capacity(), f"{room} slots are promised, too many"
        phase = load(self.shared, ACQUIRE) & PHASE_MASK
        assert phase == (IDLE if following is None else MOVING), f"phase {phase} with next table {following}"
        assert found == self.entries(), f"{found} entries are there, {self.entries()} were counted"

    def grow_if_full(self) -> None:
        """Start to enlarge the current table if it is more than 7/8 full."""
        table = self.table
        if self.entries() > grow_above(table):
            self.try_start(table, larger(table.groups))

    def shrink_if_sparse(self) -> None:
        """Start to shrink the current table if it is less than 1/8 full; get on with a resize under way."""
        table = self.table
        if table.next is not None:
            self.help(HELP_HOMES)
            return
        entries = self.entries()
        if entries < shrink_below(table, self.minimum):
            groups = self.minimum
            while groups * GROUP_SLOTS < entries * SHRINK_ROOM:
                groups = larger(groups)
            if groups < table.groups:
                self.try_start(table, groups)

    # ---- resizing --------------------------------------------------------------------------------------

    def start(self, table: Table, groups: i64, mode: i64) -> bool:
        """Start a resize of *table* to that many groups unless it is not current or one is under way."""
        phase = load(self.shared, ACQUIRE)
        if phase & PHASE_MASK != IDLE or self.table is not table:
            return False
        if groups > MAXIMUM_GROUPS:
            raise MemoryError(f"a map cannot have more than {GROUP_SLOTS * MAXIMUM_GROUPS} slots")
        following = self.new_table(groups)  # may fail or run the GC: before the lock
        if not try_lock(self.shared, phase):
            return False
        # The phase did not change since it was IDLE, and the current table changes only in a resize; but
        # *phase* may have been read after the resize that replaced *table*.
        if self.table is not table:
            unlock(self.shared, phase)
            return False
        fence(SEQ_CST)  # the other side of commit's Dekker: first the phase, then the counts
        staying = self.entries() if mode == COPY else 0
        if staying > grow_above(following):  # more were inserted since the size was chosen
            unlock(self.shared, phase)
            return False
        store(following.control + ROOM, following.capacity() - staying, RELAXED)
        store(table.control + MODE, mode, RELAXED)
        table.next = following
        unlock(self.shared, phase + MOVING)
        self.help(HELP_HOMES)  # from now on readers meet moved homes, and move more
        return True

    def try_start(self, table: Table, groups: i64) -> None:
        """Start a resize that is not urgent: without memory for it, a later operation tries again."""
        with suppress(MemoryError):
            self.start(table, groups, COPY)

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
        self.move_home(current, following, fast_range(h, current.groups))
        if table is not following:
            return False
        if fetch_add(table.control + ROOM, -1, ACQUIRE) > 0:
            return True
        fetch_add(table.control + ROOM, 1, RELAXED)
        return False

    def help(self, homes: i64, patient: bool = True) -> None:
        """Move up to *homes* homes of the resize under way, if any, and finish it when all have moved.

        Without patience a home that somebody holds is left for the next round: readers wait for nobody.
        """
        table = self.table
        following = table.next
        if following is None:
            return
        cursor = fetch_add(table.control + CURSOR, homes, RELAXED)
        # Past the end once, go round again: a helper may have been interrupted after taking its share.
        stop = cursor + homes
        while cursor < stop:
            self.move_home(table, following, cursor % table.groups, patient)
            cursor += 1
        if load(table.control + MOVED_HOMES, ACQUIRE) == table.groups:
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

    def move_home(self, table: Table, following: Table, home: i64, patient: bool = True) -> None:
        """Move the entries of *home* to the next table, unless they have moved."""
        lock = table.headers + home * HEADER_BYTES + LOCK
        spins: i64 = 0
        version = load(lock, ACQUIRE)
        while version & MOVED == 0:
            if version & LOCKED == 0 and try_lock(lock, version):
                move_locked(table, following, home, version, self.shared)
                return
            if not patient:
                return
            spins = wait(spins)
            version = load(lock, ACQUIRE)

    # ---- the whole map ---------------------------------------------------------------------------------

    def clear(self) -> None:
        """Remove every entry that is there when its home is reached, and return to the minimum size."""
        spins: i64 = 0
        table = self.table
        while not self.start(table, self.minimum, DISCARD):
            self.help(HELP_HOMES)
            spins = wait(spins)
            table = self.table
        while self.table is table:
            self.help(HELP_HOMES)
            spins = wait(spins)
        # Every home has moved without its entries: only readers that came before still look at them.
        if self.reclaimer is not None:
            self.reclaimer.flush()  # they die with the table
            return
        # They are dropped one by one, here, where no lock is held.
        slot = table.slots
        end = slot + table.capacity() * SLOT_BYTES
        while slot < end:
            object_take(slot, None)
            object_take(slot + VALUE, None)
            slot += SLOT_BYTES
        reachability_fence(table)


def is_of_home(table: Table, home: i64, group: i64, index: i64) -> bool:
    """Return whether the entry in slot *index* of *group* has that home, without looking at its key.

    A resident entry of the home's own group has; of a displaced one the distance tells, or the hash. These
    were stored before the tag seen, or belong to a later displaced entry of this slot; only the holder of the
    home's lock makes entries of this home, so with that lock held, "yes" stays true.
    """
    tag = load_byte(table.headers + group * HEADER_BYTES + (index & 15))
    if group == home:
        return tag >= RESIDENT
    if tag < DISPLACED or tag >= RESIDENT:
        return False
    distance = load_byte(distance_of(table.headers, table.groups, index))
    if distance != FAR:
        return distance == (group - home if group > home else group - home + table.groups)
    return fast_range(mix(load(hash_of(table.headers, table.groups, index), RELAXED)), table.groups) == home


def move_locked(table: Table, following: Table, home: i64, version: i64, shared: i64) -> None:
    """Move the entries of *home*, whose lock the caller took at *version*; releases the lock.

    Every moment is right for readers: until MOVED is set they find each entry here; from then on they go to
    the next table, where all the copies have been visible before. A reader that began here before MOVED was
    set and meets an emptied slot sees the changed version and looks again.
    """
    lock = table.headers + home * HEADER_BYTES + LOCK
    mode = load(table.control + MODE, RELAXED)
    found = walk_home(table, following, home, COUNT_ENTRIES if mode == DISCARD else COPY_ENTRIES)
    store(lock, (version + VERSION_STEP) | MOVED | LOCKED, RELEASE)
    if mode == DISCARD:
        fetch_add(shared + COUNTS + (home & STRIPE_MASK) * LINE, -found, RELAXED)
    else:
        walk_home(table, following, home, FORGET_ENTRIES)
    fetch_add(table.control + MOVED_HOMES, 1, RELEASE)
    unlock(lock, (version + VERSION_STEP) | MOVED)


def walk_home(table: Table, following: Table, home: i64, action: i64) -> i64:
    """Apply *action* to every entry of *home*, whose lock is held; returns their number."""
    found: i64 = 0
    group = home
    while True:
        header = table.headers + group * HEADER_BYTES
        occupied: i64 = ~match_bytes(header, EMPTY) & 0xFFFF
        if action == COPY_ENTRIES:
            prefetch_keys(table.slots + group * GROUP_BYTES, occupied)
        while occupied != 0:
            index = group * GROUP_SLOTS + count_trailing_zeros(occupied)
            if is_of_home(table, home, group, index):
                found += 1
                if action == COPY_ENTRIES:
                    copy_entry(table, following, index)
                elif action == FORGET_ENTRIES:
                    object_forget(table.slots + index * SLOT_BYTES)
                    object_forget(table.slots + index * SLOT_BYTES + VALUE)
                    release_slot(table.headers, table.groups, home, index)
            occupied &= occupied - 1
        # Counts only entries further on, so releasing entries up to here leaves it right.
        if load(header + OVERFLOW, RELAXED) == 0:
            return found
        group = following_group(group, table.groups)
        if group == home:
            return found


def prefetch_keys(slots: i64, occupied: i64) -> None:
    """Ask for the keys of a group at once: their hashes are read next, each a cache miss in a large map."""
    while occupied != 0:
        object_prefetch(slots + count_trailing_zeros(occupied) * SLOT_BYTES)
        occupied &= occupied - 1


def copy_entry(table: Table, following: Table, index: i64) -> None:
    """Let the entry in slot *index* be found in the next table too. Its home's lock is held."""
    slot = table.slots + index * SLOT_BYTES
    key_hash = stored_hash(slot, hash_of(table.headers, table.groups, index))
    h = mix(key_hash)
    home = fast_range(h, following.groups)
    # Nobody else can make an entry of this key in the next table: that takes this home MOVED. So the next
    # table's home need not be locked, and its version need not change: whoever finds the key absent there
    # looked before MOVED was set, and only who saw it set looks there.
    target = claim(following.headers, following.groups, home)
    assert target >= 0, "the next table was promised too little room"
    target_slot = following.slots + target * SLOT_BYTES
    object_copy(slot, target_slot)
    object_copy(slot + VALUE, target_slot + VALUE)
    if table.births:
        births = load(births_of(table.headers, table.groups, index), RELAXED)
        store(births_of(following.headers, following.groups, target), births, RELAXED)
    publish(following.headers, following.groups, home, target, h, key_hash, stored_key_is_str(slot))


def check_table(table: Table) -> i64:
    """Raise AssertionError if an invariant of *table* does not hold; return the number of its entries.

    Those that clear() has discarded but not yet dropped are none: it may have been interrupted.
    """
    discards = table.next is not None and load(table.control + MODE, RELAXED) == DISCARD
    passing = [0] * int(table.groups)
    entries: i64 = 0
    index: i64 = 0
    while index < table.capacity():
        group = index >> 4
        slot = table.slots + index * SLOT_BYTES
        tag = load_byte(table.headers + group * HEADER_BYTES + (index & 15))
        key = object_load(slot, REMOVE)
        value = object_load(slot + VALUE, REMOVE)
        if tag == EMPTY:
            assert key is REMOVE, f"slot {index} is empty but has a key"
            assert value is REMOVE, f"slot {index} is empty but has a value"
        else:
            assert tag >= DISPLACED, f"slot {index} is busy"
            assert key is not REMOVE, f"slot {index} has no key"
            assert value is not REMOVE, f"slot {index} has no value"
            h = mix(stored_hash(slot, hash_of(table.headers, table.groups, index)))
            home = fast_range(h, table.groups)
            if not discards or load(table.lock_of(h), RELAXED) & MOVED == 0:
                entries += 1
            expected: i64 = RESIDENT | (h & 0x7F) if home == group else DISPLACED | (h & 0x3F)
            assert tag == expected, f"slot {index} of home {home} has tag {tag:#x}, not {expected:#x}"
            while home != group:
                passing[home] += 1
                home = following_group(home, table.groups)
        index += 1
    group = 0
    while group < table.groups:
        header = table.headers + group * HEADER_BYTES
        assert load(header + LOCK, ACQUIRE) & LOCKED == 0, f"home {group} is locked"
        overflow = load(header + OVERFLOW, RELAXED)
        assert overflow == passing[group], f"group {group} counts {overflow} beyond it, not {passing[group]}"
        group += 1
    return entries
