# ruff: noqa: T201  (a script prints)
"""Measure what replication must reach.

    python asv_bench/must_reach_replication.py [--rounds 5] [--into docs/replication.md]

One process; contenders take turns round by round; medians. Maps hold 10,000 str keys; keys are looked up, and
overwritten, with the objects that are stored, in a shuffled order. "2 threads" is wall time from the common
start to the last one's end, by the operations of both. Exit status 1 if a target is missed.

The longest wait: a thread begins an operation of 20 ms; while it is under way another asks for a short one,
and is timed from the end of the 20 ms until it has its result; the longest of 20 such waits.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
import threading
from time import perf_counter

from figures import Figure, parser_of, report

from intermodal import Dispatch, open_map, replicate

SIZE = 10_000
REPEATS = 60
OPERATIONS = 1_000_000
KEYS = random.Random(1).sample([f"key-{number:08}" for number in range(SIZE)], SIZE)
QUERIES = random.Random(2).sample(KEYS, SIZE)


# ---- maps -------------------------------------------------------------------------------------------------


class Locked:
    """The rival: a dict and a lock."""

    def __init__(self):
        self.data, self.lock = {key: key for key in KEYS}, threading.Lock()


def filled(**options):
    made = open_map("nr", **options)
    for key in KEYS:
        made[key] = key
    return made


def read(view, keys):
    for key in keys:
        view[key]


def write(view, keys):
    for key in keys:
        view[key] = key


def read_locked(m, keys):
    data, lock = m.data, m.lock
    for key in keys:
        with lock:
            data[key]


def write_locked(m, keys):
    data, lock = m.data, m.lock
    for key in keys:
        with lock:
            data[key] = key


def mixed(reads, writes):
    """Return a loop of 95 reads, then 5 writes, and so on."""

    def loop(view, keys):
        for at in range(0, len(keys), 100):
            reads(view, keys[at : at + 95])
            writes(view, keys[at + 95 : at + 100])

    return loop


def timed(loop, view):
    """Return seconds per operation."""
    begin = perf_counter()
    for _ in range(REPEATS):
        loop(view, QUERIES)
    return (perf_counter() - begin) / (REPEATS * SIZE)


def together(work, views):
    """Call ``work(view, index)`` in a thread for each view, a context manager's; return the wall time."""
    barrier, spans = threading.Barrier(len(views)), []

    def run(index, manager):
        with manager() as view:
            barrier.wait()
            begin = perf_counter()
            work(view, index)
            spans.append((begin, perf_counter()))

    threads = [threading.Thread(target=run, args=each) for each in enumerate(views)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


def two_threads(loop, view):
    """Return seconds per operation of two threads."""

    def work(view, index):
        keys = random.Random(index).sample(QUERIES, SIZE)
        for _ in range(REPEATS):
            loop(view, keys)

    return together(work, [view, view]) / (2 * REPEATS * SIZE)


def map_rows(rounds):
    locked, alone, both = Locked(), filled(replicas=1), filled(replicas=2)
    handle = alone.handle()
    loops = {
        "nr, read": lambda: timed(read, handle),
        "dict + Lock, read": lambda: timed(read_locked, locked),
        "nr, write": lambda: timed(write, handle),
        "dict + Lock, write": lambda: timed(write_locked, locked),
        "nr, 2 threads, 95 % reads": lambda: two_threads(mixed(read, write), both.handle),
        "dict + Lock, 2 threads, 95 % reads": lambda: two_threads(
            mixed(read_locked, write_locked), lambda: contextlib.nullcontext(locked)
        ),
    }
    times = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            times[name].append(loop())
    nr_read, lock_read, nr_write, lock_write, nr_mix, lock_mix = (
        statistics.median(each) for each in times.values()
    )
    for name, values in times.items():
        print(f"{name:40} {statistics.median(values) * 1e9:8.0f} ns")
    both.sync()
    both._check()
    yield Figure(
        "`nr` read / dict + Lock read, time, 1 thread", nr_read / lock_read, most=1, free_threaded=False
    )
    yield Figure(
        "`nr` write / dict + Lock write, time, 1 thread", nr_write / lock_write, most=3, free_threaded=False
    )
    yield Figure(
        "`nr` / dict + Lock, throughput, 2 threads, 95 % reads, 2 replicas",
        lock_mix / nr_mix,
        least=2,
        free_threaded=True,
    )


# ---- other structures -------------------------------------------------------------------------------------


class Heavy(Dispatch):
    """Its reads take about 20 microseconds.

    The numbers are small, and so immortal: copies share objects, and threads would contend for their counts.
    """

    def __init__(self):
        self.numbers = [number % 100 for number in range(100)]
        begin = perf_counter()
        for _ in range(100):
            self.dispatch(0)
        each = (perf_counter() - begin) / 100
        self.numbers = [number % 100 for number in range(round(100 * 20e-6 / each))]

    def dispatch(self, operation):
        total = 0
        for number in self.numbers:
            total ^= number
        return total

    def dispatch_mut(self, operation):
        self.numbers[operation % len(self.numbers)] = operation % 100


def heavy_row(rounds, count=10_000):
    structure, ratios = replicate(Heavy, replicas=2), []

    def work(view, _):
        for number in range(count):
            if number % 20 == 19:
                view.execute_mut(number)
            else:
                view.execute(number)

    for _ in range(rounds):
        one = together(work, [structure.handle])
        two = together(work, [structure.handle] * 2)
        ratios.append(2 * one / two)
    return Figure(
        "reads of 20 µs, 95 % reads, throughput, 2 threads / 1",
        statistics.median(ratios),
        least=1.7,
        free_threaded=True,
    )


class Slow(Dispatch):
    def dispatch_mut(self, operation):
        if operation is not None:
            operation.set()
            end = perf_counter() + 0.02
            while perf_counter() < end:
                pass
        return perf_counter()


def wait_row(tries=20):
    slow, waits = replicate(Slow, replicas=1), []
    for _ in range(tries):
        begun, ended = threading.Event(), []
        thread = threading.Thread(target=lambda e=ended, b=begun: e.append(slow.execute_mut(b)))
        thread.start()
        begun.wait()
        slow.execute_mut(None)
        done = perf_counter()
        thread.join()
        waits.append(done - ended[0])
    return Figure(
        "longest wait behind a combine, after the operation ahead", max(waits) * 1e3, most=2, unit=" ms"
    )


class Mixed(Dispatch):
    """Hashes all changes, of which some fail half-way; and the position in the log."""

    def __init__(self):
        self.hash, self.failures, self.position = 0, 0, 0

    def dispatch(self, operation):
        return self.hash

    def dispatch_mut(self, operation):
        self.position += 1
        self.hash = (self.hash * 31 + operation) % 1_000_000_007
        if operation % 17 == 0:
            self.failures += 1
            raise ValueError(operation)


def agreement_row():
    structure = replicate(Mixed, replicas=2)

    def work(view, index):
        for number in range(OPERATIONS // 2):
            if number % 2:
                view.execute(None)
            else:
                with contextlib.suppress(ValueError):
                    view.execute_mut(number + 7 * index)

    together(work, [structure.handle] * 2)
    structure._check()
    states = [attrs_of(replica.state.structure) for replica in structure._group.replicas]
    expected = {replica.position() for replica in structure._group.replicas}
    equal = states[0] == states[1] and expected == {OPERATIONS // 2} == {states[0][2]}
    what = "replicas equal (1: yes) after 1,000,000 operations, exceptions among them"
    return Figure(what, int(equal), least=1)


def attrs_of(structure):
    return structure.hash, structure.failures, structure.position


def main():
    arguments = parser_of(__doc__).parse_args()

    def measure():
        return [*map_rows(arguments.rounds), heavy_row(arguments.rounds), wait_row(), agreement_row()]

    return report(measure, rounds=arguments.rounds, into=arguments.into)


if __name__ == "__main__":
    sys.exit(main())
