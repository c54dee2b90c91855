"""The replicas of one log: who is there, and which of them a thread uses.

Membership changes under a lock that no operation takes. Who uses a replica that is removed is told MOVED and
takes another one. May import only core's public names and this package.
"""

from __future__ import annotations

import threading
from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import mix, thread_token
from intermodal.errors import IntermodalError
from intermodal.log import Log
from intermodal_nr.gate import Gate
from intermodal_nr.replica import SHARED_SLOTS, Copied, Replica
from intermodal_nr.requests import MOVED
from intermodal_nr.states import Raised, State, result_of

#: What a read waits for: everything that was finished before it, what this handle has seen or done, nothing.
LINEARIZABLE: Final = 0
SESSION: Final = 1
STALE: Final = 2
LEVELS: Final = {"linearizable": LINEARIZABLE, "session": SESSION, "stale": STALE}


def choice_of_thread(count: i64) -> i64:
    """Return which of *count* things the calling thread uses that has none of its own: always the same."""
    return (mix(thread_token()) & 0x7FFFFFFF) % count if count > 1 else 0


class ReplicaError(IntermodalError, ValueError):
    """A replica cannot be removed, or there is none of that number."""


@final
class Group:
    """The replicas of one log.

    Args:
        log: the log.
        state: the state at the log's tail, which nobody else has.
        replicas: how many to begin with.
        batch: the most entries that a replica appends at once.
        evict_after: see :class:`intermodal_nr.replica.Replica`.
        checked: the same.
        placement: an :class:`intermodal_nr.placement.Placement`, which makes each replica on its node, and
            says which one is near the thread that wants a handle.
    """

    def __init__(
        self,
        log: Log,
        state: State,
        replicas: int = 1,
        batch: int = 256,
        evict_after: float | None = None,
        checked: bool = False,
        placement: Any = None,
    ) -> None:
        if replicas < 1:
            raise ValueError(f"there must be at least 1 replica; got {replicas}")
        self.log: Final = log
        self._batch: Final = batch
        self._evict_after: Final = evict_after
        self._checked: Final = checked
        self._placement: Final[Any] = placement
        self._changing: Final[Any] = threading.Lock()
        #: What every change passes, where there are scans over several groups.
        self.gate: Gate | None = None
        self._turns: Final[Any] = threading.Lock()
        self._turn = -1
        start = log.tail()
        first = Copied(state, start, log.register(start))
        #: Replaced as a whole when one comes or goes, so that it can be read at any time.
        self.replicas: list[Replica] = [self._made(first)]
        while len(self.replicas) < replicas:
            self.add()

    def _made(self, copied: Copied) -> Replica:
        made = Replica(self.log, copied, self._batch, self._evict_after, self._checked)
        made.gate = self.gate
        return made

    # ---- membership -------------------------------------------------------------------------------------

    def add(self) -> int:
        """Add a replica, a copy of one that is there; return how many there are now.

        Others go on meanwhile, except with the replica that is copied.
        """
        with self._changing:
            number = len(self.replicas)
            made = self._copy() if self._placement is None else self._placement.place(number, self._copy)
            self._have([*self.replicas, made])
            return number + 1

    def join(self, state: State) -> int:
        """Add a replica in *state*, that of the log's tail; nobody appends. Return how many there are."""
        with self._changing:
            position = self.log.tail()
            made = self._made(Copied(state, position, self.log.register(position)))
            self._have([*self.replicas, made])
            return len(self.replicas)

    def _copy(self) -> Replica:
        copied = self._ask_any()
        assert isinstance(copied, Copied)
        return self._made(copied)

    def _ask_any(self) -> object:
        # The one that has got furthest has the least to catch up.
        donor = self.replicas[0]
        for replica in self.replicas:
            if replica.position() > donor.position():
                donor = replica
        return result_of(donor.duplicate())

    def remove(self, index: int = -1) -> int:
        """Remove a replica, the last one unless *index* says another; return how many are left.

        Raises: ReplicaError if it is the only one, or there is none of that number.
        """
        with self._changing:
            replicas = self.replicas[:]
            if len(replicas) == 1:
                raise ReplicaError("the only replica cannot be removed")
            if not -len(replicas) <= index < len(replicas):
                raise ReplicaError(f"there is no replica {index}; there are {len(replicas)}")
            gone = replicas.pop(index)
            self._have(replicas)  # from now on no thread takes it
            gone.retire()
            gone.peers = None
            return len(replicas)

    def _have(self, replicas: list[Replica]) -> None:
        self.replicas = replicas
        for replica in replicas:
            replica.peers = replicas if len(replicas) > 1 else None

    def snapshot(self) -> Copied:
        """Return a copy of the state with its position, which the log does not keep entries for."""
        with self._changing:
            copied = self._ask_any()
            assert isinstance(copied, Copied)
            dropped: list[object] = []
            self.log.deregister(copied.number, dropped)
            return copied

    # ---- operations -------------------------------------------------------------------------------------

    def mine(self) -> Replica:
        """Return the replica that the calling thread uses when it has no handle."""
        replicas = self.replicas
        return replicas[choice_of_thread(len(replicas))]

    def next_replica(self) -> Replica:
        """Return the replica for a new handle: that of its thread's node; without one each in turn."""
        node = -1 if self._placement is None else self._placement.here()
        if node >= 0:
            near = self.replicas
            return near[node % len(near)]
        with self._turns:
            self._turn += 1
            replicas = self.replicas
            return replicas[self._turn % len(replicas)]

    def slot(self) -> i64:
        """Return the reader slot that the calling thread uses when it has no handle."""
        return (mix(thread_token()) >> 20) & (SHARED_SLOTS - 1)

    def write(self, entry: object) -> object:
        """Execute a change on the thread's replica; return its outcome."""
        outcome: object = MOVED
        while outcome is MOVED:
            outcome = self.mine().write(entry)
        return outcome

    def read(self, operation: object, least: i64) -> object:
        """Execute a read on the thread's replica; return its outcome."""
        outcome: object = MOVED
        while outcome is MOVED:
            outcome = self.mine().read(self.slot(), operation, least)
        return outcome

    def sync(self) -> None:
        """Bring every replica up to date with what has been appended until now, and forget those entries."""
        for replica in self.replicas:
            outcome = replica.sync()
            if isinstance(outcome, Raised):
                raise outcome.error
        dropped: list[object] = []
        self.log.trim(dropped)

    def check(self) -> None:
        """Assert the invariants of the log, with nobody else using it."""
        self.sync()
        for replica in self.replicas:
            replica.check_invariants()
            assert replica.position() == self.log.tail() == self.log.completed()


@final
class Port:
    """A thread's way to a group: one replica, a reader slot of its own there, and what it has seen.

    Use by several threads is correct; they then contend for the slot.
    """

    def __init__(self, group: Group) -> None:
        self.group: Final = group
        self.replica: Replica = group.next_replica()
        self.slot: i64 = self.replica.own_slot()
        #: The position of the newest that this port has seen: what SESSION reads wait for.
        self.seen: i64 = 0
        self.closed = False

    def write(self, operation: object) -> object:
        """Execute a change; return its outcome."""
        if self.closed:
            raise ValueError("this handle is closed; make another with handle()")
        entry = self.group.log.encode(operation)
        outcome = self.replica.write(entry)
        while outcome is MOVED:
            self.move()
            outcome = self.replica.write(entry)
        self.seen = self.replica.position()
        return outcome

    def read(self, operation: object, level: int) -> object:
        """Execute a read that waits for what *level* says; return its outcome."""
        if self.closed:
            raise ValueError("this handle is closed; make another with handle()")
        outcome = self.replica.read(self.slot, operation, self._least(level))
        while outcome is MOVED:
            self.move()
            outcome = self.replica.read(self.slot, operation, self._least(level))
        self.seen = self.replica.position()
        return outcome

    def _least(self, level: int) -> i64:
        return -1 if level == LINEARIZABLE else self.seen if level == SESSION else 0

    def move(self) -> None:
        """Change over to another replica: this one has been removed."""
        self.replica = self.group.next_replica()
        self.slot = self.replica.own_slot()

    def close(self) -> None:
        """Give the slot back."""
        if not self.closed:
            self.closed = True
            self.replica.disown(self.slot)

    def __del__(self) -> None:
        self.close()
