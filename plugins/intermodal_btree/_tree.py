"""The tree: finding the leaf of a key and writing to it, and how that goes with changes of the tree's shape.

Who owns what
=============
A node's *range*, the keys that belong into it or below it, never changes while it lives: a split replaces one
node by two, a merge two by one, a key that does not fit into a node's encoding one by another. The old ones
are marked DEAD. So who has found a leaf alive has found the place of its key, for as long as the leaf's
version stays the same, wherever the rest of the tree goes.

A descent reads a child's address and then the child's meta word, and looks at the parent's again: so at the
moment of the second look the child, alive with that meta word, was the parent's, and had the range that the
parent says. The root is found by a word, in place of a parent; it is looked at again in the same way.

A write to a leaf locks that leaf only, by expecting the version at which it was searched. A change of shape
locks the parent and then one or two of its children, by expecting their versions: nobody waits for a second
lock, so nothing can deadlock; if one of them is not as expected, all is given back and looked up anew. **The
store of the parent's meta word is the whole change**: before it everybody finds the old nodes, locked and
unchanged, after it the new ones, with the same entries.

- A reader that has found an old leaf, and ends before it is DEAD, finds its entries, which are those of the
  moment when the new nodes came: it counts as having read at that moment.
- One that ends later finds another version, and looks again, from the root.

Entries move to new nodes without being counted, and the old nodes forget them when they are DEAD. Nodes are
used again, for the same map; their memory is freed with it.

A snapshot freezes the tree: it takes the FROZEN lock, has a heavy fence, and waits for each node to be
unlocked before it reads it. Writers have a light fence between taking their locks and looking at FROZEN: of
the two fences one comes first, so either the writer sees FROZEN and steps back, or the snapshot sees the
writer's lock and waits for it. Writers wait at a gate, asleep; readers do not notice.

``clear()`` puts an empty leaf in the root's place, one store. Who is in the old tree by then, and began
before, works on there: it counts as having come before the clear.

May import only core's public names and ``_node``.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    fence,
    fetch_add,
    light_fence,
    load,
    object_exchange,
    object_is,
    object_load,
    object_store,
    object_take,
    pause,
    reachability_fence,
    store,
    try_lock,
    unlock,
    yield_thread,
)
from intermodal_btree._node import (
    ASK,
    CHILDREN,
    DEAD,
    INNER,
    LINK,
    LOCKED,
    META,
    VALUE,
    area_of,
    count_of,
    find,
    fits,
    is_unchanged,
    next_meta,
    number_at,
    other_area,
    prefetch_node,
    put_entry,
    rank,
    rotate_out,
    slot_of,
)

# ---- the map's shared words -------------------------------------------------------------------------------
# First a line that changes with the root only: its lock and version, its address, the address of the counts
# of the entries of its tree, how many entries a node may have. Then the locks of snapshots and free nodes.

TOP: Final = 0
ROOT: Final = 8
COUNTS: Final = 16
MOST: Final = 24
FROZEN: Final = 64
#: How many writers wait at the gate.
WAITING: Final = 72
LEAVES: Final = 128
INNERS: Final = 192
SHARED_WORDS: Final = 32
#: After the lock of the free nodes, the first of them.
HEAD: Final = 8
LOCK_STEP: Final = 2

LINE: Final = 64
STRIPES: Final = 8

# ---- results of a write -----------------------------------------------------------------------------------

#: Nothing was done: the leaf is locked or has changed, the tree is frozen, or keys must be asked.
RETRY: Final = 0
DONE_INSERTED: Final = 1
DONE_REPLACED: Final = 2
DONE_REMOVED: Final = 3
REFUSED: Final = 4  # the condition did not hold; nothing was done
NO_ROOM: Final = 5  # nothing was done: the leaf is full, or its encoding does not fit the key

# Conditions of a write.
ALWAYS: Final = 0
IF_ABSENT: Final = 1
IF_PRESENT: Final = 2
IF_IDENTICAL: Final = 3

#: What a write is given as new value for "no entry".
REMOVE: Final = object()
#: What a read is given as fallback to learn that there is no entry.
MISSING: Final = object()
#: What :func:`read` returns for "ask the slow path".
RETRY_READ: Final = object()

#: Spins before a waiting thread gives up its time slice: locks are held for less than a microsecond.
SPINS: Final = 64


def wait(spins: i64) -> i64:
    """Let the holder of a lock get on; returns the number to pass next time."""
    if spins < SPINS:
        pause()
        return spins + 1
    yield_thread()
    return 0


# ---- fast paths: keys that compare without user code ------------------------------------------------------


def descend(shared: i64, key: object, kind: i64, word: i64) -> tuple[i64, i64]:
    """Return the leaf of *key* and its meta word, or (0, 0): ask the slow path."""
    while True:
        node = load(shared + ROOT, ACQUIRE)
        meta = load(node + META, ACQUIRE)
        if load(shared + ROOT, RELAXED) != node:
            continue
        while meta & (INNER | DEAD) == INNER:
            position = rank(node, meta, key, kind, word, True)
            if position < 0:
                if position == ASK:
                    return 0, 0
                break
            child = load(node + CHILDREN + (number_at(node, meta, position - 1) << 3), ACQUIRE)
            if child == 0:
                break
            prefetch_node(child)
            child_meta = load(child + META, ACQUIRE)
            if not is_unchanged(node, meta):
                break
            node = child
            meta = child_meta
        if meta & (INNER | DEAD) == 0:
            return node, meta


def read(shared: i64, key: object, kind: i64, word: i64, fallback: object) -> object:
    """Return the value of *key*, *fallback* if it has none, or RETRY_READ. Takes no lock.

    The leaf is alive at its meta word, so *key* belongs there; the meta word brackets the search and the load
    of the value. A removal stores a new one before it takes the value.
    """
    while True:
        leaf, meta = descend(shared, key, kind, word)
        if leaf == 0:
            return RETRY_READ
        found = find(leaf, meta, key, kind, word)
        if found == ASK:
            return RETRY_READ
        value = fallback
        if found > 0 and found & 1:
            value = object_load(slot_of(leaf, number_at(leaf, meta, found >> 1)) + VALUE, fallback)
        if is_unchanged(leaf, meta) and found >= 0:
            return value


def write(
    shared: i64, key: object, kind: i64, word: i64, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Search without a lock, then change the entry of *key* under its leaf's lock: (result, old value)."""
    leaf, meta = descend(shared, key, kind, word)
    if leaf == 0 or meta & LOCKED:
        return RETRY, None
    found = find(leaf, meta, key, kind, word)
    if found < 0:
        return RETRY, None
    return commit(shared, leaf, meta, found, key, kind, condition, expected, new)


def commit(
    shared: i64,
    leaf: i64,
    meta: i64,
    found: i64,
    key: object,
    kind: i64,
    condition: i64,
    expected: object,
    new: object,
) -> tuple[i64, object]:
    """Carry out a write whose search of *leaf*, at *meta*, ended with *found*: (result, previous value).

    Taking the lock by expecting *meta* proves that no key of this leaf came or went since, and that it lives.
    A refusal changes nothing, so it takes no lock: it is right at the moment when the meta word is the same.
    """
    if meta & LOCKED:
        return RETRY, None
    if found & 1 == 0:
        if new is REMOVE or condition == IF_PRESENT or condition == IF_IDENTICAL:
            return (REFUSED if is_unchanged(leaf, meta) else RETRY), None
        if count_of(meta) >= load(shared + MOST, RELAXED) or not fits(leaf, meta, key, kind):
            return NO_ROOM, None
        if not try_lock(leaf + META, meta):
            return RETRY, None
        if is_frozen(shared):
            unlock(leaf + META, meta)
            return RETRY, None
        after, number = put_entry(leaf, meta, found >> 1, key, kind)
        object_store(slot_of(leaf, number) + VALUE, new)
        add_to_count(leaf, 1)
        unlock(leaf + META, after & ~LOCKED)
        return DONE_INSERTED, None

    slot = slot_of(leaf, number_at(leaf, meta, found >> 1))
    if condition == IF_ABSENT:
        present = object_load(slot + VALUE, REMOVE)
        if present is REMOVE or not is_unchanged(leaf, meta):
            return RETRY, None
        return REFUSED, present
    if not try_lock(leaf + META, meta):
        return RETRY, None
    if is_frozen(shared):
        unlock(leaf + META, meta)
        return RETRY, None
    if condition == IF_IDENTICAL and not object_is(slot + VALUE, expected):
        unlock(leaf + META, meta)
        return REFUSED, None
    if new is REMOVE:
        return DONE_REMOVED, remove_locked(leaf, meta, found >> 1)
    old = object_exchange(slot + VALUE, new, None)
    unlock(leaf + META, meta)
    return DONE_REPLACED, old  # the old value dies outside the lock


def remove_locked(leaf: i64, meta: i64, position: i64) -> object:
    """Remove the entry at *position*, release the leaf's lock and return the value."""
    fence(RELEASE)  # before the other area is written: a reader of an older version may look at it
    count = count_of(meta)
    slot = slot_of(leaf, number_at(leaf, meta, position))
    rotate_out(area_of(leaf, meta), other_area(leaf, meta), position, count - 1)
    after = next_meta(meta, count - 1)
    store(leaf + META, after, RELEASE)
    value = object_take(slot + VALUE, None)
    key = object_take(slot, None)
    add_to_count(leaf, -1)
    unlock(leaf + META, after & ~LOCKED)
    reachability_fence(key)  # it dies here, outside the lock
    return value


def add_to_count(leaf: i64, entries: i64) -> None:
    """Count *entries* more in the leaf's tree. Leaves share counters in turn, so that threads seldom meet."""
    fetch_add(load(leaf + LINK, RELAXED) + ((leaf >> 6) & (STRIPES - 1)) * LINE, entries, RELAXED)


def is_frozen(shared: i64) -> bool:
    """Return whether a snapshot is being taken; for who has just taken a lock."""
    light_fence()
    return load(shared + FROZEN, RELAXED) & LOCKED != 0


def is_thin(meta: i64, most: i64) -> bool:
    """Return whether a node that has just lost an entry is to be merged: tried at some counts only."""
    count = count_of(meta)
    return count <= most >> 2 and count & (count - 1) == 0
