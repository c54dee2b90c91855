"""Those who wait for a replica to get on, since it holds the log up.

    waiter   raises WAITING;  heavy fence;  looks at the replica        (then waits to be told)
    replica  gets on;         light fence;  looks at WAITING            (then tells)

Of a store followed by a load on either side one sees the other's. May import only core's public names and
``readers``.
"""

from __future__ import annotations

import threading
from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import RELAXED, heavy_fence, load, store
from intermodal.memory import Block
from intermodal_nr.readers import LINE, wake


def is_awaited(address: i64) -> bool:
    """Return whether somebody waits for the replica; a full or light fence comes before."""
    return load(address, RELAXED) != 0


@final
class Progress:
    """See the module's first lines."""

    def __init__(self) -> None:
        self._block: Final = Block(LINE // 8)
        self.address: Final[i64] = self._block.address
        self._changing: Final[Any] = threading.Lock()
        self._waiting: list[Any] = []

    def expect(self) -> Any:
        """Return a lock that tell() releases; whatever the replica does after this it tells."""
        told: Any = threading.Lock()
        told.acquire()
        with self._changing:
            self._waiting.append(told)
            store(self.address, len(self._waiting), RELAXED)
        heavy_fence()
        return told

    def forget(self, told: Any) -> None:
        """Tell the owner of this lock nothing any more."""
        with self._changing:
            if told in self._waiting:
                self._waiting.remove(told)
                store(self.address, len(self._waiting), RELAXED)

    def tell(self) -> None:
        """Wake everybody who waits: the replica has got on, or its role is free."""
        with self._changing:
            for told in self._waiting:
                wake(told)
            self._waiting.clear()
            store(self.address, 0, RELAXED)
