"""Blocks: what they keep alive, what the collector and the profilers see of them, and how they end."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref

import pytest

import intermodal
from intermodal import atomics, memory
from intermodal.atomics import RELAXED
from intermodal.errors import AddressError
from intermodal.memory import Block
from intermodal.testing.threads import in_threads


class Node:
    """An object that may refer to others, and to which references can be weak."""


def put(block, value, index=0):
    atomics.object_store(block.objects_address + 8 * index, value)


def referents(value, depth=4):
    """Return what the collector sees that *value* refers to, directly or through the block's own parts."""
    found = gc.get_referents(value)
    for each in list(found) if depth else ():
        if type(each).__module__.startswith("intermodal") or type(each) in (dict, list):
            found += referents(each, depth - 1)
    return found


def test_the_collector_sees_what_is_in_the_slots():
    """Each object, as often as it is there; nothing of a slot that was emptied."""
    block, first, second = Block(words=2, objects=5), Node(), Node()
    for index, value in enumerate((first, second, first)):
        put(block, value, index)
    assert gc.is_tracked(block)
    found = referents(block)
    assert sum(each is first for each in found) == 2
    assert sum(each is second for each in found) == 1
    atomics.object_take(block.objects_address, None)
    assert sum(each is first for each in referents(block)) == 1


@pytest.mark.parametrize("objects", [1, 2**17], ids=["small", "large"])
def test_a_cycle_through_a_block_is_collected(objects):
    """Block -> object -> block, with nobody else left; also where the block is mapped, not allocated."""
    block, node = Block(words=0, objects=objects), Node()
    node.block = block
    put(block, node, objects - 1)
    alive, address = weakref.ref(node), block.objects_address
    del block, node
    assert alive() is not None
    gc.collect()
    assert alive() is None
    with pytest.raises(AddressError):
        atomics.object_load(address, None)


def test_a_cycle_of_blocks_is_collected():
    """Two blocks, each in a slot of the other."""
    first, second, node = Block(0, 1), Block(0, 2), Node()
    put(first, second)
    put(second, first)
    put(second, node, 1)
    alive = weakref.ref(node)
    del first, second, node
    gc.collect()
    assert alive() is None


def test_what_is_reachable_through_a_block_is_not_collected():
    """However often the collector looks."""
    block, node = Block(0, 1), Node()
    node.self = node
    put(block, node)
    alive = weakref.ref(node)
    del node
    for _ in range(3):
        gc.collect()
    assert alive() is atomics.object_load(block.objects_address, None)


def test_abandoned_slots_can_still_be_looked_at():
    """A reader that came before the block was abandoned finds them empty."""
    block = Block(1, 3)
    put(block, "x", 1)
    atomics.object_take(block.objects_address + 8, None)
    block.abandon_objects()
    for index in range(3):
        slot = block.objects_address + 8 * index
        assert atomics.object_is_empty(slot)
        assert atomics.object_load(slot, "nothing") == "nothing"
        assert atomics.key_equals(slot, "x") == 0
    assert atomics.load(block.address, RELAXED) == 0


@pytest.mark.skipif(not intermodal.__compiled__, reason="a list is visited whatever it holds")
def test_the_collector_does_not_visit_abandoned_slots():
    """It is told so by the last one who had anything there."""
    block = Block(0, 1)
    put(block, node := Node())
    assert any(each is node for each in referents(block))
    block.abandon_objects()
    assert not any(each is node for each in referents(block))
    atomics.object_take(block.objects_address, None)


@pytest.mark.parametrize(("words", "objects"), [(1000, 0), (2**18, 0), (0, 2**18), (2**20, 2**20)])
def test_tracemalloc_sees_a_block_come_and_go(words, objects):
    """Small ones and those mapped from the operating system alike."""
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        block = Block(words, objects)
        during, _ = tracemalloc.get_traced_memory()
        del block
        after, _ = tracemalloc.get_traced_memory()
    finally:
        if not tracing:
            tracemalloc.stop()
    size = 8 * (words + objects)
    assert size <= during - before <= size + 10_000
    assert after - before <= 5_000


@pytest.mark.parametrize(("words", "objects"), [(0, 0), (1, 0), (100, 28), (2**18, 5)])
def test_the_size_of_a_block_is_that_of_its_memory(words, objects):
    """Eight bytes for each word and slot, and little more."""
    block = Block(words, objects)
    assert block.words == words
    assert block.objects == objects
    assert 8 * (words + objects) < sys.getsizeof(block) <= 8 * (words + objects) + 256


def registered():
    return len(memory._ranges)


def test_the_registry_forgets_freed_blocks():
    """Every one of many, of every size, freed in another order than made."""
    gc.collect()
    before = registered()
    blocks = [Block(words, objects) for words in range(0, 200, 7) for objects in range(0, 100, 9)]
    blocks += [Block(2**k, 2**k) for k in range(18)]
    assert registered() > before + len(blocks)
    for block in blocks:
        memory.check_words(block.address, 8) if block.words else None
        if block.objects:
            memory.check_slot(block.objects_address + 8 * (block.objects - 1))
    del block
    while blocks:
        blocks.pop(len(blocks) // 2)
    gc.collect()
    assert registered() == before


def test_every_word_of_neighbouring_blocks_is_found():
    """By its own address, its bytes' and its groups' of 16, and nothing beyond the last."""
    blocks = [Block(words, 3) for words in (1, 2, 3, 8, 9, 31, 33, 100, 64, 7)]
    for block in blocks:
        for index in range(block.words):
            memory.check_words(block.address + 8 * index, 8)
            memory.check_words(block.address + 8 * index + 7, 1)
            if index % 2 == 0 and index + 1 < block.words:
                memory.check_words(block.address + 8 * index, 16)
        with pytest.raises(AddressError, match="of 8 bytes"):
            memory.check_words(block.objects_address, 8)
        with pytest.raises(AddressError, match="of 16 bytes"):
            memory.check_words(block.address + 8 * (block.words - 1), 16)
        with pytest.raises(AddressError, match="a byte"):
            memory.check_words(block.address - 1, 1)
        for index in range(3):
            memory.check_slot(block.objects_address + 8 * index)
        with pytest.raises(AddressError, match="an object slot"):
            memory.check_slot(block.objects_address + 24)


def test_blocks_made_and_freed_while_the_registry_works_do_no_harm():
    """The collector frees cycles of blocks, and makes blocks in their finalizers, at any allocation."""
    gc.collect()
    before = registered()

    class Maker:
        def __init__(self, words):
            self.block = Block(words, 1)
            put(self.block, self)

        def __del__(self):
            block = Block(self.block.words)
            memory.check_words(block.address, 8)

    thresholds = gc.get_threshold()
    try:
        for number in (1, 2, 3, 8, 9, 31, 64):
            for allocations in range(1, 40):  # from here to the next collection
                gc.set_threshold(0)
                Maker(number)
                gc.collect(0)
                Maker(number)
                gc.set_threshold(allocations)
                block = Block(number, number)
                memory.check_words(block.address, 8)
    finally:
        gc.set_threshold(*thresholds)
    del block
    gc.collect()
    assert registered() == before


def test_threads_make_and_free_blocks_at_once():
    """Each finds its own, all are forgotten in the end, and those handed to another thread survive there."""
    gc.collect()
    before = registered()
    shared = [Block(0, 8)]

    def work(number):
        for turn in range(300):
            block = Block(turn % 40 + 1, turn % 7 + 1)
            atomics.store(block.address + 8 * (turn % 40), number, RELAXED)
            put(block, number)
            other = atomics.object_exchange(shared[0].objects_address + 8 * (turn % 8), block, None)
            if other is not None:
                assert atomics.load(other.address + 8 * (other.words - 1), RELAXED) in range(4)
                assert atomics.object_load(other.objects_address, None) in range(4)
            assert atomics.load(block.address + 8 * (turn % 40), RELAXED) == number

    in_threads(4, work)
    shared.clear()
    gc.collect()
    assert registered() == before


@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: [inner]], ids=["bare", "in lists"])
def test_deeply_nested_blocks_are_freed_without_overflow(wrap):
    """A hundred thousand blocks, each in a slot of the next."""
    gc.collect()
    before = registered()
    outer = Block(1, 1)
    node = Node()
    put(outer, node)
    alive = weakref.ref(node)
    del node
    for _ in range(100_000):
        inner, outer = outer, Block(1, 1)
        put(outer, wrap(inner))
    del inner
    assert alive() is not None
    del outer
    assert alive() is None
    assert registered() == before


def test_a_block_dies_with_its_last_reference():
    """At once, without the collector; the objects in its slots too, in whatever order."""
    log = []
    block = Block(1, 10)
    for index in range(10):
        node = Node()
        weakref.finalize(node, log.append, index)
        put(block, node, index)
    del node
    gc.disable()
    try:
        del block
        assert sorted(log) == list(range(10))
    finally:
        gc.enable()


def test_a_destructor_may_make_blocks_while_a_block_dies():
    """And use them."""
    found = []

    class Maker:
        def __del__(self):
            block = Block(1, 1)
            put(block, self)
            found.append(atomics.object_take(block.objects_address, None) is self)

    block = Block(0, 100)
    for index in range(100):
        put(block, Maker(), index)
    del block
    assert found == [True] * 100
