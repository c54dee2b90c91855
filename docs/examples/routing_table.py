"""Route addresses by the longest prefix that fits, while the table is replaced as a whole again and again.

    python docs/examples/routing_table.py [--threads 2] [--size 100000] [--figure FILE]

An answer takes several look-ups, one for each length of prefixes, and all of them are of one table; so are
the answers to a burst of addresses that are asked for together. Exit status 1 if an answer is not what that
table gives when it is searched from end to end.
"""

from __future__ import annotations

import ipaddress
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock, Semaphore, Thread
from typing import Any, Protocol

from _measuring import dealt, in_threads, options_of, rates, show
from attrs import frozen

from intermodal import open_map

PREFIXES = 1000
#: Addresses that are asked for together.
BURST = 100
#: Bursts for each reload, where rates are measured.
BURSTS = 50


@frozen
class Table:
    """What a reload brings: a number, and where each prefix, its length and its first bits, leads."""

    version: int
    routes: Mapping[tuple[int, int], str]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of the prefixes, the longest first."""
        return tuple(sorted({length for length, _ in self.routes}, reverse=True))

    @classmethod
    def of(cls, version: int, routes: Mapping[str, str]) -> Table:
        """Return the table of networks as people write them, such as ``"10.0.0.0/8"``."""
        networks = {ipaddress.IPv4Network(text): hop for text, hop in routes.items()}
        return cls(version, {prefix_of(int(net[0]), net.prefixlen): hop for net, hop in networks.items()})


@frozen
class Answer:
    """Where an address is routed, None for nowhere, and by which table."""

    version: int
    hop: str | None


def prefix_of(address: int, length: int) -> tuple[int, int]:
    return length, address >> (32 - length)


def longest(routes: Mapping[Any, Any], lengths: Iterable[int], address: int) -> str | None:
    """Return where the longest prefix of the address leads that is in the routes."""
    for length in lengths:
        hop = routes.get(prefix_of(address, length))
        if hop is not None:
            return str(hop)
    return None


class Router(Protocol):
    """What the contenders have in common."""

    def load(self, table: Table) -> None:
        """Replace the table."""

    def route(self, addresses: Iterable[int]) -> list[Answer]:
        """Return an answer for each address."""


class EvRouter:
    """Routes in an evmap: who asks waits for nothing, and sees the table from before a reload or the next."""

    def __init__(self, table: Table) -> None:
        self.routes = open_map("evmap")
        self.load(table)

    def load(self, table: Table) -> None:
        """Replace the table: all that is written in the block is published at its end, at one moment."""
        with self.routes.writing():
            self.routes.clear()
            self.routes.update(table.routes)
            self.routes.set_meta((table.version, table.lengths))

    def route(self, addresses: Iterable[int]) -> list[Answer]:
        """Return an answer for each address; the guard holds one table, also while the next is published."""
        with self.routes.guard() as routes:
            version, lengths = routes.meta
            return [Answer(version, longest(routes, lengths, address)) for address in addresses]


class SwapRouter:
    """A dict that is never changed, only replaced by the next."""

    def __init__(self, table: Table) -> None:
        self.load(table)

    def load(self, table: Table) -> None:
        self.published = table.version, table.lengths, dict(table.routes)

    def route(self, addresses: Iterable[int]) -> list[Answer]:
        version, lengths, routes = self.published
        return [Answer(version, longest(routes, lengths, address)) for address in addresses]


class LockedRouter:
    """A dict that is cleared and filled behind a lock."""

    def __init__(self, table: Table) -> None:
        self.lock = Lock()
        self.routes: dict[tuple[int, int], str] = {}
        self.load(table)

    def load(self, table: Table) -> None:
        with self.lock:
            self.routes.clear()
            self.routes.update(table.routes)
            self.version, self.lengths = table.version, table.lengths

    def route(self, addresses: Iterable[int]) -> list[Answer]:
        with self.lock:
            return [
                Answer(self.version, longest(self.routes, self.lengths, address)) for address in addresses
            ]


CONTENDERS = {"evmap": EvRouter, "dict, replaced": SwapRouter, "dict + Lock": LockedRouter}


def made_up(versions: int, size: int) -> tuple[list[Table], list[int]]:
    """Return tables that differ in every route, and that many addresses."""
    generator = random.Random("routes")
    tables = []
    for version in range(versions):
        routes = {(0, 0): f"default {version}"}
        while len(routes) < PREFIXES:
            length = generator.choice((8, 12, 16, 20, 24))
            routes[length, generator.getrandbits(length)] = f"hop {generator.randrange(16)} of {version}"
        tables.append(Table(version, routes))
    return tables, [generator.getrandbits(32) for _ in range(size)]


def serve(
    router: Router, tables: Sequence[Table], addresses: Sequence[int], threads: int, every: int = 1
) -> list[Answer]:
    """Return the answers to the addresses, dealt to the threads in bursts.

    One more thread loads the next table for *every* so many bursts that have begun.
    """
    bursts = [addresses[first : first + BURST] for first in range(0, len(addresses), BURST)]
    begun = Semaphore(0)

    def reload() -> None:
        for number in range(len(bursts)):
            begun.acquire()
            if number % every == 0:
                router.load(tables[(number // every + 1) % len(tables)])

    def ask(share: Iterable[Sequence[int]]) -> list[list[Answer]]:
        answers = []
        for burst in share:
            begun.release()
            answers.append(router.route(burst))
        return answers

    reloading = Thread(target=reload)
    reloading.start()
    answers: list[Any] = [None] * len(bursts)
    try:
        for first, share in enumerate(in_threads(ask, dealt(bursts, threads))):
            answers[first::threads] = share
    finally:
        begun.release(len(bursts))  # also where asking has failed
        reloading.join()
    return [answer for burst in answers for answer in burst]


def search(table: Table, address: int) -> str | None:
    """Return where the table leads an address, found by trying every route."""
    fitting = [
        (length, hop) for (length, bits), hop in table.routes.items() if address >> (32 - length) == bits
    ]
    return max(fitting, default=(0, None))[1]


def mistakes(tables: Sequence[Table], addresses: Sequence[int], answers: Sequence[Answer]) -> list[str]:
    """Return in words each answer that is not the one of the table whose number it has."""
    return [
        f"{ipaddress.IPv4Address(address)}: {answer}, not {right!r}"
        for address, answer in zip(addresses, answers, strict=True)
        if answer.hop != (right := search(tables[answer.version], address))
    ]


def main() -> int:
    options = options_of(__doc__, 100_000, "addresses").parse_args()
    tables, addresses = made_up(4, options.size)
    status = 0
    checked = addresses[:2000]
    for name, make in CONTENDERS.items():
        answers = serve(make(tables[0]), tables, checked, options.threads)
        versions = len({answer.version for answer in answers})
        print(f"{name}: {len(answers)} addresses while tables were loaded, answered by {versions} of them")
        for wrong in mistakes(tables, checked, answers):
            print(f"{name}: {wrong}", file=sys.stderr)
            status = 1
    ways = {
        name: lambda n, make=make: serve(make(tables[0]), tables, addresses, n, BURSTS)
        for name, make in CONTENDERS.items()
    }
    found = rates(ways, options.size, (1, options.threads), options.rounds)
    show("Routing, 1,000 prefixes reloaded for every 5,000 addresses", "addresses", found, options.figure)
    return status


if __name__ == "__main__":
    sys.exit(main())
