# ruff: noqa: T201  (a script prints)
"""Measure two readers beside one writer: what evmap must reach beside dict.

    python asv_bench/readers_beside_writer.py [--sizes 10000,1000000] [--rounds 5] [--seconds 0.5]

Maps hold str keys, each its own value. Two threads look keys up, a third sets keys that are there, all as
fast as they can and for a fixed time; evmap publishes every 1,000 writes, and its threads have handles. Keys
are copies, made by the thread that uses them. The contenders take turns round by round; medians.

Then the same with every look-up timed by itself, which slows all contenders down alike: the 99.99th
percentile and the worst. Where there are more threads than processors, the worst is the time that a thread
had to wait for a processor; what nobody waits for, in evmap, is a lock.

Exit status 1 if the readers of evmap are not twice as fast as those of dict, on a free-threaded build.
"""

from __future__ import annotations

import argparse
import functools
import random
import statistics
import sys
import threading
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Any

from intermodal import open_map
from intermodal.bench.contenders import gil_enabled, own_code
from intermodal.bench.runner import Crew
from intermodal.bench.workloads import fresh, make_keys

if TYPE_CHECKING:
    from collections.abc import Callable

READERS = 2
#: Keys of a thread, and how many it goes through between two looks at the time.
KEYS = 20_000
CHUNK = 500
BETWEEN_PUBLICATIONS = 1_000
LEAST = 2.0
CONTENDERS: dict[str, Callable[[], Any]] = {
    "dict": dict,
    "evmap": functools.partial(open_map, "evmap"),
    "swiss": functools.partial(open_map, "swiss"),
}


def read(m: Any, keys: list[str]) -> None:
    for key in keys:
        m[key]


def write(m: Any, keys: list[str]) -> None:
    for key in keys:
        m[key] = key


def read_timed(m: Any, keys: list[str], times: list[int]) -> None:
    for key in keys:
        begin = perf_counter_ns()
        m[key]
        times.append(perf_counter_ns() - begin)


class Round:
    """One contender for one time."""

    def __init__(self, m: Any, size: int, seconds: float, *, timed: bool) -> None:
        self.map, self.size, self.seconds, self.timed = m, size, seconds, timed
        self.stop = False
        self.barrier = threading.Barrier(READERS + 1)

    def run(self, crew: Crew) -> tuple[float, float, list[int]]:
        """Return millions of reads and of writes a second, and the times of the reads."""
        counts = crew.run(self._work)
        reads = sum(rate for thread, (rate, _) in enumerate(counts) if thread < READERS)
        times = [each for _, found in counts for each in found]
        return reads / 1e6, counts[READERS][0] / 1e6, times

    def _work(self, thread: int) -> tuple[float, list[int]]:
        keys = random.Random(thread).choices(make_keys(self.size), k=min(self.size, KEYS))
        keys = [fresh(key) for key in keys]
        chunks = [keys[at : at + CHUNK] for at in range(0, len(keys), CHUNK)]
        view = self.map.handle() if hasattr(self.map, "handle") else self.map
        times: list[int] = []
        loop: Callable[..., Any] = own_code(write if thread == READERS else read)
        if self.timed and thread < READERS:
            loop = functools.partial(own_code(read_timed), times=times)
        loop(view, chunks[0])
        times.clear()
        self.barrier.wait()
        if thread == 0:
            threading.Timer(self.seconds, self._end).start()
        done = 0
        begin = perf_counter()
        while not self.stop:
            loop(view, chunks[done % len(chunks)])
            done += 1
        return done * CHUNK / (perf_counter() - begin), times

    def _end(self) -> None:
        self.stop = True


def measure(size: int, rounds: int, seconds: float) -> float:
    """Print what the contenders do at one size; return by how much evmap's readers are ahead of dict's."""
    maps: dict[str, Any] = {}
    for name, make in CONTENDERS.items():
        maps[name] = make()
        maps[name].update((key, key) for key in make_keys(size))
    reads: dict[str, list[float]] = {name: [] for name in maps}
    writes: dict[str, list[float]] = {name: [] for name in maps}
    with maps["evmap"].publishing_every(BETWEEN_PUBLICATIONS), Crew(READERS + 1) as crew:
        for _ in range(rounds):
            for name, m in maps.items():
                done = Round(m, size, seconds, timed=False).run(crew)
                reads[name].append(done[0])
                writes[name].append(done[1])
        print(f"{size:,} keys, {READERS} readers beside one writer, medians of {rounds}:")
        base = statistics.median(reads["dict"])
        for name in maps:
            found = statistics.median(reads[name])
            spread = " ".join(f"{each:.1f}" for each in reads[name])
            print(
                f"  {name:6} {found:6.2f} M reads/s ({found / base:.2f} x dict; {spread}), "
                f"{statistics.median(writes[name]):.2f} M writes/s"
            )
        for name, m in maps.items():
            times = sorted(Round(m, size, seconds, timed=True).run(crew)[2])
            most = times[len(times) * 9999 // 10000]
            print(
                f"  {name:6} one read: median {times[len(times) // 2]} ns, "
                f"99.99 % below {most / 1e3:.1f} us, worst {times[-1] / 1e3:.0f} us"
            )
        print(f"  {maps['evmap'].statistics()}")
    return statistics.median(reads["evmap"]) / base


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    ratios = [measure(size, arguments.rounds, arguments.seconds) for size in sizes]
    print(f"free-threaded: {not gil_enabled()}; at least {LEAST} x dict is the target there")
    return int(not gil_enabled() and min(ratios) < LEAST)


if __name__ == "__main__":
    sys.exit(main())
