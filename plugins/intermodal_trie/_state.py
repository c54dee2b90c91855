"""What all views of one trie share, and its changes: writes, snapshots.

The map is one slot, the *root*, that holds the first node. Each root has a generation. A snapshot is a copy
of the root with the next generation, put in its place by one compare-and-exchange. From then on every branch
that is reachable is of an older generation, and writers do not change it. They copy the nodes on their way,
with branches of their own generation, and put the copies in place together with the change, by one
compare-and-exchange. Thus a snapshot takes one node's time, and writers pay for it later, once for each path;
and however often snapshots are taken, a writer can only be kept from its end by other writers. Because the
root and its generation are in one slot, no descriptor is needed to change both, as in Ctrie; what is needed
is below.

The racing lines
================
**A write against a snapshot** (:func:`swap`). A writer that began before a snapshot must not change an old
branch after it. It puts its node in as PENDING, with a reference to the node that it replaces, looks at the
root's generation, and only then decides: COMMITTED if that is still the branch's, else FAILED. Whoever meets
a PENDING node decides in the same way before doing anything else, so no operation ever depends on another
thread's progress, and the first decision is everybody's. FAILED means that the node before counts.

- *Put in, looked, then the snapshot.* The look came after the node was put in; so whoever reads the snapshot
  meets the node, PENDING or COMMITTED. If it decides FAILED before the writer's COMMITTED is stored, the
  writer tries again in the new generation; else the write is in the snapshot and in the map. Nobody can have
  seen the node before it in the snapshot.
- *Put in, snapshot, looked.* FAILED.
- The fences order the putting in before the look, and the new root before the reading of a snapshot: without
  them each of the two could miss the other (store buffering).

A branch of an old generation keeps a FAILED node at most for a moment, and is never committed to again:
generations only grow. That is why its node can be shared by the branch that takes its place.

**A write against a write.** Both expect the same node in the slot; one succeeds, the other begins again at
the root. A node that was replaced is never put in again, but in place of a FAILED one; and who compares holds
a reference, so that no other node can have its address: no ABA.

**A removal against a write.** A TOMB is final. The removal that left it, and every write that meets it, put
what is left of it into the node above; whoever succeeds, all go on. Reads take what it has: as long as the
branch is in the node above, that is the truth.

**A read** goes from node to node. Each node was the branch's at the moment when it was loaded, and the branch
was in the trie at some moment of the read: a branch is taken out only when its node is final, a TOMB or
frozen, and then what it says held when it was taken out.

References
==========
Nodes and branches are kept by the slots that hold them. Without the GIL, readers and writers count one
reference to the node at which they are; its branches live as long as it does. So what is replaced or removed
goes at once, with the last snapshot, iterator or operation that still looks at it. With the GIL nothing comes
between the steps of a compiled read, and it counts nothing.

A reclaimer would save the counting, but what it promises would not hold: retired would be whole nodes, with
entries that are still in the map, and after a snapshot or ``clear`` everything below them. So objects would
live on for reasons that their owner cannot see; and writes would be slower, since a node that goes at once
leaves its memory to the next one.

Sources: Prokopec, Bronson, Bagwell, Odersky, Concurrent tries with efficient non-blocking snapshots (branches
and nodes are its I-nodes and main nodes; PENDING is its GCAS); Bagwell, Ideal hash trees.
May import only core's public names and this package.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, final

from mypy_extensions import i64

from intermodal.atomics import (
    RELAXED,
    SEQ_CST,
    cell_address,
    cell_of,
    fence,
    load,
    object_compare_exchange,
    object_load,
    object_store,
    object_take,
    reachability_fence,
    store,
)
from intermodal.memory import Block
from intermodal_trie._check import check_node
from intermodal_trie._nodes import (
    BITMAP,
    BITS,
    BRANCH_GENERATION,
    FAILED,
    FRESH,
    LEAVES,
    MAIN,
    PENDING,
    STATE,
    TOMB,
    VALUE,
    bit_of,
    count_of,
    entry_at,
    generation_at,
    index_of,
    list_flag,
    new_branch,
    new_node,
    place_of,
    previous_slot,
    spliced,
    split,
    with_branch,
    with_entry,
    with_entry_of,
    with_value,
    without,
)
from intermodal_trie._read import Mark, count_entries, decide, find_in_list, is_key, main_of

# Conditions of a write, and its results.
ALWAYS: Final = 0
IF_ABSENT: Final = 1
IF_PRESENT: Final = 2
IF_IDENTICAL: Final = 3
DONE_INSERTED: Final = 0
DONE_REPLACED: Final = 1
DONE_REMOVED: Final = 2
REFUSED: Final = 3

#: As a new value: remove the entry.
REMOVE: Final[object] = Mark()

# What lies in a key's place.
NOTHING: Final = 0
ANOTHER: Final = 1
THE_KEY: Final = 2


# ---- one step ---------------------------------------------------------------------------------------------


def swap(root: i64, branch: i64, old: object, new: object) -> bool:
    """Put *new* in place of *old* in *branch*, or in the root if that is 0; return whether it counts.

    It counts if *old* was there and, in a branch, no snapshot has been taken since that was made. The caller
    keeps the branch. Nothing is allocated, and no destructor runs in here: the caller keeps *old*, too.
    """
    if branch == 0:
        return object_compare_exchange(root, old, new)
    inside = cell_address(new)
    store(inside + STATE, load(inside + STATE, RELAXED) | PENDING, RELAXED)
    object_store(previous_slot(inside), old)
    if not object_compare_exchange(branch + MAIN, old, new):
        return False
    if decide(root, branch, inside) == FAILED:
        # For order's sake: else a branch of the snapshot would keep what was never in it. Whoever has seen
        # the node goes on to the one before, with or without this.
        object_compare_exchange(branch + MAIN, new, old)
        return False
    # It is not asked for any more: nobody looks at what is before a COMMITTED node.
    object_take(previous_slot(inside), None)
    reachability_fence(new)
    return True


def descend(root: i64, h: i64) -> tuple[object, i64, list[object] | None, object, i64, i64]:
    """Go to the node in which the place of *h* is empty or an entry's.

    Returns, in this order: what keeps the branch; the last branch of this generation on the way; the nodes
    from that branch's node on, if the way leads on to a branch of an older generation; the node; the shift of
    its level; the generation. If a tomb was in the way, the node is None, and the caller begins again.
    """
    node: object = object_load(root, None)
    generation = load(generation_at(cell_address(node)), RELAXED)
    above: object = None
    branch: i64 = 0
    upper: object = None
    upper_branch: i64 = 0
    frozen: list[object] | None = None
    shift: i64 = 0
    while True:
        at = cell_address(node)
        if load(at + STATE, RELAXED) & TOMB:
            if frozen is None:
                contract(root, upper_branch, None, above, h, shift - BITS, generation, at)
            else:
                contract(root, branch, frozen, frozen.pop(), h, shift - BITS, generation, at)
            reachability_fence(upper)
            reachability_fence(above)
            reachability_fence(node)
            return None, 0, None, None, 0, 0
        bit = bit_of(place_of(h, shift))
        bitmap = load(at + BITMAP, RELAXED)
        if bitmap & bit == 0 or load(at + LEAVES, RELAXED) & bit:
            return above, branch, frozen, node, shift, generation
        child = cell_of(entry_at(at, index_of(bitmap, bit)))
        if frozen is not None:
            frozen.append(node)
        elif load(child + BRANCH_GENERATION, RELAXED) != generation:
            frozen = [node]
        else:
            upper = above
            upper_branch = branch
            above = node
            branch = child
        node = main_of(root, child)
        shift += BITS


def publish(
    root: i64, branch: i64, frozen: list[object] | None, node: object,
    h: i64, shift: i64, generation: i64, changed: object,
) -> bool:  # fmt: skip
    """Put *changed* in place of *node*, which :func:`descend` found; return whether it counts.

    If the way there is *frozen*, put it below copies of the nodes on the way, and these in place, at once.
    """
    if frozen:
        for each in reversed(frozen):
            shift -= BITS
            at = cell_address(each)
            bit = bit_of(place_of(h, shift))
            index = index_of(load(at + BITMAP, RELAXED), bit)
            changed = with_branch(at, bit, index, new_branch(generation, changed))
        node = frozen[0]
    return swap(root, branch, node, changed)


def contract(
    root: i64, branch: i64, frozen: list[object] | None, node: object,
    h: i64, shift: i64, generation: i64, tomb: i64,
) -> None:  # fmt: skip
    """Put what is left of *tomb* into *node*, where the branch in the place of *h* leads to it."""
    at = cell_address(node)
    bit = bit_of(place_of(h, shift))
    index = index_of(load(at + BITMAP, RELAXED), bit)
    changed = with_entry_of(at, bit, index, tomb, shift == 0)
    publish(root, branch, frozen, node, h, shift, generation, changed)


# ---- one write --------------------------------------------------------------------------------------------


def write(
    root: i64, h: i64, key_hash: i64, key: object, condition: i64, expected: object, new: object
) -> tuple[i64, object]:
    """Change the entry of *key* if the condition holds: (result, previous value)."""
    while True:
        above, branch, frozen, node, shift, generation = descend(root, h)
        if node is None:
            continue
        # What is found in the node is right as long as that is the branch's, which swap() makes sure of; if
        # nothing is to be changed, it was right when the node was loaded.
        at = cell_address(node)
        bit: i64 = 0 if list_flag(at) else bit_of(place_of(h, shift))
        index, there = search(at, bit, key_hash, key)
        found = there == THE_KEY
        previous: object = None
        if found:
            previous = object_load(entry_at(at, index) + VALUE, None)
        if not holds(condition, found, previous, expected) or (not found and new is REMOVE):
            reachability_fence(node)
            return REFUSED, previous
        if not found:
            result: i64 = DONE_INSERTED
            changed = with_key(at, bit, index, there, shift, generation, h, key_hash, key, new)
        elif new is REMOVE:
            result = DONE_REMOVED
            changed = without(at, bit, index, shift == 0)
        else:
            result = DONE_REPLACED
            changed = with_value(at, index, new)
        done = publish(root, branch, frozen, node, h, shift, generation, changed)
        reachability_fence(above)
        if done:
            if load(cell_address(changed) + STATE, RELAXED) & TOMB:
                tidy(root, h)
            reachability_fence(changed)
            return result, previous


def search(node: i64, bit: i64, key_hash: i64, key: object) -> tuple[i64, i64]:
    """Return where *key* is or would be in a node that the caller keeps, and what is there."""
    if bit == 0:
        index = find_in_list(node, key_hash, key)
        return (count_of(node), NOTHING) if index < 0 else (index, THE_KEY)
    bitmap = load(node + BITMAP, RELAXED)
    index = index_of(bitmap, bit)
    if bitmap & bit == 0:
        return index, NOTHING
    return index, THE_KEY if is_key(node, index, key_hash, key) else ANOTHER


def holds(condition: i64, found: bool, previous: object, expected: object) -> bool:
    """Return whether an entry, if *found* one with the value *previous*, is what a write asks for."""
    if condition == ALWAYS:
        return True
    if condition == IF_ABSENT:
        return not found
    return found and (condition == IF_PRESENT or previous is expected)


def with_key(
    node: i64, bit: i64, index: i64, there: i64, shift: i64, generation: i64,
    h: i64, key_hash: i64, key: object, value: object,
) -> object:  # fmt: skip
    """Return a copy of *node* with one more entry, below a new branch if another one is *there*."""
    if there == NOTHING:
        return with_entry(node, bit, index, key_hash, key, value)
    below = split(node, index, shift + BITS, generation, h, key_hash, key, value)
    return with_branch(node, bit, index, new_branch(generation, below))


def tidy(root: i64, h: i64) -> None:
    """Do away with tombs on the way of *h*, after a removal, which has succeeded and is not to fail now."""
    with suppress(MemoryError):  # the next write that comes this way does it
        while descend(root, h)[3] is None:
            pass


# ---- the state --------------------------------------------------------------------------------------------


@final
class TrieState:
    """What all views of one map share, and what concerns the whole map."""

    def __init__(self) -> None:
        self.block: Final = Block(0, 1)
        #: Address of the slot that holds the first node.
        self.root: Final[i64] = self.block.objects_address
        object_store(self.root, new_node(0, FRESH, 0, 0, 1))

    def freeze(self) -> object:
        """Return the first node of the trie as it is at one moment, for ever."""
        while True:
            node: object = object_load(self.root, None)
            at = cell_address(node)
            frozen = node
            # Nothing has been written to a FRESH root: every change replaces it.
            if load(at + STATE, RELAXED) & FRESH == 0:
                frozen = spliced(at, 0, 0, 0, FRESH, load(at + BITMAP, RELAXED), load(at + LEAVES, RELAXED))
                store(generation_at(cell_address(frozen)), load(generation_at(at), RELAXED) + 1, RELAXED)
                if not object_compare_exchange(self.root, node, frozen):
                    continue
            # See the top: the new root, this thread's or another's, before what is read of the snapshot.
            fence(SEQ_CST)
            return frozen

    def clear(self) -> None:
        """Remove all entries, at one moment."""
        while True:
            node: object = object_load(self.root, None)
            generation = load(generation_at(cell_address(node)), RELAXED)
            # The same one: a write that is on its way to a branch of the old root may count there, as if it
            # had come just before.
            if object_compare_exchange(self.root, node, new_node(0, FRESH, 0, 0, generation)):
                return

    def entries(self) -> i64:
        """Return the number of entries at one moment."""
        return count_entries(self.root, self.freeze())

    def check(self) -> None:
        """Raise AssertionError if an invariant does not hold."""
        first = self.freeze()
        check_node(self.root, first, 0, 0, load(generation_at(cell_address(first)), RELAXED))
