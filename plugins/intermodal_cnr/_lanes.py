"""Several logs side by side, each with its own combiners: the *lanes*, and scans over all of them.

Operations that commute go to different lanes, and each lane by itself is a group of replicas as ``nr`` has
it. What is left is to see or change all lanes at one instant.

**A scan that reads** takes a reader slot of each lane of one replica, and then looks whether any lane has
*completed* more than this replica has executed. If not, the scan takes effect at the moment before that look.
Every change that it sees had at least begun by then, and every change that it misses completes only after it.
So none that it misses was over before one that it sees began, and it misses none that was over when the scan
began. (To sample each lane's *completed* by itself, and then to wait, is not enough: a change of the first
lane may be over between the two samples, and a later one of the second be seen.) If a lane has completed more
it tries again, and after some attempts closes the gate.

**A scan that changes** closes the gate that every change passes, brings every lane of every replica up to
date, keeps all readers out, changes all copies, and lets readers in again. So nobody sees it half, on one
lane and not on another, or on one replica and not on another. It is in no log: there is nothing in any log
that it could be ordered against wrongly, since all of it comes before.

May import only core's public names and what ``nr`` replicates with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, final

from intermodal_nr.gate import Gate
from intermodal_nr.group import Group, ReplicaError, choice_of_thread
from intermodal_nr.replica import Replica
from intermodal_nr.states import State

#: How often a scan that reads tries without closing the gate.
ATTEMPTS: Final = 4


#: What a scan that has to be tried again returns.
_AGAIN: Final[object] = object()


@final
class Lanes:
    """The groups of several logs, replica by replica in step.

    Args:
        groups: one for each log, of one replica each.
        copy: returns the states of a new replica, one for each lane, given those of another one.
    """

    def __init__(self, groups: list[Group], copy: Callable[[list[State]], list[State]]) -> None:
        self.groups: Final = groups
        self._copy: Final = copy
        self.gate: Final = Gate()
        self._changing: Final[Any] = threading.Lock()
        for group in groups:
            group.gate = self.gate
            for replica in group.replicas:
                replica.gate = self.gate
        #: Replica by replica, the lanes of each; replaced as a whole.
        self.rows: list[list[Replica]] = self._rows()

    def _rows(self) -> list[list[Replica]]:
        return [
            [group.replicas[index] for group in self.groups] for index in range(len(self.groups[0].replicas))
        ]

    # ---- scans ------------------------------------------------------------------------------------------

    def scan(self, read: Callable[[list[State]], Any]) -> Any:
        """Return ``read(states)``, called with the states of one replica at one instant; perhaps again."""
        for _ in range(ATTEMPTS):
            row = self._row()
            result = self._try_scan(row, read)
            if result is not _AGAIN:
                return result
            for replica in row:
                replica.sync()
        self.gate.close()
        try:
            # Nobody changes anything. What is left is read by the replica's readers, so they stay.
            row = self._row()
            for replica in row:
                replica.sync()
            return read([replica.state for replica in row])
        finally:
            self.gate.open()

    def _row(self) -> list[Replica]:
        rows = self.rows
        return rows[choice_of_thread(len(rows))]

    def _try_scan(self, row: list[Replica], read: Callable[[list[State]], Any]) -> Any:
        taken: list[int] = []
        try:
            for replica in row:
                slot = replica.enter(0, -1)
                if slot < 0:
                    return _AGAIN
                taken.append(int(slot))
            positions = [int(replica.position()) for replica in row]
            if not self._have_completed(positions):
                return _AGAIN
            result = read([replica.state for replica in row])
            # Where the GIL protects, no slot has kept others from changing one lane before the next was read.
            return result if row[0].guarded or self._have_completed(positions) else _AGAIN
        finally:
            for replica, taken_slot in zip(row, taken, strict=False):
                replica.leave(taken_slot)

    def _have_completed(self, positions: list[int]) -> bool:
        """Return whether each lane has completed what is before its position and no more."""
        for group, position in zip(self.groups, positions, strict=True):
            if group.log.completed() > position:
                return False
        return True

    def change(self, change: Callable[[list[State], list[object]], Any]) -> Any:
        """Call ``change(states, dropped)`` with the states of each replica, all at one instant.

        Returns: what the first call returned.
        """
        dropped: list[object] = []
        self.gate.close()
        try:
            seized: list[Replica] = []
            try:
                for group in self.groups:
                    for replica in group.replicas:
                        replica.seize(dropped)
                        seized.append(replica)
                result: Any = None
                for index, row in enumerate(self.rows):
                    outcome = change([replica.state for replica in row], dropped)
                    if index == 0:
                        result = outcome
            finally:
                for replica in seized:
                    replica.release()
        finally:
            self.gate.open()
        dropped.clear()
        return result

    # ---- replicas ---------------------------------------------------------------------------------------

    def add(self) -> int:
        """Add a replica, a copy of the first; return how many there are. Changes wait meanwhile."""
        with self._changing:
            self.gate.close()
            try:
                donors = self.rows[0]
                for replica in donors:
                    replica.sync()
                states = self._copy([replica.state for replica in donors])
                for group, state in zip(self.groups, states, strict=True):
                    group.join(state)
                self.rows = self._rows()
            finally:
                self.gate.open()
            return len(self.groups[0].replicas)

    def remove(self, index: int = -1) -> int:
        """Remove a replica; return how many are left."""
        with self._changing:
            count = len(self.groups[0].replicas)
            if count == 1 or not -count <= index < count:
                raise ReplicaError(f"replica {index} of {count} cannot be removed")
            self.gate.close()
            try:
                for group in self.groups:
                    group.remove(index)
                self.rows = self._rows()
            finally:
                self.gate.open()
            return count - 1

    def sync(self) -> None:
        """Bring every replica up to date, and forget what all have executed."""
        for group in self.groups:
            group.sync()

    def check(self) -> None:
        """Assert the invariants of all logs, with nobody else using them."""
        for group in self.groups:
            group.check()
