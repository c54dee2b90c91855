"""Scans, neighbours and positions: what a B+ tree has that a hash table has not.

A scan goes from leaf to leaf. A *step* descends to the leaf that the scan has reached and reads what it wants
there at one moment. It remembers where that leaf's range ends, a key of an inner node; the next step begins
there. Ranges never overlap and never change. So whatever happens to the tree meanwhile, a scan yields each
key that is there throughout exactly once, in order, and no key twice; the entries of one leaf are those of
one moment. Leaves need no links, and descending scans are ascending ones with the comparisons turned round.

The first key, the last, and the nearest to another are one entry of one leaf each. Leaves that were found
empty on the way are looked at again at the end, so that the answer is right for one moment.

Positions are counted: a leaf's number of entries is in its meta word, so no key is looked at.

May import only core's public names and this package, but views.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    OTHER_KEY,
    RELAXED,
    RELEASE,
    fence,
    key_kind,
    key_word,
    load,
    object_load,
    object_take,
    store,
    try_lock,
    unlock,
)
from intermodal_btree._descent import Path, rank_asking, start, step_down
from intermodal_btree._node import (
    CHANGED,
    CHILDREN,
    DEAD,
    EMPTY,
    INNER,
    LOCKED,
    META,
    VALUE,
    area_of,
    count_of,
    is_unchanged,
    next_meta,
    number_at,
    other_area,
    rotate_out,
    slot_of,
)
from intermodal_btree._state import BTreeState
from intermodal_btree._tree import add_to_count, is_frozen, is_thin, remove_locked, wait

# What is wanted of an entry.
KEYS: Final = 1
VALUES: Final = 2
PAIRS: Final = 3

#: Reads of a leaf without a lock before the lock is taken, so that busy writers cannot hold a scan up.
TRIES: Final = 8
#: More entries than a leaf has.
ALL: Final = 1 << 30


@final
class Bound:
    """One end of a range: a key, with or without itself, or, EMPTY, none."""

    def __init__(self, key: object, inclusive: bool) -> None:
        self.key: Final = key
        self.inclusive: Final = inclusive
        self.kind: Final[i64] = OTHER_KEY if key is EMPTY else key_kind(key)
        self.word: Final[i64] = 0 if self.kind == OTHER_KEY else key_word(key, 0)
        if self.kind == OTHER_KEY and key is not EMPTY:
            hash(key)  # as everywhere else, a key has one

    def rank(self, node: i64, meta: i64, inclusive: bool) -> i64:
        """Return how many keys of a node are less, or, *inclusive*, not greater; CHANGED. Asks keys."""
        return rank_asking(node, meta, self.key, self.kind, self.word, inclusive)


#: No end.
OPEN: Final = Bound(EMPTY, True)


@final
class Scan:
    """A scan from *begin* to *end*, or, in *reverse*, from *end* down to *begin*. For one thread."""

    def __init__(self, state: BTreeState, begin: Bound, end: Bound, reverse: bool) -> None:
        self.state: Final = state
        self.reverse: Final = reverse
        #: Where the next step begins, and where the last one ends.
        self.near: Bound = end if reverse else begin
        self.far: Final = begin if reverse else end
        self.done: bool = False
        #: The last step's leaf, and the positions in it.
        self.path: Final = Path()
        self.begin: i64 = 0
        self.end: i64 = 0
        #: The node whose key at that position is where the range of the leaf ends; 0: none.
        self.fence: i64 = 0
        self.fence_meta: i64 = 0
        self.fence_position: i64 = 0
        #: The same for the range of the leaf's parent.
        self.outer: i64 = 0
        self.outer_meta: i64 = 0
        self.outer_position: i64 = 0

    def descend(self) -> bool:
        """Find the leaf of the near end; False if something has changed. User code may run."""
        path, near = self.path, self.near
        start(self.state.shared, path)
        self.fence = 0
        self.outer = 0
        while path.meta & INNER:
            node, meta = path.node, path.meta
            count = count_of(meta)
            position: i64 = count - 1 if self.reverse else 0
            if near.key is not EMPTY:
                position = near.rank(node, meta, near.inclusive or not self.reverse) - 1
                if position < 0:
                    return False
            self.outer, self.outer_meta, self.outer_position = (
                self.fence,
                self.fence_meta,
                self.fence_position,
            )
            beyond = position if self.reverse else position + 1
            if 0 < beyond < count:
                self.fence, self.fence_meta, self.fence_position = node, meta, beyond
            if not step_down(path, position):
                return False
        return True

    def choose(self) -> bool:
        """Set the positions of the entries of the leaf that belong to the scan; False if it has changed."""
        leaf, meta = self.path.node, self.path.meta
        count = count_of(meta)
        self.begin, self.end = 0, count
        self.done = self.fence == 0
        if self.near.key is not EMPTY:
            position = self.near.rank(leaf, meta, self.near.inclusive == self.reverse)
            if position < 0:
                return False
            if self.reverse:
                self.end = position
            else:
                self.begin = position
        if self.far.key is not EMPTY:
            position = self.far.rank(leaf, meta, self.far.inclusive != self.reverse)
            if position < 0:
                return False
            if self.reverse:
                self.done = self.done or position > 0
                self.begin = position
            else:
                self.done = self.done or position < count
                self.end = position
        return True

    def advance(self) -> bool:
        """Let the next step begin where the leaf's range ends; False if something has changed."""
        if self.done:
            return True
        node, meta = self.fence, self.fence_meta
        key = object_load(slot_of(node, number_at(node, meta, self.fence_position)), EMPTY)
        if key is EMPTY or not is_unchanged(node, meta):
            return False
        self.near = Bound(key, not self.reverse)
        return True

    def step(self, wanted: i64, most: i64) -> list[object]:
        """Return what is wanted of the entries of the next leaf that belong to the scan, in its order.

        At most so many; the scan then goes on behind the leaf all the same. User code may run.
        """
        tries: i64 = 0
        while True:
            keys: list[object] = []
            values: list[object] = []
            if self.descend() and self.choose():
                if self.end - self.begin > most:
                    if self.reverse:
                        self.begin = self.end - most
                    else:
                        self.end = self.begin + most
                if self.read(wanted, keys, values, tries >= TRIES) and self.advance():
                    break
            tries += 1
        if wanted == KEYS:
            return keys
        if wanted == VALUES:
            return values
        return list(zip(keys, values, strict=True))

    def read(self, wanted: i64, keys: list[object], values: list[object], locked: bool) -> bool:
        """Append the chosen entries; False if the leaf has changed."""
        leaf, meta = self.path.node, self.path.meta
        if not locked:
            self.gather(wanted, keys, values)
            return is_unchanged(leaf, meta)
        if meta & LOCKED or not try_lock(leaf + META, meta):
            wait(0)
            return False
        # Appending may fail for want of memory; it runs neither user code nor the collector.
        try:
            self.gather(wanted, keys, values)
        finally:
            unlock(leaf + META, meta)
        return True

    def gather(self, wanted: i64, keys: list[object], values: list[object]) -> None:
        """Append the chosen entries, as found."""
        leaf, meta = self.path.node, self.path.meta
        slots = slot_of(leaf, 0)
        place = self.end - 1 if self.reverse else self.begin
        left = self.end - self.begin
        onward: i64 = -1 if self.reverse else 1
        while left > 0:
            slot = slots + (number_at(leaf, meta, place) << 3)
            if wanted & KEYS:
                keys.append(object_load(slot, EMPTY))
            if wanted & VALUES:
                values.append(object_load(slot + VALUE, EMPTY))
            place += onward
            left -= 1


@final
class LeafLists:
    """Iterates over lists, a leaf's worth each, of what is wanted of the entries of a scan."""

    def __init__(self, scan: Scan, wanted: int) -> None:
        self._scan: Final = scan
        self._wanted: Final[i64] = wanted

    def __iter__(self) -> LeafLists:
        return self

    def __next__(self) -> list[object]:
        scan = self._scan
        while not scan.done:
            found = scan.step(self._wanted, ALL)
            if found:
                return found
        raise StopIteration


# ---- neighbours -------------------------------------------------------------------------------------------


@final
class Passed:
    """A leaf that a search has passed because it had nothing for it, and those before."""

    def __init__(self, leaf: i64, meta: i64, before: Passed | None) -> None:
        self.leaf: Final[i64] = leaf
        self.meta: Final[i64] = meta
        self.before: Final = before


def are_unchanged(passed: Passed | None) -> bool:
    """Return whether all leaves that were passed are as they were."""
    while passed is not None:
        if not is_unchanged(passed.leaf, passed.meta):
            return False
        passed = passed.before
    return True


def nearest(state: BTreeState, begin: Bound, end: Bound, reverse: bool) -> object:
    """Return the first entry of a scan as (key, value), right for one moment, or EMPTY. User code may run."""
    while True:
        scan = Scan(state, begin, end, reverse)
        passed: Passed | None = None
        found: list[object] = []
        while not scan.done and not found:
            found = scan.step(PAIRS, 1)
            if not found:
                passed = Passed(scan.path.node, scan.path.meta, passed)
        if are_unchanged(passed):
            return found[0] if found else EMPTY


def take_nearest(state: BTreeState, reverse: bool) -> object:
    """Remove the first or, in *reverse*, the last entry, and return it as (key, value), or EMPTY."""
    spins: i64 = 0
    while True:
        scan = Scan(state, OPEN, OPEN, reverse)
        passed: Passed | None = None
        found: list[object] = []
        while not scan.done and not found:
            found = scan.step(KEYS, 1)
            if not found:
                passed = Passed(scan.path.node, scan.path.meta, passed)
        if not found:
            if are_unchanged(passed):
                return EMPTY
            continue
        leaf, meta = scan.path.node, scan.path.meta
        if meta & LOCKED == 0 and try_lock(leaf + META, meta):
            if not is_frozen(state.shared) and are_unchanged(passed):
                value = remove_locked(leaf, meta, scan.begin)
                if is_thin(load(leaf + META, RELAXED), state.most):
                    state.thin_path(scan.path)
                return found[0], value
            unlock(leaf + META, meta)
        spins = state.wait_for_writers(spins)


def remove_scan(scan: Scan) -> i64:
    """Remove the entries of a scan, leaf by leaf; return how many there were. User code may run."""
    removed: i64 = 0
    spins: i64 = 0
    while not scan.done:
        if not (scan.descend() and scan.choose()):
            continue
        leaf, meta = scan.path.node, scan.path.meta
        count = scan.end - scan.begin
        if count > 0:
            taken: list[object] = [None] * int(count * 2)
            if meta & LOCKED or not try_lock(leaf + META, meta):
                spins = wait(spins)
                scan.done = False
                continue
            if is_frozen(scan.state.shared):
                unlock(leaf + META, meta)
                spins = scan.state.wait_for_writers(spins)
                scan.done = False
                continue
            remove_many_locked(leaf, meta, scan.begin, scan.end, taken)
            removed += count
            # What belongs to the scan here has gone; if the way on has changed, it is found again from here.
            if not scan.advance():
                scan.done = False
            if is_thin(load(leaf + META, RELAXED), scan.state.most):
                scan.state.thin_path(scan.path)
            taken.clear()  # they die here, outside the lock
        elif not (is_unchanged(leaf, meta) and scan.advance()):
            scan.done = False
    return removed


def remove_many_locked(leaf: i64, meta: i64, begin: i64, end: i64, taken: list[object]) -> None:
    """Remove the entries at positions *begin* to *end*, release the leaf's lock, and move them to *taken*."""
    fence(RELEASE)
    count = count_of(meta)
    source, target = area_of(leaf, meta), other_area(leaf, meta)
    position = begin
    while position < end:
        rotate_out(source, target, begin, count - 1)
        source = target
        position += 1
    after = next_meta(meta, count - (end - begin))
    store(leaf + META, after, RELEASE)
    place: i64 = 0
    position = begin
    while position < end:
        slot = slot_of(leaf, number_at(leaf, meta, position))
        taken[place] = object_take(slot + VALUE, None)
        taken[place + 1] = object_take(slot, None)
        place += 2
        position += 1
    add_to_count(leaf, begin - end)
    unlock(leaf + META, after & ~LOCKED)


# ---- positions --------------------------------------------------------------------------------------------


@final
class Census:
    """Counts entries from the least on, a parent of leaves at a time. For one thread."""

    def __init__(self, state: BTreeState) -> None:
        self._scan: Final = Scan(state, OPEN, OPEN, False)
        #: Entries in the leaves before the one where counting has ended, and that leaf.
        self.before: i64 = 0
        self.leaf: i64 = 0
        self.meta: i64 = 0

    def run(self, index: i64, leaf: i64) -> bool:
        """Go to the leaf that has the entry with that *index*, or to that *leaf*; return if it was found.

        Args:
            index: counted from the least entry; with a *leaf*, any that is larger than there can be.
            leaf: 0: none.
        """
        scan = self._scan
        while not scan.done:
            if scan.descend():
                found = self._count(index, leaf)
                if found > 0:
                    return True
                if found == 0:
                    scan.fence, scan.fence_meta, scan.fence_position = (
                        scan.outer,
                        scan.outer_meta,
                        scan.outer_position,
                    )
                    scan.done = scan.fence == 0
                    if not scan.advance():
                        scan.done = False
        return False

    def _count(self, index: i64, leaf: i64) -> i64:
        """Count the leaves beside the scan's, from it on: 1 if it is one of them, 0, or CHANGED."""
        path = self._scan.path
        parent, meta = path.parent, path.parent_meta
        before = self.before
        position, count = path.position, count_of(meta) if parent != 0 else 1
        while position < count:
            child = path.node
            if parent != 0:
                child = load(parent + CHILDREN + (number_at(parent, meta, position) << 3), ACQUIRE)
                if child == 0:
                    return CHANGED
            child_meta = load(child + META, ACQUIRE)
            if child_meta & DEAD or (parent != 0 and not is_unchanged(parent, meta)):
                return CHANGED
            entries = count_of(child_meta)
            if child == leaf or index < before + entries:
                self.before, self.leaf, self.meta = before, child, child_meta
                return 1
            before += entries
            position += 1
        self.before = before
        return 0


def index_of(state: BTreeState, bound: Bound) -> i64:
    """Return how many keys lie before *bound*: less than its key, or, if that is inclusive, not greater."""
    while True:
        scan = Scan(state, OPEN, bound, True)
        if not scan.descend():
            continue
        leaf, meta = scan.path.node, scan.path.meta
        position = bound.rank(leaf, meta, bound.inclusive)
        if position < 0 or not is_unchanged(leaf, meta):
            continue
        census = Census(state)
        if census.run(ALL, leaf) and is_unchanged(leaf, meta):
            return census.before + position


def entry_at(state: BTreeState, index: i64) -> object:
    """Return the entry with that *index*, counted from the least key, as (key, value), or EMPTY."""
    while True:
        census = Census(state)
        if not census.run(index, 0):
            return EMPTY
        leaf, meta = census.leaf, census.meta
        slot = slot_of(leaf, number_at(leaf, meta, index - census.before))
        key, value = object_load(slot, EMPTY), object_load(slot + VALUE, EMPTY)
        if is_unchanged(leaf, meta):
            return key, value
