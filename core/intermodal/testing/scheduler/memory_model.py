"""Which older values a read may get: an operational model of C11's acquire, release, relaxed and seq_cst.

Every location has the history of its values in this phase of a run. Every thread has a *view*: of each
location the oldest value that it may still read. A write hands on the writer's view if it is a release (or
after a release fence); a read that acquires (or an acquire fence after it) joins it. Sequentially consistent
operations and fences share one more view. So without the fence between a store and a load, the
reader-indicator protocols fail here as they do on processors (store buffering), and a message passed without
acquire and release is seen without what was written before it. Of asymmetric fences a heavy one shares its
view with all, a light one with the heavy ones only.

No object is kept alive by its place in a history: a dead one cannot be read any more.

Not in the model: a write never comes between two older ones of its location, and no read gets a value that is
yet to be written (load buffering).

Sources: Kang, Hur, Lahav, Vafeiadis, Dreyer, A promising semantics for relaxed-memory concurrency (views,
without promises); Lahav, Vafeiadis, Kang, Hur, Dreyer, Repairing sequential consistency in C/C++11.

May import only atomics and ``execution``.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

from intermodal.atomics import ACQ_REL, ACQUIRE, RELAXED, RELEASE, SEQ_CST

if TYPE_CHECKING:
    from collections.abc import Hashable

    from intermodal.testing.scheduler.execution import Execution

#: Of each location the position in its history, at least; 0, the value before the phase, if it is not there.
View = dict["Hashable", int]
#: The view of a thread, and the phase that its positions belong to.
Knowledge = tuple[int, View]


def _join(view: View, other: View | None) -> None:
    if other:
        for location, position in other.items():
            if position > view.get(location, 0):
                view[location] = position


def is_same(old: Any, new: Any) -> bool:
    """Return whether a location that held *old* and now holds *new* has not changed."""
    return new is old or (type(new) is int and type(old) is int and new == old)


class _Mortal(weakref.ref[Any]):
    """Stands in a history for an object that may die."""

    __slots__ = ()


def _remembered(value: Any) -> Any:
    try:
        return _Mortal(value)
    except TypeError:
        return value  # an int, a str: nobody can tell whether it is alive


def _is_dead(remembered: Any) -> bool:
    return isinstance(remembered, _Mortal) and remembered() is None


class _Thread:
    """What one thread knows."""

    def __init__(self) -> None:
        self.view: View = {}
        #: What relaxed reads have got, for a later acquire fence.
        self.unacquired: View = {}
        #: What a release fence has released, for later relaxed writes.
        self.released: View | None = None


class OlderValues:
    """The values that each location has had, and which of them each thread may read.

    Args:
        execution: the run; its strategy chooses the value.
    """

    def __init__(self, execution: Execution) -> None:
        self._execution: Final = execution
        self._phase = 0
        self.begin_phase()

    def begin_phase(self) -> None:
        """Let the threads that begin now know all that has been written: there is nothing older for them."""
        self._phase += 1
        #: Of each location its values, oldest first, each with the view that it hands on.
        self._history: dict[Hashable, list[tuple[Any, View | None]]] = {}
        self._threads: dict[int, _Thread] = {}
        self._sequential: View = {}
        #: What heavy fences share with all, and what light ones have for heavy ones.
        self._heavy: View = {}
        self._light: View = {}

    def _thread(self) -> _Thread:
        current = self._execution.current
        assert current is not None
        thread = self._threads.get(current.index)
        if thread is None:
            thread = self._threads[current.index] = _Thread()
        return thread

    def _oldest(self, thread: _Thread, location: Hashable, order: int) -> int:
        oldest = thread.view.get(location, 0)
        return max(oldest, self._sequential.get(location, 0)) if order == SEQ_CST else oldest

    # ---- accesses of the current thread -----------------------------------------------------------------

    def read(self, location: Hashable, order: int, newest: Any) -> Any:
        """Return what a read of *location* gets: *newest*, or what the strategy chooses."""
        return self.read_one_of([location], order, [newest])[0]

    def read_one_of(self, locations: list[Hashable], order: int, newest: list[Any]) -> list[Any]:
        """Return what reads of *locations* get, of which at most one gets an older value."""
        values = list(newest)
        choices = []
        thread = self._thread()
        for at, location in enumerate(locations):
            history = self._history.get(location)
            if history is not None:
                last = len(history) - 1
                choices += [
                    (at, age)
                    for age in range(1, last - self._oldest(thread, location, order) + 1)
                    if not _is_dead(history[last - age][0])
                ]
        chosen = self._execution.choose_age(len(choices) + 1) if choices else 0
        for at, location in enumerate(locations):
            history = self._history.get(location)
            if history is None:
                continue
            position = len(history) - 1
            if chosen and choices[chosen - 1][0] == at:
                position -= choices[chosen - 1][1]
                value = history[position][0]
                values[at] = value() if isinstance(value, _Mortal) else value
                self._execution.outdated(location)
            self._has_read(thread, location, position, order)
        return values

    def read_newest(self, location: Hashable) -> None:
        """Note a read that acquires and cannot get an older value."""
        history = self._history.get(location)
        if history is not None:
            self._has_read(self._thread(), location, len(history) - 1, ACQUIRE)

    def _has_read(self, thread: _Thread, location: Hashable, position: int, order: int) -> None:
        if position > thread.view.get(location, 0):
            thread.view[location] = position
        handed_on = self._history[location][position][1]
        _join(thread.unacquired if order in (RELAXED, RELEASE) else thread.view, handed_on)

    def write(self, location: Hashable, order: int, old: Any, new: Any) -> None:
        """Note a write."""
        self._append(location, order, old, new, None)

    def update(self, location: Hashable, order: int, old: Any, new: Any) -> None:
        """Note a read of the newest value and a write, in one; only a read if nothing was written."""
        if self._execution.current is None:
            return
        history = self._history.setdefault(location, [(_remembered(old), None)])
        self._has_read(self._thread(), location, len(history) - 1, order)
        if is_same(old, new):
            return
        self._append(location, order, old, new, history[-1][1])  # it continues the release sequence

    def _append(self, location: Hashable, order: int, old: Any, new: Any, continued: View | None) -> None:
        if self._execution.current is None:
            return
        history = self._history.setdefault(location, [(_remembered(old), None)])
        thread = self._thread()
        position = len(history)
        thread.view[location] = position
        if order in (RELEASE, ACQ_REL, SEQ_CST):
            handed_on: View | None = dict(thread.view)
        else:
            handed_on = dict(thread.released) if thread.released is not None else None
        if continued:
            handed_on = handed_on if handed_on is not None else {}
            _join(handed_on, continued)
        history.append((_remembered(new), handed_on))
        if order == SEQ_CST:
            self._sequential[location] = position

    def fence(self, order: int) -> None:
        """Note a fence."""
        if self._execution.current is None:
            return
        thread = self._thread()
        if order != RELEASE:
            _join(thread.view, thread.unacquired)
        if order == SEQ_CST:
            _join(self._sequential, thread.view)
            _join(thread.view, self._sequential)
        if order in (RELEASE, ACQ_REL, SEQ_CST):
            thread.released = dict(thread.view)

    def light_fence(self) -> None:
        """Note the light side of an asymmetric fence."""
        if self._execution.current is None:
            return
        thread = self._thread()
        _join(thread.view, self._heavy)
        _join(self._light, thread.view)

    def heavy_fence(self) -> None:
        """Note the heavy side."""
        if self._execution.current is None:
            return
        thread = self._thread()
        _join(thread.view, self._light)
        self.fence(SEQ_CST)
        _join(self._heavy, thread.view)

    # ---- locks: whoever acquires knows what the one that released knew ----------------------------------

    def release_view(self) -> Knowledge:
        """Return what the current thread knows."""
        return self._phase, dict(self._thread().view) if self._execution.current is not None else {}

    def acquire_view(self, knowledge: Knowledge) -> None:
        """Let the current thread know that."""
        phase, view = knowledge
        if phase == self._phase and self._execution.current is not None:
            _join(self._thread().view, view)
