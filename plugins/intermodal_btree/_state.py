"""The state that all views of one map share: memory of nodes, slow paths, changes of the tree's shape.

The argument is that of ``_tree``. May import only core's public names and this package, but views.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    OTHER_KEY,
    RELAXED,
    RELEASE,
    fence,
    fetch_add,
    heavy_fence,
    key_kind,
    load,
    object_copy,
    object_forget,
    object_load,
    object_store,
    object_take,
    reachability_fence,
    store,
    try_lock,
    unlock,
    yield_thread,
)
from intermodal.memory import Block
from intermodal_btree._check import check_node
from intermodal_btree._descent import (
    AT_FULL,
    AT_LEAF,
    Path,
    approach,
    check_ordered,
    find_asking,
    find_child,
    rank_asking,
    start,
    step_down,
)
from intermodal_btree._node import (
    ABOVE_SKIP,
    CHANGED,
    CHILDREN,
    DEAD,
    EMPTY,
    INNER,
    INNER_SLOTS,
    INNER_WORDS,
    LEAF_SLOTS,
    LEAF_WORDS,
    LIMIT,
    LINK,
    LOCKED,
    META,
    SLOTS,
    VALUE,
    VERSION_STEP,
    WORDS,
    area_of,
    byte_at,
    complete,
    copy_entries,
    count_of,
    fits,
    fitted,
    forget_entries,
    is_unchanged,
    next_meta,
    number_at,
    other_area,
    rank,
    rotate_in,
    rotate_out,
    slot_of,
    word_for,
)
from intermodal_btree._statistics import BTreeStatistics
from intermodal_btree._tree import (
    ALWAYS,
    COUNTS,
    DONE_REMOVED,
    FROZEN,
    HEAD,
    IF_ABSENT,
    INNERS,
    LEAVES,
    LINE,
    LOCK_STEP,
    MOST,
    NO_ROOM,
    REMOVE,
    RETRY,
    ROOT,
    SHARED_WORDS,
    SPINS,
    STRIPES,
    TOP,
    WAITING,
    commit,
    is_frozen,
    is_thin,
    wait,
)

#: Nodes in the largest chunk of memory.
MOST_NODES: Final = 1024


@final
class BTreeState:
    """The state that all views of one map share.

    Args:
        most: how many entries a node may have; fewer for tests.
    """

    def __init__(self, most: int = LIMIT) -> None:
        assert 4 <= most <= LIMIT
        self.block: Final = Block(SHARED_WORDS)
        #: Address of the words above.
        self.shared: Final[i64] = self.block.address
        self.most: Final[i64] = most
        #: Keeps the memory of nodes and counts.
        self.chunks: Final[list[Block]] = []
        #: Where writers sleep while a snapshot is taken.
        self.gate: Final = threading.RLock()
        #: Addresses of the counts of trees that are no more.
        self.spare_counts: Final[deque[int]] = deque()
        store(self.shared + MOST, most, RELAXED)
        root = self.new_root()
        store(self.shared + COUNTS, load(root + LINK, RELAXED), RELAXED)
        store(self.shared + ROOT, root, RELEASE)

    # ---- memory ----------------------------------------------------------------------------------------

    def new_root(self) -> i64:
        """Return an empty leaf, with counts of its own."""
        root = self.take(0)
        if self.spare_counts:
            counts = self.spare_counts.pop()
        else:
            block = Block(STRIPES * LINE // 8)
            self.chunks.append(block)
            counts = int(block.address)
        stripe: i64 = 0
        while stripe < STRIPES:
            store(i64(counts) + stripe * LINE, 0, RELAXED)
            stripe += 1
        store(root + LINK, counts, RELAXED)
        complete(root, 0, 0, EMPTY)
        return root

    def take(self, inner: i64) -> i64:
        """Return a node that is not in use, of leaves, or of inner nodes if *inner* is INNER.

        Who gave it back had stored that it is dead before; who comes late and sees what is stored from now on
        sees that too, by the fence.
        """
        pool = self.shared + (INNERS if inner else LEAVES)
        spins: i64 = 0
        while True:
            version = load(pool, ACQUIRE)
            if load(pool + HEAD, RELAXED) == 0:
                self.add_chunk(inner)
            elif version & LOCKED or not try_lock(pool, version):
                spins = wait(spins)
            else:
                node = load(pool + HEAD, RELAXED)
                if node != 0:
                    store(pool + HEAD, load(node + LINK, RELAXED), RELAXED)
                unlock(pool, version + LOCK_STEP)
                if node != 0:
                    fence(RELEASE)
                    return node

    def give(self, node: i64, inner: i64) -> None:
        """Take back a node that is dead and empty; 0: nothing."""
        if node != 0:
            self.give_chain(node, node, inner)

    def give_chain(self, first: i64, last: i64, inner: i64) -> None:
        """Take back the nodes from *first* to *last*, each linked to the next."""
        pool = self.shared + (INNERS if inner else LEAVES)
        spins: i64 = 0
        while True:
            version = load(pool, ACQUIRE)
            if version & LOCKED == 0 and try_lock(pool, version):
                store(last + LINK, load(pool + HEAD, RELAXED), RELAXED)
                store(pool + HEAD, first, RELAXED)
                unlock(pool, version + LOCK_STEP)
                return
            spins = wait(spins)

    def add_chunk(self, inner: i64) -> None:
        """Make nodes, each time more, within limits."""
        words: i64 = INNER_WORDS if inner else LEAF_WORDS
        slots: i64 = INNER_SLOTS if inner else LEAF_SLOTS
        count: i64 = min(1 << min(len(self.chunks) >> 1, 20), MOST_NODES)
        chunk = Block(int(count * words), int(count * slots))
        self.chunks.append(chunk)
        index: i64 = 0
        while index < count:
            node = chunk.address + index * words * 8
            store(node + META, DEAD | inner, RELAXED)
            store(node + SLOTS, chunk.objects_address + index * slots * 8, RELAXED)
            store(node + LINK, node + words * 8, RELAXED)
            index += 1
        self.give_chain(chunk.address, chunk.address + (count - 1) * words * 8, inner)

    def memory_bytes(self) -> int:
        """Return the bytes of all blocks, used or not."""
        return sum(chunk.__sizeof__() for chunk in self.chunks) + self.block.__sizeof__()

    # ---- slow paths: any key, any thread -----------------------------------------------------------------

    def read_slowly(self, key: object, kind: i64, word: i64, fallback: object) -> object:
        """Return the value of *key* or *fallback*. User code may run."""
        path = Path()
        while True:
            approach(self.shared, path, key, kind, word, AT_LEAF)
            leaf, meta = path.node, path.meta
            found = find_asking(leaf, meta, key, kind, word)
            value = fallback
            if found > 0 and found & 1:
                value = object_load(slot_of(leaf, number_at(leaf, meta, found >> 1)) + VALUE, fallback)
            if is_unchanged(leaf, meta) and found >= 0:
                reachability_fence(self)
                return value

    def write_slowly(
        self, key: object, kind: i64, word: i64, condition: i64, expected: object, new: object
    ) -> tuple[i64, object]:
        """Do what :func:`write` does, whatever it takes: never RETRY or NO_ROOM. User code may run."""
        path = Path()
        spins: i64 = 0
        inserts = new is not REMOVE and (condition == ALWAYS or condition == IF_ABSENT)
        while True:
            approach(self.shared, path, key, kind, word, AT_LEAF)
            if path.meta & LOCKED:
                spins = wait(spins)
                continue
            found = find_asking(path.node, path.meta, key, kind, word)
            if found == CHANGED:
                continue
            if inserts and kind == OTHER_KEY and count_of(path.meta) == 0:
                check_ordered(key)
            result, previous = commit(
                self.shared, path.node, path.meta, found, key, kind, condition, expected, new
            )
            if result == RETRY or (result == NO_ROOM and not self.make_room(key, kind, word)):
                spins = self.wait_for_writers(spins)
            elif result == NO_ROOM:
                spins = 0
            else:
                if result == DONE_REMOVED and is_thin(load(path.node + META, RELAXED), self.most):
                    self.thin_path(path)
                return result, previous

    def wait_for_writers(self, spins: i64) -> i64:
        """Wait until no snapshot is being taken, else a moment; returns the number to pass next time."""
        if load(self.shared + FROZEN, ACQUIRE) & LOCKED == 0:
            return wait(spins)
        fetch_add(self.shared + WAITING, 1, RELAXED)
        try:
            with self.gate:
                return 0
        finally:
            fetch_add(self.shared + WAITING, -1, RELAXED)

    # ---- changes of shape ------------------------------------------------------------------------------

    def lock(self, path: Path, second: i64, second_meta: i64) -> bool:
        """Lock the node of *path*, its parent and, unless it is 0, a *second* child; or nothing."""
        parent = path.parent + META if path.parent != 0 else self.shared + TOP
        if (path.parent_meta | path.meta | second_meta) & LOCKED or not try_lock(parent, path.parent_meta):
            return False
        if try_lock(path.node + META, path.meta):
            if second == 0 or try_lock(second + META, second_meta):
                if not is_frozen(self.shared):
                    return True
                if second != 0:
                    unlock(second + META, second_meta)
            unlock(path.node + META, path.meta)
        unlock(parent, path.parent_meta)
        return False

    def make_room(self, key: object, kind: i64, word: i64) -> bool:
        """Split what is full on the way to the leaf of *key*, or let the leaf fit the key: one step of that.

        Returns whether it was done: if not, another thread holds what it takes. User code may run.
        """
        path = Path()
        approach(self.shared, path, key, kind, word, AT_FULL)
        meta = path.meta
        if meta & INNER == 0 and count_of(meta) < self.most and fits(path.node, meta, key, kind):
            return True
        position: i64 = 0
        if count_of(meta) >= self.most:
            position = rank_asking(path.node, meta, key, kind, word, False)
            if position < 0:
                return True
        return self.replace(path, position, key if meta & INNER == 0 else EMPTY)

    def replace(self, path: Path, position: i64, key: object) -> bool:
        """Replace a full node by two, another by one that *key* fits in; False if something is in the way.

        If the parent has no place for a new key as it is, the parent is replaced instead.

        Args:
            path: to the node.
            position: of the key for which a full one is split.
            key: or EMPTY.
        """
        meta = path.meta
        inner, count = meta & INNER, count_of(meta)
        cut: i64 = 0
        if count >= self.most:
            cut = self.cut_at(path, position)
        left, right, top = self.take(inner), 0, 0
        if cut != 0:
            right = self.take(inner)
            if path.parent == 0:
                top = self.take(INNER)
        separator: object = None
        if not self.lock(path, 0, 0):
            self.give(left, inner)
            self.give(right, inner)
            self.give(top, INNER)
            return False
        if cut != 0:
            separator = object_load(slot_of(path.node, number_at(path.node, meta, cut)), None)
            if path.parent != 0 and not fits(path.parent, path.parent_meta, separator, key_kind(separator)):
                self.release(path)
                self.give(left, inner)
                self.give(right, inner)
                path.up()
                return self.replace(path, 0, separator)
        dropped = self.rebuild(path, cut, left, right, key)
        self.install(path, left, right, top, separator)
        self.give(path.node, inner)
        reachability_fence(dropped)  # they die here, outside the locks
        reachability_fence(separator)
        return True

    def cut_at(self, path: Path, position: i64) -> i64:
        """Return where to split a full node: in the middle, or where keys come in order, near the end."""
        count = count_of(path.meta)
        siblings: i64 = count_of(path.parent_meta) if path.parent != 0 else 1
        if position >= count - 1 and path.position == siblings - 1:
            return count - 1
        if position <= 1 and path.position == 0:
            return 2 if path.meta & INNER else 1
        return count >> 1

    def release(self, path: Path) -> None:
        """Unlock the node of *path* and its parent; nothing has changed."""
        unlock(path.node + META, path.meta)
        unlock(path.parent + META if path.parent != 0 else self.shared + TOP, path.parent_meta)

    def rebuild(self, path: Path, cut: i64, left: i64, right: i64, key: object) -> object:
        """Fill *left* and, from *cut* on, *right* with the entries of the locked node."""
        node, meta = path.node, path.meta
        inner, count = meta & INNER, count_of(meta)
        end = cut if cut != 0 else count
        dropped: object = None
        if inner == 0:
            store(left + LINK, load(node + LINK, RELAXED), RELAXED)
        copy_entries(node, meta, 0, end, left, 0)
        complete(left, end, inner, key if cut == 0 else EMPTY)
        if cut != 0:
            copy_entries(node, meta, cut, count, right, 0)
            if inner != 0:
                dropped = object_take(slot_of(right, 0), None)  # it goes up, the parent's reference
            else:
                store(right + LINK, load(node + LINK, RELAXED), RELAXED)
            complete(right, count - cut, inner, EMPTY)
        return dropped

    def install(self, path: Path, left: i64, right: i64, top: i64, separator: object) -> None:
        """Put *left*, and *right* unless it is 0, in the place of the locked node, and release the locks.

        The parent gets new entries beside the old one, and one store makes them current in its place.
        """
        parent, meta, position = path.parent, path.parent_meta, path.position
        if parent == 0:
            root = left
            if right != 0:
                object_store(slot_of(top, 1), separator)
                store(top + CHILDREN, left, RELAXED)
                store(top + CHILDREN + 8, right, RELAXED)
                complete(top, 2, INNER, EMPTY)
                root = top
            store(self.shared + ROOT, root, RELEASE)
            retire(path.node, path.meta)
            unlock(self.shared + TOP, meta + LOCK_STEP)
            return
        fence(RELEASE)
        count = count_of(meta)
        before, area = area_of(parent, meta), other_area(parent, meta)
        old, number = byte_at(before, position), byte_at(before, count)
        move_key(parent, old, number, position)
        store(parent + CHILDREN + (number << 3), left, RELAXED)
        rotate_in(before, area, position, count)
        if right != 0:
            further = byte_at(before, count + 1)
            meta = fitted(meta, key_kind(separator))
            store(parent + WORDS + (further << 3), word_for(meta, separator), RELAXED)
            object_store(slot_of(parent, further), separator)
            store(parent + CHILDREN + (further << 3), right, RELAXED)
            rotate_in(area, area, position + 1, count + 1)
            position += 1
            count += 1
        rotate_out(area, area, position + 1, count)
        after = next_meta(meta, count)
        store(parent + META, after, RELEASE)
        if path.position > 0:
            object_forget(slot_of(parent, old))
        retire(path.node, path.meta)
        unlock(parent + META, after & ~LOCKED)

    def thin_out(self, key: object, kind: i64, word: i64) -> None:
        """Merge the leaf of *key* if it is nearly empty, unless only user code could find it."""
        path = Path()
        start(self.shared, path)
        while path.meta & INNER:
            position = rank(path.node, path.meta, key, kind, word, True)
            if position < 0 or not step_down(path, position - 1):
                return
        self.thin_path(path)

    def thin_path(self, path: Path) -> None:
        """Merge the leaf at the end of *path* if it is nearly empty, then its parent, and so on; or not.

        The nodes may have changed since, their ranges have not.
        """
        level = len(path.trail) - 1
        while level > 0 and find_child(path, path.trail[level - 1], path.trail[level]):
            if count_of(path.meta) > self.most >> 2 or not self.merge(path):
                break
            level -= 1
        start(self.shared, path)
        while path.meta & INNER and count_of(path.meta) == 1 and self.shorten(path):
            start(self.shared, path)

    def shorten(self, path: Path) -> bool:
        """Let the only child of the root be the root."""
        node, meta = path.node, path.meta
        child = load(node + CHILDREN + (number_at(node, meta, 0) << 3), ACQUIRE)
        if not self.lock(path, 0, 0):
            return False
        store(self.shared + ROOT, child, RELEASE)
        retire(node, meta)
        unlock(self.shared + TOP, path.parent_meta + LOCK_STEP)
        self.give(node, INNER)
        return True

    def merge(self, path: Path) -> bool:
        """Replace the node of *path* and a neighbour by one, if both fit into it; return if that was done."""
        parent, parent_meta, position = path.parent, path.parent_meta, path.position
        if count_of(parent_meta) < 2:
            return False
        beside = position - 1 if position > 0 else position + 1
        second = load(parent + CHILDREN + (number_at(parent, parent_meta, beside) << 3), ACQUIRE)
        if second == 0:
            return False
        second_meta = load(second + META, ACQUIRE)
        if not is_unchanged(parent, parent_meta) or second_meta & DEAD:
            return False
        together = count_of(path.meta) + count_of(second_meta)
        if together > self.most - (self.most >> 2) and count_of(path.meta) > 0:
            return False
        if together > self.most:
            return False
        inner = path.meta & INNER
        merged = self.take(inner)
        if not self.lock(path, second, second_meta):
            self.give(merged, inner)
            return False
        dropped: object = None
        if beside < position:
            dropped = self.unite(path, beside, second, second_meta, path.node, path.meta, merged)
        else:
            dropped = self.unite(path, position, path.node, path.meta, second, second_meta, merged)
        self.give(path.node, inner)
        self.give(second, inner)
        reachability_fence(dropped)  # it dies here, outside the locks
        return True

    def unite(
        self,
        path: Path,
        position: i64,
        left: i64,
        left_meta: i64,
        right: i64,
        right_meta: i64,
        merged: i64,
    ) -> object:
        """Put *merged* in the place of two locked children, from *position* on, and release the locks."""
        parent, meta = path.parent, path.parent_meta
        inner, count = left_meta & INNER, count_of(meta)
        before, area = area_of(parent, meta), other_area(parent, meta)
        between = slot_of(parent, byte_at(before, position + 1))
        copy_entries(left, left_meta, 0, count_of(left_meta), merged, 0)
        copy_entries(right, right_meta, 0, count_of(right_meta), merged, count_of(left_meta))
        if inner != 0:  # what was least in the right one has a key now
            object_store(slot_of(merged, count_of(left_meta)), object_load(between, None))
        else:
            store(merged + LINK, load(left + LINK, RELAXED), RELAXED)
        complete(merged, count_of(left_meta) + count_of(right_meta), inner, EMPTY)

        fence(RELEASE)
        old, number = byte_at(before, position), byte_at(before, count)
        move_key(parent, old, number, position)
        store(parent + CHILDREN + (number << 3), merged, RELAXED)
        rotate_in(before, area, position, count)
        rotate_out(area, area, position + 1, count)
        rotate_out(area, area, position + 1, count - 1)
        after = next_meta(meta, count - 1)
        store(parent + META, after, RELEASE)
        if position > 0:
            object_forget(slot_of(parent, old))
        dropped = object_take(between, None)
        retire(left, left_meta)
        retire(right, right_meta)
        unlock(parent + META, after & ~LOCKED)
        return dropped

    # ---- the whole tree ----------------------------------------------------------------------------------

    def entries(self) -> i64:
        """Return the number of entries; exact when no insertion or removal is under way."""
        counts = load(self.shared + COUNTS, ACQUIRE)
        total: i64 = 0
        stripe: i64 = 0
        while stripe < STRIPES:
            total += load(counts + stripe * LINE, RELAXED)
            stripe += 1
        return total

    def clear(self) -> None:
        """Leave the tree, in one store, and take it apart."""
        root = self.new_root()
        spins: i64 = 0
        while True:
            version = load(self.shared + TOP, ACQUIRE)
            if version & LOCKED == 0 and try_lock(self.shared + TOP, version):
                if not is_frozen(self.shared):
                    break
                unlock(self.shared + TOP, version)
            spins = self.wait_for_writers(spins)
        left = load(self.shared + ROOT, RELAXED)
        counts = load(self.shared + COUNTS, RELAXED)
        store(self.shared + COUNTS, load(root + LINK, RELAXED), RELEASE)
        store(self.shared + ROOT, root, RELEASE)
        unlock(self.shared + TOP, version + LOCK_STEP)
        self.take_apart(left)
        self.spare_counts.append(int(counts))  # no leaf that is alive counts there any more

    def take_apart(self, node: i64) -> None:
        """Let the nodes of a tree that has been left die, and what is in them. Destructors run, no lock held.

        A change of shape under way comes first or fails: nodes are locked to be marked, from the root down.
        """
        spins: i64 = 0
        while True:
            meta = load(node + META, ACQUIRE)
            if meta & LOCKED == 0 and try_lock(node + META, meta):
                break
            spins = wait(spins)
        count = count_of(meta)
        dead = (meta & ABOVE_SKIP) + VERSION_STEP | DEAD | (meta & INNER)
        unlock(node + META, dead)
        position: i64 = 0
        while position < count:
            number = number_at(node, meta, position)
            slot = slot_of(node, number)
            if meta & INNER:
                self.take_apart(load(node + CHILDREN + (number << 3), RELAXED))
            else:
                object_take(slot + VALUE, None)
            object_take(slot, None)
            position += 1
        self.give(node, meta & INNER)

    def freeze(self, entries: list[object]) -> None:
        """Append key, value, key, value... as all are at one moment, while writers wait.

        Who takes one snapshot after the other lets those writers go first who have waited for the last one.
        """
        turns: i64 = 0
        while turns < SPINS and load(self.shared + WAITING, RELAXED) > 0:
            yield_thread()
            turns += 1
        with self.gate:
            version: i64 = load(self.shared + FROZEN, ACQUIRE)
            assert version & LOCKED == 0
            if try_lock(self.shared + FROZEN, version):
                # In here nothing is made that the collector tracks, and nothing dies.
                try:
                    heavy_fence()
                    spins: i64 = 0
                    while load(self.shared + TOP, ACQUIRE) & LOCKED:
                        spins = wait(spins)
                    self.append_frozen(load(self.shared + ROOT, ACQUIRE), entries)
                finally:
                    unlock(self.shared + FROZEN, version + LOCK_STEP)

    def append_frozen(self, node: i64, entries: list[object]) -> None:
        """Append what is below *node*, which nobody changes once its lock is free."""
        spins: i64 = 0
        while load(node + META, ACQUIRE) & LOCKED:
            spins = wait(spins)
        meta = load(node + META, ACQUIRE)
        count = count_of(meta)
        position: i64 = 0
        while position < count:
            number = number_at(node, meta, position)
            if meta & INNER:
                self.append_frozen(load(node + CHILDREN + (number << 3), RELAXED), entries)
            else:
                slot = slot_of(node, number)
                entries.append(object_load(slot, None))
                entries.append(object_load(slot + VALUE, None))
            position += 1

    # ---- saying and checking ---------------------------------------------------------------------------

    def depth(self) -> i64:
        """Return the number of levels, the leaves' included."""
        path = Path()
        while True:
            levels: i64 = 1
            start(self.shared, path)
            while path.meta & INNER and step_down(path, 0):
                levels += 1
            if path.meta & INNER == 0:
                return levels

    def statistics(self) -> BTreeStatistics:
        """Return one moment's figures."""
        return BTreeStatistics(
            entries=max(int(self.entries()), 0), depth=int(self.depth()), memory_bytes=self.memory_bytes()
        )

    def check(self) -> None:
        """Raise AssertionError if an invariant does not hold. For a map that nobody else uses meanwhile."""
        for lock in (TOP, FROZEN, LEAVES, INNERS):
            assert load(self.shared + lock, ACQUIRE) & LOCKED == 0, f"the lock at {lock} is held"
        counts = load(self.shared + COUNTS, RELAXED)
        depths: set[int] = set()
        found = check_node(load(self.shared + ROOT, ACQUIRE), EMPTY, EMPTY, counts, self.most, 1, depths)
        assert found == self.entries(), f"{found} entries are there, {self.entries()} were counted"
        assert len(depths) == 1, f"leaves are at depths {sorted(depths)}"


def move_key(parent: i64, old: i64, number: i64, position: i64) -> None:
    """Let entry *number*, a free one, have the key and word of entry *old* too."""
    store(parent + WORDS + (number << 3), load(parent + WORDS + (old << 3), RELAXED), RELAXED)
    if position > 0:
        object_copy(slot_of(parent, old), slot_of(parent, number))


def retire(node: i64, meta: i64) -> None:
    """Mark a locked node, whose entries are elsewhere now, as dead, let it forget them, and unlock it."""
    dead = (meta & ABOVE_SKIP) + VERSION_STEP | DEAD | (meta & INNER)
    store(node + META, dead | LOCKED, RELEASE)
    forget_entries(node, meta)
    unlock(node + META, dead)
