"""The reference machine: atomics and memory in plain Python.

Memory is simulated: an address is the number of a block and an offset in it, a word is a Python int, an
object slot is a cell of a list. An access outside a live block raises AddressError, so use after free is
visible. All operations are sequentially consistent, whatever the order they name.

What each function does is said in :mod:`intermodal.atomics`. Nothing here may import intermodal except
errors.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import itertools
import signal
import struct
import threading
import time
import weakref
from typing import Any, Final

from intermodal.errors import AddressError

# 2**27 blocks of up to 2**36 bytes: addresses fit into a word, so that they can be stored in one.
_BLOCK_SHIFT: Final = 36
_MOST: Final = 1 << (_BLOCK_SHIFT - 5)
_WORD_MASK: Final = (1 << 64) - 1
_VALUE_MASK: Final = (1 << 63) - 1
_EMPTY: Final = object()
_ORDERS: Final = range(5)
_LOAD_ORDERS: Final = (0, 1, 4)
_STORE_ORDERS: Final = (0, 2, 4)


class Storage:
    """The memory of one block or cell: words, then object slots, both addressed from ``base``.

    Of a cell's words, those from *front* on are addressed after the slots.
    """

    __slots__ = ("__weakref__", "base", "front", "objects", "objects_base", "words")

    def __init__(self, words: list[int] | memoryview, objects: int) -> None:
        number = next(_block_numbers)
        self.base = number << _BLOCK_SHIFT
        self.objects_base = self.base + (len(words) * 8 + 63) // 64 * 64
        self.front = len(words)
        self.words = words
        self.objects: list[Any] = [_EMPTY] * objects
        _blocks[number] = weakref.ref(self, lambda _, forget=_blocks.pop: forget(number, None))  # type: ignore[misc]


_block_numbers: Final = itertools.count(1)
_blocks: Final[dict[int, weakref.ref[Storage]]] = {}  # a WeakValueDictionary takes a call more at each access

# Serialises everything that writes. It is re-entrant because acquiring it is a call, and during a call the
# cyclic GC or a signal handler may run user code that comes back here in the same thread. Between the read
# and the write of one operation there is no call, hence nothing can come between them.
_writing: Final = threading.RLock()


def _storage(address: int) -> Storage:
    reference = _blocks.get(address >> _BLOCK_SHIFT)
    storage = None if reference is None else reference()
    if storage is None:
        raise AddressError(f"address {address:#x} is in no live block: it was freed, or never allocated")
    return storage


def _word(address: int) -> tuple[list[int] | memoryview, int]:
    storage = _storage(address)
    index, rest = divmod(address - storage.base, 8)
    if index >= storage.front:
        behind = index - len(storage.objects)
        index = behind if behind >= storage.front else len(storage.words)
    if rest or index >= len(storage.words):
        raise AddressError(f"address {address:#x} is not that of a word of its block")
    return storage.words, index


def _slot(address: int) -> tuple[list[Any], int]:
    storage = _storage(address)
    index, rest = divmod(address - storage.objects_base, 8)
    if rest or not 0 <= index < len(storage.objects):
        raise AddressError(f"address {address:#x} is not that of an object slot of its block")
    return storage.objects, index


def _signed(value: int) -> int:
    value &= _WORD_MASK
    return value - (1 << 64) if value >> 63 else value


def _check_order(order: int, allowed: range | tuple[int, ...] = _ORDERS) -> None:
    if order not in allowed:
        raise ValueError(f"memory order {order!r} is not one of {list(allowed)} that this operation takes")


# ---- words ------------------------------------------------------------------------------------------------


def load(address: int, order: int) -> int:
    _check_order(order, _LOAD_ORDERS)
    words, index = _word(address)
    return words[index]


def store(address: int, value: int, order: int) -> None:
    _check_order(order, _STORE_ORDERS)
    words, index = _word(address)
    value = _signed(value)
    with _writing:
        words[index] = value


def exchange(address: int, value: int, order: int) -> int:
    _check_order(order)
    words, index = _word(address)
    value = _signed(value)
    with _writing:
        old = words[index]
        words[index] = value
    return old


def compare_exchange(address: int, expected: int, desired: int, order: int) -> bool:
    _check_order(order)
    words, index = _word(address)
    expected, desired = _signed(expected), _signed(desired)
    with _writing:
        if words[index] != expected:
            return False
        words[index] = desired
    return True


def fetch_add(address: int, operand: int, order: int) -> int:
    _check_order(order)
    words, index = _word(address)
    with _writing:
        old = words[index]
        new = (old + operand) & _WORD_MASK
        words[index] = new - (1 << 64) if new >> 63 else new
    return old


def fetch_and(address: int, operand: int, order: int) -> int:
    _check_order(order)
    words, index = _word(address)
    operand = _signed(operand)
    with _writing:
        old = words[index]
        words[index] = old & operand
    return old


def fetch_or(address: int, operand: int, order: int) -> int:
    _check_order(order)
    words, index = _word(address)
    operand = _signed(operand)
    with _writing:
        old = words[index]
        words[index] = old | operand
    return old


def fence(order: int) -> None:
    _check_order(order)


def light_fence() -> None:
    pass


def heavy_fence() -> None:
    pass


# ---- locks: no signal handler and no garbage collection while one is held ---------------------------------


class _Critical(threading.local):
    depth = 0
    signals: Any = None


_critical: Final = _Critical()
_holders = 0
_collect_again = False


# signal.pthread_sigmask makes enums of what this returns, of all signals: ten times as long as a whole write.
_set_mask: Final[Any] = getattr(_signal, "pthread_sigmask", None)
#: More calls than a critical section nests: where they cannot be made, none begins, and no lock is left held.
_CRITICAL_FRAMES: Final = 40
_EVERY_SIGNAL: Final = [int(number) for number in signal.valid_signals()]


def _hold_signals() -> Any:
    """Block signals in the main thread, the one that runs handlers; return the mask to restore."""
    if _set_mask is None or threading.get_ident() != threading.main_thread().ident:
        return None
    before = _set_mask(signal.SIG_BLOCK, ())
    try:
        _set_mask(signal.SIG_BLOCK, _EVERY_SIGNAL)
    except BaseException:  # a handler that was due ran first, and raised
        _set_mask(signal.SIG_SETMASK, before)
        raise
    return before


def _need_stack(frames: int) -> None:
    """Raise RecursionError unless so many more calls can be made."""
    if frames:
        _need_stack(frames - 1)


def _enter_critical() -> None:
    global _collect_again, _holders
    if _critical.depth == 0:
        _need_stack(_CRITICAL_FRAMES)
        _critical.signals = _hold_signals()
        with _writing:
            if _holders == 0:
                _collect_again = gc.isenabled()
                gc.disable()
            _holders += 1
    _critical.depth += 1


def _leave_critical() -> None:
    global _holders
    _critical.depth -= 1
    if _critical.depth == 0:
        with _writing:
            _holders -= 1
            if _holders == 0 and _collect_again:
                gc.enable()
        if _critical.signals is not None:
            _set_mask(signal.SIG_SETMASK, _critical.signals)


def _check_even(value: int) -> None:
    if value & 1:
        raise ValueError(f"bit 0 of {value:#x} is the lock's own: a free lock's word is even")


def try_lock(address: int, expected: int) -> bool:
    _check_even(expected)
    _word(address)  # a wrong address is found out before signals and the GC are kept out
    _enter_critical()
    if compare_exchange(address, expected, expected | 1, 1):
        return True
    _leave_critical()
    return False


def unlock(address: int, value: int) -> None:
    _check_even(value)
    words, index = _word(address)
    if not words[index] & 1:
        raise ValueError(f"the lock at {address:#x} is not held")
    store(address, value, 2)
    _leave_critical()


# ---- bytes and bits ---------------------------------------------------------------------------------------


def _byte(address: int) -> tuple[list[int] | memoryview, int, int]:
    storage = _storage(address)
    index = (address - storage.base) // 8
    if index >= len(storage.words):
        raise AddressError(f"address {address:#x} is not that of a byte in a word of its block")
    return storage.words, index, (address & 7) * 8


def load_byte(address: int) -> int:
    words, index, shift = _byte(address)
    return (words[index] >> shift) & 255


def _with_byte(word: int, shift: int, value: int) -> int:
    return _signed((word & ~(255 << shift)) | ((value & 255) << shift))


def store_byte(address: int, value: int) -> None:
    words, index, shift = _byte(address)
    while True:
        old = words[index]
        new = _with_byte(old, shift, value)
        with _writing:
            if words[index] == old:
                words[index] = new
                return


def compare_exchange_byte(address: int, expected: int, desired: int) -> bool:
    words, index, shift = _byte(address)
    expected &= 255
    while True:
        old = words[index]
        if (old >> shift) & 255 != expected:
            return False
        new = _with_byte(old, shift, desired)
        with _writing:
            if words[index] == old:
                words[index] = new
                return True


def match_bytes(address: int, byte: int) -> int:
    if address & 15:
        raise AddressError(f"address {address:#x} is not a multiple of 16")
    mask = 0
    for position in range(16):
        if load_byte(address + position) == byte & 255:
            mask |= 1 << position
    return mask


match_bytes_portable = match_bytes


def count_trailing_zeros(bits: int) -> int:
    if not bits & _WORD_MASK:
        raise ValueError("zero has no lowest set bit")
    return ((bits & -bits) & _WORD_MASK).bit_length() - 1


def count_ones(bits: int) -> int:
    return (bits & _WORD_MASK).bit_count()


def mix(value: int) -> int:
    product = ((value & _WORD_MASK) ^ 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9
    return _signed(product ^ (product >> 64))


def fast_range(value: int, size: int) -> int:
    return ((value & _VALUE_MASK) * size) >> 63


def range_start(index: int, size: int) -> int:
    return -((-index << 63) // size)


def prefetch(address: int) -> None:
    pass


# ---- threads ----------------------------------------------------------------------------------------------


def thread_token() -> int:
    return threading.get_ident()


class _ThreadWords(threading.local):
    def __init__(self) -> None:
        self.words: dict[int, int] = {}


_thread_words: Final = _ThreadWords()


def thread_word(key: int) -> int:
    return _thread_words.words.get(key, 0)


def set_thread_word(key: int, word: int) -> None:
    if word:
        _thread_words.words[key] = word
    else:
        _thread_words.words.pop(key, None)


def pause() -> None:
    time.sleep(0)


def yield_thread() -> None:
    time.sleep(0)


def gil_release() -> int:
    return 0


def gil_acquire(state: int) -> None:
    pass


# ---- floating-point numbers in words ----------------------------------------------------------------------

_FLOAT: Final = struct.Struct("=d")
_INTEGER: Final = struct.Struct("=q")


def float_word(value: float) -> int:
    (word,) = _INTEGER.unpack(_FLOAT.pack(value))
    return int(word)


def word_float(word: int) -> float:
    (value,) = _FLOAT.unpack(_INTEGER.pack(word))
    return float(value)


# ---- object slots -----------------------------------------------------------------------------------------


def object_load(address: int, fallback: object) -> object:
    slots, index = _slot(address)
    value = slots[index]
    return fallback if value is _EMPTY else value


def object_store(address: int, value: object) -> None:
    slots, index = _slot(address)
    with _writing:
        slots[index] = value


def object_exchange(address: int, value: object, fallback: object) -> object:
    slots, index = _slot(address)
    with _writing:
        old = slots[index]
        slots[index] = value
    return fallback if old is _EMPTY else old


def object_take(address: int, fallback: object) -> object:
    return object_exchange(address, _EMPTY, fallback)


def object_exchange_into(address: int, value: object, target: int) -> None:
    slots, index = _slot(address)
    targets, target_index = _slot(target)
    with _writing:
        targets[target_index], slots[index] = slots[index], value


def object_take_into(address: int, target: int) -> None:
    object_exchange_into(address, _EMPTY, target)


def _is_held(value: object) -> bool:
    """Return whether any object slot of any live block holds *value*; for the scheduler."""
    live = [storage for reference in list(_blocks.values()) if (storage := reference()) is not None]
    return any(held is value for storage in live for held in storage.objects)


def object_compare_exchange(address: int, expected: object, desired: object) -> bool:
    slots, index = _slot(address)
    with _writing:
        if slots[index] is not expected:
            return False
        slots[index] = desired
    return True


def object_copy(source: int, target: int) -> None:
    slots, index = _slot(source)
    object_store(target, slots[index])


def object_share(source: int, target: int) -> None:
    object_copy(source, target)


def object_forget(address: int) -> None:
    object_store(address, _EMPTY)


def object_load_guarded(address: int, witness: int, era: int, fallback: object) -> object:
    value = object_load(address, fallback)
    return value if load(witness, 1) == era else fallback


def object_is(address: int, value: object) -> bool:
    slots, index = _slot(address)
    return slots[index] is value


def object_is_empty(address: int) -> bool:
    return object_is(address, _EMPTY)


def object_prefetch(address: int) -> None:
    _slot(address)


# ---- keys -------------------------------------------------------------------------------------------------

_NUMBERS: Final = frozenset((int, float, bool, complex))
_PLAIN: Final = _NUMBERS | {str, bytes, type(None)}
_MOST_INT: Final = 1 << 63


def hash_object(key: object) -> int:
    return hash(key)


def key_equals(address: int, key: object) -> int:
    slots, index = _slot(address)
    return _compare_keys(slots[index], key)


def key_equals_guarded(address: int, key: object, witness: int, era: int) -> int:
    slots, index = _slot(address)
    stored = slots[index]
    if stored is not key and load(witness, 1) != era:
        return -1
    return _compare_keys(stored, key)


def _compare_keys(stored: object, key: object) -> int:
    """Do what :func:`key_equals` does with what a slot holds."""
    if stored is key:
        return 1
    if stored is _EMPTY:
        return 0
    stored_type, key_type = type(stored), type(key)
    if stored_type not in _PLAIN or key_type not in _PLAIN:
        return -1
    if stored_type is key_type or (stored_type in _NUMBERS and key_type in _NUMBERS):
        return int(stored == key)
    return 0


def key_equals_kept(address: int, key: object) -> int:
    return key_equals(address, key)


def key_is_str(key: object) -> bool:
    return type(key) is str


def key_kind(key: object) -> int:
    if type(key) is str:
        return 2
    return int(isinstance(key, int) and type(key) in (int, bool) and -_MOST_INT < key < _MOST_INT - 1)


def key_word(key: Any, position: int) -> int:
    kind = key_kind(key)
    if kind == 0:
        raise TypeError(f"only an int of 64 bits or a str has a word, not {type(key).__name__}")
    if position < 0:
        raise ValueError(f"position must not be negative: {position}")
    if kind == 1:
        return int(key)
    encoded = key[position : position + 8].encode("utf-8", "surrogatepass")[:8]
    return int.from_bytes(bytes(byte + 1 for byte in encoded).ljust(8, b"\0"), "big") - _MOST_INT


def key_compare(address: int, key: Any) -> int:
    slots, index = _slot(address)
    return _order_keys(slots[index], key)


def _order_keys(stored: Any, key: Any) -> int:
    """Do what :func:`key_compare` does with what a slot holds."""
    if type(stored) is not str or type(key) is not str:
        return 2
    return (stored > key) - (stored < key)


def count_below(order: int, words: int, count: int, limit: int) -> int:
    below, length = 0, count
    while length > 0:
        half = (length + 1) // 2
        if load(words + 8 * load_byte(order + below + half - 1), 0) < limit:
            below += half
            length -= half
        else:
            length = half - 1
    return below


def stored_hash(address: int, hash_address: int) -> int:
    slots, index = _slot(address)
    words, hash_index = _word(hash_address)
    key = slots[index]
    return hash(key) if type(key) is str else words[hash_index]


def stored_key_is_str(address: int) -> bool:
    slots, index = _slot(address)
    return type(slots[index]) is str


def stored_dict_get(address: int, key: object, fallback: object) -> object:
    slots, index = _slot(address)
    return _look_up(slots[index], key, fallback)


def _look_up(stored: object, key: object, fallback: object) -> object:
    """Do what :func:`stored_dict_get` does with what a slot holds."""
    if type(stored) is not dict:
        raise TypeError("the slot holds no dict")
    return stored.get(key, fallback)


def reachability_fence(value: object) -> None:
    pass


# ---- cells ------------------------------------------------------------------------------------------------


def cell_new(words: int, objects: int, more_words: int) -> Storage:
    cell = block_new(words + more_words, objects)
    cell.objects_base = cell.base + words * 8
    cell.front = words
    return cell


def cell_address(cell: Storage) -> int:
    return cell.base


def cell_of(address: int) -> int:
    slots, index = _slot(address)
    return _address_of(slots[index])


def _address_of(held: Any) -> int:
    """Return what :func:`cell_of` says of a slot that holds *held*."""
    if held is _EMPTY:
        return 0
    base: int = held.base
    return base


# ---- blocks -----------------------------------------------------------------------------------------------


def block_new(words: int, objects: int) -> Storage:
    if not (0 <= words < _MOST and 0 <= objects < _MOST):
        raise ValueError(f"a block cannot have {words} words and {objects} object slots")
    return Storage([0] * words, objects)


def block_address(storage: Storage) -> int:
    return storage.base


def block_objects(storage: Storage) -> int:
    return storage.objects_base


def block_abandon_objects(storage: Storage) -> None:
    pass  # a reader that came before may still look, and finds empty slots


def buffer_new(view: memoryview) -> Storage:
    words = view if view.format == "q" else view.cast("B").cast("q")
    return Storage(words, 0)


buffer_address = block_address
