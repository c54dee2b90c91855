"""What :func:`intermodal.replicate` is asked, and what plugins that replicate or keep logs say of themselves.

Frozen records. May import only the contracts and errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from intermodal.capabilities import Option
    from intermodal.dispatch import LogMapper, Plan
    from intermodal.log import Log


@attrs.frozen(kw_only=True)
class OpenedLog:
    """A log that was opened, and what it had already.

    Attributes:
        log: the log; its tail follows the last of *operations*.
        snapshot: the structure as it was saved last, alone in a tuple; () if it never was.
        operations: what was appended after that.
    """

    log: Log
    snapshot: tuple[Any, ...] = ()
    operations: Iterable[Any] = ()


@attrs.frozen(kw_only=True)
class LogBackend:
    """What the hook of a log's plugin returns.

    Attributes:
        name: the name of the plugin's entry point, and of the scheme in ``log="name://address"``.
        summary: one line for listings.
        open: called with the address, "" if there is none, and all its options; returns what it has opened.
        options: the keyword arguments of ``replicate`` that it takes.
    """

    name: str
    summary: str
    open: Callable[[str, Mapping[str, Any]], OpenedLog]
    options: tuple[Option, ...] = ()


@attrs.frozen(kw_only=True)
class ReplicationRequest:
    """What an engine is asked to replicate.

    Attributes:
        plan: how the structure is made, copied and operated.
        replicas: how many copies; None: as many as pay here.
        open_log: opens one more of the logs that are wanted.
        logs: how many logs.
        mapper: says which of them an operation belongs to.
        consistency: what reads see unless they ask for something else.
        options: all of the engine's own, completed.
    """

    plan: Plan
    replicas: int | None
    open_log: Callable[[], OpenedLog]
    logs: int
    mapper: LogMapper | None
    consistency: str
    options: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class EngineBackend:
    """What the hook of a plugin that replicates structures returns.

    Attributes:
        name: the name of the plugin's entry point.
        summary: one line for listings.
        open: makes the replicated structure.
        options: the keyword arguments of ``replicate`` that it takes.
    """

    name: str
    summary: str
    open: Callable[[ReplicationRequest], Any]
    options: tuple[Option, ...] = ()
