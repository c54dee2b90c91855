# ruff: noqa: T201  (a script prints)
"""Measure what swiss must reach beside dict: time per operation, slowest insert, memory per entry.

    python asv_bench/must_reach.py [--sizes 10000,1000000] [--rounds 5] [--json FILE] [--into README.md]
    python asv_bench/must_reach.py --reclaimers [--into docs/reclamation.md] ...
    python asv_bench/must_reach.py --backends swiss,chained,nr --no-peers ...

One process and one run; the contenders take turns round by round; medians. Needs nothing but intermodal;
measures locked, or other backends, dict + Lock, cereggii and ft_utils too, where they are installed. Exit
status 1 if a target is missed. A figure that is short on a machine that does something else at the same time
means nothing; run it again.

Maps hold str keys ``key-00000000``... with the key itself as the value, built by the main thread in a
shuffled order. Operations are subscripts, ``m[k]`` and ``m[k] = k``, over all keys in another shuffled order.

- 1 thread: the main thread, on the map itself.
- 2 threads: two others, each on half of the keys (``--all-keys``: each on all of them), by handles where the
  map has them. Time is from the common start to the last one's end, per operation of both. "swiss, no handle"
  is what becomes of the same map where both threads use it itself; there is no target for it.
- identical: keys are looked up, and overwritten, with the very objects that are stored. A map finds those
  without comparing. On free-threaded builds they belong to the main thread.
- fresh: with equal copies that belong to the thread that uses them, as where keys are read from somewhere.
  Each look-up then compares two strings and, on free-threaded builds, may count a reference to the stored
  one.

With --reclaimers, swiss is measured beside dict under each reclaimer that it declares, and so is what a
section costs compiled code.

The slowest insert is that of growing from empty to the largest size; every insert is timed, in the same loop
for all, with the garbage collector off. Memory is what the resident set of a new process grows by while a map
is filled whose keys and values exist already, and what ``sys.getsizeof`` says; the targets are for the
former.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import json
import random
import statistics
import subprocess
import sys
import threading
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs
from figures import parser_of, write_into

from intermodal import open_map, open_reclaimer, reclaimers
from intermodal.bench._sections import sections
from intermodal.bench.contenders import BASELINE, Contender, LockedDict, enter, gil_enabled, own_code
from intermodal.bench.costs import resident_bytes, slowest_insert, slowest_insert_locked
from intermodal.bench.report import Machine
from intermodal.bench.runner import Crew
from intermodal.bench.workloads import fresh, make_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from intermodal import Reclaimer

SUBJECT = "swiss"
#: What it is measured beside, as far as it is installed: maps that threads write to without copying them.
BESIDE = (BASELINE, "dict + Lock", "cereggii.AtomicDict", "ft_utils.ConcurrentDict")
NO_HANDLE = ", no handle"
THREADS = 2

# Of the time of a section, entered and left, in nanoseconds.
MOST_SECTION = {"epoch": 15.0, "hyaline": 20.0}
SECTIONS = 3_000_000

# A measurement is at least so many operations long, so that threads that start late do not matter.
OPERATIONS = 400_000

# Targets by free-threaded or not, then by case and size: the subject's time, or its throughput, by dict's.
MOST_TIME = {
    (True, 10_000): 1.6,
    (True, 1_000_000): 0.8,
    (False, 10_000): 2.0,
    (False, 1_000_000): 1.0,
}
LEAST_THROUGHPUT = {
    ("get", 10_000): 1.8,
    ("get", 1_000_000): 1.4,
    ("overwrite", 10_000): 1.5,
    ("overwrite", 1_000_000): 1.3,
}
MOST_SLOWEST_INSERT = 0.1
MOST_MEMORY = 1.3


def get(m: Any, keys: list[str]) -> None:
    for key in keys:
        m[key]


def overwrite(m: Any, keys: list[str]) -> None:
    for key in keys:
        m[key] = key


def get_locked(m: LockedDict, keys: list[str]) -> None:
    data, lock = m.data, m.lock
    for key in keys:
        with lock:
            data[key]


def overwrite_locked(m: LockedDict, keys: list[str]) -> None:
    data, lock = m.data, m.lock
    for key in keys:
        with lock:
            data[key] = key


LOOPS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "get": (get, get_locked),
    "overwrite": (overwrite, overwrite_locked),
    "slowest insert": (slowest_insert, slowest_insert_locked),
}


@attrs.frozen
class Row:
    """A line of the table.

    Attributes:
        case: what was measured.
        contender: whose figure it is.
        figure: the median over the rounds.
        unit: of the figure.
        ratio: as the target counts it: time, memory or throughput by dict's.
        target: in words; empty if there is none.
        passed: None if there is no target.
    """

    case: str
    contender: str
    figure: float
    unit: str
    ratio: float
    target: str = ""
    passed: bool | None = None


def loops_of(contenders: Sequence[Contender], operation: str) -> dict[str, Callable[..., Any]]:
    """Return for each contender a loop with code of its own."""
    plain, locked = LOOPS[operation]
    return {each.name: own_code(locked if each.make is LockedDict else plain) for each in contenders}


def fill(m: Any, keys: list[str]) -> None:
    target = m.data if isinstance(m, LockedDict) else m
    for key in keys:
        target[key] = key


def check(contender: Contender, m: Any, keys: list[str]) -> None:
    with contender.view(m) as view:
        wrong = next((key for key in keys if view[key] != key), None)
    if wrong is not None:
        raise SystemExit(f"must_reach: {contender.name} returned a wrong value for {wrong!r}")


def judge(rows: Sequence[Row], *, free_threaded: bool) -> Iterator[Row]:
    """Yield the rows with the verdict on those who must stay behind the subject, if they must here."""
    subject = next((row for row in rows if row.contender == SUBJECT), None)
    for row in rows:
        other = not row.contender.startswith(SUBJECT) and row.contender != BASELINE
        if subject is not None and free_threaded and other:
            yield attrs.evolve(row, target=f"{SUBJECT} ahead", passed=subject.figure < row.figure)
        else:
            yield row


def time_cases(
    contenders: Sequence[Contender], size: int, rounds: int, *, all_keys: bool, free_threaded: bool
) -> Iterator[Row]:
    """Yield the rows of everything that is a time per operation, at one size."""
    chance = random.Random(1)
    stored = make_keys(size)
    chance.shuffle(stored)
    queries = stored[:]
    chance.shuffle(queries)
    maps = {each.name: each.make() for each in contenders}
    for each in contenders:
        fill(maps[each.name], stored)
        check(each, maps[each.name], queries)
    repeats = max(1, OPERATIONS // size)

    for variant, keys in (("identical", queries), ("fresh", [fresh(key) for key in queries])):
        loops = loops_of(contenders, "get")
        times: dict[str, list[float]] = {each.name: [] for each in contenders}
        for _ in range(rounds):
            for each in contenders:
                begin = perf_counter()
                for _ in range(repeats):
                    loops[each.name](maps[each.name], keys)
                times[each.name].append((perf_counter() - begin) / (size * repeats))
        target = MOST_TIME.get((free_threaded, size))
        case = f"get, 1 thread, {size:,} keys, {variant}"
        yield from judge(
            list(rows_of(case, times, more_is_better=False, target=target)), free_threaded=free_threaded
        )

    entered = list(with_no_handle(contenders))
    maps |= {name + NO_HANDLE: m for name, m in maps.items()}
    with Crew(THREADS) as crew:
        mine = crew.run(functools.partial(shares, queries, all_keys))
        for operation in ("get", "overwrite"):
            for variant in ("identical", "fresh"):
                loops = loops_of(entered, operation)
                times = {each.name: [] for each in entered}
                for _ in range(rounds):
                    for each in entered:
                        barrier = threading.Barrier(THREADS)
                        legs = crew.run(
                            functools.partial(
                                work, each, maps[each.name], loops[each.name], barrier, mine, variant, repeats
                            )
                        )
                        taken = max(end for _, end in legs) - min(begin for begin, _ in legs)
                        done = repeats * sum(len(share[variant]) for share in mine)
                        times[each.name].append(taken / done)
                target = LEAST_THROUGHPUT.get((operation, size)) if free_threaded else None
                case = f"{operation}, {THREADS} threads, {size:,} keys, {variant}"
                yield from judge(
                    list(rows_of(case, times, more_is_better=True, target=target)),
                    free_threaded=free_threaded,
                )
    for each in contenders:
        check(each, maps[each.name], queries)


def with_no_handle(contenders: Sequence[Contender]) -> Iterator[Contender]:
    """Yield the contenders and, after each subject, the subject again, used without handles."""
    for each in contenders:
        yield each
        if each.name.startswith(SUBJECT):
            yield attrs.evolve(each, name=each.name + NO_HANDLE, view=contextlib.nullcontext)


def under_reclaimers(contenders: Sequence[Contender]) -> Iterator[Contender]:
    """Yield the subject, the subject under each reclaimer that protects, and the baseline."""
    protecting = [spec.name for spec in reclaimers() if spec.protects]
    for each in contenders:
        if each.name == SUBJECT:
            yield each
            assert each.capabilities is not None
            for name in each.capabilities.reclaimers:
                if name in protecting:
                    make = functools.partial(open_map, SUBJECT, reclaimer=name)
                    yield attrs.evolve(each, name=f"{SUBJECT}, {name}", make=make)
        elif each.name == BASELINE:
            yield each


def section_cases(contenders: Sequence[Contender], rounds: int) -> Iterator[Row]:
    """Yield the rows of what a section costs compiled code, two threads at once."""
    names = [each.name.partition(", ")[2] for each in contenders if each.name != SUBJECT]
    opened = {name: open_reclaimer(name) for name in names if name in MOST_SECTION}
    times: dict[str, list[float]] = {name: [] for name in opened}
    with Crew(THREADS) as crew:
        for _ in range(rounds):
            for name, reclaimer in opened.items():
                barrier = threading.Barrier(THREADS)
                times[name].append(max(crew.run(functools.partial(time_sections, reclaimer, barrier))))
    for name, each in times.items():
        median = statistics.median(each) * 1e9
        row = Row(
            f"a section of compiled code, {THREADS} threads", f"{SUBJECT}, {name}", median, "ns", float("nan")
        )
        most = MOST_SECTION[name]
        yield attrs.evolve(row, target=f"at most {most:.0f} ns", passed=median <= most)


def time_sections(reclaimer: Reclaimer, barrier: threading.Barrier, thread: int) -> float:
    record = reclaimer.record()
    barrier.wait()
    begin = perf_counter()
    sections(record, SECTIONS)
    return (perf_counter() - begin) / SECTIONS


def shares(queries: list[str], all_keys: bool, thread: int) -> dict[str, list[str]]:
    """Return the keys of one thread, made by that thread, in both variants."""
    if all_keys:
        keys = queries[:]
        random.Random(thread).shuffle(keys)
    else:
        part = len(queries) // THREADS
        keys = queries[thread * part : (thread + 1) * part]
    return {"identical": keys, "fresh": [fresh(key) for key in keys]}


def work(
    contender: Contender,
    m: Any,
    loop: Callable[..., Any],
    barrier: threading.Barrier,
    mine: list[dict[str, list[str]]],
    variant: str,
    repeats: int,
    thread: int,
) -> tuple[float, float]:
    keys = mine[thread][variant]
    with contender.view(m) as view:
        barrier.wait()
        begin = perf_counter()
        for _ in range(repeats):
            loop(view, keys)
        return begin, perf_counter()


def rows_of(
    case: str, times: dict[str, list[float]], *, more_is_better: bool, target: float | None
) -> Iterator[Row]:
    """Yield a row for each contender; the ratio is of throughputs if *more_is_better*, else of times."""
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, median in medians.items():
        ratio = medians[BASELINE] / median if more_is_better else median / medians[BASELINE]
        row = Row(case, name, median * 1e9, "ns", ratio)
        if is_subject(name) and target is not None:
            passed = ratio >= target if more_is_better else ratio <= target
            words = f"at least {target}" if more_is_better else f"at most {target}"
            row = attrs.evolve(row, target=words, passed=passed)
        yield row


def is_subject(name: str) -> bool:
    return name.startswith(SUBJECT) and not name.endswith(NO_HANDLE)


def insert_cases(contenders: Sequence[Contender], size: int, rounds: int) -> Iterator[Row]:
    """Yield the rows of the slowest insert while growing from empty to *size*."""
    keys = make_keys(size)
    random.Random(1).shuffle(keys)
    loops = loops_of(contenders, "slowest insert")
    times: dict[str, list[float]] = {each.name: [] for each in contenders}
    for _ in range(rounds):
        for each in contenders:
            times[each.name].append(loops[each.name](each.make(), keys))
    yield from rows_of(
        f"slowest insert, 0 to {size:,} keys", times, more_is_better=False, target=MOST_SLOWEST_INSERT
    )


def memory_cases(contenders: Sequence[Contender], size: int) -> Iterator[Row]:
    """Yield the rows of the memory per entry, each measured in a new process."""
    resident: dict[str, float] = {}
    own: dict[str, float] = {}
    for each in contenders:
        done = subprocess.run(
            [sys.executable, __file__, "--memory-of", each.name, "--sizes", str(size)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"must_reach: the memory of {each.name} cannot be measured: {done.stderr.strip()}"
            )
        resident[each.name], own[each.name] = json.loads(done.stdout)
    for name, grown in resident.items():
        row = Row(
            f"memory per entry, {size:,} keys, resident", name, grown, "bytes", grown / resident[BASELINE]
        )
        if is_subject(name):
            row = attrs.evolve(row, target=f"at most {MOST_MEMORY}", passed=row.ratio <= MOST_MEMORY)
        yield row
    for name, said in own.items():
        yield Row(f"memory per entry, {size:,} keys, getsizeof", name, said, "bytes", said / own[BASELINE])


def measure_memory(contender: Contender, size: int) -> tuple[float, float]:
    """Return the bytes per entry that the resident set grows by, and that ``sys.getsizeof`` says."""
    keys = make_keys(size)
    m = contender.make()
    fill(m, keys[:1])  # so that what is allocated once is not counted
    gc.collect()
    before = resident_bytes()
    fill(m, keys)
    grown = resident_bytes() - before
    return grown / size, sys.getsizeof(m.data if isinstance(m, LockedDict) else m) / size


def print_rows(rows: Sequence[Row]) -> None:
    widths = [max(len(row.case) for row in rows), max(len(row.contender) for row in rows)]
    case = ""
    for row in rows:
        verdict = "" if row.passed is None else "PASS" if row.passed else "short"
        print(
            f"{row.case if row.case != case else '':{widths[0]}}  {row.contender:{widths[1]}}  "
            f"{row.figure:12,.1f} {row.unit:5}  {row.ratio:7.3f}  {row.target:14} {verdict}".rstrip()
        )
        case = row.case


def in_words(row: Row) -> str:
    """Return a figure with its unit, in three digits or so, as a table wants it."""
    figure, unit = row.figure, row.unit
    if unit == "ns" and figure >= 1_000:
        figure, unit = (figure / 1e6, "ms") if figure >= 1e6 else (figure / 1e3, "µs")
    return f"{figure:,.{0 if figure >= 100 else 1}f} {unit}"


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table in Markdown: a line for each case, a column for each contender."""
    names = list(dict.fromkeys(row.contender for row in rows))
    names.sort(key=lambda name: not name.startswith(SUBJECT))
    yield f"| case | {' | '.join(names)} |"
    yield f"| --- |{' ---: |' * len(names)}"
    for case in dict.fromkeys(row.case for row in rows if not row.case.endswith("getsizeof")):
        cells = {row.contender: in_words(row) for row in rows if row.case == case}
        yield f"| {case} | {' | '.join(cells.get(name, '') for name in names)} |"


def numbers(text: str) -> list[int]:
    values = [int(part) for part in text.split(",")]
    if min(values) < THREADS:
        raise ValueError
    return values


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--sizes", type=numbers, default=[10_000, 1_000_000], help="numbers of keys, with commas"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows to this file too")
    parser.add_argument("--all-keys", action="store_true", help="with 2 threads each uses all keys, not half")
    parser.add_argument(
        "--reclaimers", action="store_true", help=f"measure {SUBJECT} under its reclaimers, and dict"
    )
    parser.add_argument(
        "--backends",
        type=lambda text: text.split(","),
        default=[SUBJECT, "locked"],
        help="the backends to measure, with commas",
    )
    parser.add_argument("--no-peers", action="store_true", help="measure dict, and no other peer")
    parser.add_argument("--memory-of", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    gil_before = gil_enabled()
    if arguments.memory_of is not None:
        field = enter()
        candidates = [*field.contenders, *under_reclaimers(field.contenders)]
        contender = next(each for each in candidates if each.name == arguments.memory_of)
        print(json.dumps(measure_memory(contender, arguments.sizes[0])))
        return 0

    field = enter(arguments.backends, peers=not arguments.no_peers)
    field = attrs.evolve(
        field,
        contenders=tuple(
            each for each in field.contenders if each.capabilities is not None or each.name in BESIDE
        ),
    )
    if arguments.reclaimers:
        field = attrs.evolve(field, contenders=tuple(under_reclaimers(field.contenders)), notes=())
    gc.collect()
    gc.disable()
    rows: list[Row] = []
    largest = max(arguments.sizes)
    for size in arguments.sizes:
        rows += time_cases(
            field.contenders,
            size,
            arguments.rounds,
            all_keys=arguments.all_keys,
            free_threaded=not gil_before,
        )
    rows += insert_cases(field.contenders, largest, arguments.rounds)
    rows += memory_cases(field.contenders, largest)
    if arguments.reclaimers:
        rows += section_cases(field.contenders, arguments.rounds)

    machine = Machine.here(field.contenders, gil_before=gil_before)
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    build = "compiled" if machine.compiled else "pure Python"
    print(f"{machine.cpu}, {machine.cores} cores, {machine.system}")
    print(f"{machine.python}, GIL {machine.gil}, intermodal {build}")
    print(versions)
    print(f"{arguments.rounds} rounds, medians; ratio to {BASELINE}: time, with {THREADS} threads throughput")
    for note in field.notes:
        print(f"note: {note}")
    print_rows(rows)
    if arguments.into is not None:
        about = [
            f"{machine.cpu}, {machine.cores} cores, {machine.system};",
            f"{machine.python.partition(' (')[0]}, GIL {machine.gil};",
            f"{versions} ({build}).",
            f"Medians of {arguments.rounds}.",
            *(f"Note: {note}." for note in field.notes),
            "",
        ]
        write_into(arguments.into, f"GIL {machine.gil}", [*about, *markdown(rows)])
    if arguments.json is not None:
        record = {"machine": attrs.asdict(machine), "rows": [attrs.asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if not any(row.contender == SUBJECT for row in rows):
        print(f"must_reach: {SUBJECT} was not measured, so nothing is shown", file=sys.stderr)
        return 1
    return int(any(row.passed is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
