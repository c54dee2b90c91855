# ruff: noqa: T201  (a script prints)
"""Measure what the trie must reach beside dict, and beside immutables.Map and a lock.

    python asv_bench/must_reach_trie.py [--sizes 10000,1000000] [--rounds 5] [--into docs/internals-trie.md]

One process; contenders take turns round by round; medians. Maps hold str keys with the key itself as the
value, built by the main thread in a shuffled order; all keys are looked up, and overwritten, with the objects
that are stored, in another shuffled order. "1 thread" is the main thread, by a handle. "2 threads" are two
others, by handles, each with half of the keys: wall time from the common start to the last one's end, by the
operations of both. Snapshots are taken one after the other, each after a write; the median of 1,000.

Needs immutables; with the GIL off start it with PYTHON_GIL=0. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import random
import statistics
import sys
import sysconfig
import threading
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs
import immutables
from figures import write_into
from must_reach import numbers

from intermodal import open_map
from intermodal.bench.contenders import gil_enabled
from intermodal.bench.report import Machine
from intermodal.bench.workloads import make_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
#: A measurement is at least so many operations long.
OPERATIONS = 400_000
SNAPSHOTS = 1_000
NAMES = "trie", "dict", "immutables.Map + Lock"
#: Of a read: the trie's time by dict's. Of a write it must be less than the rival's.
MOST_READ = 2.5
#: Microseconds.
MOST_SNAPSHOT = 20.0


@attrs.frozen
class Row:
    """A case: seconds of each contender, in the order of NAMES; what is wanted, and whether it is so."""

    case: str
    seconds: list[float]
    target: str
    passed: bool


class Rival:
    """immutables.Map and a lock: what a snapshot of one moment costs nothing of."""

    def __init__(self) -> None:
        self.data: Any = immutables.Map()
        self.lock = threading.Lock()


def read(m: Any, keys: list[str]) -> None:
    for key in keys:
        m[key]


def write(m: Any, keys: list[str]) -> None:
    for key in keys:
        m[key] = key


def read_rival(m: Rival, keys: list[str]) -> None:
    for key in keys:
        m.data[key]


def write_rival(m: Rival, keys: list[str]) -> None:
    lock = m.lock
    for key in keys:
        with lock:
            m.data = m.data.set(key, key)


LOOPS = {"read": (read, read_rival), "write": (write, write_rival)}


def view_of(m: Any) -> Any:
    """Return a context manager that gives what a thread uses of a map."""
    return m.handle() if hasattr(m, "handle") else contextlib.nullcontext(m)


def timed(loop: Callable[..., None], m: Any, shares: Sequence[list[str]]) -> float:
    """Return seconds per operation of as many threads as there are shares of the keys."""
    total = sum(map(len, shares))
    repeats = max(1, OPERATIONS // total)
    spans: list[tuple[float, float]] = []
    together = threading.Barrier(len(shares))

    def run(keys: list[str]) -> None:
        with view_of(m) as view:
            together.wait()
            begin = perf_counter()
            for _ in range(repeats):
                loop(view, keys)
            spans.append((begin, perf_counter()))

    if len(shares) == 1:
        run(shares[0])
    else:
        threads = [threading.Thread(target=run, args=(keys,)) for keys in shares]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / (total * repeats)


def verdict(operation: str, seconds: Sequence[float]) -> tuple[str, bool]:
    """Return the target of an operation, in words, and whether it is met."""
    own, base, rival = seconds
    if operation == "read":
        return f"at most {MOST_READ} x dict", own <= MOST_READ * base
    return f"ahead of {NAMES[2]}", own < rival


def operations(size: int, rounds: int) -> Iterator[Row]:
    stored = make_keys(size)
    chance = random.Random(1)
    chance.shuffle(stored)
    queries = stored[:]
    chance.shuffle(queries)
    maps: list[Any] = [open_map("trie"), {}, Rival()]
    for m in maps:
        LOOPS["write"][isinstance(m, Rival)](m, stored)
    for threads in (1, 2):
        shares = [queries[number::threads] for number in range(threads)]
        for operation, loops in LOOPS.items():
            times: list[list[float]] = [[], [], []]
            for _ in range(rounds):
                for each, m in zip(times, maps, strict=True):
                    each.append(timed(loops[isinstance(m, Rival)], m, shares))
            seconds = [statistics.median(each) for each in times]
            case = f"{operation}, {threads} thread{'s' * (threads > 1)}, {size:,} keys"
            yield Row(case, seconds, *verdict(operation, seconds))
    yield snapshots(maps[0], queries)


def snapshots(m: Any, keys: Sequence[str]) -> Row:
    times = []
    for number in range(SNAPSHOTS):
        key = keys[number % len(keys)]
        m[key] = key
        begin = perf_counter()
        kept = m.snapshot()
        times.append(perf_counter() - begin)
        del kept
    seconds = statistics.median(times)
    case = f"snapshot, {len(keys):,} keys"
    return Row(case, [seconds], f"under {MOST_SNAPSHOT:g} µs", seconds < MOST_SNAPSHOT / 1e6)


def in_words(seconds: float) -> str:
    return f"{seconds * 1e9:.0f} ns" if seconds < 1e-6 else f"{seconds * 1e6:.1f} µs"


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    yield f"| case | {' | '.join(NAMES)} | trie / dict | target | reached |"
    yield f"| --- |{' ---: |' * len(NAMES)} ---: | --- | --- |"
    for row in rows:
        cells = [in_words(each) for each in row.seconds] + [""] * (len(NAMES) - len(row.seconds))
        ratio = f"{row.seconds[0] / row.seconds[1]:.2f}" if len(row.seconds) > 1 else ""
        reached = "yes" if row.passed else "no"
        yield f"| {' | '.join([row.case, *cells, ratio, row.target, reached])} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=numbers, default=[10_000, 1_000_000], help="numbers of keys")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--into", type=Path, metavar="FILE", help="replace the table of this build in a page")
    arguments = parser.parse_args()
    gil_before = gil_enabled()
    if FREE_THREADED and gil_before:
        raise SystemExit("must_reach_trie: immutables has turned the GIL on; start with PYTHON_GIL=0")
    gc.collect()
    gc.disable()
    rows = [row for size in arguments.sizes for row in operations(size, arguments.rounds)]
    machine = Machine.here((), gil_before=gil_before)
    about = [
        f"{machine.cpu}, {machine.cores} cores, {machine.system};",
        f"{machine.python.partition(' (')[0]}, GIL {machine.gil}; immutables {immutables.__version__}.",
        f"Medians of {arguments.rounds}.",
        "",
    ]
    lines = [*about, *markdown(rows)]
    print(*lines, sep="\n")
    if arguments.into is not None:
        write_into(arguments.into, f"GIL {machine.gil}", lines)
    return int(FREE_THREADED and not all(row.passed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
