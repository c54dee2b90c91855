"""Count events by minute and page in a typed map, from arrays, while several threads bring them.

    python docs/examples/event_counts.py [--threads 2] [--size 1000000] [--figure FILE]

An event is a 64-bit integer: minute * PAGES + page. They come in batches, as from the files or sockets of a
collector. Exit status 1 unless every way of counting counts what a Counter counts in one thread.
"""

from __future__ import annotations

import random
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock

from _measuring import dealt, in_threads, options_of, rates, show

from intermodal import int64, open_map

PAGES = 1000
MINUTES = 60
BATCH = 10_000


def count_events(batches: Sequence[array[int]], threads: int) -> Mapping[int, int]:
    """Return how often each event is in the batches, counted in a typed map."""
    counts = open_map("swiss", key_type=int64, value_type=int64)

    def work(share: Iterable[array[int]]) -> None:
        for batch in share:
            counts.add_many(batch)  # += 1 for each; the GIL is released meanwhile

    in_threads(work, dealt(batches, threads))
    return counts


def busiest(counts: Mapping[int, int], number: int) -> list[tuple[int, int, int]]:
    """Return minute, page and count of the events that there are most of; of equal ones the earliest."""
    first = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:number]
    return [(*divmod(event, PAGES), count) for event, count in first]


def count_one_by_one(batches: Sequence[array[int]], threads: int) -> Mapping[int, int]:
    """Return the same, each event counted by a call of its own."""
    counts = open_map("swiss", key_type=int64, value_type=int64)

    def work(share: Iterable[array[int]]) -> None:
        with counts.handle() as mine:
            for batch in share:
                for event in batch:
                    mine.increment(event)

    in_threads(work, dealt(batches, threads))
    return counts


def count_with_lock(batches: Sequence[array[int]], threads: int) -> Mapping[int, int]:
    """Return the same, counted in a Counter behind a lock that is taken once for each batch."""
    counts: Counter[int] = Counter()
    lock = Lock()

    def work(share: Iterable[array[int]]) -> None:
        for batch in share:
            with lock:
                counts.update(batch)

    in_threads(work, dealt(batches, threads))
    return counts


def count_apart(batches: Sequence[array[int]], threads: int) -> Mapping[int, int]:
    """Return the same, counted by each thread for itself and added up when all are done."""

    def work(share: Iterable[array[int]]) -> Counter[int]:
        counter: Counter[int] = Counter()
        for batch in share:
            counter.update(batch)
        return counter

    return sum(in_threads(work, dealt(batches, threads)), Counter())


CONTENDERS = {
    "typed swiss, arrays": count_events,
    "typed swiss, one by one": count_one_by_one,
    "Counter + Lock": count_with_lock,
    "a Counter in each thread": count_apart,
}


def made_up(size: int) -> list[array[int]]:
    """Return that many events in batches: few pages are asked for often, most of them seldom."""
    generator = random.Random("events")
    events = array("q", [])
    for at in range(size):
        minute = at * MINUTES // size
        page = min(int(generator.paretovariate(0.7)), PAGES) - 1
        events.append(minute * PAGES + page)
    return [events[at : at + BATCH] for at in range(0, size, BATCH)]


def main() -> int:
    options = options_of(__doc__, 1_000_000, "events").parse_args()
    batches = made_up(options.size)
    expected = Counter(event for batch in batches for event in batch)
    print(f"{expected.total()} events in {len(batches)} batches, {len(expected)} of them different")
    for minute, page, count in busiest(count_events(batches, options.threads), 3):
        print(f"page {page} in minute {minute}: {count} times")
    wrong = [name for name, count in CONTENDERS.items() if count(batches, options.threads) != expected]
    ways = {name: lambda n, count=count: count(batches, n) for name, count in CONTENDERS.items()}
    found = rates(ways, options.size, (1, options.threads), options.rounds)
    show("Counting events", "events", found, options.figure)
    for name in wrong:
        print(f"{name}: counted wrong", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
