"""The fuzz target: it passes on every backend, replays its corpus, and finds what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import intermodal
from intermodal import ABSENT, backends, open_map
from intermodal.testing.fuzz import OPERATIONS, Mismatch, describe, fuzz
from intermodal.testing.sequential import SequentialMap

CORPUS = sorted((Path(__file__).parent / "fuzz" / "corpus").iterdir())
NAMES = [spec.name for spec in backends() if spec.capabilities is not None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
def test_the_corpus_passes(file, name):
    """Inputs that reached new code once, and those that found something."""
    fuzz(file.read_bytes(), lambda: open_map(name))


def test_the_corpus_is_small_and_does_everything():
    """It is replayed in every run of the tests, so it is minimised when something is added."""
    assert sum(file.stat().st_size for file in CORPUS) < 100_000
    done = {code % len(OPERATIONS) for file in CORPUS for code in file.read_bytes()[1:]}
    assert done == set(range(len(OPERATIONS)))


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_pass(name):
    """Hypothesis makes bytes of its own."""

    @settings(
        max_examples=1000 if intermodal.__compiled__ else 200,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(max_size=300))
    @example(b"")
    def check(data):
        fuzz(data, lambda: open_map(name))

    check()


class LosesAtForty(SequentialMap):
    """Loses an entry when it has forty."""

    def _compare_exchange(self, key, current, new):
        done = super()._compare_exchange(key, current, new)
        if len(self._data) == 40:
            self._data.popitem()
        return done


class KeepsTheLastKey(SequentialMap):
    """Of equal keys it stores the last, where a dict keeps the first."""

    def _compare_exchange(self, key, current, new):
        if current is not ABSENT and self._data.get(key, ABSENT) is current:
            self._data.pop(key, None)
            current = ABSENT
        return super()._compare_exchange(key, current, new)


class ForgetsToRemove(SequentialMap):
    """A predicate is asked, and nothing comes of it."""

    def remove_if(self, key, predicate):
        return key in self and bool(predicate(self.get(key)))


class YieldsTwice(SequentialMap):
    """An iteration that is open when an entry comes yields its first entry again."""

    def _iterate(self):
        entries = list(self._data.items())
        yield from entries
        if len(self._data) > len(entries):
            yield from entries[:1]


class ChangesWhenAsked(SequentialMap):
    """A comparison that raises empties it."""

    def get(self, key, default=None):
        try:
            return super().get(key, default)
        except Exception:
            self._data.clear()
            raise


def test_the_model_without_a_defect_passes():
    """So what the next test finds is the defect."""
    for file in CORPUS:
        fuzz(file.read_bytes(), SequentialMap)


@pytest.mark.parametrize(
    "broken", [LosesAtForty, KeepsTheLastKey, ForgetsToRemove, YieldsTwice, ChangesWhenAsked]
)
def test_a_defect_is_found_by_the_corpus(broken):
    """By one of its inputs at least, with the operations that show it."""
    found = list(filter(None, (mismatch(file.read_bytes(), broken) for file in CORPUS)))
    assert found, "no input of the corpus finds it"
    assert all(each.operations[0].startswith("m = open_map(...)") for each in found)
    assert "expected:" in str(found[0])


def mismatch(data, new):
    """Return the Mismatch that the target raises, or None."""
    try:
        fuzz(data, new)
    except Mismatch as found:
        return found
    return None


def test_an_input_can_be_read():
    """As the lines of a program."""
    assert describe(bytes([0, 0, 5, 7, 2, 5])).splitlines() == [
        "m = open_map(...)  # keys of kind 0",
        "m[5] = 7",
        "m.pop(5)",
        "list(m.items()), len(m), m._check()",
    ]
