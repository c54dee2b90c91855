"""One run of a scenario: logical threads of which exactly one goes on at a time, as a strategy says.

Each logical thread is a real one that stops before every access to shared memory, at its *switching point*.
There the strategy is asked which thread takes the next step; if it is another one, the baton is handed over.
So a run has no races left: it is determined by the answers of the strategy, and replaying them replays it.

A *step* is one access and what the thread does without touching shared memory until its next one. Shared are
words, bytes and slots of blocks (``machine``), attributes that change (``attributes``), locks (``locks``).

A thread that spins (``pause``, ``yield_thread``) is not run again before another one has taken a step and
something that it has read since it last spun has changed: a waiting loop is one step in the search, not
infinitely many. When no thread can go on, the run ends with an error that says what each of them waits for.

May import only ``schedule``.
"""

from __future__ import annotations

import _thread
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, NoReturn

from intermodal.testing.scheduler.schedule import NAMES, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

#: Kinds of steps.
READ: Final = "reads"
WRITE: Final = "writes"
ACQUIRE_LOCK: Final = "acquires"
RELEASE_LOCK: Final = "releases"
YIELD: Final = "goes on"
BEGIN: Final = "begins"


class Abandoned(BaseException):
    """Ends a thread of a run that has been given up; never seen by a user."""


class StuckError(AssertionError):
    """No thread can go on: a deadlock, a lost wake-up, or a livelock."""


class LogicalThread:
    """One thread of a scenario, and where it has stopped."""

    def __init__(self, index: int, function: Callable[[], Any]) -> None:
        self.index: Final = index
        self.name: Final = NAMES[index]
        self.function: Final = function
        self.baton: Final = _thread.allocate_lock()
        self.baton.acquire()
        self.result: Any = None
        self.error: BaseException | None = None
        self.finished = False
        #: The step that comes next, once the thread is chosen.
        self.kind = BEGIN
        self.locations: tuple[Hashable, ...] = ()
        #: What it has read since it last spun, each with the number of its changes before.
        self.seen: dict[Hashable, int] = {}
        self.spins = False
        #: Whether the thread may take its next step; None: always.
        self.ready: Callable[[], bool] | None = None
        self.waits_for = ""

    def enabled(self, changes: dict[Hashable, int]) -> bool:
        """Return whether the thread can take its next step now."""
        if self.finished:
            return False
        if self.ready is not None:
            return self.ready()
        if self.spins:
            return any(changes.get(location, 0) != count for location, count in self.seen.items())
        return True


class Strategy:
    """Decides who goes on, and which of several values a read gets; this one goes on as long as it can."""

    def choose(self, execution: Execution, enabled: list[int], current: int) -> int:
        """Return which of the *enabled* threads takes the next step; *current* took the last one, or -1."""
        del execution
        return current if current in enabled else following(enabled, current)

    def choose_age(self, execution: Execution, ages: int) -> int:
        """Return which value a read gets: 0 the newest, up to *ages* - 1 the oldest."""
        del execution, ages
        return 0

    def phase_begins(self) -> None:
        """Learn that the threads of a scenario begin; those before, if any, have all ended."""

    def stepped(self, execution: Execution, thread: LogicalThread) -> None:
        """Learn that *thread* takes the step that it has announced."""


def following(enabled: list[int], current: int) -> int:
    """Return the first of the *enabled* threads after *current*, in a circle."""
    return min(enabled, key=lambda index: (index <= current, index))


class Step:
    """What a traced run remembers of one step."""

    __slots__ = ("frames", "kind", "locations", "thread")

    def __init__(self, thread: int, kind: str, locations: tuple[Hashable, ...], frames: Any) -> None:
        self.thread, self.kind, self.locations, self.frames = thread, kind, locations, frames


class Execution:
    """The threads of one run, and the one of them that has the baton.

    Args:
        strategy: decides.
        most_steps: steps after which the run counts as a livelock.
        traced: whether to remember where in the source each step was taken.
    """

    def __init__(self, strategy: Strategy, most_steps: int, *, traced: bool = False) -> None:
        self.strategy: Final = strategy
        self.most_steps: Final = most_steps
        self.threads: list[LogicalThread] = []
        #: The thread that goes on; None outside the threads, where accesses are no steps.
        self.current: LogicalThread | None = None
        self.last: int = -1
        self.steps = 0
        #: How often each location was changed, for those that spin.
        self.changes: dict[Hashable, int] = {}
        self.schedule: Final = Schedule()
        self.trace: list[Step] | None = [] if traced else None
        self.stuck: StuckError | None = None
        self._abandoned = False
        #: How many changes there had been when no thread could go on, and how often all may spin once more.
        self._chances = (-1, 0)
        self._numbers = 0
        self._kept: dict[int, object] = {}
        self._done: Final = _thread.allocate_lock()
        self._done.acquire()

    # ---- running ----------------------------------------------------------------------------------------

    def run(self, functions: Iterable[Callable[[], Any]]) -> list[Any]:
        """Run *functions*, one logical thread each, to the end; return their results.

        Raises:
            StuckError: no thread could go on.
            BaseException: what the first thread that failed has raised.
        """
        self.threads = [LogicalThread(index, function) for index, function in enumerate(functions)]
        self.last, self.changes = -1, {}
        self.strategy.phase_begins()
        for thread in self.threads:
            _workers.run(lambda thread=thread: self._run_thread(thread))  # type: ignore[misc]
        if self.threads:
            self._resume(self._choose())
            self._done.acquire()
        self.current = None
        for thread in self.threads:
            if thread.error is not None:
                raise thread.error
        if self.stuck is not None:
            raise self.stuck
        return [thread.result for thread in self.threads]

    def _run_thread(self, thread: LogicalThread) -> None:
        thread.baton.acquire()
        try:
            if not self._abandoned:
                self._take(thread)
                thread.result = thread.function()
        except Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001  (raised by run)
            if not self._abandoned:
                thread.error = error
        thread.finished = True
        self._leave()

    def _leave(self) -> None:
        """Hand the baton over for good, or end the run if this was the last thread."""
        if all(thread.finished for thread in self.threads):
            self.current = None
            self._done.release()
            return
        try:
            successor = self._choose()
        except Abandoned:
            successor = next(thread for thread in self.threads if not thread.finished)
        self._resume(successor)

    def _resume(self, thread: LogicalThread) -> None:
        self.current = thread
        thread.baton.release()

    # ---- switching points -------------------------------------------------------------------------------

    def point(self, kind: str, *locations: Hashable) -> None:
        """Be the switching point before an access of the current thread: others may come first."""
        thread = self.current
        if thread is None:
            return
        if self._abandoned:
            raise Abandoned
        thread.kind, thread.locations = kind, locations
        self._wait_for_turn(thread)

    def spin(self) -> None:
        """Be the end of a round of a waiting loop."""
        thread = self.current
        if thread is None:
            return
        if self._abandoned:
            raise Abandoned
        thread.kind, thread.locations = YIELD, tuple(thread.seen)
        thread.spins = True
        self._wait_for_turn(thread)
        thread.spins = False
        thread.seen = {}

    def wait_until(self, ready: Callable[[], bool], waits_for: str, kind: str, *locations: Hashable) -> None:
        """Be the switching point before a step that is possible only when *ready* returns true."""
        thread = self.current
        if thread is None:
            if not ready():
                raise StuckError(f"outside the threads of the scenario nobody can be waited for: {waits_for}")
            return
        thread.ready, thread.waits_for = ready, waits_for
        try:
            self.point(kind, *locations)
        finally:
            thread.ready = None

    def _wait_for_turn(self, thread: LogicalThread) -> None:
        chosen = self._choose()
        if chosen is not thread:
            self._resume(chosen)
            thread.baton.acquire()
            if self._abandoned:
                raise Abandoned
        self._take(thread)

    def _take(self, thread: LogicalThread) -> None:
        """Account for the step that *thread*, which has the baton, takes now."""
        self.last = thread.index
        self.steps += 1
        self.schedule.step(thread.index)
        self.strategy.stepped(self, thread)
        for location in thread.locations:
            thread.seen.setdefault(location, self.changes.get(location, 0))
        if self.trace is not None:
            self.trace.append(Step(thread.index, thread.kind, thread.locations, source_frames()))

    def new_number(self) -> int:
        """Return a number for an object of this run; in the same order in each run of the same schedule."""
        self._numbers += 1
        return self._numbers

    def keep(self, shared: object) -> None:
        """Keep *shared* alive until the run is over, so that its id stays its own."""
        self._kept[id(shared)] = shared

    def changed(self, location: Hashable) -> None:
        """Note that the step just taken has changed *location*: whoever spins on it looks again."""
        self.changes[location] = self.changes.get(location, 0) + 1

    def outdated(self, location: Hashable) -> None:
        """Note that the current thread has read an older value: a newer one is there already."""
        assert self.current is not None
        self.current.seen[location] = -1

    def choose_age(self, ages: int) -> int:
        """Have the strategy choose which of *ages* values the step just taken reads; 0 is the newest."""
        age = self.strategy.choose_age(self, ages)
        if age:
            self.schedule.aged(age)
        return age

    def _choose(self) -> LogicalThread:
        enabled = [thread.index for thread in self.threads if thread.enabled(self.changes)]
        if len(enabled) > 1 and self.last in enabled and self.threads[self.last].spins:
            enabled.remove(self.last)  # whoever spins gives way, even after a change of its own
        if not enabled:
            enabled = self._last_chances()
        if not enabled or self.steps >= self.most_steps:
            self._give_up(enabled)
        if len(enabled) == 1:
            return self.threads[enabled[0]]
        return self.threads[self.strategy.choose(self, enabled, self.last)]

    def _last_chances(self) -> list[int]:
        """Return the threads that spin, if each has not gone round twice since the last change.

        A thread may have left one waiting loop to spin in an outer one, knowing more than at its last round.
        """
        changes = sum(self.changes.values())
        if changes != self._chances[0]:
            self._chances = (changes, 2)
        if self._chances[1] == 0:
            return []
        self._chances = (changes, self._chances[1] - 1)
        spinning = [thread for thread in self.threads if thread.spins and not thread.finished]
        for thread in spinning:
            thread.seen = dict.fromkeys(thread.seen, -1)
        return [thread.index for thread in spinning]

    def _give_up(self, enabled: list[int]) -> NoReturn:
        if not self._abandoned and all(thread.error is None for thread in self.threads):
            self.stuck = StuckError(self._why_stuck(enabled))
        self._abandoned = True
        raise Abandoned

    def _why_stuck(self, enabled: list[int]) -> str:
        if enabled:
            return f"livelock: no end after {self.steps} steps"
        waiting = [thread for thread in self.threads if not thread.finished]
        said = "; ".join(
            f"{thread.name} {'spins' if thread.spins else f'waits for {thread.waits_for}'}"
            for thread in waiting
        )
        if all(thread.spins for thread in waiting):
            return f"livelock: what they have read will not be changed by anybody: {said}"
        if any("notif" in thread.waits_for or "to be set" in thread.waits_for for thread in waiting):
            return f"lost wake-up: nobody is left to give it: {said}"
        return f"deadlock: {said}"


# ---- real threads -----------------------------------------------------------------------------------------


class _Workers:
    """Real threads, kept for the next run: starting one takes longer than most runs."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []

    def run(self, job: Callable[[], None]) -> None:
        worker = self._idle.pop() if self._idle else _Worker(self._idle)
        worker.run(job)


class _Worker:
    def __init__(self, idle: list[_Worker]) -> None:
        self._idle = idle
        self._job: Callable[[], None] | None = None
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        threading.Thread(target=self._work, daemon=True, name="logical thread").start()

    def run(self, job: Callable[[], None]) -> None:
        self._job = job
        self._wake.release()

    def _work(self) -> None:
        while True:
            self._wake.acquire()
            job, self._job = self._job, None
            assert job is not None
            job()
            del job
            self._idle.append(self)


_workers: Final = _Workers()


# ---- where a step is taken --------------------------------------------------------------------------------


def source_frames() -> list[tuple[str, int, str]]:
    """Return file, line and function of the code that takes a step, innermost first."""
    frames: list[tuple[str, int, str]] = []
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("intermodal.testing.scheduler") or name == "threading":
            if frames:
                break  # the thread's own beginning
        elif name not in ("intermodal.atomics", "intermodal.memory"):
            frames.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    return frames
