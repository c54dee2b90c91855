"""The invariants of a trie, for tests. May import only core's public names and this package."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from intermodal.atomics import RELAXED, cell_address, cell_of, count_ones, load, mix, reachability_fence
from intermodal_trie._nodes import (
    ALL_BITS,
    BITMAP,
    BITS,
    BRANCH_GENERATION,
    LEAVES,
    LIST,
    STATE,
    TOMB,
    bit_of,
    count_of,
    entry_at,
    hash_at,
    place_of,
)
from intermodal_trie._read import main_of

#: The bits of a path that are checked: all but those of the last level, where the sign is in the way.
PATH_BITS: Final = 60


def check_node(root: i64, node: object, shift: i64, path: i64, generation: i64) -> None:
    """Raise AssertionError if an invariant of a frozen *node* or of what is below does not hold.

    Args:
        root: address of the map's root slot.
        node: the node.
        shift: of its level.
        path: the bits of all hashes below it, the lowest *shift* ones.
        generation: of the branch, or the root, that leads to it.
    """
    at = cell_address(node)
    check_shape(at, shift)
    count, leaves, rest = count_of(at), load(at + LEAVES, RELAXED), load(at + BITMAP, RELAXED)
    index: i64 = 0
    while index < count:
        bit = rest & -rest
        if bit == 0 or leaves & bit:
            check_entry(at, index, bit, shift, path)
        else:
            branch = cell_of(entry_at(at, index))
            made = load(branch + BRANCH_GENERATION, RELAXED)
            assert made <= generation, f"a branch of generation {made} below one of {generation}"
            way = path
            if shift < PATH_BITS:
                way |= count_ones(bit - 1) << shift
            check_node(root, main_of(root, branch), shift + BITS, way, made)
        rest &= rest - 1
        index += 1
    reachability_fence(node)


def check_shape(node: i64, shift: i64) -> None:
    """Raise AssertionError if the words of *node* contradict each other or its level."""
    flags = load(node + STATE, RELAXED)
    count = count_of(node)
    bitmap, leaves = load(node + BITMAP, RELAXED), load(node + LEAVES, RELAXED)
    is_list = flags & LIST != 0
    assert is_list == (shift >= ALL_BITS), f"a list at the level of bit {shift}"
    assert bitmap == 0 or not is_list, f"a list with the bitmap {bitmap:#x}"
    assert leaves & ~bitmap == 0 or is_list, f"entries {leaves:#x}, bitmap {bitmap:#x}"
    few = count <= 1 and (is_list or bitmap == leaves)
    assert few == (flags & TOMB != 0) or shift == 0, f"a node of {count} places has the flags {flags}"


def check_entry(node: i64, index: i64, bit: i64, shift: i64, path: i64) -> None:
    """Raise AssertionError if the entry *index*, in the place of *bit*, is not where its hash leads."""
    h = mix(load(hash_at(node, index), RELAXED))
    below = bit_of(min(shift, PATH_BITS)) - 1
    assert (h ^ path) & below == 0, "an entry lies off the path of its hash"
    assert bit in (0, bit_of(place_of(h, shift))), "an entry lies in a wrong place"
