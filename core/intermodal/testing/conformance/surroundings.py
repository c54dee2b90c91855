"""What surrounds the tests of the kit; conftest.py and the suite make fixtures of it."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING, Any, Final

from intermodal.testing.subjects import Subject
from intermodal.testing.threads import run_threads, switching_often

if TYPE_CHECKING:
    from collections.abc import Iterator


#: The concepts whose tests collect garbage often. Not "model": Hypothesis asks the collector for referrers.
COLLECTING: Final = ("hostile_keys", "lifetimes")


@contextlib.contextmanager
def around_concept(concept: str) -> Iterator[None]:
    """Keep the collector, where tests run it often, from visiting all of the interpreter each time."""
    if concept not in COLLECTING:
        yield
        return
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@contextlib.contextmanager
def around_test(item: Any) -> Iterator[None]:
    """Let threads change as often as they can during a test; then verify every map that it made."""
    with switching_often():
        yield
    for subject in item.callspec.params.values():
        if isinstance(subject, Subject):
            run_threads(subject.check)  # a failed test may have left a lock behind
