"""Maps with homes (``intermodal.tables``) in the middle of a resize, and who reads them meanwhile."""

from __future__ import annotations

import threading

from intermodal import tables


def settle(m):
    """Finish the resize under way."""
    while m.statistics().resizing:
        m._state.help(8)


def resize(m, homes):
    """Begin a resize to that many homes; of a small table it is then finished, of a large one 8 have moved."""
    assert m._state.start(m._state.table, homes, tables.COPY)


def reader_beside_moves(monkeypatch, resizing_map, keys, *, looks, moves):
    """Return a scenario for the scheduler that fails where a reader waits for a lock.

    One thread looks *looks* times for each of *keys*, which are their own values, another moves homes *moves*
    times. *resizing_map* makes the map, with a resize under way.
    """
    readers = set()
    wait = tables.wait

    def watched(spins):
        if threading.get_ident() in readers:
            raise AssertionError("a reader waits")
        return wait(spins)

    monkeypatch.setattr(tables, "wait", watched)

    def scenario():
        m = resizing_map()

        def read():
            view = m.handle()
            readers.add(threading.get_ident())
            try:
                return {view.get(key) for _ in range(looks) for key in keys}
            finally:
                readers.discard(threading.get_ident())

        def move():
            for _ in range(moves):
                m._state.help(1)

        values, _ = yield read, move
        assert values == set(keys)

    return scenario
