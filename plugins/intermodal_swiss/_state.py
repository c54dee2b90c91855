"""What all views of one Swiss map share: its table, and when that is replaced by one of what size, and how.

The rest of it is core's, see :mod:`intermodal.tables`: the phases of a resize, counts, iteration, slow paths.

Moving a home, under its lock, is: copy its entries to the next table, mark the home MOVED (readers and
writers now go there), empty the old slots. One reference moves from slot to slot; counts of keys and values
are not touched.

May import only core's public names and ``_table``.
"""

from __future__ import annotations

from typing import Final, cast, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    count_trailing_zeros,
    fast_range,
    fetch_add,
    hash_object,
    key_is_str,
    load,
    load_byte,
    match_bytes,
    mix,
    object_copy,
    object_forget,
    object_load,
    object_prefetch,
    object_take,
    range_start,
    reachability_fence,
    store,
    stored_hash,
    stored_key_is_str,
    try_lock,
    unlock,
)
from intermodal.tables import (
    COUNTS,
    DISCARD,
    LINE,
    LOCKED,
    MODE,
    MOVED,
    MOVED_HOMES,
    REMOVE,
    SLOT_BYTES,
    STRIPE_MASK,
    VALUE,
    SharedState,
    Table,
    larger,
)
from intermodal_swiss._table import (
    DISPLACED,
    EMPTY,
    FAR,
    GROUP_BYTES,
    GROUP_SLOTS,
    HEADER_BYTES,
    LOCK,
    MAXIMUM_GROUPS,
    OVERFLOW,
    RESIDENT,
    VERSION_STEP,
    GroupTable,
    births_of,
    claim,
    distance_of,
    following_group,
    hash_of,
    publish,
    release_slot,
)

# What walk_home does with each entry.
COUNT_ENTRIES: Final = 0
COPY_ENTRIES: Final = 1
FORGET_ENTRIES: Final = 2

# Load factor: grow above 7/8 (as abseil); shrink below 1/8, to at most 1/2, so that a map whose size swings
# by less than a factor of three does not resize back and forth.
GROW_NUMERATOR: Final = 7
DENOMINATOR: Final = 8
#: The bits of a mixed hash that choose its home.
RANK: Final = (1 << 63) - 1


def groups_for(capacity: int) -> int:
    """Return the size that holds *capacity* entries without growing."""
    groups: i64 = 1
    while groups * GROUP_SLOTS * GROW_NUMERATOR < capacity * DENOMINATOR:
        groups = larger(groups)
        if groups > MAXIMUM_GROUPS:
            raise ValueError(f"a map cannot have the capacity {capacity}: that takes too many slots")
    return groups


@final
class SwissState(SharedState):
    """The state of a map that starts with *minimum* groups and never shrinks below."""

    def new_table(self, homes: i64) -> Table:
        if homes > MAXIMUM_GROUPS:
            raise MemoryError(f"a map cannot have more than {GROUP_SLOTS * MAXIMUM_GROUPS} slots")
        reclaimer = self.reclaimer
        births = reclaimer is not None and reclaimer.scheme.lists
        return SwissTable(homes, births, reclaimer.now() if reclaimer is not None else 0)

    def grow_above(self, table: Table) -> i64:
        return table.capacity() * GROW_NUMERATOR // DENOMINATOR


@final
class SwissTable(GroupTable):
    """A table that can be moved, walked and checked."""

    def try_move(self, following: Table, home: i64, word: i64, shared: i64) -> bool:
        if not try_lock(self.lock_of_home(home), word):
            return False
        move_locked(self, cast("SwissTable", following), home, word, shared)
        return True

    def gather(self, position: i64, last: i64, entries: list[object]) -> None:
        gather(self, position, last, entries)

    def drop_entries(self) -> None:
        slot = self.slots
        end = slot + self.capacity() * SLOT_BYTES
        while slot < end:
            object_take(slot, None)
            object_take(slot + VALUE, None)
            slot += SLOT_BYTES
        reachability_fence(self)

    def check(self, discards: bool) -> i64:
        return check_table(self, discards)


def is_of_home(table: SwissTable, home: i64, group: i64, index: i64) -> bool:
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


def move_locked(table: SwissTable, following: SwissTable, home: i64, version: i64, shared: i64) -> None:
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


def walk_home(table: SwissTable, following: SwissTable, home: i64, action: i64) -> i64:
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


def copy_entry(table: SwissTable, following: SwissTable, index: i64) -> None:
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


def gather(table: SwissTable, position: i64, last: i64, entries: list[object]) -> None:
    """Append the entries of one home with ranks from *position* to *last*, as found without a lock."""
    home = fast_range(position, table.groups)
    partial = position != range_start(home, table.groups) or last != table.last_rank(position)
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
                continue  # being removed; or moved, and the version has changed
            if partial:
                if key_is_str(key):
                    key_hash = hash_object(key)
                else:
                    key_hash = load(hash_of(table.headers, table.groups, index), RELAXED)
                rank = mix(key_hash) & RANK
                if rank < position or rank > last:
                    continue
            entries.append(key)
            entries.append(value)
        if load(header + OVERFLOW, RELAXED) == 0:
            return
        group = following_group(group, table.groups)
        if group == home:
            return


def check_table(table: SwissTable, discards: bool) -> i64:
    """Raise AssertionError if an invariant of *table* does not hold; return the number of its entries.

    Those that clear() has discarded but not yet dropped are none: it may have been interrupted.
    """
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
