"""What a write under a reclaimer does with what it takes out of a slot, and the births of what it puts in.

The caller holds the lock of the entry's home, and its record has room. Nothing dies here: references move to
the limbo of the record.

A reclaimer that frees by births wants to know when each thing was born. A table for such a one has a word for
each slot: the era in which its value was stored in the lower half, that of its key in the upper. The era is
read before the object can be found, so whoever finds it and sees the clock afterwards sees that era or a
later one. Eras that do not fit count as unknown, 0, which is safe and holds back more.

May import only core's public names.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from intermodal.atomics import (
    ACQUIRE,
    RELAXED,
    load,
    object_exchange_into,
    object_load,
    object_take_into,
    store,
)
from intermodal.reclamation import CLOCK, LIMBO, LISTS, SLOT, retired

_HALF: Final = 32
_LOWER: Final = (1 << 32) - 1
_ERAS: Final = 1 << 31


def _now(record: i64) -> i64:
    era = load(load(record + CLOCK, RELAXED), ACQUIRE)
    return era if era < _ERAS else 0


def stamp(record: i64, births: i64) -> None:
    """Note in the word at *births* that key and value are born now, before they are stored."""
    if load(record + LISTS, RELAXED) != 0:
        now = _now(record)
        store(births, now << _HALF | now, RELAXED)


def exchange_retiring(record: i64, value_slot: i64, births: i64, new: object) -> None:
    """Put *new* into the slot of a value, and the old one into the limbo."""
    limbo = load(record + LIMBO, RELAXED)
    if load(record + LISTS, RELAXED) == 0:
        object_exchange_into(value_slot, new, limbo)
        retired(record, 0)
        return
    pair = load(births, RELAXED)
    store(births, (pair & ~_LOWER) | _now(record), RELAXED)
    object_exchange_into(value_slot, new, limbo)
    retired(record, pair & _LOWER)


def take_retiring(record: i64, value_slot: i64, key_slot: i64, births: i64) -> None:
    """Empty the slots of a value and then of its key, for who reads without a lock, into the limbo."""
    limbo = load(record + LIMBO, RELAXED)
    object_take_into(value_slot, limbo + SLOT)
    object_take_into(key_slot, limbo)
    pair: i64 = 0
    if load(record + LISTS, RELAXED) != 0:
        pair = load(births, RELAXED)
    retired(record, pair >> _HALF)
    retired(record, pair & _LOWER)


def last_retired(record: i64) -> object:
    """Return the value that was retired last."""
    return object_load(load(record + LIMBO, RELAXED) - SLOT, None)
