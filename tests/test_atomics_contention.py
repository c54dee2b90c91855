"""Atomic operations are atomic: threads that meet on the same words and slots lose nothing.

The loops are those of `intermodal_sample._loops`, run three ways: as compiled code, where threads meet
on a free-threaded build; interpreted, through `intermodal.atomics`; and interpreted, on the simulated machine.
"""

from __future__ import annotations

import collections
import importlib.util
import os
import sys

import pytest
from helpers import sample
from test_atomics import SimulatedBlock

import intermodal
from intermodal import _simulated, atomics, build, memory
from intermodal.atomics import RELEASE
from intermodal.testing.threads import in_threads, switching_often

THREADS = 4
COMPILED = pytest.param("compiled", marks=pytest.mark.skipif(not intermodal.__compiled__, reason="pure"))


def interpreted_loops(name):
    """Return the module of loops from its source, whether or not it has been compiled."""
    source = sample.SOURCE / "src" / "intermodal_sample" / "_loops.py"
    spec = importlib.util.spec_from_file_location(name, source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Bench:
    """Loops, the memory that they run on, and how many steps on words and on slots are many."""

    def __init__(self, loops, block, store, *, words, slots):
        self.loops = loops
        self.block = block
        self.store = store
        self.words = words
        self.slots = slots

    def load(self, address):
        return self.loops.inlined_load(address)

    def run(self, *calls):
        """Run each call, (loop, arguments...), in a thread of its own; all begin when all have come."""
        gate = self.block(1)
        self.store(gate.address, -len(calls), RELEASE)

        def work(number):
            loop, *arguments = calls[number]
            if hasattr(os, "sched_setaffinity"):  # short loops would else often share a processor
                allowed = sorted(os.sched_getaffinity(0))
                os.sched_setaffinity(0, {allowed[number % len(allowed)]})
            return loop(gate.address, *arguments)

        return in_threads(len(calls), work)

    def put(self, slot, value):
        """Put *value* into the slot and return what it displaced."""
        return self.run((self.loops.hand_over, slot, [value]))[0]


@pytest.fixture(params=[COMPILED, "interpreted", "simulated"])
def bench(request):
    """Threads switch as often as they can, in case they have to take turns."""
    with switching_often():
        if request.param == "compiled":
            loops = sample.import_from(request.getfixturevalue("sample_plugin"), "intermodal_sample._loops")
            assert not loops.__file__.endswith(".py")
            yield Bench(loops, memory.Block, atomics.store, words=4_000_000, slots=50_000)
        elif request.param == "interpreted":
            loops = interpreted_loops("interpreted_loops")
            yield Bench(loops, memory.Block, atomics.store, words=2_000, slots=200)
        else:
            loops = interpreted_loops("simulated_loops")
            for operation in set(build.OPERATIONS) & set(vars(loops)):
                setattr(loops, operation, getattr(_simulated, operation))
            yield Bench(loops, SimulatedBlock, _simulated.store, words=2_000, slots=200)


def objects(count):
    """Return *count* objects for each thread, all different."""
    return [[object() for _ in range(count)] for _ in range(THREADS)]


def counts(*groups):
    return collections.Counter(id(each) for group in groups for each in group)


def test_fetch_add_loses_no_addition(bench):
    """The total is exact, also where it wraps and where some threads take away."""
    block = bench.block(1)
    operands = [1, 1, -1, 2**62 + 3]
    bench.run(*((bench.loops.add_many, block.address, each, bench.words) for each in operands))
    total = sum(operands) * bench.words
    assert (bench.load(block.address) - total) % 2**64 == 0


def test_threads_that_release_the_gil_run_at_once(bench):
    """They wait for each other in a loop that lets nobody else have it; with the GIL held it would not end."""
    block = bench.block(1)
    bench.run(*[(bench.loops.add_released, block.address, bench.words)] * THREADS)
    assert bench.load(block.address) == THREADS * bench.words


def test_compare_exchange_loses_no_addition(bench):
    """A retry loop around it counts exactly."""
    block = bench.block(1)
    bench.run(*[(bench.loops.exchange_and_add, block.address, bench.words)] * THREADS)
    assert bench.load(block.address) == THREADS * bench.words


def test_a_lock_lets_one_thread_in_at_a_time(bench):
    """Adding in two steps under it counts exactly, and its version has counted every turn."""
    block = bench.block(9)
    lock, word = block.address, block.address + 64
    bench.run(*[(bench.loops.lock_and_add, lock, word, bench.words // 4)] * THREADS)
    assert bench.load(word) == THREADS * (bench.words // 4)
    assert bench.load(lock) == 2 * THREADS * (bench.words // 4)


def test_threads_do_not_disturb_each_others_bytes(bench):
    """Eight bytes of one word, each counted in by a thread of its own."""
    block = bench.block(1)
    times = bench.words // 2
    calls = [(bench.loops.count_in_byte, block.address + index, times) for index in range(8)]
    assert bench.run(*calls) == [0] * 8
    assert bench.load(block.address) & (2**64 - 1) == int.from_bytes(bytes([times & 255]) * 8, "little")


def test_a_byte_is_claimed_by_one_thread_at_a_time(bench):
    """Adding in two steps by whoever compare_exchange_byte let in counts exactly; other bytes stay zero."""
    block = bench.block(9)
    byte, word = block.address + 3, block.address + 64
    bench.run(*[(bench.loops.claim_and_add, byte, word, bench.words // 4)] * THREADS)
    assert bench.load(word) == THREADS * (bench.words // 4)
    assert bench.load(block.address) == 0


def test_exchange_hands_every_object_over_once(bench):
    """What comes out, with what is left in the slot, is what was put in: a multiset."""
    block = bench.block(0, 1)
    slot = block.objects_address
    put = objects(bench.slots)
    displaced = bench.run(*((bench.loops.hand_over, slot, each) for each in put))
    last = bench.put(slot, None)
    assert counts(*displaced, last) == counts(*put, [None])


def test_take_gives_an_object_to_one_thread_only(bench):
    """Beside exchanges; every object comes out exactly once, and empty is not an object."""
    block = bench.block(0, 1)
    slot, empty = block.objects_address, object()
    put = objects(bench.slots)
    taken = bench.run(*((bench.loops.take_and_put, slot, each, empty) for each in put))
    found = counts(*taken)
    del found[id(empty)]
    assert found == counts(*put)


def test_object_compare_exchange_replaces_what_it_expected(bench):
    """A chain of replacements: each object was replaced exactly once, but for the last."""
    block = bench.block(0, 1)
    slot, first, last = block.objects_address, object(), object()
    bench.put(slot, first)
    put = objects(bench.slots)
    replaced = bench.run(*((bench.loops.replace_if_same, slot, each) for each in put))
    left = bench.put(slot, last)
    assert counts(*replaced, left) == counts(*put, [first])


def test_references_are_exact_after_contention(bench):
    """Objects exchanged by all threads are referenced as often as before."""
    block = bench.block(0, 1)
    slot = block.objects_address
    shared = [object() for _ in range(8)]
    before = [sys.getrefcount(each) for each in shared]
    many = shared * (bench.slots // 8)
    bench.put(slot, None)  # an empty slot holds nothing that could be expected
    exchange, replace = (bench.loops.hand_over, slot, many), (bench.loops.replace_if_same, slot, many)
    bench.run(exchange, replace, exchange, replace)
    del many, exchange, replace
    bench.put(slot, None)
    assert [sys.getrefcount(each) for each in shared] == before


def test_a_reader_only_sees_objects_that_were_in_the_slot(bench):
    """Loads beside replacements, until the slot holds None."""
    block = bench.block(0, 1)
    slot = block.objects_address
    put = objects(bench.slots)[0]
    bench.put(slot, put[0])
    known = {id(each) for each in put}
    readers = [(bench.loops.load_until_none, slot, known)] * (THREADS - 1)
    assert bench.run((bench.loops.hand_over, slot, [*put, None]), *readers)[1:] == [0] * (THREADS - 1)


def test_a_reader_never_gets_a_dead_object(bench):
    """The slot holds the last reference to each: every replacement frees one under the readers' eyes."""
    block = bench.block(0, 1)
    slot = block.objects_address
    times = bench.slots // 5
    bench.put(slot, [-1])

    readers = [(bench.loops.read_numbers, slot)] * (THREADS - 1)
    assert bench.run((bench.loops.write_numbers, slot, times), *readers)[1:] == [0] * (THREADS - 1)
