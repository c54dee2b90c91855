"""Fuzzing: bytes are read as operations, which a map and a model of it carry out side by side.

One target for two drivers: Hypothesis makes bytes in the tests; atheris, guided by the coverage of the pure
build, in long runs::

    INTERMODAL_PURE=1 python -m intermodal.testing.fuzz --backend swiss tests/fuzz/corpus -max_total_time=600

Every sequence of bytes means something, so that mutated ones do, too. May import the facade and everything
below; atheris only where it drives.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, NoReturn

from intermodal._absent import ABSENT
from intermodal.facade import open_map
from intermodal.testing.keys import HostileError, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Mismatch", "describe", "fuzz"]

#: Bytes that are read at most: longer inputs find nothing that shorter ones cannot, and are slow.
MOST_BYTES: Final = 4096
_NOTHING: Final = "nothing"


class Mismatch(AssertionError):
    """The map did not do what its model did.

    Attributes:
        operations: what was done, the last one being where they differ.
        expected, found: what the model and the map gave.
    """

    def __init__(self, operations: list[str], expected: object, found: object) -> None:
        self.operations, self.expected, self.found = operations, expected, found
        shown = "\n".join(f"  {each}" for each in operations)
        super().__init__(f"after these operations\n{shown}\n  expected: {expected!r}\n  found:    {found!r}")


class _ActingKey(Key):
    """A key that does something in its next comparison, whichever of the two is asked."""

    act: Callable[[], object] | None = None

    __hash__ = Key.__hash__

    def __eq__(self, other: object) -> Any:
        for each in self, other:
            if isinstance(each, _ActingKey) and each.act is not None:
                act, each.act = each.act, None
                act()
        return super().__eq__(other)

    def __repr__(self) -> str:
        return f"Key({self.name})"


#: What the first byte chooses: a function of a number and a variant to keys, equal for equal numbers only.
KINDS: Final[tuple[Callable[[int, int], Any], ...]] = (
    lambda number, _: number,
    lambda number, _: f"key {number}",
    lambda number, _: _ActingKey(number, number),
    lambda number, _: _ActingKey(number, number % 3),
    lambda number, variant: (number, float(number), Fraction(number))[variant % 3],
    lambda number, _: number * (2**61 - 1),  # all of hash 0
)


class _Machine:
    """A map, its model, and the bytes that say what to do."""

    def __init__(self, data: bytes, new: Callable[[], Any]) -> None:
        self.data = iter(data[:MOST_BYTES])
        self.new = new
        self.kind = self.next_byte() % len(KINDS)
        self.map = new()
        self.view = self.map
        #: number of the key -> (the key object that was stored, value)
        self.model: dict[int, tuple[Any, Any]] = {}
        self.done: list[str] = [f"m = open_map(...)  # keys of kind {self.kind}"]
        self.iterator: Iterator[Any] | None = None
        self.due: set[int] = set()
        self.given: set[int] = set()

    def next_byte(self) -> int:
        """Return the next byte, 0 after the last."""
        return next(self.data, 0)

    def run(self) -> None:
        """Carry everything out."""
        for code in self.data:
            OPERATIONS[code % len(OPERATIONS)](self)
        self.compare_all()

    # ---- helpers ----------------------------------------------------------------------------------------

    def key(self) -> tuple[int, Any]:
        """Return a number and its key."""
        byte = self.next_byte()
        return byte % 64, self.make(byte % 64, byte // 64)

    def make(self, number: int, variant: int = 0) -> Any:
        """Return a key of that number."""
        return KINDS[self.kind](number, variant)

    def say(self, text: str) -> None:
        """Remember what is done next."""
        self.done.append(text)

    def same(self, found: object, expected: object) -> None:
        """Raise Mismatch unless both are the same, in type, too."""
        if type(found) is not type(expected) or found != expected or repr(found) != repr(expected):
            raise Mismatch(self.done, expected, found)

    def outcome(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of a call, or what it raised."""
        try:
            return function(*arguments)
        except KeyError as error:
            return "KeyError", repr(error.args)
        except HostileError:
            return "HostileError"

    def value_of(self, number: int) -> Any:
        """Return the model's value."""
        return self.model[number][1] if number in self.model else ABSENT

    def put(self, number: int, key: Any, value: Any) -> None:
        """Change the model; the first of equal keys stays."""
        if value is ABSENT:
            self.model.pop(number, None)
            self.due.discard(number)
        elif number in self.model:
            self.model[number] = (self.model[number][0], value)
        else:
            self.model[number] = (key, value)

    def compare_all(self) -> None:
        """Compare every entry, and check the map's invariants."""
        self.say("list(m.items()), len(m), m._check()")
        self.same(sorted(map(repr, self.view.items())), sorted(map(repr, self.model.values())))
        self.same(len(self.view), len(self.model))
        check = getattr(self.map, "_check", None)
        if check is not None:
            check()

    # ---- operations -------------------------------------------------------------------------------------

    def set_item(self) -> None:
        number, key = self.key()
        value = self.next_byte()
        self.say(f"m[{key!r}] = {value}")
        self.view[key] = value
        self.put(number, key, value)

    def look_up(self) -> None:
        number, key = self.key()
        self.say(f"m.get({key!r}), m[{key!r}], {key!r} in m")
        value = self.value_of(number)
        self.same(self.view.get(key, ABSENT), value)
        missing = ("KeyError", repr((key,)))
        self.same(self.outcome(self.view.__getitem__, key), missing if value is ABSENT else value)
        self.same(key in self.view, value is not ABSENT)

    def remove(self) -> None:
        number, key = self.key()
        self.say(f"m.pop({key!r})")
        value = self.value_of(number)
        missing = ("KeyError", repr((key,)))
        self.same(self.outcome(self.view.pop, key), missing if value is ABSENT else value)
        self.put(number, key, ABSENT)

    def insert(self) -> None:
        number, key = self.key()
        value = self.next_byte()
        self.say(f"m.insert({key!r}, {value})")
        self.same(self.view.insert(key, value), number not in self.model)
        if number not in self.model:
            self.put(number, key, value)

    def setdefault(self) -> None:
        number, key = self.key()
        value = self.next_byte()
        self.say(f"m.setdefault({key!r}, {value})")
        expected = self.model[number][1] if number in self.model else value
        self.same(self.view.setdefault(key, value), expected)
        self.put(number, key, expected)

    def compare_and_set(self) -> None:
        number, key = self.key()
        old, choice = self.value_of(number), self.next_byte()
        expected = old if choice & 1 else (choice if choice & 2 else ABSENT)
        desired: Any = ABSENT if choice & 4 else self.next_byte()
        self.say(f"m.compare_and_set({key!r}, {expected!r}, {desired!r})")
        changes = old == expected
        self.same(self.view.compare_and_set(key, expected, desired), changes)
        if changes:
            self.put(number, key, desired)

    def compute(self) -> None:
        number, key = self.key()
        choice = self.next_byte()
        old = self.value_of(number)
        other_number, other = self.key()
        self.say(f"m.compute({key!r}, ...)  # {('raises', 'removes', 'uses m', 'sets')[choice % 4]}")
        seen = []

        def function(value: Any) -> Any:
            seen.append(value)
            if choice % 4 == 0:
                raise HostileError
            if choice % 4 == 2 and len(seen) == 1:
                self.view[other] = choice
                self.put(other_number, other, choice)
            return ABSENT if choice % 4 == 1 else choice

        found = self.outcome(self.view.compute, key, function)
        self.same(seen[0], old)
        if choice % 4 == 0:
            self.same(found, "HostileError")
            return
        new = ABSENT if choice % 4 == 1 else choice
        self.same(found, new)
        self.put(number, key, new)

    def remove_if(self) -> None:
        number, key = self.key()
        below = self.next_byte()
        self.say(f"m.remove_if({key!r}, lambda value: value < {below})")
        removes = number in self.model and self.model[number][1] < below
        self.same(self.view.remove_if(key, lambda value: value < below), removes)
        if removes:
            self.put(number, key, ABSENT)

    def retain(self) -> None:
        below = self.next_byte()
        self.say(f"m.retain(lambda key, value: value < {below})")
        doomed = [number for number, (_, value) in self.model.items() if value >= below]
        self.same(self.view.retain(lambda _, value: value < below), len(doomed))
        for number in doomed:
            self.put(number, None, ABSENT)

    def popitem(self) -> None:
        self.say("m.popitem()")
        found = self.outcome(self.view.popitem)
        if not self.model:
            self.same(found[0], "KeyError")
            return
        matching = [number for number, entry in self.model.items() if repr(entry) == repr(found)]
        if not matching:
            raise Mismatch(self.done, "an entry of the map", found)
        self.put(matching[0], None, ABSENT)

    def grow(self) -> None:
        """Many keys, outside the range of the others."""
        count = self.next_byte() % 96
        self.say(f"m.update(...)  # {count} keys from 1000 on")
        for number in range(1000, 1000 + count):
            key = self.make(number)
            self.view[key] = 0
            self.put(number, key, 0)

    def shrink(self) -> None:
        keep = self.next_byte()
        self.say(f"m.pop_many(...)  # all but {keep}")
        for number in list(self.model)[keep:]:
            self.same(self.view.pop(self.make(number), _NOTHING), self.value_of(number))
            self.put(number, None, ABSENT)

    def clear(self) -> None:
        self.say("m.clear()")
        self.view.clear()
        self.model.clear()
        self.due.clear()

    def change_view(self) -> None:
        """Use another handle, or the map itself; the old handle may be closed."""
        choice = self.next_byte()
        self.say("m = " + ("the map" if choice & 1 else "m.handle()"))
        if choice & 2 and self.view is not self.map and hasattr(self.view, "close"):
            self.view.close()
            self.view = self.map
        self.view = self.map if choice & 1 else self.map.handle()

    def copy(self) -> None:
        self.say("m = m.copy()")
        self.map = self.map.copy()
        self.view = self.map
        self.iterator = None

    def iterate(self) -> None:
        """Go some steps through an iteration that is left open while other operations are done."""
        steps = self.next_byte() % 32
        if self.iterator is None:
            self.iterator = iter(self.view.items())
            self.due, self.given = set(self.model), set()
        self.say(f"{steps} steps of an iteration begun before")
        numbers = {
            repr(self.make(number, variant)): number
            for number in (*range(64), *range(1000, 1100))
            for variant in range(3)
        }
        for _ in range(steps):
            entry = next(self.iterator, None)
            if entry is None:
                self.same(self.due - self.given, set())  # what was there throughout, and did not come
                self.iterator = None
                return
            number = numbers[repr(entry[0])]
            if number in self.given:
                raise Mismatch(self.done, "each key once", entry)
            self.given.add(number)

    def hostile(self) -> None:
        """A key that raises in its comparison, or changes the map there; in vain if it is not asked."""
        number, key = self.key()
        choice = self.next_byte()
        other_number, other = self.key()
        if not isinstance(key, _ActingKey):
            return
        if choice & 1 or other_number == number:

            def act() -> NoReturn:
                raise HostileError
        else:

            def act() -> None:  # type: ignore[misc]  # the other of two
                self.view[other] = choice
                self.put(other_number, other, choice)

        self.say(f"m.get({key!r})  # which {'raises' if choice & 1 else f'sets m[{other!r}]'} when compared")
        key.act = act
        found = self.outcome(self.view.get, key, ABSENT)
        if found != "HostileError":
            self.same(found, self.value_of(number))
        key.act = None


OPERATIONS: Final[tuple[Callable[[_Machine], None], ...]] = (
    _Machine.set_item,
    _Machine.look_up,
    _Machine.remove,
    _Machine.insert,
    _Machine.setdefault,
    _Machine.compare_and_set,
    _Machine.compute,
    _Machine.remove_if,
    _Machine.retain,
    _Machine.popitem,
    _Machine.grow,
    _Machine.shrink,
    _Machine.clear,
    _Machine.change_view,
    _Machine.copy,
    _Machine.iterate,
    _Machine.hostile,
    _Machine.compare_all,
)


def fuzz(data: bytes, new: Callable[[], Any]) -> None:
    r"""Carry out the operations that *data* stands for on a map and on a model, and compare every result.

    Args:
        data: any bytes; those after the first 4096 are not read.
        new: makes an empty map, one whose iteration yields each key once.

    Raises: Mismatch, or what the map itself raises where dict would not.

    >>> from intermodal import open_map
    >>> fuzz(b"\x00\x00\x05\x07\x01\x05", lambda: open_map("locked"))
    """
    _Machine(data, new).run()


def describe(data: bytes) -> str:
    r"""Return, line by line, the operations that *data* stands for.

    >>> print(describe(b"\x00\x00\x05\x07"))
    m = open_map(...)  # keys of kind 0
    m[5] = 7
    list(m.items()), len(m), m._check()
    """
    machine = _Machine(data, lambda: open_map("locked"))
    machine.run()
    return "\n".join(machine.done)


def main() -> None:
    """Let atheris drive: its arguments are those of libFuzzer, after ``--backend NAME``."""
    if sys.argv[1:2] != ["--backend"] or len(sys.argv) < 3:
        sys.exit("usage: python -m intermodal.testing.fuzz --backend NAME [CORPUS] [options of libFuzzer]")
    backend = sys.argv[2]
    try:
        import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ModuleNotFoundError:
        sys.exit("intermodal.testing.fuzz needs atheris; install: pip install atheris")
    with atheris.instrument_imports(include=[f"intermodal_{backend}"]):
        open_map(backend)
    atheris.Setup([sys.argv[0], *sys.argv[3:]], lambda data: fuzz(data, lambda: open_map(backend)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
