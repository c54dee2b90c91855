"""The table of a Swiss map: its memory, and the operations on one key.

The idea
========
Entries lie in *groups* of 16 slots. Beside each group are 16 one-byte *tags*: seven bits of each entry's
hash, or EMPTY. One vector instruction compares a key's tag with all 16, so a look-up reads one cache line of
tags, then the one slot whose tag matches, then answers; the keys of other slots are almost never touched.

A key belongs to its *home* group, chosen by the top bits of its hash. If the home is full, the entry is
placed in the next group with a free slot: it is *displaced*, and every full group that it passed counts it in
its *overflow* word. A search walks on only while that count is not zero, so there are no tombstones (F14's
invention)::

    words     group 0                                  group 1
    tags      [c3 00 a1 00 ... ]  16 bytes             [41 9f ...]        41: displaced, 9f: at home
    lock      version | MOVED | LOCKED                 ...                one word
    overflow  1 = one entry of home 0 lies further on  0                  one word

    slots     (key, value) (empty) (key, value) ...    (key, value) ...   16 x 16 bytes
    distances of displaced entries from their homes    1 ...              16 bytes, touched only for them
    hashes    of keys that are not str                 ...                16 x 8 bytes, touched only for them
    births    of key and value                         ...                16 x 8 bytes, if a reclaimer asks

Worked example, two groups: "x" has hash bits home=0 and tag=43 (7 bits). Tag byte 0x80 | 0x43 = c3 goes to a
free byte of group 0, the pair to the same slot. When group 0 is full, a further key with home 0 and low six
bits 01 goes to group 1 with tag 0x40 | 0x01 = 41 and distance 1, and overflow[0] becomes 1.

Who owns what
=============
The lock word of a home guards *the set of keys with that home*, wherever their slots lie. A slot is claimed
from EMPTY to BUSY with a compare-and-exchange on its tag, by whoever holds the lock of the key's home; from
then until its tag is EMPTY again it is that home's. So one lock covers one key, two homes never wait for each
other, and no thread ever holds two locks.

The lock word holds a version: every insertion, removal or move of a key of this home adds VERSION_STEP before
its effect can be confused with the state before. Replacing a value does not.

Reading takes no lock: load the version, search, load the value, load the version again. Writing searches in
the same way without a lock; then it takes the lock *by a compare-and-exchange that expects the version at
which it searched*: success proves that the search is still right. Hence user code (``__eq__``) runs during
searches only, never under a lock. The interleavings are argued at each racing line below.

Functions take the table's addresses as plain words ("geometry": headers, slots, groups), so that a
handle can call them without touching a shared reference count. Whoever calls them keeps the table alive.

Without a reclaimer (*record* and *witness* 0), searches count a reference to each key that they compare, and
what a write takes out dies with its caller's reference. With one, the caller is in a section of core's
reclamation: searches compare keys without counting, and what is taken out goes to the limbo of its record.

Sources: Google's Swiss tables (abseil), Facebook's F14 (overflow counts), the scc crate (one lock per bucket,
incremental rehash by top bits), sequence locks (Lameter, Boehm), fast range reduction (Lemire). May import
only core's public names.
"""

from __future__ import annotations

from typing import Any, Final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    compare_exchange_byte,
    count_trailing_zeros,
    fast_range,
    fetch_add,
    key_equals,
    key_equals_guarded,
    key_is_str,
    load,
    match_bytes,
    object_exchange,
    object_is,
    object_load,
    object_load_guarded,
    object_store,
    object_take,
    prefetch,
    reachability_fence,
    store,
    store_byte,
    try_lock,
    unlock,
)
from intermodal.reclamation import has_room
from intermodal.tables import (
    ASK_KEYS,
    CHANGED,
    CONTROL_WORDS,
    COUNTS,
    DONE_INSERTED,
    DONE_REMOVED,
    DONE_REPLACED,
    IDLE,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    LINE,
    LOCKED,
    MOVED,
    NOT_FOUND,
    PHASE_MASK,
    REFUSED,
    REMOVE,
    RETRY,
    RETRY_READ,
    SLOT_BYTES,
    STRIPE_MASK,
    VALUE,
    Table,
)
from intermodal_swiss._retiring import exchange_retiring, last_retired, stamp, take_retiring

# ---- layout -----------------------------------------------------------------------------------------------

GROUP_SLOTS: Final = 16
#: Bytes of a group's header: 16 tags, lock word, overflow word.
HEADER_BYTES: Final = 32
LOCK: Final = 16
OVERFLOW: Final = 24
#: Bytes of a group's slots.
GROUP_BYTES: Final = 256
# The technique's control words: addresses of the headers and the slots. From intermodal.tables.OWN on;
# written out, since mypyc folds a constant only from those of its own module.
HEADERS: Final = 216
SLOTS: Final = 224

# Tags. A resident entry (in its home group) has bit 7 set and seven bits of hash, a displaced one has bits 7
# and 6 = 01 and six bits: the holder of a home's lock recognises its residents without looking at any key.
EMPTY: Final = 0
BUSY: Final = 1
DISPLACED: Final = 0x40
RESIDENT: Final = 0x80

# The lock word: LOCKED, MOVED, and a version.
VERSION_STEP: Final = 4

#: Distance of a displaced entry whose real one does not fit in a byte: its hash is in the column.
FAR: Final = 255
MAXIMUM_GROUPS: Final = 1 << 40
#: Groups from which on the slots, 2 MB, are too many for a core's own cache. In a smaller map prefetching
#: only fetches lines that another core has just written.
PREFETCH_GROUPS: Final = 1 << 13

# A compiled module finds its own constants without a look-up in the importing module's dictionary.
_REMOVE: Final[object] = REMOVE
_RETRY_READ: Final[object] = RETRY_READ


class GroupTable(Table):
    """The memory of one table.

    Args:
        groups: their number; each is a home.
        births: whether it has the column of births.
        era: the reclaimer's clock; its own birth.
    """

    def __init__(self, groups: int, births: bool, era: int) -> None:
        words_per_group = (HEADER_BYTES + GROUP_SLOTS) // 8 + GROUP_SLOTS * (2 if births else 1)
        super().__init__(groups, groups * words_per_group, groups * GROUP_SLOTS * 2, GROUP_SLOTS, era)
        self.groups: Final[i64] = groups
        self.births: Final = births
        self.headers: Final[i64] = self.control + CONTROL_WORDS * 8
        self.slots: Final[i64] = self.block.objects_address
        store(self.control + HEADERS, self.headers, RELAXED)
        store(self.control + SLOTS, self.slots, RELAXED)

    def lock_of_home(self, home: i64) -> i64:
        return self.headers + home * HEADER_BYTES + LOCK

    def capacity(self) -> i64:
        return self.groups * GROUP_SLOTS

    def read(self, h: i64, key: object, fallback: object) -> object:
        return read(self.headers, self.slots, self.groups, h, key, fallback, 0, 0)

    def locate_asking(self, h: i64, key_hash: i64, key: object, word: i64) -> i64:
        return locate_asking(self, h, key_hash, key, word)

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
        return commit(
            self.headers,
            self.slots,
            self.groups,
            fast_range(h, self.groups),
            word,
            slot,
            shared,
            phase,
            h,
            key_hash,
            key,
            condition,
            expected,
            new,
            record,
        )


def distance_of(headers: i64, groups: i64, index: i64) -> i64:
    """Return the address of the distance of slot *index*: the distances follow the headers."""
    return headers + groups * HEADER_BYTES + index


def hash_of(headers: i64, groups: i64, index: i64) -> i64:
    """Return the address of the hash of slot *index*: the hashes follow the distances."""
    return headers + groups * (HEADER_BYTES + GROUP_SLOTS) + index * 8


def births_of(headers: i64, groups: i64, index: i64) -> i64:
    """Return the address of the births of slot *index*: the births follow the hashes."""
    return headers + groups * (HEADER_BYTES + GROUP_SLOTS + GROUP_SLOTS * 8) + index * 8


def following_group(group: i64, groups: i64) -> i64:
    """Return the group that entries overflow into from *group*."""
    group += 1
    if group < groups:  # a conditional expression would make an int object, and _words has no GIL here
        return group
    return 0


def prefetch_group(slots: i64) -> None:
    """Ask for a group's slots while its tags are on their way: a large map waits for one miss, not two."""
    prefetch(slots)
    prefetch(slots + 64)
    prefetch(slots + 128)
    prefetch(slots + 192)


# ---- searching --------------------------------------------------------------------------------------------


def locate(
    headers: i64, slots: i64, groups: i64, home: i64, h: i64, key: object, witness: i64, era: i64
) -> i64:
    """Search *key* among the entries of *home*: the address of its slot, NOT_FOUND or ASK_KEYS.

    The answer is right for one moment if the home's version did not change from before the call until after
    it; the caller checks that. A key that is there throughout is found: nothing moves an entry without a new
    version, and an overflow count is at least the number of entries that lie beyond its group, because a
    writer raises it before the entry's tag can be seen and lowers it after the tag is gone.
    """
    if groups >= PREFETCH_GROUPS:
        prefetch_group(slots + home * GROUP_BYTES)
    group = home
    tag: i64 = RESIDENT | (h & 0x7F)
    while True:
        header = headers + group * HEADER_BYTES
        matches = match_bytes(header, tag)
        while matches != 0:
            slot = slots + group * GROUP_BYTES + count_trailing_zeros(matches) * SLOT_BYTES
            equal = key_equals(slot, key) if witness == 0 else key_equals_guarded(slot, key, witness, era)
            if equal > 0:
                return slot
            if equal < 0:
                return ASK_KEYS
            matches &= matches - 1
        if load(header + OVERFLOW, RELAXED) == 0:
            return NOT_FOUND
        group = following_group(group, groups)
        if group == home:
            return NOT_FOUND  # every group is full, or counts an entry that is being removed
        tag = DISPLACED | (h & 0x3F)


def locate_asking(table: GroupTable, h: i64, key_hash: i64, key: object, version: i64) -> i64:
    """Search like :func:`locate`, letting the keys compare themselves: a slot, NOT_FOUND or CHANGED.

    User code runs here, under no lock: it may raise, block, or change this very map. So after each comparison
    the version is checked, and the answer is CHANGED unless it is still *version*. The stored hash is
    compared first, as dict does, so that ``__eq__`` only sees keys of equal hash.
    """
    lock = table.lock_of(h)
    home = fast_range(h, table.groups)
    group = home
    tag: i64 = RESIDENT | (h & 0x7F)
    while True:
        header = table.headers + group * HEADER_BYTES
        matches = match_bytes(header, tag)
        while matches != 0:
            index = group * GROUP_SLOTS + count_trailing_zeros(matches)
            slot = table.slots + index * SLOT_BYTES
            equal = key_equals(slot, key)
            if equal < 0:
                stored: Any = object_load(slot, _RETRY_READ)  # Any: its __eq__ may return any object
                if stored is _RETRY_READ:
                    return CHANGED
                if key_is_str(stored):
                    same_hash = hash(stored) == key_hash
                else:
                    same_hash = load(hash_of(table.headers, table.groups, index), RELAXED) == key_hash
                # The pair (key, hash) is of one entry only if the home did not change in between.
                if same_hash:
                    if load(lock, ACQUIRE) | LOCKED != version | LOCKED:
                        return CHANGED
                    if stored == key:
                        equal = 1
                    if load(lock, ACQUIRE) | LOCKED != version | LOCKED:
                        return CHANGED
            if equal > 0:
                return slot
            matches &= matches - 1
        if load(header + OVERFLOW, RELAXED) == 0:
            return NOT_FOUND
        group = following_group(group, table.groups)
        if group == home:
            return NOT_FOUND
        tag = DISPLACED | (h & 0x3F)


def read(
    headers: i64, slots: i64, groups: i64, h: i64, key: object, fallback: object, witness: i64, era: i64
) -> object:
    """Return the value of *key*, *fallback* if it has none, or RETRY_READ. Takes no lock.

    The version before and after brackets the search and the load of the value. Writers add to the version
    before they give a slot back, and whoever fills the slot next does so after that (it saw the EMPTY tag
    that was stored later, RELEASE/ACQUIRE): so a value that belongs to another key comes with a changed
    version. And they add to it after they have taken key and value: who sees the new version finds no key in
    that slot. Replacing a value changes no version: the value loaded is the old one or the new one, each the
    key's value at a moment during this call. MOVED is part of the version: an answer from a table
    that no longer has the key's home is not given. LOCKED is not: a writer that has changed nothing yet does
    not disturb readers.
    """
    home = fast_range(h, groups)
    lock = headers + home * HEADER_BYTES + LOCK
    version = load(lock, ACQUIRE)
    if version & MOVED:
        return _RETRY_READ
    slot = locate(headers, slots, groups, home, h, key, witness, era)
    if slot > 0:
        # An empty slot: a removal is under way, and has taken the value. Whoever asks for that only after the
        # version has been checked may find the slot full again, with another key's value.
        if witness == 0:
            value = object_load(slot + VALUE, fallback)
        else:  # it may also be too young for the section to protect it
            value = object_load_guarded(slot + VALUE, witness, era, _RETRY_READ)
        return value if (load(lock, ACQUIRE) ^ version) | LOCKED == LOCKED else _RETRY_READ
    if slot == NOT_FOUND and (load(lock, ACQUIRE) ^ version) | LOCKED == LOCKED:
        return fallback
    return _RETRY_READ


# ---- writing ----------------------------------------------------------------------------------------------


def claim(headers: i64, groups: i64, home: i64) -> i64:
    """Claim an EMPTY slot for an entry of *home*, nearest first: its index, or -1 if every slot is taken.

    The slot's tag is BUSY afterwards: no search matches it, nobody else claims it. Full groups on the way
    have counted the entry in their overflow word.
    """
    group = home
    while True:
        header = headers + group * HEADER_BYTES
        free = match_bytes(header, EMPTY)
        while free != 0:
            index = count_trailing_zeros(free)
            # Homes that overflow into this group claim its slots at the same time: one wins each slot.
            if compare_exchange_byte(header + index, EMPTY, BUSY):
                return group * GROUP_SLOTS + index
            free &= free - 1
        fetch_add(header + OVERFLOW, 1, RELEASE)
        group = following_group(group, groups)
        if group == home:
            uncount(headers, groups, home, home)
            return -1


def uncount(headers: i64, groups: i64, home: i64, group: i64) -> None:
    """Take an entry of *home* out of the overflow words from its home up to *group*; all, if the same."""
    passed = home
    while True:
        fetch_add(headers + passed * HEADER_BYTES + OVERFLOW, -1, RELEASE)
        passed = following_group(passed, groups)
        if passed == group:
            return


def publish(headers: i64, groups: i64, home: i64, index: i64, h: i64, key_hash: i64, is_str: bool) -> None:
    """Store what cannot be had from the key, then the tag, RELEASE: now searches find the slot.

    A displaced entry is recognised as its home's by its distance, or by its hash if it is FAR.
    """
    group = index >> 4
    tag: i64 = RESIDENT | (h & 0x7F)
    far = False
    if group != home:
        tag = DISPLACED | (h & 0x3F)
        distance = group - home if group > home else group - home + groups
        far = distance >= FAR
        store_byte(distance_of(headers, groups, index), FAR if far else distance)
    if far or not is_str:
        store(hash_of(headers, groups, index), key_hash, RELAXED)
    store_byte(headers + group * HEADER_BYTES + (index & 15), tag)


def release_slot(headers: i64, groups: i64, home: i64, index: i64) -> None:
    """Let the emptied slot *index* be claimed again, and take its entry out of the overflow words."""
    group = index >> 4
    store_byte(headers + group * HEADER_BYTES + (index & 15), EMPTY)
    if group != home:
        uncount(headers, groups, home, group)


def write(
    headers: i64,
    slots: i64,
    groups: i64,
    shared: i64,
    h: i64,
    key_hash: i64,
    key: object,
    condition: i64,
    expected: object,
    new: object,
    record: i64,
    witness: i64,
    era: i64,
) -> tuple[i64, object]:
    """Search without a lock, then change the entry of *key* under its home's lock: (result, previous value).

    RETRY means that nothing was done and the slow path has to do it.
    """
    home = fast_range(h, groups)
    version = load(headers + home * HEADER_BYTES + LOCK, ACQUIRE)
    if version & (LOCKED | MOVED):
        return RETRY, None
    slot = locate(headers, slots, groups, home, h, key, witness, era)
    if slot == ASK_KEYS:
        return RETRY, None
    phase = load(shared, RELAXED)
    if slot == NOT_FOUND and phase & PHASE_MASK != IDLE:
        return RETRY, None
    return commit(
        headers,
        slots,
        groups,
        home,
        version,
        slot,
        shared,
        phase,
        h,
        key_hash,
        key,
        condition,
        expected,
        new,
        record,
    )


def commit(
    headers: i64,
    slots: i64,
    groups: i64,
    home: i64,
    version: i64,
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
    """Carry out a write whose search, at *version*, ended with *slot*: (result, previous value).

    Taking the lock by expecting *version* proves that no key of this home came, went or moved since the
    search. A refusal changes nothing, so it takes no lock: it is right at the moment when the version is
    still the same.

    With a *record* the previous value is only returned where the condition is IF_PRESENT: else nobody asks.
    """
    lock = headers + home * HEADER_BYTES + LOCK
    if slot > 0:
        if condition == IF_ABSENT:
            present = object_load(slot + VALUE, _REMOVE)
            if present is _REMOVE or (load(lock, ACQUIRE) ^ version) | LOCKED != LOCKED:
                return RETRY, None
            return REFUSED, present
        if not try_lock(lock, version):
            return RETRY, None
        if condition == IF_IDENTICAL and not object_is(slot + VALUE, expected):
            unlock(lock, version)
            return REFUSED, None
        if record != 0 and not has_room(record):  # user code of this thread has come between
            unlock(lock, version)
            return RETRY, None
        if new is _REMOVE:
            old = remove_locked(headers, slots, groups, home, version, slot, shared, record)
            if record != 0 and condition == IF_PRESENT:
                old = last_retired(record)
            return DONE_REMOVED, old
        if record != 0:
            exchange_retiring(record, slot + VALUE, births_of(headers, groups, (slot - slots) >> 4), new)
            unlock(lock, version)
            return DONE_REPLACED, last_retired(record) if condition == IF_PRESENT else None
        old = object_exchange(slot + VALUE, new, None)
        unlock(lock, version)
        return DONE_REPLACED, old  # the old value dies outside the lock

    if new is _REMOVE or condition == IF_PRESENT or condition == IF_IDENTICAL:
        return (REFUSED if load(lock, ACQUIRE) == version else RETRY), None
    if not try_lock(lock, version):
        return RETRY, None
    # Dekker with the start of a resize (SharedState.start): it changes the phase, then adds up the counts;
    # here the entry is counted, then the phase read again, both SEQ_CST. So either the sum has this entry, or
    # this thread sees the new phase and steps back. The next table is therefore never promised too little
    # room.
    count = shared + COUNTS + (home & STRIPE_MASK) * LINE
    fetch_add(count, 1, SEQ_CST)
    index: i64 = -1
    if load(shared, SEQ_CST) == phase:
        index = claim(headers, groups, home)
    if index < 0:
        fetch_add(count, -1, RELAXED)
        unlock(lock, version)
        return RETRY, None
    # The new version comes before the key. A reader may have seen the tag of another home's entry that was in
    # this slot before, and find the key by that, which nobody else finds yet: it sees the version changed.
    version += VERSION_STEP
    store(lock, version | LOCKED, RELEASE)
    slot = slots + index * SLOT_BYTES
    if record != 0:
        stamp(record, births_of(headers, groups, index))
    object_store(slot, key)
    object_store(slot + VALUE, new)
    publish(headers, groups, home, index, h, key_hash, key_is_str(key))
    unlock(lock, version)
    return DONE_INSERTED, None


def remove_locked(
    headers: i64, slots: i64, groups: i64, home: i64, version: i64, slot: i64, shared: i64, record: i64
) -> object:
    """Remove the entry in *slot*, release the home's lock and return the value, None if it was retired.

    Readers stop seeing the entry when its value is taken. The new version comes between that and the tag. Not
    after: whoever finds another home's entry in the slot finds the version changed. Not before: who began
    with the new version would still find the key there, and then the value of that other entry.
    """
    lock = headers + home * HEADER_BYTES + LOCK
    key: object = None
    value: object = None
    if record != 0:
        take_retiring(record, slot + VALUE, slot, births_of(headers, groups, (slot - slots) >> 4))
    else:
        value = object_take(slot + VALUE, None)
        key = object_take(slot, None)
    store(lock, (version + VERSION_STEP) | LOCKED, RELEASE)
    release_slot(headers, groups, home, (slot - slots) >> 4)
    fetch_add(shared + COUNTS + (home & STRIPE_MASK) * LINE, -1, RELAXED)
    unlock(lock, version + VERSION_STEP)
    reachability_fence(key)  # it dies here, outside the lock
    return value
