"""When an evmap publishes: the context managers of ``publishing_every()`` and ``writing()``.

Interpreted: none of this is called for each operation.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intermodal_evmap._state import EvMapState


class Publishing:
    """The map publishes after so many writes, or after so many seconds, or both."""

    def __init__(self, state: EvMapState, writes: int, interval: float | None) -> None:
        if writes < 0:
            raise ValueError(f"a map cannot publish after every {writes} writes")
        if interval is not None and not interval > 0:
            raise ValueError(f"a map cannot publish every {interval} seconds")
        self._state = state
        self._writes = writes
        self._interval = interval
        self._before = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        self._state.obstacles.announce()
        with self._state.lock:  # not in the middle of another thread's writing()
            self._before = self._state.every
            self._state.every = self._writes
        self._state.publish_if_due()
        if self._interval is not None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._tick, name="evmap publisher", daemon=True)
            self._thread.start()

    def _tick(self) -> None:
        while not self._stop.wait(self._interval):
            if self._state.pending:
                self._state.publish()

    def __exit__(self, *_: object) -> None:
        self._state.obstacles.announce()
        with self._state.lock:
            self._state.every = self._before
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()
        self._state.publish()


class Writing:
    """One thread writes, and publishes at the end."""

    def __init__(self, state: EvMapState) -> None:
        self._state = state
        self._before: list[int] = []

    def __enter__(self) -> None:
        self._state.obstacles.announce()
        self._state.lock.__enter__()
        # Nobody else writes meanwhile, so that it is this thread alone which does not publish.
        self._before.append(self._state.every)
        self._state.every = 0

    def __exit__(self, *_: object) -> None:
        state = self._state
        try:
            state.every = self._before.pop()
            state.publish()
        finally:
            state.lock.__exit__(None, None, None)
