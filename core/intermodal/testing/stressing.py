"""``stress``: threads that use maps of one backend at once for as long as one likes, and check every outcome.

For users on their own machine and for authors of backends. What a backend declares chooses the work, which
``_workloads`` describes. A round is one workload on a new map; rounds take turns until the time is up. May
import the facade and everything below it.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Any, Final

import attrs

from intermodal.errors import OptionError
from intermodal.facade import backends, open_map
from intermodal.testing._workloads import (
    PATIENCE,
    WORKLOADS,
    FoundError,
    Round,
    StoppedError,
    Workload,
    fitting,
)
from intermodal.testing.threads import switching_often

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from intermodal.capabilities import Capabilities

__all__ = [
    "Plan",
    "RoundDone",
    "StressError",
    "StressReport",
    "plan_stress",
    "report_of",
    "run_rounds",
    "stress",
]

# A round is made longer until it takes about this many seconds: long enough for threads to meet, short enough
# for every workload to have its turn.
_ROUND_SECONDS: Final = 0.3
_FIRST_STEPS: Final = 40
_MOST_STEPS: Final = 20_000
_SWITCH_INTERVAL: Final = 1e-5


@attrs.frozen
class Plan:
    """What to do. Made by :func:`plan_stress`.

    Attributes:
        backend: its name, for reports.
        new: makes an empty map.
        capabilities: what the maps promise.
        workloads: those that take turns.
        threads: number of threads in each round.
        seconds: how long, unless the first turn of every workload takes longer.
        seed: of every random choice.
        patience: seconds after which threads count as hanging.
    """

    backend: str
    new: Callable[[], Any]
    capabilities: Capabilities
    workloads: tuple[Workload, ...]
    threads: int
    seconds: float
    seed: int
    patience: float = PATIENCE


@attrs.frozen
class RoundDone:
    """A round without a fault.

    Attributes:
        workload: its name.
        number: of the round, from 1.
        steps: of each thread.
        by_handle: whether threads used handles.
        operations: about how many were carried out.
    """

    workload: str
    number: int
    steps: int
    by_handle: bool
    operations: int


@attrs.frozen
class StressReport:
    """What was done without a fault.

    Attributes:
        backend: name of the backend.
        seed: with which the run can be repeated.
        threads: number of threads in each round.
        seconds: how long it took.
        rounds: how many rounds of each workload were done.
        operations: about how many operations.
    """

    backend: str
    seed: int
    threads: int
    seconds: float
    rounds: dict[str, int]
    operations: int


class StressError(AssertionError):
    """A map did what its backend says it never does.

    Attributes:
        backend, workload, number, seed, threads, steps: which round it was.
        expected, found: what should have been, and what was.
        command: repeats the workload with the same choices; which thread runs when is up to the machine.
    """

    def __init__(
        self, plan: Plan, workload: Workload, round_: Round, number: int, error: BaseException
    ) -> None:
        self.backend, self.workload, self.number = plan.backend, workload.name, number
        self.seed, self.threads, self.steps = plan.seed, plan.threads, round_.steps
        if isinstance(error, FoundError):
            self.what, self.expected, self.found = error.what, repr(error.expected), repr(error.found)
        else:
            self.what, self.expected = "an operation", "no exception"
            self.found = f"{type(error).__name__}: {error}"
        self.command = (
            f"intermodal stress --backend {plan.backend} --workload {workload.name} --threads {plan.threads}"
            f" --seed {plan.seed}"
        )
        views = "a handle for each thread" if round_.by_handle else "one map for all threads"
        super().__init__(
            f"{plan.backend}: workload {workload.name} (round {number}, {plan.threads} threads, {views}, "
            f"{round_.steps} steps, seed {plan.seed}) found a violation of: {workload.summary}\n"
            f"  what:     {self.what}\n  expected: {self.expected}\n  found:    {self.found}\n"
            f"  again:    {self.command}"
        )


def plan_stress(
    backend: str,
    *,
    seconds: float = 10.0,
    threads: int | None = None,
    seed: int | None = None,
    workloads: Sequence[str] | None = None,
    patience: float = PATIENCE,
    **options: Any,
) -> Plan:
    """Return what :func:`stress` with the same arguments does, for callers that want to show progress."""
    if seconds <= 0:
        raise OptionError(f"seconds must be more than 0; got {seconds!r}")
    if threads is None:
        threads = min(max(os.cpu_count() or 1, 3), 16)
    if threads < 1:
        raise OptionError(f"threads must be 1 or more; got {threads!r}")
    open_map(backend, **options)  # complains about a wrong name or option before anything else does
    (capabilities,) = [spec.capabilities for spec in backends() if spec.name == backend]
    assert capabilities is not None, "a backend that opens maps has capabilities"
    return Plan(
        backend,
        lambda: open_map(backend, **options),
        capabilities,
        _choose(backend, capabilities, workloads),
        threads,
        seconds,
        random.SystemRandom().randrange(1 << 32) if seed is None else seed,
        patience,
    )


def _choose(backend: str, capabilities: Capabilities, names: Sequence[str] | None) -> tuple[Workload, ...]:
    suitable = fitting(capabilities)
    if names is None:
        if not suitable:
            raise OptionError(f"no workload fits what backend {backend!r} declares")
        return tuple(suitable)
    chosen = []
    for name in names:
        if name not in WORKLOADS:
            raise OptionError(f"there is no workload {name!r}; workloads are {', '.join(WORKLOADS)}")
        if WORKLOADS[name] not in suitable:
            reasons = "; ".join(capabilities.unmet(WORKLOADS[name].needs))
            raise OptionError(f"workload {name!r} proves nothing about backend {backend!r}: {reasons}")
        chosen.append(WORKLOADS[name])
    return tuple(chosen)


def run_rounds(plan: Plan) -> Iterator[RoundDone]:
    """Carry *plan* out, yielding each round when it is done.

    Raises: StressError, at once, when one is found. The threads of a hanging round are left behind.
    """
    deadline = time.monotonic() + plan.seconds
    steps = dict.fromkeys((each.name for each in plan.workloads), _FIRST_STEPS)
    number = 0
    with switching_often(_SWITCH_INTERVAL):
        while True:
            for workload in plan.workloads:
                if number >= len(plan.workloads) and time.monotonic() >= deadline:
                    return
                number += 1
                began = time.monotonic()
                yield _run_one(plan, workload, number, steps[workload.name])
                if time.monotonic() - began < _ROUND_SECONDS:
                    steps[workload.name] = min(2 * steps[workload.name], _MOST_STEPS)


def _run_one(plan: Plan, workload: Workload, number: int, steps: int) -> RoundDone:
    # The turn of the workload, not the number of the round, makes the choices: the same with it alone.
    turn = (number - 1) // len(plan.workloads)
    round_ = Round(
        plan.new,
        plan.capabilities,
        count=plan.threads,
        steps=steps,
        seed=f"{plan.seed} {workload.name} {turn}",
        by_handle=plan.capabilities.handles and turn % 2 == 0,
        patience=plan.patience,
    )
    try:
        workload.run(round_)
    except (StoppedError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise StressError(plan, workload, round_, number, error) from error
    finally:
        round_.stop()
    return RoundDone(workload.name, number, steps, round_.by_handle, round_.operations)


def report_of(plan: Plan, done: Sequence[RoundDone], seconds: float) -> StressReport:
    """Return the report of the rounds that were done."""
    rounds = dict.fromkeys((each.name for each in plan.workloads), 0)
    for each in done:
        rounds[each.workload] += 1
    operations = sum(each.operations for each in done)
    return StressReport(plan.backend, plan.seed, plan.threads, seconds, rounds, operations)


def stress(
    backend: str,
    *,
    seconds: float = 10.0,
    threads: int | None = None,
    seed: int | None = None,
    workloads: Sequence[str] | None = None,
    patience: float = PATIENCE,
    **options: Any,
) -> StressReport:
    """Let threads use maps of *backend* at once, check every outcome, and return what was done.

    Args:
        backend: name of an installed backend.
        seconds: how long; every workload has one turn even if that takes longer.
        threads: number of threads; as many as there are processors, 3 to 16, if not given.
        seed: an integer that fixes every choice but which thread runs when; made up if not given.
        workloads: names of those to take; all that fit what the backend declares, if not given.
        patience: seconds after which threads that do not end are a violation.
        options: what else ``open_map`` takes.

    Raises:
        StressError: the first outcome that the declared promises exclude.
        BackendNotFound, BackendLoadError, OptionError: as ``open_map``; an unknown or unsuitable workload.

    For one thread at a time, since it sets how often the interpreter changes threads.

    >>> stress("locked", seconds=0.01, threads=2, workloads=["counters"]).rounds["counters"] >= 1
    True
    """
    plan = plan_stress(
        backend,
        seconds=seconds,
        threads=threads,
        seed=seed,
        workloads=workloads,
        patience=patience,
        **options,
    )
    began = time.monotonic()
    done = list(run_rounds(plan))
    return report_of(plan, done, time.monotonic() - began)
