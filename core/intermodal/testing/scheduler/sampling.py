"""Strategies that try some interleavings: at random, by priorities (PCT), or as a schedule says.

Sources: Burckhardt, Kothari, Musuvathi and Nagarakatte, A randomized scheduler with probabilistic guarantees
of finding bugs (PCT).

May import only ``execution`` and ``schedule``.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from intermodal.testing.scheduler.execution import YIELD, Execution, Strategy

if TYPE_CHECKING:
    from intermodal.testing.scheduler.schedule import Schedule


class _Sampling(Strategy):
    """Takes its choices from *random*; reads get an older value, where they may, with probability *older*."""

    def __init__(self, random: Random, older: float) -> None:
        self._random, self._older = random, older

    def choose_age(self, execution: Execution, ages: int) -> int:  # noqa: ARG002
        return self._random.randrange(1, ages) if self._random.random() < self._older else 0


class RandomWalk(_Sampling):
    """Lets another thread go on, any of them, with a probability of *switching* at each step.

    Args:
        random: the source of its choices.
        older: the probability of a read to get an older value where it may.
        switching: the probability of a switch.
    """

    def __init__(self, random: Random, older: float = 0.0, switching: float = 0.1) -> None:
        super().__init__(random, older)
        self._switching = switching

    def choose(self, execution: Execution, enabled: list[int], current: int) -> int:  # noqa: ARG002
        if current in enabled and self._random.random() >= self._switching:
            return current
        return self._random.choice(enabled)


class Priorities(_Sampling):
    """PCT: the thread of highest random priority goes on; at *depth* - 1 random steps it becomes the lowest.

    An error that takes *depth* ordered events is found in one run with probability 1 / (n * k ** (depth - 1))
    or more, for n threads and k steps.

    Args:
        random: the source of its choices.
        depth: ordered events that the errors looked for take.
        steps: about how many steps a run has.
        older: the probability of a read to get an older value where it may.
    """

    def __init__(self, random: Random, depth: int, steps: int, older: float = 0.0) -> None:
        super().__init__(random, older)
        self._changes: Final = {random.randrange(max(steps, 1)) for _ in range(depth - 1)}
        self._priorities: dict[int, float] = {}
        self._lowest = 0.0

    def choose(self, execution: Execution, enabled: list[int], current: int) -> int:
        for index in range(len(execution.threads)):
            self._priorities.setdefault(index, 1 + self._random.random())
        if (current >= 0 and execution.threads[current].kind is YIELD) or execution.steps in self._changes:
            self._lowest -= 1
            self._priorities[current] = self._lowest
        return max(enabled, key=lambda index: self._priorities[index])


class Replay(Strategy):
    """Goes on as *schedule* says; where that cannot be done, and after its end, as long as a thread can.

    Args:
        schedule: the steps.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._steps: Final = schedule.steps

    def choose(self, execution: Execution, enabled: list[int], current: int) -> int:
        at = execution.steps
        if at < len(self._steps):
            wanted = self._steps[at][0]
            if wanted in enabled:
                return wanted
        return super().choose(execution, enabled, current)

    def choose_age(self, execution: Execution, ages: int) -> int:
        at = execution.steps - 1
        wanted = self._steps[at][1] if at < len(self._steps) else 0
        return min(wanted, ages - 1)
