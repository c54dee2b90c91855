"""What came of a benchmark: figures, the machine they hold for, and which contender they speak for.

Plain frozen records that become JSON and come back from it. Prints nothing; measures nothing.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from intermodal.bench.contenders import BASELINE, Contender, Field, gil_enabled
from intermodal.bench.memory import Memory
from intermodal.bench.runner import Latencies, Sample, clock_latency
from intermodal.bench.survey import MixSample, Omission

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from intermodal.bench.runner import Plan
    from intermodal.bench.survey import Finding, Survey

#: What is less than this ahead of dict is not worth leaving dict for.
WORTH_IT: Final = 1.1

#: The parts of the operations whose longest time a report says.
PARTS: Final = (
    0.01,
    0.1,
    0.25,
    0.5,
    0.75,
    0.9,
    0.95,
    0.98,
    0.99,
    0.995,
    0.998,
    0.999,
    0.9995,
    0.9999,
    0.99999,
)

_MEANINGS: Final = {
    "lock_free_reads": "readers never wait for a writer",
    "ordered": "iterates in the order of the keys",
    "multi_value": "keys may have several values",
    "snapshot": "has consistent snapshots",
}


@attrs.frozen
class Machine:
    """Where figures were measured.

    Attributes:
        cpu: the processor's own name.
        cores: how many this process may use.
        system: operating system and architecture.
        python: version and build of the interpreter.
        free_threaded: whether that build can do without the GIL.
        gil_before: whether the GIL was on when measuring began.
        gil_after: whether it was when measuring ended.
        compiled: whether intermodal ran compiled.
        versions: of intermodal and of each contender.
    """

    cpu: str
    cores: int
    system: str
    python: str
    free_threaded: bool
    gil_before: bool
    gil_after: bool
    compiled: bool
    versions: dict[str, str]

    @classmethod
    def here(cls, contenders: Iterable[Contender], *, gil_before: bool) -> Machine:
        """Describe this machine and process, now that the measuring is over."""
        from intermodal import __compiled__, __version__

        return cls(
            cpu=_cpu(),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            system=f"{platform.system()} {platform.machine()}",
            python=f"{platform.python_implementation()} {sys.version.split('[')[0].strip()}",
            free_threaded="free-threading" in sys.version,
            gil_before=gil_before,
            gil_after=gil_enabled(),
            compiled=__compiled__,
            versions={"intermodal": __version__} | {each.name: each.version for each in contenders},
        )

    @property
    def gil(self) -> str:
        """The state of the GIL in words."""
        before, after = ("on" if state else "off" for state in (self.gil_before, self.gil_after))
        return before if before == after else f"{before} at the start, {after} at the end"


@attrs.frozen
class Figure:
    """How fast one contender was with one number of threads.

    Attributes:
        contender: its name.
        threads: how many threads worked at once.
        rates: operations per second of all threads together, round by round.
        ratio: how many times dict's median throughput; None if dict was not measured.
    """

    contender: str
    threads: int
    rates: tuple[float, ...]
    ratio: float | None

    @property
    def rate(self) -> float:
        """Operations per second, the median of the rounds."""
        return statistics.median(self.rates)

    @property
    def spread(self) -> float:
        """How far the best and the worst round are apart, as a part of the median."""
        return (max(self.rates) - min(self.rates)) / self.rate


@attrs.frozen
class MixFigures:
    """How fast the contenders were with so many per cent of writes."""

    writes: int
    figures: tuple[Figure, ...]


@attrs.frozen
class Latency:
    """How long one kind of operation took one contender.

    Attributes:
        contender: its name.
        threads: how many threads worked at once.
        operation: ``read`` or ``write``; a removal is a write.
        count: how many were timed.
        mean: their mean in nanoseconds.
        worst: the longest in nanoseconds.
        quantiles: pairs of a part of the operations and the nanoseconds that no operation of that part
            exceeded; of parts that leave out at least one operation.
    """

    contender: str
    threads: int
    operation: str
    count: int
    mean: float
    worst: int
    quantiles: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, contender: str, threads: int, operation: str, times: Counter[int]) -> Latency:
        """Return the latency of operations of which *times* says how many took how long; at least one."""
        count = times.total()
        return cls(
            contender,
            threads,
            operation,
            count,
            mean=sum(time * often for time, often in times.items()) / count,
            worst=max(times),
            quantiles=tuple(_quantiles(times, count)),
        )


def _quantiles(times: Counter[int], count: int) -> Iterator[tuple[float, int]]:
    # The number of operations that make up a part, whatever rounding does to the product.
    needed = [(part, math.ceil(part * count - 1e-6)) for part in PARTS]
    passed = 0
    for time in sorted(times):
        passed += times[time]
        while needed and needed[0][1] <= min(passed, count - 1):
            yield needed.pop(0)[0], time


@attrs.frozen
class Pick:
    """Which contender the figures speak for, and why, in a sentence or two."""

    name: str
    why: str


@attrs.frozen
class Report:
    """The outcome of a benchmark.

    Attributes:
        machine: where.
        workload: what was done, in words.
        seconds: how long each measurement took.
        rounds: how many rounds were wanted.
        complete: whether all were measured.
        figures: by number of threads, then in the order of the contenders.
        backends: which of the contenders are backends; the others are peers.
        mixes: the same for other shares of writes, if it is the report of a survey.
        latencies: of that workload with the most threads, reads before writes, if it is one of a survey.
        clock: nanoseconds that an operation would seem to take that takes no time; None without latencies.
        memory: what entries take, if it is the report of a survey.
        notes: who was left out and why.
        pick: None if no backend was measured beside dict, or nothing at all.
    """

    machine: Machine
    workload: str
    seconds: float
    rounds: int
    complete: bool
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    pick: Pick | None
    backends: tuple[str, ...] = ()
    mixes: tuple[MixFigures, ...] = ()
    latencies: tuple[Latency, ...] = ()
    clock: int | None = None
    memory: tuple[Memory, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: every field, and of each figure the median and the spread too."""
        plain: dict[str, Any] = attrs.asdict(self)
        of_mixes = zip(self.mixes, plain["mixes"], strict=True)
        groups = [
            (self.figures, plain["figures"]),
            *((mix.figures, each["figures"]) for mix, each in of_mixes),
        ]
        for figures, records in groups:
            for figure, record in zip(figures, records, strict=True):
                record |= {"rate": figure.rate, "spread": figure.spread}
        return plain

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Report:
        """Return the report that ``as_dict`` made *record* of, also if it has been JSON since."""
        own = record | {
            "machine": Machine(**record["machine"]),
            "figures": _figures_from(record["figures"]),
            "notes": tuple(record["notes"]),
            "pick": record["pick"] and Pick(**record["pick"]),
            "backends": tuple(record["backends"]),
            "mixes": tuple(
                MixFigures(each["writes"], _figures_from(each["figures"])) for each in record["mixes"]
            ),
            "latencies": tuple(
                Latency(**each | {"quantiles": tuple((part, time) for part, time in each["quantiles"])})
                for each in record["latencies"]
            ),
            "memory": tuple(Memory(**each) for each in record["memory"]),
        }
        return cls(**own)

    @classmethod
    def of(cls, plan: Plan, field: Field, samples: Sequence[Sample], *, gil_before: bool) -> Report:
        """Return the report of the *samples* that there are; all of the plan's, or fewer."""
        figures = figures_of(samples)
        return cls(
            machine=Machine.here(field.contenders, gil_before=gil_before),
            workload=str(plan.workload),
            seconds=plan.seconds,
            rounds=plan.rounds,
            complete=len(samples) == plan.steps,
            figures=figures,
            notes=field.notes,
            pick=recommend(figures, field.contenders),
            backends=tuple(each.name for each in field.contenders if each.capabilities is not None),
        )

    @classmethod
    def of_survey(
        cls, survey: Survey, field: Field, findings: Sequence[Finding], *, gil_before: bool
    ) -> Report:
        """Return the report of the *findings* that there are; all of the survey's, or fewer."""
        samples = [each for each in findings if isinstance(each, Sample)]
        latencies = latencies_of(each for each in findings if isinstance(each, Latencies))
        omissions = (each.why for each in findings if isinstance(each, Omission))
        return attrs.evolve(
            cls.of(survey.plan, field, samples, gil_before=gil_before),
            complete=sum(map(survey.steps_of, findings)) == survey.steps,
            notes=(*field.notes, *omissions),
            mixes=mixes_of(each for each in findings if isinstance(each, MixSample)),
            latencies=latencies,
            clock=clock_latency() if latencies else None,
            memory=tuple(each for each in findings if isinstance(each, Memory)),
        )


def _figures_from(records: Iterable[dict[str, Any]]) -> tuple[Figure, ...]:
    return tuple(
        Figure(each["contender"], each["threads"], tuple(each["rates"]), each["ratio"]) for each in records
    )


def mixes_of(samples: Iterable[MixSample]) -> tuple[MixFigures, ...]:
    """Return the figures for each share of writes, in the order in which they first appear."""
    by_writes: dict[int, list[Sample]] = {}
    for each in samples:
        by_writes.setdefault(each.writes, []).append(each.sample)
    return tuple(MixFigures(writes, figures_of(each)) for writes, each in by_writes.items())


def latencies_of(rounds: Iterable[Latencies]) -> tuple[Latency, ...]:
    """Return the latencies of all rounds together: those of reads, then those of writes."""
    times: dict[tuple[str, str, int], Counter[int]] = {}
    for each in rounds:
        for operation, counted in (("read", each.reads), ("write", each.writes)):
            times.setdefault((operation, each.contender, each.threads), Counter()).update(counted)
    return tuple(
        Latency.of(contender, threads, kind, counted)
        for kind in ("read", "write")
        for (operation, contender, threads), counted in times.items()
        if operation == kind and counted
    )


def figures_of(samples: Iterable[Sample]) -> tuple[Figure, ...]:
    """Return a figure for each contender and number of threads, in the order in which they first appear."""
    rates: dict[tuple[str, int], list[float]] = {}
    for sample in samples:
        rates.setdefault((sample.contender, sample.threads), []).append(sample.rate)
    medians = {key: statistics.median(each) for key, each in rates.items()}
    return tuple(
        Figure(
            contender,
            threads,
            tuple(each),
            medians[contender, threads] / medians[BASELINE, threads]
            if (BASELINE, threads) in medians
            else None,
        )
        for (contender, threads), each in rates.items()
    )


def recommend(figures: Sequence[Figure], contenders: Sequence[Contender]) -> Pick | None:
    """Return which of dict and the backends to take, going by the largest number of threads measured.

    Peers that are no complete mappings are not picked, but named where they are faster still.
    """
    most = max((figure.threads for figure in figures), default=0)
    at = {figure.contender: figure for figure in figures if figure.threads == most}
    candidates = [each for each in contenders if each.capabilities is not None and each.name in at]
    if not candidates:
        return None
    best = max(candidates, key=lambda each: at[each.name].rate)
    with_threads = f"with {most} thread{'s' * (most > 1)}"
    ratio = at[best.name].ratio
    if ratio is None:
        return Pick(
            best.name, f"It is the fastest of the backends measured {with_threads}. {_promises(best)}"
        )
    if ratio < WORTH_IT:
        ahead, name = 1.0, BASELINE
        why = (
            f"Plain dict is enough: {with_threads} {best.name}, the fastest backend here, has {ratio:.2f} "
            f"times its throughput. Take {best.name} for what dict lacks: updates of a key in one step "
            "(compute, compare_and_set) and iteration beside writers."
        )
    else:
        ahead, name = ratio, best.name
        alone = [
            figure.ratio for figure in figures if figure.contender == name and figure.threads == 1 < most
        ]
        one = f", {alone[0]:.2f} times with 1" if alone and alone[0] is not None else ""
        why = f"It has {ratio:.2f} times dict's throughput {with_threads}{one}. {_promises(best)}"
    for each in contenders:
        peer = at.get(each.name)
        if each.lacks and peer is not None and peer.ratio is not None and peer.ratio > ahead * WORTH_IT:
            why += f" {each.name} is faster ({peer.ratio:.2f}), but lacks {each.lacks}."
    return Pick(name, why)


def _promises(contender: Contender) -> str:
    has = contender.capabilities
    assert has is not None
    promises = [f"operations on a key are {has.points}"]
    promises += [meaning for field, meaning in _MEANINGS.items() if getattr(has, field)]
    text = "; ".join(promises)
    return f"{text[0].upper()}{text[1:]}."


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
