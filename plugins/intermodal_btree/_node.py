"""The nodes of a B+ tree: their memory, searching in one, and changing one.

The idea
========
A node holds up to 62 keys. Beside each key is a *word* that orders as the keys do: an int itself, or eight
bytes of a str, from behind the characters that all keys of the node have in common. So a search compares
words, lying side by side, several at a time, and looks at a key itself only where its word does not say all:
a B+ tree that does not wait for memory at each comparison.

Entries do not move when others come or go. An entry has a *number*, its place in the columns of the node;
which numbers are in use, and the order of their keys, says a permutation of the numbers, a byte each: first
those in use, by key, then the free ones. There are two, one of which is current, and one word, the *meta*
word, says which, with the number of entries and a version::

    meta     version | skip | kind | INNER | DEAD | count = 3 | area = 1 | LOCKED
    prefix   "key-00"                            what the keys have in common, skip = 6 bytes of it
    area 0   [2 0 1 3 4 ...]                     of the version before
    area 1   [2 3 0 | 1 4 ...]                   current: entries 2, 3, 0 by key; 1, 4... are free
    words    0: "2217"   1: -   2: "0003"   3: "0815"   ...
    keys     0: "key-002217"  1: -  ...          object slots, seldom looked at
    values   0: an object     1: -  ...          of a leaf
    children 0: address   ...                    of an inner node

A writer takes the lock in the meta word, fills a free entry, writes the other permutation, and stores the
meta word with the other area, the new count and a new version. **One store changes the node.** At every
moment the current permutation is whole, so that readers never wait: they remember the meta word, search, and
look at it again. LOCKED is not part of the comparison: a writer who has not stored anything yet disturbs
nobody.

Worked example: into the node above comes "key-000999". Number 1 is the first free: its word becomes "0999",
its slots the key and the value; area 0 becomes [2 3 1 0 | 4 ...]; then meta: count 4, area 0, next version.

The racing lines
================
- A reader at version v may still look at what a writer of version v + 2 changes: the area of v, and an entry
  that the change to v + 1 has set free. It reads garbage then, in memory that is always there, and sees the
  new version when it has done so: the writer has a fence(RELEASE) between taking the lock, which it does by
  expecting v + 1, and its first store; the reader has a fence(ACQUIRE) between its last load and its second
  look at the meta word. Whoever sees any of the stores sees version v + 1, or a later one.
- A removal stores the new meta word first and empties the slots after that, by exchanges, ACQ_REL: whoever
  finds a slot empty, or filled again, finds another version.
- Replacing a value changes no version: a reader gets the old value or the new one, each the key's at a moment
  between its two looks.
- A node's memory is never given back while the map lives; a dead node is used again as a node of the same
  sort, with a later version. So whoever comes late reads a node, whichever, and finds out.

*kind* says how the keys are compared: INT_KEY or STR_KEY, if all of them are such, else OTHER_KEY: then the
words mean nothing, and only the keys themselves can tell. Kind and skip of a node with entries never change;
a node that is to hold a key which does not fit in is replaced by another.

The first entry of an inner node has no key: it stands for everything below the second one's.

Sources: Levandoski and others, The Bw-tree, and Leis and others, Optimistic lock coupling (validation);
Mao and others, Masstree (permutations); Graefe, Modern B-tree techniques (words, prefixes); the scc crate's
TreeIndex (one word decides). May import only core's public names.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    INT_KEY,
    OTHER_KEY,
    RELAXED,
    RELEASE,
    STR_KEY,
    count_below,
    fence,
    key_compare,
    key_equals,
    key_kind,
    key_word,
    load,
    object_copy,
    object_forget,
    object_load,
    object_prefetch,
    object_store,
    prefetch,
    store,
)

# ---- layout -----------------------------------------------------------------------------------------------

#: Entries that there is memory for, and that a node may hold: a change of an inner node puts two new entries
#: beside those that they replace.
ENTRIES: Final = 64
LIMIT: Final = 62

META: Final = 0
#: Address of the object slots.
SLOTS: Final = 8
#: Of a leaf, the address of the counts of its tree's entries; of a node that is not in use, the next such.
LINK: Final = 16
PREFIX: Final = 24
MOST_SKIP: Final = 40
AREAS: Final = 64
AREA_BYTES: Final = 64
WORDS: Final = 192
CHILDREN: Final = 704
LEAF_WORDS: Final = 88
INNER_WORDS: Final = 152
LEAF_SLOTS: Final = 128
INNER_SLOTS: Final = 64
#: From the slot of a key to that of its value: the keys, which a look-up seldom touches, lie by themselves.
VALUE: Final = 512
LINE: Final = 64

# The meta word. Bit 0 is the lock of intermodal.atomics.try_lock.
LOCKED: Final = 1
AREA: Final = 2
COUNT_SHIFT: Final = 2
COUNT_MASK: Final = 127
#: The node is not, or no longer, part of the tree.
DEAD: Final = 1 << 9
INNER_SHIFT: Final = 10
INNER: Final = 1 << 10
KIND_SHIFT: Final = 11
SKIP_SHIFT: Final = 13
SKIP_MASK: Final = 63
VERSION_STEP: Final = 1 << 20
#: What stays of the meta word when entries come and go.
ABOVE_COUNT: Final = -1 << 9
ABOVE_SKIP: Final = -1 << 20

#: Of the entry without a key.
LEAST: Final = -1 << 63

# Results of a search that are not positions.
ASK: Final = -1  # only the keys can tell
CHANGED: Final = -2  # the node has changed meanwhile

#: What a slot is loaded with as fallback to learn that it is empty.
EMPTY: Final = object()


def count_of(meta: i64) -> i64:
    """Return the number of entries."""
    return (meta >> COUNT_SHIFT) & COUNT_MASK


def least_of(meta: i64) -> i64:
    """Return the number of entries without a key: 1 in an inner node, else 0."""
    return (meta & INNER) >> INNER_SHIFT


def kind_of(meta: i64) -> i64:
    """Return how the keys are compared."""
    return (meta >> KIND_SHIFT) & 3


def skip_of(meta: i64) -> i64:
    """Return how many bytes the keys have in common in front of their words."""
    return (meta >> SKIP_SHIFT) & SKIP_MASK


def area_of(node: i64, meta: i64) -> i64:
    """Return the address of the current permutation."""
    return node + AREAS + (meta & AREA) * (AREA_BYTES // AREA)


def byte_at(area: i64, position: i64) -> i64:
    """Return the byte at *position* of a permutation."""
    return (load(area + (position & ~7), RELAXED) >> ((position & 7) << 3)) & 255


def number_at(node: i64, meta: i64, position: i64) -> i64:
    """Return the number of the entry at *position*, counted by key; of a free one behind them."""
    return byte_at(area_of(node, meta), position)


def slot_of(node: i64, number: i64) -> i64:
    """Return the address of the slot of entry *number*'s key."""
    return load(node + SLOTS, RELAXED) + (number << 3)


def is_unchanged(node: i64, meta: i64) -> bool:
    """Return whether the meta word is still *meta*, but for LOCKED, after all that was loaded before."""
    fence(ACQUIRE)
    return (load(node + META, RELAXED) ^ meta) | LOCKED == LOCKED


def prefetch_node(node: i64) -> None:
    """Ask for the lines that a search looks at: it then waits for memory once."""
    line = node
    while line < node + CHILDREN:
        prefetch(line)
        line += LINE


# ---- searching --------------------------------------------------------------------------------------------


def compare_prefix(node: i64, skip: i64, key: object) -> i64:
    """Return -1, 0 or 1 if the str *key* begins with less than, with, or with more than the node's prefix."""
    place: i64 = 0
    while place < skip:
        mine = first_bytes(key_word(key, place), skip - place)
        theirs = load(node + PREFIX + place, RELAXED)
        if mine != theirs:
            return -1 if mine < theirs else 1
        place += 8
    return 0


def says_all(kind: i64, word: i64) -> bool:
    """Return whether no other key that fits into the node has the same word: an int, or a short str."""
    return kind == INT_KEY or word & 255 == 0


def find(node: i64, meta: i64, key: object, kind: i64, word: i64) -> i64:
    """Search *key* in a leaf: twice the number of lesser keys, one more if *key* is there; ASK; CHANGED.

    *kind* and *word* are the key's, the word from its beginning. The answer is that of *meta* if the caller
    finds the node unchanged.
    """
    count = count_of(meta)
    if count == 0:
        return 0
    if kind != kind_of(meta) or kind == OTHER_KEY:
        return ASK
    if kind == STR_KEY:
        skip = skip_of(meta)
        if skip != 0:
            side = compare_prefix(node, skip, key)
            if side < 0:
                return 0
            if side > 0:
                return count << 1
            word = key_word(key, skip)
    area = area_of(node, meta)
    position = count_below(area, node + WORDS, count, word)
    if position == count:
        return position << 1
    number = byte_at(area, position)
    if load(node + WORDS + (number << 3), RELAXED) != word:
        return position << 1
    if says_all(kind, word):
        return (position << 1) | 1
    return find_among_equals(node, area, count, position, key, word)


def find_among_equals(node: i64, area: i64, count: i64, position: i64, key: object, word: i64) -> i64:
    """Search the str *key* in a leaf from *position* on, where words equal to its own begin."""
    slots = load(node + SLOTS, RELAXED)
    if key_equals(slots + (byte_at(area, position) << 3), key) == 1:
        return (position << 1) | 1
    last = count_below(area, node + WORDS, count, word + 1)
    while position < last:
        middle = (position + last) >> 1
        order = key_compare(slots + (byte_at(area, middle) << 3), key)
        if order == 0:
            return (middle << 1) | 1
        if order > 1:
            return CHANGED
        if order < 0:
            position = middle + 1
        else:
            last = middle
    return position << 1


def rank(node: i64, meta: i64, key: object, kind: i64, word: i64, inclusive: bool) -> i64:
    """Return how many keys are less than *key*, or, *inclusive*, not greater; ASK; CHANGED.

    The keyless first entry of an inner node counts as less than everything.
    """
    count = count_of(meta)
    least = least_of(meta)
    if count <= least:
        return count
    if kind != kind_of(meta) or kind == OTHER_KEY:
        return ASK
    area = area_of(node, meta)
    if kind == STR_KEY:
        skip = skip_of(meta)
        if skip != 0:
            side = compare_prefix(node, skip, key)
            if side < 0:
                return least
            if side > 0:
                return count
            word = key_word(key, skip)
    if says_all(kind, word):
        if inclusive:
            word += 1
        return max(count_below(area, node + WORDS, count, word), least)
    position = max(count_below(area, node + WORDS, count, word), least)
    if position == count or load(node + WORDS + (byte_at(area, position) << 3), RELAXED) != word:
        return position
    last = count_below(area, node + WORDS, count, word + 1)
    while position < last:
        middle = (position + last) >> 1
        order = key_compare(slot_of(node, byte_at(area, middle)), key)
        if order > 1:
            return CHANGED
        if order < 0 or (inclusive and order == 0):
            position = middle + 1
        else:
            last = middle
    return position


def low_bits(count: i64) -> i64:
    """Return a word with the *count* least significant bits set, 0 to 63."""
    ones = count | -1  # no literal: mypyc 2.4.1 leaves shifting one to C, as an int of 32 bits
    return ~(ones << count)


def first_bytes(word: i64, count: i64) -> i64:
    """Return *word* with all but the *count* most significant bytes zero."""
    return word if count >= 8 else word & ~low_bits((8 - count) << 3)


# ---- permutations -----------------------------------------------------------------------------------------
# Both write a whole permutation, which may be the one that they read.


def rotate_in(source: i64, target: i64, at: i64, end: i64) -> None:
    """Let *target* be *source* with the byte at *end* moved to *at*, in front of those from there on."""
    carry = byte_at(source, end)
    first, last = at >> 3, end >> 3
    index: i64 = 0
    while index < 8:
        word = load(source + (index << 3), RELAXED)
        if first <= index <= last:
            low: i64 = 0
            if index == first:
                low = (at & 7) << 3
            high: i64 = 56
            if index == last:
                high = (end & 7) << 3
            leaving = (word >> high) & 255
            # Of bits low .. high + 7 all but the last byte move up by one.
            moving = low_bits(high) & ~low_bits(low)
            staying = low_bits(low) | (~low_bits(high) << 8)
            word = (word & staying) | ((word & moving) << 8) | (carry << low)
            carry = leaving
        store(target + (index << 3), word, RELAXED)
        index += 1


def rotate_out(source: i64, target: i64, at: i64, end: i64) -> None:
    """Let *target* be *source* with the byte at *at* moved to *end*, behind those in between."""
    carry = byte_at(source, at)
    first, last = at >> 3, end >> 3
    index: i64 = 7
    while index >= 0:
        word = load(source + (index << 3), RELAXED)
        if first <= index <= last:
            low: i64 = 0
            if index == first:
                low = (at & 7) << 3
            high: i64 = 56
            if index == last:
                high = (end & 7) << 3
            leaving = (word >> low) & 255
            moving = low_bits(high) & ~low_bits(low)
            staying = low_bits(low) | (~low_bits(high) << 8)
            word = (word & staying) | ((word >> 8) & moving) | (carry << high)
            carry = leaving
        store(target + (index << 3), word, RELAXED)
        index -= 1


def other_area(node: i64, meta: i64) -> i64:
    """Return the address of the permutation that is not current."""
    return node + AREAS + ((meta & AREA) ^ AREA) * (AREA_BYTES // AREA)


def next_meta(meta: i64, count: i64) -> i64:
    """Return the meta word, LOCKED, of the next version, with the other area and that many entries."""
    return ((meta & ABOVE_COUNT) + VERSION_STEP) | (count << COUNT_SHIFT) | ((meta & AREA) ^ AREA) | LOCKED


# ---- what fits in -----------------------------------------------------------------------------------------


def fits(node: i64, meta: i64, key: object, kind: i64) -> bool:
    """Return whether *key* can be put beside the keys of the node, as they are encoded."""
    if count_of(meta) <= least_of(meta):
        return True
    node_kind = kind_of(meta)
    if node_kind == OTHER_KEY:
        return True
    return kind == node_kind and (kind == INT_KEY or compare_prefix(node, skip_of(meta), key) == 0)


def fitted(meta: i64, kind: i64) -> i64:
    """Return *meta* as it is when a key of *kind* that fits in has come: the first one sets the kind."""
    if count_of(meta) > least_of(meta):
        return meta
    return (meta & ~((3 << KIND_SHIFT) | (SKIP_MASK << SKIP_SHIFT))) | (kind << KIND_SHIFT)


def word_for(meta: i64, key: object) -> i64:
    """Return the word of *key*, which fits in, for a node with that meta word."""
    kind = kind_of(meta)
    if kind == OTHER_KEY:
        return 0
    return key_word(key, skip_of(meta))


# ---- nodes under construction: nobody else knows them yet -------------------------------------------------


def copy_entries(source: i64, meta: i64, begin: i64, end: i64, target: i64, at: i64) -> None:
    """Copy the entries at positions *begin* to *end* of a locked node to numbers from *at* on of *target*.

    No reference is counted: *source* is to forget them.
    """
    position = begin
    while position < end:
        object_prefetch(slot_of(source, number_at(source, meta, position)))
        position += 1
    position = begin
    while position < end:
        number = number_at(source, meta, position)
        slot = slot_of(source, number)
        target_slot = slot_of(target, at)
        if meta & INNER:
            child = load(source + CHILDREN + (number << 3), RELAXED)
            store(target + CHILDREN + (at << 3), child, RELAXED)
        else:
            object_copy(slot + VALUE, target_slot + VALUE)
        if meta & INNER == 0 or position > 0:
            object_copy(slot, target_slot)
        at += 1
        position += 1


def same_bytes(left: object, right: object) -> i64:
    """Return how many ASCII characters two str have in common at their beginnings, MOST_SKIP at most."""
    place: i64 = 0
    while place < MOST_SKIP:
        mine = key_word(left, place) ^ LEAST
        theirs = key_word(right, place) ^ LEAST
        shift: i64 = 56
        while shift >= 0:
            byte = (mine >> shift) & 255  # one more than the character; zero behind the end
            if byte != (theirs >> shift) & 255 or byte == 0 or byte > 128:
                return place
            place += 1
            shift -= 8
    return place


def common_kind(node: i64, meta: i64, count: i64, key: object) -> i64:
    """Return the kind that all keys of a node in the making have, and *key*, unless that is EMPTY."""
    number = least_of(meta)
    if number < count:
        kind = key_kind(object_load(slot_of(node, number), None))
    elif key is not EMPTY:
        kind = key_kind(key)
    else:
        return OTHER_KEY
    while number < count:
        if key_kind(object_load(slot_of(node, number), None)) != kind:
            return OTHER_KEY
        number += 1
    return kind if key is EMPTY or key_kind(key) == kind else OTHER_KEY


def common_skip(node: i64, meta: i64, count: i64, key: object) -> i64:
    """Return how many bytes all str of a node in the making have in common, and *key* unless it is EMPTY."""
    first = least_of(meta)
    if count - first < 1 or (count - first < 2 and key is EMPTY):
        return 0
    least = object_load(slot_of(node, first), None)
    skip = same_bytes(least, object_load(slot_of(node, count - 1), None))
    return skip if key is EMPTY else min(skip, same_bytes(least, key))


def complete(node: i64, count: i64, inner: i64, key: object) -> None:
    """Encode a node whose numbers 0 to *count* - 1 have been filled in order, and bring it to life.

    Args:
        inner: INNER or 0.
        key: what is to fit in besides, or EMPTY.
    """
    meta: i64 = (load(node + META, RELAXED) & ABOVE_SKIP) + VERSION_STEP | inner | (count << COUNT_SHIFT)
    kind = common_kind(node, meta, count, key)
    skip: i64 = 0
    if kind == STR_KEY:
        skip = common_skip(node, meta, count, key)
    meta |= (kind << KIND_SHIFT) | (skip << SKIP_SHIFT)
    number: i64 = 0
    if inner != 0:
        store(node + WORDS, LEAST, RELAXED)
        number = 1
    place: i64 = 0
    while place < skip:
        word = key_word(object_load(slot_of(node, number), None), place)
        store(node + PREFIX + place, first_bytes(word, skip - place), RELAXED)
        place += 8
    if kind != OTHER_KEY:
        while number < count:
            word = key_word(object_load(slot_of(node, number), None), skip)
            store(node + WORDS + (number << 3), word, RELAXED)
            number += 1
    # The numbers 0, 1, 2... in order.
    place = 0
    while place < 8:
        store(node + AREAS + (place << 3), 0x0706050403020100 + place * 0x0808080808080808, RELAXED)
        place += 1
    store(node + META, meta, RELEASE)


def put_entry(node: i64, meta: i64, position: i64, key: object, kind: i64) -> tuple[i64, i64]:
    """Put *key*, which fits in, at *position* of a locked node with room; returns (next meta word, number).

    The caller fills the rest of the entry and then stores the meta word.
    """
    fence(RELEASE)  # after the lock was taken, before anything is stored: see the racing lines
    count = count_of(meta)
    number = number_at(node, meta, count)
    meta = fitted(meta, kind)
    store(node + WORDS + (number << 3), word_for(meta, key), RELAXED)
    object_store(slot_of(node, number), key)
    rotate_in(area_of(node, meta), other_area(node, meta), position, count)
    return next_meta(meta, count + 1), number


def forget_entries(node: i64, meta: i64) -> None:
    """Empty the slots of a dead node whose references others have."""
    position: i64 = 0
    count = count_of(meta)
    while position < count:
        slot = slot_of(node, number_at(node, meta, position))
        object_forget(slot)
        if meta & INNER == 0:
            object_forget(slot + VALUE)
        position += 1
