"""Schedules as text: who took how many steps, in which order, and which reads got an older value.

``A12 B3 A~1 A4``: A takes twelve steps, B three, A one that reads the value before the newest, then four.

Imports nothing of intermodal.
"""

from __future__ import annotations

import re
from typing import Final

NAMES: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PART: Final = re.compile(r"([A-Z])(\d+|~\d+)\Z")


class Schedule:
    """A sequence of steps, each a thread and the age of the value that it reads.

    >>> Schedule.parse("A2 B1 B~1")
    Schedule('A2 B1 B~1')
    """

    def __init__(self, steps: list[tuple[int, int]] | None = None) -> None:
        #: Of each step the thread's number and the age of what it reads; 0 is the newest.
        self.steps: list[tuple[int, int]] = steps if steps is not None else []

    def step(self, thread: int) -> None:
        """Add a step."""
        self.steps.append((thread, 0))

    def aged(self, age: int) -> None:
        """Say that the last step reads a value of this *age*."""
        self.steps[-1] = (self.steps[-1][0], age)

    def switches(self) -> int:
        """Return how often another thread goes on than the one before."""
        return sum(first[0] != second[0] for first, second in zip(self.steps, self.steps[1:], strict=False))

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Return the schedule that *text* describes.

        Raises: ValueError, with the part that cannot be read.
        """
        steps = []
        for part in text.split():
            match = _PART.match(part)
            if match is None:
                raise ValueError(f"{part!r} is not part of a schedule; one looks like 'A12 B3 A~1 A4'")
            thread = NAMES.index(match[1])
            steps += [(thread, int(match[2][1:]))] if match[2][0] == "~" else [(thread, 0)] * int(match[2])
        return cls(steps)

    def __str__(self) -> str:
        parts: list[str] = []
        count, last = 0, -1
        for thread, age in [*self.steps, (-1, 0)]:
            if count and (thread != last or age):
                parts.append(f"{NAMES[last]}{count}")
                count = 0
            if age:
                parts.append(f"{NAMES[thread]}~{age}")
            else:
                count += 1
            last = thread
        return " ".join(parts)

    def __repr__(self) -> str:
        return f"Schedule({str(self)!r})"
