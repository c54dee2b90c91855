"""One copy of the data: a hash table that one thread changes, or that any number of threads read.

It has no locks and no versions, since never both happens: ``_state`` sees to it. Entries lie in groups of 16
slots; beside each group are 16 one-byte *tags*, seven bits of each entry's hash, or EMPTY. One vector
instruction compares a key's tag with all 16. A key belongs to its *home*, chosen by the top bits of its hash;
if that is full the entry goes to the next group with a free slot, and every full group that it passed counts
it in its *overflow* word. A search goes on only while that count is not zero, so there are no tombstones::

    words     control    addresses, sizes, number of entries and of values
              headers    group 0: 16 tags, overflow word, 8 bytes unused        group 1: ...
              hashes     group 0: 16 words                                      group 1: ...
    slots     the user's datum of this version, then group 0: 16 x (key, value), group 1: ...

A search that readers make gets the address of a word and what it holds as *witness* and *era*: see
``intermodal.reclamation``. Inside a section nothing is taken out of the table that it looks at, so it counts
no reference but to the value that it returns, and needs no second look.

Sources: Google's Swiss tables, Facebook's F14 (overflow counts), Lemire (fast range). May import only core's
public names and ``_bags``.
"""

from __future__ import annotations

from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    RELAXED,
    count_trailing_zeros,
    fast_range,
    key_equals_guarded,
    load,
    load_byte,
    match_bytes,
    mix,
    object_copy,
    object_forget,
    object_is,
    object_is_empty,
    object_load,
    object_store,
    reachability_fence,
    store,
    store_byte,
)
from intermodal.memory import Block
from intermodal_evmap._bags import size_of

# ---- layout -----------------------------------------------------------------------------------------------

GROUP_SLOTS: Final = 16
HEADER_BYTES: Final = 32
OVERFLOW: Final = 16
SLOT_BYTES: Final = 16
GROUP_BYTES: Final = 256
VALUE: Final = 8
#: Slots before those of the entries; the first holds the user's datum.
FIRST_SLOTS: Final = 8
CONTROL_WORDS: Final = 16
# The control words: the geometry, which never changes, and what is in it.
HEADERS: Final = 0
SLOTS: Final = 8
GROUPS: Final = 16
META: Final = 24
#: Entries that have a value, entries, and values.
ENTRIES: Final = 32
KEYS: Final = 40
VALUES: Final = 48
#: Always 0: the witness of searches that are no sections.
UNUSED: Final = 120

EMPTY: Final = 0
FULL: Final = 0x80

# Of a search: a slot's address, or one of these.
NOT_FOUND: Final = 0
ASK_KEYS: Final = -1  # only the keys' own __eq__ can tell

#: A table is enlarged before more than 7/8 of its slots are full.
NUMERATOR: Final = 7
DENOMINATOR: Final = 8
MAXIMUM_GROUPS: Final = 1 << 40

#: Stands for "nothing" where the caller's objects may be anything; never seen by a caller of the map.
NOTHING: Final = object()


@final
class Table:
    """The memory of one copy.

    Args:
        groups: their number.
        meta: the user's datum of this version, or NOTHING: it is moved here later.
    """

    def __init__(self, groups: int, meta: object) -> None:
        self.groups: Final[i64] = groups
        words_per_group = HEADER_BYTES // 8 + GROUP_SLOTS
        self.block: Final = Block(
            CONTROL_WORDS + groups * words_per_group, FIRST_SLOTS + groups * GROUP_SLOTS * 2
        )
        self.control: Final[i64] = self.block.address
        self.headers: Final[i64] = self.control + CONTROL_WORDS * 8
        self.meta: Final[i64] = self.block.objects_address
        self.slots: Final[i64] = self.meta + FIRST_SLOTS * 8
        store(self.control + HEADERS, self.headers, RELAXED)
        store(self.control + SLOTS, self.slots, RELAXED)
        store(self.control + GROUPS, self.groups, RELAXED)
        store(self.control + META, self.meta, RELAXED)
        if meta is not NOTHING:
            object_store(self.meta, meta)

    def keys(self) -> i64:
        """Return the number of entries, those without a value included."""
        return load(self.control + KEYS, RELAXED)

    def is_full(self) -> bool:
        """Return whether it must be enlarged before an insertion."""
        return load(self.control + KEYS, RELAXED) >= room_of(self.groups)


def room_of(groups: i64) -> i64:
    """Return how many entries that many groups may hold."""
    return groups * GROUP_SLOTS * NUMERATOR // DENOMINATOR


def larger(groups: i64) -> i64:
    """Return the next size: 1, 2, 3, 4, 6, 8, 12, 16... A table just enlarged is at least 58 % full."""
    if groups & (groups - 1) == 0:
        return groups + (groups >> 1) if groups > 1 else 2
    return groups + groups // 3


def groups_for(entries: int) -> int:
    """Return the least size that holds *entries*."""
    groups: i64 = 1
    while room_of(groups) < entries:
        groups = larger(groups)
        if groups > MAXIMUM_GROUPS:
            raise ValueError(f"a map cannot have the capacity {entries}: that takes too many slots")
    return groups


def hash_at(table: Table, index: i64) -> i64:
    """Return the address of the hash of slot *index*: the hashes follow the headers."""
    return table.headers + table.groups * HEADER_BYTES + index * 8


def slot_at(table: Table, index: i64) -> i64:
    """Return the address of slot *index*."""
    return table.slots + index * SLOT_BYTES


def is_taken(table: Table, index: i64) -> bool:
    """Return whether slot *index* holds an entry."""
    return load_byte(table.headers + (index >> 4) * HEADER_BYTES + (index & 15)) != EMPTY


# ---- searching --------------------------------------------------------------------------------------------


def find(headers: i64, slots: i64, groups: i64, h: i64, key: object, witness: i64, era: i64) -> i64:
    """Return the address of the slot of *key*, NOT_FOUND or ASK_KEYS. Runs no user code."""
    home = fast_range(h, groups)
    group = home
    tag: i64 = FULL | (h & 0x7F)
    while True:
        header = headers + group * HEADER_BYTES
        matches = match_bytes(header, tag)
        while matches != 0:
            slot = slots + group * GROUP_BYTES + count_trailing_zeros(matches) * SLOT_BYTES
            equal = key_equals_guarded(slot, key, witness, era)
            if equal > 0:
                return slot
            if equal < 0:
                return ASK_KEYS
            matches &= matches - 1
        if load(header + OVERFLOW, RELAXED) == 0:
            return NOT_FOUND
        group += 1
        if group == groups:
            group = 0
        if group == home:
            return NOT_FOUND


def find_identical(table: Table, h: i64, key: object) -> i64:
    """Return the address of the slot whose key is *key* itself, or NOT_FOUND."""
    home = fast_range(h, table.groups)
    group = home
    tag: i64 = FULL | (h & 0x7F)
    while True:
        header = table.headers + group * HEADER_BYTES
        matches = match_bytes(header, tag)
        while matches != 0:
            slot = table.slots + group * GROUP_BYTES + count_trailing_zeros(matches) * SLOT_BYTES
            if object_is(slot, key):
                return slot
            matches &= matches - 1
        if load(header + OVERFLOW, RELAXED) == 0:
            return NOT_FOUND
        group += 1
        if group == table.groups:
            group = 0
        if group == home:
            return NOT_FOUND


def next_candidate(table: Table, h: i64, key_hash: i64, after: i64) -> i64:
    """Return the first slot behind *after* whose key has that hash, in the order of a search; 0: no more.

    *after* is 0 at the beginning.
    """
    home = fast_range(h, table.groups)
    group = home
    tag: i64 = FULL | (h & 0x7F)
    wanted: i64 = -1  # of each group all slots, but of the first one those behind *after*
    if after != 0:
        last = (after - table.slots) // SLOT_BYTES
        group = last // GROUP_SLOTS
        wanted = -2 << (last & 15)
    while True:
        header = table.headers + group * HEADER_BYTES
        matches = match_bytes(header, tag) & wanted
        while matches != 0:
            index = group * GROUP_SLOTS + count_trailing_zeros(matches)
            if load(hash_at(table, index), RELAXED) == key_hash:
                return slot_at(table, index)
            matches &= matches - 1
        if load(header + OVERFLOW, RELAXED) == 0:
            return 0
        wanted = -1
        group += 1
        if group == table.groups:
            group = 0
        if group == home:
            return 0


def candidates(table: Table, h: i64, key_hash: i64) -> list[Any]:
    """Return the keys with that hash, in the order of a search, of a table that does not change meanwhile."""
    found: list[Any] = []
    slot = next_candidate(table, h, key_hash, 0)
    while slot != 0:
        found.append(object_load(slot, NOTHING))
        slot = next_candidate(table, h, key_hash, slot)
    return found


def are_candidates(table: Table, h: i64, key_hash: i64, keys: list[Any]) -> bool:
    """Return whether *keys* are what :func:`candidates` returns now. Runs nothing, allocates nothing."""
    at = 0
    count = len(keys)
    slot = next_candidate(table, h, key_hash, 0)
    while slot != 0:
        if at == count or not object_is(slot, keys[at]):
            return False
        at += 1
        slot = next_candidate(table, h, key_hash, slot)
    return at == count


# ---- changing: by one thread, while nobody else looks ----------------------------------------------------


def claim(table: Table, h: i64, key_hash: i64) -> i64:
    """Take a free slot, of which there is one, for a key of mixed hash *h*; return its address."""
    group = fast_range(h, table.groups)
    while True:
        header = table.headers + group * HEADER_BYTES
        free = match_bytes(header, EMPTY)
        if free != 0:
            at = count_trailing_zeros(free)
            index = group * GROUP_SLOTS + at
            store(hash_at(table, index), key_hash, RELAXED)
            store_byte(header + at, FULL | (h & 0x7F))
            store(table.control + KEYS, load(table.control + KEYS, RELAXED) + 1, RELAXED)
            return table.slots + index * SLOT_BYTES
        store(header + OVERFLOW, load(header + OVERFLOW, RELAXED) + 1, RELAXED)
        group += 1
        if group == table.groups:
            group = 0


def release(table: Table, slot: i64) -> None:
    """Give back a slot whose key and value have been taken out."""
    index = (slot - table.slots) // SLOT_BYTES
    group = fast_range(mix(load(hash_at(table, index), RELAXED)), table.groups)
    while group != index >> 4:
        header = table.headers + group * HEADER_BYTES
        store(header + OVERFLOW, load(header + OVERFLOW, RELAXED) - 1, RELAXED)
        group += 1
        if group == table.groups:
            group = 0
    store_byte(table.headers + (index >> 4) * HEADER_BYTES + (index & 15), EMPTY)
    store(table.control + KEYS, load(table.control + KEYS, RELAXED) - 1, RELAXED)


def count(table: Table, old: i64, new: i64) -> None:
    """Note that an entry has *new* values where it had *old* ones; 0 if there is, or was, no entry."""
    store(table.control + VALUES, load(table.control + VALUES, RELAXED) + new - old, RELAXED)
    change = (1 if new != 0 else 0) - (1 if old != 0 else 0)
    store(table.control + ENTRIES, load(table.control + ENTRIES, RELAXED) + change, RELAXED)


def move(table: Table, target: Table) -> None:
    """Move all entries and the datum to *target*, which is empty and has room. No reference is counted."""
    object_forget_into(table.meta, target.meta)
    index: i64 = 0
    while index < table.groups * GROUP_SLOTS:
        if is_taken(table, index):
            key_hash = load(hash_at(table, index), RELAXED)
            source = slot_at(table, index)
            slot = claim(target, mix(key_hash), key_hash)
            object_forget_into(source, slot)
            object_forget_into(source + VALUE, slot + VALUE)
        index += 1
    store(target.control + ENTRIES, load(table.control + ENTRIES, RELAXED), RELAXED)
    store(target.control + VALUES, load(table.control + VALUES, RELAXED), RELAXED)
    reachability_fence(target)
    reachability_fence(table)


def object_forget_into(source: i64, target: i64) -> None:
    """Let *target*, which is empty, hold what *source* holds, and empty that."""
    object_copy(source, target)
    object_forget(source)


def copied(table: Table, groups: int) -> Table:
    """Return a copy of that many groups of *table*, which does not change meanwhile. Allocates."""
    target = Table(groups, object_load(table.meta, None))
    index: i64 = 0
    while index < table.groups * GROUP_SLOTS:
        if is_taken(table, index):
            key_hash = load(hash_at(table, index), RELAXED)
            source = slot_at(table, index)
            slot = claim(target, mix(key_hash), key_hash)
            object_store(slot, object_load(source, None))
            object_store(slot + VALUE, object_load(source + VALUE, None))
        index += 1
    store(target.control + ENTRIES, load(table.control + ENTRIES, RELAXED), RELAXED)
    store(target.control + VALUES, load(table.control + VALUES, RELAXED), RELAXED)
    reachability_fence(table)
    return target


def gather(table: Table) -> list[Any]:
    """Return key, content of slot, key, content... of *table*, which does not change meanwhile."""
    entries: list[Any] = []
    index: i64 = 0
    while index < table.groups * GROUP_SLOTS:
        if is_taken(table, index):
            slot = slot_at(table, index)
            key = object_load(slot, NOTHING)
            content = object_load(slot + VALUE, NOTHING)
            if key is not NOTHING and content is not NOTHING:  # else a signal's handler has come between
                entries.append(key)
                entries.append(content)
        index += 1
    reachability_fence(table)
    return entries


def check_table(table: Table) -> None:
    """Raise AssertionError if an invariant of *table*, which nobody changes, does not hold."""
    passing = [0] * int(table.groups)
    keys: i64 = 0
    entries: i64 = 0
    values: i64 = 0
    index: i64 = 0
    while index < table.groups * GROUP_SLOTS:
        slot = slot_at(table, index)
        group = index >> 4
        tag = load_byte(table.headers + group * HEADER_BYTES + (index & 15))
        if tag == EMPTY:
            assert object_is_empty(slot), f"slot {index} is empty but has a key"
            assert object_is_empty(slot + VALUE), f"slot {index} is empty but has a value"
        else:
            h = mix(load(hash_at(table, index), RELAXED))
            assert not object_is_empty(slot), f"slot {index} has no key"
            assert not object_is_empty(slot + VALUE), f"slot {index} has no value"
            assert tag == FULL | (h & 0x7F), f"slot {index} has tag {tag:#x}, not that of its hash"
            keys += 1
            size = size_of(object_load(slot + VALUE, None))
            values += size
            entries += 1 if size != 0 else 0
            home = fast_range(h, table.groups)
            while home != group:
                passing[home] += 1
                home = home + 1 if home + 1 < table.groups else 0
        index += 1
    group = 0
    while group < table.groups:
        overflow = load(table.headers + group * HEADER_BYTES + OVERFLOW, RELAXED)
        assert overflow == passing[group], f"group {group} counts {overflow} beyond it, not {passing[group]}"
        group += 1
    assert keys == table.keys(), f"{keys} entries are there, {table.keys()} were counted"
    assert keys <= room_of(table.groups), f"{keys} entries are more than there is room for"
    assert entries == load(table.control + ENTRIES, RELAXED), "the entries with a value are counted wrongly"
    assert values == load(table.control + VALUES, RELAXED), "the values are counted wrongly"
    reachability_fence(table)
