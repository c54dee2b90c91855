"""Operations of histories, written by hand."""

from __future__ import annotations

from intermodal import ABSENT
from intermodal.testing.histories import PENDING, Operation


def operation(name, *arguments, at, key=ABSENT, thread=None, **fields):
    """Return an operation; *at* is its ticks, None for a return that never came."""
    called, returned = at
    fields.setdefault("result", PENDING if returned is None else None)
    return Operation(
        thread=called if thread is None else thread,
        name=name,
        key=key,
        arguments=arguments,
        called=called,
        returned=returned,
        **fields,
    )
