"""Measure what hopscotch and chained must reach: beside dict on one thread, beside cereggii on two.

    python asv_bench/must_reach_homes.py [--sizes 10000,1000000] [--rounds 5] [--into docs/internals-homes.md]

The cases, and how they are taken, are those of ``must_reach.py``; a figure is the time of an operation by
that of the other. Exit status 1 if a target is missed on a free-threaded build; with the GIL there are none.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from figures import FREE_THREADED, Figure, parser_of, report
from must_reach import insert_cases, numbers, time_cases

from intermodal.bench.contenders import BASELINE, enter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from must_reach import Row

SUBJECTS = ("hopscotch", "chained")
PEER = "cereggii.AtomicDict"
#: The most of dict's time that a look-up on one thread may take, by the number of keys.
MOST_TIME = {10_000: 2.0, 1_000_000: 1.2}


def judge(rows: Sequence[Row], size: int) -> Iterator[Figure]:
    """Yield the figures of all cases of one size."""
    times = {(row.case, row.contender): row.figure for row in rows}
    for row in rows:
        if row.contender not in SUBJECTS:
            continue
        what = f"{row.case}: {row.contender} / "
        two_threads = ", 2 threads," in row.case
        by_dict = row.figure / times[row.case, BASELINE]
        most = None if two_threads else MOST_TIME.get(size)
        yield Figure(what + BASELINE, by_dict, most=most, free_threaded=True)
        if two_threads and (row.case, PEER) in times:
            yield Figure(what + PEER, row.figure / times[row.case, PEER], most=1.0, free_threaded=True)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=numbers, default=[10_000, 1_000_000])
    arguments = parser.parse_args()
    rounds = arguments.rounds

    def measure() -> Iterator[Figure]:
        contenders = [each for each in enter().contenders if each.name in (*SUBJECTS, BASELINE, PEER)]
        gc.collect()
        gc.disable()
        for size in arguments.sizes:
            cases = time_cases(contenders, size, rounds, all_keys=False, free_threaded=FREE_THREADED)
            yield from judge(list(cases), size)
        slowest = list(insert_cases(contenders, max(arguments.sizes), rounds))
        yield from judge(slowest, 0)

    return report(measure, rounds=rounds, into=arguments.into)


if __name__ == "__main__":
    sys.exit(main())
