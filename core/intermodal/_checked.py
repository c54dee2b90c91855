"""Checked atomics: what interpreted code gets in a compiled installation.

Each function keeps the contract of its namesake in :mod:`intermodal.atomics`, and raises where the inlined C
would touch memory that is not there. Compiled callers never come here.
May import only atomics and memory.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from intermodal import atomics, memory

_LOAD_ORDERS: Final = (atomics.RELAXED, atomics.ACQUIRE, atomics.SEQ_CST)
_STORE_ORDERS: Final = (atomics.RELAXED, atomics.RELEASE, atomics.SEQ_CST)
_ORDERS: Final = (atomics.RELAXED, atomics.ACQUIRE, atomics.RELEASE, atomics.ACQ_REL, atomics.SEQ_CST)


def _check_order(order: i64, allowed: tuple[int, ...]) -> None:
    if order not in allowed:
        raise ValueError(f"memory order {order} is not one of {list(allowed)} that this operation takes")


# ---- words ------------------------------------------------------------------------------------------------


def load(address: i64, order: i64) -> i64:
    _check_order(order, _LOAD_ORDERS)
    memory.check_words(address, 8)
    return atomics.load(address, order)


def store(address: i64, value: i64, order: i64) -> None:
    _check_order(order, _STORE_ORDERS)
    memory.check_words(address, 8)
    atomics.store(address, value, order)


def exchange(address: i64, value: i64, order: i64) -> i64:
    _check_order(order, _ORDERS)
    memory.check_words(address, 8)
    return atomics.exchange(address, value, order)


def compare_exchange(address: i64, expected: i64, desired: i64, order: i64) -> bool:
    _check_order(order, _ORDERS)
    memory.check_words(address, 8)
    return atomics.compare_exchange(address, expected, desired, order)


def fetch_add(address: i64, operand: i64, order: i64) -> i64:
    _check_order(order, _ORDERS)
    memory.check_words(address, 8)
    return atomics.fetch_add(address, operand, order)


def fetch_and(address: i64, operand: i64, order: i64) -> i64:
    _check_order(order, _ORDERS)
    memory.check_words(address, 8)
    return atomics.fetch_and(address, operand, order)


def fetch_or(address: i64, operand: i64, order: i64) -> i64:
    _check_order(order, _ORDERS)
    memory.check_words(address, 8)
    return atomics.fetch_or(address, operand, order)


def fence(order: i64) -> None:
    _check_order(order, _ORDERS)
    atomics.fence(order)


def light_fence() -> None:
    atomics.light_fence()


def heavy_fence() -> None:
    atomics.heavy_fence()


def _check_even(value: i64) -> None:
    if value & 1:
        raise ValueError(f"bit 0 of {value:#x} is the lock's own: a free lock's word is even")


def try_lock(address: i64, expected: i64) -> bool:
    _check_even(expected)
    memory.check_words(address, 8)
    return atomics.try_lock(address, expected)


def unlock(address: i64, value: i64) -> None:
    _check_even(value)
    memory.check_words(address, 8)
    if not atomics.load(address, atomics.RELAXED) & 1:
        raise ValueError(f"the lock at {address:#x} is not held")
    atomics.unlock(address, value)


# ---- bytes and bits ---------------------------------------------------------------------------------------


def load_byte(address: i64) -> i64:
    memory.check_words(address, 1)
    return atomics.load_byte(address)


def store_byte(address: i64, value: i64) -> None:
    memory.check_words(address, 1)
    atomics.store_byte(address, value)


def compare_exchange_byte(address: i64, expected: i64, desired: i64) -> bool:
    memory.check_words(address, 1)
    return atomics.compare_exchange_byte(address, expected, desired)


def match_bytes(address: i64, byte: i64) -> i64:
    memory.check_words(address, 16)
    return atomics.match_bytes(address, byte)


def match_bytes_portable(address: i64, byte: i64) -> i64:
    memory.check_words(address, 16)
    return atomics.match_bytes_portable(address, byte)


def count_trailing_zeros(bits: i64) -> i64:
    if bits == 0:
        raise ValueError("zero has no lowest set bit")
    return atomics.count_trailing_zeros(bits)


def count_ones(bits: i64) -> i64:
    return atomics.count_ones(bits)


def mix(value: i64) -> i64:
    return atomics.mix(value)


def fast_range(value: i64, size: i64) -> i64:
    return atomics.fast_range(value, size)


def range_start(index: i64, size: i64) -> i64:
    if size <= 0:
        raise ValueError(f"size must be positive, not {size}")
    return atomics.range_start(index, size)


def prefetch(address: i64) -> None:
    atomics.prefetch(address)


# ---- threads ----------------------------------------------------------------------------------------------


def thread_token() -> i64:
    return atomics.thread_token()


def thread_word(key: i64) -> i64:
    return atomics.thread_word(key)


def set_thread_word(key: i64, word: i64) -> None:
    atomics.set_thread_word(key, word)


def pause() -> None:
    atomics.pause()


def yield_thread() -> None:
    atomics.yield_thread()


def gil_release() -> i64:
    return 0  # the caller is interpreted, and goes on needing it


def gil_acquire(state: i64) -> None:
    pass


# ---- floating-point numbers in words ----------------------------------------------------------------------


def float_word(value: float) -> i64:
    return atomics.float_word(value)


def word_float(word: i64) -> float:
    return atomics.word_float(word)


# ---- object slots -----------------------------------------------------------------------------------------


def object_load(address: i64, fallback: object) -> object:
    memory.check_slot(address)
    return atomics.object_load(address, fallback)


def object_store(address: i64, value: object) -> None:
    memory.check_slot(address)
    atomics.object_store(address, value)


def object_exchange(address: i64, value: object, fallback: object) -> object:
    memory.check_slot(address)
    return atomics.object_exchange(address, value, fallback)


def object_take(address: i64, fallback: object) -> object:
    memory.check_slot(address)
    return atomics.object_take(address, fallback)


def object_exchange_into(address: i64, value: object, target: i64) -> None:
    memory.check_slot(address)
    memory.check_slot(target)
    atomics.object_exchange_into(address, value, target)


def object_take_into(address: i64, target: i64) -> None:
    memory.check_slot(address)
    memory.check_slot(target)
    atomics.object_take_into(address, target)


def object_compare_exchange(address: i64, expected: object, desired: object) -> bool:
    memory.check_slot(address)
    return atomics.object_compare_exchange(address, expected, desired)


def object_copy(source: i64, target: i64) -> None:
    memory.check_slot(source)
    memory.check_slot(target)
    atomics.object_copy(source, target)


def object_share(source: i64, target: i64) -> None:
    memory.check_slot(source)
    memory.check_slot(target)
    atomics.object_share(source, target)


def object_forget(address: i64) -> None:
    memory.check_slot(address)
    atomics.object_forget(address)


def object_load_guarded(address: i64, witness: i64, era: i64, fallback: object) -> object:
    memory.check_slot(address)
    memory.check_words(witness, 8)
    if atomics.load(witness, atomics.ACQUIRE) != era:
        return fallback
    return atomics.object_load(address, fallback)  # interpreted callers may not be in a section


def object_is(address: i64, value: object) -> bool:
    memory.check_slot(address)
    return atomics.object_is(address, value)


def object_is_empty(address: i64) -> bool:
    memory.check_slot(address)
    return atomics.object_is_empty(address)


def object_prefetch(address: i64) -> None:
    memory.check_slot(address)
    atomics.object_prefetch(address)


# ---- keys -------------------------------------------------------------------------------------------------


def hash_object(key: object) -> i64:
    return atomics.hash_object(key)


def key_equals(address: i64, key: object) -> i64:
    memory.check_slot(address)
    return atomics.key_equals(address, key)


def key_equals_guarded(address: i64, key: object, witness: i64, era: i64) -> i64:
    memory.check_slot(address)
    memory.check_words(witness, 8)
    if atomics.object_is(address, key):
        return 1
    if atomics.load(witness, atomics.ACQUIRE) != era:
        return -1
    return atomics.key_equals(address, key)


def key_equals_kept(address: i64, key: object) -> i64:
    memory.check_slot(address)
    return atomics.key_equals_kept(address, key)


def key_is_str(key: object) -> bool:
    return atomics.key_is_str(key)


def key_kind(key: object) -> i64:
    return atomics.key_kind(key)


def key_word(key: object, position: i64) -> i64:
    if atomics.key_kind(key) == atomics.OTHER_KEY:
        raise TypeError(f"only an int of 64 bits or a str has a word, not {type(key).__name__}")
    if position < 0:
        raise ValueError(f"position must not be negative: {position}")
    return atomics.key_word(key, position)


def key_compare(address: i64, key: object) -> i64:
    memory.check_slot(address)
    return atomics.key_compare(address, key)


def count_below(order: i64, words: i64, count: i64, limit: i64) -> i64:
    place: i64 = 0
    while place < count:
        memory.check_words(order + place, 1)
        memory.check_words(words + atomics.load_byte(order + place) * 8, 8)
        place += 1
    return atomics.count_below(order, words, count, limit)


def stored_hash(address: i64, hash_address: i64) -> i64:
    memory.check_slot(address)
    memory.check_words(hash_address, 8)
    key = atomics.object_load(address, None)  # the inlined C only borrows it, trusting the caller's lock
    if atomics.key_is_str(key):
        return atomics.hash_object(key)
    return atomics.load(hash_address, atomics.RELAXED)


def stored_key_is_str(address: i64) -> bool:
    memory.check_slot(address)
    return atomics.key_is_str(atomics.object_load(address, None))


def stored_dict_get(address: i64, key: object, fallback: object) -> object:
    memory.check_slot(address)
    stored = atomics.object_load(address, None)  # interpreted callers may not keep it in its slot
    if type(stored) is not dict:
        raise TypeError("the slot holds no dict")
    return stored.get(key, fallback)


def reachability_fence(value: object) -> None:
    atomics.reachability_fence(value)


# ---- cells: their addresses are in no registry, so nothing here could check them --------------------------


def _refuse_cells() -> NotImplementedError:
    return NotImplementedError("cells are for compiled code, or for a pure installation")


def cell_new(words: i64, objects: i64, more_words: i64) -> object:  # noqa: ARG001
    raise _refuse_cells()


def cell_address(cell: object) -> i64:  # noqa: ARG001
    raise _refuse_cells()


def cell_of(address: i64) -> i64:
    memory.check_slot(address)
    raise _refuse_cells()


# ---- blocks: compiled intermodal.memory alone calls the inlined ones --------------------------------------


def _refuse() -> NotImplementedError:
    return NotImplementedError("storage is made by intermodal.memory.Block and Buffer; create one of those")


def block_new(words: i64, objects: i64) -> object:  # noqa: ARG001
    raise _refuse()


def block_address(storage: object) -> i64:  # noqa: ARG001
    raise _refuse()


def block_objects(storage: object) -> i64:  # noqa: ARG001
    raise _refuse()


def block_abandon_objects(storage: object) -> None:  # noqa: ARG001
    raise _refuse()


def buffer_new(view: object) -> object:  # noqa: ARG001
    raise _refuse()


def buffer_address(storage: object) -> i64:  # noqa: ARG001
    raise _refuse()
