"""Recorders: a map that writes down what real threads do to it, as a history for the checkers.

What is recorded must not be ordered wrongly, and should be disturbed little: each thread appends to a list of
its own, and the only thing that threads share is the clock (see :func:`counter`). May import the contract of
maps, and histories.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

from intermodal._absent import ABSENT
from intermodal.maps import ConcurrentMap, sole_argument
from intermodal.testing.histories import History, Operation, Raised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from intermodal.maps import AnyMap
    from intermodal.statistics import MapStatistics


def counter() -> Callable[[], int]:
    """Return a clock for threads: a function that counts its calls, by whatever thread.

    If one call returns before another begins, it returns the lower number. Under the GIL that is so because
    itertools.count takes one step; without, because each step is a sequentially consistent read-modify-write
    of one word (CPython since 3.13, the first such build). The latter says more than the reading of a
    processor's clock would: whatever a thread did before its call is visible to a thread whose call returned
    a higher number, so what came earlier by these ticks could be seen. By a clock, an operation can be over
    while its stores are still on their way to memory, and another thread that missed them would seem wrong.

    Complexity: O(1). Thread-safety: all threads that use it share a cache line.

    >>> tick = counter()
    >>> tick(), tick()
    (0, 1)
    """
    return itertools.count().__next__


class Recorder:
    """Records the operations of any number of threads on one map.

    Args:
        target: the map; what is in it now is the beginning of the history, so nobody may be changing it.
        clock: returns a tick, a higher one to whoever calls after another call has returned; of equal ticks
            the checkers believe that the operations were side by side. ``time.perf_counter_ns`` disturbs the
            threads less than the default, :func:`counter`; but see there.
        thread: returns what names the calling thread; by default threads are numbered as they come.

    Operations that raise are recorded with their exception. An exception that is not an ``Exception``, such
    as KeyboardInterrupt, may have hit the map in the middle: the operation counts as never returned.

    Thread-safety: :attr:`map` may be used by all threads; what :meth:`history` returns is complete when no
    operation is under way, and shows those that are as pending.

    >>> from intermodal import open_map
    >>> recorder = Recorder(open_map("locked"))
    >>> recorder.map.insert("a", 1), recorder.map.get("a")
    (True, 1)
    >>> for operation in recorder.history().operations:
    ...     print(operation)
    insert('a', 1) by thread 0 at ticks 0 to 1: True
    get('a', None) by thread 0 at ticks 2 to 3: 1
    """

    def __init__(
        self,
        target: AnyMap,
        *,
        clock: Callable[[], int] | None = None,
        thread: Callable[[], int | str] | None = None,
    ) -> None:
        #: The map to use in place of *target*; its ``handle()`` records too.
        self.map = RecordedMap(self, target)
        self._initial = dict(target.items())
        self._tick = clock or counter()
        self._name = thread
        self._local = threading.local()
        self._lock = threading.Lock()
        self._logs: list[tuple[int | str, list[list[Any]]]] = []

    def _log(self) -> list[list[Any]]:
        """Return the calling thread's list."""
        try:
            log: list[list[Any]] = self._local.log
        except AttributeError:
            log = self._local.log = []
            with self._lock:
                self._logs.append((self._name() if self._name else len(self._logs), log))
        return log

    def history(self) -> History:
        """Return what was recorded up to now."""
        with self._lock:
            logs = list(self._logs)
        operations = []
        for thread, log in logs:
            for entry in list(log):
                name, key, arguments, callbacks, called, *end = list(entry)
                returned, result = end or (None, Operation.__attrs_attrs__.result.default)
                operations.append(
                    Operation(
                        thread=thread,
                        name=name,
                        key=key,
                        arguments=arguments,
                        called=called,
                        returned=returned,
                        result=result,
                        callbacks=tuple(callbacks),
                    )
                )
        return History(operations, self._initial)


class RecordedMap(ConcurrentMap):
    """Does what another map does and has it recorded; made by :class:`Recorder`.

    Batches are recorded key by key, each key with the ticks of the whole batch.
    """

    def __init__(self, recorder: Recorder, target: AnyMap) -> None:
        self._recorder = recorder
        self._map = target

    def _record(
        self, name: str, key: Any, arguments: tuple[Any, ...], function: Callable[..., Any], *given: Any
    ) -> Any:
        """Return ``function(*given)`` and record it as *name* on *key*, with *arguments*."""
        recorder = self._recorder
        tick = recorder._tick
        entry = [name, key, arguments, (), tick()]
        recorder._log().append(entry)
        try:
            result = function(*given)
        except Exception as error:
            entry += (tick(), Raised.of(error))
            raise
        entry += (tick(), result)
        return result

    def _record_with(
        self, name: str, key: Any, method: Callable[..., Any], given: Callable[..., Any], *before: Any
    ) -> Any:
        """The same for a method that is given a function: record what that sees and returns, too."""
        recorder = self._recorder
        tick = recorder._tick
        callbacks: list[tuple[Any, Any]] = []

        def watched(*seen: Any) -> Any:
            saw = seen[0] if len(seen) == 1 else seen or ABSENT
            try:
                gave = given(*seen)
            except Exception as error:
                callbacks.append((saw, Raised.of(error)))
                raise
            callbacks.append((saw, gave))
            return gave

        entry = [name, key, (), callbacks, tick()]
        recorder._log().append(entry)
        try:
            result = method(*before, watched)
        except Exception as error:
            entry += (tick(), Raised.of(error))
            raise
        entry += (tick(), result)
        return result

    # ---- one key ------------------------------------------------------------------------------------------

    def get(self, key: Any, default: Any = None) -> Any:
        return self._record("get", key, (default,), self._map.get, key, default)

    def __getitem__(self, key: Any) -> Any:
        return self._record("getitem", key, (), self._map.__getitem__, key)

    def __contains__(self, key: object) -> bool:
        found: bool = self._record("contains", key, (), self._map.__contains__, key)
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        self._record("setitem", key, (value,), self._map.__setitem__, key, value)

    def __delitem__(self, key: Any) -> None:
        self._record("delitem", key, (), self._map.__delitem__, key)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        given = () if default is ABSENT else (default,)
        return self._record("pop", key, given, self._map.pop, key, *given)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return self._record("setdefault", key, (default,), self._map.setdefault, key, default)

    def insert(self, key: Any, value: Any) -> bool:
        added: bool = self._record("insert", key, (value,), self._map.insert, key, value)
        return added

    def replace(self, key: Any, value: Any) -> Any:
        return self._record("replace", key, (value,), self._map.replace, key, value)

    def compare_and_set(self, key: Any, expected: Any, desired: Any) -> bool:
        done: bool = self._record(
            "compare_and_set", key, (expected, desired), self._map.compare_and_set, key, expected, desired
        )
        return done

    def compute(self, key: Any, function: Callable[[Any], Any]) -> Any:
        return self._record_with("compute", key, self._map.compute, function, key)

    def get_or_insert_with(self, key: Any, factory: Callable[[], Any]) -> Any:
        return self._record_with("get_or_insert_with", key, self._map.get_or_insert_with, factory, key)

    def remove_if(self, key: Any, predicate: Callable[[Any], object]) -> bool:
        removed: bool = self._record_with("remove_if", key, self._map.remove_if, predicate, key)
        return removed

    # ---- many keys ----------------------------------------------------------------------------------------

    def _record_batch(
        self,
        name: str,
        keys: list[Any],
        arguments: list[tuple[Any, ...]],
        function: Callable[..., Any],
        *given: Any,
    ) -> Any:
        """Return ``function(*given)`` and record it as an operation for each of *keys*."""
        recorder = self._recorder
        called = recorder._tick()
        entries: list[list[Any]] = [
            [name, key, values, (), called] for key, values in zip(keys, arguments, strict=True)
        ]
        recorder._log().extend(entries)
        results = function(*given)  # if it raises, some may have been done: all stay pending
        returned = recorder._tick()
        for index, entry in enumerate(entries):
            entry.extend((returned, None if results is None else results[index]))
        return results

    def get_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        keys = list(keys)
        arguments: list[tuple[Any, ...]] = [(default,)] * len(keys)
        found: list[Any] = self._record_batch("get", keys, arguments, self._map.get_many, keys, default)
        return found

    def set_many(self, keys: Iterable[Any], values: Iterable[Any] | None = None) -> None:
        if values is None:
            self.update(keys)
            return
        keys, values = list(keys), list(values)
        if len(keys) == len(values):
            arguments = [(value,) for value in values]
            self._record_batch("setitem", keys, arguments, self._map.set_many, keys, values)
        else:
            self._map.set_many(keys, values)  # raises

    def pop_many(self, keys: Iterable[Any], default: Any = None) -> list[Any]:
        keys = list(keys)
        arguments: list[tuple[Any, ...]] = [(default,)] * len(keys)
        found: list[Any] = self._record_batch("pop", keys, arguments, self._map.pop_many, keys, default)
        return found

    def update(self, /, *arguments: Any, **entries: Any) -> None:
        other = sole_argument("update()", arguments)
        pairs = [*(other.items() if hasattr(other, "items") else other), *entries.items()]
        keys = [key for key, _ in pairs]
        self._record_batch("setitem", keys, [(value,) for _, value in pairs], self._map.update, pairs)

    def retain(self, predicate: Callable[[Any, Any], object]) -> int:
        removed: int = self._record_with("retain", ABSENT, self._map.retain, predicate)
        return removed

    # ---- the whole map ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        number: int = self._record("len", ABSENT, (), self._map.__len__)
        return number

    def clear(self) -> None:
        self._record("clear", ABSENT, (), self._map.clear)

    def popitem(self) -> tuple[Any, Any]:
        entry: tuple[Any, Any] = self._record("popitem", ABSENT, (), self._map.popitem)
        return entry

    def snapshot(self) -> Mapping[Any, Any]:
        found: list[Mapping[Any, Any]] = []

        def take() -> tuple[tuple[Any, Any], ...]:
            found.append(self._map.snapshot())
            return tuple(found[0].items())

        self._record("snapshot", ABSENT, (), take)
        return found[0]

    def publish(self) -> Any:
        """Make what was written visible, in a map that is asked to."""
        return self._record("publish", ABSENT, (), self._map.publish)

    def publishing_every(self, writes: int = 0) -> Any:
        return self._map.publishing_every(writes)

    # Recorded under the names of BagModel.

    def add(self, key: Any, value: Any) -> None:
        self._record("add", key, (value,), self._map.add, key, value)

    def get_all(self, key: Any) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._record("get_all", key, (), self._map.get_all, key)
        return found

    def remove_value(self, key: Any, value: Any) -> bool:
        removed: bool = self._record("remove", key, (value,), self._map.remove_value, key, value)
        return removed

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        entry = ["iterate", ABSENT, (), (), self._recorder._tick()]
        self._recorder._log().append(entry)
        return self._watch(self._map._iterate(), entry)

    def _watch(self, entries: Iterator[tuple[Any, Any]], record: list[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield *entries*; record each with the tick after it came, and whether it was all of them."""
        tick = self._recorder._tick
        found: list[tuple[Any, Any, int]] = []
        outcome: Any = found
        record[0] = "iterate_part"
        try:
            for key, value in entries:
                found.append((key, value, tick()))
                yield key, value
            record[0] = "iterate"
        except Exception as error:
            outcome = Raised.of(error)
            raise
        finally:
            record += (tick(), tuple(found) if outcome is found else outcome)

    def statistics(self) -> MapStatistics:
        return self._map.statistics()

    # ---- handles ------------------------------------------------------------------------------------------

    def handle(self) -> RecordedMap:
        """Return a recorded handle of the map, for the calling thread."""
        return RecordedMap(self._recorder, self._map.handle())

    def close(self) -> None:
        self._map.close()

    def _check(self) -> None:
        self._map._check()
