"""Children of the test process, which report what went wrong in them; needs ``os.fork``."""

from __future__ import annotations

import os
import select
import signal
import traceback
import warnings
from typing import TYPE_CHECKING

from intermodal.testing.threads import PATIENCE, HangError

if TYPE_CHECKING:
    from collections.abc import Callable


def in_child(function: Callable[[], object]) -> None:
    """Call *function* in a forked child, which then ends; only the calling thread exists there.

    Raises:
        AssertionError: it raised something; the message holds its traceback.
        HangError: the child did not come to an end, and was killed.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # From 3.12 on, fork warns where several threads run: what is tested is what may be done then.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _be_child(function, writer)
    os.close(writer)
    ended = select.select([reader], [], [], PATIENCE)[0]  # a report, or the end of the pipe
    if not ended:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader, encoding="utf-8", errors="replace") as pipe:
        report = pipe.read()
    _, status = os.waitpid(child, 0)
    if not ended:
        raise HangError("the child did not end")
    assert os.waitstatus_to_exitcode(status) == 0, f"in the child: {report or 'it crashed'}"


def _be_child(function: Callable[[], object], writer: int) -> None:
    status = 1
    try:
        function()
        status = 0
    except BaseException:  # noqa: BLE001  (nothing may go up into the test run, which is the parent's)
        os.write(writer, traceback.format_exc().encode())
    finally:
        os._exit(status)
