"""Looking keys up: what leads from node to node, and the two ways to read.

May import only core's public names and ``_nodes``.
"""

from __future__ import annotations

from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQ_REL,
    ACQUIRE,
    RELAXED,
    SEQ_CST,
    cell_address,
    cell_of,
    compare_exchange,
    count_ones,
    fence,
    key_equals_kept,
    load,
    object_load,
    prefetch,
    reachability_fence,
    store,
)
from intermodal_trie._nodes import (
    BITMAP,
    BITS,
    BRANCH_GENERATION,
    COMMITTED,
    DECISION,
    ENTRIES,
    ENTRY,
    FAILED,
    LEAVES,
    MAIN,
    MASK,
    PENDING,
    STATE,
    VALUE,
    count_of,
    entry_at,
    generation_at,
    hash_at,
    index_of,
    list_flag,
    previous_slot,
    size_at,
)


@final
class Mark:
    """A unique object that is not anybody's value."""


#: What a read returns that has to be done again with references counted.
RETRY_READ: Final[object] = Mark()
#: A value that nobody has.
MISSING: Final[object] = Mark()


# ---- from a branch to its node ----------------------------------------------------------------------------


def generation_of(root: i64) -> i64:
    """Return the generation of the map."""
    first: object = object_load(root, None)
    generation = load(generation_at(cell_address(first)), RELAXED)
    reachability_fence(first)
    return generation


def decide(root: i64, branch: i64, node: i64) -> i64:
    """Decide whether *node*, PENDING in *branch*, counts; return what is decided, COMMITTED or FAILED."""
    # Between the putting in of the node, by this thread or by one whose store was acquired, and the look at
    # the root; see the top of _state.
    fence(SEQ_CST)
    current = generation_of(root) == load(branch + BRANCH_GENERATION, RELAXED)
    flags = load(node + STATE, RELAXED) & ~DECISION
    # ACQ_REL: whoever sees the decision sees the generation that was looked at, or a later one. If another
    # thread has decided meanwhile, this fails, and the first decision stands.
    compare_exchange(node + STATE, flags | PENDING, flags | (COMMITTED if current else FAILED), ACQ_REL)
    return load(node + STATE, ACQUIRE) & DECISION


def main_of(root: i64, branch: i64) -> object:
    """Return the node that *branch*, which the caller keeps, leads to."""
    # What is read of the node comes nearer while its count changes; without a look at what is there.
    prefetch(cell_of(branch + MAIN))
    node: object = object_load(branch + MAIN, None)
    at = cell_address(node)
    decision = load(at + STATE, ACQUIRE) & DECISION
    if decision == COMMITTED:
        return node
    if decision == PENDING:
        decision = decide(root, branch, at)
    if decision == FAILED:
        # The node before was committed: nobody puts a node in place of one that is not. It stays where it is:
        # only a COMMITTED node lets go of it.
        before: object = object_load(previous_slot(at), None)
        reachability_fence(node)
        return before
    return node


# ---- keys -------------------------------------------------------------------------------------------------


def is_key(node: i64, index: i64, key_hash: i64, key: object) -> bool:
    """Return whether the entry *index* of a node, which the caller keeps, has *key*; may run ``__eq__``."""
    slot = entry_at(node, index)
    equal = key_equals_kept(slot, key)
    if equal >= 0:
        return equal == 1
    if load(hash_at(node, index), RELAXED) != key_hash:
        return False
    stored: Any = object_load(slot, None)
    answer: Any = stored == key  # anything: what counts is its truth
    return True if answer else False  # noqa: SIM210  (bool() of Any is taken for a bool by mypyc)


def find_in_list(node: i64, key_hash: i64, key: object) -> i64:
    """Return the index of *key* in a list, which the caller keeps, or -1."""
    index: i64 = 0
    count = count_of(node)
    while index < count:
        if is_key(node, index, key_hash, key):
            return index
        index += 1
    return -1


# ---- reading ----------------------------------------------------------------------------------------------


def read_borrowed(root: i64, h: i64, key: object, fallback: object) -> object:
    """Return the value of *key*, *fallback*, or RETRY_READ where user code has to compare keys.

    For compiled code with the GIL: nothing comes between its steps, so no node need be counted, and none is
    PENDING.
    """
    one = (h & 0) + 1  # see bit_of
    node = cell_of(root)
    bits = h
    while True:
        bit: i64 = one << (bits & MASK)
        bitmap = load(node + BITMAP, RELAXED)
        if bitmap & bit == 0:
            return RETRY_READ if list_flag(node) else fallback
        place = node + ENTRIES + count_ones(bitmap & (bit - 1)) * ENTRY
        if load(node + LEAVES, RELAXED) & bit:
            equal = key_equals_kept(place, key)
            if equal == 1:
                return object_load(place + VALUE, fallback)
            return fallback if equal == 0 else RETRY_READ
        node = cell_of(cell_of(place) + MAIN)
        bits >>= BITS


def read_counted(root: i64, first: i64, h: i64, key_hash: i64, key: object, fallback: object) -> object:
    """Return the value of *key* in the trie whose first node, which the caller keeps, is *first*.

    One node at a time is kept: what lies in it, its branches too, lives as long as it does.
    """
    one = (h & 0) + 1  # see bit_of
    at = first
    node: object = None
    bits = h
    while True:
        bit: i64 = one << (bits & MASK)
        bitmap = load(at + BITMAP, RELAXED)
        if bitmap & bit == 0:
            break
        place = at + ENTRIES + count_ones(bitmap & (bit - 1)) * ENTRY
        if load(at + LEAVES, RELAXED) & bit:
            equal = key_equals_kept(place, key)
            if equal < 0:
                equal = 1 if is_key(at, index_of(bitmap, bit), key_hash, key) else 0
            value = object_load(place + VALUE, fallback) if equal == 1 else fallback
            reachability_fence(node)
            return value
        below = main_of(root, cell_of(place))
        reachability_fence(node)  # the branch, which nothing else need keep, lies in it
        at = cell_address(below)
        node = below
        bits >>= BITS
    if list_flag(at):
        index = find_in_list(at, key_hash, key)
        if index >= 0:
            fallback = object_load(entry_at(at, index) + VALUE, fallback)
    reachability_fence(node)
    return fallback


def read_root(root: i64, h: i64, key_hash: i64, key: object, fallback: object) -> object:
    """Return the value of *key* in the trie whose first node is in the slot *root*, or *fallback*."""
    first: object = object_load(root, None)
    value = read_counted(root, cell_address(first), h, key_hash, key, fallback)
    reachability_fence(first)
    return value


# ---- counting ---------------------------------------------------------------------------------------------


def count_entries(root: i64, node: object) -> i64:
    """Return the number of entries of a frozen node and below, and keep it there."""
    at = cell_address(node)
    if list_flag(at):
        count = count_of(at)
        reachability_fence(node)
        return count
    known = load(size_at(at), RELAXED)
    if known != 0:
        reachability_fence(node)
        return known - 1
    bitmap, leaves = load(at + BITMAP, RELAXED), load(at + LEAVES, RELAXED)
    total: i64 = count_ones(leaves)
    rest = bitmap & ~leaves
    branches: i64 = count_ones(rest)
    while branches > 0:
        place = entry_at(at, index_of(bitmap, rest & -rest))
        total += count_entries(root, main_of(root, cell_of(place)))
        rest &= rest - 1
        branches -= 1
    # RELAXED: every thread that counts it comes to the same number.
    store(size_at(at), total + 1, RELAXED)
    reachability_fence(node)
    return total
