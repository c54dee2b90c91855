"""Threads that begin together, report what went wrong in them, and never hang a run; needs only Python."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds after which threads count as hanging; a hundred times what the slowest test takes.
PATIENCE = float(os.environ.get("INTERMODAL_TEST_PATIENCE", "120"))


class HangError(AssertionError):
    """Threads did not come to an end; where they were is in the standard error output."""


def run_threads(*functions: Callable[[], Any], timeout: float = PATIENCE) -> list[Any]:
    """Run each of *functions* in a thread of its own, all beginning at once; return their results in order.

    The first exception of a thread is raised here. Threads that hang are dumped and left behind.
    """
    barrier = threading.Barrier(len(functions))
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []

    def run(index: int, function: Callable[[], Any]) -> None:
        try:
            barrier.wait(timeout)
            results[index] = function()
        except BaseException as error:  # noqa: BLE001  (raised below)
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=each, daemon=True, name=f"thread {each[0]}")
        for each in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
        if errors:
            break
    if not errors and any(thread.is_alive() for thread in threads):
        faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr, all_threads=True)
        raise HangError(f"{[thread.name for thread in threads if thread.is_alive()]} did not end")
    if errors:
        for thread in threads:
            thread.join(1)
        raise errors[0]
    return results


@contextlib.contextmanager
def switching_often(interval: float = 1e-6) -> Iterator[None]:
    """Let the interpreter change threads every *interval* seconds, where only one runs at a time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def in_threads(count: int, function: Callable[[int], Any]) -> list[Any]:
    """Run ``function(0)``, ``function(1)``... each in a thread of its own, as :func:`run_threads` does."""
    return run_threads(*(lambda index=index: function(index) for index in range(count)))


def in_a_thread(test: Callable[..., None]) -> Callable[..., None]:
    """Make a test run in a thread of its own, as :func:`run_threads` does: one that could wait for itself."""

    @functools.wraps(test)
    def bounded(*arguments: Any, **keywords: Any) -> None:
        run_threads(lambda: test(*arguments, **keywords))

    return bounded


def finishes(function: Callable[[], Any], timeout: float = 20) -> bool:
    """Return whether *function*, run in a thread of its own, comes to an end."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(timeout)
    return not thread.is_alive()


class Together:
    """Lets a fixed number of threads go through rounds side by side."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)

    def wait(self) -> None:
        """Wait for the others; a thread that failed breaks the barrier by never coming, after a while."""
        self._barrier.wait(PATIENCE)

    def abort(self) -> None:
        """Let the others fail too."""
        self._barrier.abort()
