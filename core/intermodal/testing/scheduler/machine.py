"""The scheduled machine: the reference machine behind switching points, and with memory orders that matter.

While the threads of a scenario run it takes the place of the machine behind ``intermodal.atomics``; before
and after them that is the reference machine, ``quiet_machine``, on which nothing waits.

Which older values a read may get, ``memory_model`` says. Words and bytes are locations of their own: a word
that is used whole and by bytes would be two, which is an error here.

May import only atomics, the reference machine and this package.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from intermodal import _simulated as reference
from intermodal.atomics import ACQ_REL, ACQUIRE, RELAXED, RELEASE, SEQ_CST
from intermodal.testing.scheduler.execution import READ, WRITE
from intermodal.testing.scheduler.memory_model import OlderValues, is_same

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from intermodal.testing.scheduler.execution import Execution

    _Access = Callable[[], Any]

_EMPTY: Final = reference._EMPTY


def _try_lock(machine: Any, address: int, expected: int) -> bool:
    reference._check_even(expected)
    locked: bool = machine.compare_exchange(address, expected, expected | 1, ACQUIRE)
    return locked


def _unlock(machine: Any, address: int, value: int) -> None:
    reference._check_even(value)
    if not reference.load(address, RELAXED) & 1:
        raise ValueError(f"the lock at {address:#x} is not held")
    machine.store(address, value, RELEASE)


#: Its locks may be given back by the other machine, and its thread has the same token in every process, as a
#: schedule that is replayed in another one needs.
quiet_machine: Final = SimpleNamespace(
    **vars(reference)
    | {
        "try_lock": partial(_try_lock, reference),
        "unlock": partial(_unlock, reference),
        "thread_token": lambda: 1,
        "pause": lambda: None,
        "yield_thread": lambda: None,
    }
)


class ScheduledMachine:
    """Does what the reference machine does, one step at a time.

    Args:
        execution: the run that the steps belong to.
        older: what a read may get beside the newest value; None: nothing else.
    """

    def __init__(self, execution: Execution, older: OlderValues | None) -> None:
        self.execution: Final = execution
        self.older: Final = older
        self._uses: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        operation = self.__dict__[name] = getattr(reference, name)  # what touches no shared memory
        return operation

    # ---- one access -------------------------------------------------------------------------------------

    def _reads(self, location: Hashable, order: int, newest: _Access) -> Any:
        """Be one read of *location*, whose newest value *newest* returns."""
        if self.execution.current is None:
            return newest()
        self.execution.point(READ, location)
        value = newest()
        return value if self.older is None else self.older.read(location, order, value)

    def _writes(self, location: Hashable, peek: _Access, access: _Access) -> tuple[Any, Any, Any]:
        """Be one write of *location*, by *access*; return its result and the value before and after."""
        self.execution.point(WRITE, location)
        old = peek()
        result = access()
        new = peek()
        if not is_same(old, new):
            self.execution.changed(location)
        return result, old, new

    def _store(self, location: Hashable, order: int, peek: _Access, access: _Access) -> None:
        _, old, new = self._writes(location, peek, access)
        if self.older is not None:
            self.older.write(location, order, old, new)

    def _update(self, location: Hashable, order: int, peek: _Access, access: _Access) -> Any:
        result, old, new = self._writes(location, peek, access)
        if self.older is not None:
            self.older.update(location, order, old, new)
        return result

    def _whole(self, address: int) -> int:
        self._check_use(address, "whole")
        return address

    def _byte(self, address: int) -> tuple[str, int]:
        self._check_use(address & ~7, "by bytes")
        return ("byte", address)

    def _check_use(self, address: int, use: str) -> None:
        if self._uses.setdefault(address, use) != use:
            raise AssertionError(
                f"the word at {address:#x} is used whole and by bytes: their order cannot be explored"
            )

    # ---- words ------------------------------------------------------------------------------------------

    def load(self, address: int, order: int) -> int:
        loaded: int = self._reads(self._whole(address), order, lambda: reference.load(address, order))
        return loaded

    def store(self, address: int, value: int, order: int) -> None:
        self._store(
            self._whole(address), order, _peek_word(address), lambda: reference.store(address, value, order)
        )

    def exchange(self, address: int, value: int, order: int) -> int:
        old: int = self._word(address, order, lambda: reference.exchange(address, value, order))
        return old

    def compare_exchange(self, address: int, expected: int, desired: int, order: int) -> bool:
        swapped: bool = self._word(
            address, order, lambda: reference.compare_exchange(address, expected, desired, order)
        )
        return swapped

    def fetch_add(self, address: int, operand: int, order: int) -> int:
        old: int = self._word(address, order, lambda: reference.fetch_add(address, operand, order))
        return old

    def fetch_and(self, address: int, operand: int, order: int) -> int:
        old: int = self._word(address, order, lambda: reference.fetch_and(address, operand, order))
        return old

    def fetch_or(self, address: int, operand: int, order: int) -> int:
        old: int = self._word(address, order, lambda: reference.fetch_or(address, operand, order))
        return old

    def _word(self, address: int, order: int, access: _Access) -> Any:
        return self._update(self._whole(address), order, _peek_word(address), access)

    def fence(self, order: int) -> None:
        reference.fence(order)
        if order == SEQ_CST:
            self.execution.point(WRITE, "fence")  # all threads agree on the order of these
        if self.older is not None:
            self.older.fence(order)

    def light_fence(self) -> None:
        self.execution.point(READ, "heavy fence")  # two of these have no order
        if self.older is not None:
            self.older.light_fence()

    def heavy_fence(self) -> None:
        self.execution.point(WRITE, "fence", "heavy fence")
        if self.older is not None:
            self.older.heavy_fence()

    try_lock = _try_lock
    unlock = _unlock

    # ---- bytes ------------------------------------------------------------------------------------------

    def load_byte(self, address: int) -> int:
        byte: int = self._reads(self._byte(address), ACQUIRE, lambda: reference.load_byte(address))
        return byte

    def store_byte(self, address: int, value: int) -> None:
        self._store(
            self._byte(address),
            RELEASE,
            lambda: reference.load_byte(address),
            lambda: reference.store_byte(address, value),
        )

    def compare_exchange_byte(self, address: int, expected: int, desired: int) -> bool:
        swapped: bool = self._update(
            self._byte(address),
            ACQ_REL,
            lambda: reference.load_byte(address),
            lambda: reference.compare_exchange_byte(address, expected, desired),
        )
        return swapped

    def match_bytes(self, address: int, byte: int) -> int:
        newest = reference.match_bytes(address, byte)  # checks the address first
        if self.execution.current is None:
            return newest
        locations: list[Hashable] = [self._byte(address + position) for position in range(16)]
        self.execution.point(READ, *locations)
        newest = reference.match_bytes(address, byte)
        if self.older is None:
            return newest
        values = [reference.load_byte(address + position) for position in range(16)]
        found = self.older.read_one_of(locations, ACQUIRE, values)
        return sum(1 << position for position in range(16) if found[position] == byte & 255)

    match_bytes_portable = match_bytes

    # ---- threads ----------------------------------------------------------------------------------------

    def thread_token(self) -> int:
        current = self.execution.current
        return 1 if current is None else current.index + 2

    def pause(self) -> None:
        self.execution.spin()

    def yield_thread(self) -> None:
        self.execution.spin()

    # ---- object slots -----------------------------------------------------------------------------------

    def _slot(self, address: int, order: int = ACQUIRE) -> Any:
        """Be one read of a slot: its object, or the mark of an empty one."""
        return self._reads(address, order, _peek_slot(address))

    def object_load(self, address: int, fallback: object) -> object:
        value = self._slot(address)
        return fallback if value is _EMPTY else value

    def object_store(self, address: int, value: object) -> None:
        self._store(address, RELEASE, _peek_slot(address), lambda: reference.object_store(address, value))

    def object_exchange(self, address: int, value: object, fallback: object) -> object:
        exchanged: object = self._update(
            address, ACQ_REL, _peek_slot(address), lambda: reference.object_exchange(address, value, fallback)
        )
        return exchanged

    def object_take(self, address: int, fallback: object) -> object:
        return self.object_exchange(address, _EMPTY, fallback)

    def object_exchange_into(self, address: int, value: object, target: int) -> None:
        self.object_store(target, self.object_exchange(address, value, _EMPTY))

    def object_take_into(self, address: int, target: int) -> None:
        self.object_exchange_into(address, _EMPTY, target)

    def object_compare_exchange(self, address: int, expected: object, desired: object) -> bool:
        swapped: bool = self._update(
            address,
            ACQ_REL,
            _peek_slot(address),
            lambda: reference.object_compare_exchange(address, expected, desired),
        )
        return swapped

    def object_copy(self, source: int, target: int) -> None:
        self.object_store(target, self._slot(source, RELAXED))

    def object_share(self, source: int, target: int) -> None:
        self.object_copy(source, target)

    def object_forget(self, address: int) -> None:
        self.object_store(address, _EMPTY)

    def object_load_guarded(self, address: int, witness: int, era: int, fallback: object) -> object:
        value = self._slot(address)
        if value is _EMPTY or self.load(witness, ACQUIRE) != era:
            return fallback
        _check_held(value)
        return value

    def object_is(self, address: int, value: object) -> bool:
        return self._slot(address) is value

    def object_is_empty(self, address: int) -> bool:
        return self._slot(address) is _EMPTY

    # ---- cells ------------------------------------------------------------------------------------------

    def cell_of(self, address: int) -> int:
        cell = self._slot(address)
        if cell is not _EMPTY:
            _check_held(cell)
        return reference._address_of(cell)

    # ---- keys -------------------------------------------------------------------------------------------

    def key_equals(self, address: int, key: object) -> int:
        return reference._compare_keys(self._slot(address), key)

    def key_equals_guarded(self, address: int, key: object, witness: int, era: int) -> int:
        stored = self._slot(address)
        if stored is key:
            return 1
        if stored is _EMPTY:
            return 0
        if self.load(witness, ACQUIRE) != era:
            return -1
        _check_held(stored)
        return reference._compare_keys(stored, key)

    def key_equals_kept(self, address: int, key: object) -> int:
        stored = self._slot(address)
        if stored is not key and stored is not _EMPTY:
            _check_held(stored)
        return reference._compare_keys(stored, key)

    def key_compare(self, address: int, key: object) -> int:
        return reference._order_keys(self._slot(address), key)

    def count_below(self, order: int, words: int, count: int, limit: int) -> int:
        """Be one read of all the words: what is in between is the reader's own."""
        newest = reference.count_below(order, words, count, limit)
        if self.execution.current is None or count == 0:
            return newest
        numbers = [reference.load_byte(order + place) for place in range(count)]
        addresses = [self._whole(order + place) for place in range(0, count, 8)]
        addresses += [self._whole(words + 8 * number) for number in numbers]
        self.execution.point(READ, *addresses)
        if self.older is None:
            return reference.count_below(order, words, count, limit)
        newest_words = [reference.load(address, RELAXED) for address in addresses]
        found = self.older.read_one_of(list(addresses), RELAXED, newest_words)
        read = dict(zip(addresses, found, strict=True))
        places = ((read[order + place // 8 * 8] >> place % 8 * 8) & 255 for place in range(count))
        chosen = [read.get(words + 8 * number, limit) for number in places]
        return next((place for place, word in enumerate(chosen) if word >= limit), count)

    def stored_hash(self, address: int, hash_address: int) -> int:
        key = self._slot(address, RELAXED)
        return hash(key) if type(key) is str else self.load(hash_address, RELAXED)

    def stored_key_is_str(self, address: int) -> bool:
        return type(self._slot(address, RELAXED)) is str

    def stored_dict_get(self, address: int, key: object, fallback: object) -> object:
        stored = self._slot(address)
        if stored is not _EMPTY:
            _check_held(stored)
        return reference._look_up(stored, key, fallback)


def _peek_word(address: int) -> Callable[[], int]:
    words, index = reference._word(address)
    return lambda: words[index]


def _peek_slot(address: int) -> Callable[[], Any]:
    slots, index = reference._slot(address)
    return lambda: slots[index]


def _check_held(value: object) -> None:
    """Raise AssertionError unless a slot holds *value*: compiled, what no slot holds may have been freed."""
    if not reference._is_held(value):
        raise AssertionError(f"{value!r} is looked at without a reference, and no slot holds it any more")
