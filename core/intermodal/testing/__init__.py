"""The evidence that intermodal's own backends are held to, for authors of others.

- :func:`conformance_suite` tests a backend by what it declares.
- :class:`Recorder` records what threads do with a map; :func:`check_linearizable`, :func:`check_iteration`
  and the other checkers judge it.
- :func:`explore` runs a small scenario in every order of its threads' accesses and prints the one that fails;
  :func:`concurrently` writes such a scenario from a few calls.
- :func:`stress` lets threads use a backend for as long as one likes, and checks every outcome.

Public names are imported when they are first used; only the conformance kit needs pytest and hypothesis.
May import anything of core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from intermodal._lazy import lazily

if TYPE_CHECKING:
    from intermodal.testing.conformance import conformance_suite
    from intermodal.testing.guarantees import (
        check_bags,
        check_iteration,
        check_length,
        check_published,
        check_snapshots,
    )
    from intermodal.testing.histories import History, HistoryError, Operation
    from intermodal.testing.linearizability import check_linearizable, check_model
    from intermodal.testing.recording import Recorder
    from intermodal.testing.scenarios import Call, calls_on, concurrently
    from intermodal.testing.scheduler import Exploration, InterleavingError, StuckError, explore, replay
    from intermodal.testing.sequential import SequentialMap
    from intermodal.testing.stressing import StressError, StressReport, stress
    from intermodal.testing.subjects import Subject
    from intermodal.testing.verdicts import Verdict, Violation

_HOME = {
    "Call": "scenarios",
    "Exploration": "scheduler",
    "History": "histories",
    "HistoryError": "histories",
    "InterleavingError": "scheduler",
    "Operation": "histories",
    "Recorder": "recording",
    "SequentialMap": "sequential",
    "StressError": "stressing",
    "StressReport": "stressing",
    "StuckError": "scheduler",
    "Subject": "subjects",
    "Verdict": "verdicts",
    "Violation": "verdicts",
    "calls_on": "scenarios",
    "check_bags": "guarantees",
    "check_iteration": "guarantees",
    "check_length": "guarantees",
    "check_linearizable": "linearizability",
    "check_model": "linearizability",
    "check_published": "guarantees",
    "check_snapshots": "guarantees",
    "concurrently": "scenarios",
    "conformance_suite": "conformance",
    "explore": "scheduler",
    "replay": "scheduler",
    "stress": "stressing",
}

__all__ = [
    "Call",
    "Exploration",
    "History",
    "HistoryError",
    "InterleavingError",
    "Operation",
    "Recorder",
    "SequentialMap",
    "StressError",
    "StressReport",
    "StuckError",
    "Subject",
    "Verdict",
    "Violation",
    "calls_on",
    "check_bags",
    "check_iteration",
    "check_length",
    "check_linearizable",
    "check_model",
    "check_published",
    "check_snapshots",
    "concurrently",
    "conformance_suite",
    "explore",
    "replay",
    "stress",
]


__getattr__, __dir__ = lazily(globals(), _HOME)
