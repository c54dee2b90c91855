"""Typed maps: what maps of 64-bit words share. Keys are signed integers, values integers, floats, or nothing.

Such a map holds no objects: no references to count, no user code to call, so a loop over a whole array of
keys runs without the GIL. Homes, lock words, resizing and iteration are those of :mod:`intermodal.tables`; a
technique subclasses :class:`WordTable` and :class:`WordState`, and says how one key is found, placed and
taken out. The loops over arrays are written once, here; a virtual call for each key costs them little.

Slots
=====
A slot is a key and, at ``value_at`` from it, its value. A map without values has ``value_at`` 0: the value of
a key is the key. So every store of a value is harmless there, and no loop asks which kind it is.

Concurrency
===========
A loop without the GIL meets other threads between any two instructions, on ordinary CPython too. So nothing
here relies on the GIL. A reader loads the home's lock word, searches, loads the value and loads the lock word
again; the answer is good if no bit but LOCKED has changed. Keys and values are loaded ACQUIRE and stored
RELEASE: whoever sees the word of an entry that reuses a slot also sees the new version that the removal
before it stored; and who began with that version cannot find what was removed. A writer takes the lock
expecting the word of its search.

Counting before inserting
=========================
An insertion counts its entry, then looks at the phase; a resize sets the phase, then adds up the counts
(``SharedState.start``). A loop that inserts does the same for CREDIT entries at once, and takes back what it
did not use. Between the two it may insert without looking again: a resize that began meanwhile has counted
them, and has room for them, and a home that has moved is seen by its lock word.

Growing
=======
A loop stops when the table is full, and the part that has the GIL replaces it. Of the keys that the call has
done a share was new; the same share of those to come makes the next size. But keys drawn from few are new at
first, too. How soon they begin to repeat says from how many they seem to be drawn (n draws from K repeat
about n * n / 2K times), and that is the most there will be. So hardly an entry of an array of new keys is
moved, and an array of few keys repeated does not reserve memory for all of it. The resize is then helped with
many homes at a time, without the GIL.

May import only atomics, memory, reclamation, maps, tables and _batches.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast, final

from mypy_extensions import i64, mypyc_attr

from intermodal._absent import ABSENT
from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    fast_range,
    fetch_add,
    float_word,
    gil_acquire,
    gil_release,
    load,
    mix,
    pause,
    reachability_fence,
    store,
    store_byte,
    thread_token,
    try_lock,
    unlock,
    word_float,
)
from intermodal.maps import check_value
from intermodal.memory import Block
from intermodal.reclamation import Reclaimer
from intermodal.tables import (
    ALWAYS,
    CHANGED,
    COUNTS,
    CURSOR,
    DISCARD,
    DONE_INSERTED,
    DONE_REMOVED,
    DONE_REPLACED,
    END,
    HELP_SLOTS,
    IDLE,
    IF_ABSENT,
    IF_IDENTICAL,
    IF_PRESENT,
    LAST_RANK,
    LINE,
    LOCKED,
    MODE,
    MOVED,
    MOVED_HOMES,
    MOVING,
    NOT_FOUND,
    PHASE_MASK,
    READ_HELP_SLOTS,
    REFUSED,
    RETRY,
    ROOM,
    SPINS,
    STRIPES,
    TRIES,
    SharedState,
    Table,
    TableView,
    count_of,
    larger,
    look_at_size,
    refresh,
    same,
    suggests_resize,
    wait,
)

# ---- constants --------------------------------------------------------------------------------------------

# Kinds of values.
INTEGERS: Final = 0
FLOATS: Final = 1
KEYS_ONLY: Final = 2

# Of a read.
PRESENT: Final = 1
MISSING: Final = 2

# Of a write, beside those of intermodal.tables.
OVERFLOWS: Final = 5  # the sum does not fit into 64 bits; nothing was done
NEEDS_ROOM: Final = 6  # an insertion while a resize is under way: a slot must be promised to it first
FULL: Final = 7  # an insertion found no free slot

# What a write does.
SET: Final = 0
INSERT: Final = 1
ADD: Final = 2
ADD_FLOATS: Final = 3
TAKE: Final = 4

#: Keys whose memory is asked for before they are looked up: about what a core can wait for at once.
AHEAD: Final = 16
#: Entries that a loop counts before it inserts them.
CREDIT: Final = 16
#: Homes that a loop claims at a time when it helps a resize.
CLAIM: Final = 1024
#: Slots from which on a table that is full grows by a quarter only.
LARGE: Final = 1 << 16
#: By what a call may enlarge the map at once, however soon its keys began to repeat.
SURE_GROWTH: Final = 4

_ABSENT: Final[object] = ABSENT


# ---- tables -----------------------------------------------------------------------------------------------


@mypyc_attr(allow_interpreted_subclasses=True)
class WordTable(Table):
    """The memory of one table of words.

    Args:
        homes: their number.
        words: how many words the technique needs after the control words, slots included.
        home_slots: how many slots there are for each home.
        kind: INTEGERS, FLOATS or KEYS_ONLY.
        era: the reclaimer's clock.
        block: the memory of the table that this one is a twin of.

    Subclasses define the methods that raise NotImplementedError here, and ``lock_of_home``, ``lock_of``,
    ``capacity``. All but ``twin`` are called without the GIL: see the page on atomics for what they may do.
    One whose ``put`` would have to lock homes of the next table defines ``move`` instead of it.
    """

    def __init__(
        self, homes: int, words: int, home_slots: int, kind: int, era: int = 0, block: Block | None = None
    ) -> None:
        super().__init__(homes, words, 0, home_slots, era, block)
        self.kind: Final[i64] = kind
        #: From a slot's address to its value's.
        self.value_at: Final[i64] = 0 if kind == KEYS_ONLY else 8

    # ---- what a technique defines ----------------------------------------------------------------------

    def find(self, h: i64, key: i64) -> i64:
        """Return the address of the slot of *key*, NOT_FOUND, or CHANGED if the home changed meanwhile.

        Takes no lock; the caller looks at the home's lock word before and after. Keys are loaded ACQUIRE.
        """
        raise NotImplementedError

    def ask(self, h: i64) -> None:
        """Ask for the memory in which the key of mixed hash *h* will be looked for."""
        raise NotImplementedError

    def put(self, h: i64, key: i64, value: i64) -> bool:
        """Give *key*, which has no entry, one; False if there is no slot. Its home, or source, is locked."""
        raise NotImplementedError

    def place(self, h: i64, key: i64, value: i64, word: i64) -> i64:
        """Do that where the home's lock was taken at *word*; return the word to unlock it with, or 0."""
        raise NotImplementedError

    def take_out(self, h: i64, slot: i64, word: i64) -> i64:
        """Remove the entry in *slot*, whose home was locked at *word*; return the word to unlock it with.

        That word, LOCKED, is stored when no search can find the entry any more, and before another home can
        use the slot: a reader that begins with it meets neither the entry nor what comes in its place.
        """
        raise NotImplementedError

    def next_of(self, home: i64, after: i64) -> i64:
        """Return the slot of the next entry of *home* behind the slot *after*, or NOT_FOUND.

        NOT_FOUND as *after* asks for the first. Without the home's lock the caller brackets the whole walk.
        """
        raise NotImplementedError

    def twin(self) -> WordTable:
        """Return another object for the same memory, whose references a thread counts for itself."""
        raise NotImplementedError

    # ---- what follows from it --------------------------------------------------------------------------

    def move(self, following: WordTable, home: i64, word: i64, shared: i64) -> bool:
        """Do what ``try_move`` does, without the GIL. For techniques of which a move takes more locks."""
        return move_words(self, following, home, word, shared)

    def try_move(self, following: Table, home: i64, word: i64, shared: i64) -> bool:
        return self.move(cast("WordTable", following), home, word, shared)

    def gather(self, position: i64, last: i64, entries: list[object]) -> None:
        home = fast_range(position, self.homes)
        slot = self.next_of(home, NOT_FOUND)
        while slot != NOT_FOUND:
            key = load(slot, ACQUIRE)
            rank = mix(key) & LAST_RANK
            if rank >= position and rank <= last:
                entries.append(key)
                entries.append(boxed(self.kind, load(slot + self.value_at, ACQUIRE)))
            slot = self.next_of(home, slot)

    def drop_entries(self) -> None:
        pass  # words need no end

    def check(self, discards: bool) -> i64:  # noqa: ARG002  (those of moved homes are not looked at anyway)
        entries: i64 = 0
        home: i64 = 0
        while home < self.homes:
            word = load(self.lock_of_home(home), ACQUIRE)
            assert word & LOCKED == 0, f"home {home} is locked"
            slot = self.next_of(home, NOT_FOUND)
            while slot != NOT_FOUND and word & MOVED == 0:
                key = load(slot, RELAXED)
                assert fast_range(mix(key), self.homes) == home, f"key {key} is not of home {home}"
                found = self.find(mix(key), key)
                assert found == slot, f"key {key} is in slot {slot:#x} and found in {found:#x}"
                entries += 1
                slot = self.next_of(home, slot)
            home += 1
        return entries


def move_words(table: WordTable, following: WordTable, home: i64, word: i64, shared: i64) -> bool:
    """Move the entries of *home*, whose lock word is *word*, unless its lock is not free.

    Every moment is right for readers: until MOVED is set they find each entry here, from then on in the next
    table, where all of them have been since before. Who makes entries there is this thread or has seen MOVED,
    so no home of the next table need be locked, and no key gets a second entry. The old slots stay as they
    are: nobody looks into a home that has moved.
    """
    lock = table.lock_of_home(home)
    if not try_lock(lock, word):
        return False
    discards = load(table.control + MODE, RELAXED) == DISCARD
    found: i64 = 0
    slot = table.next_of(home, NOT_FOUND)
    while slot != NOT_FOUND:
        found += 1
        if not discards:
            key = load(slot, RELAXED)
            following.put(mix(key), key, load(slot + table.value_at, RELAXED))
        slot = table.next_of(home, slot)
    # MOVED before it is counted: whoever counts the last home makes the next table the current one, and a
    # view that keeps this one must not find a home in it that has not moved.
    store(lock, word | MOVED | LOCKED, RELEASE)
    if discards:
        fetch_add(count_of(shared, home), -found, RELAXED)
    fetch_add(table.control + MOVED_HOMES, 1, RELEASE)
    unlock(lock, word | MOVED)
    return True


# ---- words and objects ------------------------------------------------------------------------------------


def boxed(kind: i64, word: i64) -> object:
    """Return the value that *word* stands for."""
    if kind == INTEGERS:
        return int(word)
    if kind == FLOATS:
        return word_float(word)
    return None


def sought_key(key: object) -> tuple[bool, i64]:
    """Return whether a map can have *key*, and its word.

    Raises: TypeError if it is not hashable, as dict does; whatever its ``__index__`` raises.
    """
    if isinstance(key, int):
        return as_word(key)
    hash(key)
    if not hasattr(type(key), "__index__"):
        return False, 0
    return as_word(operator.index(cast("Any", key)))


def as_word(number: int) -> tuple[bool, i64]:
    """Return whether *number* has at most 64 bits, and the word."""
    high = number >> 63
    if high != 0 and high != -1:
        return False, 0
    return True, i64(number)


def key_word(key: object) -> i64:
    """Return the word of a *key* that is to be stored.

    Raises: TypeError if it is no integer, OverflowError if it has more than 64 bits.
    """
    possible, word = sought_key(key)
    if not possible:
        if isinstance(key, int) or hasattr(type(key), "__index__"):
            raise OverflowError(f"a key of this map is from -2**63 to 2**63 - 1; got {key!r}")
        raise TypeError(f"the keys of this map are ints; got {type(key).__name__}")
    return word


def value_word(kind: i64, key: i64, value: object) -> i64:
    """Return the word of a *value* that is to be stored for the word *key*.

    Raises: ValueError for ABSENT, TypeError for a value of another type, OverflowError if it does not fit.
    """
    check_value(value)
    if kind == INTEGERS:
        return integer_word(value)
    if kind == FLOATS:
        return float_word(as_float(value))
    if value is not None:
        raise TypeError(f"this map has no values: each is None; got {type(value).__name__}")
    return key


def integer_word(value: object) -> i64:
    if isinstance(value, int):
        fits, word = as_word(value)
    elif hasattr(type(value), "__index__"):
        fits, word = as_word(operator.index(cast("Any", value)))
    else:
        raise TypeError(f"the values of this map are ints; got {type(value).__name__}")
    if not fits:
        raise OverflowError(f"a value of this map is from -2**63 to 2**63 - 1; got {value!r}")
    return word


def as_float(value: object) -> float:
    if isinstance(value, float):
        return value
    kind = type(value)
    if isinstance(value, int) or hasattr(kind, "__float__") or hasattr(kind, "__index__"):
        return float(cast("Any", value))
    raise TypeError(f"the values of this map are floats; got {kind.__name__}")


# ---- one key, in one table --------------------------------------------------------------------------------


def look_up(table: WordTable, h: i64, key: i64) -> tuple[i64, i64]:
    """Return (PRESENT, the value's word), (MISSING, 0), or (RETRY, 0): the home moved or changed."""
    lock = table.lock_of(h)
    word = load(lock, ACQUIRE)
    if word & MOVED:
        return RETRY, 0
    slot = table.find(h, key)
    value: i64 = 0
    if slot != NOT_FOUND and slot != CHANGED:
        value = load(slot + table.value_at, ACQUIRE)
    if slot == CHANGED or not same(load(lock, ACQUIRE), word):
        return RETRY, 0
    return PRESENT if slot != NOT_FOUND else MISSING, value


def attempt(
    table: WordTable,
    shared: i64,
    phase: i64,
    promised: bool,
    h: i64,
    key: i64,
    action: i64,
    condition: i64,
    expected: i64,
    new: i64,
) -> tuple[i64, i64]:
    """Search without a lock, then change the entry of *key* under its home's lock: (result, previous value).

    *phase* was read before. Unless it is IDLE a new entry must have been *promised* a slot.
    """
    lock = table.lock_of(h)
    word = load(lock, ACQUIRE)
    if word & (LOCKED | MOVED):
        return RETRY, 0
    slot = table.find(h, key)
    if slot == CHANGED:
        return RETRY, 0
    if slot == NOT_FOUND:
        if action == TAKE or condition == IF_PRESENT or condition == IF_IDENTICAL:
            return REFUSED if same(load(lock, ACQUIRE), word) else RETRY, 0
        if phase & PHASE_MASK != IDLE and not promised:
            return NEEDS_ROOM, 0
        return make_entry(table, shared, phase, lock, word, h, key, new), 0
    old = load(slot + table.value_at, ACQUIRE)
    if condition == IF_ABSENT:
        return REFUSED if same(load(lock, ACQUIRE), word) else RETRY, old
    if not try_lock(lock, word):
        return RETRY, 0
    old = load(slot + table.value_at, RELAXED)
    if condition == IF_IDENTICAL and old != expected:
        unlock(lock, word)
        return REFUSED, old
    if action == TAKE:
        word = table.take_out(h, slot, word)
        fetch_add(count_of(shared, fast_range(h, table.homes)), -1, RELAXED)
        unlock(lock, word)
        return DONE_REMOVED, old
    result: i64 = DONE_REPLACED
    if action == ADD_FLOATS:
        new = float_word(word_float(old) + word_float(new))
    elif action == ADD:
        if overflows(old, new):
            result = OVERFLOWS
        else:
            new += old
    if result == DONE_REPLACED:
        store(slot + table.value_at, new, RELEASE)
    unlock(lock, word)
    return result, old


def make_entry(
    table: WordTable, shared: i64, phase: i64, lock: i64, word: i64, h: i64, key: i64, value: i64
) -> i64:
    """Insert an entry where a search at *word* found none: DONE_INSERTED, RETRY or FULL."""
    if not try_lock(lock, word):
        return RETRY
    # Dekker with SharedState.start, as in every insertion: count the entry, then look at the phase.
    count = count_of(shared, fast_range(h, table.homes))
    fetch_add(count, 1, SEQ_CST)
    result: i64 = RETRY
    if load(shared, SEQ_CST) == phase:
        placed = table.place(h, key, value, word)
        if placed != 0:
            unlock(lock, placed)
            return DONE_INSERTED
        result = FULL
    fetch_add(count, -1, RELAXED)
    unlock(lock, word)
    return result


# ---- the state that all views of one map share ------------------------------------------------------------


@mypyc_attr(allow_interpreted_subclasses=True)
class WordState(SharedState):
    """The state of a typed map.

    Args:
        minimum: number of homes that the map starts with and never shrinks below.
        kind: of its values.
        reclaimer: what replaced tables are retired to; without one they go with their last user.

    Subclasses define ``new_table``, ``grow_above``, ``homes_holding`` and ``empty``.
    """

    def __init__(self, minimum: int, kind: int, reclaimer: Reclaimer | None = None) -> None:
        self.kind: Final[i64] = kind
        super().__init__(minimum, reclaimer)

    # ---- what a technique defines ----------------------------------------------------------------------

    def homes_holding(self, entries: i64) -> i64:
        """Return the size that has that many entries, and some more, without growing."""
        raise NotImplementedError

    def empty(self) -> WordState:
        """Return the state of a new map of the same kind."""
        raise NotImplementedError

    # ---- what follows from it --------------------------------------------------------------------------

    def enlarge(self, table: Table) -> None:
        # A large table grows by a quarter: it is never less than seven tenths of what makes it grow.
        homes = table.homes
        self.try_start(table, larger(homes) if table.capacity() < LARGE else homes + (homes >> 2))

    def enlarge_for(self, table: Table, more: i64, most: i64) -> None:
        """Let *table*, which is full, be replaced by one for *more* entries than it has, *most* in all."""
        entries = self.entries()
        if entries <= self.grow_above(table):
            return
        homes = self.homes_holding(min(entries + more, max(most, entries * SURE_GROWTH)))
        if homes <= table.homes + (table.homes >> 2):
            self.enlarge(table)
        else:
            self.try_start(table, homes)

    def word_table_of(self, h: i64) -> WordTable:
        return cast("WordTable", self.table_of(h))

    def read_word(self, h: i64, key: i64) -> tuple[i64, i64]:
        """Return (PRESENT, the value's word) or (MISSING, 0), whatever state the map is in."""
        if load(self.shared, RELAXED) & PHASE_MASK == MOVING:
            self.help(READ_HELP_SLOTS, patient=False)
        while True:
            found, value = look_up(self.word_table_of(h), h, key)
            if found != RETRY:
                return found, value

    def write_word(
        self, h: i64, key: i64, action: i64, condition: i64, expected: i64, new: i64
    ) -> tuple[i64, i64]:
        """Change the entry of *key* if the condition holds: (result, previous value); never RETRY."""
        spins: i64 = 0
        while True:
            if load(self.shared, RELAXED) & PHASE_MASK == MOVING:
                self.help(HELP_SLOTS)
            table = self.word_table_of(h)
            phase = load(self.shared, ACQUIRE)
            result, old = attempt(table, self.shared, phase, False, h, key, action, condition, expected, new)
            if result == NEEDS_ROOM and self.reserve(table, h, phase):
                result, old = attempt(
                    table, self.shared, phase, True, h, key, action, condition, expected, new
                )
                if result != DONE_INSERTED:
                    fetch_add(table.control + ROOM, 1, RELAXED)  # give the promised slot back
            if result == FULL and phase & PHASE_MASK == IDLE:
                self.make_room(table)
            if result != RETRY and result != NEEDS_ROOM and result != FULL:
                return result, old
            spins = wait(spins)

    def look_at_size(self, result: i64) -> None:
        """Begin to grow or shrink the map after a write with that *result*, if it is due."""
        if result == DONE_INSERTED:
            self.grow_if_full()
        elif result == DONE_REMOVED:
            self.shrink_if_sparse()

    def help_much(self, keys: i64, slots: i64) -> None:
        """Help the resize under way, if any, as *keys* operations that move *slots* each would do."""
        table = self.table
        following = table.next
        if following is None or load(self.shared, RELAXED) & PHASE_MASK != MOVING:
            return
        left = keys * slots // table.home_slots
        while left > 0:
            first = fetch_add(table.control + CURSOR, CLAIM, RELAXED)
            if first >= table.homes:
                break
            last = first + CLAIM
            if last > table.homes:  # noqa: PLR1730
                last = table.homes
            move_range(cast("WordTable", table), cast("WordTable", following), first, last, self.shared)
            left -= CLAIM
        self.help(slots, patient=False)  # finishes it, if that was the rest


def move_range(table: WordTable, following: WordTable, home: i64, stop: i64, shared: i64) -> None:
    """Move the homes from *home* to *stop* whose locks are free, without the GIL."""
    gil = gil_release()
    while home < stop:
        word = load(table.lock_of_home(home), ACQUIRE)
        if word & (LOCKED | MOVED) == 0:
            table.move(following, home, word, shared)
        home += 1
    gil_acquire(gil)


# ---- loops over arrays, without the GIL -------------------------------------------------------------------
# Each does the keys from *at* on until *stop*, or until one that takes more than a loop can do, and returns
# where it stopped.


def get_range(
    table: WordTable, keys: i64, at: i64, stop: i64, out: i64, fallback: i64, required: i64, found: i64
) -> i64:
    """Store values at *out*, *fallback* for keys without one, unless *required*: then it stops there.

    *found*, if not 0, is the address of bytes that become 1 for each key that is there.
    """
    gil = gil_release()
    value_at = table.value_at
    while at < stop:
        if at + AHEAD < stop:
            table.ask(mix(load(keys + (at + AHEAD) * 8, RELAXED)))
        key = load(keys + at * 8, RELAXED)
        h = mix(key)
        lock = table.lock_of(h)
        word = load(lock, ACQUIRE)
        if word & MOVED != 0:
            break
        slot = table.find(h, key)
        value = fallback
        if slot == NOT_FOUND:
            if required != 0:
                break
        elif slot == CHANGED:
            break
        else:
            value = load(slot + value_at, ACQUIRE)
        if not same(load(lock, ACQUIRE), word):
            break
        if out != 0:
            store(out + at * 8, value, RELAXED)
        if found != 0 and slot != NOT_FOUND:
            store_byte(found + at, 1)
        at += 1
    gil_acquire(gil)
    return at


def write_range(
    table: WordTable,
    shared: i64,
    action: i64,
    keys: i64,
    values: i64,
    step: i64,
    at: i64,
    stop: i64,
    fresh: i64,
    limit: i64,
    tally: i64,
) -> i64:
    """SET, INSERT, ADD or ADD_FLOATS the values at *values*, *step* bytes apart.

    *fresh*, if not 0, is the address of bytes that become 1 for each key that is new. The number of these is
    added to the word at *tally*. Stops where more than *limit* entries would be counted.
    """
    gil = gil_release()
    value_at = table.value_at
    inserted: i64 = 0
    credit: i64 = 0
    count: i64 = 0
    spins: i64 = 0
    while at < stop and spins < SPINS:
        if at + AHEAD < stop:
            table.ask(mix(load(keys + (at + AHEAD) * 8, RELAXED)))
        key = load(keys + at * 8, RELAXED)
        value = load(values + at * step, RELAXED)
        h = mix(key)
        lock = table.lock_of(h)
        word = load(lock, ACQUIRE)
        if word & MOVED != 0:
            break
        slot: i64 = CHANGED
        if word & LOCKED == 0:
            slot = table.find(h, key)
        if slot == CHANGED:
            spins += 1
            pause()
            continue
        if slot == NOT_FOUND and credit == 0:
            # Dekker with SharedState.start, for as many entries as are counted here.
            count = count_of(shared, fast_range(h, table.homes))
            fetch_add(count, CREDIT, SEQ_CST)
            credit = CREDIT
            if load(shared, SEQ_CST) & PHASE_MASK != IDLE or counted(shared) > limit + CREDIT:
                break
        if slot != NOT_FOUND and action == INSERT:
            if not same(load(lock, ACQUIRE), word):
                continue
        elif not try_lock(lock, word):
            spins += 1
            pause()
            continue
        elif slot == NOT_FOUND:
            placed = table.place(h, key, value, word)
            if placed == 0:
                unlock(lock, word)
                break
            unlock(lock, placed)
            credit -= 1
            inserted += 1
            if fresh != 0:
                store_byte(fresh + at, 1)
        else:
            if action == ADD:
                old = load(slot + value_at, RELAXED)
                if overflows(old, value):
                    unlock(lock, word)
                    break
                value += old
            elif action == ADD_FLOATS:
                value = float_word(word_float(load(slot + value_at, RELAXED)) + word_float(value))
            store(slot + value_at, value, RELEASE)
            unlock(lock, word)
        spins = 0
        at += 1
    if credit != 0:
        fetch_add(count, -credit, RELAXED)
    gil_acquire(gil)
    store(tally, load(tally, RELAXED) + inserted, RELAXED)
    return at


def overflows(left: i64, right: i64) -> bool:
    """Return whether the sum does not fit into a word."""
    quarter: i64 = 1 << 61  # a greater constant would be an int object
    half = quarter + quarter
    if right > 0:
        return left > half - 1 - right + half
    return left < -half - right - half


def counted(shared: i64) -> i64:
    """Return the number of entries, those counted before they are inserted included."""
    total: i64 = 0
    stripe: i64 = 0
    while stripe < STRIPES:
        total += load(shared + COUNTS + stripe * LINE, RELAXED)
        stripe += 1
    return total


def take_range(
    table: WordTable, shared: i64, keys: i64, at: i64, stop: i64, out: i64, fallback: i64, found: i64
) -> i64:
    """Remove keys; their values to *out*, if not 0, *fallback* for those that had none; *found* as above."""
    gil = gil_release()
    value_at = table.value_at
    spins: i64 = 0
    while at < stop and spins < SPINS:
        if at + AHEAD < stop:
            table.ask(mix(load(keys + (at + AHEAD) * 8, RELAXED)))
        key = load(keys + at * 8, RELAXED)
        h = mix(key)
        lock = table.lock_of(h)
        word = load(lock, ACQUIRE)
        if word & MOVED != 0:
            break
        slot: i64 = CHANGED
        if word & LOCKED == 0:
            slot = table.find(h, key)
        if slot == CHANGED:
            spins += 1
            pause()
            continue
        value = fallback
        if slot == NOT_FOUND:
            if not same(load(lock, ACQUIRE), word):
                continue
        elif not try_lock(lock, word):
            spins += 1
            pause()
            continue
        else:
            value = load(slot + value_at, RELAXED)
            word = table.take_out(h, slot, word)
            fetch_add(count_of(shared, fast_range(h, table.homes)), -1, RELAXED)
            unlock(lock, word)
            if found != 0:
                store_byte(found + at, 1)
        if out != 0:
            store(out + at * 8, value, RELAXED)
        spins = 0
        at += 1
    gil_acquire(gil)
    return at


# ---- the same, whatever state the map is in: for _batches, a piece of an array at a time -------------------


def get_piece(
    state: WordState, keys: i64, at: i64, stop: i64, out: i64, fallback: i64, required: i64, found: i64
) -> int:
    """Look the keys up; return *stop*, or -1 - the index of a key that is *required* and not there."""
    state.help_much(stop - at, READ_HELP_SLOTS)
    while at < stop:
        table = cast("WordTable", state.table)
        at = get_range(table, keys, at, stop, out, fallback, required, found)
        if at < stop:
            key = load(keys + at * 8, RELAXED)
            present, value = state.read_word(mix(key), key)
            if present == MISSING:
                if required != 0:
                    return -1 - at
                value = fallback
            elif found != 0:
                store_byte(found + at, 1)
            if out != 0:
                store(out + at * 8, value, RELAXED)
            at += 1
    return at


def write_piece(
    state: WordState,
    action: i64,
    keys: i64,
    values: i64,
    step: i64,
    at: i64,
    stop: i64,
    fresh: i64,
    begun: i64,
    end: i64,
    parts: i64,
    tally: i64,
) -> int:
    """Do *action* with the keys; return *stop*, or -1 - the index of a key whose sum does not fit.

    The thread began at *begun*, with 0 in *tally*, and goes on to *end*, as one of so many *parts*: that is
    what growth goes by.
    """
    shared = state.shared
    while at < stop:
        state.help_much(end - at, HELP_SLOTS)
        table = cast("WordTable", state.table)
        limit = state.grow_above(table)
        at = write_range(table, shared, action, keys, values, step, at, stop, fresh, limit, tally)
        if at < stop:
            if counted(shared) >= limit and load(shared, ACQUIRE) & PHASE_MASK == IDLE:
                done = at - begun + 1
                new = load(tally, RELAXED) + 1
                drawn_from = done // 2 * (done // (done - new + 1))
                state.enlarge_for(table, (end - at) * parts * new // done, drawn_from)
            key = load(keys + at * 8, RELAXED)
            value = load(values + at * step, RELAXED)
            condition: i64 = IF_ABSENT if action == INSERT else ALWAYS
            result, _ = state.write_word(mix(key), key, action, condition, 0, value)
            if result == OVERFLOWS:
                return -1 - at
            if result == DONE_INSERTED:
                store(tally, load(tally, RELAXED) + 1, RELAXED)
                if fresh != 0:
                    store_byte(fresh + at, 1)
            at += 1
    if at == end:
        state.shrink_if_sparse()  # keys that began to repeat late
    return at


def take_piece(state: WordState, keys: i64, at: i64, stop: i64, out: i64, fallback: i64, found: i64) -> int:
    """Remove the keys; return *stop*."""
    state.help_much(stop - at, HELP_SLOTS)
    while at < stop:
        table = cast("WordTable", state.table)
        at = take_range(table, state.shared, keys, at, stop, out, fallback, found)
        if at < stop:
            key = load(keys + at * 8, RELAXED)
            result, value = state.write_word(mix(key), key, TAKE, IF_PRESENT, 0, 0)
            if result == DONE_REMOVED:
                if found != 0:
                    store_byte(found + at, 1)
            else:
                value = fallback
            if out != 0:
                store(out + at * 8, value, RELAXED)
            at += 1
    state.shrink_if_sparse()
    return at


def export_piece(
    state: WordState, position: i64, keys: i64, values: i64, at: i64, room: i64
) -> tuple[i64, i64]:
    """Store the entries from *position* on at *keys* and *values*, from index *at* on, while there is room.

    Returns the position to go on from, END after the last, and the index after the last entry stored. Each
    home is read at one moment, as ``tables.collect`` does it.
    """
    tries: i64 = 0
    spins: i64 = 0
    while position != END:
        table: Table = state.table
        last = table.last_rank(position)
        if load(table.lock_of(position), ACQUIRE) & MOVED:
            following = table.next
            if following is None:
                continue  # finished meanwhile
            table = following
            shared_with = table.last_rank(position)
            if shared_with < last:  # noqa: PLR1730  (min() would box)
                last = shared_with
        lock = table.lock_of(position)
        word = load(lock, ACQUIRE)
        if word & MOVED:
            continue
        if tries < TRIES:
            stored = export_home(cast("WordTable", table), position, last, keys, values, at, room)
            complete = same(load(lock, ACQUIRE), word)
        else:
            stored = -1
            complete = word & LOCKED == 0 and try_lock(lock, word)
            if complete:
                stored = export_home(cast("WordTable", table), position, last, keys, values, at, room)
                unlock(lock, word)
            else:
                spins = wait(spins)
        reachability_fence(table)
        if not complete:
            tries += 1
        elif stored < 0:
            return position, at
        else:
            at = stored
            tries = 0
            position = last + 1 if last != LAST_RANK else END
    return END, at


def export_home(
    table: WordTable, position: i64, last: i64, keys: i64, values: i64, at: i64, room: i64
) -> i64:
    """Store the entries of one home with ranks from *position* to *last*; the next index, or -1: no room."""
    home = fast_range(position, table.homes)
    slot = table.next_of(home, NOT_FOUND)
    while slot != NOT_FOUND:
        key = load(slot, ACQUIRE)
        rank = mix(key) & LAST_RANK
        if rank >= position and rank <= last:
            if at >= room:
                return -1
            store(keys + at * 8, key, RELAXED)
            if values != 0:
                store(values + at * 8, load(slot + table.value_at, ACQUIRE), RELAXED)
            at += 1
        slot = table.next_of(home, slot)
    return at


# ---- views ------------------------------------------------------------------------------------------------


@mypyc_attr(allow_interpreted_subclasses=True)
class WordView(TableView):
    """A map of 64-bit integers to integers, to floats, or to nothing, or a handle of one.

    Args:
        data: a mapping or an iterable of pairs to start with.

    It has the contract of every map; keys and values are Python's ints and floats, stored as words. A key
    that is no integer is never there (a float equal to one neither); storing one is a TypeError, an integer
    outside 64 bits an OverflowError, and the map is unchanged.

    The operations on many keys take arrays: whatever has the buffer protocol and holds signed 64-bit integers
    or, for values that are floats, doubles. They answer with arrays, run without the GIL, and divide the work
    among *threads*. Given any other iterable they do what every map does, and answer with lists.

    Operations on one key are linearizable, those on many are as many steps. Iteration yields every entry that
    is there throughout exactly once. No user code runs but ``__hash__``, ``__index__`` and ``__float__``,
    before anything is changed.
    """

    _words: WordTable | None = None
    _kind: i64 = 0

    def _adopt(self, state: SharedState) -> None:
        if self._state is None:  # also under a reclaimer: there is nothing to protect but the table
            self._state = state
            self._kind = cast("WordState", state).kind
            self._use(thread_token())

    def _word_state(self) -> WordState:
        return cast("WordState", self._shared_state())

    def _use(self, owner: i64) -> None:
        old = self._words
        super()._use(0)  # nobody's until all of it is kept
        self._words = cast("WordTable", self._table).twin()
        self._owner = owner
        reachability_fence(old)

    def handle(self) -> WordView:
        """Return a view of this map that keeps the table for the calling thread."""
        return WordHandle(self._shared_state())

    # ---- one key ----------------------------------------------------------------------------------------

    def get(self, key: Any, default: Any = None) -> Any:
        possible, word = sought_key(key)
        if not possible:
            return default
        found, value = read_word(self, word)
        return boxed(self._kind, value) if found == PRESENT else default

    def __getitem__(self, key: Any) -> Any:
        possible, word = sought_key(key)
        if possible:
            found, value = read_word(self, word)
            if found == PRESENT:
                return boxed(self._kind, value)
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        possible, word = sought_key(key)
        return possible and read_word(self, word)[0] == PRESENT

    def __setitem__(self, key: Any, value: Any) -> None:
        word = key_word(key)
        write_word(self, word, SET, ALWAYS, 0, value_word(self._kind, word, value))

    def __delitem__(self, key: Any) -> None:
        possible, word = sought_key(key)
        if not possible or write_word(self, word, TAKE, IF_PRESENT, 0, 0)[0] == REFUSED:
            raise KeyError(key)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        possible, word = sought_key(key)
        if possible:
            result, value = write_word(self, word, TAKE, IF_PRESENT, 0, 0)
            if result != REFUSED:
                return boxed(self._kind, value)
        if default is _ABSENT:
            raise KeyError(key)
        return default

    def setdefault(self, key: Any, default: Any = None) -> Any:
        word = key_word(key)
        new = value_word(self._kind, word, default)
        result, present = write_word(self, word, INSERT, IF_ABSENT, 0, new)
        return boxed(self._kind, present if result == REFUSED else new)

    def insert(self, key: Any, value: Any) -> bool:
        word = key_word(key)
        new = value_word(self._kind, word, value)
        return write_word(self, word, INSERT, IF_ABSENT, 0, new)[0] == DONE_INSERTED

    def replace(self, key: Any, value: Any) -> Any:
        possible, word = sought_key(key)
        new = value_word(self._kind, word, value)
        if possible:
            result, old = write_word(self, word, SET, IF_PRESENT, 0, new)
            if result != REFUSED:
                return boxed(self._kind, old)
        raise KeyError(key)

    def increment(self, key: Any, amount: Any = 1) -> Any:
        """Add *amount* to the value of *key*, which is 0 if it has none; return the sum. One step.

        Raises: OverflowError if the sum does not fit into 64 bits; then nothing has changed.
        """
        word = key_word(key)
        if self._kind == KEYS_ONLY:
            raise TypeError("this map has no values to add to")
        more = value_word(self._kind, word, amount)
        if self._kind == FLOATS:
            _, old = write_word(self, word, ADD_FLOATS, ALWAYS, 0, more)
            return word_float(old) + word_float(more)
        result, old = write_word(self, word, ADD, ALWAYS, 0, more)
        if result == OVERFLOWS:
            raise OverflowError(f"the value of {word}, {old}, and {more} do not fit into 64 bits together")
        return int(old + more)

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        if current is _ABSENT:
            return change_absent(self, key, new)
        possible, word = sought_key(key)
        if not possible:
            return False
        expected = value_word(self._kind, word, current)
        if new is _ABSENT:
            return write_word(self, word, TAKE, IF_IDENTICAL, expected, 0)[0] != REFUSED
        value = value_word(self._kind, word, new)
        return write_word(self, word, SET, IF_IDENTICAL, expected, value)[0] != REFUSED

    # ---- many keys --------------------------------------------------------------------------------------

    def get_many(self, keys: Iterable[Any], default: Any = None, out: Any = None, threads: int = 1) -> Any:
        """Return the values of *keys* in their order, of an array as an array: *out*, or a new one.

        Args:
            keys: an array of 64-bit integers, or any iterable.
            default: the value for each key without one; without it an array's missing key is a KeyError.
            out: an array for the values, writable and as long as *keys*.
            threads: how many share the work.

        Each look-up is a step of its own.

        Raises: KeyError(the first missing key); TypeError for an array of another type; ValueError if lengths
        differ.
        """
        from intermodal import _batches

        return _batches.get_many(self, keys, default, out, threads)

    def contains_many(self, keys: Iterable[Any], threads: int = 1) -> Any:
        """Return for each of *keys* whether it is there: of an array a bytearray of 0 and 1, else a list."""
        from intermodal import _batches

        return _batches.contains_many(self, keys, threads)

    def set_many(self, keys: Iterable[Any], values: Any = None, threads: int = 1) -> None:
        """Set the entries of *keys*, a mapping or an iterable of pairs, or the *values* of *keys* in order.

        Of an array of keys in a map without values, *values* is left out. Each entry is set in a step of its
        own.

        Raises: ValueError, before any change, if there are not as many values as keys.
        """
        from intermodal import _batches

        _batches.set_many(self, keys, values, threads)

    def insert_many(self, keys: Iterable[Any], values: Any = None, threads: int = 1) -> Any:
        """Add entries where *keys* have none; return which were new, a bytearray of 0 and 1, or a list."""
        from intermodal import _batches

        return _batches.insert_many(self, keys, values, threads)

    def add_many(self, keys: Iterable[Any], amounts: Any = 1, threads: int = 1) -> None:
        """Add *amounts*, as many as *keys* or one for all, to their values, 0 where there is none.

        Each addition is a step of its own: no count is lost, however many threads add to a key at once.

        Raises: OverflowError if a sum does not fit into 64 bits: with one thread the keys before it have been
        added, those from it on have not.
        """
        from intermodal import _batches

        _batches.add_many(self, keys, amounts, threads)

    def pop_many(self, keys: Iterable[Any], default: Any = None, out: Any = None, threads: int = 1) -> Any:
        """Remove *keys* and return their values in order, *default* for each that had none.

        Of an array a *default* must be given, and the values are an array: *out*, or a new one. In a map
        without values they are a bytearray: 1 for each key that was there.
        """
        from intermodal import _batches

        return _batches.pop_many(self, keys, default, out, threads)

    @classmethod
    def from_arrays(cls, keys: Any, values: Any = None, threads: int = 1) -> Any:
        """Return a new map of this class with the entries of two arrays; of equal keys the last counts."""
        new = cls()
        new.set_many(keys, values, threads)
        return new

    def items_arrays(self) -> Any:
        """Return the entries, as iteration finds them: an array of keys and one of their values, or None."""
        from intermodal import _batches

        return _batches.items_arrays(self)

    # ---- the whole map ----------------------------------------------------------------------------------

    def copy(self) -> Any:
        new = type(self)(self._word_state().empty())
        new.update(self._iterate())
        return new

    def __or__(self, other: object) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        new = self.copy()
        new.update(other)
        return new

    def __ror__(self, other: object) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        new = type(self)(self._word_state().empty())
        new.update(other)
        new.update(self._iterate())
        return new


@final
class WordHandle(WordView):
    """A view of a typed map for the thread that made it."""

    def _new_state(self) -> SharedState:
        raise TypeError("a handle is made by a map: map.handle()")

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a handle is for one thread: pickle or copy the map")

    def close(self) -> None:
        """Let go of the map and its table. Any later use raises ValueError."""
        self._words = None
        self._close()


# ---- functions, since calls of methods on an interpreted subclass, as the public map is, are looked up -----


def read_word(view: WordView, key: i64) -> tuple[i64, i64]:
    """Return (PRESENT, the value's word) or (MISSING, 0)."""
    h = mix(key)
    if view._owner == thread_token():
        table = view._words
        if table is not None:
            found, value = look_up(table, h, key)
            if found != RETRY:
                return found, value
    state = view._word_state()
    found, value = state.read_word(h, key)
    refresh(view, state)
    return found, value


def change_absent(view: WordView, key: object, new: object) -> bool:
    """Insert the entry only if *key* has none; return whether it had none. ABSENT inserts nothing."""
    if new is _ABSENT:
        possible, word = sought_key(key)
        return not possible or read_word(view, word)[0] == MISSING
    word = key_word(key)
    return write_word(view, word, INSERT, IF_ABSENT, 0, value_word(view._kind, word, new))[0] == DONE_INSERTED


def write_word(
    view: WordView, key: i64, action: i64, condition: i64, expected: i64, new: i64
) -> tuple[i64, i64]:
    """Change the entry of *key* if the condition holds: (result, previous value)."""
    h = mix(key)
    if view._owner == thread_token():
        table = view._words
        if table is not None:
            shared = view._shared
            phase = load(shared, RELAXED)
            result, old = attempt(table, shared, phase, False, h, key, action, condition, expected, new)
            if result != RETRY and result != NEEDS_ROOM and result != FULL:
                if suggests_resize(table.control, shared, result, h):
                    look_at_size(view, result)
                return result, old
    state = view._word_state()
    result, old = state.write_word(h, key, action, condition, expected, new)
    state.look_at_size(result)
    refresh(view, state)
    return result, old
