"""The invariants of a tree, checked. For tests, of a map that nobody else uses meanwhile.

May import only core's public names and ``_node``.
"""

from __future__ import annotations

from typing import Any

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    INT_KEY,
    OTHER_KEY,
    RELAXED,
    STR_KEY,
    key_kind,
    key_word,
    load,
    object_is_empty,
    object_load,
)
from intermodal_btree._node import (
    CHILDREN,
    DEAD,
    EMPTY,
    ENTRIES,
    INNER,
    LINK,
    LOCKED,
    META,
    PREFIX,
    VALUE,
    WORDS,
    area_of,
    byte_at,
    count_of,
    first_bytes,
    kind_of,
    least_of,
    number_at,
    skip_of,
    slot_of,
)


def check_node(
    node: i64, lower: Any, upper: Any, counts: i64, most: i64, level: int, depths: set[int]
) -> i64:
    """Raise AssertionError if an invariant of a subtree does not hold; return the number of its entries."""
    meta = load(node + META, ACQUIRE)
    assert meta & (LOCKED | DEAD) == 0, f"node {node:#x} is locked or dead: {meta:#x}"
    count, kind, skip = count_of(meta), kind_of(meta), skip_of(meta)
    assert count <= most, f"{count} entries in node {node:#x}"
    area = area_of(node, meta)
    assert sorted([int(byte_at(area, place)) for place in range(ENTRIES)]) == list(range(ENTRIES)), (
        "no permutation"
    )
    first = least_of(meta)
    assert count >= first, f"inner node {node:#x} has no child"
    previous = lower
    total: i64 = 0
    keys: list[Any] = []
    position: i64 = 0
    while position < ENTRIES:
        number = number_at(node, meta, position)
        slot = slot_of(node, number)
        if position >= count or position < first:
            assert object_is_empty(slot), f"entry {number} has a key"
            assert meta & INNER or object_is_empty(slot + VALUE), f"entry {number} has a value"
            keys.append(EMPTY)
        else:
            key: Any = object_load(slot, EMPTY)
            assert key is not EMPTY, f"entry {number} has no key"
            keys.append(key)
            # A leaf may begin with its bound.
            same = position == first and (previous is key or previous == key)
            assert previous is EMPTY or same or previous < key, f"{key!r} comes after {previous!r}"
            assert upper is EMPTY or key < upper, f"{key!r} belongs to the right of {upper!r}"
            previous = key
            check_word(node, kind, skip, number, key)
            if meta & INNER == 0:
                assert not object_is_empty(slot + VALUE), f"{key!r} has no value"
        position += 1
    if meta & INNER == 0:
        depths.add(level)
        assert load(node + LINK, RELAXED) == counts, f"leaf {node:#x} counts elsewhere"
        return count
    position = 0
    while position < count:
        child = load(node + CHILDREN + (number_at(node, meta, position) << 3), RELAXED)
        below = keys[position] if position > 0 else lower
        above = keys[position + 1] if position + 1 < count else upper
        total += check_node(child, below, above, counts, most, level + 1, depths)
        position += 1
    return total


def check_word(node: i64, kind: i64, skip: i64, number: i64, key: object) -> None:
    """Raise AssertionError if an entry is not encoded as its node says."""
    if kind == OTHER_KEY:
        return
    assert key_kind(key) == kind, f"{key!r} is in a node of kind {kind}"
    word = load(node + WORDS + (number << 3), RELAXED)
    assert word == key_word(key, skip), f"{key!r} has the word {word:#x}, skip {skip}"
    assert kind == STR_KEY or skip == 0
    assert kind == INT_KEY or kind == STR_KEY
    place: i64 = 0
    while place < skip:
        mine = first_bytes(key_word(key, place), skip - place)
        assert mine == load(node + PREFIX + place, RELAXED), f"{key!r} has not the prefix of its node"
        place += 8
