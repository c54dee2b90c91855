"""A gate: many pass it one by one, or one has it to itself.

Changes pass it, *scans* over several logs close it. It is a lock as replicas' readers have it, with waiting.

Who passes runs no user code inside; but a destructor that the GC runs there may pass again: a thread that is
inside already is let in though the gate is closed, since the one who closes it waits for that thread.

May import only core's public names and ``readers``.
"""

from __future__ import annotations

import threading
from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import mix, thread_token, yield_thread
from intermodal_nr.readers import SLOTS, ReaderLock, leave, may_enter, take


@final
class Gate:
    """See the module's first lines."""

    def __init__(self) -> None:
        self._passing: Final = ReaderLock(SLOTS)
        self._address: Final[i64] = self._passing.address
        self._closing: Final[Any] = threading.Lock()  # one at a time; held while the gate is closed

    def enter(self) -> i64:
        """Wait until the gate is open, and keep it from being closed; return what leave() wants."""
        me: i64 = threading.get_ident()
        slot = mix(thread_token()) & (SLOTS - 1)
        tried = 0
        while True:
            if take(self._address, slot, me):
                if may_enter(self._address) or self._passing.has_inside(me, slot):
                    return slot
                self.leave(slot)
                # The closer holds this lock as long as the gate is closed.
                with self._closing:
                    pass
            slot = (slot + 1) & (SLOTS - 1)
            tried += 1
            if tried & (SLOTS - 1) == 0:
                yield_thread()  # as many threads as slots are inside, each for a moment

    def leave(self, slot: i64) -> None:
        """Let the gate be closed again."""
        if leave(self._address, slot):
            self._passing.wake_writer()

    def close(self) -> None:
        """Close the gate and wait until nobody is inside."""
        self._closing.acquire()
        interrupt = self._passing.close()
        if interrupt is not None:
            self.open()
            raise interrupt

    def open(self) -> None:
        """Open the gate again."""
        self._passing.open()
        self._closing.release()
