"""The nodes of a trie, and how a changed one is made from another. Nodes that others can see never change.

A key's mixed hash is read six bits at a time, the lowest first; each six bits choose one of 64 places of a
node. A node has room for its occupied places only; a bitmap says which these are::

    node     STATE  BITMAP  LEAVES | key value | key value | branch - | ... | previous
             | hash  hash  hash ... generation  size
    branch   GENERATION | main

An occupied place is an *entry*, a key and its value, or a *branch*, which leads to a node of the next level.
A node is replaced as a whole, by a compare-and-exchange of the one slot, ``main``, of the branch above it, or
of the map's root slot. So a reader that has loaded a node has a consistent, if perhaps old, part of the trie.

What a look-up needs comes first and lies together; it compares keys, not hashes.

- LIST: all bits of the hash are used up; the entries, of equal mixed hash, are searched one by one.
- TOMB: at most one entry and no branch is left. It is final: nobody replaces it, and whoever wants to write
  here puts what is left into the node above, in the branch's place, first.
- FRESH: a root that ``freeze`` made: every branch in it is older than itself.

May import only core's public names.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from intermodal.atomics import (
    RELAXED,
    cell_address,
    cell_new,
    count_ones,
    load,
    mix,
    object_share,
    object_store,
    reachability_fence,
    store,
)

# ---- a node's words and slots -----------------------------------------------------------------------------

#: Flags that never change, and whether the node counts, which is decided once.
STATE: Final = 0
BITMAP: Final = 8
#: The places of BITMAP that hold entries; the others hold branches. Of a list: the number of entries.
LEAVES: Final = 16
ENTRIES: Final = 24
_FIRST_WORDS: Final = 3
_LAST_WORDS: Final = 2

# STATE: one of these three, ...
COMMITTED: Final = 0
PENDING: Final = 1
FAILED: Final = 2
DECISION: Final = 3
# ... and flags.
LIST: Final = 4
TOMB: Final = 8
FRESH: Final = 16

# ---- a branch's words and its slot ------------------------------------------------------------------------

#: The generation in which it was made.
BRANCH_GENERATION: Final = 0
MAIN: Final = 8
_BRANCH_WORDS: Final = 1

BITS: Final = 6
MASK: Final = 63
#: 11 levels use up 64 bits.
ALL_BITS: Final = 66
#: Bytes of an entry: key and value.
ENTRY: Final = 16
VALUE: Final = 8
WORD: Final = 8


def place_of(h: i64, shift: i64) -> i64:
    """Return the place that the hash chooses at the level of *shift*."""
    return (h >> shift) & MASK


def bit_of(place: i64) -> i64:
    """Return the bit of a place."""
    # A variable, since of a constant's shift mypyc (2.4.1) makes one of C's int.
    one = (place & 0) + 1
    return one << place


def index_of(bitmap: i64, bit: i64) -> i64:
    """Return the index of the place of *bit* among the occupied ones."""
    return count_ones(bitmap & (bit - 1))


def entry_at(node: i64, index: i64) -> i64:
    """Return the address of the slots of the occupied place *index*."""
    return node + ENTRIES + index * ENTRY


def list_flag(node: i64) -> i64:
    """Return LIST if it is one: of the flags, the only one that a changed copy has too."""
    return load(node + STATE, RELAXED) & LIST


def count_of(node: i64) -> i64:
    """Return the number of occupied places."""
    return load(node + LEAVES, RELAXED) if list_flag(node) else count_ones(load(node + BITMAP, RELAXED))


def previous_slot(node: i64) -> i64:
    """Return the address of the slot of the node that this one replaces, until it is decided that it does."""
    return entry_at(node, count_of(node))


def hash_at(node: i64, index: i64) -> i64:
    """Return the address of the hash of the entry *index*."""
    return previous_slot(node) + WORD + index * WORD


def generation_at(node: i64) -> i64:
    """Return the address of the generation: the map's in a root, 0 in others."""
    return hash_at(node, count_of(node))


def size_at(node: i64) -> i64:
    """Return the address of 1 + the number of entries below, 0 if not known.

    Only of nodes that are frozen with all that is below.
    """
    return generation_at(node) + WORD


def tomb_flag(count: i64, bitmap: i64, leaves: i64, root: bool) -> i64:
    """Return TOMB if so little is left of a node that it belongs into the one above it."""
    return TOMB if not root and count <= 1 and count_ones(bitmap & ~leaves) == 0 else 0


# ---- new ones: nobody else sees them yet ------------------------------------------------------------------


def new_node(count: i64, flags: i64, bitmap: i64, leaves: i64, generation: i64) -> object:
    """Return a node with *count* places to be filled."""
    node = cell_new(_FIRST_WORDS, 2 * count + 1, count + _LAST_WORDS)
    at = cell_address(node)
    store(at + STATE, flags, RELAXED)
    store(at + BITMAP, bitmap, RELAXED)
    store(at + LEAVES, count if flags & LIST else leaves, RELAXED)
    store(generation_at(at), generation, RELAXED)
    return node


def new_branch(generation: i64, main: object) -> object:
    """Return a branch that leads to *main*."""
    branch = cell_new(_BRANCH_WORDS, 1, 0)
    at = cell_address(branch)
    store(at + BRANCH_GENERATION, generation, RELAXED)
    object_store(at + MAIN, main)
    reachability_fence(branch)
    return branch


def share_entries(source: i64, first: i64, target: i64, at: i64, count: i64) -> None:
    """Let *count* places of *target*, from *at*, hold what those of *source* do, from *first*."""
    from_slot, to_slot = entry_at(source, first), entry_at(target, at)
    from_hash, to_hash = hash_at(source, first), hash_at(target, at)
    while count > 0:
        store(to_hash, load(from_hash, RELAXED), RELAXED)
        object_share(from_slot, to_slot)
        object_share(from_slot + VALUE, to_slot + VALUE)
        from_slot += ENTRY
        to_slot += ENTRY
        from_hash += WORD
        to_hash += WORD
        count -= 1


def fill_entry(node: i64, index: i64, key_hash: i64, key: object, value: object) -> None:
    """Put an entry into the empty place *index*."""
    slot = entry_at(node, index)
    store(hash_at(node, index), key_hash, RELAXED)
    object_store(slot, key)
    object_store(slot + VALUE, value)


# ---- changed copies: the caller keeps the node whose address it gives -------------------------------------


def spliced(
    node: i64, index: i64, removed: i64, inserted: i64, flags: i64, bitmap: i64, leaves: i64
) -> object:
    """Return a copy without the *removed* places from *index* on, and with *inserted* empty ones instead."""
    count = count_of(node)
    generation = load(generation_at(node), RELAXED)
    copy = new_node(count - removed + inserted, flags, bitmap, leaves, generation)
    at = cell_address(copy)
    share_entries(node, 0, at, 0, index)
    share_entries(node, index + removed, at, index + inserted, count - index - removed)
    reachability_fence(copy)
    return copy


def with_value(node: i64, index: i64, value: object) -> object:
    """Return a copy with another value in the entry *index*."""
    bitmap, leaves = load(node + BITMAP, RELAXED), load(node + LEAVES, RELAXED)
    copy = spliced(node, index, 1, 1, list_flag(node), bitmap, leaves)
    at = cell_address(copy)
    store(hash_at(at, index), load(hash_at(node, index), RELAXED), RELAXED)
    object_share(entry_at(node, index), entry_at(at, index))
    object_store(entry_at(at, index) + VALUE, value)
    reachability_fence(copy)
    return copy


def with_entry(node: i64, bit: i64, index: i64, key_hash: i64, key: object, value: object) -> object:
    """Return a copy with one more entry, at *index*; *bit* is 0 in a list."""
    bitmap, leaves = load(node + BITMAP, RELAXED) | bit, load(node + LEAVES, RELAXED) | bit
    copy = spliced(node, index, 0, 1, list_flag(node), bitmap, leaves)
    fill_entry(cell_address(copy), index, key_hash, key, value)
    reachability_fence(copy)
    return copy


def with_branch(node: i64, bit: i64, index: i64, branch: object) -> object:
    """Return a copy with *branch* in the place *index*, whatever was there."""
    leaves = load(node + LEAVES, RELAXED) & ~bit
    copy = spliced(node, index, 1, 1, 0, load(node + BITMAP, RELAXED), leaves)
    object_store(entry_at(cell_address(copy), index), branch)
    reachability_fence(copy)
    return copy


def without(node: i64, bit: i64, index: i64, root: bool) -> object:
    """Return a copy without the place *index*; *bit* is 0 in a list."""
    count = count_of(node) - 1
    bitmap, leaves = load(node + BITMAP, RELAXED) & ~bit, load(node + LEAVES, RELAXED) & ~bit
    flags = list_flag(node) | tomb_flag(count, bitmap, leaves, root)
    return spliced(node, index, 1, 0, flags, bitmap, leaves)


def with_entry_of(node: i64, bit: i64, index: i64, tomb: i64, root: bool) -> object:
    """Return a copy with what is left in *tomb* in the place of the branch *index* that leads to it."""
    if count_of(tomb) == 0:
        return without(node, bit, index, root)
    bitmap, leaves = load(node + BITMAP, RELAXED), load(node + LEAVES, RELAXED) | bit
    flags = tomb_flag(count_of(node), bitmap, leaves, root)
    copy = spliced(node, index, 1, 1, flags, bitmap, leaves)
    share_entries(tomb, 0, cell_address(copy), index, 1)
    reachability_fence(copy)
    return copy


def split(
    node: i64, index: i64, shift: i64, generation: i64, h: i64, key_hash: i64, key: object, value: object
) -> object:
    """Return a node for the level of *shift* that holds the entry *index* of *node* and another.

    Where they have the same place there too, that is a branch to such a node for the next level.
    """
    other = mix(load(hash_at(node, index), RELAXED))
    # The first level at which they are told apart, or that of lists if there is none; from there upwards.
    level = shift
    while level < ALL_BITS and place_of(other, level) == place_of(h, level):
        level += BITS
    made: object = None
    mine: i64 = 1
    if level >= ALL_BITS:
        made = new_node(2, LIST, 0, 0, 0)
    else:
        both = bit_of(place_of(other, level)) | bit_of(place_of(h, level))
        mine = 1 if place_of(h, level) > place_of(other, level) else 0
        made = new_node(2, 0, both, both, 0)
    share_entries(node, index, cell_address(made), 1 - mine, 1)
    fill_entry(cell_address(made), mine, key_hash, key, value)
    while level > shift:
        level -= BITS
        above = new_node(1, 0, bit_of(place_of(h, level)), 0, 0)
        object_store(entry_at(cell_address(above), 0), new_branch(generation, made))
        made = above
    return made
