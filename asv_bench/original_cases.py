"""The benchmarks that cmap, scc and kovan measure themselves by, with 8-byte keys and values, on a typed map.

Their threads run at once on one map; what is reported is millions of operations a second *for each thread*,
beside the figures that the systems publish, of their machines, their languages and more cores. Here each
operation is one key of an array of BATCH, as a program with arrays would do it. Sizes are scaled to what a
small machine does in seconds.

May import numpy and figures.
"""

from __future__ import annotations

import statistics
import threading
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from figures import Figure

from intermodal import open_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Keys in one call.
BATCH = 1024
#: Keys of each thread in scc's phases; 16 to 128 million in its own.
PRIVATE = 1_000_000
#: Entries of kovan's map, and operations of each thread on it.
ITEMS = 100_000


def per_thread(work: Callable[[int], int], threads: int) -> float:
    """Return millions of operations a second of each thread; *work* takes its number and returns how many."""
    together = threading.Barrier(threads + 1)
    done = [0] * threads

    def run(number: int) -> None:
        together.wait()
        done[number] = work(number)
        together.wait()

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    together.wait()
    begun = perf_counter()
    together.wait()
    seconds = perf_counter() - begun
    for worker in workers:
        worker.join()
    return sum(done) / threads / seconds / 1e6


def in_batches(operation: Callable[..., Any], keys: Any, *more: Any) -> int:
    """Call *operation* with a batch of keys at a time; return how many there were."""
    for at in range(0, len(keys), BATCH):
        operation(keys[at : at + BATCH], *more)
    return len(keys)


def set_each(m: Any, keys: Any) -> int:
    """Set each key to itself, a batch at a time."""
    return in_batches(lambda batch: m.set_many(batch, batch), keys)


def map_of(backend: str, keys: Any = ()) -> Any:
    m = open_map(backend, key_type="int64", value_type="int64")
    if len(keys):
        m.set_many(keys, keys)
    return m


def cases_of_cmap(backend: str, threads: int, size: int) -> Iterator[tuple[str, float, str]]:
    """Load, get, set and remove at random: ``perf --loads 10000000 --gets 10000000 --sets 500000...``."""
    generator = np.random.default_rng(threads)
    loaded = np.arange(size) * 2_654_435_761
    m = map_of(backend, loaded)
    gets = [generator.choice(loaded, size // 10) for _ in range(threads)]
    changes = np.array_split(generator.permutation(loaded)[: size // 20], threads)
    yield (
        "cmap: get",
        per_thread(lambda me: in_batches(m.get_many, gets[me], 0), threads),
        "1.0 with one thread, 0.7 with 16",
    )
    yield (
        "cmap: set",
        per_thread(lambda me: set_each(m, changes[me]), threads),
        "2.0 with one thread, 0.4 with 16",
    )
    yield "cmap: remove", per_thread(lambda me: in_batches(m.pop_many, changes[me], 0), threads), ""


def cases_of_scc(backend: str, threads: int) -> Iterator[tuple[str, float, str]]:
    """Phases in which each thread has keys of its own (local), or takes its neighbour's as well (remote)."""
    generator = np.random.default_rng(threads)
    m = map_of(backend)
    own = [generator.permutation(np.arange(PRIVATE) * threads + me) for me in range(threads)]

    def mixed(me: int) -> int:
        neighbour = own[(me + 1) % threads]
        for at in range(0, PRIVATE, BATCH):
            mine = own[me][at : at + BATCH]
            m.insert_many(mine, mine)
            m.contains_many(neighbour[at : at + BATCH])
            m.pop_many(mine, 0)
        return 3 * PRIVATE

    yield (
        "scc: insert local",
        per_thread(lambda me: set_each(m, own[me]), threads),
        "0.8 with 11 threads, 0.3 with 88",
    )
    yield (
        "scc: read local",
        per_thread(lambda me: in_batches(m.get_many, own[me], 0), threads),
        "1.6 with 11 threads, 0.9 with 88",
    )
    remote = [own[(me + 1) % threads] for me in range(threads)]
    yield "scc: read remote", per_thread(lambda me: in_batches(m.get_many, remote[me], 0), threads), ""
    yield "scc: remove local", per_thread(lambda me: in_batches(m.pop_many, own[me], 0), threads), ""
    yield "scc: insert and remove local, read remote", per_thread(mixed, threads), ""


def cases_of_kovan(backend: str, threads: int) -> Iterator[tuple[str, float, str]]:
    """A hundred thousand items: inserted, read, and both in two proportions."""
    items = np.arange(ITEMS)
    m = map_of(backend)
    shares = np.array_split(items, threads)
    yield "kovan: insert", per_thread(lambda me: set_each(m, shares[me]), threads), ""
    generator = np.random.default_rng(threads)
    queries = [generator.choice(items, ITEMS * 5) for _ in range(threads)]
    yield "kovan: read", per_thread(lambda me: in_batches(m.get_many, queries[me], 0), threads), ""
    for reads in (90, 99):

        def mixed(me: int, writes: int = BATCH * (100 - reads) // 100) -> int:
            for at in range(0, len(queries[me]), BATCH):
                batch = queries[me][at : at + BATCH]
                m.get_many(batch[writes:], 0)
                m.set_many(batch[:writes], batch[:writes])
            return len(queries[me])

        yield f"kovan: {reads} % read", per_thread(mixed, threads), ""


def own_cases(backend: str, rounds: int, size: int) -> Iterator[Figure]:
    """Measure all of them with one thread and two; cmap's with *size* entries."""
    for threads in (1, 2):
        runs = [
            [
                *cases_of_cmap(backend, threads, size),
                *cases_of_scc(backend, threads),
                *cases_of_kovan(backend, threads),
            ]
            for _ in range(rounds)
        ]
        for measured in zip(*runs, strict=True):
            name, _, published = measured[0]
            what = f"{backend}, {name}, {threads} thread{'s' * (threads > 1)}"
            if published:
                what += f" (it publishes {published})"
            yield Figure(what, statistics.median(rate for _, rate, _ in measured), unit=" M/s a thread")
