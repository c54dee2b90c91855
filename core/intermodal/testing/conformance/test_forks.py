"""A child forked while no thread is inside an operation has a map of its own, which works."""

from __future__ import annotations

import os
import threading

import pytest

from intermodal.testing.forks import in_child
from intermodal.testing.threads import PATIENCE, in_threads, run_threads

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def use(m, present):
    """Read, add, remove and iterate, from this thread and another; *present* numbers are there."""
    for number in range(present):
        assert m[number] == -number
    for number in range(present, present + 200):
        m[number] = -number
    for number in range(100):
        assert m.pop(number) == -number
    assert sorted(m) == list(range(100, present + 200))

    def elsewhere(_):
        view = m.handle()
        view[-1] = view[present + 199]
        assert view.pop(-1) == -present - 199
        view.close()

    in_threads(1, elsewhere)
    m._check()
    m.clear()
    assert len(m) == 0


def filled(m, count):
    """Put *count* numbers in."""
    for number in range(count):
        m[number] = -number
    return m


@pytest.mark.parametrize("count", [1, 14, 15, 29, 113, 120, 400])
def test_a_child_has_a_map_of_its_own(subject, count):
    """Whatever was under way inside; and what it does to it the parent does not see."""
    m = filled(subject.map(), count)
    in_child(lambda: use(m, count))
    use(m, count)


def test_a_child_may_use_handles_and_iterators_of_threads_that_it_does_not_have(subject):
    """They wait outside any operation while it is forked, or have ended."""
    m = subject.shared()
    filled(m, 200)
    forked = threading.Event()
    views = in_threads(2, lambda _: subject.view(m))
    entries = iter(m.items())
    first = next(entries)
    ready = threading.Barrier(3)

    def wait():
        view = subject.view(m)
        assert view[7] == -7
        views.append(view)
        ready.wait(PATIENCE)
        assert forked.wait(PATIENCE)
        assert view[8] == -8
        view[300] = "the parent's"

    def fork():
        ready.wait(PATIENCE)

        def child():
            assert len([first, *entries]) == 200
            for view in views:
                assert view[9] == -9
            for number, view in enumerate(views):
                view[300 + number] = number
                view.close()
            for number in range(len(views)):
                assert m.pop(300 + number) == number
            use(m, 200)

        try:
            in_child(child)
        finally:
            forked.set()

    run_threads(wait, wait, fork)
    assert m[300] == "the parent's"
    assert len([first, *entries]) >= 200


def test_children_of_children_have_maps_of_their_own(subject):
    """One generation after another."""
    m = filled(subject.map(), 50)

    def child():
        del m[49]
        in_child(lambda: use(m, 49))
        use(m, 49)

    in_child(child)
    use(m, 50)
