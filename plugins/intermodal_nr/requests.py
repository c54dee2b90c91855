"""Requests to a replica's combiner, and the stack on which they wait for it.

The stack is an object slot, Treiber's: who pushes exchanges the top for its own request, the combiner takes
everything at once. So nobody ever takes one of several, and a request is never on the stack a second time
(no ABA). May import only core's public names and ``readers``.
"""

from __future__ import annotations

import threading
from typing import Any, Final, final

from mypy_extensions import i64

from intermodal.atomics import object_compare_exchange, object_exchange, object_is, object_load, object_store
from intermodal_nr.readers import wake

# Kinds of requests: a change, a read, nothing but to be up to date; a copy of the replica, its end.
WRITE: Final = 0
READ: Final = 1
SYNC: Final = 2
COPY: Final = 3
RETIRE: Final = 4


#: The outcome of a request that has none yet.
PENDING: Final[object] = object()
#: The outcome of a request to a replica that has been removed: ask another one.
MOVED: Final[object] = object()
#: What a stack of requests ends in.
_BOTTOM: Final[object] = object()


@final
class Request:
    """What a thread wants a replica's combiner to do for it, and waits for."""

    def __init__(self, kind: int, operation: object) -> None:
        self.kind: Final = kind
        self.operation: Final = operation
        #: The outcome, once it may be known.
        self.outcome: object = PENDING
        #: The outcome, while nobody else may know it.
        self.result: object = None
        self.next: object = None
        # Held until there is news: released by the combiner, acquired by the requester who waits.
        self.wake: Final[Any] = threading.Lock()
        self.wake.acquire()

    def answer(self, outcome: object) -> None:
        """Let the requester have *outcome*."""
        self.outcome = outcome
        wake(self.wake)


def make_empty(stack: i64) -> None:
    """Make an empty stack of the object slot at *stack*."""
    object_store(stack, _BOTTOM)


def is_empty(stack: i64) -> bool:
    """Return whether nobody waits."""
    return object_is(stack, _BOTTOM)


def push(stack: i64, request: Request) -> None:
    """Add a request."""
    while True:
        top = object_load(stack, _BOTTOM)
        request.next = top
        if object_compare_exchange(stack, top, request):
            return


def take_all(stack: i64, taken: list[Request]) -> None:
    """Take all requests, and append them to *taken*, the last one first. Allocates nothing."""
    top = object_exchange(stack, _BOTTOM, _BOTTOM)
    while isinstance(top, Request):
        taken.append(top)
        top = top.next


def wake_all(stack: i64) -> None:
    """Wake everybody who waits: one of them is to take the role.

    One would do, but the one chosen may be gone: interrupted where it is not compiled.
    """
    top = object_load(stack, _BOTTOM)
    while isinstance(top, Request):
        wake(top.wake)
        top = top.next


def turn_away(stack: i64) -> None:
    """Tell everybody who waits for a removed replica to ask another one."""
    taken: list[Request] = []
    take_all(stack, taken)
    for request in taken:
        request.answer(MOVED)
