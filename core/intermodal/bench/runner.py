"""Runs the contenders against one another and yields a sample at a time.

Round by round every contender gets its turn, so that whatever else the machine does hits all of them; the
report takes medians. Threads live as long as the number of threads does: objects that a thread made stay its
own, which on free-threaded builds is what makes counting their references cheap. Each thread fills its part
of the map before the clock starts, the cyclic garbage collector is off while it runs, and after each
measurement the whole map is compared with what the threads have done to it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import queue
import statistics
import threading
from array import array
from collections import Counter
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

import attrs

from intermodal.bench.contenders import Contender, WrongResult
from intermodal.bench.workloads import WRITE, BenchmarkError, Share, Workload, expected_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from intermodal.bench.workloads import Run

    _Run: TypeAlias = Callable[[Any, list[Run]], None]

T = TypeVar("T")
AnyTrial = TypeVar("AnyTrial", bound="_Trial")

# Of a workload that takes a fresh map for each pass, the maps are made beforehand, batch by batch. A batch
# has at most so many operations, which bounds its memory, and so many maps: cereggii takes a thread-specific
# storage key for each, of which a process has 1024.
_MOST_OPERATIONS: Final = 4_000_000
_MOST_MAPS: Final = 500

# Where making the maps takes longer than using them, a sample ends after so many times `seconds` altogether.
_PATIENCE: Final = 4

# The part of `seconds` that is run first, without being measured.
_WARM_UP: Final = 0.1

# The most seconds of a round in which each operation is timed.
_LONGEST_TIMED: Final = 1.0


class SelfCheckError(BenchmarkError):
    """A map gave a wrong result while it was measured.

    Attributes:
        contender: whose map.
        key: the key of the operation.
        expected: what is right, in words.
        got: what came, in words.
    """

    def __init__(self, contender: str, key: object, expected: str, got: str) -> None:
        super().__init__(
            f"{contender} gave a wrong result, so its figures are worth nothing: "
            f"key {key!a}: expected {expected}, got {got}"
        )
        self.contender = contender
        self.key = key
        self.expected = expected
        self.got = got


@attrs.frozen
class Plan:
    """What to measure.

    Attributes:
        contenders: who.
        workload: what each of them has to do.
        threads: by how many threads at once, one after the other.
        rounds: how often.
        seconds: how long each time.
    """

    contenders: tuple[Contender, ...]
    workload: Workload
    threads: tuple[int, ...] = (1, 2)
    rounds: int = 5
    seconds: float = 0.3

    def __attrs_post_init__(self) -> None:
        if min(self.threads, default=0) < 1:
            raise BenchmarkError(
                f"a number of threads must be at least 1; got {min(self.threads, default=0)}"
            )
        if self.rounds < 1:
            raise BenchmarkError(f"rounds must be at least 1; got {self.rounds}")
        if not 0 < self.seconds < float("inf"):
            raise BenchmarkError(f"seconds must be more than 0; got {self.seconds}")
        for threads in self.threads:
            self.workload.check(threads)

    @property
    def steps(self) -> int:
        """The number of samples there will be."""
        return len(self.contenders) * len(self.threads) * self.rounds


@attrs.frozen
class Sample:
    """One measurement: how many operations all threads together did in how many seconds."""

    contender: str
    threads: int
    operations: int
    seconds: float

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds


@attrs.frozen
class Latencies:
    """How often an operation took how many nanoseconds, the time of two looks at the clock included."""

    contender: str
    threads: int
    reads: Counter[int]
    writes: Counter[int]


def measure(plan: Plan) -> Iterator[Sample]:
    """Yield the samples of *plan*, contender after contender in each round.

    Raises: SelfCheckError at the first wrong result.
    """
    yield from _taking_turns(plan, _Trial, _Trial.sample)


def measure_latencies(plan: Plan) -> Iterator[Latencies]:
    """Yield the latencies of the operations of *plan*, contender after contender in each round.

    Every operation is timed by itself, so that throughput is another than that of :func:`measure`. A round
    takes a second at most: each operation leaves eight bytes behind until its end.

    Raises: SelfCheckError at the first wrong result.
    """
    plan = attrs.evolve(plan, seconds=min(plan.seconds, _LONGEST_TIMED))
    yield from _taking_turns(plan, _TimedTrial, _TimedTrial.latencies)


def _taking_turns(
    plan: Plan,
    trial_of: Callable[[Contender, Crew, list[Share], Plan], AnyTrial],
    measured: Callable[[AnyTrial], T],
) -> Iterator[T]:
    for threads in plan.threads:
        with Crew(threads) as crew:
            shares = crew.run(functools.partial(_share, plan.workload, threads))
            trials = [trial_of(contender, crew, shares, plan) for contender in plan.contenders]
            for _ in range(plan.rounds):
                for trial in trials:
                    yield measured(trial)


def clock_latency() -> int:
    """Return the nanoseconds, the median, that an operation would seem to take that takes no time."""
    times = [-(perf_counter_ns() - perf_counter_ns()) for _ in range(10_001)]
    return int(statistics.median(times))


def _share(workload: Workload, threads: int, thread: int) -> Share:
    return workload.share(thread, threads)


class Crew:
    """Threads that do the same job at the same time, one job after another."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        #: Whoever works for long looks at it now and then: the crew wants to go home.
        self.cancelled = False
        self._results: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
        self._jobs: list[queue.SimpleQueue[Callable[[int], Any] | None]] = [
            queue.SimpleQueue() for _ in range(threads)
        ]
        for thread in range(threads):
            # Daemons: an interrupted benchmark must not keep the process alive.
            threading.Thread(target=self._work, args=(thread,), daemon=True, name=f"bench-{thread}").start()

    def _work(self, thread: int) -> None:
        while (job := self._jobs[thread].get()) is not None:
            try:
                self._results.put((thread, job(thread), None))
            except BaseException as error:  # noqa: BLE001  (raised again by run)
                self._results.put((thread, None, error))

    def run(self, job: Callable[[int], T]) -> list[T]:
        """Have each thread call ``job(its number)``; return the results, or raise what one of them raised."""
        for jobs in self._jobs:
            jobs.put(job)
        results: dict[int, T] = {}
        errors = []
        for _ in range(self.threads):
            thread, result, error = self._results.get()
            if error is not None:
                errors.append(error)
            results[thread] = result
        # A broken barrier is only what the others see of the error that broke it.
        errors.sort(key=lambda error: isinstance(error, threading.BrokenBarrierError))
        if errors:
            raise errors[0]
        return [results[thread] for thread in range(self.threads)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancelled = True
        for jobs in self._jobs:
            jobs.put(None)


@attrs.frozen
class _Leg:
    """What one thread did of a measurement: from when to when, and from which chunk to which."""

    begin: float
    end: float
    first: int
    last: int


class _Trial:
    """One contender doing a crew's work."""

    def __init__(self, contender: Contender, crew: Crew, shares: list[Share], plan: Plan) -> None:
        self._contender = contender
        self._crew = crew
        self._shares = shares
        self._sizes = [share.sizes for share in shares]
        self._seconds = plan.seconds
        self._fresh_map = plan.workload.fresh_map
        self._pass_seconds = 0.0
        self._started = 0.0

    def sample(self) -> Sample:
        if not self._fresh_map:
            return self._measure(1)
        if not self._pass_seconds:
            self._pass_seconds = self._measure(1).seconds
        most = max(1, min(_MOST_MAPS, _MOST_OPERATIONS // sum(map(sum, self._sizes))))
        passes = max(1, round(self._seconds / self._pass_seconds))
        patience = perf_counter() + self._seconds * _PATIENCE
        operations, seconds = 0, 0.0
        while passes > 0:
            batch = self._measure(min(most, passes))
            operations += batch.operations
            seconds += batch.seconds
            late = perf_counter() > patience
            passes = 0 if late else round((self._seconds - seconds) / self._pass_seconds)
        return Sample(self._contender.name, self._crew.threads, operations, seconds)

    def _measure(self, number: int) -> Sample:
        # The maps are made by a thread that uses them, as they are where there is one thread only.
        maps = self._crew.run(functools.partial(self._make, number))[0]
        barrier = threading.Barrier(self._crew.threads, action=self._start)
        gc.collect()
        collecting = gc.isenabled()
        gc.disable()
        try:
            legs = self._crew.run(functools.partial(self._work, maps, barrier))
        finally:
            if collecting:
                gc.enable()
        if self._fresh_map:
            self._verify(maps[-1], [len(share.chunks) for share in self._shares])
        else:
            self._verify(maps[0], [leg.last for leg in legs])
        operations = sum(
            sizes[position % len(sizes)]
            for leg, sizes in zip(legs, self._sizes, strict=True)
            for position in range(leg.first, leg.last)
        )
        seconds = max(leg.end for leg in legs) - min(leg.begin for leg in legs)
        return Sample(self._contender.name, self._crew.threads, operations, seconds)

    def _make(self, number: int, thread: int) -> list[Any]:
        return [self._contender.make() for _ in range(number)] if thread == 0 else []

    def _start(self) -> None:
        self._started = perf_counter()

    def _work(self, maps: list[Any], barrier: threading.Barrier, thread: int) -> _Leg:
        share = self._shares[thread]
        try:
            with contextlib.ExitStack() as views:
                mine = [views.enter_context(self._contender.view(m)) for m in maps]
                for m, view in zip(maps, mine, strict=True):
                    self._contender.run(view, [(WRITE, share.fill)])
                    self._contender.settle(m)
                barrier.wait()
                run = self._measured_run(thread)
                if self._fresh_map:
                    return self._once_each(run, mine, share)
                warm_up = self._started + self._seconds * _WARM_UP
                warm = self._until(warm_up, self._contender.run, mine[0], share, 0)
                barrier.wait()
                begin = perf_counter()
                last = self._until(self._started + self._seconds, run, mine[0], share, warm)
                return _Leg(begin, perf_counter(), warm, last)
        except BaseException as error:
            barrier.abort()
            if isinstance(error, WrongResult):
                got = ascii(error.found)
                raise SelfCheckError(self._contender.name, error.key, "a value equal to it", got) from error
            if isinstance(error, KeyError):
                raise SelfCheckError(self._contender.name, error.args[0], "an entry", "KeyError") from error
            raise

    def _measured_run(self, thread: int) -> _Run:  # noqa: ARG002  (it matters to who records times)
        """Return what one thread does runs of operations with while the clock is on."""
        return self._contender.run

    def _until(self, deadline: float, run: _Run, view: Any, share: Share, position: int) -> int:
        """Do chunk after chunk, round the pass, until the deadline; return the position of the next."""
        chunks = share.chunks
        while not self._crew.cancelled:
            run(view, chunks[position % len(chunks)])
            position += 1
            if perf_counter() >= deadline:
                break
        return position

    def _once_each(self, run: _Run, views: list[Any], share: Share) -> _Leg:
        """Do one pass on each view."""
        chunks = share.chunks
        begin = perf_counter()
        done = 0
        for view in views:
            if self._crew.cancelled:
                break
            for chunk in chunks:
                run(view, chunk)
            done += len(chunks)
        return _Leg(begin, perf_counter(), 0, done)

    def _verify(self, m: Any, done: list[int]) -> None:
        """Compare a map that nobody uses any more with what the threads have done to it."""
        name = self._contender.name
        self._contender.settle(m)
        with self._contender.view(m) as view:
            for key, allowed in expected_state(self._shares, done).items():
                try:
                    found = view[key]
                except KeyError:
                    if allowed:
                        raise SelfCheckError(name, key, "an entry, at the end", "KeyError") from None
                    continue
                if not allowed:
                    raise SelfCheckError(name, key, "no entry, at the end: it was removed", ascii(found))
                if self._contender.by_reference and not any(found is value for value in allowed):
                    raise SelfCheckError(
                        name, key, "the object written last, at the end", f"another {found!a}"
                    )
                if found != key:
                    raise SelfCheckError(name, key, "a value equal to it, at the end", ascii(found))


class _TimedTrial(_Trial):
    """One contender doing a crew's work, each operation timed."""

    def __init__(self, contender: Contender, crew: Crew, shares: list[Share], plan: Plan) -> None:
        super().__init__(contender, crew, shares, plan)
        self._times = [(array("q"), array("q")) for _ in shares]

    def latencies(self) -> Latencies:
        self.sample()
        reads: Counter[int] = Counter()
        writes: Counter[int] = Counter()
        for of_reads, of_writes in self._times:
            reads.update(of_reads)
            writes.update(of_writes)
            del of_reads[:], of_writes[:]
        return Latencies(self._contender.name, self._crew.threads, reads, writes)

    def _measured_run(self, thread: int) -> _Run:
        reads, writes = self._times[thread]
        run = self._contender.run_timed
        return lambda view, runs: run(view, runs, reads, writes)
