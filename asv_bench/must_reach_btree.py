# ruff: noqa: T201  (a script prints)
"""Measure what btree must reach beside sortedcontainers' SortedDict.

    python asv_bench/must_reach_btree.py [--sizes 10000,1000000] [--rounds 5] [--into docs/internals-btree.md]

One process; contenders take turns round by round; medians. Maps are filled in a shuffled order with keys that
are their own values: str ``key-00000000``..., or int. Exit status 1 if a target is missed.

- get, 2 threads: each looks half of the keys up, in another shuffled order, by subscripts: of btree by a
  handle, of a SortedDict under a Lock, ``with lock:`` in the loop itself. Time is from the common start to
  the last one's end, per operation of both. *identical*: with the very objects that are stored; *fresh*: with
  equal copies that belong to the thread which uses them. It means something only where both cores are free:
  threads that get one core in turn do not wait for a lock.
- scan: 1,000 keys from a key on, ``list(m.irange(first, last))``, one thread, no lock on either side.
- pairs: the same with values: ``list(m.range(first, end))`` beside a comprehension that looks each key up.
- ascending insert: ``m[key] = key`` in the order of keys into an empty map, the largest size, one thread.
"""

from __future__ import annotations

import contextlib
import gc
import random
import statistics
import sys
import threading
from time import perf_counter

from figures import Figure, parser_of, report
from must_reach import numbers
from must_reach_replication import together
from sortedcontainers import SortedDict

from intermodal import open_map
from intermodal.bench.workloads import fresh, make_keys

THREADS = 2
# A measurement is at least so many operations long, so that threads that start late do not matter.
OPERATIONS = 400_000
SCANNED = 1_000
SCANS = 200

MAKERS = {"int": lambda size: list(range(1_000, 1_000 + size)), "str": make_keys}


class Locked:
    """The rival: a SortedDict and a lock."""

    def __init__(self, keys):
        self.data, self.lock = SortedDict(zip(keys, keys, strict=True)), threading.Lock()


def get(m, keys):
    for key in keys:
        m[key]


def get_locked(m, keys):
    data, lock = m.data, m.lock
    for key in keys:
        with lock:
            data[key]


def insert(m, keys):
    for key in keys:
        m[key] = key


def insert_sorted(m, keys):
    for key in keys:
        m[key] = key


def timed(work):
    begin = perf_counter()
    work()
    return perf_counter() - begin


def medians(rounds, *works):
    """Return the median of what each of *works* returns; they take turns."""
    times = [[] for _ in works]
    for _ in range(rounds):
        for work, each in zip(works, times, strict=True):
            each.append(work())
    return [statistics.median(each) for each in times]


def show(case, names, figures, scale, unit):
    for name, figure in zip(names, figures, strict=True):
        print(f"{case:44} {name:18} {figure * scale:9.1f} {unit}", flush=True)


# ---- look-ups ---------------------------------------------------------------------------------------------


def readers(view, loop, queries, copied):
    """Return what does all look-ups, by THREADS threads, and returns seconds per look-up."""
    part = len(queries) // THREADS
    repeats = max(1, OPERATIONS // len(queries))

    def ready(thread):
        @contextlib.contextmanager
        def manager():
            keys = queries[thread * part : (thread + 1) * part]
            if copied:
                keys = [fresh(key) for key in keys]
            with view() as m:
                yield m, keys

        return manager

    def work(pair, _):
        m, keys = pair
        for _ in range(repeats):
            loop(m, keys)

    return lambda: together(work, [ready(thread) for thread in range(THREADS)]) / (repeats * part * THREADS)


def get_figures(kind, size, tree, rival, queries, rounds):
    for variant in ("identical", "fresh") if kind == "str" else ("identical",):
        case = f"get, {THREADS} threads, {size:,} {kind} keys, {variant}"
        pair = (
            readers(tree.handle, get, queries, variant == "fresh"),
            readers(lambda: contextlib.nullcontext(rival), get_locked, queries, variant == "fresh"),
        )
        ours, theirs = medians(rounds, *pair)
        show(case, ("btree", "SortedDict + Lock"), (ours, theirs), 1e9, "ns")
        yield Figure(f"{case}: throughput / SortedDict + Lock", theirs / ours, least=2, free_threaded=True)


# ---- scans ------------------------------------------------------------------------------------------------


def pairs_of_tree(tree, first, last, end):
    return list(tree.range(first, end))


def pairs_of_rival(data, first, last, end):
    return [(key, data[key]) for key in data.irange(first, last)]


def keys_of(m, first, last, end):
    return list(m.irange(first, last))


def scans(loop, m, ordered, starts):
    """Return what scans from each of *starts* and returns seconds per scan."""
    ranges = [(ordered[at], ordered[at + SCANNED - 1], ordered[at + SCANNED]) for at in starts]

    def run():
        for first, last, end in ranges:
            assert len(loop(m, first, last, end)) == SCANNED

    return lambda: timed(run) / len(ranges)


def scan_figures(kind, size, tree, rival, ordered, rounds):
    chance = random.Random(3)
    starts = [chance.randrange(size - SCANNED) for _ in range(SCANS)]
    for what, ours_loop, theirs_loop, most in (
        ("scan", keys_of, keys_of, 1.5),
        ("pairs", pairs_of_tree, pairs_of_rival, None),
    ):
        case = f"{what} of {SCANNED:,}, {size:,} {kind} keys"
        pair = (
            scans(ours_loop, tree, ordered, starts),
            scans(theirs_loop, rival.data, ordered, starts),
        )
        ours, theirs = medians(rounds, *pair)
        show(case, ("btree", "SortedDict"), (ours, theirs), 1e6, "µs")
        if most is not None:
            yield Figure(f"{case}: time / SortedDict's irange", ours / theirs, most=most)


# ---- insertions -------------------------------------------------------------------------------------------


def insert_figures(kind, size, ordered, rounds):
    ours, theirs = medians(
        rounds,
        lambda: timed(lambda: insert(open_map("btree"), ordered)),
        lambda: timed(lambda: insert_sorted(SortedDict(), ordered)),
    )
    case = f"ascending insert, {size:,} {kind} keys"
    show(case, ("btree", "SortedDict"), (ours / size, theirs / size), 1e9, "ns")
    yield Figure(f"{case}: time / SortedDict", ours / theirs, most=2)


def all_figures(sizes, rounds):
    for kind, make in MAKERS.items():
        for size in sizes:
            ordered = make(size)
            chance = random.Random(1)
            shuffled, queries = chance.sample(ordered, size), chance.sample(ordered, size)
            tree, rival = open_map("btree"), Locked(shuffled)
            insert(tree, shuffled)
            yield from get_figures(kind, size, tree, rival, queries, rounds)
            yield from scan_figures(kind, size, tree, rival, ordered, rounds)
            tree._check()
        yield from insert_figures(kind, max(sizes), ordered, rounds)


def main():
    parser = parser_of(__doc__)
    parser.add_argument(
        "--sizes", type=numbers, default=[10_000, 1_000_000], help="numbers of keys, with commas"
    )
    arguments = parser.parse_args()
    gc.collect()
    gc.disable()
    return report(
        lambda: all_figures(arguments.sizes, arguments.rounds), rounds=arguments.rounds, into=arguments.into
    )


if __name__ == "__main__":
    sys.exit(main())
