"""A ConcurrentDispatch replicated over several logs.

Interpreted, as ``intermodal_nr.objects``, from which its class derives. May import core's public names, this
package, and the public modules of ``intermodal_nr``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from intermodal.dispatch import ALL_LOGS, LogMapper
from intermodal.errors import OptionError
from intermodal_cnr._lanes import Lanes
from intermodal_nr.group import Group, Port
from intermodal_nr.objects import Replicated, Snapshot, level_of
from intermodal_nr.placement import Placement
from intermodal_nr.states import PlanState, State, result_of
from intermodal_nr.statistics import ReplicationStatistics, of_group

if TYPE_CHECKING:
    from intermodal.plugins import ReplicationRequest


class OneLog(LogMapper):
    """Sends everything to one log: then no two changes run at once."""

    def log_of(self, operation: Any, logs: int) -> int:  # noqa: ARG002
        return 0


class ConcurrentReplicated(Replicated):
    """A replicated ConcurrentDispatch."""

    __slots__ = ("_lanes", "_mapper", "_ports")

    def __init__(self, lanes: Lanes, mapper: LogMapper, level: int, ports: list[Port] | None = None) -> None:
        self._lanes: Final = lanes
        self._mapper: Final = mapper
        self._level: int = level
        self._ports: Final = ports

    def _log_of(self, operation: Any) -> int:
        logs = len(self._lanes.groups)
        index = self._mapper.log_of(operation, logs)
        if not isinstance(index, int) or not (index == ALL_LOGS or 0 <= index < logs):
            raise OptionError(
                f"the mapper puts {operation!r} into log {index!r}; it must be a number from 0 to "
                f"{logs - 1}, or ALL_LOGS"
            )
        return 0 if index == ALL_LOGS and logs == 1 else index

    def execute(self, operation: Any, consistency: str | None = None) -> Any:
        level = self._level if consistency is None else level_of(consistency)
        index = self._log_of(operation)
        if index == ALL_LOGS:
            return result_of(self._lanes.scan(lambda states: states[0].query(operation)))
        if self._ports is not None:
            return result_of(self._ports[index].read(operation, level))
        return result_of(self._lanes.groups[index].read(operation, 0 if level == level_of("stale") else -1))

    def execute_mut(self, operation: Any) -> Any:
        index = self._log_of(operation)
        if index == ALL_LOGS:
            return result_of(self._lanes.change(lambda states, dropped: states[0].apply(operation, dropped)))
        if self._ports is not None:
            return result_of(self._ports[index].write(operation))
        group = self._lanes.groups[index]
        return result_of(group.write(group.log.encode(operation)))

    def handle(self, consistency: str | None = None) -> Any:
        level = self._level if consistency is None else level_of(consistency)
        return type(self)(self._lanes, self._mapper, level, [Port(group) for group in self._lanes.groups])

    def sync(self) -> None:
        self._lanes.sync()

    def snapshot(self) -> Snapshot:
        """Return a copy of the structure of one moment; its position is the sum of those in the logs."""
        lanes = self._lanes

        def copy(states: list[State]) -> Any:
            copied = states[0].copy()
            assert isinstance(copied, PlanState)
            return copied.structure

        positions: list[int] = []

        def taken(states: list[State]) -> Any:
            positions[:] = [group.log.completed() for group in lanes.groups]
            return copy(states)

        state = lanes.scan(taken)
        return Snapshot(state, sum(positions))

    def checkpoint(self) -> int:
        raise OptionError("several logs save no snapshots")

    def statistics(self) -> Any:
        """Return a tuple with the record of each log and its replicas."""
        found: tuple[ReplicationStatistics, ...] = tuple(of_group(group) for group in self._lanes.groups)
        return found

    def add_replica(self) -> int:
        return self._lanes.add()

    def remove_replica(self, index: int = -1) -> int:
        return self._lanes.remove(index)

    def close(self) -> None:
        for port in self._ports or ():
            port.close()

    def _check(self) -> None:
        self._lanes.check()


def open_replicated(request: ReplicationRequest) -> ConcurrentReplicated:
    """Return the replicated object that is asked for."""
    plan, options = request.plan, request.options
    if request.logs > 1 and request.mapper is None:
        raise OptionError("several logs want a mapper, which says which one an operation belongs to")

    def states_of(structure: Any) -> list[State]:
        return [PlanState(structure, plan.copy, {}, {}, True) for _ in range(request.logs)]

    def copy(states: list[State]) -> list[State]:
        first = states[0]
        assert isinstance(first, PlanState)
        return states_of(plan.copy(first.structure))

    groups = []
    for state in states_of(plan.make()):
        opened = request.open_log()
        if opened.snapshot or opened.operations:
            raise OptionError("several logs can only be in memory, and empty")
        groups.append(Group(opened.log, state, 1, options["batch"], None, options["checked"]))
    lanes = Lanes(groups, copy)
    replicas = request.replicas or Placement.named("numa").default_replicas()
    while len(lanes.rows) < replicas:
        lanes.add()
    return ConcurrentReplicated(lanes, request.mapper or OneLog(), level_of(request.consistency))
