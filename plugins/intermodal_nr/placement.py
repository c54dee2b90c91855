"""Where replicas live: one for each NUMA node of the machine, whose memory is first touched there.

The topology is read from ``/sys``; tests give another root. May import only errors.
"""

from __future__ import annotations

import functools
import os
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from intermodal.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

SYSTEM: Final = Path("/sys/devices/system/node")


def numbers_in(text: str) -> frozenset[int]:
    r"""Return the numbers of a list as the kernel writes it.

    >>> sorted(numbers_in("0-2,8"))
    [0, 1, 2, 8]
    """
    found: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


@attrs.frozen
class Topology:
    """The processors of each NUMA node that this process may use; nodes without any are left out."""

    nodes: tuple[frozenset[int], ...]

    @classmethod
    def read(cls, root: Path = SYSTEM, allowed: frozenset[int] | None = None) -> Topology:
        """Return the topology under *root*; one node with everything if it does not say."""
        if allowed is None:
            allowed = frozenset(
                os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
            )
        nodes = []
        for folder in sorted(root.glob("node[0-9]*"), key=lambda path: int(path.name[4:])):
            try:
                processors = numbers_in((folder / "cpulist").read_text()) & allowed
            except (OSError, ValueError):
                continue
            if processors:
                nodes.append(processors)
        return cls(tuple(nodes) or (allowed,))


@functools.cache
def _machine() -> Topology:
    """Return the topology that this process found when it first asked."""
    return Topology.read()


def _pin(processors: frozenset[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, processors)  # of the calling thread


def _pinned_to() -> frozenset[int]:
    """Return the processors that the calling thread may run on; none if that cannot be said."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


@attrs.frozen
class Placement:
    """Where replicas are made, and which of them is near a thread.

    Attributes:
        topology: of the machine; None: anywhere.
        pin: called with a set of processors, in the thread that is to run on these only.
        pinned_to: returns the processors that the calling thread may run on.
    """

    topology: Topology | None
    pin: Callable[[frozenset[int]], object] = attrs.field(default=_pin)
    pinned_to: Callable[[], frozenset[int]] = attrs.field(default=_pinned_to)

    @classmethod
    def named(cls, name: str) -> Placement:
        """Return the placement that is called *name*. Raises OptionError."""
        if name == "numa":
            return cls(_machine())
        if name == "anywhere":
            return cls(None)
        raise OptionError(f"place is 'numa' or 'anywhere'; got {name!r}")

    def default_replicas(self) -> int:
        """Return how many replicas pay: with the GIL one, since each costs and only one thread runs."""
        if not sysconfig.get_config_var("Py_GIL_DISABLED") or self.topology is None:
            return 1
        return len(self.topology.nodes)

    def here(self) -> int:
        """Return the number of the node that the calling thread is pinned to; -1 if it is to none."""
        if self.topology is None or len(self.topology.nodes) == 1:
            return -1
        mine = self.pinned_to()
        for number, processors in enumerate(self.topology.nodes):
            if mine and mine <= processors:
                return number
        return -1

    def place(self, number: int, make: Callable[[], Any]) -> Any:
        """Return ``make()``, called on the node of replica *number*, so that it touches memory there."""
        if self.topology is None or len(self.topology.nodes) == 1:
            return make()
        processors = self.topology.nodes[number % len(self.topology.nodes)]
        done: list[Any] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self.pin(processors)
                done.append(make())
            except BaseException as error:  # noqa: BLE001  (raised below)
                errors.append(error)

        thread = threading.Thread(target=work, name=f"places replica {number}")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return done[0]
