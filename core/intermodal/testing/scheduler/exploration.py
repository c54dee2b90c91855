"""Exploring a scenario: many runs of it, each with another interleaving, until one fails or none is left.

A *scenario* is a generator function without arguments: it makes what is shared, yields one function for each
thread, gets back what they returned, and checks what came out::

    def two_insertions():
        m = SwissMap()
        first, second = yield lambda: m.insert(1, "A"), lambda: m.insert(1, "B")
        assert [first, second].count(True) == 1
        m._check()

It is called once for every run, so it must do the same each time: keys of type int, nothing that depends on
time, addresses or chance. It may yield several times: the phases run one after the other. Whatever it or a
thread raises is a failure; so is a run in which no thread can go on, and one of more than ``most_steps``.

May import only the machines and this package.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

import intermodal
from intermodal import atomics
from intermodal.testing.scheduler.attributes import engine_modules, shared_attributes
from intermodal.testing.scheduler.execution import Abandoned, Execution, Strategy
from intermodal.testing.scheduler.exhaustive import Exhaustive
from intermodal.testing.scheduler.locks import scheduled_locks
from intermodal.testing.scheduler.machine import ScheduledMachine, quiet_machine
from intermodal.testing.scheduler.memory_model import OlderValues
from intermodal.testing.scheduler.sampling import Priorities, RandomWalk, Replay
from intermodal.testing.scheduler.schedule import Schedule
from intermodal.testing.scheduler.trace import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import ModuleType, SimpleNamespace

    Scenario = Callable[[], Generator[Any, Any, Any]]

#: Runs that the search for a shorter failing schedule may take.
_SHRINKING_RUNS: Final = 400


class InterleavingError(AssertionError):
    """A scenario fails in one of its interleavings.

    Attributes:
        schedule: the interleaving, for :func:`replay`.
        error: what the scenario or one of its threads has raised.
    """

    def __init__(self, message: str, schedule: str, error: BaseException) -> None:
        super().__init__(message)
        self.schedule, self.error = schedule, error


@attrs.frozen
class Exploration:
    """What an exploration without a failure has done.

    Attributes:
        runs: how often the scenario was run.
        steps: of all runs together.
        longest: steps of the longest run.
        complete: whether nothing is left within the bounds.
    """

    runs: int
    steps: int
    longest: int
    complete: bool


def explore(
    scenario: Scenario,
    *,
    method: Literal["exhaustive", "random", "pct"] = "exhaustive",
    preemptions: int = 2,
    older: int = 0,
    runs: int | None = None,
    seed: int = 0,
    depth: int = 3,
    most_steps: int = 20_000,
) -> Exploration:
    """Run *scenario* in many interleavings; raise for the first that fails, made as short as possible.

    Args:
        scenario: a generator function; the module's first lines say how it is written.
        method: ``"exhaustive"``: every interleaving within the bounds that differs in the order of two
            conflicting accesses; ``"random"``: a random walk; ``"pct"``: random priorities.
        preemptions: exhaustive: how often the baton may be taken from a thread that could go on.
        older: how many reads of a run may get an older value than the newest, where the memory order allows
            it; with ``random`` and ``pct`` any number if it is not 0.
        runs: the most runs; without it 1,000 for ``random`` and ``pct``, no limit for ``exhaustive``.
        seed: of ``random`` and ``pct``.
        depth: pct: how many events must come in a certain order for the error to show.
        most_steps: steps after which a run counts as a livelock.

    Returns: what was done.

    Raises:
        InterleavingError: a run failed; the message has the error, the interleaving by source lines, and the
            schedule to replay.
        RuntimeError: the compiled build runs, whose accesses cannot be seen.

    Thread-safety: one exploration at a time in a process.
    """
    _check_arguments(method, preemptions, older, runs, depth)
    done = steps = longest = 0
    complete = False
    exhaustive = Exhaustive(preemptions, older)
    random = Random(seed)  # noqa: S311  (to be repeatable)
    most = runs if runs is not None else None if method == "exhaustive" else 1000
    with _exploring():
        modules = engine_modules()
        while most is None or done < most:
            strategy: Strategy = exhaustive
            if method == "random":
                strategy = RandomWalk(random, 0.2 if older else 0.0)
            elif method == "pct":
                strategy = Priorities(random, depth, longest or 100, 0.2 if older else 0.0)
            run = _run(scenario, strategy, modules, older > 0, most_steps)
            done, steps, longest = done + 1, steps + run.steps, max(longest, run.steps)
            if run.error is not None:
                raise _failure(scenario, run, modules, older > 0, most_steps, done) from run.error
            if method == "exhaustive" and not exhaustive.next_run():
                complete = True
                break
    return Exploration(runs=done, steps=steps, longest=longest, complete=complete)


def replay(scenario: Scenario, schedule: str, *, most_steps: int = 20_000) -> str:
    """Run *scenario* once, in the interleaving that *schedule* says.

    Args:
        scenario: as for :func:`explore`.
        schedule: what an InterleavingError has printed.
        most_steps: steps after which the run counts as a livelock.

    Returns: the schedule that the run has followed. It is another one than *schedule* if the code's steps are
        others than they were then, and the run says nothing about that interleaving.

    Raises:
        InterleavingError: the run failed, as it did then.
        ValueError: *schedule* is none.
        RuntimeError: the compiled build runs, whose accesses cannot be seen.

    Thread-safety: one at a time in a process.
    """
    parsed = Schedule.parse(schedule)
    with _exploring():
        modules = engine_modules()
        older = any(age for _, age in parsed.steps)
        run = _run(scenario, Replay(parsed), modules, older, most_steps, traced=True)
        if run.error is not None:
            raise InterleavingError(_message(scenario, run, schedule, 1), schedule, run.error) from run.error
    return str(run.schedule)


def _check_arguments(method: str, preemptions: int, older: int, runs: int | None, depth: int) -> None:
    if method not in ("exhaustive", "random", "pct"):
        raise ValueError(f"method {method!r} is none of 'exhaustive', 'random', 'pct'")
    for name, value, least in (("preemptions", preemptions, 0), ("older", older, 0), ("depth", depth, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
    if runs is not None and runs < 1:
        raise ValueError(f"runs is {runs}; it must be at least 1, or None")


# ---- one run ----------------------------------------------------------------------------------------------


@attrs.define
class _Run:
    """One run: its error if it failed, and its schedule."""

    execution: Execution
    error: BaseException | None

    @property
    def steps(self) -> int:
        return self.execution.steps

    @property
    def schedule(self) -> Schedule:
        return self.execution.schedule


def _run(
    scenario: Scenario,
    strategy: Strategy,
    modules: list[ModuleType],
    weak: bool,
    most_steps: int,
    *,
    traced: bool = False,
) -> _Run:
    execution = Execution(strategy, most_steps, traced=traced)
    older = OlderValues(execution) if weak else None
    error: BaseException | None = None
    machine = ScheduledMachine(execution, older)
    with (
        _machine(quiet_machine),
        scheduled_locks(modules, execution, older),
        shared_attributes(modules, execution, older),
    ):
        phases = scenario()
        try:
            functions = next(phases)
            while True:
                if older is not None:
                    older.begin_phase()
                try:
                    with _machine(machine):
                        results = execution.run(functions if isinstance(functions, tuple) else (functions,))
                except BaseException as raised:
                    if not isinstance(raised, Exception):
                        raise
                    error = raised
                    break
                functions = phases.send(results)
        except StopIteration:
            pass
        except Exception as raised:  # noqa: BLE001  (reported with its interleaving)
            error = raised
        finally:
            phases.close()
    return _Run(execution, error)


@contextmanager
def _machine(machine: ScheduledMachine | SimpleNamespace) -> Iterator[None]:
    behind: Any = atomics
    before = behind._machine
    behind._machine = machine
    try:
        yield
    finally:
        behind._machine = before


@contextmanager
def _exploring() -> Iterator[None]:
    """Keep the cyclic GC, which would take steps at moments of its own, out of the runs."""
    if intermodal.__compiled__:
        raise RuntimeError(
            "the scheduler sees the accesses of the pure build only: start Python with INTERMODAL_PURE=1"
        )
    collecting, hook = gc.isenabled(), sys.unraisablehook
    gc.disable()
    # A run that is given up ends its threads by an exception, also in the middle of destructors.
    sys.unraisablehook = lambda raised: None if raised.exc_type is Abandoned else hook(raised)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        if collecting:
            gc.enable()


# ---- failures ---------------------------------------------------------------------------------------------


def _failure(
    scenario: Scenario, run: _Run, modules: list[ModuleType], weak: bool, most_steps: int, runs: int
) -> InterleavingError:
    """Return the error of the shortest schedule found that fails in the same way."""
    assert run.error is not None

    def fails(schedule: Schedule, *, traced: bool = False) -> _Run | None:
        again = _run(scenario, Replay(schedule), modules, weak, most_steps, traced=traced)
        return again if again.error is not None and type(again.error) is type(run.error) else None

    shortest = _shrink(run.schedule, fails)
    traced = fails(shortest, traced=True)
    if traced is None:  # the scenario depends on something else
        return InterleavingError(
            f"{scenario.__name__} fails, but not again on the same schedule {run.schedule}: {run.error!r}",
            str(run.schedule),
            run.error,
        )
    schedule = str(traced.schedule)
    assert traced.error is not None
    return InterleavingError(_message(scenario, traced, schedule, runs), schedule, traced.error)


def _shrink(schedule: Schedule, fails: Callable[[Schedule], _Run | None]) -> Schedule:
    """Return a schedule that still fails, with fewer switches and newer values."""
    best = schedule
    budget = _SHRINKING_RUNS
    improved = True
    while improved and budget > 0:
        improved = False
        for candidate in _simpler(best):
            budget -= 1
            again = fails(candidate)
            if again is not None and _size(again.schedule) < _size(best):
                best, improved = again.schedule, True
                break
            if budget == 0:
                break
    return best


def _size(schedule: Schedule) -> tuple[int, int, int]:
    return (schedule.switches(), sum(age for _, age in schedule.steps), len(schedule.steps))


def _simpler(schedule: Schedule) -> Iterator[Schedule]:
    """Yield schedules in which a block comes later or not at all, or a read gets the newest value."""
    blocks: list[list[tuple[int, int]]] = []
    for step in schedule.steps:
        if blocks and blocks[-1][0][0] == step[0]:
            blocks[-1].append(step)
        else:
            blocks.append([step])
    for at in range(len(blocks)):
        for to in range(at + 2, len(blocks) + 1):
            moved = [*blocks[:at], *blocks[at + 1 : to], blocks[at], *blocks[to:]]
            yield Schedule([step for block in moved for step in block])
        yield Schedule([step for block in blocks[:at] + blocks[at + 1 :] for step in block])
    for at, (thread, age) in enumerate(schedule.steps):
        if age:
            yield Schedule([*schedule.steps[:at], (thread, 0), *schedule.steps[at + 1 :]])


def _message(scenario: Scenario, run: _Run, schedule: str, runs: int) -> str:
    assert run.execution.trace is not None
    return (
        f"{scenario.__qualname__} fails in run {runs}: {type(run.error).__name__}: {run.error}\n\n"
        f"{draw(run.execution.trace)}\n\n"
        f"To run this interleaving again: replay({scenario.__name__}, {schedule!r})"
    )
