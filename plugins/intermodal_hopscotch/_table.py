"""The table of a hopscotch map: its memory, and the operations on one key.

The idea
========
A key's hash chooses its *home*, one of the *buckets*. Its entry lies in the slot of that bucket or of one of
the 31 after it, the home's *neighbourhood*; a bitmap of 32 bits in the home says which of these slots are
its own. So a look-up reads one word, and then only slots that hold keys of the same home: in a table that is
three quarters full, not two on average. Beside each slot stands the whole hash of its key, so of those it
touches the one key that is meant, and a resize touches no key at all.

An insertion takes the nearest free slot. If that is too far away, it *displaces*: an entry in front of the
free slot, which may as well lie in it, is moved there, and leaves its own slot free, nearer to where it is
wanted; and so on, as in the children's game. Were neighbourhoods 2 long, not 32, and C of home 0 to come::

                bucket 0       bucket 1       bucket 2              bucket 0       bucket 1       bucket 2
    home word   bits 1 0       bits 1 0       none                  bits 1 1       bits 0 1       none
    slot word   hash of A      hash of B      0: empty       =>     hash of A      hash of C      hash of B
    slot        A, its value   B, its value   -                     A, its value   C, its value   B, its value

(bits are those of this slot and of the next). What finds no place near its home even so goes to any free
slot: the home is marked FAR and counts such entries; a search walks on from the end of the neighbourhood
until it has met that many. With hashes that are spread at all this hardly happens, but a hundred keys of one
hash work, too.

A home has one word for everything::

    bit 0   LOCKED     1   MOVED     2   FAR     3 to 34   the bitmap     35 to 63   the version

Who owns what
=============
The lock of a home guards *the set of keys with that home*, wherever their slots lie, and their values. A slot
word is EMPTY, BUSY, or the hash of the entry with its top bit set. Whoever holds the lock of a home that
wants a slot claims one with a compare-and-exchange, from EMPTY to BUSY; it is that home's until the word is
EMPTY again. Reading takes no lock; see :mod:`intermodal.tables`.

The three hazards
=================
Hopscotch tables that let threads change a home's bitmap without its lock have three faults. Here each is
excluded by one rule: *a home's bitmap, version and lock are one word, and the bitmap changes only under the
lock, together with the version*.

1. Lost insertion. A removal empties a slot, an insertion claims it and sets its bit, the removal clears the
   bit: the new entry cannot be found. Here removals take the home's lock too, and the slot word is EMPTY,
   for anybody to claim, only after the bit is gone.
2. Transient miss. A displacement moves an entry while a reader looks from slot to slot: the reader finds the
   old slot emptied, and had read the bitmap before the new one was in it. Here the displacement changes both
   bits and the version in one store, after the copy and before the old slot is emptied: the reader sees that
   the word has changed, and looks again.
3. Duplicate. A displacement moves an entry while an insertion of the same key, which holds the lock of the
   entry's home, looks for it, does not see it, and inserts it again. Here a displacement also takes the lock
   of the home whose entry it moves; and an insertion takes its lock expecting the word of its search.

A displacement thus holds two locks: that of the home that wants room and that of the entry's. The second is
always of a higher index: the free slot lies beyond the first home's neighbourhood, and the entry's home
within 31 in front of the free slot. So nobody can wait in a circle; in fact nobody waits: a home whose lock
is not free is passed over, and another entry moved.

Functions take the address of the table's control words; whoever calls them keeps the table alive.

Sources: Herlihy, Shavit and Tzafrir, Hopscotch hashing; the kovan crate's HopscotchMap; sequence locks
(Lameter, Boehm); fast range reduction (Lemire). May import only core's public names.
"""

from __future__ import annotations

from typing import Any, Final, cast, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQ_REL,
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    compare_exchange,
    count_trailing_zeros,
    fast_range,
    fetch_add,
    key_equals,
    load,
    object_copy,
    object_exchange,
    object_forget,
    object_is,
    object_load,
    object_store,
    object_take,
    prefetch,
    reachability_fence,
    store,
    try_lock,
    unlock,
)
from intermodal.tables import (
    ASK_KEYS,
    CHANGED,
    CONTROL_WORDS,
    DISCARD,
    DONE_INSERTED,
    DONE_REMOVED,
    DONE_REPLACED,
    HOMES,
    IDLE,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    LOCKED,
    MODE,
    MOVED,
    MOVED_HOMES,
    NOT_FOUND,
    PHASE_MASK,
    REFUSED,
    REMOVE,
    RETRY,
    RETRY_READ,
    SLOT_BYTES,
    VALUE,
    Table,
    count_of,
    release_lock,
    same,
    take_lock,
)

# ---- layout -----------------------------------------------------------------------------------------------

#: Slots in which an entry may lie: bits of a bitmap.
NEIGHBOURS: Final = 32
#: Bytes of a bucket's record: home word, slot word.
BUCKET_BYTES: Final = 16
SLOT_WORD: Final = 8

# The technique's control words: addresses of the records, the slots and the far counts, number of buckets.
# From OWN on; written out, since mypyc folds a constant only from those of its own module.
RECORDS: Final = 216
SLOTS: Final = 224
FARS: Final = 232
BUCKETS: Final = 240

# The home word.
FAR: Final = 4
FIRST_BIT: Final = 3
BITMAP: Final = 0xFFFFFFFF
VERSION_STEP: Final = 1 << 35

# The slot word; an occupied one is negative.
EMPTY: Final = 0
BUSY: Final = 1
_HALF: Final = 1 << 62
#: The bits of a mixed hash that choose its home.
RANK: Final = (1 << 63) - 1

#: How far an insertion looks for a free slot that displacements could bring nearer.
PROBE_LIMIT: Final = 512
#: Homes from which on the table, 2 MB, is too much for a core's own cache. In a smaller map prefetching only
#: fetches lines that another core has just written.
PREFETCH_HOMES: Final = 1 << 16
MAXIMUM_HOMES: Final = 1 << 44

# A compiled module finds its own constants without a look-up in the importing module's dictionary.
_REMOVE: Final[object] = REMOVE
_RETRY_READ: Final[object] = RETRY_READ


def occupied(h: i64) -> i64:
    """Return the slot word of an entry with mixed hash *h*: its rank, and the top bit."""
    # Not h | -(1 << 63): mypyc 2.4.1 has no native constant for the least of all integers.
    return (h & RANK) - _HALF - _HALF


def bitmap_of(word: i64) -> i64:
    """Return the bitmap in a home word."""
    return (word >> FIRST_BIT) & BITMAP


def bit_of(distance: i64) -> i64:
    """Return the bit in a home word of the slot at *distance*."""
    # Not 1 << (FIRST_BIT + distance): mypyc 2.4.1 shifts a small constant as an int of C, 32 bits wide.
    return VERSION_STEP >> (NEIGHBOURS - distance)


def is_near(home: i64, index: i64) -> bool:
    """Return whether slot *index* lies in the neighbourhood of *home*."""
    return index >= home and index - home < NEIGHBOURS


# ---- searching --------------------------------------------------------------------------------------------


def locate(control: i64, records: i64, slots: i64, home: i64, word: i64, h: i64, key: object) -> i64:
    """Search *key* among the entries of *home*, whose word is *word*: its slot, NOT_FOUND or ASK_KEYS.

    The answer is right for one moment if the home's word is the same from before the call until after it;
    the caller checks that. Slot words are loaded ACQUIRE: whoever emptied or filled one had stored the new
    home word before, and the caller's second look finds it.
    """
    wanted = occupied(h)
    bits = bitmap_of(word)
    while bits != 0:
        index = home + count_trailing_zeros(bits)
        if load(records + index * BUCKET_BYTES + SLOT_WORD, ACQUIRE) == wanted:
            slot = slots + index * SLOT_BYTES
            equal = key_equals(slot, key)
            if equal > 0:
                return slot
            if equal < 0:
                return ASK_KEYS
        bits &= bits - 1
    return NOT_FOUND if word & FAR == 0 else locate_far(control, home, h, key)


def locate_far(control: i64, home: i64, h: i64, key: object) -> i64:
    """Search *key* among the far entries of *home*, as :func:`locate`."""
    slots = load(control + SLOTS, RELAXED)
    left = far_count(control, home)
    index = home + NEIGHBOURS - 1
    while left > 0:
        index = next_far(control, home, index)
        if index < 0:
            break  # some have gone meanwhile
        left -= 1
        if load(word_of_slot(control, index), ACQUIRE) == occupied(h):
            equal = key_equals(slots + index * SLOT_BYTES, key)
            if equal > 0:
                return slots + index * SLOT_BYTES
            if equal < 0:
                return ASK_KEYS
    return NOT_FOUND


def word_of_slot(control: i64, index: i64) -> i64:
    """Return the address of the slot word of bucket *index*."""
    return load(control + RECORDS, RELAXED) + index * BUCKET_BYTES + SLOT_WORD


def far_count_of(control: i64, home: i64) -> i64:
    """Return the address of the number of far entries of *home*."""
    return load(control + FARS, RELAXED) + home * 8


def far_count(control: i64, home: i64) -> i64:
    """Return the number of far entries of *home*, ACQUIRE: a smaller one comes with a new home word."""
    return load(far_count_of(control, home), ACQUIRE)


def next_far(control: i64, home: i64, index: i64) -> i64:
    """Return the next slot after *index*, round the end, with a far entry of *home*; -1 if there is none."""
    buckets = load(control + BUCKETS, RELAXED)
    homes = load(control + HOMES, RELAXED)
    word = load(control + RECORDS, RELAXED) + SLOT_WORD
    while True:
        index += 1
        if index >= buckets:
            index = 0
        if index == home:
            return -1
        state = load(word + index * BUCKET_BYTES, ACQUIRE)
        if state < 0 and fast_range(state, homes) == home and not is_near(home, index):
            return index


def read(control: i64, h: i64, key: object, fallback: object) -> object:
    """Return the value of *key*, *fallback* if it has none, or RETRY_READ. Takes no lock.

    The home word before and after brackets the search and the load of the value. Writers change it before
    they give a slot back, and whoever fills the slot next does so after that (it saw the EMPTY that was
    stored later, RELEASE/ACQUIRE): so a value that belongs to another key comes with a changed word. And they
    change it after they have taken key and value: who sees the new word finds no key in that slot. Replacing
    a value changes nothing there: the value loaded is the old one or the new one, each the key's value at a
    moment during this call. MOVED is part of the comparison: an answer from a table that no
    longer has the key's home is not given. LOCKED is not: a writer that has changed nothing yet does not
    disturb readers.
    """
    homes = load(control + HOMES, RELAXED)
    records, slots = load(control + RECORDS, RELAXED), load(control + SLOTS, RELAXED)
    home = fast_range(h, homes)
    lock = records + home * BUCKET_BYTES
    if homes >= PREFETCH_HOMES:
        prefetch(slots + home * SLOT_BYTES)  # most entries lie there, or next to it
    word = load(lock, ACQUIRE)
    if word & MOVED:
        return _RETRY_READ
    slot = locate(control, records, slots, home, word, h, key)
    if slot > 0:
        # An empty slot: a removal is under way, and has taken the value. Whoever asks for that only after the
        # word has been checked may find the slot full again, with another key's value.
        value = object_load(slot + VALUE, fallback)
        return value if same(load(lock, ACQUIRE), word) else _RETRY_READ
    if slot == NOT_FOUND and same(load(lock, ACQUIRE), word):
        return fallback
    return _RETRY_READ


# ---- room -------------------------------------------------------------------------------------------------


def try_claim(control: i64, index: i64) -> bool:
    """Claim slot *index* if it is EMPTY: nobody else uses a BUSY one. ACQUIRE: its last owner has left."""
    word = word_of_slot(control, index)
    # Looked at first: a compare-and-exchange takes the line away from others even if it fails.
    return load(word, RELAXED) == EMPTY and compare_exchange(word, EMPTY, BUSY, ACQ_REL)


def claim(control: i64, home: i64) -> i64:
    """Claim a slot for an entry of *home*, whose lock is held: its index, or -1 if every slot is taken.

    In the neighbourhood if displacements make that possible, else anywhere.
    """
    index = home
    stop = load(control + BUCKETS, RELAXED)
    if stop > home + PROBE_LIMIT:  # noqa: PLR1730  (min() and max() would box)
        stop = home + PROBE_LIMIT
    while index < stop and not try_claim(control, index):
        index += 1
    if index == stop:
        return claim_anywhere(control, stop)
    while index - home >= NEIGHBOURS:
        nearer = displace(control, index)
        if nearer < 0:
            break
        index = nearer
    return index


def claim_anywhere(control: i64, start: i64) -> i64:
    """Claim the first free slot from *start* on, round the end; -1 if there is none."""
    buckets = load(control + BUCKETS, RELAXED)
    index = start if start < buckets else 0
    left = buckets
    while left > 0:
        if try_claim(control, index):
            return index
        index = index + 1 if index + 1 < buckets else 0
        left -= 1
    return -1


def displace(control: i64, hole: i64) -> i64:
    """Move an entry from in front of slot *hole*, which the caller has claimed, into it.

    Returns the slot that it left, which is the caller's now; -1 if there is no such entry, or only ones of
    homes that are locked. The caller holds the lock of a home before all of these.
    """
    records = load(control + RECORDS, RELAXED)
    home = hole - NEIGHBOURS + 1
    while home < hole:
        lock = records + home * BUCKET_BYTES
        word = load(lock, ACQUIRE)
        bits = bitmap_of(word)
        if bits != 0 and word & (LOCKED | MOVED) == 0:
            left = home + count_trailing_zeros(bits)
            if left < hole and try_lock(lock, word):
                displace_locked(control, home, word, left, hole)
                return left
        home += 1
    return -1


def displace_locked(control: i64, home: i64, word: i64, left: i64, hole: i64) -> None:
    """Move an entry of *home*, whose lock the caller took at *word*, from slot *left* to *hole*; unlock.

    Readers find it in either slot: the copy is complete before the one store that has the new bit, has not
    the old, and has another version; the old slot is emptied after that. Who had the word from before finds
    the entry there still, or sees that the word has changed. No reference is counted, none dies.
    """
    lock = load(control + RECORDS, RELAXED) + home * BUCKET_BYTES
    slots = load(control + SLOTS, RELAXED)
    source, target = slots + left * SLOT_BYTES, slots + hole * SLOT_BYTES
    object_copy(source, target)
    object_copy(source + VALUE, target + VALUE)
    store(word_of_slot(control, hole), load(word_of_slot(control, left), RELAXED), RELEASE)
    word = (word ^ bit_of(left - home) ^ bit_of(hole - home)) + VERSION_STEP
    store(lock, word | LOCKED, RELEASE)
    object_forget(source)
    object_forget(source + VALUE)
    store(word_of_slot(control, left), BUSY, RELEASE)
    unlock(lock, word)


# ---- writing ----------------------------------------------------------------------------------------------


def write(
    control: i64, shared: i64, h: i64, key: object, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Search without a lock, then change the entry of *key* under its home's lock: (result, previous value).

    RETRY means that nothing was done and the slow path has to do it.
    """
    records, slots = load(control + RECORDS, RELAXED), load(control + SLOTS, RELAXED)
    homes = load(control + HOMES, RELAXED)
    home = fast_range(h, homes)
    if homes >= PREFETCH_HOMES:
        prefetch(slots + home * SLOT_BYTES)
    word = load(records + home * BUCKET_BYTES, ACQUIRE)
    if word & (LOCKED | MOVED):
        return RETRY, None
    slot = locate(control, records, slots, home, word, h, key)
    if slot == ASK_KEYS:
        return RETRY, None
    phase = load(shared, RELAXED)
    if slot == NOT_FOUND and phase & PHASE_MASK != IDLE:
        return RETRY, None
    return commit(control, home, word, slot, shared, phase, h, key, condition, expected, new)


def commit(
    control: i64,
    home: i64,
    word: i64,
    slot: i64,
    shared: i64,
    phase: i64,
    h: i64,
    key: object,
    condition: i64,
    expected: object,
    new: object,
) -> tuple[i64, object]:
    """Carry out a write whose search, at *word*, ended with *slot*: (result, previous value).

    Taking the lock by expecting *word* proves that no key of this home came, went or moved since the search.
    A refusal changes nothing, so it takes no lock: it is right at the moment when the word is still the same.
    """
    lock = load(control + RECORDS, RELAXED) + home * BUCKET_BYTES
    if slot > 0:
        if condition == IF_ABSENT:
            present = object_load(slot + VALUE, _REMOVE)
            if present is _REMOVE or not same(load(lock, ACQUIRE), word):
                return RETRY, None
            return REFUSED, present
        if not try_lock(lock, word):
            return RETRY, None
        if condition == IF_IDENTICAL and not object_is(slot + VALUE, expected):
            unlock(lock, word)
            return REFUSED, None
        if new is _REMOVE:
            return DONE_REMOVED, remove_locked(control, home, word, slot, shared)
        old = object_exchange(slot + VALUE, new, None)
        unlock(lock, word)
        return DONE_REPLACED, old  # the old value dies outside the lock

    if new is _REMOVE or condition == IF_PRESENT or condition == IF_IDENTICAL:
        return (REFUSED if load(lock, ACQUIRE) == word else RETRY), None
    if not try_lock(lock, word):
        return RETRY, None
    # Dekker with the start of a resize (SharedState.start): it changes the phase, then adds up the counts;
    # here the entry is counted, then the phase read again, both SEQ_CST. So either the sum has this entry, or
    # this thread sees the new phase and steps back. The next table is therefore never promised too little
    # room.
    count = count_of(shared, home)
    fetch_add(count, 1, SEQ_CST)
    index: i64 = -1
    if load(shared, SEQ_CST) == phase:
        index = claim(control, home)
    if index < 0:
        fetch_add(count, -1, RELAXED)
        unlock(lock, word)
        return RETRY, None
    slot = load(control + SLOTS, RELAXED) + index * SLOT_BYTES
    object_store(slot, key)
    object_store(slot + VALUE, new)
    unlock(lock, publish(control, home, word, index, h))
    return DONE_INSERTED, None


def publish(control: i64, home: i64, word: i64, index: i64, h: i64) -> i64:
    """Let slot *index*, which is filled, hold an entry of *home*, which is locked; returns its new word.

    The slot word before that, RELEASE: whoever sees the bit of the word that the caller stores sees the
    entry. A far entry is seen as soon as its slot word is. Who has the old number of them would count it in
    the place of another one: so the number is changed first, then the version, then the slot word.
    """
    if is_near(home, index):
        store(word_of_slot(control, index), occupied(h), RELEASE)
        return (word | bit_of(index - home)) + VERSION_STEP
    store(far_count_of(control, home), far_count(control, home) + 1, RELEASE)
    word += VERSION_STEP
    store(load(control + RECORDS, RELAXED) + home * BUCKET_BYTES, word | LOCKED, RELEASE)
    store(word_of_slot(control, index), occupied(h), RELEASE)
    return word | FAR


def remove_locked(control: i64, home: i64, word: i64, slot: i64, shared: i64) -> object:
    """Remove the entry in *slot*, release the lock of *home*, taken at *word*, and return the value.

    Readers stop seeing the entry when its value is taken. The new home word comes between that and the slot
    word. Not after: whoever finds another home's entry in the slot, or a smaller number of far entries, finds
    the word changed. Not before: who began with the new word, far from home, would still find the key there,
    and then the value of that other entry. For the same readers the slot of a far entry is BUSY, and counts
    no more, before their number is smaller.
    """
    lock = load(control + RECORDS, RELAXED) + home * BUCKET_BYTES
    index = (slot - load(control + SLOTS, RELAXED)) >> 4
    near = is_near(home, index)
    far = far_count(control, home)
    if near:
        word = (word ^ bit_of(index - home)) + VERSION_STEP
    else:
        far -= 1
        word = (word & ~FAR if far == 0 else word) + VERSION_STEP
    value: object = object_take(slot + VALUE, None)
    key: object = object_take(slot, None)
    store(lock, word | LOCKED, RELEASE)
    if not near:
        store(word_of_slot(control, index), BUSY, RELEASE)
        store(far_count_of(control, home), far, RELEASE)
    store(word_of_slot(control, index), EMPTY, RELEASE)
    fetch_add(count_of(shared, home), -1, RELAXED)
    unlock(lock, word)
    reachability_fence(key)  # it dies here, outside the lock
    return value


# ---- the table --------------------------------------------------------------------------------------------


@final
class HopscotchTable(Table):
    """A table of that many homes, and 31 buckets more for the neighbourhoods of the last ones."""

    def __init__(self, homes: int) -> None:
        buckets = homes + NEIGHBOURS - 1
        super().__init__(homes, 2 * buckets + homes, 2 * buckets)
        self.buckets: Final[i64] = buckets
        self.records: Final[i64] = self.control + CONTROL_WORDS * 8
        self.slots: Final[i64] = self.block.objects_address
        store(self.control + RECORDS, self.records, RELAXED)
        store(self.control + SLOTS, self.slots, RELAXED)
        store(self.control + FARS, self.records + self.buckets * BUCKET_BYTES, RELAXED)
        store(self.control + BUCKETS, self.buckets, RELAXED)

    def lock_of_home(self, home: i64) -> i64:
        return self.records + home * BUCKET_BYTES

    def capacity(self) -> i64:
        return self.buckets

    def read(self, h: i64, key: object, fallback: object) -> object:
        return read(self.control, h, key, fallback)

    def locate_asking(self, h: i64, key_hash: i64, key: object, word: i64) -> i64:  # noqa: ARG002
        home = fast_range(h, self.homes)
        bits = bitmap_of(word)
        while bits != 0:
            found = self._ask(home + count_trailing_zeros(bits), h, key, word)
            if found != NOT_FOUND:
                return found
            bits &= bits - 1
        left: i64 = far_count(self.control, home) if word & FAR else 0
        index = home + NEIGHBOURS - 1
        while left > 0:
            index = next_far(self.control, home, index)
            if index < 0:
                return CHANGED
            left -= 1
            found = self._ask(index, h, key, word)
            if found != NOT_FOUND:
                return found
        return NOT_FOUND

    def _ask(self, index: i64, h: i64, key: object, word: i64) -> i64:
        """Return the address of slot *index* if it holds *key*, or NOT_FOUND or CHANGED."""
        if load(word_of_slot(self.control, index), ACQUIRE) != occupied(h):
            return NOT_FOUND
        slot = self.slots + index * SLOT_BYTES
        equal = key_equals(slot, key)
        if equal < 0:
            lock = self.lock_of(h)
            stored: Any = object_load(slot, _RETRY_READ)  # Any: its __eq__ may return any object
            # The key and the slot word are of one entry only if the home has not changed.
            if stored is _RETRY_READ or not same(load(lock, ACQUIRE), word):
                return CHANGED
            equal = 1 if stored == key else 0
            if not same(load(lock, ACQUIRE), word):
                return CHANGED
        return slot if equal > 0 else NOT_FOUND

    def commit(
        self,
        word: i64,
        slot: i64,
        shared: i64,
        phase: i64,
        h: i64,
        key_hash: i64,  # noqa: ARG002
        key: object,
        condition: i64,
        expected: object,
        new: object,
        record: i64,  # noqa: ARG002
    ) -> tuple[i64, object]:
        home = fast_range(h, self.homes)
        return commit(self.control, home, word, slot, shared, phase, h, key, condition, expected, new)

    # ---- resizing --------------------------------------------------------------------------------------

    def try_move(self, following: Table, home: i64, word: i64, shared: i64) -> bool:
        """Move the entries of *home* unless one of the locks is taken.

        The homes in the next table to which its entries go are locked first, in their order, then *home*;
        none of them is waited for. A displacement over there takes a lock after these, and does not wait
        either.
        """
        lock = self.lock_of_home(home)
        if load(self.control + MODE, RELAXED) == DISCARD:
            if not try_lock(lock, word):
                return False
            discard_locked(self, home, word, shared)
            return True
        target = cast("HopscotchTable", following)
        first, last = targets(self, target, home, word)
        locked = first
        while locked <= last and take_lock(target.records + locked * BUCKET_BYTES):
            locked += 1
        moves = locked > last and try_lock(lock, word)
        if moves:
            move_locked(self, target, home, word)
        while locked > first:
            locked -= 1
            release_lock(target.records + locked * BUCKET_BYTES)
        return moves

    # ---- the rest --------------------------------------------------------------------------------------

    def gather(self, position: i64, last: i64, entries: list[object]) -> None:
        home = fast_range(position, self.homes)
        word = load(self.lock_of_home(home), ACQUIRE)
        bits = bitmap_of(word)
        while bits != 0:
            self._append(home + count_trailing_zeros(bits), position, last, entries)
            bits &= bits - 1
        left: i64 = far_count(self.control, home) if word & FAR else 0
        index = home + NEIGHBOURS - 1
        while left > 0:
            index = next_far(self.control, home, index)
            if index < 0:
                return  # the word has changed
            left -= 1
            self._append(index, position, last, entries)

    def _append(self, index: i64, first: i64, last: i64, entries: list[object]) -> None:
        rank = load(word_of_slot(self.control, index), ACQUIRE) & RANK
        if rank < first or rank > last:
            return
        slot = self.slots + index * SLOT_BYTES
        key = object_load(slot, _REMOVE)
        value = object_load(slot + VALUE, _REMOVE)
        if key is not _REMOVE and value is not _REMOVE:  # else it is being removed
            entries.append(key)
            entries.append(value)

    def drop_entries(self) -> None:
        slot = self.slots
        end = slot + self.buckets * SLOT_BYTES
        while slot < end:
            object_take(slot, None)
            object_take(slot + VALUE, None)
            slot += SLOT_BYTES
        reachability_fence(self)

    def check(self, discards: bool) -> i64:
        entries: i64 = 0
        bitmaps = [0] * int(self.homes)
        fars = [0] * int(self.homes)
        index: i64 = 0
        while index < self.buckets:
            state = load(word_of_slot(self.control, index), ACQUIRE)
            slot = self.slots + index * SLOT_BYTES
            full = object_load(slot, REMOVE) is not REMOVE
            valued = object_load(slot + VALUE, REMOVE) is not REMOVE
            assert full == valued == (state < 0), f"slot {index}: word {state:#x}, key {full}, value {valued}"
            assert state <= EMPTY, f"slot {index} is busy"
            if state < 0:
                home = fast_range(state, self.homes)
                if is_near(home, index):
                    bitmaps[home] |= 1 << int(index - home)
                else:
                    fars[home] += 1
                moved = load(self.lock_of_home(home), RELAXED) & MOVED != 0
                assert discards or not moved, f"slot {index} of home {home}, which has moved, is full"
                entries += 0 if moved else 1
            index += 1
        home = 0
        while home < self.homes:
            word = load(self.lock_of_home(home), ACQUIRE)
            bitmap, far = int(bitmap_of(word)), int(far_count(self.control, home))
            assert word & LOCKED == 0, f"home {home} is locked"
            assert bitmap == bitmaps[home], f"home {home} has bitmap {bitmap:#x}, not {bitmaps[home]:#x}"
            assert far == fars[home], f"home {home} counts {far} far entries, not {fars[home]}"
            assert (word & FAR != 0) == (far != 0), f"home {home} is marked wrongly with {far} far entries"
            home += 1
        return entries


def targets(table: HopscotchTable, following: HopscotchTable, home: i64, word: i64) -> tuple[i64, i64]:
    """Return the first and the last home that entries of *home* have in the next table; (0, -1) without any.

    Right if *home* still has *word* when it is locked.
    """
    first: i64 = following.homes
    last: i64 = -1
    bits = bitmap_of(word)
    left: i64 = far_count(table.control, home) if word & FAR else 0
    far = home + NEIGHBOURS - 1
    while bits != 0 or left > 0:
        if bits != 0:
            index = home + count_trailing_zeros(bits)
            bits &= bits - 1
        else:
            far = next_far(table.control, home, far)
            if far < 0:
                break  # the word has changed
            index = far
            left -= 1
        target = fast_range(load(table.records + index * BUCKET_BYTES + SLOT_WORD, RELAXED), following.homes)
        if target < first:  # noqa: PLR1730  (min() and max() would box)
            first = target
        if target > last:  # noqa: PLR1730  (min() and max() would box)
            last = target
    if last < 0:
        return 0, -1
    return first, last


def discard_locked(table: HopscotchTable, home: i64, word: i64, shared: i64) -> None:
    """Let the entries of *home*, whose lock the caller took at *word*, be no entries any more; unlock."""
    bits = bitmap_of(word)
    found = far_count(table.control, home)
    while bits != 0:
        found += 1
        bits &= bits - 1
    word = (word | MOVED) + VERSION_STEP
    lock = table.lock_of_home(home)
    store(lock, word | LOCKED, RELEASE)
    fetch_add(count_of(shared, home), -found, RELAXED)
    fetch_add(table.control + MOVED_HOMES, 1, RELEASE)
    unlock(lock, word)


def move_locked(table: HopscotchTable, following: HopscotchTable, home: i64, word: i64) -> None:
    """Move the entries of *home*, whose lock the caller took at *word*; releases it.

    The caller holds the locks of all homes that they go to. Every moment is right for readers: until MOVED is
    set they find each entry here; from then on they go to the next table, where all the copies have been
    visible before. A reader that began here before MOVED was set and meets an emptied slot sees the changed
    word and looks again.
    """
    walk_home(table, following, home, word, copy=True)
    lock = table.records + home * BUCKET_BYTES
    moved = ((word & ~(BITMAP << FIRST_BIT) & ~FAR) | MOVED) + VERSION_STEP
    store(lock, moved | LOCKED, RELEASE)
    walk_home(table, following, home, word, copy=False)
    store(far_count_of(table.control, home), 0, RELAXED)
    fetch_add(table.control + MOVED_HOMES, 1, RELEASE)
    unlock(lock, moved)


def walk_home(table: HopscotchTable, following: HopscotchTable, home: i64, word: i64, copy: bool) -> None:
    """Copy or forget every entry of *home*, which is locked and had *word*."""
    bits = bitmap_of(word)
    while bits != 0:
        move_entry(table, following, home + count_trailing_zeros(bits), copy)
        bits &= bits - 1
    left: i64 = far_count(table.control, home) if word & FAR else 0
    index = home + NEIGHBOURS - 1
    while left > 0:
        index = next_far(table.control, home, index)
        assert index >= 0, "a far entry is missing"
        left -= 1
        move_entry(table, following, index, copy)


def move_entry(table: HopscotchTable, following: HopscotchTable, index: i64, copy: bool) -> None:
    """Copy the entry in slot *index* to the next table, or empty the slot after that."""
    slot = table.slots + index * SLOT_BYTES
    if not copy:
        object_forget(slot)
        object_forget(slot + VALUE)
        store(word_of_slot(table.control, index), EMPTY, RELEASE)
        return
    rank = load(word_of_slot(table.control, index), RELAXED) & RANK
    home = fast_range(rank, following.homes)
    control = following.control
    found = claim(control, home)
    while found < 0:
        # The next table keeps a slot for every entry that has to move. Only removals behind the search and
        # insertions in front of it can hide all free slots from it, every time.
        found = claim_anywhere(control, home)
    target = following.slots + found * SLOT_BYTES
    object_copy(slot, target)
    object_copy(slot + VALUE, target + VALUE)
    lock = following.records + home * BUCKET_BYTES
    store(lock, publish(control, home, load(lock, RELAXED), found, rank), RELAXED)
