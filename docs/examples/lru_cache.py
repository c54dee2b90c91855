"""Share a least-recently-used cache among threads: a sequential structure, replicated.

    python docs/examples/lru_cache.py [--threads 2] [--size 50000] [--figure FILE]

The structure is an OrderedDict and knows nothing of threads; ``replicate()`` makes it concurrent. Exit status
1 unless it hits and misses as ``functools.lru_cache`` does, and threads get right results.
"""

from __future__ import annotations

import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import lru_cache
from threading import Lock
from typing import Any

from _measuring import dealt, in_threads, options_of, rates, show
from attrs import frozen

from intermodal import ABSENT, Dispatch, replicate


@frozen
class Look:
    """Ask for the value of a key, and make it the newest. It changes the order, so it is a change."""

    key: Any


@frozen
class Peek:
    """Ask for the value of a key, and leave the order as it is. That is a read."""

    key: Any


@frozen
class Put:
    """Let a key have a value, and be the newest; the oldest goes if there are too many."""

    key: Any
    value: Any


class Lru(Dispatch):
    """A dict of the *maxsize* keys that were used last."""

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self.hits = self.misses = 0
        self.entries: OrderedDict[Any, Any] = OrderedDict()

    def dispatch(self, operation: Any) -> Any:
        match operation:
            case Peek(key):
                return self.entries.get(key, ABSENT)
            case "info":
                return self.hits, self.misses, self.maxsize, len(self.entries)
            case "keys":
                return list(self.entries)
        raise TypeError(f"Lru reads Peek(key), 'info' or 'keys'; got {operation!r}")

    def dispatch_mut(self, operation: Any) -> Any:
        match operation:
            case Look(key) if key in self.entries:
                self.hits += 1
                self.entries.move_to_end(key)
                return self.entries[key]
            case Look():
                self.misses += 1
                return ABSENT
            case Put(key, value):
                self.entries[key] = value
                self.entries.move_to_end(key)
                if len(self.entries) > self.maxsize:
                    self.entries.popitem(last=False)
                return None
        raise TypeError(f"Lru is changed by Look(key) or Put(key, value); got {operation!r}")


class Cached:
    """A function of one argument whose results are kept in a cache that threads share.

    Args:
        function: called without any lock; threads that miss the same key at once all call it.
        maxsize: how many results are kept.
        every: of so many hits of a thread one makes its key the newest, and the others only read.
    """

    def __init__(self, function: Callable[[Any], Any], maxsize: int, every: int = 1) -> None:
        self.function, self.every = function, every
        self.cache = replicate(Lru(maxsize))

    def results(self, keys: Iterable[Any]) -> list[Any]:
        """Return what the function makes of each key; for one thread, which has a handle meanwhile."""
        with self.cache.handle() as mine:
            return [self._result(mine, number, key) for number, key in enumerate(keys)]

    def _result(self, mine: Any, number: int, key: Any) -> Any:
        value = ABSENT
        if number % self.every:
            value = mine.execute(Peek(key))
        if value is ABSENT:
            value = mine.execute_mut(Look(key))
        if value is ABSENT:
            value = self.function(key)
            mine.execute_mut(Put(key, value))
        return value


class Locked:
    """The same, exact, with a lock around the structure."""

    def __init__(self, function: Callable[[Any], Any], maxsize: int) -> None:
        self.function, self.cache, self.lock = function, Lru(maxsize), Lock()

    def results(self, keys: Iterable[Any]) -> list[Any]:
        return [self._result(key) for key in keys]

    def _result(self, key: Any) -> Any:
        with self.lock:
            value = self.cache.dispatch_mut(Look(key))
        if value is ABSENT:
            value = self.function(key)
            with self.lock:
                self.cache.dispatch_mut(Put(key, value))
        return value


class Functools:
    """functools.lru_cache itself."""

    def __init__(self, function: Callable[[Any], Any], maxsize: int) -> None:
        self.cached = lru_cache(maxsize)(function)

    def results(self, keys: Iterable[Any]) -> list[Any]:
        return [self.cached(key) for key in keys]


MAXSIZE = 128

CONTENDERS: dict[str, Callable[[], Any]] = {
    "replicated, exact": lambda: Cached(square, MAXSIZE),
    "replicated, 1 hit of 16 moves": lambda: Cached(square, MAXSIZE, every=16),
    "OrderedDict + Lock": lambda: Locked(square, MAXSIZE),
    "functools.lru_cache": lambda: Functools(square, MAXSIZE),
}


def square(number: int) -> int:
    return number * number


def made_up(size: int) -> list[int]:
    """Return that many keys: a few often, most of them seldom."""
    generator = random.Random("keys")
    return [min(int(generator.paretovariate(0.8)), 10_000) for _ in range(size)]


def main() -> int:
    options = options_of(__doc__, 50_000, "calls").parse_args()
    keys = made_up(options.size)
    ours, theirs = Cached(square, MAXSIZE), Functools(square, MAXSIZE)
    wrong = ours.results(keys) != theirs.results(keys)
    info = ours.cache.execute("info")
    wrong |= info != tuple(theirs.cached.cache_info())
    print("hits {}, misses {}, of at most {} results {} kept".format(*info))
    shares = dealt(keys, options.threads)
    expected = [[square(key) for key in share] for share in shares]
    wrong |= any(in_threads(make().results, shares) != expected for make in CONTENDERS.values())
    ways = {
        name: lambda n, make=make: in_threads(make().results, dealt(keys, n))
        for name, make in CONTENDERS.items()
    }
    found = rates(ways, options.size, (1, options.threads), options.rounds)
    show("A cache of 128 results", "calls", found, options.figure)
    if wrong:
        print("a cache is wrong", file=sys.stderr)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
