"""The deterministic scheduler: runs the real algorithm in every order that matters, and replays one.

>>> def two_increments():
...     from intermodal import atomics
...     from intermodal.memory import Block
...     block = Block(1)
...     def increment():
...         old = atomics.load(block.address, atomics.RELAXED)
...         atomics.store(block.address, old + 1, atomics.RELAXED)
...     yield increment, increment
...     assert atomics.load(block.address, atomics.RELAXED) == 2
>>> import intermodal
>>> if not intermodal.__compiled__:
...     try:
...         explore(two_increments)
...     except InterleavingError as error:
...         assert error.schedule == "A2 B3 A1"

It works on the pure build, where an engine's accesses of shared memory can be seen. ``exploration`` says how
to write a scenario.
"""

from __future__ import annotations

from intermodal.testing.scheduler.execution import StuckError
from intermodal.testing.scheduler.exploration import Exploration, InterleavingError, explore, replay

__all__ = ["Exploration", "InterleavingError", "StuckError", "explore", "replay"]
