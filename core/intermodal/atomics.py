"""Atomic operations on words, bytes and object slots: the contract, and what interpreted callers get.

Compiled by :func:`intermodal.build.mypycify`, a call of any function here becomes an inlined C function of
the same name from ``atomics.h``; this module itself is never compiled. Called from interpreted Python, the
functions are forwarded to a *machine*:

- in a compiled installation to ``intermodal._checked``, the same C functions behind a check of the address;
- in a pure installation, or with ``INTERMODAL_PURE=1``, to ``intermodal._simulated``, the reference semantics
  in plain Python.

An *address* is the position of a 64-bit word, of a byte in a word or of an object slot inside a live
:class:`intermodal.memory.Block`. Words and slots lie at multiples of 8.

Memory orders are those of C11, C++ and Rust. Every order argument must be one of the constants below,
written as the constant, so that the compiled call is a single instruction.

This module may not import anything of intermodal except the machines.
"""

from __future__ import annotations

import sysconfig
from typing import Final

from mypy_extensions import i64

from intermodal._mode import COMPILED

#: No ordering, only atomicity.
RELAXED: Final = 0
#: Later reads and writes stay after this read.
ACQUIRE: Final = 1
#: Earlier reads and writes stay before this write.
RELEASE: Final = 2
#: Both, for operations that read and write.
ACQ_REL: Final = 3
#: Both, and all such operations have one order that every thread agrees on (also store before later load).
SEQ_CST: Final = 4

#: Whether nothing another thread does comes between two steps of compiled code: it would need the GIL.
GIL_PROTECTS: Final[bool] = COMPILED and not sysconfig.get_config_var("Py_GIL_DISABLED")

#: What :func:`key_kind` returns.
OTHER_KEY: Final = 0
INT_KEY: Final = 1
STR_KEY: Final = 2


# ---- words ------------------------------------------------------------------------------------------------


def load(address: i64, order: i64) -> i64:
    """Return the word at *address*. *order*: RELAXED, ACQUIRE or SEQ_CST."""
    return _machine.load(address, order)


def store(address: i64, value: i64, order: i64) -> None:
    """Replace the word at *address* by *value*. *order*: RELAXED, RELEASE or SEQ_CST."""
    _machine.store(address, value, order)


def exchange(address: i64, value: i64, order: i64) -> i64:
    """Replace the word at *address* by *value* and return the old word, in one step."""
    return _machine.exchange(address, value, order)


def compare_exchange(address: i64, expected: i64, desired: i64, order: i64) -> bool:
    """Replace the word at *address* by *desired* if it is *expected*; return whether it was.

    It never fails spuriously. A failure orders like the load part of *order*.
    """
    return _machine.compare_exchange(address, expected, desired, order)


def fetch_add(address: i64, operand: i64, order: i64) -> i64:
    """Add *operand* to the word at *address*, wrapping at 64 bits, and return the word before."""
    return _machine.fetch_add(address, operand, order)


def fetch_and(address: i64, operand: i64, order: i64) -> i64:
    """Replace the word at *address* by its bitwise and with *operand* and return the word before."""
    return _machine.fetch_and(address, operand, order)


def fetch_or(address: i64, operand: i64, order: i64) -> i64:
    """Replace the word at *address* by its bitwise or with *operand* and return the word before."""
    return _machine.fetch_or(address, operand, order)


def fence(order: i64) -> None:
    """Order this thread's reads and writes around the call, without touching memory."""
    _machine.fence(order)


def light_fence() -> None:
    """Be the frequent side of an asymmetric fence: between it and a :func:`heavy_fence` all is SEQ_CST.

    Two light fences order nothing between each other. Where the operating system can interrupt the other
    threads for a heavy fence (Linux: ``membarrier``), a light one costs no instruction; elsewhere it is
    ``fence(SEQ_CST)``.
    """
    _machine.light_fence()


def heavy_fence() -> None:
    """Be the rare side of an asymmetric fence: as if every thread ran ``fence(SEQ_CST)``. About 1 us."""
    _machine.heavy_fence()


def try_lock(address: i64, expected: i64) -> bool:
    """Take the lock in bit 0 of the word at *address* if the word is *expected*; return whether it was.

    *expected* is even: bit 0 is clear while nobody holds the lock, the other 63 bits are the caller's
    (a version, flags), so that taking the lock also proves that they have not changed. ACQUIRE.

    Between ``try_lock`` and :func:`unlock` the caller runs no user code, allocates no Python object that the
    cyclic GC tracks and calls nothing that may block. In interpreted Python the machine keeps signal
    handlers and the GC out of this section.
    """
    return _machine.try_lock(address, expected)


def unlock(address: i64, value: i64) -> None:
    """Release the lock in the word at *address*, leaving *value* (even) there. RELEASE."""
    _machine.unlock(address, value)


# ---- bytes and bits ---------------------------------------------------------------------------------------


def load_byte(address: i64) -> i64:
    """Return the byte at *address*, 0 to 255. ACQUIRE."""
    return _machine.load_byte(address)


def store_byte(address: i64, value: i64) -> None:
    """Replace the byte at *address* by the low eight bits of *value*. RELEASE."""
    _machine.store_byte(address, value)


def compare_exchange_byte(address: i64, expected: i64, desired: i64) -> bool:
    """Replace the byte at *address* by *desired* if it is *expected*; return whether it was. ACQ_REL."""
    return _machine.compare_exchange_byte(address, expected, desired)


def match_bytes(address: i64, byte: i64) -> i64:
    """Return a mask with bit *i* set where byte *i* of the 16 at *address* equals *byte*.

    *address* is a multiple of 16. Each byte is read once, ACQUIRE; the sixteen are not read at one moment.
    """
    return _machine.match_bytes(address, byte)


def match_bytes_portable(address: i64, byte: i64) -> i64:
    """Do what :func:`match_bytes` does without vector instructions (what other processors get)."""
    return _machine.match_bytes_portable(address, byte)


def count_trailing_zeros(bits: i64) -> i64:
    """Return the index of the lowest set bit of *bits*, which is not zero."""
    return _machine.count_trailing_zeros(bits)


def count_ones(bits: i64) -> i64:
    """Return the number of bits of *bits* that are set, of all 64."""
    return _machine.count_ones(bits)


def mix(value: i64) -> i64:
    """Return *value* with its entropy spread over all 64 bits (``hash(i) == i`` in Python)."""
    return _machine.mix(value)


def fast_range(value: i64, size: i64) -> i64:
    """Map the low 63 bits of *value* to 0 .. *size* - 1, evenly and in order: ``value * size >> 63``."""
    return _machine.fast_range(value, size)


def range_start(index: i64, size: i64) -> i64:
    """Return the least 63-bit value that :func:`fast_range` maps to *index*, which is less than *size*."""
    return _machine.range_start(index, size)


def prefetch(address: i64) -> None:
    """Ask for the cache line at *address*; never faults, whatever the address."""
    _machine.prefetch(address)


# ---- threads ----------------------------------------------------------------------------------------------


def thread_token() -> i64:
    """Return a number that no other running thread has.

    Compiled with the GIL it is the same for all threads: none can interrupt compiled code, so they count as
    one. A finished thread's number is used again.
    """
    return _machine.thread_token()


def thread_word(key: i64) -> i64:
    """Return the word that this thread has last set for *key*, or 0: a small cache, which may forget."""
    return _machine.thread_word(key)


def set_thread_word(key: i64, word: i64) -> None:
    """Let :func:`thread_word` of *key* return *word* in this thread, for a while; 0 forgets it at once.

    Words belong to the shared library that sets them: one module of a package sets and gets them.
    """
    _machine.set_thread_word(key, word)


def pause() -> None:
    """Tell the processor that this is a spin loop."""
    _machine.pause()


def yield_thread() -> None:
    """Let another thread run, giving up the GIL or the attached thread state meanwhile."""
    _machine.yield_thread()


def gil_release() -> i64:
    """Let other threads run Python code from here to :func:`gil_acquire`; return what that takes.

    Between the two a compiled function has no thread state (on free-threaded builds: it is detached, so
    nobody waits for it to stop the world). It may use i64 and float locals, the functions of this module on
    words, bytes and bits, and methods of native classes whose arguments and results are i64, bool or borrowed
    objects; nothing that allocates, counts a reference or raises. :func:`yield_thread` is not allowed either.
    The page on atomics has the traps.

    Does nothing for interpreted callers, which need the GIL, in the pure build and in debug builds, whose
    checks of addresses are written in Python.
    """
    return _machine.gil_release()


def gil_acquire(state: i64) -> None:
    """Go back to what :func:`gil_release`, whose result *state* is, has left. Waits for the GIL."""
    _machine.gil_acquire(state)


# ---- floating-point numbers in words ----------------------------------------------------------------------


def float_word(value: float) -> i64:
    """Return the word with the bits of *value*, an IEEE 754 double."""
    return _machine.float_word(value)


def word_float(word: i64) -> float:
    """Return the double whose bits *word* has."""
    return _machine.word_float(word)


# ---- object slots -----------------------------------------------------------------------------------------
# A slot is empty or owns one reference to an object.


def object_load(address: i64, fallback: object) -> object:
    """Return the object in the slot at *address*, or *fallback* if the slot is empty. ACQUIRE."""
    return _machine.object_load(address, fallback)


def object_store(address: i64, value: object) -> None:
    """Fill the slot at *address*, which is empty and nobody else's to fill, with *value*. RELEASE."""
    _machine.object_store(address, value)


def object_exchange(address: i64, value: object, fallback: object) -> object:
    """Put *value* into the slot at *address*; return what it held, or *fallback* if empty. ACQ_REL."""
    return _machine.object_exchange(address, value, fallback)


def object_take(address: i64, fallback: object) -> object:
    """Empty the slot at *address*; return what it held, or *fallback* if empty. ACQ_REL.

    The caller owns the result: if it is the last reference, dropping it runs the destructor, so a caller that
    holds a lock keeps the result until it has released the lock.
    """
    return _machine.object_take(address, fallback)


def object_exchange_into(address: i64, value: object, target: i64) -> None:
    """Put *value* into the slot at *address*, and what it held into the empty slot *target*. ACQ_REL.

    The reference moves: nothing is counted, nothing dies. *target* is the caller's own.
    """
    _machine.object_exchange_into(address, value, target)


def object_take_into(address: i64, target: i64) -> None:
    """Empty the slot at *address* and put what it held into the empty slot *target*, uncounted. ACQ_REL."""
    _machine.object_take_into(address, target)


def object_compare_exchange(address: i64, expected: object, desired: object) -> bool:
    """Replace the slot's object by *desired* if it is *expected* (``is``); return whether it was. ACQ_REL."""
    return _machine.object_compare_exchange(address, expected, desired)


def object_copy(source: i64, target: i64) -> None:
    """Let the empty slot *target* hold what *source* holds, without counting a second reference. RELEASE.

    Half of a move: readers find the object in one slot or the other at every moment. The caller alone may
    change the two slots, and calls ``object_forget(source)`` before it releases its lock.
    """
    _machine.object_copy(source, target)


def object_share(source: i64, target: i64) -> None:
    """Let the empty slot *target* hold what *source* holds as well, if anything. RELEASE.

    The caller keeps *source* as it is, and fills *target* before anybody else sees it.
    """
    _machine.object_share(source, target)


def object_forget(address: i64) -> None:
    """Empty the slot at *address* without giving up a reference: the other half of a move. RELEASE."""
    _machine.object_forget(address)


def object_load_guarded(address: i64, witness: i64, era: i64, fallback: object) -> object:
    """Return the object in the slot, or *fallback* if it is empty or the word at *witness* is not *era*.

    For a section of :mod:`intermodal.reclamation`, in which what the slot held stays alive as long as
    *witness* is *era*: so the reference need not be tried and looked at again. ACQUIRE.
    """
    return _machine.object_load_guarded(address, witness, era, fallback)


def object_is(address: i64, value: object) -> bool:
    """Return whether the slot at *address* holds exactly *value*. ACQUIRE."""
    return _machine.object_is(address, value)


def object_is_empty(address: i64) -> bool:
    """Return whether the slot at *address* is empty. ACQUIRE."""
    return _machine.object_is_empty(address)


def object_prefetch(address: i64) -> None:
    """Ask for the cache line of the object that the slot at *address* holds."""
    _machine.object_prefetch(address)


# ---- keys -------------------------------------------------------------------------------------------------


def hash_object(key: object) -> i64:
    """Return ``hash(key)``; runs ``key.__hash__`` and lets its exceptions through."""
    return _machine.hash_object(key)


def key_equals(address: i64, key: object) -> i64:
    """Compare the key in the slot at *address* with *key*, without running any user code.

    Returns 1 if they are the same object or equal, 0 if they differ or the slot is empty, -1 if only user
    code can tell: one of them is not exactly a str, bytes, int, float, complex, bool or None.
    """
    return _machine.key_equals(address, key)


def key_equals_guarded(address: i64, key: object, witness: i64, era: i64) -> i64:
    """Do what :func:`key_equals` does without counting a reference; -1 also if *witness* is not *era*.

    For a section of :mod:`intermodal.reclamation`; see :func:`object_load_guarded`.
    """
    return _machine.key_equals_guarded(address, key, witness, era)


def key_equals_kept(address: i64, key: object) -> i64:
    """Do what :func:`key_equals` does without counting a reference.

    The caller keeps the object that owns the slot, and nobody changes the slot while that is alive.
    """
    return _machine.key_equals_kept(address, key)


def key_is_str(key: object) -> bool:
    """Return whether *key* is exactly a str, which keeps its own hash."""
    return _machine.key_is_str(key)


def key_kind(key: object) -> i64:
    """Return how *key* is compared without user code: as INT_KEY, as STR_KEY, or OTHER_KEY: it is not.

    INT_KEY: exactly an int or a bool, -2**63 < key < 2**63 - 1. STR_KEY: exactly a str.
    """
    return _machine.key_kind(key)


def key_word(key: object, position: i64) -> i64:
    """Return a word that orders as *key* does, for a *key* that is no OTHER_KEY.

    Of an int, itself. Of a str, the first eight bytes of the UTF-8 form of its characters from *position* on,
    each one more, filled up with zeros, the first as the most significant, less 2**63. So of two that have
    the same characters before *position* the lesser one never has the greater word; both may have the same
    one, but not if its least significant byte is zero: then the str ends in the word.
    """
    return _machine.key_word(key, position)


def key_compare(address: i64, key: object) -> i64:
    """Return -1, 0 or 1 if the str in the slot at *address* is less than, equal to or greater than *key*.

    2 if one of them is not exactly a str, or the slot is empty. Runs no user code.
    """
    return _machine.key_compare(address, key)


def count_below(order: i64, words: i64, count: i64, limit: i64) -> i64:
    """Return how many of *count* ascending words are less than *limit*.

    The *i*-th is at ``words + 8 * n``, where *n* is the *i*-th byte of the words at *order*, the least
    significant byte of each first. They are read RELAXED; if they are changed meanwhile, the answer is any
    number from 0 to *count*. Complexity: of up to 64 words 15 are read, with no branch that depends on one.
    """
    return _machine.count_below(order, words, count, limit)


def stored_hash(address: i64, hash_address: i64) -> i64:
    """Return the hash of the key in the slot at *address*: a str's own, else the word at *hash_address*.

    The caller keeps the key in its slot for the duration, by a lock.
    """
    return _machine.stored_hash(address, hash_address)


def stored_key_is_str(address: i64) -> bool:
    """Return whether the key in the slot at *address*, which a lock keeps there, is exactly a str."""
    return _machine.stored_key_is_str(address)


def stored_dict_get(address: i64, key: object, fallback: object) -> object:
    """Return the value of *key* in the dict in the slot at *address*, or *fallback*.

    It counts no reference to the dict: the caller keeps it in its slot for the duration, as it keeps out who
    would change it. Hashes and compares *key* as dicts do. Raises: what that raises; TypeError if there is
    none.
    """
    return _machine.stored_dict_get(address, key, fallback)


def reachability_fence(value: object) -> None:
    """Keep *value* alive until here; compiled code drops a local variable after its last use."""
    _machine.reachability_fence(value)


# ---- cells ------------------------------------------------------------------------------------------------
# A cell is an object that consists of words, object slots right after them, and more words right after those:
# the node of a linked structure. It lives as long as a slot or a variable holds it, and drops what its slots
# hold when it dies. Compiled, it is one piece of memory, so that to follow a slot to a cell is one load.


def cell_new(words: i64, objects: i64, more_words: i64) -> object:
    """Return a new cell of *words* and *more_words* zero words around *objects* empty slots.

    Raises MemoryError.

    For compiled callers, and for all in a pure installation: no registry knows cells, so interpreted callers
    of a compiled one could not have their addresses checked, and get NotImplementedError.
    """
    return _machine.cell_new(words, objects, more_words)


def cell_address(cell: object) -> i64:
    """Return the address of the first word of *cell*; its slots follow the words. The caller keeps it."""
    return _machine.cell_address(cell)


def cell_of(address: i64) -> i64:
    """Return the address of the first word of the cell in the slot at *address*, 0 if it is empty. ACQUIRE.

    It counts no reference: the caller is in a section of :mod:`intermodal.reclamation`, or keeps what owns
    the slot, which nobody changes, or has the GIL and runs nothing that could drop the cell meanwhile.
    """
    return _machine.cell_of(address)


# ---- blocks: for intermodal.memory only -------------------------------------------------------------------


def block_new(words: i64, objects: i64) -> object:
    """Return the storage of a new block with *words* zero words and then *objects* empty slots."""
    return _machine.block_new(words, objects)


def block_address(storage: object) -> i64:
    """Return the address of the first word of *storage*, a multiple of 64."""
    return _machine.block_address(storage)


def block_objects(storage: object) -> i64:
    """Return the address of the first object slot of *storage*, a multiple of 64."""
    return _machine.block_objects(storage)


def block_abandon_objects(storage: object) -> None:
    """Declare that every object slot of *storage* is empty and stays empty: nobody will look at them."""
    _machine.block_abandon_objects(storage)


def buffer_new(view: object) -> object:
    """Return the storage that is the words of *view*, a contiguous memoryview of whole words; it keeps it."""
    return _machine.buffer_new(view)


def buffer_address(storage: object) -> i64:
    """Return the address of the first word of *storage*, one of :func:`buffer_new`."""
    return _machine.buffer_address(storage)


# At the foot, since _checked imports this module's functions.
if COMPILED:
    from intermodal import _checked as _machine
else:
    from intermodal import _simulated as _machine  # type: ignore[no-redef]
