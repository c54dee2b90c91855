"""Operations of typed maps on many keys: arguments, results, pieces and threads around ``words``'s loops.

Not compiled: between two pieces of an array signal handlers run. Knows no technique; may import maps, tables,
words and what is below them.
"""

from __future__ import annotations

import operator
import os
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final

from intermodal.atomics import RELAXED, load
from intermodal.maps import ConcurrentMap
from intermodal.memory import Block, Buffer, is_array
from intermodal.tables import END
from intermodal.words import (
    ADD,
    ADD_FLOATS,
    FLOATS,
    INSERT,
    KEYS_ONLY,
    SET,
    export_piece,
    get_piece,
    take_piece,
    value_word,
    write_piece,
)

if TYPE_CHECKING:
    from intermodal.words import WordState, WordView

    #: Does the keys from one index to another, in a part of the array that begins and ends at the others.
    Work = Callable[[int, int, int, int], None]

#: Keys between two moments at which signal handlers may run and others get the GIL: some milliseconds.
PIECE: Final = 1 << 16
#: Fewer keys than that are not worth another thread.
LEAST: Final = 1 << 12


# ---- threads ----------------------------------------------------------------------------------------------

_pools: Final[list[ThreadPoolExecutor]] = []  # one, that all maps share
os.register_at_fork(after_in_child=_pools.clear)


def _pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool of at least that many threads; they are started when they are needed."""
    for pool in _pools:
        if pool._max_workers >= threads:
            return pool
    made = ThreadPoolExecutor(max(threads, os.cpu_count() or 1), thread_name_prefix="intermodal")
    _pools[:] = [made]  # whoever has the smaller one finishes with it
    return made


def _parts(length: int, threads: int) -> list[tuple[int, int]]:
    """Return begin and end of the part of each of *threads*, or of fewer."""
    count = operator.index(threads)
    if count < 1:
        raise ValueError(f"threads must be at least 1; got {threads}")
    count = max(min(count, length // LEAST), 1)
    return [(length * part // count, length * (part + 1) // count) for part in range(count)]


def _run(work: Work, parts: list[tuple[int, int]]) -> None:
    """Do all *parts*, each in a thread, the first in this one; raise what the first that fails raises."""
    if len(parts) == 1:
        _do(work, *parts[0])
        return
    pool = _pool(len(parts) - 1)
    others = [pool.submit(_do, work, *part) for part in parts[1:]]
    try:
        _do(work, *parts[0])
    finally:
        wait(others)
    for other in others:
        other.result()


def _do(work: Work, begun: int, end: int) -> None:
    for at in range(begun, end, PIECE):
        work(at, min(at + PIECE, end), begun, end)


# ---- arguments --------------------------------------------------------------------------------------------


def _code(state: WordState) -> str:
    return "d" if state.kind == FLOATS else "q"


def _words_of(state: WordState, values: Any, name: str) -> Buffer:
    """Return the words of an array of values, or of any iterable of them."""
    if is_array(values):
        return Buffer(values, _code(state), name)
    return Buffer(array("q", [value_word(state.kind, 0, value) for value in values]), "q", name)


def _check_lengths(function: str, length: int, name: str, other: int) -> None:
    if other != length:
        raise ValueError(f"{function}() got {length} keys and {other} {name}; nothing was done")


def _output(state: WordState, function: str, out: Any, length: int) -> tuple[Any, Buffer]:
    """Return the array that takes *length* values, *out* or a new one, and its words."""
    result = array(_code(state), [0]) * length if out is None else out
    target = Buffer(result, _code(state), "out", writable=True)
    _check_lengths(function, length, "places in out", target.length)
    return result, target


def _marks(length: int) -> tuple[bytearray, Buffer]:
    """Return a bytearray of at least *length* zeros, and its words."""
    marks = bytearray((length // 8 + 1) * 8)
    return marks, Buffer(memoryview(marks).cast("q"), "q", "marks", writable=True)


def _key_at(keys: Buffer, index: int) -> int:
    return load(keys.address + index * 8, RELAXED)


def _refuse_out(function: str, out: Any) -> None:
    if out is not None:
        raise TypeError(f"{function}() takes out= with an array of keys only")


# ---- operations -------------------------------------------------------------------------------------------


def get_many(view: WordView, keys: Any, default: Any, out: Any, threads: int) -> Any:
    if not is_array(keys):
        _refuse_out("get_many", out)
        return ConcurrentMap.get_many(view, keys, default)
    state = view._word_state()
    if state.kind == KEYS_ONLY:
        raise TypeError("this map has no values; contains_many() says which keys it has")
    words = Buffer(keys, "q", "keys")
    required = default is None
    fallback = 0 if required else value_word(state.kind, 0, default)
    result, target = _output(state, "get_many", out, words.length)

    def work(at: int, stop: int, *_: int) -> None:
        done = get_piece(state, words.address, at, stop, target.address, fallback, required, 0)
        if done < 0:
            raise KeyError(_key_at(words, -1 - done))

    _run(work, _parts(words.length, threads))
    return result


def contains_many(view: WordView, keys: Any, threads: int) -> Any:
    if not is_array(keys):
        return [key in view for key in keys]
    state = view._word_state()
    words = Buffer(keys, "q", "keys")
    marks, found = _marks(words.length)

    def work(at: int, stop: int, *_: int) -> None:
        get_piece(state, words.address, at, stop, 0, 0, False, found.address)

    _run(work, _parts(words.length, threads))
    return marks[: words.length]


def set_many(view: WordView, keys: Any, values: Any, threads: int) -> None:
    if not is_array(keys):
        ConcurrentMap.set_many(view, keys, values)
        return
    _write(view._word_state(), "set_many", SET, Buffer(keys, "q", "keys"), values, threads)


def insert_many(view: WordView, keys: Any, values: Any, threads: int) -> Any:
    if not is_array(keys):
        return _insert_each(view, keys, values)
    words = Buffer(keys, "q", "keys")
    marks, fresh = _marks(words.length)
    _write(view._word_state(), "insert_many", INSERT, words, values, threads, fresh)
    return marks[: words.length]


def _insert_each(view: WordView, keys: Iterable[Any], values: Any) -> list[bool]:
    keys = list(keys)
    kind = view._word_state().kind
    values = [None] * len(keys) if values is None and kind == KEYS_ONLY else list(values)
    _check_lengths("insert_many", len(keys), "values", len(values))
    for value in values:
        value_word(kind, 0, value)
    return [view.insert(key, value) for key, value in zip(keys, values, strict=True)]


def add_many(view: WordView, keys: Any, amounts: Any, threads: int) -> None:
    state = view._word_state()
    if state.kind == KEYS_ONLY:
        raise TypeError("this map has no values to add to")
    if not is_array(keys):
        _add_each(view, keys, amounts)
        return
    action = ADD_FLOATS if state.kind == FLOATS else ADD
    _write(state, "add_many", action, Buffer(keys, "q", "keys"), amounts, threads)


def _add_each(view: WordView, keys: Iterable[Any], amounts: Any) -> None:
    keys = list(keys)
    amounts = list(amounts) if is_array(amounts) or isinstance(amounts, Iterable) else [amounts] * len(keys)
    _check_lengths("add_many", len(keys), "amounts", len(amounts))
    for key, amount in zip(keys, amounts, strict=True):
        view.increment(key, amount)


def _write(
    state: WordState,
    function: str,
    action: int,
    words: Buffer,
    values: Any,
    threads: int,
    fresh: Buffer | None = None,
) -> None:
    """Do *action* with the values of the keys that *words* are."""
    others, step = _sources(state, function, words, values)
    marks = 0 if fresh is None else fresh.address
    parts = _parts(words.length, threads)
    tallies = {begun: Block(1) for begun, _ in parts}

    def work(at: int, stop: int, begun: int, end: int) -> None:
        tally = tallies[begun].address
        done = write_piece(
            state,
            action,
            words.address,
            others.address,
            step,
            at,
            stop,
            marks,
            begun,
            end,
            len(parts),
            tally,
        )
        if done < 0:
            key = _key_at(words, -1 - done)
            raise OverflowError(f"the sum for key {key} does not fit into 64 bits; it was not added")

    _run(work, parts)


def _sources(state: WordState, function: str, words: Buffer, values: Any) -> tuple[Buffer, int]:
    """Return the words of the values, and by how many bytes one follows the other: 0 if it is one for all."""
    if state.kind == KEYS_ONLY:
        if values is not None:
            raise TypeError(f"this map has no values; call {function}(keys)")
        return words, 8  # the value of a key is the key
    if values is None:
        raise TypeError(f"{function}() needs as many values as keys")
    if function == "add_many" and not is_array(values) and not isinstance(values, Iterable):
        return Buffer(array("q", [value_word(state.kind, 0, values)]), "q", "amounts"), 0
    name = "amounts" if function == "add_many" else "values"
    others = _words_of(state, values, name)
    _check_lengths(function, words.length, name, others.length)
    return others, 8


def pop_many(view: WordView, keys: Any, default: Any, out: Any, threads: int) -> Any:
    if not is_array(keys):
        _refuse_out("pop_many", out)
        return ConcurrentMap.pop_many(view, keys, default)
    state = view._word_state()
    words = Buffer(keys, "q", "keys")
    if state.kind == KEYS_ONLY:
        _refuse_out("pop_many of a map without values", out)
        marks, found = _marks(words.length)
        _take(state, words, 0, 0, found.address, threads)
        return marks[: words.length]
    if default is None:
        raise TypeError("pop_many() of an array needs default=, the value for keys that are not there")
    fallback = value_word(state.kind, 0, default)
    result, target = _output(state, "pop_many", out, words.length)
    _take(state, words, target.address, fallback, 0, threads)
    return result


def _take(state: WordState, words: Buffer, out: int, fallback: int, found: int, threads: int) -> None:
    def work(at: int, stop: int, *_: int) -> None:
        take_piece(state, words.address, at, stop, out, fallback, found)

    _run(work, _parts(words.length, threads))


def items_arrays(view: WordView) -> tuple[Any, Any]:
    state = view._word_state()
    keys, values = array("q"), array(_code(state))
    has_values = state.kind != KEYS_ONLY
    position, at = 0, 0
    while position != END:
        more = max(at // 4, len(view) - at) + 64
        keys.extend(array("q", [0]) * more)
        values.extend(array(_code(state), [0]) * more)
        words = Buffer(keys, "q", "keys", writable=True)
        others = Buffer(values, _code(state), "values", writable=True)
        position, at = export_piece(
            state, position, words.address, others.address if has_values else 0, at, len(keys)
        )
        del words, others
    del keys[at:], values[at:]
    return keys, values if has_values else None
