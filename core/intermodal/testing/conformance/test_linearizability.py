"""Recorded histories of threads that meet at a few keys: each is that of some sequence of its operations."""

from __future__ import annotations

import contextlib
import itertools
import random

from intermodal import ABSENT
from intermodal.testing.keys import KINDS
from intermodal.testing.linearizability import check_linearizable
from intermodal.testing.promises import promised
from intermodal.testing.recording import Recorder
from intermodal.testing.subjects import scale
from intermodal.testing.threads import run_threads

THREADS = 3


def random_operation(view, key, generator, value):
    """Do any operation on *key*; *value* tells who wrote it."""
    values = [ABSENT, value, *((writer, number) for writer in range(THREADS) for number in range(3))]
    operations = [
        lambda: view.get(key, ABSENT),
        lambda: view.get(key, ABSENT),
        lambda: view.__setitem__(key, value),
        lambda: view.pop(key, None),
        lambda: view.insert(key, value),
        lambda: view.setdefault(key, value),
        lambda: view.replace(key, value) if key in view else None,
        lambda: view.compute(key, lambda _: value),
        lambda: view.compare_and_set(key, generator.choice(values), generator.choice([ABSENT, value])),
        lambda: view.compare_and_set(key, view.get(key, ABSENT), value),
    ]
    with contextlib.suppress(KeyError):
        generator.choice(operations)()


@promised(points="linearizable")
def test_recorded_histories_are_linearizable(subject, kind):
    """Three threads on two keys, beside one that makes the map grow and shrink."""
    make = KINDS[kind]
    steps = scale(1000, 24)
    keys = [make(1), make(4)]
    m = subject.shared()
    recorder = Recorder(m)
    finished = []

    def work(me):
        try:
            view = subject.view(recorder.map)
            generator = random.Random(f"history {me} {kind}")
            for _ in range(steps):
                random_operation(view, generator.choice(keys), generator, (me, generator.randrange(3)))
        finally:
            finished.append(me)

    def resize():
        view = subject.view(m)
        for round_ in itertools.count():
            count = round_ * 7 % 60
            for number in range(count):
                view[make(100 + number)] = number
            for number in range(count * (round_ % 2)):
                view.pop(make(100 + number))
            if len(finished) == THREADS:
                return

    run_threads(*(lambda me=me: work(me) for me in range(THREADS)), resize)
    check_linearizable(recorder.history()).require()
