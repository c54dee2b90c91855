# ruff: noqa: T201  (a script prints)
"""Measure two readers beside one writer: what evmap must reach beside dict.

    python asv_bench/must_reach_evmap.py [--sizes 10000,1000000] [--rounds 5] [--seconds 0.5]
                                         [--into docs/internals-evmap.md]

Maps hold str keys, each its own value. Two threads look keys up, a third sets keys that are there, all as
fast as they can and for a fixed time; evmap publishes every 1,000 writes, and its threads have handles. Keys
are copies, made by the thread that uses them. The contenders take turns round by round; medians.

Then the same with every look-up timed by itself, which slows all contenders down alike: the 99.99th
percentile and the worst. Where there are more threads than processors, the worst is the time that a thread
had to wait for a processor; what nobody waits for, in evmap, is a lock.

Exit status 1 if the readers of evmap are not twice as fast as those of dict, on a free-threaded build.
"""

from __future__ import annotations

import functools
import random
import statistics
import sys
import threading
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Any

import attrs
from figures import FREE_THREADED, parser_of, write_into

from intermodal import open_map
from intermodal.bench.contenders import gil_enabled, own_code
from intermodal.bench.report import Machine
from intermodal.bench.runner import Crew
from intermodal.bench.workloads import fresh, make_keys

if TYPE_CHECKING:
    from collections.abc import Callable

READERS = 2
#: Keys of a thread, and how many it goes through between two looks at the time.
KEYS = 20_000
CHUNK = 500
BETWEEN_PUBLICATIONS = 1_000
BASELINE, SUBJECT, LEAST = "dict", "evmap", 2.0
CONTENDERS: dict[str, Callable[[], Any]] = {
    BASELINE: dict,
    SUBJECT: functools.partial(open_map, SUBJECT),
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


@attrs.frozen
class Row:
    """What one contender did at one size: millions a second, and nanoseconds."""

    size: int
    name: str
    reads: float
    writes: float
    ratio: float
    median: int
    most: int
    worst: int

    def verdict(self) -> str:
        if self.name != SUBJECT or not FREE_THREADED:
            return ""
        return "yes" if self.ratio >= LEAST else "SHORT"

    def markdown(self) -> str:
        cells = (
            f"{self.size:,}",
            f"`{self.name}`",
            f"{self.reads:.2f}",
            f"{self.ratio:.2f}",
            self.verdict(),
            f"{self.writes:.2f}",
            f"{self.median} ns",
            f"{self.most / 1e3:.1f} µs",
            f"{self.worst / 1e6:.1f} ms",
        )
        return f"| {' | '.join(cells)} |"


def filled(size: int) -> dict[str, Any]:
    """Return the contenders' maps."""
    maps: dict[str, Any] = {name: make() for name, make in CONTENDERS.items()}
    for m in maps.values():
        m.update((key, key) for key in make_keys(size))
    return maps


def measure(size: int, rounds: int, seconds: float) -> list[Row]:
    """Return what the contenders do at one size."""
    maps = filled(size)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in maps}
    times: dict[str, list[int]] = {}
    with maps[SUBJECT].publishing_every(BETWEEN_PUBLICATIONS), Crew(READERS + 1) as crew:
        for _ in range(rounds):
            for name, m in maps.items():
                rates[name].append(Round(m, size, seconds, timed=False).run(crew)[:2])
        for name, m in maps.items():
            times[name] = sorted(Round(m, size, seconds, timed=True).run(crew)[2])
    for name, found in rates.items():
        print(f"{size:,} {name}: M reads/s {' '.join(f'{reads:.1f}' for reads, _ in found)}")
    print(maps[SUBJECT].statistics())
    reads = {name: statistics.median(read for read, _ in found) for name, found in rates.items()}
    return [
        Row(
            size=size,
            name=name,
            reads=reads[name],
            writes=statistics.median(written for _, written in rates[name]),
            ratio=reads[name] / reads[BASELINE],
            median=times[name][len(times[name]) // 2],
            most=times[name][len(times[name]) * 9999 // 10000],
            worst=times[name][-1],
        )
        for name in maps
    ]


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", default="10000,1000000")
    parser.add_argument("--seconds", type=float, default=0.5)
    arguments = parser.parse_args()
    gil_before = gil_enabled()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    rows = [row for size in sizes for row in measure(size, arguments.rounds, arguments.seconds)]
    machine = Machine.here((), gil_before=gil_before)
    about = f"{machine.cpu}, {machine.cores} cores; {machine.python.partition(' (')[0]}, GIL {machine.gil}."
    heads = (
        *("keys", "map", "M reads/s", f"/ {BASELINE}", f"at least {LEAST:g}"),
        *("M writes/s", "one read, median", "99.99 %", "worst"),
    )
    lines = [
        f"{about} Medians of {arguments.rounds}.",
        "",
        f"| {' | '.join(heads)} |",
        f"| {' | '.join(['---'] * len(heads))} |",
        *(row.markdown() for row in rows),
    ]
    print("\n".join(lines))
    if arguments.into is not None:
        write_into(arguments.into, f"GIL {machine.gil}", lines)
    return int(any(row.verdict() == "SHORT" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
