"""Maps that are wrong in one way each, and the test of the conformance kit that must tell."""

from __future__ import annotations

import contextlib
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from helpers.minimal import CAPABILITIES, MANIFOLD, PUBLISHED, ManifoldMap, MinimalMap, PublishedMap
from intermodal import ABSENT
from intermodal.testing.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

#: name -> the subject, and the test that fails: Concept::test, and the case of it.
BROKEN: dict[str, tuple[Subject, str, str]] = {}


def fails(test, case="", **capabilities):
    """Register a class of maps that declares *capabilities* beside the usual ones, and must fail in *test*.

    Of a test with many cases, *case* is the one: what follows the subject in its name.
    """

    def register(made):
        subject = Subject(made.__name__, attrs.evolve(CAPABILITIES, **capabilities), lambda **_: made())
        BROKEN[made.__name__] = subject, test, case
        return made

    return register


@fails("Model::test_every_size_is_reached_and_left_with_the_right_entries", "29")
class LosesAnEntryOnResize(MinimalMap):
    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        done = super()._compare_exchange(key, current, new)
        if len(self._data) == 29 and current is ABSENT:
            del self._data[next(iter(self._data))]
        return done


@fails("Operations::test_a_missing_key_is_the_argument_of_the_key_error", "a-__getitem__")
class RaisesKeyErrorOfTheKeysRepr(MinimalMap):
    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            raise KeyError(repr(key)) from None


@fails("Lifetimes::test_an_overwritten_value_is_dropped")
class KeepsOverwrittenValues(MinimalMap):
    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        vars(self).setdefault("_kept", []).append(current)
        return super()._compare_exchange(key, current, new)


@fails("Lifetimes::test_memory_is_given_back_by_clear")
class KeepsItsTableAfterClear(MinimalMap):
    def clear(self) -> None:
        vars(self).setdefault("_tables", []).append(self._data.copy())
        super().clear()


@fails("Declarations::test_len_is_the_number_of_entries_when_all_is_quiet")
class CountsRemovedEntries(MinimalMap):
    _removed = 0

    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        done = super()._compare_exchange(key, current, new)
        self._removed += done and new is ABSENT
        return done

    def __len__(self) -> int:
        return super().__len__() + self._removed


@fails("Declarations::test_len_does_the_same_work_whatever_the_size")
class CountsOneByOne(MinimalMap):
    def __len__(self) -> int:
        count = 0
        for _ in self._iterate():
            count += 1
        return count


@fails("Iteration::test_iteration_survives_changes_made_meanwhile", iteration="each_once")
class YieldsAKeyTwice(MinimalMap):
    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        entries = list(self._data.items())
        yield from entries
        if self._data.keys() != dict(entries).keys():
            yield from entries[:1]


@fails("Iteration::test_iteration_yields_the_entries_of_one_instant", "items", iteration="snapshot")
class IteratesKeyByKey(MinimalMap):
    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        for key in list(self._data):
            value = self.get(key, ABSENT)
            time.sleep(0)  # another thread's turn
            if value is not ABSENT:
                yield key, value


@fails("Iteration::test_a_snapshot_is_a_mapping_of_one_moment_that_cannot_be_changed", snapshot=True)
class GivesALiveViewForASnapshot(MinimalMap):
    def snapshot(self) -> Any:
        return MappingProxyType(self._data)


@fails(
    "Declarations::test_a_callback_is_called_once_even_if_it_changes_its_own_entry",
    "True-compute",
    callbacks_once=True,
)
class CallsACallbackAgain(MinimalMap):
    pass  # as the contract's compute() does


@fails("Declarations::test_an_atomic_clear_takes_all_entries_at_one_instant")
class ClearsOneByOne(MinimalMap):
    def clear(self) -> None:
        for key in list(self._data):
            self.pop(key, None)
            time.sleep(0)  # another thread's turn


@fails("Threads::test_of_threads_that_race_for_a_key_one_wins", "str-insert")
class ChecksThenActs(MinimalMap):
    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        if self.get(key, ABSENT) is not current:
            return False
        time.sleep(0)  # another thread's turn
        return super()._compare_exchange(key, self.get(key, ABSENT), new)


@fails("Linearizability::test_recorded_histories_are_linearizable", "int")
class ReadsWhatWas(MinimalMap):
    def get(self, key: Any, default: Any = None) -> Any:
        found = super().get(key, default)
        time.sleep(0)
        memory = vars(self).setdefault("_memory", {})
        was = memory.get(key, found)
        memory[key] = found
        return found if threading.current_thread() is threading.main_thread() else was


@fails("HostileKeys::test_a_callback_may_use_the_map_on_other_keys")
class CallsBackUnderALockThatIsNotReentrant(MinimalMap):
    def __init__(self, *data: Any) -> None:
        self._guard = threading.Lock()
        super().__init__(*data)

    def compute(self, key: Any, function: Any) -> Any:
        with self._guard:
            return super().compute(key, function)

    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        with self._guard:
            return super().pop(key, default)


@fails("Interrupts::test_an_interrupt_in_a_callback_leaves_the_map_as_it_was", "compute")
class KeepsItsLockIfInterrupted(MinimalMap):
    def compute(self, key: Any, function: Any) -> Any:
        self._lock.acquire()
        try:
            new = super().compute(key, function)
        except Exception:
            self._lock.release()
            raise
        self._lock.release()
        return new


@fails("Forks::test_a_child_has_a_map_of_its_own", "14")
class KnowsItsProcess(MinimalMap):
    def __init__(self, *data: Any) -> None:
        import os

        self._process = os.getpid()
        super().__init__(*data)

    def get(self, key: Any, default: Any = None) -> Any:
        import os

        return super().get(key, default) if os.getpid() == self._process else default


@fails("Copying::test_a_pickle_holds_the_entries", "2")
class PicklesItsFirstEntryOnly(MinimalMap):
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (), None, None, iter(list(self._iterate())[:1])


@fails("Handles::test_where_there_is_nothing_to_keep_the_handle_is_the_map")
class GivesACopyForAHandle(MinimalMap):
    def handle(self) -> Any:
        return self.copy()


@fails("Operations::test_a_deleted_entry_is_gone")  # whose end is where the kit verifies its map
class IsInvalidAfterARemoval(CountsRemovedEntries):
    def __len__(self) -> int:
        return super().__len__() - self._removed

    def _check(self) -> None:
        assert not self._removed, "an invariant does not hold"


@fails("Declarations::test_everything_that_is_declared_is_tested", shared="processes")
class DeclaresWhatNothingTests(MinimalMap):
    pass


@fails("Declarations::test_iteration_follows_the_order_of_the_keys", "int", ordered=True)
class IsNotInOrder(MinimalMap):
    pass


class TakesEverything(ManifoldMap):
    def _compare_exchange(self, key: Any, current: object, new: object) -> bool:
        return MinimalMap._compare_exchange(self, key, current, new)


BROKEN["TakesEverything"] = (
    attrs.evolve(MANIFOLD, name="TakesEverything", open=lambda **_: TakesEverything()),
    "Declarations::test_what_is_not_of_the_declared_type_is_refused",
    "int64-a",
)


def fails_published(test, case=""):
    """Register a class of published maps with several values for a key, which must fail in *test*."""

    def register(made):
        subject = attrs.evolve(PUBLISHED, name=made.__name__, open=lambda **_: made())
        BROKEN[made.__name__] = subject, test, case
        return made

    return register


@fails_published("Publication::test_no_write_shows_before_it_is_published", "set")
class PublishesBeforeItIsAsked(PublishedMap):
    def _write(self, key: Any, values: tuple[Any, ...]) -> None:
        super()._write(key, values)
        self.publish()


@fails_published("Publication::test_a_write_goes_by_what_is_written")
class PopsAValueTwice(PublishedMap):
    def pop(self, key: Any, default: Any = ABSENT) -> Any:
        shown = self.get(key, ABSENT)
        value = super().pop(key, default)
        return value if shown is ABSENT else shown


@fails_published("Publication::test_a_publication_is_seen_whole_or_not_at_all")
class PublishesKeyByKey(PublishedMap):
    def publish(self) -> None:
        with self._lock:
            for key, values in self._data.items():
                self._published = {**self._published, key: values}
                time.sleep(0)  # another thread's turn
            self._published, self._pending = dict(self._data), 0


@fails_published("Publication::test_blocks_nest_and_the_map_does_afterwards_what_it_did_before")
class ForgetsToPublishAfterwards(PublishedMap):
    def publishing_every(self, writes: int = 0) -> Any:
        self._every = writes
        return contextlib.nullcontext()


@fails_published("Publication::test_what_was_written_shows_when_it_has_been_published")
class PublishesNotEverything(PublishedMap):
    def publish(self) -> None:
        super().publish()
        if self._every == 0:
            self._published.pop(50, None)


@fails_published("MultiValues::test_a_key_has_the_values_that_were_added_less_those_removed")
class HasEqualValuesOnce(PublishedMap):
    def add(self, key: Any, value: Any) -> None:
        if value not in self._data.get(key, ()):
            super().add(key, value)


@fails_published("MultiValues::test_values_are_removed_by_identity_first_and_then_by_equality")
class RemovesTheFirstEqualValue(PublishedMap):
    def remove_value(self, key: Any, value: Any) -> bool:
        values = self._data.get(key, ())
        index = next((at for at, each in enumerate(values) if each == value), None)
        if index is not None:
            self._write(key, values[:index] + values[index + 1 :])
        return index is not None


@fails_published("MultiValues::test_no_value_that_threads_add_is_lost")
class LosesAnAddition(PublishedMap):
    def add(self, key: Any, value: Any) -> None:
        values = self._data.get(key, ())
        time.sleep(0)  # another thread's turn
        self._write(key, (*values, value))


@fails_published("MultiValues::test_copies_have_all_values", "pickle")
class PicklesOneValue(PublishedMap):
    def __reduce__(self) -> Any:
        return type(self), (dict(self._iterate()),)
