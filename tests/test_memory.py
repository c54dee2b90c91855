"""Blocks: what they keep alive, what the collector and the profilers see of them, and how they end."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
import sysconfig
import tracemalloc
import weakref
from array import array

import pytest

import intermodal
from intermodal import atomics, memory
from intermodal.atomics import RELAXED
from intermodal.errors import AddressError
from intermodal.memory import Block, Buffer, is_array
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
    size = 8 * (words + objects)
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        gc.collect()
        steps = [come_and_go(words, objects) for _ in range(3)]
    finally:
        if not tracing:
            tracemalloc.stop()
    assert all(size <= come for come, _ in steps)
    # Once in a while a block is one more than the registry of blocks has room for, which then grows.
    assert min(come for come, _ in steps) <= size + 10_000
    assert min(left for _, left in steps) <= 5_000


def come_and_go(words, objects):
    """Return by how much traced memory grows while there is a block, and afterwards."""
    before, _ = tracemalloc.get_traced_memory()
    block = Block(words, objects)
    during, _ = tracemalloc.get_traced_memory()
    del block
    after, _ = tracemalloc.get_traced_memory()
    return during - before, after - before


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
    gc.freeze()  # what other tests have left would be looked at hundreds of times
    # On free-threaded builds each collection is a full one.
    step = 8 if sysconfig.get_config_var("Py_GIL_DISABLED") else 1
    try:
        for number in (1, 2, 3, 8, 9, 31, 64):
            for allocations in range(1, 40, step):  # from here to the next collection
                gc.set_threshold(0)
                Maker(number)
                gc.collect(0)
                Maker(number)
                gc.set_threshold(allocations)
                block = Block(number, number)
                memory.check_words(block.address, 8)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
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


# ---- somebody else's words ---------------------------------------------------------------------------------


def words_of(buffer):
    return [atomics.load(buffer.address + 8 * index, RELAXED) for index in range(buffer.length)]


def numpy():
    return pytest.importorskip("numpy")


INTEGERS = {
    "array": lambda numbers: array("q", numbers),
    "array of longs": lambda numbers: array("l", numbers),
    "memoryview": lambda numbers: memoryview(array("q", numbers)),
    "strided memoryview": lambda numbers: memoryview(array("q", [x for n in numbers for x in (n, 0)]))[::2],
    "reversed memoryview": lambda numbers: memoryview(array("q", numbers[::-1]))[::-1],
    "cast bytes": lambda numbers: memoryview(array("q", numbers).tobytes()).cast("q"),
    "ctypes": lambda numbers: (ctypes.c_int64 * len(numbers))(*numbers),
    "numpy": lambda numbers: numpy().array(numbers, dtype="int64"),
    "strided numpy": lambda numbers: numpy().array(numbers, dtype="int64").repeat(3)[::3],
    "numpy column": lambda numbers: numpy().array([numbers, numbers], dtype="int64").T[:, 0],
    "unaligned numpy": lambda numbers: numpy().frombuffer(
        b"x" + array("q", numbers).tobytes(), dtype="int64", offset=1
    ),
}


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("numbers", [[], [7], [1, -2, 2**63 - 1, -(2**63)]], ids=len)
def test_a_buffer_has_the_words_of_an_array(kind, numbers):
    """In their order, whoever made the array; what has no words in a row is copied."""
    source = INTEGERS[kind](numbers)
    buffer = Buffer(source, "q", "keys")
    assert buffer.length == len(numbers)
    assert words_of(buffer) == numbers


def test_a_buffer_of_floats_has_their_bits():
    """Which word_float turns back."""
    numbers = [0.5, -0.0, float("inf"), -113.0]
    for source in (array("d", numbers), memoryview(array("d", numbers))[::-1][::-1]):
        assert [atomics.word_float(word) for word in words_of(Buffer(source, "d", "values"))] == numbers


@pytest.mark.parametrize(
    ("source", "code", "complaint"),
    [
        ([1, 2], "q", "keys must be an array of signed 64-bit integers; got list"),
        (7, "d", "keys must be an array of 64-bit floating-point numbers; got int"),
        (b"12345678", "q", "the bytes given has items of format 'B', 1 bytes each; convert it"),
        (array("i", [1]), "q", "the array given has items of format 'i', 4 bytes each; convert it"),
        (array("Q", [1]), "q", "items of format 'Q', 8 bytes each"),
        (array("d", [1]), "q", "items of format 'd', 8 bytes each"),
        (array("q", [1]), "d", "items of format 'q', 8 bytes each"),
        (array("f", [1]), "d", "items of format 'f', 4 bytes each"),
        (memoryview(bytes(16)).cast("q", (1, 2)), "q", "has 2 dimensions; pass a flat one"),
        (memoryview(bytes(8)).cast("q", ()), "q", "has 0 dimensions"),
        ((ctypes.c_int64.__ctype_be__ * 1)(1), "q", "in the other byte order, '>q'; convert it"),
    ],
)
def test_an_array_of_something_else_is_refused(source, code, complaint):
    """The message says what was given, and what to do."""
    with pytest.raises(TypeError, match=re.escape(complaint)):
        Buffer(source, code, "keys")


def test_numpys_other_types_are_refused():
    """None is reinterpreted."""
    for dtype in ("int32", "uint64", "float64", "bool", "complex64", "M8[s]", ">i8"):
        with pytest.raises((TypeError, ValueError)):
            Buffer(numpy().zeros(3, dtype=dtype), "q", "keys")
    with pytest.raises(TypeError, match="ravel"):
        Buffer(numpy().zeros((2, 3), dtype="int64"), "q", "keys")


def test_a_released_memoryview_is_refused():
    """As it refuses everybody."""
    view = memoryview(array("q", [1]))
    view.release()
    with pytest.raises(ValueError, match="released"):
        Buffer(view, "q", "keys")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (memoryview(bytes(16)).cast("q"), "out must be writable; the memoryview given is read-only"),
        (memoryview(array("q", range(4)))[::2], "out must be contiguous and aligned; the memoryview given"),
        ((ctypes.c_int64 * 2)(), "out must be contiguous and aligned"),
    ],
)
def test_what_cannot_be_written_in_place_is_no_output(source, complaint):
    """A copy would swallow what is written."""
    assert Buffer(source, "q", "keys").length == 2
    with pytest.raises(TypeError, match=complaint):
        Buffer(source, "q", "out", writable=True)


@pytest.mark.parametrize("make", [INTEGERS["array"], INTEGERS["memoryview"], INTEGERS["numpy"]])
def test_what_is_written_into_a_buffer_is_in_the_array(make):
    """Words and bytes."""
    source = make([1, 2, 3])
    buffer = Buffer(source, "q", "out", writable=True)
    atomics.store(buffer.address + 8, -7, RELAXED)
    atomics.store_byte(buffer.address + 16, 255)
    assert [int(each) for each in source] == [1, -7, 255]


@pytest.mark.parametrize(
    "make", [lambda: array("q", range(4)), lambda: bytearray(32)], ids=["array", "bytearray"]
)
def test_an_array_is_not_resized_under_a_buffer(make):
    """Not while it lives; afterwards it is as before."""
    source = make()
    buffer = Buffer(memoryview(source).cast("B").cast("q"), "q", "keys")
    with pytest.raises(BufferError):
        source.extend(source)
    del buffer
    source.extend(source)


def test_addresses_outside_a_buffer_are_refused():
    """Also those of a buffer that is gone, and of an empty one; buffers may overlap."""
    source = array("q", range(4))
    whole, part = Buffer(source, "q", "keys"), Buffer(memoryview(source)[1:2], "q", "keys")
    assert atomics.load(part.address, RELAXED) == 1
    for address in (whole.address - 8, whole.address + 32):
        with pytest.raises(AddressError):
            atomics.load(address, RELAXED)
    del part
    assert words_of(whole) == [0, 1, 2, 3]
    address = whole.address
    del whole
    for each in (address, Buffer(array("q"), "q", "keys").address):
        with pytest.raises(AddressError):
            atomics.load(each, RELAXED)


def test_a_buffer_tells_arrays_from_other_things():
    """By the buffer protocol alone."""
    assert all(is_array(source) for source in (array("q"), b"", bytearray(), memoryview(b"")))
    assert not any(is_array(source) for source in ([], (), "text", 7, None, iter(())))
    assert not is_array(numpy().int64(7)), "a number, though it has a buffer"
