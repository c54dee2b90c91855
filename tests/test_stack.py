"""Operations where the stack ends raise RecursionError or are done, and lock nothing for ever."""

from __future__ import annotations

import contextlib
import signal

import pytest

from intermodal import ABSENT, open_map
from intermodal.testing.threads import finishes

#: Those of which a writer holds a lock word, with options. Threads of nr and cnr do each other's work.
MAPS = [
    ("swiss", {}),
    ("swiss", {"reclaimer": "epoch"}),
    ("swiss", {"reclaimer": "hyaline"}),
    ("hopscotch", {}),
    ("chained", {}),
    ("btree", {}),
    ("evmap", {}),
]


def at_depth(frames, function):
    """Call *function* with so many more frames on the stack."""
    return at_depth(frames - 1, function) if frames else function()


def room():
    """Return how many frames there is room for."""
    try:
        return 1 + room()
    except RecursionError:
        return 0


def signals_held():
    """Return which signals the main thread does not get."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()) if hasattr(signal, "pthread_sigmask") else None


# In an engine that is interpreted, the stack may end in the callback of a weak reference.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("backend", "options"), MAPS)
def test_operations_where_the_stack_ends_leave_the_map_whole(backend, options):
    """Wherever in the engine that is: others can use it, and no signal is held back."""
    m = open_map(backend, **options)
    m.update((number, number) for number in range(20))
    held = signals_held()
    most = room()
    for frames in range(most - 150, most):
        for operation in (
            lambda: m.get(7),
            lambda frames=frames: m.__setitem__(frames, frames),
            lambda frames=frames: m.pop(frames - 20, None),
            lambda: m.compute(7, lambda old: 0 if old is ABSENT else old + 1),
            lambda: list(m.items()),
            lambda: len(m),
            m.clear,
        ):
            with contextlib.suppress(RecursionError):
                at_depth(frames, operation)
            assert signals_held() == held
        assert finishes(lambda: m.update((number, number) for number in range(20)))
    m._check()
    assert len(m) == len(list(m))
    m.clear()
    m[1] = 2
    assert m == {1: 2}
