"""Replicated objects: classes made for a plan, with the methods of the structure and those of replication.

Interpreted: a method is made for each name in the plan, and is one call into compiled code.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import attrs

from intermodal.dispatch import ITSELF, TRY_AGAIN
from intermodal.errors import OptionError
from intermodal_nr.group import LEVELS, Group, Port
from intermodal_nr.placement import Placement
from intermodal_nr.states import PlanState, Raised, result_of
from intermodal_nr.statistics import ReplicationStatistics, of_group

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from intermodal.dispatch import Plan
    from intermodal.plugins import ReplicationRequest


@attrs.frozen
class Snapshot:
    """A copy of the structure.

    Attributes:
        state: the structure, which nobody else has.
        position: how many changes it has seen, from the log's beginning.
    """

    state: Any
    position: int


class Replicated:
    """What every replicated object can do beside its structure's own methods."""

    __slots__ = ("__weakref__", "_group", "_level", "_port")

    _plan: Plan

    def __init__(self, group: Group, level: int, port: Port | None = None) -> None:
        self._group, self._level, self._port = group, level, port

    # ---- operations -------------------------------------------------------------------------------------

    def execute(self, operation: Any, consistency: str | None = None) -> Any:
        """Execute an operation that changes nothing, on this thread's replica; return its result.

        Args:
            operation: what the structure's ``dispatch`` takes; for others (name, arguments, keywords).
            consistency: what it sees; None: what was said when the object was made.
        """
        level = self._level if consistency is None else level_of(consistency)
        port = self._port
        if port is not None:
            outcome = port.read(operation, level)
        else:
            # Without a handle there is no session; what was finished includes what this thread has done.
            outcome = self._group.read(operation, 0 if level == LEVELS["stale"] else -1)
        result = result_of(outcome)
        return self if result is ITSELF else result

    def execute_mut(self, operation: Any) -> Any:
        """Execute an operation that changes the structure, on every replica in turn; return its result."""
        port = self._port
        if port is not None:
            outcome = port.write(operation)
        else:
            outcome = self._group.write(self._group.log.encode(operation))
        result = result_of(outcome)
        return self if result is ITSELF else result

    # ---- replicas ---------------------------------------------------------------------------------------

    def handle(self, consistency: str | None = None) -> Any:
        """Return a view for the calling thread, with a replica and a reader slot of its own. Close it."""
        level = self._level if consistency is None else level_of(consistency)
        return type(self)(self._group, level, Port(self._group))

    def sync(self) -> None:
        """Bring every replica up to date, and let go of what only their lag has kept."""
        self._group.sync()

    def snapshot(self) -> Snapshot:
        """Return a copy of the structure of one moment, and the position in the log that it has."""
        copied = self._group.snapshot()
        assert isinstance(copied.state, PlanState)
        return Snapshot(copied.state.structure, copied.position)

    def checkpoint(self) -> int:
        """Save a snapshot with the log, which then forgets what came before it; return its position.

        Raises: LogError if the log is one that saves nothing.
        """
        taken = self.snapshot()
        self._group.log.save(taken.state, taken.position)
        return taken.position

    def statistics(self) -> ReplicationStatistics:
        """Return a frozen record of replicas and log."""
        return of_group(self._group)

    def add_replica(self) -> int:
        """Add a replica while others use the object; return how many there are."""
        return self._group.add()

    def remove_replica(self, index: int = -1) -> int:
        """Remove a replica while others use the object; return how many are left."""
        return self._group.remove(index)

    def close(self) -> None:
        """Give up a handle; of the object itself, the log's files or connections."""
        if self._port is not None:
            self._port.close()
        else:
            self._group.log.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        """Raise AssertionError if an invariant does not hold. For an object that nobody else uses."""
        self._group.check()


def level_of(consistency: str) -> int:
    if consistency not in LEVELS:
        raise OptionError(f"consistency is one of {', '.join(map(repr, LEVELS))}; got {consistency!r}")
    return LEVELS[consistency]


def _plain(value: Any) -> Any:
    return value.snapshot().state if isinstance(value, Replicated) else value


def _reader(name: str) -> Callable[..., Any]:
    def method(self: Replicated, *arguments: Any, **keywords: Any) -> Any:
        if arguments and isinstance(arguments[0], Replicated):
            arguments = tuple(map(_plain, arguments))
        return self.execute((name, arguments, keywords))

    method.__name__ = name
    return method


def _writer(name: str, normal: Callable[..., tuple[Any, ...]] | None) -> Callable[..., Any]:
    def method(self: Replicated, *arguments: Any, **keywords: Any) -> Any:
        if normal is not None:
            arguments, keywords = normal(*map(_plain, arguments), **keywords), {}
        return self.execute_mut((name, arguments, keywords))

    method.__name__ = name
    return method


def _pop_from_set(self: Replicated) -> Any:
    """Remove an element that one replica proposes: no two need have the same order."""
    result = TRY_AGAIN
    while result is TRY_AGAIN:
        choice = self.execute(("_any", (), {}))
        result = self.execute_mut(("_pop", (choice,), {}))
    return result


_RESERVED: Final = frozenset(
    name for name in vars(Replicated) if not name.startswith("__") and name not in ("_plan", "_port")
)


@functools.lru_cache(maxsize=256)
def _class_of(
    name: str, reads: tuple[str, ...], writes: tuple[str, ...], properties: frozenset[str], normal: Any
) -> type[Replicated]:
    taken = _RESERVED & {*reads, *writes}
    if taken:
        raise OptionError(
            f"{name} has methods that every replicated object has: {', '.join(sorted(taken))}; rename them, "
            "or derive the structure from Dispatch"
        )
    members: dict[str, Any] = {"__slots__": (), "__doc__": f"A replicated {name}."}
    normals = dict(normal)
    for each in reads:
        method = _reader(each)
        members[each] = property(method) if each in properties else method
    for each in writes:
        members[each] = _writer(each, normals.get(each))
    if "_pop" in writes:
        members["pop"] = _pop_from_set
        members = {key: each for key, each in members.items() if key not in ("_pop", "_any")}
    if "__eq__" in members:
        members["__hash__"] = None
    return type(f"Replicated[{name}]", (Replicated,), members)


def class_of(plan: Plan) -> type[Replicated]:
    """Return the class of objects with the methods of *plan*.

    Raises: OptionError if one has the name of a method of replication.
    """
    return _class_of(
        plan.name, tuple(plan.reads), tuple(plan.writes), plan.properties, tuple(plan.normal.items())
    )


def first_state(plan: Plan, snapshot: tuple[Any, ...], operations: Any) -> PlanState:
    """Return the state to begin with: made, or recovered from what a log had."""
    structure = snapshot[0] if snapshot else plan.make()
    state = PlanState(structure, plan.copy, dict(plan.reads), dict(plan.writes))
    dropped: list[object] = []
    for operation in operations:
        outcome = state.apply(operation, dropped)
        if isinstance(outcome, Raised) and not isinstance(outcome.error, Exception):
            raise outcome.error  # an interruption; an ordinary exception was this operation's result then too
        dropped.clear()
    return state


def open_replicated(request: ReplicationRequest) -> Replicated:
    """Return the replicated object that is asked for."""
    options = request.options
    kind = class_of(request.plan)
    placement = Placement.named(options["place"])
    opened = request.open_log()
    group = Group(
        opened.log,
        placement.place(0, lambda: first_state(request.plan, opened.snapshot, opened.operations)),
        request.replicas or placement.default_replicas(),
        options["batch"],
        options["evict_after"],
        options["checked"],
        placement,
    )
    return kind(group, LEVELS[request.consistency])
