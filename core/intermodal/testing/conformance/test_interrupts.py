"""KeyboardInterrupt, and whatever else a signal's handler raises, in the middle of operations."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest

from intermodal import ABSENT
from intermodal.testing.conformance.test_hostile_keys import ONE_KEY_OPERATIONS, every_operation, usable
from intermodal.testing.keys import Key
from intermodal.testing.subjects import scale
from intermodal.testing.threads import run_threads

pytestmark = pytest.mark.skipif(
    "threading.current_thread() is not threading.main_thread()", reason="signals go to the main thread"
)


def interrupt(*_):
    """Do what Ctrl-C does, here and now."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


class InterruptedKey(Key):
    """Is interrupted in the n-th call of one of its methods from now on."""

    def __init__(self, name, method, at_call, hash_value):
        super().__init__(name, hash_value)
        self.method, self.calls_left = method, at_call

    def __hash__(self):
        self._perhaps("hash")
        return super().__hash__()

    def __eq__(self, other):
        self._perhaps("eq")
        return super().__eq__(other)

    def _perhaps(self, method):
        if method == self.method:
            self.calls_left -= 1
            if self.calls_left == 0:
                interrupt()


@every_operation
@pytest.mark.parametrize("method", ["hash", "eq"])
@pytest.mark.parametrize("at_call", [1, 2])
def test_an_interrupt_in_a_key_comes_out_of_the_operation_which_has_not_happened(
    subject, operation, method, at_call
):
    """If the operation makes so many calls; and the map is whole and usable."""
    m = subject.map((Key(number, 7), number) for number in range(20))
    key = InterruptedKey(5, method, at_call, 7)
    try:
        ONE_KEY_OPERATIONS[operation](m, key)
    except KeyboardInterrupt:
        assert sorted((key.name, value) for key, value in m.items()) == [(n, n) for n in range(20)]
    else:
        assert at_call > 1, f"{method} was not called"
        assert key.calls_left > 0
    assert usable(m)


class Interrupted:
    """A value that is interrupted when it is compared or shown."""

    def __eq__(self, other):
        interrupt()
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        interrupt()
        return "unreachable"


CALLBACKS = {
    "compute": lambda m: m.compute("a", interrupt),
    "compute where nothing is": lambda m: m.compute("new", interrupt),
    "get_or_insert_with": lambda m: m.get_or_insert_with("new", interrupt),
    "remove_if": lambda m: m.remove_if("a", interrupt),
    "retain": lambda m: m.retain(interrupt),
    "compare_and_set": lambda m: m.compare_and_set("a", Interrupted(), 2),
    "get_many": lambda m: m.get_many(interrupt() for _ in "a"),
    "set_many": lambda m: m.set_many(interrupt() for _ in "a"),
    "pop_many": lambda m: m.pop_many(interrupt() for _ in "a"),
    "update": lambda m: m.update(interrupt() for _ in "a"),
    "in values": lambda m: Interrupted() in m.values(),
    "==": lambda m: m == {"a": Interrupted()},
    "iteration": lambda m: [interrupt() for _ in m],
    "iteration over items": lambda m: [interrupt() for _ in m.items()],
}


@pytest.mark.parametrize("call", CALLBACKS)
def test_an_interrupt_in_a_callback_leaves_the_map_as_it_was(subject, call):
    """It comes out of the operation."""
    m = subject.map(a=1)
    with pytest.raises(KeyboardInterrupt):
        CALLBACKS[call](m)
    assert m == {"a": 1}
    assert usable(m)


def test_an_interrupted_batch_has_done_some_of_its_steps_or_none(subject):
    """Each wholly; those of keys that were not reached are not done."""
    m = subject.map()

    def entries():
        for number in range(50):
            yield number, -number
        interrupt()

    for batch in (m.update, m.set_many):
        with pytest.raises(KeyboardInterrupt):
            batch(entries())
        assert m.items() <= {(number, -number) for number in range(50)}
        assert usable(m)


def test_an_interrupt_in_a_repr_is_forgotten_by_the_next(subject):
    """The guard against recursion is taken away."""
    m = subject.map(a=Interrupted())
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            repr(m)
    m["a"] = 1
    assert repr(m) == "{'a': 1}"


class SignalledError(Exception):
    """What the handler of the signals raises."""


# In an engine that is interpreted one may arrive in the callback of a weak reference, where nothing can be raised.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signals_that_arrive_at_any_moment_leave_the_map_whole(subject):
    """Their handler raises, while the main thread, to which they are sent, grows, shrinks, reads, iterates."""
    armed = False

    def handle(*_):
        nonlocal armed
        if armed:
            armed = False
            raise SignalledError

    m = subject.map()
    stop = threading.Event()

    def send():
        while not stop.is_set():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            for _ in range(200):
                pass

    # A function of its own: 3.13 has instructions in a loop at which a handler's exception passes by the
    # function's own `with` and `finally`. It is armed nowhere else.
    def work():
        nonlocal armed, step
        armed = True
        while armed:
            step += 1
            m[step % 97] = step
            m.pop((step * 5) % 97, None)
            m[Key(step % 31)] = step
            m.pop(Key((step * 3) % 31), None)
            m.compute(step % 7, lambda old: 0 if old is ABSENT else old + 1)
            if step % 50 == 0:
                list(m)
                m.clear()

    step = 0
    before = signal.signal(signal.SIGUSR1, handle)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(scale(50)):
            with contextlib.suppress(SignalledError):
                work()
    finally:
        armed = False
        stop.set()
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(m) == len(list(m))
    m._check()
    run_threads(lambda: m.update((number, number) for number in range(300)))
    assert len(list(m)) == len(m) >= 300
