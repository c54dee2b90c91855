"""Peers that `intermodal bench` leaves out: persistent and sorted maps, each with a lock."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import threading
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from intermodal.bench import contenders
from intermodal.bench.contenders import Contender, LockedDict, WrongResult, own_code
from intermodal.bench.workloads import READ, WRITE, BenchmarkError

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator

    from intermodal.bench.workloads import Run

SORTED = "SortedDict + Lock"


class LockedSortedDict(LockedDict):
    """sortedcontainers.SortedDict with a Lock for everybody, and the names that ordered backends have."""

    data: Any

    def __init__(self) -> None:
        super().__init__()
        self.data = importlib.import_module("sortedcontainers").SortedDict()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def range(self, first: Any, end: Any, *, reverse: bool = False) -> list[Any]:
        """Return the keys from *first* up to, and without, *end*: a list, made under the lock."""
        with self.lock:
            return list(self.data.irange(first, end, (True, False), reverse))

    def floor(self, key: Any) -> Any:
        """Return the largest key that is not above *key*."""
        with self.lock:
            return self.data.keys()[self.data.bisect_right(key) - 1]

    def first(self) -> Any:
        """Return the smallest key."""
        with self.lock:
            return self.data.keys()[0]


class LockedPersistentMap:
    """immutables.Map: readers take what is there, writers replace it in turn."""

    def __init__(self) -> None:
        self.data: Any = importlib.import_module("immutables").Map()
        self.lock = threading.Lock()


def _run_persistent(m: LockedPersistentMap, runs: list[Run]) -> None:
    lock = m.lock
    for kind, keys in runs:
        if kind == READ:
            for key in keys:
                found = m.data[key]
                if found != key:
                    raise WrongResult(key, found)
        elif kind == WRITE:
            for key in keys:
                with lock:
                    m.data = m.data.set(key, key)
        else:
            for key in keys:
                with lock:
                    m.data = m.data.delete(key)


def _run_persistent_timed(
    m: LockedPersistentMap, runs: list[Run], reads: array[int], writes: array[int]
) -> None:
    clock = perf_counter_ns
    for kind, keys in runs:
        times = reads if kind == READ else writes
        for key in keys:
            begin = clock()
            _run_persistent(m, [(kind, [key])])
            times.append(clock() - begin)


def _locked_sorted(version: str) -> Contender:
    return Contender(
        SORTED,
        version,
        LockedSortedDict,
        run=own_code(contenders._run_locked),
        run_timed=own_code(contenders._run_locked_timed),
    )


def _locked_persistent(version: str) -> Contender:
    return Contender(
        "immutables.Map + Lock",
        version,
        LockedPersistentMap,
        run=_run_persistent,
        run_timed=_run_persistent_timed,
    )


_MAKERS: dict[str, Callable[[str], Contender]] = {
    "immutables": _locked_persistent,
    "sortedcontainers": _locked_sorted,
}


def entered_peers() -> list[Contender]:
    """Return those of the peers that are installed and leave the GIL as it is."""
    entered = []
    for module, make in _MAKERS.items():
        if importlib.util.find_spec(module) is None:
            continue
        try:
            contenders._check_gil(module, f"import {module}")
        except BenchmarkError:
            continue
        entered.append(make(importlib.metadata.version(module)))
    return entered
