"""What a benchmark does to a map: operation mixes, key distributions, and what each thread's share of them
is.

Every result of every operation is known beforehand, whatever the other threads do, so that the loops assert
all of them while measuring:

- The value of a key is always a ``str``, or an int, equal to the key. Who wrote it is seen by identity: each
  thread has two objects for each key and writes them in turn, so that the state after a run tells a lost
  update from a kept one.
- Keys that are inserted and removed belong to one thread each, which inserts and removes them in sequence, as
  in bustle (the benchmark that the mixes ReadHeavy, Exchange and RapidGrow come from). Only those may be
  absent.
- All other keys are read and overwritten by every thread.

Keys are looked up with objects equal to the stored ones but not identical, made by the thread that uses them,
as in programs that read their keys from somewhere. Their order has nothing to do with the order of insertion.

The operations of one thread are a *pass*, a list of runs of one kind each: to choose the kind anew for each
operation would cost about as much as a look-up, and level every ratio. May import only errors.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import random
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import attrs

from intermodal.errors import IntermodalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

# Kinds of operation. Inserting and overwriting are the same statement, m[key] = value.
READ: Final = 0
WRITE: Final = 1
REMOVE: Final = 2

#: Keys are text, or integers for maps of 64-bit words.
Key: TypeAlias = str | int

#: One kind and the keys that it is done to, in order.
Run: TypeAlias = tuple[int, list[Key]]

#: Runs of about CHUNK operations: how often a thread looks at the clock.
Chunk: TypeAlias = list[Run]
CHUNK: Final = 1000

#: A cycle of a mix has exactly as many operations of each kind as the mix has per cent.
CYCLE: Final = 100

#: A pass has about as many operations as there are keys, within these limits.
SHORTEST_PASS: Final = 20_000
LONGEST_PASS: Final = 1_000_000

#: YCSB's own exponent.
ZIPF_EXPONENT: Final = 0.99

DISTRIBUTIONS: Final = ("uniform", "zipf")

#: Integer keys are scattered over so many, all of which a double represents.
INTEGERS: Final = 2**53

# Odd, so that multiplying by it, modulo a power of two, makes different numbers of different ones.
_SCATTER: Final = 6364136223846793005


class BenchmarkError(IntermodalError, ValueError):
    """A benchmark was asked for something that it cannot do; the message says what and what to do instead."""


@attrs.frozen
class Mix:
    """How many of 100 operations are of which kind."""

    name: str
    read: int
    insert: int
    remove: int
    update: int
    origin: str

    @property
    def grows(self) -> bool:
        """Whether maps become larger; such a mix starts with an empty one."""
        return self.insert > self.remove

    def __str__(self) -> str:
        parts = {"read": self.read, "insert": self.insert, "remove": self.remove, "update": self.update}
        return f"{self.name} ({', '.join(f'{share} % {kind}' for kind, share in parts.items() if share)})"


def write_mix(percent: int) -> Mix:
    """Return the mix of reads and so many per cent of overwriting.

    Raises: BenchmarkError if that is no percentage.

    >>> print(write_mix(10))
    W10 (90 % read, 10 % update)
    """
    if not 0 <= percent <= 100:
        raise BenchmarkError(f"a share of writes is from 0 to 100 per cent; got {percent}")
    return Mix(f"W{percent}", read=100 - percent, insert=0, remove=0, update=percent, origin="reports")


#: Every mix by its name.
MIXES: Final[Mapping[str, Mix]] = {
    mix.name: mix
    for mix in (
        Mix("ReadHeavy", read=98, insert=1, remove=1, update=0, origin="bustle"),
        Mix("Exchange", read=10, insert=40, remove=40, update=10, origin="bustle"),
        Mix("RapidGrow", read=5, insert=80, remove=5, update=10, origin="bustle"),
        Mix("A", read=50, insert=0, remove=0, update=50, origin="YCSB"),
        Mix("B", read=95, insert=0, remove=0, update=5, origin="YCSB"),
        Mix("C", read=100, insert=0, remove=0, update=0, origin="YCSB"),
    )
}


def nearest(name: str, names: Iterable[str]) -> str:
    """Return, for the end of a message about an unknown *name*, the nearest of *names* and all of them.

    >>> nearest("readheavy", MIXES)
    "; did you mean 'ReadHeavy'? There are: ReadHeavy, Exchange, RapidGrow, A, B, C"
    """
    names = list(names)
    by_folded = {each.casefold(): each for each in names}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    meant = f"; did you mean {by_folded[near[0]]!r}?" if near else "."
    return f"{meant} There are: {', '.join(names)}"


def find_mix(name: str) -> Mix:
    """Return the mix of that name.

    Raises: BenchmarkError if there is none.
    """
    if name not in MIXES:
        raise BenchmarkError(f"no operation mix {name!r}{nearest(name, MIXES)}")
    return MIXES[name]


@attrs.frozen
class Share:
    """What one thread does, made by that thread so that the objects are its own.

    Attributes:
        fill: what it inserts before the clock starts.
        chunks: the operations of a pass.
    """

    fill: list[Key]
    chunks: list[Chunk]

    @property
    def sizes(self) -> list[int]:
        """The number of operations in each chunk."""
        return [sum(len(keys) for _, keys in chunk) for chunk in self.chunks]


class Workload(Protocol):
    """What the runner needs to know of a workload."""

    @property
    def fresh_map(self) -> bool:
        """Whether each pass needs an empty map; if not, a pass leaves the keys as it found them."""

    def with_mix(self, mix: Mix) -> Workload:
        """Return the same workload with another mix of operations."""

    def check(self, threads: int) -> None:
        """Raise BenchmarkError if that many threads cannot share the workload."""

    def share(self, thread: int, threads: int) -> Share:
        """Return the share of one of *threads* threads; the same at every call."""

    def __str__(self) -> str: ...


class _Copies:
    """The two objects that a thread has for each of its keys."""

    def __init__(self) -> None:
        self._first: dict[Key, Key] = {}
        self._second: dict[Key, Key] = {}
        self._turn: set[Key] = set()

    def to_read(self, key: Key) -> Key:
        """Return the object to look the key up with."""
        copy = self._first.get(key)
        if copy is None:
            copy = self._first.setdefault(key, fresh(key))
        return copy

    def to_write(self, key: Key) -> Key:
        """Return the object to write: the one that was not written last."""
        if key in self._turn:
            self._turn.remove(key)
            return self.to_read(key)
        self._turn.add(key)
        copy = self._second.get(key)
        if copy is None:
            copy = self._second.setdefault(key, fresh(key))
        return copy

    def __contains__(self, key: Key) -> bool:
        return key in self._first or key in self._second


def fresh(key: Key) -> Key:
    """Return a key equal to *key*, and not the same object, but for one character and small integers."""
    if isinstance(key, str):
        return key[:1] + key[1:]
    return (key + 1) - 1


@functools.lru_cache(maxsize=4)
def _zipf(size: int, seed: int) -> tuple[list[int], list[float]]:
    """Return key numbers from the most to the least wanted, and the cumulative weights of those ranks."""
    # Scrambled, as in YCSB: otherwise the hottest keys would have been inserted one after the other, and lie
    # together wherever a map keeps the order of insertion.
    ranked = list(range(size))
    random.Random(seed).shuffle(ranked)  # noqa: S311  (no secret)
    return ranked, list(itertools.accumulate((rank + 1) ** -ZIPF_EXPONENT for rank in range(size)))


@attrs.frozen
class Synthetic:
    """Operations on made-up keys ``key-00000000``, ``key-00000001``, ..., or on integers.

    Attributes:
        mix: how many operations of which kind.
        size: number of keys in the map; of a mix that grows, number of keys inserted.
        distribution: which keys are wanted how often: ``uniform``, or ``zipf`` with the exponent 0.99 and the
            ranks scattered over the keys.
        seed: the same seed, size and number of threads give the same operations.
        integers: whether keys are integers, scattered from 0 to 2**53 - 1.
        longest_pass: the most operations that a thread repeats, about; of a mix that grows it is the size.
    """

    mix: Mix
    size: int = 10_000
    distribution: str = "uniform"
    seed: int = 1
    integers: bool = False
    longest_pass: int = LONGEST_PASS

    def __attrs_post_init__(self) -> None:
        if self.distribution not in DISTRIBUTIONS:
            raise BenchmarkError(
                f"no key distribution {self.distribution!r}{nearest(self.distribution, DISTRIBUTIONS)}"
            )
        self.check(1)

    @property
    def fresh_map(self) -> bool:
        return self.mix.grows

    def with_mix(self, mix: Mix) -> Synthetic:
        return attrs.evolve(self, mix=mix)

    def check(self, threads: int) -> None:
        # The ring of a mix that keeps its size lasts for two cycles, and is at most half of a thread's part.
        least = max(1, self.mix.insert * (1 if self.mix.grows else 4)) * threads
        if self.size < least:
            raise BenchmarkError(
                f"a size of {self.size} keys is too small for mix {self.mix.name} with "
                f"{threads} thread{'s' * (threads > 1)}; take at least {least}"
            )

    def share(self, thread: int, threads: int) -> Share:
        self.check(threads)
        mix = self.mix
        chance = random.Random(f"{self.seed}/{threads}/{thread}")  # noqa: S311  (no secret)
        part = self.size // threads
        start = thread * part
        end = self.size if thread == threads - 1 else start + part

        # The ring: the thread's own keys. Those from `removed` to `inserted`, counted round it, are present.
        churned, cycles, ring = self._ring(start, end, part, thread)
        removed, inserted = 0, 0 if mix.grows else churned
        draws = iter(self._draw(chance, cycles * (mix.read + mix.update)))
        copies = _Copies()

        def choose() -> Key:
            number = next(draws)
            # A key that some thread keeps inserting and removing may be absent; instead of it take one of
            # this thread's own, which are present exactly when this list of operations says so.
            if mix.grows or number - min(number // part, threads - 1) * part < churned:
                number = ring[(removed + number % (inserted - removed)) % len(ring)]
            return self._key(number)

        runs: list[Run] = []
        kinds = ["insert", "remove", "update", "read"]
        for cycle in range(cycles):
            if cycle or not mix.grows:
                chance.shuffle(kinds)
            for kind in kinds:
                count = getattr(mix, kind)
                if not count:
                    continue
                if kind == "insert":
                    numbers = (ring[position % len(ring)] for position in range(inserted, inserted + count))
                    runs.append((WRITE, [copies.to_write(self._key(number)) for number in numbers]))
                    inserted += count
                elif kind == "remove":
                    numbers = (ring[position % len(ring)] for position in range(removed, removed + count))
                    runs.append((REMOVE, [copies.to_read(self._key(number)) for number in numbers]))
                    removed += count
                elif kind == "update":
                    runs.append((WRITE, [copies.to_write(choose()) for _ in range(count)]))
                else:
                    runs.append((READ, [copies.to_read(choose()) for _ in range(count)]))
        fill = [] if mix.grows else [self._key(number) for number in range(start, end)]
        return Share(fill, list(_chunks(runs)))

    def _key(self, number: int) -> Key:
        return _integer(number) if self.integers else _key(number)

    def _ring(self, start: int, end: int, part: int, thread: int) -> tuple[int, int, list[int]]:
        """Return how many of the keys start..end are the thread's own, the cycles of a pass, and the ring."""
        mix = self.mix
        if mix.grows:
            return self.size, (end - start) // mix.insert, list(range(start, end))
        wanted = min(max(self.size, SHORTEST_PASS), self.longest_pass) // CYCLE
        if not mix.insert:
            return 0, wanted, []
        # Half of the ring is present at the start: a pass that goes round it a whole number of times ends as
        # it began. That half is at most half of the thread's part.
        half_turn = min(wanted // 2, part // 2 // mix.insert)
        churned = half_turn * mix.insert
        spare = self.size + thread * churned
        cycles = 2 * half_turn * max(1, wanted // (2 * half_turn))
        return churned, cycles, [*range(start, start + churned), *range(spare, spare + churned)]

    def _draw(self, chance: random.Random, count: int) -> list[int]:
        if self.distribution == "uniform":
            return chance.choices(range(self.size), k=count)
        ranked, weights = _zipf(self.size, self.seed)
        return chance.choices(ranked, cum_weights=weights, k=count)

    def __str__(self) -> str:
        begin = "from an empty map to" if self.mix.grows else "with"
        return (
            f"mix {self.mix} {begin} {self.size:,} {'integer ' if self.integers else ''}keys, "
            f"{self.distribution}, seed {self.seed}, "
            "in another order than they are inserted"
        )


@attrs.frozen
class Trace:
    """The keys of a real text or log, each occurrence one operation, in the file's order.

    A pass starts with an empty map. The first time that a thread meets a key it writes the entry; every later
    time it reads or overwrites it, in the proportions of the mix. Of several threads each takes every n-th
    operation, as if requests were handed out in turn, so that threads meet on the frequent keys.

    Attributes:
        keys: the key of each operation.
        mix: one that neither inserts nor removes: the file says when a key is new, and a key that one thread
            removes would be missed by another at any time.
        source: where the keys are from, for the report.
    """

    keys: tuple[Key, ...] = attrs.field(repr=False)
    mix: Mix
    source: str

    def __attrs_post_init__(self) -> None:
        if self.mix.insert or self.mix.remove:
            usable = [mix.name for mix in MIXES.values() if not mix.insert and not mix.remove]
            raise BenchmarkError(
                f"mix {self.mix.name} inserts and removes keys of its own, but a file of keys says itself "
                f"when a key is new; take one of {', '.join(usable)}"
            )

    @classmethod
    def from_file(cls, path: Path, mix: Mix, *, lines: bool = False, integers: bool = False) -> Trace:
        """Return the trace whose keys are the words of a file, or with *lines* its lines.

        With *integers* each must be an integer of 64 bits.

        Raises: BenchmarkError if the file cannot be read, has none, or has one that is no such integer.
        """
        try:
            # Bytes that are no UTF-8 are kept apart, so that different keys stay different.
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise BenchmarkError(
                f"cannot read keys from {str(path)!r}: {error.strerror or error}; give a readable text file"
            ) from error
        keys: Sequence[Key] = text.splitlines() if lines else text.split()
        unit = "line" if lines else "word"
        if not keys:
            raise BenchmarkError(f"{str(path)!r} has no {unit}s; give a file with at least one key")
        if integers:
            keys = [
                _integer_of(key, f"{unit} {number} of {str(path)!r}") for number, key in enumerate(keys, 1)
            ]
        return cls(tuple(keys), mix, f"every {unit} of {path.name}")

    @property
    def fresh_map(self) -> bool:
        return True

    def with_mix(self, mix: Mix) -> Trace:
        return attrs.evolve(self, mix=mix)

    def check(self, threads: int) -> None:
        if len(self.keys) < threads:
            raise BenchmarkError(
                f"{len(self.keys)} operations ({self.source}) cannot be shared by {threads} threads; "
                f"take a longer file or at most --threads {len(self.keys)}"
            )

    def share(self, thread: int, threads: int) -> Share:
        self.check(threads)
        copies = _Copies()
        kinds = itertools.cycle([READ] * self.mix.read + [WRITE] * self.mix.update)
        runs: list[Run] = []
        for key in itertools.islice(self.keys, thread, None, threads):
            kind = next(kinds) if key in copies else WRITE
            mine = copies.to_read(key) if kind == READ else copies.to_write(key)
            if runs and runs[-1][0] == kind and len(runs[-1][1]) < CHUNK:
                runs[-1][1].append(mine)
            else:
                runs.append((kind, [mine]))
        return Share([], list(_chunks(runs)))

    def __str__(self) -> str:
        return (
            f"mix {self.mix} after the first sight of each key, {self.source}: {len(self.keys):,} operations "
            f"on {len(set(self.keys)):,} keys, each pass from an empty map"
        )


def _key(number: int) -> str:
    return f"key-{number:08d}"


def _integer(number: int) -> int:
    return number * _SCATTER % INTEGERS


def _integer_of(text: Key, where: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 2**64
    if not -(2**63) <= number < 2**63:
        raise BenchmarkError(
            f"{where} is {text!a}, no integer of 64 bits; leave the type of keys out for text"
        )
    return number


def make_integers(count: int) -> list[int]:
    """Return the first *count* made-up integers."""
    return [_integer(number) for number in range(count)]


def make_keys(count: int) -> list[str]:
    """Return the first *count* made-up keys."""
    return [_key(number) for number in range(count)]


def _chunks(runs: Sequence[Run]) -> Iterator[Chunk]:
    chunk: Chunk = []
    length = 0
    for run in runs:
        chunk.append(run)
        length += len(run[1])
        if length >= CHUNK:
            yield chunk
            chunk, length = [], 0
    if chunk:
        yield chunk


def expected_state(shares: Sequence[Share], done: Sequence[int]) -> dict[Key, list[Key]]:
    """Return what each key may have as its value after each thread has done so many chunks of its share.

    Several objects are possible where several threads have written the key: what each wrote last. An empty
    list means that the key must be absent.
    """
    state: dict[Key, list[Key]] = {key: [key] for share in shares for key in share.fill}
    written: dict[Key, list[Key]] = {}
    for share, count in zip(shares, done, strict=True):
        own: dict[Key, Key | None] = {}
        length = len(share.chunks)
        # What was done more than a pass ago has been done again since.
        for position in range(max(0, count - length), count):
            for kind, keys in share.chunks[position % length]:
                if kind == WRITE:
                    own.update(zip(keys, keys, strict=True))
                elif kind == REMOVE:
                    own.update(dict.fromkeys(keys))
        for key, value in own.items():
            written.setdefault(key, [])
            if value is not None:
                written[key].append(value)
    return state | written
