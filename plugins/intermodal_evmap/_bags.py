"""Value bags: what the slot of a key holds that has several values, or none any more.

A bag never changes. An operation makes a new one, outside of every lock, and puts it into the slot in the
place of the old one. So those who read the published copy still have the old bag, and the second copy of the
table takes over the very object that the first one got. A key with one value has no bag: the slot holds the
value itself.

The values lie in chunks: an addition copies the last chunk and the tuple of chunks, n / CHUNK references.

May import only core's public names.
"""

from __future__ import annotations

from typing import Any, Final, final

from mypy_extensions import i64

from intermodal import ABSENT

#: Values in a full chunk.
CHUNK: Final = 32

_ABSENT: Final[object] = ABSENT


@final
class Bag:
    """Two values or more of one key, or none; equal ones are counted. Chunks are full but for the last."""

    def __init__(self, chunks: tuple[tuple[Any, ...], ...], size: int) -> None:
        self.chunks: Final = chunks
        self.size: Final[i64] = size
        #: What the single-value view shows.
        self.first: Final[object] = chunks[0][0] if chunks else _ABSENT

    def values(self) -> tuple[Any, ...]:
        """Return the values, in no order that means anything."""
        found: list[Any] = []
        for chunk in self.chunks:
            found.extend(chunk)
        return tuple(found)


EMPTY_BAG: Final = Bag((), 0)


def bag_of(values: tuple[Any, ...]) -> object:
    """Return what a slot holds for *values*: the only one, or a bag."""
    if len(values) == 1:
        return values[0]
    if not values:
        return EMPTY_BAG
    chunks = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
    return Bag(tuple(chunks), len(values))


def size_of(raw: object) -> i64:
    """Return how many values a slot's content stands for. Runs nothing, allocates nothing."""
    return raw.size if isinstance(raw, Bag) else 1


def first_of(raw: object, fallback: object) -> object:
    """Return the value that the single-value view shows, or *fallback* if there is none."""
    if isinstance(raw, Bag):
        first = raw.first
        return fallback if first is _ABSENT else first
    return raw


def values_of(raw: object) -> tuple[Any, ...]:
    """Return the values that a slot's content, or ABSENT, stands for."""
    if raw is _ABSENT:
        return ()
    return raw.values() if isinstance(raw, Bag) else (raw,)


def with_value(raw: object, value: object) -> object:
    """Return the content of a slot that has one value more than *raw*, or than ABSENT."""
    if raw is _ABSENT:
        return value
    if not isinstance(raw, Bag):
        return Bag(((raw, value),), 2)
    if raw.size == 0:
        return value
    chunks = raw.chunks
    last = chunks[-1]
    if len(last) < CHUNK:
        return Bag((*chunks[:-1], (*last, value)), raw.size + 1)
    return Bag((*chunks, (value,)), raw.size + 1)


def without_value(raw: object, index: int) -> object:
    """Return the content of a slot without the value at *index*; the last value takes its place."""
    if not isinstance(raw, Bag):
        return EMPTY_BAG
    values = list(raw.values()) if raw.size <= CHUNK + 1 else []
    if values:
        last = values.pop()
        if index < len(values):
            values[index] = last
        return bag_of(tuple(values))
    chunks = list(raw.chunks)
    tail = chunks.pop()
    last, rest = tail[-1], tail[:-1]
    if rest:
        chunks.append(rest)
    where, at = divmod(index, CHUNK)
    if index < raw.size - 1:
        chunk = chunks[where]
        chunks[where] = (*chunk[:at], last, *chunk[at + 1 :])
    return Bag(tuple(chunks), raw.size - 1)


def index_of(raw: object, value: Any) -> int:
    """Return where in *raw* a value is that is *value*, or else equals it, -1 if nowhere. Runs ``__eq__``."""
    values = values_of(raw)
    for index, each in enumerate(values):
        if each is value:
            return index
    for index, each in enumerate(values):
        if each == value:
            return index
    return -1
