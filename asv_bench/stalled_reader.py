# ruff: noqa: T201  (a script prints)
"""Measure what waits to be freed while a reader stands still, under each reclaimer.

    python asv_bench/stalled_reader.py [--updates 1000000] [--svg docs/stalled-reader.svg]

One thread enters a guard and stays in it. Two others overwrite the values of a swiss map with 1,000 keys, a
million times in all. Every 10,000 updates of the first one the pending objects are read off the reclaimer's
statistics. Prints the most that was pending and draws the course of it; drawing needs matplotlib.

Exit status 1 if hyaline holds back 10,000 objects or more, or epoch less than half of all that was replaced.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
from pathlib import Path
from typing import Any

from intermodal import Reclaimer, open_map, open_reclaimer, reclaimers

KEYS = 1_000
WRITERS = 2
SAMPLE = 10_000
MOST_ROBUST = 10_000


def course(reclaimer: Reclaimer, updates: int) -> list[int]:
    """Return the numbers of pending objects, a sample every SAMPLE updates of the first writer."""
    m = open_map("swiss", reclaimer=reclaimer)
    for key in range(KEYS):
        m[key] = object()
    entered, done = threading.Event(), threading.Event()

    def stall() -> None:
        with reclaimer.pin():
            entered.set()
            done.wait()

    samples: list[int] = []

    def write(writer: int) -> None:
        chance = random.Random(writer)
        with m.handle() as mine:
            for step in range(updates // WRITERS):
                mine[chance.randrange(KEYS)] = object()
                if writer == 0 and step % SAMPLE == 0:
                    samples.append(reclaimer.statistics().pending)

    stalled = threading.Thread(target=stall)
    stalled.start()
    entered.wait()
    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    samples.append(reclaimer.statistics().pending)
    done.set()
    stalled.join()
    reclaimer.flush()
    assert reclaimer.statistics().pending == 0, "what a stalled reader held back is freed when it leaves"
    return samples


def draw(path: Path, courses: dict[str, list[int]]) -> None:
    import matplotlib as mpl  # an extra of the documentation

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "intermodal"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    styles: dict[str, Any] = {"epoch": "-", "hyaline": "--", "refcount": ":"}
    for name, samples in courses.items():
        axes.plot(
            [at * SAMPLE * WRITERS for at in range(len(samples))], samples, styles.get(name, "-."), label=name
        )
    axes.set_yscale("symlog", linthresh=100)
    axes.set_xlabel("values overwritten since a reader stood still")
    axes.set_ylabel("objects waiting to be freed")
    axes.legend(loc="center right")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=1_000_000)
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the course of it")
    arguments = parser.parse_args()
    specs = [spec for spec in reclaimers() if spec.error is None]
    courses = {spec.name: course(open_reclaimer(spec.name), arguments.updates) for spec in specs}
    print(f"after {arguments.updates:,} updates:")
    for name, samples in courses.items():
        print(f"{name:10} at most {max(samples):9,} pending, {samples[-1]:9,} in the end")
    if arguments.svg is not None:
        draw(arguments.svg, courses)
    robust = all(max(courses[spec.name]) < MOST_ROBUST for spec in specs if spec.robust)
    return int(not robust or courses["epoch"][-1] < arguments.updates // 2)


if __name__ == "__main__":
    sys.exit(main())
