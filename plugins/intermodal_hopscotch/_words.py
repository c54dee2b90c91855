"""The hopscotch table for 64-bit words: a word for each home, a byte for each slot, raw keys and values.

It is the table of ``_table`` without what objects need: hash and home follow from the key. Two slots share a
home: home *i* has the 32 slots from ``2 * i`` on as its neighbourhood. 21 bytes a slot with values, 13
without.

Far entries are not counted. The table's *reach* is the greatest distance from its home that any far entry was
ever placed at; a search of a home that is FAR walks on that far from the end of the neighbourhood. An entry
goes to the nearest free slot, so the reach is a few hundred slots even for keys that were made to collide.

Readers
=======
What ``_table`` says of its three hazards holds here: bitmap, version and lock are one word. Of a near entry
nobody can find the slot with the word that its removal or displacement stored, and whoever reads something of
the next entry of the slot has that word's version, since the slot was given back after it.

FAR says less than a bit: a walk looks at every slot. So a far entry's slot is BUSY whenever its home's
version changes: a removal makes it BUSY, stores the new version, then makes it EMPTY; an insertion claims it,
stores a new version, then fills it. Whoever walks with the version from before finds the entry whole, or
sees by what it read that there is another version; with the new one it finds the slot BUSY, or the entry
that was there before or is there after that, whole.

May import only core's public names and ``_table``.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    compare_exchange,
    compare_exchange_byte,
    count_trailing_zeros,
    fast_range,
    load,
    load_byte,
    match_bytes,
    mix,
    prefetch,
    store,
    store_byte,
    try_lock,
    unlock,
)
from intermodal.memory import Block
from intermodal.tables import (
    CONTROL_WORDS,
    DISCARD,
    LOCKED,
    MODE,
    MOVED,
    NOT_FOUND,
    Table,
    larger,
    release_lock,
    take_lock,
)
from intermodal.words import KEYS_ONLY, WordState, WordTable, move_words
from intermodal_hopscotch._table import (
    BUSY,
    EMPTY,
    FAR,
    MAXIMUM_HOMES,
    NEIGHBOURS,
    PROBE_LIMIT,
    VERSION_STEP,
    bit_of,
    bitmap_of,
)

#: Slots for each home.
HOME_SLOTS: Final = 2
#: Slots beyond those of the homes: the end of the last neighbourhood.
TAIL: Final = 30
#: A slot's byte, beside EMPTY and BUSY: it has an entry.
FULL: Final = 2
#: The technique's control word, the reach. From OWN on; written out, since mypyc folds a constant only from
#: those of its own module.
REACH: Final = 216

#: Homes of an empty map: 62 slots.
MINIMUM_HOMES: Final = 16
# Load factor: grow above 17/20.
GROW_NUMERATOR: Final = 17
GROW_DENOMINATOR: Final = 20


@final
class HopscotchWords(WordTable):
    """The memory of one table of that many homes."""

    def __init__(self, homes: int, kind: int, era: int = 0, block: Block | None = None) -> None:
        slots = homes * HOME_SLOTS + TAIL
        # Each array begins with a cache line.
        home_words, state_words = (homes + 7) // 8 * 8, (slots + 63) // 64 * 8
        words = home_words + state_words + slots * (1 if kind == KEYS_ONLY else 2)
        super().__init__(homes, words, HOME_SLOTS, kind, era, block)
        self.slot_count: Final[i64] = slots
        #: A slot's address is that of the first plus its index shifted by this.
        self.shift: Final[i64] = 3 if kind == KEYS_ONLY else 4
        self.words: Final[i64] = self.control + CONTROL_WORDS * 8
        self.states: Final[i64] = self.words + home_words * 8
        self.slots: Final[i64] = self.states + state_words * 8
        if block is None:
            # Sixteen states are looked at together: those behind the last slot are never free.
            for index in range(slots, (slots + 15) // 16 * 16):
                store_byte(self.states + index, BUSY)

    def twin(self) -> WordTable:
        return HopscotchWords(int(self.homes), int(self.kind), int(self.era), self.block)

    def lock_of_home(self, home: i64) -> i64:
        return self.words + home * 8

    def lock_of(self, h: i64) -> i64:
        return self.words + fast_range(h, self.homes) * 8

    def capacity(self) -> i64:
        return self.slot_count

    # ---- searching -------------------------------------------------------------------------------------

    def ask(self, h: i64) -> None:
        home = fast_range(h, self.homes)
        prefetch(self.words + home * 8)
        slot = self.slots + ((home * HOME_SLOTS) << self.shift)
        prefetch(slot)
        prefetch(slot + 64)

    def find(self, h: i64, key: i64) -> i64:
        home = fast_range(h, self.homes)
        # Perhaps a newer one than the caller's; then the caller's second look finds that it has changed.
        word = load(self.words + home * 8, ACQUIRE)
        first = self.slots + ((home * HOME_SLOTS) << self.shift)
        bits = bitmap_of(word)
        while bits != 0:
            slot = first + (count_trailing_zeros(bits) << self.shift)
            if load(slot, ACQUIRE) == key:
                return slot
            bits &= bits - 1
        if word & FAR == 0:
            return NOT_FOUND
        slot = self.next_far(home, NEIGHBOURS)
        while slot != NOT_FOUND and load(slot, ACQUIRE) != key:
            slot = self.next_far(home, self.distance_of(home, slot) + 1)
        return slot

    def next_far(self, home: i64, distance: i64) -> i64:
        """Return the slot of the next far entry of *home* from *distance* on, or NOT_FOUND."""
        # As great as the distance of every far entry of the word that the caller loaded ACQUIRE.
        reach = load(self.control + REACH, RELAXED)
        while distance <= reach:
            index = home * HOME_SLOTS + distance
            if index >= self.slot_count:
                index -= self.slot_count
            if load_byte(self.states + index) == FULL:  # ACQUIRE: so its key is that entry's, or a later one
                slot = self.slots + (index << self.shift)
                if fast_range(mix(load(slot, ACQUIRE)), self.homes) == home:
                    return slot
            distance += 1
        return NOT_FOUND

    def distance_of(self, home: i64, slot: i64) -> i64:
        """Return how far behind the first slot of *home* that *slot* is, round the end."""
        distance = ((slot - self.slots) >> self.shift) - home * HOME_SLOTS
        if distance < 0:
            distance += self.slot_count
        return distance

    def next_of(self, home: i64, after: i64) -> i64:
        word = load(self.words + home * 8, ACQUIRE)
        bits = bitmap_of(word)
        distance: i64 = 0
        if after != NOT_FOUND:
            distance = self.distance_of(home, after) + 1
            if distance < NEIGHBOURS:
                bits = bits >> distance << distance
        if bits != 0 and distance < NEIGHBOURS:
            return self.slots + ((home * HOME_SLOTS + count_trailing_zeros(bits)) << self.shift)
        if word & FAR == 0:
            return NOT_FOUND
        if distance < NEIGHBOURS:  # noqa: PLR1730  (max() would box)
            distance = NEIGHBOURS
        return self.next_far(home, distance)

    # ---- room ------------------------------------------------------------------------------------------

    def claim(self, home: i64) -> i64:
        """Claim a slot for an entry of *home*, whose lock is held: its index, or -1 if every slot is taken.

        In the neighbourhood if displacements make that possible, else the nearest one.
        """
        start = home * HOME_SLOTS
        index = self.claim_between(start, self.slot_count)
        if index < 0:
            return self.claim_between(0, start)
        while index - start >= NEIGHBOURS and index - start < PROBE_LIMIT:
            nearer = self.displace(index)
            if nearer < 0:
                break
            index = nearer
        return index

    def claim_between(self, index: i64, stop: i64) -> i64:
        """Claim the first free slot from *index* on, before *stop* or little behind; -1 if there is none."""
        before: i64 = (1 << (index & 15)) - 1
        group = index - (index & 15)
        while group < stop:
            free = match_bytes(self.states + group, EMPTY) & ~before
            while free != 0:
                found = group + count_trailing_zeros(free)
                # Other homes claim the same slots at the same time: one wins each.
                if compare_exchange_byte(self.states + found, EMPTY, BUSY):
                    return found
                free &= free - 1
            before = 0
            group += 16
        return -1

    def displace(self, hole: i64) -> i64:
        """Move an entry from in front of slot *hole*, which the caller has claimed, into it.

        Returns the slot that it left, BUSY, which is the caller's now; -1 if there is no such entry, or only
        ones of homes that are locked.
        """
        home = (hole - TAIL) >> 1  # the first one that has *hole* in its neighbourhood
        while home * HOME_SLOTS < hole and home < self.homes:
            lock = self.words + home * 8
            word = load(lock, ACQUIRE)
            bits = bitmap_of(word)
            if bits != 0 and word & (LOCKED | MOVED) == 0:
                left = home * HOME_SLOTS + count_trailing_zeros(bits)
                if left < hole and try_lock(lock, word):
                    self.displace_locked(home, word, left, hole)
                    return left
            home += 1
        return -1

    def displace_locked(self, home: i64, word: i64, left: i64, hole: i64) -> None:
        """Move an entry of *home*, whose lock was taken at *word*, from slot *left* to *hole*; unlock.

        The copy is whole before the one store that has the new bit, has not the old, and has another version;
        the old slot is used again after that.
        """
        lock = self.words + home * 8
        source = self.slots + (left << self.shift)
        self.fill(hole, load(source, RELAXED), load(source + self.value_at, RELAXED))
        start = home * HOME_SLOTS
        word = (word ^ bit_of(left - start) ^ bit_of(hole - start)) + VERSION_STEP
        store(lock, word | LOCKED, RELEASE)
        store_byte(self.states + left, BUSY)
        unlock(lock, word)

    # ---- writing ---------------------------------------------------------------------------------------

    def fill(self, index: i64, key: i64, value: i64) -> None:
        """Let slot *index*, which the caller has claimed, have this entry."""
        slot = self.slots + (index << self.shift)
        # RELEASE: a reader that still sees the slot's last entry, and reads one of these words, has the
        # version that its removal stored; the claim has acquired it.
        store(slot, key, RELEASE)
        store(slot + self.value_at, value, RELEASE)
        store_byte(self.states + index, FULL)

    def place(self, h: i64, key: i64, value: i64, word: i64) -> i64:
        home = fast_range(h, self.homes)
        index = self.claim(home)
        if index < 0:
            return 0
        distance = self.distance_of(home, self.slots + (index << self.shift))
        if distance < NEIGHBOURS:
            self.fill(index, key, value)
            return (word | bit_of(distance)) + VERSION_STEP
        reach = load(self.control + REACH, RELAXED)
        while reach < distance and not compare_exchange(self.control + REACH, reach, distance, RELAXED):
            reach = load(self.control + REACH, RELAXED)
        # A walk may have found the slot FULL, of an entry that has left since: if it reads this key there, or
        # this value, it finds that the version has changed. With the new one it finds the slot BUSY.
        word += VERSION_STEP
        store(self.words + home * 8, word | LOCKED, RELEASE)
        self.fill(index, key, value)
        return (word | FAR) + VERSION_STEP

    def put(self, h: i64, key: i64, value: i64) -> bool:
        lock = self.lock_of(h)
        word = self.place(h, key, value, load(lock, RELAXED) - LOCKED)
        if word == 0:
            return False
        store(lock, word | LOCKED, RELEASE)
        return True

    def take_out(self, h: i64, slot: i64, word: i64) -> i64:
        home = fast_range(h, self.homes)
        state = self.states + ((slot - self.slots) >> self.shift)
        distance = self.distance_of(home, slot)
        if distance < NEIGHBOURS:
            word ^= bit_of(distance)
        else:
            store_byte(state, BUSY)  # before the new word: who has that does not find the entry any more
            if self.next_far(home, NEIGHBOURS) == NOT_FOUND:
                word ^= FAR
        word += VERSION_STEP
        store(self.words + home * 8, word | LOCKED, RELEASE)
        # Whoever claims the slot from EMPTY, a RELEASE store, has acquired the new word, and hands it on.
        store_byte(state, EMPTY)
        return word

    # ---- resizing --------------------------------------------------------------------------------------

    def move(self, following: WordTable, home: i64, word: i64, shared: i64) -> bool:
        """Move the entries of *home* unless one of the locks is taken.

        Other homes may feed the same homes of the next table at the same time, and other threads insert and
        remove entries that have moved already; all of them change the word of a home over there. So the homes
        that entries go to are locked first, from the first to the last, then *home*. Nobody who has a lock
        waits for another one, displacements neither.
        """
        if load(self.control + MODE, RELAXED) == DISCARD:
            return move_words(self, following, home, word, shared)
        first: i64 = 0
        last: i64 = -8
        slot = self.next_of(home, NOT_FOUND)
        while slot != NOT_FOUND:
            h = mix(load(slot, ACQUIRE))
            if fast_range(h, self.homes) != home:
                return False  # it has changed
            lock = following.lock_of(h)
            if first == 0 or lock < first:
                first = lock
            if lock > last:  # noqa: PLR1730  (max() would box)
                last = lock
            slot = self.next_of(home, slot)
        lock = first
        while lock <= last and take_lock(lock):
            lock += 8
        # Takes the lock of *home* only if the word is the same: then these were all of its entries.
        moved = lock > last and move_words(self, following, home, word, shared)
        while lock > first:
            lock -= 8
            release_lock(lock)
        return moved

    def check(self, discards: bool) -> i64:
        entries = super().check(discards)
        check_slots(self)
        return entries


def check_slots(table: HopscotchWords) -> None:
    """Raise AssertionError unless bitmaps, marks and the reach are those of the keys."""
    words = [0] * int(table.homes)
    index: i64 = 0
    while index < table.slot_count:
        state = load_byte(table.states + index)
        assert state == EMPTY or state == FULL, f"slot {index} is busy"
        if state == FULL:
            slot = table.slots + (index << table.shift)
            home = fast_range(mix(load(slot, RELAXED)), table.homes)
            distance = table.distance_of(home, slot)
            near = distance < NEIGHBOURS
            words[home] |= int(bit_of(distance)) if near else FAR
            assert near or distance <= load(table.control + REACH, RELAXED), f"slot {index} is out of reach"
        index += 1
    for home, word in enumerate(words):
        found = int(load(table.lock_of_home(home), ACQUIRE)) & (VERSION_STEP - 1) & ~(LOCKED | MOVED)
        assert found == word, f"home {home} has bitmap and mark {found:#x}, not {word:#x}"


def homes_for_words(capacity: int) -> int:
    """Return the size that holds *capacity* entries without growing."""
    homes: i64 = MINIMUM_HOMES
    while (homes * HOME_SLOTS + TAIL) * GROW_NUMERATOR // GROW_DENOMINATOR < capacity:
        homes = larger(homes)
        if homes > MAXIMUM_HOMES:
            raise ValueError(f"a map cannot have the capacity {capacity}: that takes too many slots")
    return homes


@final
class HopscotchWordState(WordState):
    """The state of a typed map that starts with *minimum* homes and never shrinks below."""

    def new_table(self, homes: i64) -> Table:
        if homes > MAXIMUM_HOMES:
            raise MemoryError(f"a map cannot have more than {MAXIMUM_HOMES} homes")
        reclaimer = self.reclaimer
        return HopscotchWords(int(homes), int(self.kind), reclaimer.now() if reclaimer is not None else 0)

    def grow_above(self, table: Table) -> i64:
        return table.capacity() * GROW_NUMERATOR // GROW_DENOMINATOR

    def most_entries(self, table: Table) -> i64:
        # Not all slots: the search for the last free one would be long.
        return table.capacity() * 9 // 10

    def homes_holding(self, entries: i64) -> i64:
        # Five sixths full: room for a fiftieth more before it grows again.
        return entries * 6 // (5 * HOME_SLOTS) + 1

    def empty(self) -> WordState:
        return HopscotchWordState(MINIMUM_HOMES, int(self.kind))
