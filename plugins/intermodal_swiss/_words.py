"""The Swiss table for 64-bit words: tags and a lock word for each group, raw keys and values in the slots.

It is the table of ``_table`` without what objects need: a displaced entry's home follows from its key, so
there are no distances and no hashes; nothing is counted or retired. 18 bytes a slot with values, 10 without.

May import only core's public names and ``_table``.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    compare_exchange_byte,
    count_trailing_zeros,
    fast_range,
    fetch_add,
    load,
    load_byte,
    match_bytes,
    mix,
    prefetch,
    store,
    store_byte,
)
from intermodal.memory import Block
from intermodal.tables import CONTROL_WORDS, LOCKED, NOT_FOUND, Table
from intermodal.words import KEYS_ONLY, WordState, WordTable
from intermodal_swiss._state import DENOMINATOR, GROW_NUMERATOR
from intermodal_swiss._table import (
    BUSY,
    DISPLACED,
    EMPTY,
    GROUP_SLOTS,
    HEADER_BYTES,
    LOCK,
    MAXIMUM_GROUPS,
    OVERFLOW,
    RESIDENT,
    VERSION_STEP,
    following_group,
    uncount,
)


@final
class SwissWords(WordTable):
    """The memory of one table of *groups*, each of which is a home."""

    def __init__(self, groups: int, kind: int, era: int = 0, block: Block | None = None) -> None:
        slot_words = 1 if kind == KEYS_ONLY else 2
        # The headers fill whole cache lines, two in each.
        header_words = (groups + 1) // 2 * 2 * HEADER_BYTES // 8
        words = header_words + groups * GROUP_SLOTS * slot_words
        super().__init__(groups, words, GROUP_SLOTS, kind, era, block)
        self.groups: Final[i64] = groups
        #: A slot's address is that of the first plus its index shifted by this.
        self.shift: Final[i64] = 3 if kind == KEYS_ONLY else 4
        self.headers: Final[i64] = self.control + CONTROL_WORDS * 8
        self.slots: Final[i64] = self.headers + header_words * 8

    def twin(self) -> WordTable:
        return SwissWords(int(self.groups), int(self.kind), int(self.era), self.block)

    def lock_of_home(self, home: i64) -> i64:
        return self.headers + home * HEADER_BYTES + LOCK

    def lock_of(self, h: i64) -> i64:
        return self.headers + fast_range(h, self.groups) * HEADER_BYTES + LOCK

    def capacity(self) -> i64:
        return self.groups * GROUP_SLOTS

    def ask(self, h: i64) -> None:
        home = fast_range(h, self.groups)
        prefetch(self.headers + home * HEADER_BYTES)
        slot = self.slots + ((home * GROUP_SLOTS) << self.shift)
        prefetch(slot)
        prefetch(slot + 64)
        if self.shift == 4:
            prefetch(slot + 128)
            prefetch(slot + 192)

    def find(self, h: i64, key: i64) -> i64:
        home = fast_range(h, self.groups)
        group = home
        tag: i64 = RESIDENT | (h & 0x7F)
        while True:
            header = self.headers + group * HEADER_BYTES
            matches = match_bytes(header, tag)
            while matches != 0:
                slot = self.slots + ((group * GROUP_SLOTS + count_trailing_zeros(matches)) << self.shift)
                if load(slot, ACQUIRE) == key:
                    return slot
                matches &= matches - 1
            # The count is at least the number of entries beyond this group at every moment.
            if load(header + OVERFLOW, RELAXED) == 0:
                return NOT_FOUND
            group = following_group(group, self.groups)
            if group == home:
                return NOT_FOUND
            tag = DISPLACED | (h & 0x3F)

    def claim(self, home: i64) -> i64:
        """Claim a slot for an entry of *home*, and count it as overflowing: its index, or -1."""
        group = home
        while True:
            header = self.headers + group * HEADER_BYTES
            free = match_bytes(header, EMPTY)
            while free != 0:
                index = count_trailing_zeros(free)
                # Homes that overflow into this group claim its slots at the same time: one wins each slot.
                if compare_exchange_byte(header + index, EMPTY, BUSY):
                    return group * GROUP_SLOTS + index
                free &= free - 1
            fetch_add(header + OVERFLOW, 1, RELEASE)  # before the entry can be seen
            group = following_group(group, self.groups)
            if group == home:
                uncount(self.headers, self.groups, home, home)
                return -1

    def fill(self, h: i64, index: i64, key: i64, value: i64) -> None:
        """Let slot *index*, which the caller has claimed, have this entry."""
        group = index >> 4
        tag: i64 = RESIDENT | (h & 0x7F)
        if group != fast_range(h, self.groups):
            tag = DISPLACED | (h & 0x3F)
        slot = self.slots + (index << self.shift)
        # RELEASE: a reader that still sees the slot's last entry, and reads one of these words, has the
        # version that its removal stored; the claim has acquired it.
        store(slot, key, RELEASE)
        store(slot + self.value_at, value, RELEASE)
        store_byte(self.headers + group * HEADER_BYTES + (index & 15), tag)  # now searches find it

    def put(self, h: i64, key: i64, value: i64) -> bool:
        # A move changes no version over there: who looks for these keys does so here until all are there.
        index = self.claim(fast_range(h, self.groups))
        if index < 0:
            return False
        self.fill(h, index, key, value)
        return True

    def place(self, h: i64, key: i64, value: i64, word: i64) -> i64:
        home = fast_range(h, self.groups)
        index = self.claim(home)
        if index < 0:
            return 0
        # The new version comes before the key. A reader may have seen the tag of another home's entry that
        # was in this slot before, and find the key by that, with that entry's value: it sees the version
        # changed.
        word += VERSION_STEP
        store(self.headers + home * HEADER_BYTES + LOCK, word | LOCKED, RELEASE)
        self.fill(h, index, key, value)
        return word

    def take_out(self, h: i64, slot: i64, word: i64) -> i64:
        home = fast_range(h, self.groups)
        index = (slot - self.slots) >> self.shift
        group = index >> 4
        header = self.headers + group * HEADER_BYTES
        # The new version comes between BUSY, from when on searches do not find the entry, and EMPTY, from
        # when on another home may claim the slot. Not after: whoever reads what that home stores has the new
        # version by its claim. Not before: who began with the new version would still find the key, and then
        # read that other value.
        store_byte(header + (index & 15), BUSY)
        store(self.headers + home * HEADER_BYTES + LOCK, (word + VERSION_STEP) | LOCKED, RELEASE)
        store_byte(header + (index & 15), EMPTY)
        if group != home:
            uncount(self.headers, self.groups, home, group)
        return word + VERSION_STEP

    def next_of(self, home: i64, after: i64) -> i64:
        group = home
        seen: i64 = 0  # the slots of the group up to *after*, as bits
        if after != NOT_FOUND:
            index = (after - self.slots) >> self.shift
            group = index >> 4
            seen = (2 << (index & 15)) - 1
        while True:
            header = self.headers + group * HEADER_BYTES
            occupied: i64 = ~match_bytes(header, EMPTY) & 0xFFFF & ~seen
            seen = 0
            while occupied != 0:
                index = count_trailing_zeros(occupied)
                slot = self.slots + ((group * GROUP_SLOTS + index) << self.shift)
                # A BUSY slot may hold the key of an entry that has been removed. One whose tag is seen holds
                # that entry's key or a later one's; with the home's lock held no later one is of this home.
                if (
                    load_byte(header + index) >= DISPLACED
                    and fast_range(mix(load(slot, ACQUIRE)), self.groups) == home
                ):
                    return slot
                occupied &= occupied - 1
            if load(header + OVERFLOW, RELAXED) == 0:
                return NOT_FOUND
            group = following_group(group, self.groups)
            if group == home:
                return NOT_FOUND

    def check(self, discards: bool) -> i64:
        entries = super().check(discards)
        check_groups(self)
        return entries


def check_groups(table: SwissWords) -> None:
    """Raise AssertionError unless tags and overflow counts are those of the keys."""
    passing = [0] * int(table.groups)
    index: i64 = 0
    while index < table.capacity():
        group = index >> 4
        tag = load_byte(table.headers + group * HEADER_BYTES + (index & 15))
        if tag != EMPTY:
            assert tag >= DISPLACED, f"slot {index} is busy"
            h = mix(load(table.slots + (index << table.shift), RELAXED))
            home = fast_range(h, table.groups)
            expected: i64 = RESIDENT | (h & 0x7F) if home == group else DISPLACED | (h & 0x3F)
            assert tag == expected, f"slot {index} of home {home} has tag {tag:#x}, not {expected:#x}"
            while home != group:
                passing[home] += 1
                home = following_group(home, table.groups)
        index += 1
    group = 0
    while group < table.groups:
        overflow = load(table.headers + group * HEADER_BYTES + OVERFLOW, RELAXED)
        assert overflow == passing[group], f"group {group} counts {overflow} beyond it, not {passing[group]}"
        group += 1


@final
class SwissWordState(WordState):
    """The state of a typed map that starts with *minimum* groups and never shrinks below."""

    def new_table(self, homes: i64) -> Table:
        if homes > MAXIMUM_GROUPS:
            raise MemoryError(f"a map cannot have more than {GROUP_SLOTS * MAXIMUM_GROUPS} slots")
        reclaimer = self.reclaimer
        return SwissWords(int(homes), int(self.kind), reclaimer.now() if reclaimer is not None else 0)

    def grow_above(self, table: Table) -> i64:
        return table.capacity() * GROW_NUMERATOR // DENOMINATOR

    def homes_holding(self, entries: i64) -> i64:
        # Four fifths full: room for a tenth more before it grows again.
        return entries * 5 // (4 * GROUP_SLOTS) + 1

    def empty(self) -> WordState:
        return SwissWordState(1, int(self.kind))
