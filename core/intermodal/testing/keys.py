"""Keys and values of all kinds, and ones that misbehave, each in one way; needs nothing but Python."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final


class HostileError(Exception):
    """What hostile objects raise."""


class Orderly:
    """Has a place among keys of all kinds, so that ordered maps can hold them together.

    It comes after all that is not of such a class; among themselves they have the order of ``place()``.
    """

    def place(self) -> Any:
        return type(self).__name__, id(self)

    def __lt__(self, other: object) -> Any:
        return isinstance(other, Orderly) and self.place() < other.place()

    def __gt__(self, other: object) -> Any:
        return not isinstance(other, Orderly) or self.place() > other.place()


class Key(Orderly):
    """An ordinary key of a class of its own: equal by name, with a hash that the test chooses."""

    def __init__(self, name: object, hash_value: int | None = None) -> None:
        self.name = name
        self.hash_value = hash(name) if hash_value is None else hash_value

    def __hash__(self) -> int:
        return self.hash_value

    def __eq__(self, other: object) -> Any:
        return self.name == other.name if isinstance(other, Key) else NotImplemented

    def place(self) -> Any:
        return "Key", type(self.name).__name__, self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


#: How tests make keys of numbers: cheap ones, the usual ones, ones with code of their own, ones that collide.
KINDS: Final[Mapping[str, Callable[[int], Any]]] = {
    "int": lambda number: number,
    "str": lambda number: f"key {number}",
    "own": Key,
    "colliding": lambda number: Key(number, hash_value=number % 3),
}


class CountedKey(Key):
    """Counts the calls of its methods; "lt" counts both comparisons of order."""

    def __init__(self, name: object, hash_value: int | None = None) -> None:
        super().__init__(name, hash_value)
        self.calls: Counter[str] = Counter()

    def __hash__(self) -> int:
        self.calls["hash"] += 1
        return super().__hash__()

    def __eq__(self, other: object) -> Any:
        self.calls["eq"] += 1
        return super().__eq__(other)

    def __lt__(self, other: object) -> Any:
        self.calls["lt"] += 1
        return super().__lt__(other)

    def __gt__(self, other: object) -> Any:
        self.calls["lt"] += 1
        return super().__gt__(other)


class RaisingKey(CountedKey):
    """Raises HostileError at the n-th call of one of its methods: "hash", or "eq", any comparison."""

    def __init__(self, name: object, method: str, at_call: int = 1, hash_value: int | None = None) -> None:
        super().__init__(name, hash_value)
        self.method, self.at_call = method, at_call

    def __hash__(self) -> int:
        result = super().__hash__()
        self._perhaps_raise("hash")
        return result

    def __eq__(self, other: object) -> Any:
        result = super().__eq__(other)
        self._perhaps_raise("eq")
        return result

    def __lt__(self, other: object) -> Any:
        result = super().__lt__(other)
        self._perhaps_raise("eq")
        return result

    def __gt__(self, other: object) -> Any:
        result = super().__gt__(other)
        self._perhaps_raise("eq")
        return result

    def _perhaps_raise(self, method: str) -> None:
        calls = self.calls["hash"] if method == "hash" else self.calls["eq"] + self.calls["lt"]
        if method == self.method and calls >= self.at_call:
            raise HostileError(f"{method} of {self!r}")


class ActingKey(Key):
    """Calls *action* in each comparison, *times* times at most."""

    def __init__(
        self, name: object, action: Callable[[], object], hash_value: int | None = None, times: int = 1
    ) -> None:
        super().__init__(name, hash_value)
        self.action, self.times = action, times

    def __hash__(self) -> int:
        return super().__hash__()

    def __eq__(self, other: object) -> Any:
        self._act()
        return super().__eq__(other)

    def __lt__(self, other: object) -> Any:
        self._act()
        return super().__lt__(other)

    def __gt__(self, other: object) -> Any:
        self._act()
        return super().__gt__(other)

    def _act(self) -> None:
        if self.times > 0:
            self.times -= 1
            self.action()


class BlockingKey(Key):
    """Waits in its first comparison until it is let go."""

    def __init__(self, name: object, hash_value: int | None = None) -> None:
        super().__init__(name, hash_value)
        self.entered, self.go = threading.Event(), threading.Event()

    def __hash__(self) -> int:
        return super().__hash__()

    def __eq__(self, other: object) -> Any:
        self._wait()
        return super().__eq__(other)

    def __lt__(self, other: object) -> Any:
        self._wait()
        return super().__lt__(other)

    def __gt__(self, other: object) -> Any:
        self._wait()
        return super().__gt__(other)

    def _wait(self) -> None:
        self.entered.set()
        if not self.go.wait(60):
            raise HostileError("nobody let the comparison go")


class Marker(Orderly):
    """An object equal to itself only."""


class Dying(Orderly):
    """A value or key, equal to itself only, whose destructor calls *action*."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action = action

    def __del__(self) -> None:
        self.action()
