"""Exhaustive exploration within a bound on preemptions.

A *preemption* takes the baton from a thread that could have gone on. Most errors need one or two (Musuvathi
and Qadeer), and the number of interleavings with at most that many is polynomial in the length of a run.

Of those, only interleavings are run that differ in the order of two conflicting accesses (dynamic
partial-order reduction): whenever a step turns out to conflict with an earlier one of another thread that did
not happen before it, the run is repeated with the later thread going first. Under a bound that alone would
miss interleavings that need one preemption less when the switch comes earlier; so the other thread is also
let in where the block of steps of the first one began.

Sources: Flanagan and Godefroid, Dynamic partial-order reduction for model checking software; Coons, Musuvathi
and McKinley, Bounded partial-order reduction; Musuvathi and Qadeer, Iterative context bounding.

May import only ``execution``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from intermodal.testing.scheduler.execution import (
    BEGIN,
    READ,
    YIELD,
    Execution,
    LogicalThread,
    Strategy,
    following,
)

if TYPE_CHECKING:
    from collections.abc import Hashable


_DIFFERS: Final = (
    "the scenario does not do the same in every run: does it depend on time, addresses, random numbers, "
    "or on what an earlier run has left?"
)


class _Choice:
    """One moment of a run at which the strategy was asked."""

    __slots__ = ("chosen", "current", "done", "enabled", "preemptions", "wanted")

    def __init__(self, enabled: list[int], current: int, preemptions: int, chosen: int) -> None:
        self.enabled, self.current, self.preemptions = enabled, current, preemptions
        self.chosen = chosen
        self.wanted: set[int] = set()
        self.done = {chosen}

    def cost(self, thread: int) -> int:
        """Return the preemptions of the run up to here if *thread* goes on."""
        return self.preemptions + (self.current in self.enabled and thread != self.current)

    def another(self, most: int) -> bool:
        """Choose the next thread that is wanted and that the bound allows; return whether there was one."""
        for thread in sorted(self.wanted - self.done):
            self.done.add(thread)
            if self.cost(thread) <= most:
                self.chosen = thread
                return True
        return False


class _Age:
    """One moment at which a read could get several values."""

    __slots__ = ("ages", "chosen", "older")

    def __init__(self, ages: int, older: int) -> None:
        self.ages, self.chosen = ages, 0
        #: How many reads before this one got an older value.
        self.older = older

    def another(self, most: int) -> bool:
        if self.older < most and self.chosen + 1 < self.ages:
            self.chosen += 1
            return True
        return False


class _Access:
    """One step's access of a location, and of each thread the steps that came before it (a vector clock)."""

    __slots__ = ("clock", "number", "thread", "time")

    def __init__(self, thread: int, clock: dict[int, int], number: int) -> None:
        self.thread, self.time, self.number = thread, clock[thread], number
        self.clock = dict(clock)


class _Accesses:
    """The last accesses of a location: a write, and since then reads, one for each thread."""

    __slots__ = ("reads", "write")

    def __init__(self) -> None:
        self.write: _Access | None = None
        self.reads: dict[int, _Access] = {}


class Exhaustive(Strategy):
    """A depth-first search; one run after another until ``next_run`` returns false.

    Args:
        preemptions: the most in one run.
        older: the most reads in one run that get an older value than the newest.
    """

    def __init__(self, preemptions: int, older: int) -> None:
        self.preemptions: Final = preemptions
        self.older: Final = older
        #: The moments of the current run at which there was something to choose.
        self._stack: list[_Choice | _Age] = []
        self._begin_run()

    def _begin_run(self) -> None:
        self._at = 0
        self._preemptions = self._older = 0
        #: Of each step the choice before it, None if there was none, and where its thread's block began.
        self._steps: list[tuple[int, _Choice | None, int]] = []
        self._chosen: _Choice | None = None
        self.phase_begins()

    def phase_begins(self) -> None:
        self._clocks: dict[int, dict[int, int]] = {}
        self._accesses: dict[Hashable, _Accesses] = {}

    def next_run(self) -> bool:
        """Prepare the next run; return whether there is one."""
        if self._at < len(self._stack):
            raise AssertionError(_DIFFERS)
        while self._stack:
            last = self._stack[-1]
            if last.another(self.preemptions if isinstance(last, _Choice) else self.older):
                self._begin_run()
                return True
            self._stack.pop()
        return False

    # ---- choices ----------------------------------------------------------------------------------------

    def choose(self, execution: Execution, enabled: list[int], current: int) -> int:  # noqa: ARG002
        if self._at < len(self._stack):
            choice = self._stack[self._at]
            if not isinstance(choice, _Choice) or choice.enabled != enabled:
                raise AssertionError(_DIFFERS)
        else:
            chosen = current if current in enabled else following(enabled, current)
            choice = _Choice(enabled, current, self._preemptions, chosen)
            self._stack.append(choice)
        self._at += 1
        self._preemptions = choice.cost(choice.chosen)
        self._chosen = choice
        return choice.chosen

    def choose_age(self, execution: Execution, ages: int) -> int:  # noqa: ARG002
        if self._at < len(self._stack):
            age = self._stack[self._at]
            if not isinstance(age, _Age) or age.ages != ages:
                raise AssertionError(_DIFFERS)
        else:
            age = _Age(ages, self._older)
            self._stack.append(age)
        self._at += 1
        self._older += age.chosen > 0
        return age.chosen

    # ---- conflicts --------------------------------------------------------------------------------------

    def stepped(self, execution: Execution, thread: LogicalThread) -> None:  # noqa: ARG002
        me = thread.index
        number = len(self._steps)
        begins = self._steps[-1][2] if self._steps and self._steps[-1][0] == me else number
        self._steps.append((me, self._chosen, begins))
        self._chosen = None
        clock = self._clocks.setdefault(me, {})
        clock[me] = clock.get(me, 0) + 1
        if thread.kind is BEGIN:
            return
        reads = thread.kind is READ or thread.kind is YIELD
        touched = []
        for location in thread.locations:
            accesses = self._accesses.get(location)
            if accesses is None:
                accesses = self._accesses[location] = _Accesses()
            touched.append(accesses)
            if accesses.write is not None and accesses.write.thread != me:
                self._follow(me, clock, accesses.write)
            if not reads:
                for read in accesses.reads.values():
                    if read.thread != me:
                        self._follow(me, clock, read)
        access = _Access(me, clock, number)
        for accesses in touched:
            if reads:
                accesses.reads[me] = access
            else:
                accesses.write, accesses.reads = access, {}

    def _follow(self, me: int, clock: dict[int, int], earlier: _Access) -> None:
        """Let thread *me* come after *earlier*; if nothing made it, have it tried before it, too."""
        if clock.get(earlier.thread, 0) >= earlier.time:
            return
        self._want(me, earlier.number)
        self._want(me, self._steps[earlier.number][2])
        for thread, time in earlier.clock.items():
            if time > clock.get(thread, 0):
                clock[thread] = time

    def _want(self, thread: int, number: int) -> None:
        """Have runs in which *thread* goes on in the place of step *number*."""
        choice = self._steps[number][1]
        if choice is not None:
            choice.wanted.update((thread,) if thread in choice.enabled else choice.enabled)
