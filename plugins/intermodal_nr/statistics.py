"""What replicated structures say about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from intermodal.statistics import MapStatistics
from intermodal_nr.replica import BATCH_SIZES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intermodal_nr.group import Group
    from intermodal_nr.replica import Replica


@attrs.frozen(kw_only=True)
class ReplicaStatistics:
    """One replica.

    Attributes:
        position: how many changes it has executed, counted from the log's beginning.
        lag: how many it has still to execute.
        operations: how many it has appended.
        rounds: how many rounds its combiners have done for that.
        batches: number of rounds by the size of their batch: ``"0"``, ``"1"``, ``"2"``, ``"3-4"``...
        combine_microseconds: mean time of a combiner that had requests of others; None if none had.
        helped: how often somebody at another replica brought this one up to date.
        waits: how often its combiner waited for another replica, since the log was full.
    """

    position: int
    lag: int
    operations: int
    rounds: int
    batches: Mapping[str, int]
    combine_microseconds: float | None
    helped: int
    waits: int


@attrs.frozen(kw_only=True)
class ReplicationStatistics:
    """A replicated structure.

    Attributes:
        replicas: each of them.
        tail: number of changes so far.
        completed: how many of them have been executed somewhere.
        log_entries: how many the log keeps.
        log_capacity: how many it can keep.
    """

    replicas: tuple[ReplicaStatistics, ...]
    tail: int
    completed: int
    log_entries: int
    log_capacity: int


@attrs.frozen(kw_only=True)
class ReplicatedMapStatistics(MapStatistics):
    """A replicated map.

    Attributes:
        replication: of its log and replicas; one for each log.
    """

    replication: tuple[ReplicationStatistics, ...]


_RANGES = ("0", "1", "2", "3-4", "5-8", "9-16", "17-32", "33-")
assert len(_RANGES) == len(BATCH_SIZES) + 1


def of_replica(replica: Replica, tail: int) -> ReplicaStatistics:
    """Return the figures of one replica."""
    figures = replica.figures()
    position = replica.position()
    timed = figures["timed"]
    return ReplicaStatistics(
        position=position,
        lag=max(tail - position, 0),
        operations=figures["operations"],
        rounds=figures["rounds"],
        batches=dict(zip(_RANGES, figures["batches"], strict=True)),
        combine_microseconds=figures["nanoseconds"] / timed / 1000 if timed else None,
        helped=figures["helped"],
        waits=figures["waits"],
    )


def of_group(group: Group) -> ReplicationStatistics:
    """Return the figures of the replicas of one log."""
    completed, tail = group.log.completed(), group.log.tail()
    return ReplicationStatistics(
        replicas=tuple(of_replica(replica, tail) for replica in group.replicas),
        tail=tail,
        completed=completed,
        log_entries=tail - group.log.head(),
        log_capacity=group.log.capacity(),
    )


def statistics_of(group: Group, entries: int) -> ReplicatedMapStatistics:
    """Return the figures of a map."""
    return ReplicatedMapStatistics(entries=entries, replication=(of_group(group),))
