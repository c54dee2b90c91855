"""More than one workload: everything that a report draws, measured one after the other.

1. The workload that was asked for, with each number of threads: what ``intermodal bench`` prints.
2. Its latencies, with the largest number of threads.
3. The memory of an entry, in maps of several sizes.
4. The same keys with other shares of writes, with each number of threads.

The most useful comes first, since a run may be interrupted: whoever iterates keeps what has been yielded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from intermodal.bench import memory, runner
from intermodal.bench.memory import Memory
from intermodal.bench.runner import Latencies, Plan, Sample
from intermodal.bench.workloads import BenchmarkError, write_mix

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The shares of writes that published figures of replicated and of lock-free maps are drawn for.
WRITES: Final = (0, 10, 80, 100)

#: Numbers of entries far enough apart to show what a map takes just before and just after it has grown.
ENTRIES: Final = (10_000, 30_000, 100_000, 300_000, 1_000_000)


@attrs.frozen
class MixSample:
    """A measurement of the workload with so many per cent of writes."""

    writes: int
    sample: Sample


@attrs.frozen
class Omission:
    """A measurement that could not be made, and why."""

    why: str


Finding: TypeAlias = Sample | Latencies | Memory | Omission | MixSample


@attrs.frozen
class Survey:
    """What to measure for a report.

    Attributes:
        plan: who does what, by how many threads, how often and how long.
        writes: the shares of writes, in per cent.
        entries: the numbers of entries for which memory is measured.
    """

    plan: Plan
    writes: tuple[int, ...] = WRITES
    entries: tuple[int, ...] = ENTRIES

    def __attrs_post_init__(self) -> None:
        if not self.writes:
            raise BenchmarkError("a report has at least one share of writes; got none")
        for percent in self.writes:
            write_mix(percent)
        memory.check_sizes(self.entries)

    @property
    def steps(self) -> int:
        """The number of findings there will be, an omission counted as what it stands for."""
        return (
            self.plan.steps * (1 + len(self.writes))
            + self.latency_plan().steps
            + len(self.plan.contenders) * len(set(self.entries))
        )

    def steps_of(self, finding: Finding) -> int:
        """Return how many of the steps are done with that finding."""
        return len(set(self.entries)) if isinstance(finding, Omission) else 1

    def latency_plan(self) -> Plan:
        """Return the plan for latencies: the largest number of threads only."""
        return attrs.evolve(self.plan, threads=(max(self.plan.threads),))

    def mix_plan(self, writes: int) -> Plan:
        """Return the plan with so many per cent of writes."""
        return attrs.evolve(self.plan, workload=self.plan.workload.with_mix(write_mix(writes)))


def findings(survey: Survey) -> Iterator[Finding]:
    """Yield what is measured, a measurement at a time.

    Raises: SelfCheckError at the first wrong result.
    """
    yield from runner.measure(survey.plan)
    yield from runner.measure_latencies(survey.latency_plan())
    for contender in survey.plan.contenders:
        try:
            yield from memory.measure_memory(contender, survey.entries)
        except BenchmarkError as error:
            yield Omission(str(error))
    for writes in survey.writes:
        for sample in runner.measure(survey.mix_plan(writes)):
            yield MixSample(writes, sample)
