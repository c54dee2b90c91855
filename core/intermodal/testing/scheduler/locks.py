"""Locks of ``threading`` whose waiting the scheduler sees: what engines get while a scenario is run.

They have the semantics of the originals, but no wait times out: what only a timeout would end is a lost
wake-up here.

May import only this package.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from intermodal.testing.scheduler.execution import ACQUIRE_LOCK, RELEASE_LOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from intermodal.testing.scheduler.execution import Execution
    from intermodal.testing.scheduler.memory_model import Knowledge, OlderValues


def _or(timeout: float | None) -> str:
    return "" if timeout is None else f" or {timeout} s to pass"


class _Scheduled:
    """What all locks have: the run that they belong to, and what their last holder knew."""

    _execution: Execution
    _older: OlderValues | None

    def __init__(self) -> None:
        self._knowledge: Knowledge = 0, {}

    #: Whether a step that takes and one that gives never compete: none can take what is not yet given.
    _exclusive = False

    def _acquires(self, ready: Callable[[], bool], waits_for: str) -> None:
        locations = [("taken", id(self))]
        if not waits_for or not self._exclusive:
            locations.append(("given", id(self)))
        self._execution.wait_until(ready, waits_for, ACQUIRE_LOCK, *locations)
        if self._older is not None:
            self._older.acquire_view(self._knowledge)

    def _releases(self) -> None:
        self._execution.point(RELEASE_LOCK, ("given", id(self)))
        if self._older is not None:
            self._knowledge = self._older.release_view()
        self._execution.changed(("given", id(self)))

    def _me(self) -> int:
        current = self._execution.current
        return -1 if current is None else current.index


class ScheduledRLock(_Scheduled):
    """``threading.RLock``, and with ``reentrant = False`` ``threading.Lock``."""

    _reentrant = True
    _exclusive = True

    def __init__(self) -> None:
        super().__init__()
        self._owner: int | None = None
        self._depth = 0
        self._execution.keep(self)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: ARG002
        me = self._me()
        if self._reentrant and self._owner == me and self._depth:
            self._depth += 1
            return True
        if blocking:
            self._acquires(lambda: self._depth == 0, f"a lock that {self._holder()} holds")
        else:
            self._acquires(lambda: True, "")
            if self._depth:
                return False
        self._owner, self._depth = me, 1
        return True

    def release(self) -> None:
        if self._depth == 0 or (self._reentrant and self._owner != self._me()):
            raise RuntimeError("cannot release un-acquired lock")
        if self._depth > 1:
            self._depth -= 1
            return
        self._releases()
        self._depth, self._owner = 0, None

    def locked(self) -> bool:
        return self._depth > 0

    def _holder(self) -> str:
        return "another thread" if self._owner != self._me() else "it already"

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.release()


class ScheduledLock(ScheduledRLock):
    """``threading.Lock``."""

    _reentrant = False


class ScheduledCondition(_Scheduled):
    """``threading.Condition``."""

    def __init__(self, lock: Any = None) -> None:
        super().__init__()
        self._lock = lock if lock is not None else type(self).lock_type()
        self.acquire, self.release = self._lock.acquire, self._lock.release
        self._waiting: list[list[bool]] = []
        self._execution.keep(self)

    lock_type: type[ScheduledRLock] = ScheduledRLock

    def __enter__(self) -> bool:
        return bool(self._lock.__enter__())

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(*error)

    def wait(self, timeout: float | None = None) -> bool:
        notified = [False]
        self._waiting.append(notified)
        depth = self._lock._depth
        self._lock._depth = 1
        self._lock.release()
        waits_for = "being notified" + _or(timeout)
        self._acquires(lambda: notified[0], waits_for)
        self._lock.acquire()
        self._lock._depth = depth
        return True

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        result = predicate()
        while not result:
            self.wait(timeout)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        if not self._lock.locked():
            raise RuntimeError("cannot notify on un-acquired lock")
        self._releases()
        for notified in self._waiting[:n]:
            notified[0] = True
        del self._waiting[:n]

    def notify_all(self) -> None:
        self.notify(len(self._waiting))


class ScheduledEvent(_Scheduled):
    """``threading.Event``."""

    def __init__(self) -> None:
        super().__init__()
        self._set = False
        self._execution.keep(self)

    def is_set(self) -> bool:
        self._acquires(lambda: True, "")
        return self._set

    def set(self) -> None:
        self._releases()
        self._set = True

    def clear(self) -> None:
        self._releases()
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        self._acquires(lambda: self._set, "an event to be set" + _or(timeout))
        return self._set


class ScheduledSemaphore(_Scheduled):
    """``threading.Semaphore``."""

    def __init__(self, value: int = 1) -> None:
        super().__init__()
        self._value = value
        self._execution.keep(self)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:  # noqa: ARG002
        self._acquires(
            (lambda: self._value > 0) if blocking else (lambda: True), "a semaphore to be released"
        )
        if self._value == 0:
            return False
        self._value -= 1
        return True

    def release(self, n: int = 1) -> None:
        self._releases()
        self._value += n

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.release()


_REPLACED: Final = {
    "Lock": ScheduledLock,
    "RLock": ScheduledRLock,
    "Condition": ScheduledCondition,
    "Event": ScheduledEvent,
    "Semaphore": ScheduledSemaphore,
}
_ORIGINALS: Final = {name: getattr(threading, name) for name in _REPLACED}


class _Threading:
    """Stands for the module ``threading`` in an engine's namespace."""

    def __init__(self, replaced: dict[str, type]) -> None:
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


@contextmanager
def scheduled_locks(
    modules: list[ModuleType], execution: Execution, older: OlderValues | None
) -> Iterator[None]:
    """Give the modules locks that *execution* schedules, for the duration."""
    made: dict[str, Any] = {
        name: type(base.__name__, (base,), {"_execution": execution, "_older": older})
        for name, base in _REPLACED.items()
    }
    made["Condition"].lock_type = made["RLock"]
    replacements = {id(original): made[name] for name, original in _ORIGINALS.items()}
    replacements[id(threading)] = _Threading(made)
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for module in modules:
            namespace = vars(module)
            for key, value in list(namespace.items()):
                replacement = replacements.get(id(value))
                if replacement is not None:
                    before.append((namespace, key, value))
                    namespace[key] = replacement
        yield
    finally:
        for namespace, key, value in before:
            namespace[key] = value
