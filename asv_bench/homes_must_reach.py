# ruff: noqa: T201  (a script prints)
"""Measure what hopscotch and chained must reach: beside dict on one thread, beside cereggii on two.

    python asv_bench/homes_must_reach.py [--sizes 10000,1000000] [--rounds 5]

The cases, and how they are taken, are those of ``must_reach.py``. Exit status 1 if a target is missed on a
free-threaded build; with the GIL there are none.
"""

from __future__ import annotations

import argparse
import gc
import sys
from typing import TYPE_CHECKING

import attrs
from must_reach import Row, insert_cases, numbers, print_rows, time_cases

from intermodal.bench.contenders import BASELINE, enter, gil_enabled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUBJECTS = ("hopscotch", "chained")
PEER = "cereggii.AtomicDict"
#: The most of dict's time that a look-up on one thread may take, by the number of keys.
MOST_TIME = {10_000: 2.0, 1_000_000: 1.2}


def judge(rows: Sequence[Row], size: int) -> Iterator[Row]:
    """Yield the rows of all cases of one size, those of the subjects with their targets."""
    figures = {(row.case, row.contender): row.figure for row in rows}
    for row in rows:
        peer = figures.get((row.case, PEER))
        if row.contender not in SUBJECTS:
            yield row
        elif ", 1 thread," in row.case and size in MOST_TIME:
            most = MOST_TIME[size]
            yield attrs.evolve(row, target=f"at most {most}", passed=row.ratio <= most)
        elif ", 2 threads," in row.case and peer is not None:
            yield attrs.evolve(row, target=f"ahead of {PEER}", passed=row.figure < peer)
        else:
            yield row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=numbers, default=[10_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    free_threaded = not gil_enabled()
    contenders = [each for each in enter().contenders if each.name in (*SUBJECTS, BASELINE, PEER)]
    gc.collect()
    gc.disable()
    rows: list[Row] = []
    for size in arguments.sizes:
        cases = list(
            time_cases(contenders, size, arguments.rounds, all_keys=False, free_threaded=free_threaded)
        )
        rows += judge(cases, size) if free_threaded else cases
    rows += insert_cases(contenders, max(arguments.sizes), arguments.rounds)
    print(f"{sys.version.partition(' (')[0]}, {arguments.rounds} rounds, medians, ratios to {BASELINE}")
    print_rows(rows)
    return int(any(row.passed is False for row in rows if row.contender in SUBJECTS))


if __name__ == "__main__":
    sys.exit(main())
