"""One contract, two machines: every case runs on the simulated one and on what `intermodal.atomics` calls.

In a compiled installation the latter is the inlined C behind its checks; in a pure one, the simulated machine
again, by way of `intermodal.memory`.
"""

from __future__ import annotations

import ast
import gc
import inspect
import itertools
import math
import random
import re
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import intermodal
from intermodal import _simulated, atomics, build, memory
from intermodal.atomics import ACQ_REL, ACQUIRE, RELAXED, RELEASE, SEQ_CST
from intermodal.errors import AddressError
from intermodal.testing.threads import in_threads

FOLDER = Path(intermodal.__file__).parent
LOWEST, HIGHEST = -(2**63), 2**63 - 1
#: Keys of thread words, which are never used again.
KEYS = itertools.count(2**40)
INT64 = st.integers(LOWEST, HIGHEST)
BYTE = st.integers(0, 255)
EXTREMES = [0, 1, -1, 2, 255, 2**31, -(2**31), 2**62, HIGHEST, LOWEST, 0x0123456789ABCDEF]
ORDERS = [RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST]
LOAD_ORDERS = [RELAXED, ACQUIRE, SEQ_CST]
STORE_ORDERS = [RELAXED, RELEASE, SEQ_CST]


class SimulatedBlock:
    """What `memory.Block` is, made of the simulated machine whatever the installation."""

    def __init__(self, words, objects=0):
        self.storage = _simulated.block_new(words, objects)
        self.address = _simulated.block_address(self.storage)
        self.objects_address = _simulated.block_objects(self.storage)


class Machine:
    """The functions under test as attributes, and `block(words, objects)` to make memory for them."""

    def __init__(self, name, functions, block):
        self.name = name
        self.functions = functions
        self.block = block

    def __getattr__(self, name):
        return getattr(self.functions, name)

    def __repr__(self):
        return self.name


MACHINES = [
    Machine("simulated", _simulated, SimulatedBlock),
    Machine("compiled" if intermodal.__compiled__ else "forwarded", atomics, memory.Block),
]


@pytest.fixture(params=MACHINES, ids=repr)
def machine(request):
    return request.param


@pytest.fixture
def word(machine):
    """The address of a word with words on either side, all zero at first."""
    block = machine.block(3)
    yield block.address + 8
    assert [machine.load(block.address + offset, RELAXED) for offset in (0, 16)] == [0, 0], (
        "a neighbour changed"
    )


@pytest.fixture
def slot(machine):
    """The address of an empty object slot with others on either side."""
    block = machine.block(1, 3)
    yield block.objects_address + 8
    for offset in (0, 16):
        assert machine.object_is_empty(block.objects_address + offset), "a neighbour changed"


def signed(value):
    return (value + 2**63) % 2**64 - 2**63


# ---- the same functions everywhere ------------------------------------------------------------------------


def parameters_in(file):
    """Return name -> parameter names of the public functions that *file* of the package defines."""
    tree = ast.parse((FOLDER / file).read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            found[node.name] = [parameter.arg for parameter in node.args.args]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in found:
            found[node.targets[0].id] = found[node.value.id]  # one function under two names
    return found


@pytest.mark.parametrize("file", ["atomics.py", "_simulated.py", "_checked.py"])
def test_each_machine_has_exactly_the_operations_of_the_build(file):
    """None is missing, none is more, and parameters have the same names in the same order."""
    found = parameters_in(file)
    assert set(found) == set(build.OPERATIONS)
    assert found == parameters_in("atomics.py")


def test_the_header_has_every_operation_with_the_declared_types():
    """A C function im_NAME takes and returns what build.OPERATIONS says."""
    source = (FOLDER / "atomics.h").read_text(encoding="utf-8")
    for name in re.findall(r"^IM_READ_MODIFY_WRITE\(im_(\w+), ", source, re.MULTILINE):
        source += f"\nIM_ALWAYS int64_t im_{name}(int64_t address, int64_t operand, int64_t order) {{"
    types = {"int64_t": "w", "double": "f", "bool": "b", "void": "v"}
    for name, signature in build.OPERATIONS.items():
        match = re.search(rf"^IM_\w+ (\w+) (\**)im_{name}\(([^)]*)\) {{", source, re.MULTILINE)
        assert match, f"atomics.h has no im_{name}"
        result, star, parameters = match.groups()
        given_types = "".join(
            "o" if "*" in each else "f" if "double" in each else "w"
            for each in parameters.split(",")
            if each not in ("void", "")
        )
        taken, _, declared = signature.partition("->")
        assert given_types == taken, name
        if star:
            assert declared in "oO", name
        else:
            assert types[result] == declared.replace("h", "w"), name


def test_the_operations_declare_as_many_parameters_as_they_have():
    """The letters of build.OPERATIONS and the Python signatures agree."""
    for name, names in parameters_in("atomics.py").items():
        assert len(build.OPERATIONS[name].partition("->")[0]) == len(names), name


def test_every_operation_says_what_it_does():
    """The contract is in the docstrings of atomics.py."""
    for name in build.OPERATIONS:
        assert inspect.getdoc(getattr(atomics, name)), name


# ---- words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", EXTREMES)
def test_a_word_holds_every_64_bit_value(machine, word, value):
    """Stored, exchanged or put by compare_exchange, in each order the operation takes."""
    for storing, loading in itertools.product(STORE_ORDERS, LOAD_ORDERS):
        machine.store(word, value, storing)
        assert machine.load(word, loading) == value
        machine.store(word, ~value, storing)
    for order in ORDERS:
        assert machine.exchange(word, value, order) == ~value
        assert not machine.compare_exchange(word, ~value, 7, order)
        assert machine.load(word, RELAXED) == value
        assert machine.compare_exchange(word, value, ~value, order)
        assert machine.load(word, RELAXED) == ~value


@pytest.mark.parametrize("operation", ["fetch_add", "fetch_and", "fetch_or"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_fetch_operation_returns_the_old_word_and_wraps_at_64_bits(machine, word, operation, order):
    """Compared with Python's integers, for every pair of extreme values."""
    model = {"fetch_add": int.__add__, "fetch_and": int.__and__, "fetch_or": int.__or__}[operation]
    for old, operand in itertools.product(EXTREMES, repeat=2):
        machine.store(word, old, RELAXED)
        assert getattr(machine, operation)(word, operand, order) == old
        assert machine.load(word, RELAXED) == signed(model(old, operand))


@pytest.mark.parametrize(
    ("operation", "arguments", "allowed"),
    [
        ("load", (), LOAD_ORDERS),
        ("store", (1,), STORE_ORDERS),
        ("exchange", (1,), ORDERS),
        ("compare_exchange", (0, 1), ORDERS),
        ("fetch_add", (1,), ORDERS),
        ("fetch_and", (1,), ORDERS),
        ("fetch_or", (1,), ORDERS),
    ],
)
def test_an_order_that_the_operation_does_not_take_is_refused(machine, word, operation, arguments, allowed):
    """ValueError names the order, and the word is as it was."""
    for order in range(-2, 8):
        if order not in allowed:
            with pytest.raises(ValueError, match=f"memory order {order} "):
                getattr(machine, operation)(word, *arguments, order)
    assert machine.load(word, RELAXED) == 0


def test_a_fence_takes_every_order_and_no_other(machine):
    """Fences touch no memory, so that is all there is to see."""
    for order in ORDERS:
        assert machine.fence(order) is None
    for order in (-1, 5):
        with pytest.raises(ValueError, match=f"memory order {order} "):
            machine.fence(order)


def test_the_sides_of_an_asymmetric_fence_touch_no_memory(machine):
    """What they order, orders.c and the deterministic scheduler show."""
    for _ in range(3):
        assert machine.light_fence() is None
        assert machine.heavy_fence() is None


def test_the_simulated_machine_wraps_what_compiled_arithmetic_wraps():
    """Interpreted engines compute with unbounded integers where compiled ones compute modulo 2**64."""
    block = SimulatedBlock(1)
    word = block.address
    _simulated.store(word, 2**63, RELAXED)
    assert _simulated.load(word, RELAXED) == LOWEST
    assert _simulated.compare_exchange(word, 2**63, 2**64 + 5, RELAXED)
    assert _simulated.fetch_or(word, 2**63, RELAXED) == 5
    assert _simulated.fetch_and(word, 2**64 - 1, RELAXED) == LOWEST + 5
    assert _simulated.exchange(word, 2**64 - 1, RELAXED) == LOWEST + 5
    assert _simulated.load(word, RELAXED) == -1


def test_simulated_addresses_fit_into_words(monkeypatch):
    """Also that of the hundred-millionth block."""
    monkeypatch.setattr(_simulated, "_block_numbers", itertools.count(100_000_000))
    block = SimulatedBlock(2, 2)
    for address in (block.address + 8, block.objects_address + 8):
        _simulated.store(block.address, address, RELAXED)
        assert _simulated.load(block.address, RELAXED) == address
    _simulated.object_store(block.objects_address + 8, "x")
    assert _simulated.object_load(block.objects_address + 8, None) == "x"


# ---- locks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("free", [0, 2, 2**62, -2, LOWEST])
def test_a_lock_is_taken_once_and_only_at_the_expected_word(machine, word, free):
    """Bit 0 is the lock, the other bits are the caller's; after unlock they are what it says."""
    machine.store(word, free, RELAXED)
    assert not machine.try_lock(word, free ^ 4)
    assert machine.try_lock(word, free)
    assert machine.load(word, RELAXED) == free | 1
    assert not machine.try_lock(word, free)
    machine.unlock(word, free ^ 4)
    assert machine.load(word, RELAXED) == free ^ 4
    assert machine.try_lock(word, free ^ 4)
    machine.unlock(word, 0)


def test_misuse_of_a_lock_is_refused(machine, word):
    """Odd words, and a lock that nobody holds; the lock stays usable."""
    with pytest.raises(ValueError, match="bit 0"):
        machine.try_lock(word, 1)
    with pytest.raises(ValueError, match="not held"):
        machine.unlock(word, 2)
    assert machine.try_lock(word, 0)
    with pytest.raises(ValueError, match="bit 0"):
        machine.unlock(word, 3)
    machine.unlock(word, 2)
    assert machine.load(word, RELAXED) == 2


def test_the_simulated_machine_keeps_the_gc_out_of_locked_sections():
    """From the first lock taken to the last released, and not longer, whatever goes wrong."""
    block = SimulatedBlock(2)
    first, second = block.address, block.address + 8
    assert gc.isenabled()
    with pytest.raises(AddressError):
        _simulated.try_lock(block.address + 4, 0)
    assert not _simulated.try_lock(first, 8)
    assert gc.isenabled()
    assert _simulated.try_lock(first, 0)
    assert _simulated.try_lock(second, 0)
    _simulated.unlock(first, 0)
    assert not gc.isenabled()
    _simulated.unlock(second, 0)
    assert gc.isenabled()


# ---- bytes and bits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", range(8))
@pytest.mark.parametrize("background", [0, -1, 0x0123456789ABCDEF, LOWEST])
def test_byte_operations_change_their_byte_alone(machine, word, position, background):
    """At each position of a word, with every kind of neighbour."""
    machine.store(word, background, RELAXED)
    expected = bytearray(background.to_bytes(8, sys.byteorder, signed=True))
    address = word + position
    assert machine.load_byte(address) == expected[position]
    for value in (0, 1, 127, 128, 255, 256 + 7, -1):
        machine.store_byte(address, value)
        expected[position] = value & 255
        assert machine.load_byte(address) == value & 255
        assert not machine.compare_exchange_byte(address, (value + 1) & 255, 99)
        assert machine.load(word, RELAXED) == int.from_bytes(expected, sys.byteorder, signed=True)
        assert machine.compare_exchange_byte(address, value & 255, 200)
        assert machine.load_byte(address) == 200
    assert machine.compare_exchange_byte(address, 256 + 200, 256 + 17)
    expected[position] = 17
    assert machine.load(word, RELAXED) == int.from_bytes(expected, sys.byteorder, signed=True)


REPEATABLE = settings(derandomize=True, deadline=None)
GROUPS = {machine.name: machine.block(6) for machine in MACHINES}


def fill(machine, group):
    """Put the 16 bytes *group* in memory, with bytes around that also match, and return their address."""
    address = GROUPS[machine.name].address + 16
    for position in range(-16, 32):
        machine.store_byte(address + position, group[position % 16])
    return address


@REPEATABLE
@given(group=st.binary(min_size=16, max_size=16), wanted=BYTE, places=st.sets(st.integers(0, 15)))
@example(group=bytes(range(16)), wanted=0, places=set())
@example(group=b"\x80" * 16, wanted=0x80, places=set())
@example(group=b"\x7f\x80" * 8, wanted=0xFF, places={0, 15})
@example(group=b"\x01\x00" * 8, wanted=0, places=set())
def test_match_bytes_finds_exactly_the_equal_bytes(group, wanted, places):
    """Against a model, on every machine, by vector instructions and without."""
    group = bytearray(group)
    for place in places:
        group[place] = wanted
    expected = sum(1 << place for place in range(16) if group[place] == wanted)
    for machine in MACHINES:
        address = fill(machine, group)
        assert machine.match_bytes(address, wanted) == expected, machine
        assert machine.match_bytes_portable(address, wanted) == expected, machine
        assert machine.match_bytes(address, wanted - 256) == expected, machine


@REPEATABLE
@given(value=INT64)
@example(value=0)
@example(value=-1)
@example(value=LOWEST)
@example(value=HIGHEST)
def test_mix_is_one_function_on_every_machine(value):
    """The 64-bit product's halves, xored."""
    product = ((value ^ 0x9E3779B97F4A7C15) & (2**64 - 1)) * 0xBF58476D1CE4E5B9
    expected = signed((product ^ (product >> 64)) & (2**64 - 1))
    assert [machine.mix(value) for machine in MACHINES] == [expected] * len(MACHINES)


@pytest.mark.parametrize(
    ("value", "mixed"),
    [
        (0, -6902361486404921596),
        (1, 7014982450847198557),
        (-1, 2532697183774270612),
        (2**32, -3472593019014303855),
    ],
)
def test_mix_has_not_changed(machine, value, mixed):
    """Fixed vectors: where keys lie depends on it, and with that whether a recorded failure replays."""
    assert machine.mix(value) == mixed


def test_mix_spreads_consecutive_numbers(machine):
    """Of 4096 consecutive hashes every top six bits come up about equally often, at most twice too often."""
    counts = [0] * 64
    for value in range(4096):
        counts[machine.mix(value) >> 58 & 63] += 1
    assert min(counts) > 0
    assert max(counts) <= 128


def test_count_trailing_zeros_finds_the_lowest_set_bit(machine):
    """Alone, and with every higher bit set; zero has none and is refused."""
    for index in range(64):
        assert machine.count_trailing_zeros(signed(1 << index)) == index
        assert machine.count_trailing_zeros(signed(-1 << index)) == index
    with pytest.raises(ValueError, match="zero has no lowest set bit"):
        machine.count_trailing_zeros(0)


def test_prefetch_never_faults(machine):
    """Whatever the address."""
    for address in (0, 1, -1, LOWEST, HIGHEST, GROUPS[machine.name].address):
        assert machine.prefetch(address) is None


def test_interpreted_callers_keep_the_gil(machine):
    """They could not go on without it."""
    machine.gil_acquire(machine.gil_release())
    assert machine.load(GROUPS[machine.name].address, RELAXED) is not None


@given(value=st.floats() | st.sampled_from([-113.0, -0.0, math.inf, math.nan, 5e-324]))
def test_a_float_goes_through_a_word_and_comes_back(value):
    """With its sign and bits, on every machine; struct agrees."""
    (word,) = struct.unpack("=q", struct.pack("=d", value))
    for machine in MACHINES:
        assert machine.float_word(value) == word
        assert struct.pack("=d", machine.word_float(word)) == struct.pack("=d", value)


@given(word=INT64 | st.sampled_from([-113, 0x7FF0000000000001, -1]))
def test_every_word_is_the_bits_of_some_float(word):
    """NaNs included, whose other bits may be quietened by the processor but do not turn it into a number."""
    for machine in MACHINES:
        value = machine.word_float(word)
        assert machine.float_word(value) == word or math.isnan(value)


def test_waiting_returns(machine):
    """A pause, and a turn for others."""
    assert machine.pause() is None
    assert machine.yield_thread() is None


def test_a_thread_has_one_token(machine):
    """A number that fits into a word and is not zero, the same each time."""
    token = machine.thread_token()
    assert token == machine.thread_token()
    assert 0 < token <= HIGHEST


def test_a_thread_remembers_words_of_its_own(machine):
    """By key, until 0 is set; another thread has none."""
    keys = [next(KEYS) for _ in range(3)]
    for number, key in enumerate(keys, 1):
        assert machine.thread_word(key) == 0
        machine.set_thread_word(key, -number)
        assert machine.thread_word(key) == -number
    assert in_threads(1, lambda _: [machine.thread_word(key) for key in keys]) == [[0, 0, 0]]
    for number, key in enumerate(keys, 1):
        assert machine.thread_word(key) in (-number, 0)
        machine.set_thread_word(key, 0)
        assert machine.thread_word(key) == 0


def test_a_thread_may_forget_a_word_but_never_mistakes_one(machine):
    """A cache of a few words, asked for many."""
    keys = [next(KEYS) for _ in range(50)]
    for key in keys:
        machine.set_thread_word(key, key + 1)
    assert machine.thread_word(keys[-1]) == keys[-1] + 1
    assert all(machine.thread_word(key) in (key + 1, 0) for key in keys)
    for _ in keys:
        machine.set_thread_word(next(KEYS), 0)  # forgetting what was never known makes no other forgotten
    assert machine.thread_word(keys[-1]) == keys[-1] + 1


# ---- object slots -----------------------------------------------------------------------------------------


class Tracked:
    """Counts its destructions."""

    def __init__(self, log, name="object"):
        self.log = log
        self.name = name

    def __del__(self):
        self.log.append(self.name)


def references(value):
    # One more than there are, for the argument, at each call alike.
    return sys.getrefcount(value)


def test_an_empty_slot_gives_the_fallback(machine, slot):
    """Whichever object that is, None included, and counted exactly."""
    fallback = object()
    before = references(fallback)
    assert machine.object_is_empty(slot)
    assert machine.object_load(slot, fallback) is fallback
    assert machine.object_take(slot, fallback) is fallback
    assert machine.object_load(slot, None) is None
    assert not machine.object_is(slot, None)
    assert references(fallback) == before


def test_a_slot_owns_one_reference(machine, slot):
    """Through store, load, exchange and take."""
    first, second, fallback = object(), object(), object()
    before = references(first)
    machine.object_store(slot, first)
    assert references(first) == before + 1
    assert not machine.object_is_empty(slot)
    assert machine.object_is(slot, first)
    assert not machine.object_is(slot, second)
    loaded = machine.object_load(slot, fallback)
    assert loaded is first
    assert references(first) == before + 2
    del loaded
    machine.object_prefetch(slot)
    assert machine.object_exchange(slot, second, fallback) is first
    assert references(first) == before
    assert references(second) == before + 1
    taken = machine.object_take(slot, fallback)
    assert taken is second
    assert references(second) == before + 1
    del taken
    assert references(second) == before
    assert machine.object_is_empty(slot)
    assert machine.object_exchange(slot, first, fallback) is fallback
    assert references(first) == before + 1
    assert references(fallback) == before
    machine.object_take(slot, None)
    assert references(first) == before


def test_object_compare_exchange_counts_what_it_replaces(machine, slot):
    """The object put in gains a reference and the one put out loses it; a failure changes no count."""
    first, second = [], []  # equal, not identical
    before = references(first)
    assert not machine.object_compare_exchange(slot, first, second), "an empty slot holds nothing"
    machine.object_store(slot, first)
    assert not machine.object_compare_exchange(slot, second, first)
    assert (references(first), references(second)) == (before + 1, before)
    assert machine.object_compare_exchange(slot, first, second)
    assert (references(first), references(second)) == (before, before + 1)
    assert machine.object_compare_exchange(slot, second, second)
    assert references(second) == before + 1
    machine.object_take(slot, None)


def test_a_move_by_copy_and_forget_counts_nothing(machine):
    """The object is in one slot or the other throughout, and owned once in the end."""
    block = machine.block(0, 2)
    source, target = block.objects_address, block.objects_address + 8
    value = object()
    before = references(value)
    machine.object_store(source, value)
    machine.object_copy(source, target)
    assert machine.object_is(source, value)
    assert machine.object_is(target, value)
    machine.object_forget(source)
    assert machine.object_is_empty(source)
    assert references(value) == before + 1
    assert machine.object_take(target, None) is value
    assert references(value) == before


def test_what_is_exchanged_or_taken_into_a_slot_is_not_counted(machine):
    """The reference goes from one slot to the other; an empty slot gives nothing."""
    block = machine.block(0, 4)
    slot, first, second, third = (block.objects_address + 8 * number for number in range(4))
    one, two = object(), object()
    before = references(one)
    machine.object_exchange_into(slot, one, first)
    assert machine.object_is_empty(first)
    assert (references(one), references(two)) == (before + 1, before)
    machine.object_exchange_into(slot, two, first)
    assert machine.object_is(slot, two)
    assert machine.object_is(first, one)
    assert (references(one), references(two)) == (before + 1, before + 1)
    machine.object_take_into(slot, second)
    assert machine.object_is_empty(slot)
    assert machine.object_is(second, two)
    machine.object_take_into(slot, third)
    assert machine.object_is_empty(third)
    assert (references(one), references(two)) == (before + 1, before + 1)
    del block
    gc.collect()
    assert (references(one), references(two)) == (before, before)


def test_what_is_exchanged_or_taken_into_a_slot_does_not_die(machine):
    """Its destructor runs when the second slot is emptied."""
    log = []
    block = machine.block(0, 3)
    slot, first, second = (block.objects_address + 8 * number for number in range(3))
    machine.object_store(slot, Tracked(log, "first"))
    machine.object_exchange_into(slot, Tracked(log, "second"), first)
    machine.object_take_into(slot, second)
    assert log == []
    machine.object_take(first, None)
    assert log == ["first"]
    machine.object_take(second, None)
    assert log == ["first", "second"]


def test_a_guarded_load_is_a_load_while_the_witness_is_the_era(machine, slot):
    """Else it gives the fallback, as for an empty slot; all counted exactly."""
    block = machine.block(1)
    witness = block.address
    value, fallback = object(), object()
    before = references(value)
    for era in (1, 2, 2**62):
        machine.store(witness, era, RELAXED)
        assert machine.object_load_guarded(slot, witness, era, fallback) is fallback
        machine.object_store(slot, value)
        assert machine.object_load_guarded(slot, witness, era, fallback) is value
        for other in (era - 1, era + 1, -era):
            assert machine.object_load_guarded(slot, witness, other, fallback) is fallback
        loaded = machine.object_load_guarded(slot, witness, era, None)
        assert references(value) == before + 2
        del loaded
        machine.object_take(slot, None)
    assert (references(value), references(fallback)) == (before, before)


def test_destructors_run_once_and_when_the_last_reference_goes(machine):
    """Displaced, taken, or left in a block that dies."""
    log = []
    block = machine.block(0, 4)
    base = block.objects_address
    for index in range(4):
        machine.object_store(base + 8 * index, Tracked(log, index))
    assert log == []
    machine.object_exchange(base, None, None)
    assert log == [0]
    kept = machine.object_take(base + 8, None)
    assert log == [0]
    del kept
    assert log == [0, 1]
    replacement = Tracked(log, "replacement")
    old = machine.object_load(base + 16, None)
    assert machine.object_compare_exchange(base + 16, old, replacement)
    assert log == [0, 1]
    del old
    assert log == [0, 1, 2]
    del replacement
    del block
    assert sorted(map(str, log)) == ["0", "1", "2", "3", "replacement"]


def test_a_destructor_may_use_the_slot_it_came_from(machine, slot):
    """No lock of the machine is held while it runs."""
    log = []

    class Returning:
        def __del__(self):
            log.append(machine.object_exchange(slot, "from the destructor", None))

    machine.object_store(slot, Returning())
    machine.object_exchange(slot, "from the caller", None)
    assert log == ["from the caller"]
    assert machine.object_load(slot, None) == "from the destructor"


# ---- keys -------------------------------------------------------------------------------------------------


class Untouchable:
    """Counts as an error that any code of it runs, except for making it."""

    def __eq__(self, other):
        raise AssertionError("__eq__ of a user's class was called")

    def __hash__(self):
        raise AssertionError("__hash__ of a user's class was called")

    __bool__ = __int__ = __index__ = __float__ = __complex__ = __len__ = __hash__


class UntouchableStr(str):
    __slots__ = ()
    __eq__ = Untouchable.__eq__
    __hash__ = Untouchable.__hash__


class UntouchableInt(int):
    __eq__ = Untouchable.__eq__
    __hash__ = Untouchable.__hash__


class UntouchableFloat(float):
    __eq__ = Untouchable.__eq__
    __hash__ = Untouchable.__hash__


class UntouchableBytes(bytes):
    __eq__ = Untouchable.__eq__
    __hash__ = Untouchable.__hash__


def fresh(text):
    """Return a str equal to *text* that is another object."""
    return "".join(list(text)) if len(text) > 1 else text


USERS = [Untouchable(), UntouchableStr("a"), UntouchableInt(1), UntouchableFloat(1.0), UntouchableBytes(b"a")]
PLAIN = [
    "a",
    "ab",
    "",
    "é",
    "aé",
    "Ω",
    "aΩ",
    "a\U0001f600",
    "\U0001f600",
    b"a",
    b"ab",
    b"",
    0,
    1,
    -1,
    2**70,
    2**53 + 1,
    0.0,
    -0.0,
    1.0,
    2.0**70,
    float(2**53),
    math.inf,
    math.nan,
    True,
    False,
    1j,
    1 + 0j,
    complex(0, 0),
    complex(2.0**70),
    None,
]


def test_plain_keys_are_compared_as_python_compares_them(machine, slot):
    """Every pair of the exact built-in types: 1 where dict would find the key, else 0."""
    for stored, key in itertools.product(PLAIN, repeat=2):
        machine.object_exchange(slot, stored, None)
        expected = int(stored is key or stored == key)
        assert machine.key_equals(slot, key) == expected, (stored, key)


def test_equal_strings_of_every_width_are_equal(machine, slot):
    """Latin-1, UCS-2 and UCS-4, as different objects; also those that differ in one character only."""
    for character in ("a", "é", "Ω", "\U0001f600"):
        for length in (2, 7, 8, 100):
            stored, key = character * length, fresh(character * length)
            assert stored is not key
            machine.object_exchange(slot, stored, None)
            assert machine.key_equals(slot, key) == 1
            assert machine.key_equals(slot, key[:-1]) == 0
            assert machine.key_equals(slot, key[:-1] + "b") == 0
            assert machine.key_equals(slot, "b" + key[1:]) == 0


def test_nan_is_found_by_identity_only(machine, slot):
    """As in a dict."""
    nan = float("nan")
    machine.object_store(slot, nan)
    assert machine.key_equals(slot, nan) == 1
    assert machine.key_equals(slot, float("nan")) == 0


def test_only_user_code_can_compare_other_keys_and_it_does_not_run(machine, slot):
    """-1 on either side, unless they are the same object."""
    for user in USERS:
        for plain in PLAIN:
            machine.object_exchange(slot, plain, None)
            assert machine.key_equals(slot, user) == -1, (plain, type(user))
            machine.object_exchange(slot, user, None)
            assert machine.key_equals(slot, plain) == -1, (type(user), plain)
        for other in USERS:
            assert machine.key_equals(slot, other) == (1 if other is user else -1)
    for other in ((1,), [1], frozenset(), int, object()):
        machine.object_exchange(slot, other, None)
        assert machine.key_equals(slot, other) == 1
        assert machine.key_equals(slot, 1) == -1


def test_guarded_keys_are_compared_as_others_while_the_witness_is_the_era(machine, slot):
    """Else only an identical key is found, and for all others it takes another way."""
    block = machine.block(1)
    witness = block.address
    machine.store(witness, 5, RELAXED)
    assert machine.key_equals_guarded(slot, "a", witness, 5) == 0
    for stored, key in itertools.product(
        [*PLAIN, *USERS, "long " * 20], [*PLAIN, *USERS, fresh("long " * 20)]
    ):
        machine.object_exchange(slot, stored, None)
        expected = machine.key_equals(slot, key)
        assert machine.key_equals_guarded(slot, key, witness, 5) == expected, (type(stored), type(key))
        assert machine.key_equals_kept(slot, key) == expected, (type(stored), type(key))
        assert machine.key_equals_guarded(slot, key, witness, 6) == (1 if stored is key else -1)


def test_no_key_equals_that_of_an_empty_slot(machine, slot):
    """Not even None, and no user code is asked."""
    for key in PLAIN + USERS:
        assert machine.key_equals(slot, key) == 0


def test_a_dict_in_a_slot_is_looked_up_without_counting_it(machine, slot):
    """What it has not is the fallback; exceptions of keys come out; anything else in the slot is refused."""
    value, fallback = object(), object()
    stored = {"a": value, 7: fallback}
    with pytest.raises(TypeError, match="no dict"):
        machine.stored_dict_get(slot, "a", fallback)
    machine.object_store(slot, stored)
    before = references(stored), references(value)
    for _ in range(100):
        assert machine.stored_dict_get(slot, "a", fallback) is value
        assert machine.stored_dict_get(slot, "b", fallback) is fallback
    with pytest.raises(TypeError, match="unhashable"):
        machine.stored_dict_get(slot, [], fallback)
    assert (references(stored), references(value)) == before
    machine.object_exchange(slot, [], None)
    with pytest.raises(TypeError, match="no dict"):
        machine.stored_dict_get(slot, "a", fallback)


def test_comparing_keys_counts_no_reference(machine, slot):
    """Whatever the answer."""
    block = machine.block(1)
    stored, equal, other = "stored " * 3, fresh("stored " * 3), 10**30
    machine.object_store(slot, stored)
    before = [references(each) for each in (stored, equal, other)]
    for _ in range(100):
        for key in (stored, equal, other, USERS[0]):
            machine.key_equals(slot, key)
            machine.key_equals_guarded(slot, key, block.address, 0)
            machine.key_equals_guarded(slot, key, block.address, 1)
            machine.stored_key_is_str(slot)
    assert [references(each) for each in (stored, equal, other)] == before


# ---- keys in order ----------------------------------------------------------------------------------------

WHOLE = [0, 1, -1, 2**30, -(2**30), 2**31, 2**60, HIGHEST - 1, LOWEST + 1, True, False]
TEXTS = [
    *("", "a", "ab", "a\0", "\0", "abcdefg", "abcdefgh", "abcdefghi", "abcdefg\0", "b", "\x7f", "~" * 20),
    *(
        "é",
        "aé",
        "abcdefgé",
        "abcdefghé",
        "Ω",
        "abcdeΩΩ",
        "\ud800",
        "\udfff",
        "\uffff",
        "\U0001f600",
        "\U0010ffff",
    ),
]
TEXT = st.one_of(st.text(max_size=20), st.text(alphabet="ab\0\x7fé\uffff\U00010000\ud800", max_size=20))


def test_the_kind_of_a_key_says_how_it_is_compared_without_user_code(machine):
    """Exact str; exact int, bool among them, of 64 bits but the least and the greatest; nothing else."""
    for key in TEXTS:
        assert machine.key_kind(key) == atomics.STR_KEY
    for key in WHOLE:
        assert machine.key_kind(key) == atomics.INT_KEY
    for key in (*USERS, LOWEST, HIGHEST, 2**64, -(2**70), 1.0, 1j, None, b"a", (1,), object(), int):
        assert machine.key_kind(key) == atomics.OTHER_KEY, type(key)


def test_the_word_of_an_int_is_itself(machine):
    """At whichever position."""
    for key in WHOLE:
        assert machine.key_word(key, 0) == machine.key_word(key, 5) == key


@REPEATABLE
@given(key=TEXT, position=st.integers(0, 24))
@example(key="a" * 7, position=0)
@example(key="a" * 8, position=0)
@example(key="a" * 9, position=2)
@example(key="\x7f" * 3, position=1)
@example(key="abcdefg\U0010ffff", position=0)
def test_the_word_of_a_str_is_eight_bytes_of_it(key, position):
    """UTF-8, each byte one more, zeros behind the end, most significant first, on every machine."""
    encoded = key[position:].encode("utf-8", "surrogatepass")[:8]
    expected = int.from_bytes(bytes(byte + 1 for byte in encoded).ljust(8, b"\0"), "big") - 2**63
    assert [machine.key_word(key, position) for machine in MACHINES] == [expected] * len(MACHINES)


@REPEATABLE
@given(common=st.text(alphabet="xyz", max_size=9), left=TEXT, right=TEXT)
@example(common="", left="ab", right="ab\0")
@example(common="", left="abcdefgh", right="abcdefgh\0")
@example(common="", left="\uffff", right="\U00010000")
def test_words_are_ordered_as_the_strings_are(common, left, right):
    """Never the other way; equal ones with a zero at the end are those of equal strings."""
    for machine in MACHINES:
        one, other = (machine.key_word(common + each, len(common)) for each in (left, right))
        assert one == other or (one < other) is (left < right)
        if one == other and one & 255 == 0:
            assert left == right


def test_only_keys_with_a_word_are_asked_for_it(machine):
    """And from no negative position; no code of theirs runs."""
    for key in (*USERS, HIGHEST, LOWEST, 2**70, None, 1.0):
        with pytest.raises(TypeError, match="has a word"):
            machine.key_word(key, 0)
    for key in ("abc", 1):
        with pytest.raises(ValueError, match="position"):
            machine.key_word(key, -1)


def test_strings_are_compared_as_python_orders_them(machine, slot):
    """Every pair, also identical ones, as different objects, and of different widths."""
    for stored, key in itertools.product(TEXTS, repeat=2):
        machine.object_exchange(slot, stored, None)
        for each in (key, fresh(key)):
            assert machine.key_compare(slot, each) == (stored > key) - (stored < key), (stored, key)


def test_what_is_no_string_is_not_compared(machine, slot):
    """2, on either side, by an empty slot too; no user code is asked."""
    for key in (*TEXTS, *USERS, 1, None):
        assert machine.key_compare(slot, key) == 2
    for other in (*USERS, 1, None, b"a", ("a",)):
        machine.object_exchange(slot, other, None)
        assert machine.key_compare(slot, "a") == 2
        assert machine.key_compare(slot, other) == 2
        machine.object_exchange(slot, "a", None)
        assert machine.key_compare(slot, other) == 2


def test_comparing_the_order_counts_no_reference(machine, slot):
    """Whatever the answer."""
    stored, equal, greater = "stored " * 3, fresh("stored " * 3), "stored " * 4
    machine.object_store(slot, stored)
    before = [references(each) for each in (stored, equal, greater)]
    for _ in range(100):
        for key in (stored, equal, greater, 1):
            machine.key_compare(slot, key)
    assert [references(each) for each in (stored, equal, greater)] == before


def ordered_words(machine, values):
    """Put ascending *values* in memory in another order: the addresses of the order and of the words."""
    count = len(values)
    block = machine.block(32 + 256)
    numbers = random.Random(count).sample(range(256), count)
    for start in range(0, count, 8):
        word = int.from_bytes(bytes(numbers[start : start + 8]).ljust(8, b"\xff"), "little", signed=True)
        machine.store(block.address + start, word, RELAXED)
    for number, value in zip(numbers, values, strict=True):
        machine.store(block.address + 256 + 8 * number, value, RELAXED)
    return block, block.address, block.address + 256


@pytest.mark.parametrize("count", [*range(18), 31, 56, 57, 62, 63, 64, 65, 256])
def test_count_below_counts_what_is_less(machine, count):
    """For limits below, at and between all words, with words that are equal, and with extreme ones."""
    spread = [10 * place for place in range(count)]
    equal = [10 * (place // 5) for place in range(count)]
    extreme = sorted(([LOWEST, HIGHEST] * count)[: min(count, 2)] + spread[2:])
    for values in (spread, equal, extreme):
        block, order, words = ordered_words(machine, values)
        limits = sorted({limit + off for limit in values for off in (-1, 0, 1)} | {0, LOWEST, HIGHEST})
        for limit in limits[:: 1 + count // 64]:
            if LOWEST <= limit <= HIGHEST:
                expected = sum(value < limit for value in values)
                assert machine.count_below(order, words, count, limit) == expected, (values, limit)
        del block


def test_count_below_of_changing_words_is_a_position(machine):
    """Whatever order there is of the words: a number from 0 to the count."""
    chance = random.Random(1)
    for count in (1, 7, 8, 9, 33, 62, 64):
        values = [chance.randrange(100) for _ in range(count)]
        block, order, words = ordered_words(machine, values)
        for limit in range(-1, 102, 3):
            assert 0 <= machine.count_below(order, words, count, limit) <= count
        del block


def test_count_below_looks_into_blocks_only(machine):
    """An order or words elsewhere are refused."""
    block, order, words = ordered_words(machine, [1, 2, 3])
    for wrong in ((words + 256 * 8, words), (order, order + 2**40), (8, words), (order, 8)):
        with pytest.raises(AddressError):
            machine.count_below(*wrong, 3, 2)
    assert machine.count_below(order, words, 3, 2) == 1
    assert machine.count_below(8, 8, 0, 2) == 0
    del block


class Hashed:
    def __init__(self, result):
        self.result = result

    def __hash__(self):
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def test_hash_object_is_hash(machine):
    """Of plain keys and of user's classes, -1 and the value that mypyc reserves included."""
    for key in PLAIN:
        assert machine.hash_object(key) == hash(key)
    for result in (0, 1, -1, -2, -112, -113, -114, HIGHEST, LOWEST, 2**64):
        assert machine.hash_object(Hashed(result)) == hash(Hashed(result))
    assert machine.hash_object(Hashed(-113)) == -113
    assert machine.hash_object(-113) == -113
    assert machine.hash_object(Hashed(-1)) == -2
    for _ in range(2):  # a str keeps its hash after the first time
        assert machine.hash_object("never seen before " + machine.name) == hash(
            "never seen before " + machine.name
        )


def test_hash_object_lets_exceptions_through(machine):
    """The key's own, and TypeError for a key without a hash."""
    error = RuntimeError("no hash today")
    with pytest.raises(RuntimeError) as caught:
        machine.hash_object(Hashed(error))
    assert caught.value is error
    for key in ([], {}, Hashed("not a number")):
        with pytest.raises(TypeError):
            machine.hash_object(key)


def test_stored_hash_is_a_strs_own_and_else_the_word(machine):
    """Only exact str counts as one."""
    block = machine.block(1, 1)
    slot, word = block.objects_address, block.address
    machine.store(word, 4711, RELAXED)
    assert machine.stored_hash(slot, word) == 4711
    assert not machine.stored_key_is_str(slot)
    for key in PLAIN + USERS:
        machine.object_exchange(slot, key, None)
        if type(key) is str:
            machine.hash_object(key)
            assert machine.stored_hash(slot, word) == hash(key)
        else:
            assert machine.stored_hash(slot, word) == 4711
        assert machine.stored_key_is_str(slot) is machine.key_is_str(key) is (type(key) is str)


def test_reachability_fence_keeps_nothing(machine):
    """It only marks a place in compiled code."""
    value = object()
    before = references(value)
    assert machine.reachability_fence(value) is None
    assert references(value) == before


# ---- cells ------------------------------------------------------------------------------------------------


def test_ones_are_counted_in_all_64_bits(machine):
    """The sign too."""
    words = [0, 1, 6, -1, -(1 << 63), (1 << 62) - 1, *(0x0123456789ABCDEF >> shift for shift in range(60))]
    assert [machine.count_ones(word) for word in words] == [
        (word & (1 << 64) - 1).bit_count() for word in words
    ]


def test_two_slots_share_an_object(machine):
    """Each keeps it; an empty one shares nothing."""
    block = machine.block(0, 3)
    first, second, third = (block.objects_address + 8 * number for number in range(3))
    value = object()
    machine.object_store(first, value)
    machine.object_share(first, second)
    assert machine.object_take(first, None) is value
    assert machine.object_load(second, None) is value
    machine.object_share(first, third)
    assert machine.object_is_empty(third)


def test_a_cell_is_kept_by_the_slot_that_holds_it():
    """Slots lie between its words, and die with it. Interpreted callers of a compiled installation get none."""
    if intermodal.__compiled__:
        with pytest.raises(NotImplementedError, match="cells are for compiled code"):
            atomics.cell_new(1, 1, 1)
        return
    block = memory.Block(0, 1)
    cell = atomics.cell_new(3, 1, 2)
    address = atomics.cell_address(cell)
    value = {"weakly referenced"}
    for number in (0, 1, 2, 4, 5):
        atomics.store(address + 8 * number, number, RELAXED)
    atomics.object_store(address + 24, value)
    assert [atomics.load(address + 8 * number, RELAXED) for number in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]
    for number in (-1, 3, 6):
        with pytest.raises(AddressError):
            atomics.load(address + 8 * number, RELAXED)
    with pytest.raises(AddressError):
        atomics.object_load(address + 32, None)
    atomics.object_store(block.objects_address, cell)
    del cell
    assert atomics.cell_of(block.objects_address) == address
    assert atomics.object_load(address + 24, None) is value
    atomics.object_take(block.objects_address, None)
    assert atomics.cell_of(block.objects_address) == 0
    with pytest.raises(AddressError):
        atomics.load(address, RELAXED)


# ---- addresses --------------------------------------------------------------------------------------------


def calls(machine, address):
    """Return (name, parameter, call) for each address that each operation takes, with *address* there."""
    block = machine.block(2, 2)
    # A byte or 16 of them may begin where a word may not.
    good = {
        "hash_address": block.address,
        "target": block.objects_address,
        "source": block.objects_address + 8,
        "witness": block.address,
    }
    values = {"order": RELAXED, "expected": 0, "value": 0, "desired": 0, "operand": 0, "fallback": None}
    for name, names in parameters_in("atomics.py").items():
        if name == "prefetch":
            continue
        if is_slot_operation(name, "address"):
            good["address"] = block.objects_address + 8
        for place in names:
            if place in ("address", "source", "target", "hash_address", "witness"):
                arguments = [
                    address if each == place else good.get(each, values.get(each, 0)) for each in names
                ]
                yield name, place, lambda name=name, arguments=arguments: getattr(machine, name)(*arguments)
        good.pop("address", None)


ON_SLOTS = {
    *("cell_of", "key_equals", "key_equals_guarded", "key_equals_kept", "key_compare"),
    *("stored_hash", "stored_key_is_str", "stored_dict_get"),
}


def is_slot_operation(name, place):
    return place not in ("hash_address", "witness") and (name.startswith("object_") or name in ON_SLOTS)


def assert_refused(machine, address, chosen=lambda name, place: True):
    refused = 0
    for name, place, call in calls(machine, address):
        if chosen(name, place):
            try:
                call()
            except AddressError as error:
                assert f"address {address:#x} is " in str(error)  # noqa: PT017
            else:
                pytest.fail(f"{name} took {address:#x} as {place}")
            refused += 1
    assert refused > 3
    assert gc.isenabled()


@pytest.mark.parametrize("address", [0, 8, -8, 64, 2**40, HIGHEST - 7, LOWEST])
def test_an_address_in_no_block_is_refused(machine, address):
    """By every operation, in each of its parameters, as AddressError."""
    assert_refused(machine, address)


def test_an_address_just_outside_its_block_is_refused(machine):
    """Before the first word, after the last, after the last slot, and between the two."""
    block = machine.block(2, 3)
    for address in (
        block.address - 8,
        block.address + 16,
        block.objects_address - 8,
        block.objects_address + 24,
    ):
        assert_refused(machine, address)


def test_an_unaligned_address_is_refused(machine):
    """By every operation on words and slots; bytes may lie anywhere, groups of 16 at multiples of 16."""
    block = machine.block(4, 4)
    bytewise = {"load_byte", "store_byte", "compare_exchange_byte"}
    for offset in (1, 4, 7):
        assert_refused(machine, block.address + offset, lambda name, place: name not in bytewise)
        assert_refused(machine, block.objects_address + offset)
    groups = {"match_bytes", "match_bytes_portable"}
    for name, _, call in calls(machine, block.address + 8):
        if name in groups:
            with pytest.raises(AddressError):
                call()
    for name in groups:
        with pytest.raises(AddressError):
            getattr(machine, name)(block.address + 32, 0)


def test_words_and_object_slots_are_not_confused(machine):
    """An operation on words refuses a slot, one on slots refuses a word; the block is as before."""
    block = machine.block(4, 4)
    assert_refused(machine, block.address, is_slot_operation)
    assert_refused(machine, block.objects_address, lambda *each: not is_slot_operation(*each))
    assert machine.load(block.address, RELAXED) == 0
    assert machine.object_is_empty(block.objects_address)


def test_a_freed_block_is_refused(machine):
    """Words and slots alike, while other blocks live on."""
    other = machine.block(2, 2)
    block = machine.block(2, 2)
    addresses = block.address, block.objects_address
    del block
    gc.collect()
    for address in addresses:
        # Not assert_refused: it makes blocks, which may come to lie at the freed addresses.
        with pytest.raises(AddressError):
            machine.load(address, RELAXED)
        with pytest.raises(AddressError):
            machine.object_load(address, None)
    assert machine.load(other.address, RELAXED) == 0


def test_an_address_error_is_an_index_error():
    """And an IntermodalError; so callers can catch either."""
    assert issubclass(AddressError, IndexError)
    assert issubclass(AddressError, intermodal.IntermodalError)


# ---- blocks -----------------------------------------------------------------------------------------------

LARGE = 2**18  # words: twice what is mapped rather than allocated


@pytest.mark.parametrize(
    ("words", "objects"),
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (7, 9),
        (8, 8),
        (9, 7),
        (1000, 1000),
        (LARGE, 3),
        (3, LARGE),
        (2**17 - 16, 0),
    ],
)
def test_a_block_is_aligned_and_zeroed(machine, words, objects):
    """Words and object slots begin at multiples of 64 and do not overlap; every one can be used."""
    block = machine.block(words, objects)
    assert block.address % 64 == 0
    assert block.objects_address % 64 == 0
    assert block.address + 8 * words <= block.objects_address
    places = random.Random(0).choices(range(words), k=50) if words else []
    places += [0, words - 1] if words else []
    for place in places:
        assert machine.load(block.address + 8 * place, RELAXED) == 0
    for place in set(places):
        machine.store(block.address + 8 * place, ~place, RELAXED)
    slots = {0, objects // 2, objects - 1} if objects else set()
    for place in slots:
        assert machine.object_is_empty(block.objects_address + 8 * place)
        machine.object_store(block.objects_address + 8 * place, ("value", place))
    for place in places:
        assert machine.load(block.address + 8 * place, RELAXED) == ~place
    for place in slots:
        assert machine.object_load(block.objects_address + 8 * place, None) == ("value", place)


def test_blocks_do_not_overlap(machine):
    """What is written into one is not seen in another."""
    blocks = [machine.block(3, 2) for _ in range(50)]
    for number, block in enumerate(blocks):
        for word in range(3):
            machine.store(block.address + 8 * word, number, RELAXED)
        machine.object_store(block.objects_address, blocks)
        machine.object_take(block.objects_address, None)
    for number, block in enumerate(blocks):
        assert [machine.load(block.address + 8 * word, RELAXED) for word in range(3)] == [number] * 3


@pytest.mark.parametrize(("words", "objects"), [(-1, 0), (0, -1), (-(2**62), 0), (0, -(2**70))])
def test_a_negative_size_is_refused(machine, words, objects):
    """ValueError says which sizes."""
    with pytest.raises(ValueError, match=f"cannot have {words} words and {objects} object slots"):
        machine.block(words, objects)


@pytest.mark.parametrize("size", [2**50, 2**57, 2**58, 2**61, 2**63 - 1, 2**63, 2**64, 2**70])
def test_an_absurd_size_is_refused(machine, size):
    """ValueError or MemoryError, no crash, and ordinary blocks can still be had."""
    for words, objects in ((size, 0), (0, size), (size, size)):
        with pytest.raises((ValueError, MemoryError)):
            machine.block(words, objects)
    assert machine.load(machine.block(1).address, RELAXED) == 0


@pytest.mark.skipif(
    not intermodal.__compiled__, reason="the storage of the pure machine is an ordinary object"
)
def test_storage_is_not_made_by_hand():
    """Only Block does it: interpreted code could not keep it alive as long as its addresses."""
    for call in (
        lambda: atomics.block_new(1, 0),
        lambda: atomics.block_address(object()),
        lambda: atomics.buffer_new(memoryview(bytes(8))),
        lambda: atomics.buffer_address(memoryview(bytes(8))),
    ):
        with pytest.raises(NotImplementedError, match=r"intermodal\.memory\.Block"):
            call()
