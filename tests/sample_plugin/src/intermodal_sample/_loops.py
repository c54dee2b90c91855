"""Loops for intermodal's own tests of its atomics: compiled, threads really meet in them.

Not part of the plugin. Each is what one of several threads does to the same words or slots at the same time:
it begins when as many threads as the word *gate* says, negated, have come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from mypy_extensions import i64

from intermodal.atomics import (
    ACQ_REL,
    ACQUIRE,
    RELAXED,
    block_address,
    block_new,
    compare_exchange,
    compare_exchange_byte,
    fetch_add,
    gil_acquire,
    gil_release,
    load,
    load_byte,
    match_bytes,
    match_bytes_portable,
    object_compare_exchange,
    object_exchange,
    object_exchange_into,
    object_load,
    object_load_guarded,
    object_take,
    pause,
    store,
    store_byte,
    stored_hash,
    stored_key_is_str,
    try_lock,
    unlock,
    yield_thread,
)
from intermodal.plugins import Reclaimer
from intermodal.reclamation import (
    LIMBO,
    WITNESS,
    enter,
    has_room,
    leave,
    record_of,
    retired,
)

#: Tries before a waiting thread lets another run.
SPINS: Final = 64
_YOUNG: Final[object] = object()


def meet(gate: i64) -> None:
    """Wait until all threads are here: the word begins at minus their number."""
    fetch_add(gate, 1, ACQ_REL)
    while load(gate, ACQUIRE) < 0:
        yield_thread()


def add_many(gate: i64, address: i64, operand: i64, times: i64) -> None:
    """Add *operand* to the word *times* times."""
    meet(gate)
    while times > 0:
        fetch_add(address, operand, RELAXED)
        times -= 1


def add_released(gate: i64, address: i64, times: i64) -> i64:
    """Do what add_many does, and meet, in sections without the GIL; return how often they spun at the gate."""
    spins: i64 = 0
    state = gil_release()
    fetch_add(gate, 1, ACQ_REL)
    while load(gate, ACQUIRE) < 0:
        spins += 1
        pause()
    while times > 0:
        fetch_add(address, 1, RELAXED)
        times -= 1
    gil_acquire(state)
    return spins


def exchange_and_add(gate: i64, address: i64, times: i64) -> None:
    """Add 1 to the word *times* times, each by as many compare_exchange as it takes."""
    meet(gate)
    while times > 0:
        old = load(address, RELAXED)
        while not compare_exchange(address, old, old + 1, ACQ_REL):
            old = load(address, RELAXED)
        times -= 1


def lock_and_add(gate: i64, lock: i64, address: i64, times: i64) -> None:
    """Add 1 to the word *times* times, in two steps that nothing but the lock word makes one."""
    meet(gate)
    spins: i64 = 0
    while times > 0:
        version = load(lock, ACQUIRE)
        if version & 1 == 0 and try_lock(lock, version):
            store(address, load(address, RELAXED) + 1, RELAXED)
            unlock(lock, version + 2)
            times -= 1
            spins = 0
        else:
            spins += 1
            if spins < SPINS:
                pause()
            else:
                yield_thread()


def count_in_byte(gate: i64, address: i64, times: i64) -> i64:
    """Count from 0 to *times* in a byte that is this thread's alone; return how often it was not as left."""
    meet(gate)
    wrong: i64 = 0
    count: i64 = 0
    while count < times:
        if load_byte(address) != count & 255:
            wrong += 1
        count += 1
        store_byte(address, count)
    return wrong


def claim_and_add(gate: i64, byte: i64, address: i64, times: i64) -> None:
    """Add 1 to the word *times* times, in two steps, whenever this thread has claimed the byte (0 -> 1)."""
    meet(gate)
    spins: i64 = 0
    while times > 0:
        if compare_exchange_byte(byte, 0, 1):
            store(address, load(address, RELAXED) + 1, RELAXED)
            store_byte(byte, 0)
            times -= 1
            spins = 0
        else:
            spins += 1
            if spins < SPINS:
                pause()
            else:
                yield_thread()


def hand_over(gate: i64, slot: i64, objects: list[object]) -> list[object]:
    """Put each of *objects* into the slot in turn; return what each displaced."""
    meet(gate)
    return [object_exchange(slot, each, None) for each in objects]


def take_and_put(gate: i64, slot: i64, objects: list[object], empty: object) -> list[object]:
    """Put each of *objects* into the slot, and take whatever is there out of it; return what was taken."""
    meet(gate)
    taken: list[object] = []
    for each in objects:
        taken.append(object_exchange(slot, each, empty))
        taken.append(object_take(slot, empty))
    return taken


def replace_if_same(gate: i64, slot: i64, objects: list[object]) -> list[object]:
    """Replace the slot's object by each of *objects* in turn, retrying; return those that were replaced."""
    meet(gate)
    replaced: list[object] = []
    for each in objects:
        old = object_load(slot, None)
        while not object_compare_exchange(slot, old, each):
            old = object_load(slot, None)
        replaced.append(old)
    return replaced


def load_until_none(gate: i64, slot: i64, known: set[int]) -> int:
    """Load the slot's object until it is None; return how often it was none of those with the ids *known*."""
    meet(gate)
    strange = 0
    spins: i64 = 0
    while True:
        value = object_load(slot, None)
        if value is None:
            return strange
        if id(value) not in known:
            strange += 1
        spins += 1
        if spins % SPINS == 0:
            yield_thread()  # nothing else makes a compiled loop give up the GIL


def write_numbers(gate: i64, slot: i64, times: i64) -> None:
    """Put new lists into the slot, [0] first, each dropped when the next replaces it; None in the end."""
    meet(gate)
    number: i64 = 0
    while number < times:
        fresh: list[object] = [number]
        object_exchange(slot, fresh, None)
        number += 1
        if number % SPINS == 0:
            yield_thread()
    object_exchange(slot, None, None)


def read_numbers(gate: i64, slot: i64) -> int:
    """Load those lists until the slot holds None; return how often one was not whole or not in order."""
    meet(gate)
    wrong = 0
    newest: i64 = -1
    spins: i64 = 0
    while True:
        value = object_load(slot, None)
        if value is None:
            return wrong
        numbers = cast("list[i64]", value)
        if len(numbers) != 1 or numbers[0] < newest:
            wrong += 1
        else:
            newest = numbers[0]
        spins += 1
        if spins % SPINS == 0:
            yield_thread()


# ---- sections of a reclaimer ------------------------------------------------------------------------------


def replace_cells(
    gate: i64,
    reclaimer: Reclaimer,
    cells: i64,
    births: i64,
    count: i64,
    times: i64,
    make: Callable[[int], object],
) -> None:
    """Put ``make(0)``, ``make(1)``... into the slots in turn, and retire what they displace, as engines do.

    *births* are words, one for each slot, with the eras from which what is there is.
    """
    meet(gate)
    number: i64 = 0
    while number < times:
        place = number % count * 8
        birth: i64 = reclaimer.now()
        fresh = make(number)
        record: i64 = record_of(reclaimer.key)
        if record == 0 or not has_room(record):
            record = reclaimer.make_room()
        object_exchange_into(cells + place, fresh, load(record + LIMBO, RELAXED))
        retired(record, load(births + place, RELAXED))
        store(births + place, birth, RELAXED)
        number += 1
        if number % SPINS == 0:
            yield_thread()
    object_exchange(cells, None, None)


def read_cells(gate: i64, reclaimer: Reclaimer, cells: i64, count: i64) -> tuple[int, int]:
    """Load what is in the slots, in sections, until the first holds None.

    Returns: how often it was not what belongs there, and how often it could not be had in this way.
    """
    meet(gate)
    record: i64 = reclaimer.record()
    witness = load(record + WITNESS, RELAXED)
    wrong = young = 0
    sections: i64 = 0
    while True:
        sections += 1
        era: i64 = enter(record)
        found: list[object] = []
        place: i64 = 0
        while place < count:
            value = object_load_guarded(cells + place * 8, witness, era, _YOUNG)
            if value is _YOUNG:
                young += 1
            elif value is None:
                break
            else:
                if cast("Any", value).content % count != place:
                    wrong += 1
                found.append(value)
            place += 1
            if sections % SPINS == 0:
                yield_thread()
        released: i64 = leave(record)
        if released != 0:
            reclaimer.released(released)
        if place < count:
            return wrong, young


# ---- what interpreted callers get only from behind a check, and in part by other code ----------------------


def inlined_load(address: i64) -> i64:
    return load(address, RELAXED)


def inlined_match_bytes(address: i64, byte: i64) -> i64:
    return match_bytes(address, byte)


def inlined_match_bytes_portable(address: i64, byte: i64) -> i64:
    return match_bytes_portable(address, byte)


def inlined_object_load(address: i64) -> object:
    return object_load(address, None)


def inlined_stored_hash(address: i64, hash_address: i64) -> i64:
    return stored_hash(address, hash_address)


def inlined_stored_key_is_str(address: i64) -> bool:
    return stored_key_is_str(address)


def own_storage(words: i64) -> object:
    """Return storage that this library makes and frees; only intermodal.memory does that otherwise."""
    return block_new(words, 0)


def address_of(storage: object) -> i64:
    return block_address(storage)
