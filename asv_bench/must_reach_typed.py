"""Measure what typed maps must reach beside dict, Counter and numpy.searchsorted, and others' own cases.

    python asv_bench/must_reach_typed.py [--sizes 1000000] [--backends swiss] [--rounds 5] [--into FILE]

One process; the contenders take turns round by round; medians. Keys are random 64-bit integers, queries all
of them in another order. dict has the same keys and values as Python's ints; ``[d[k] for k in keys]`` begins
with a list of them. Two threads are ``threads=2``. Needs numpy; with the GIL off start it with PYTHON_GIL=0.
Exit status 1 if a target is missed.
"""

from __future__ import annotations

import gc
import statistics
import sys
from collections import Counter
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from figures import Figure, parser_of, report
from original_cases import own_cases

from intermodal import open_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVENTS, COUNTED = 10_000_000, 100_000


def medians(rounds: int, count: int, *contenders: Callable[[], Any]) -> list[float]:
    """Return the median nanoseconds of each contender for each of *count* operations."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for contender, own in zip(contenders, times, strict=True):
            gc.collect()
            begun = perf_counter()
            contender()
            own.append((perf_counter() - begun) * 1e9 / count)
    return [statistics.median(each) for each in times]


def new_map(backend: str) -> Any:
    return open_map(backend, key_type="int64", value_type="int64")


def fill(backend: str, keys: Any, values: Any) -> Any:
    m = new_map(backend)
    m.set_many(keys, values)
    return m


def fill_dict(keys: list[int], values: list[int]) -> dict[int, int]:
    d = {}
    for key, value in zip(keys, values, strict=True):
        d[key] = value  # noqa: PERF403  (one by one, as in a program)
    return d


def look_up(d: dict[int, int], keys: list[int]) -> list[int]:
    return [d[key] for key in keys]


def of_size(backend: str, size: int, rounds: int) -> Iterator[Figure]:
    """Measure look-ups, growing and memory."""
    generator = np.random.default_rng(size)
    keys = generator.permutation(np.unique(generator.integers(-(2**62), 2**62, size)))
    values, queries, out = np.arange(len(keys)), generator.permutation(keys), np.empty_like(keys)
    key_list, value_list, query_list = keys.tolist(), values.tolist(), queries.tolist()
    set_new, set_dict = medians(
        rounds, size, partial(fill, backend, keys, values), partial(fill_dict, key_list, value_list)
    )
    m, d, ordered = fill(backend, keys, values), fill_dict(key_list, value_list), np.sort(keys)
    one, two, in_dict, searched = medians(
        rounds,
        size,
        partial(m.get_many, queries, out=out),
        partial(m.get_many, queries, out=out, threads=2),
        partial(look_up, d, query_list),
        partial(np.searchsorted, ordered, queries),
    )
    what = f"{backend}, {size:,} entries"
    yield Figure(f"{what}: get_many", one, unit=" ns")
    yield Figure(f"{what}: get_many, by [d[k] for k in keys]", in_dict / one, least=6.0)
    yield Figure(f"{what}: get_many, by numpy.searchsorted", searched / one, least=1.0)
    yield Figure(f"{what}: get_many, 2 threads by 1", one / two, least=1.6)
    yield Figure(f"{what}: set_many, growing from empty", set_new, unit=" ns")
    least = 3.0 if size == 1_000_000 else None
    yield Figure(f"{what}: set_many, growing, by dict", set_dict / set_new, least=least)
    bytes_each = m.statistics().memory_bytes / len(m)
    yield Figure(f"{what}: memory after growth, an entry", bytes_each, most=26.0, unit=" bytes")


def counting(backend: str, rounds: int) -> Iterator[Figure]:
    """Measure events that are counted, and whether the counts are right."""
    events = np.random.default_rng(1).integers(0, COUNTED, EVENTS) * 2_654_435_761
    event_list = events.tolist()
    counted: list[Any] = []

    def count(threads: int) -> None:
        counted.append(new_map(backend))
        counted[-1].add_many(events, threads=threads)

    def count_in_python() -> None:
        Counter().update(event_list)

    one, two, python = medians(rounds, EVENTS, partial(count, 1), partial(count, 2), count_in_python)
    what = f"{backend}: add_many, {EVENTS:,} events of {COUNTED:,} keys"
    yield Figure(what, one, unit=" ns")
    yield Figure(f"{what}, by Counter.update", python / one, least=3.0)
    yield Figure(f"{what}, 2 threads by 1", one / two)
    expected = Counter(event_list)
    exact = sum(m == expected for m in counted)
    yield Figure(f"{what}: exact maps of {len(counted)}", exact, least=len(counted))


def main() -> int:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--sizes", default="1000000,10000000")
    parser.add_argument("--backends", default="swiss")
    parser.add_argument("--no-counting", action="store_true")
    parser.add_argument("--no-cases", action="store_true")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]

    def measure() -> Iterator[Figure]:
        for backend in options.backends.split(","):
            for size in sizes:
                yield from of_size(backend, size, options.rounds)
            if not options.no_counting:
                yield from counting(backend, options.rounds)
            if not options.no_cases:
                yield from own_cases(backend, options.rounds, max(sizes))

    return report(measure, rounds=options.rounds, into=options.into)


if __name__ == "__main__":
    sys.exit(main())
