"""The ``cnr`` map: its entries spread over several replicated dicts by the hashes of keys, each with its log.

An operation on one key is one of its lane. Those on all entries are scans: see ``_lanes``. May
import only core's public names, the public modules of intermodal_nr, and this package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, cast, final

from mypy_extensions import i64, mypyc_attr

from intermodal import ABSENT
from intermodal.atomics import fast_range, hash_object, mix
from intermodal.dispatch import ALL_LOGS, LogMapper
from intermodal.maps import sole_argument, unusable
from intermodal_cnr._lanes import Lanes
from intermodal_nr.group import Group
from intermodal_nr.map import DictView, NrView
from intermodal_nr.map_state import CLEAR, RETRY, SNAPSHOT, Change, MapState, Snapshot
from intermodal_nr.memory_log import MemoryLog
from intermodal_nr.states import State, result_of
from intermodal_nr.statistics import ReplicatedMapStatistics, of_group

_ABSENT: Final[object] = ABSENT


def _copy(states: list[State]) -> list[State]:
    return [state.copy() for state in states]


def new_lanes(
    logs: int, replicas: int, capacity: int, batch: int, checked: bool, mapper: LogMapper | None
) -> CnrState:
    """Return the lanes of an empty map."""
    groups = [Group(MemoryLog(capacity), MapState({}, {}, 0), 1, batch, None, checked) for _ in range(logs)]
    shared = CnrState(groups, mapper)
    while len(shared.lanes.rows) < replicas:
        shared.lanes.add()
    return shared


@final
class CnrState:
    """What all views of one map share."""

    def __init__(self, groups: list[Group], mapper: LogMapper | None) -> None:
        self.lanes: Final = Lanes(groups, _copy)
        self.count: Final[i64] = len(groups)
        self.mapper: Final = mapper


def _lengths(states: list[State]) -> int:
    total = 0
    for state in states:
        total += len(cast("MapState", state).data)
    return total


def _copies(states: list[State]) -> list[Snapshot]:
    return [cast("Snapshot", result_of(state.query(SNAPSHOT))) for state in states]


def _clear(states: list[State], dropped: list[object]) -> None:
    change = Change(CLEAR, None, None, None)
    for state in states:
        dropped.append(result_of(state.apply(change, dropped)))


@mypyc_attr(allow_interpreted_subclasses=True)
class CnrView(DictView):
    """Dicts side by side, each replicated by a log of its own; a key's hash says which one has it.

    Args:
        data: a mapping or an iterable of pairs to start with.
        entries: keyword arguments, more entries.

    It promises what ``nr`` does. Changes of keys in different lanes never wait for each other, not even at
    one replica. ``len``, ``clear``, ``snapshot``, iteration and ``popitem`` of an empty map look at all lanes
    at one instant; ``clear`` stops all changes for a moment. Order is that of the lanes, and within a lane
    that in which keys were added.

    >>> from intermodal_cnr import CnrMap
    >>> m = CnrMap({"a": 1}, b=2)
    >>> m.compute("a", lambda old: old + 1), m.pop("b"), m
    (2, 2, {'a': 2})
    """

    _shared: CnrState | None = None
    _lanes: list[NrView] | None = None
    _closed: bool = False

    def __init__(self, /, *data: Any, **entries: Any) -> None:
        if data and isinstance(data[0], CnrState):  # a view of an existing map: with_options(), handle()
            if self._shared is None:
                self._use(data[0])
            return
        if self._shared is None:  # a second call, like dict's, only updates
            self._use(new_lanes(4, 1, 4096, 256, False, None))
        self.update(sole_argument(type(self).__name__, data), **entries)

    def _use(self, shared: CnrState) -> None:
        self._shared = shared
        self._lanes = [NrView(group) for group in shared.lanes.groups]

    def _all(self) -> Lanes:
        shared = self._shared
        if self._closed or shared is None:
            raise unusable(self, self._closed)
        return shared.lanes

    def _lane(self, key: object, key_hash: i64) -> NrView:
        shared = self._shared
        lanes = self._lanes
        if shared is None or lanes is None:
            self._all()
            raise AssertionError
        mapper = shared.mapper
        if mapper is None:
            return lanes[fast_range(mix(key_hash), shared.count)]
        index = mapper.log_of(key, int(shared.count))
        if not isinstance(index, int) or index == ALL_LOGS or not 0 <= index < shared.count:
            raise ValueError(
                f"the mapper puts {key!r} into log {index!r}; an operation on a key has one, from 0 to "
                f"{shared.count - 1}"
            )
        return lanes[index]

    # ---- entries ----------------------------------------------------------------------------------------

    def _find(self, key: object) -> object:
        key_hash = hash_object(key)
        lane = self._lane(key, key_hash)
        value = lane.find_plain(key)
        return lane.locate(key, key_hash)[2] if value is RETRY else value

    def _change(self, key: object, condition: int, expected: object, new: object) -> object:
        key_hash = hash_object(key)
        lane = self._lane(key, key_hash)
        outcome = lane.change_plain(key, condition, expected, new)
        if outcome is RETRY:
            return lane.change_located(key, key_hash, condition, expected, new)
        return outcome

    def popitem(self) -> tuple[Any, Any]:
        """Remove the entry added last to some lane and return it; KeyError if the map is empty."""
        while True:
            self._all()
            for lane in self._lanes or []:
                entry = lane.pop_last()
                if entry is not None:
                    return entry
            if len(self) == 0:  # at one instant: one lane after the other shows nothing
                raise KeyError("popitem(): map is empty")

    # ---- the whole map ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return cast("int", self._all().scan(_lengths))

    def _entries(self) -> list[tuple[Any, Any]]:
        entries: list[tuple[Any, Any]] = []
        for taken in cast("list[Snapshot]", self._all().scan(_copies)):
            entries.extend(taken.items())
        return entries

    def _iterate(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._entries())

    def snapshot(self) -> Mapping[Any, Any]:
        """Return a read-only mapping of the entries of one moment. O(n)."""
        return MappingProxyType(dict(self._entries()))

    def clear(self) -> None:
        """Remove every entry, in one step; all changes wait meanwhile."""
        self._all().change(_clear)

    def statistics(self) -> ReplicatedMapStatistics:
        """Return a frozen record of the map, its logs and replicas."""
        groups = self._all().groups
        return ReplicatedMapStatistics(
            entries=len(self), replication=tuple([of_group(group) for group in groups])
        )

    def __sizeof__(self) -> int:
        size = object.__sizeof__(self)
        for row in self._all().rows:
            for replica in row:
                size += sys.getsizeof(cast("MapState", replica.state).data)
        return size

    # ---- replicas and handles ---------------------------------------------------------------------------

    def sync(self) -> None:
        """Bring every replica up to date, and let go of what only their lag has kept."""
        self._all().sync()

    def add_replica(self) -> int:
        """Add a replica; changes wait meanwhile. Return how many there are."""
        return self._all().add()

    def remove_replica(self, index: int = -1) -> int:
        """Remove a replica; changes wait meanwhile. Return how many are left."""
        return self._all().remove(index)

    def handle(self, consistency: str = "linearizable") -> CnrView:
        """Return a view of this map for the calling thread; see ``nr``. Scans are linearizable always."""
        self._all()
        handle = CnrHandle(self._shared)
        handle._lanes = [lane.handle(consistency) for lane in self._lanes or []]
        return handle

    def _check(self) -> None:
        lanes = self._all()
        lanes.check()
        for group in lanes.groups:
            NrView(group)._check()


@final
class CnrHandle(CnrView):
    """A view of a map for the thread that made it."""

    def close(self) -> None:
        """Let go of the map. Any later use raises ValueError."""
        lanes = self._lanes
        self._closed = True
        self._shared = None
        self._lanes = None
        for lane in lanes or []:
            lane.close()
