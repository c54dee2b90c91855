"""Count the words of a tree of texts by several threads, in one map that all of them change.

    python docs/examples/word_count.py [FOLDER] [--suffix .py] [--threads 2] [--size 200] [--figure FILE]

Without a FOLDER the texts are sources of the standard library. Exit status 1 unless every way of counting
counts what a Counter counts in one thread.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from _measuring import dealt, in_threads, options_of, rates, show

from intermodal import ABSENT, open_map

WORD = re.compile(r"\w+")


def count_words(texts: Sequence[str], threads: int) -> Mapping[str, int]:
    """Return how often each word is in the texts; every word is counted in the shared map at once."""
    counts = open_map("swiss")

    def work(share: Iterable[str]) -> None:
        with counts.handle() as mine:
            for text in share:
                for word in WORD.findall(text):
                    mine.compute(word, one_more)

    in_threads(work, dealt(texts, threads))
    return counts


def one_more(old: Any) -> int:
    return 1 if old is ABSENT else old + 1


def count_texts(texts: Sequence[str], threads: int) -> Mapping[str, int]:
    """Return the same; the words of a text are counted in the thread first, and then added to the map."""
    counts = open_map("swiss")

    def work(share: Iterable[str]) -> None:
        with counts.handle() as mine:
            for text in share:
                for word, number in Counter(WORD.findall(text)).items():
                    mine.compute(word, lambda old, more=number: more if old is ABSENT else old + more)

    in_threads(work, dealt(texts, threads))
    return counts


def count_with_lock(texts: Sequence[str], threads: int) -> Mapping[str, int]:
    """Return the same, counted in a dict behind a lock."""
    counts: dict[str, int] = {}
    lock = Lock()

    def work(share: Iterable[str]) -> None:
        for text in share:
            for word in WORD.findall(text):
                with lock:
                    counts[word] = counts.get(word, 0) + 1

    in_threads(work, dealt(texts, threads))
    return counts


def count_apart(texts: Sequence[str], threads: int) -> Mapping[str, int]:
    """Return the same, counted by each thread for itself and added up when all are done."""

    def work(share: Iterable[str]) -> Counter[str]:
        counter: Counter[str] = Counter()
        for text in share:
            counter.update(WORD.findall(text))
        return counter

    return sum(in_threads(work, dealt(texts, threads)), Counter())


CONTENDERS = {
    "swiss, each word at once": count_words,
    "swiss, text by text": count_texts,
    "dict + Lock, each word at once": count_with_lock,
    "a Counter in each thread": count_apart,
}


def texts_in(folder: Path, suffix: str, size: int) -> list[str]:
    """Return about *size* texts of the folder and those below it; what is no text is passed over."""
    paths = sorted(folder.rglob(f"*{suffix}"))
    texts = []
    for path in paths[:: -(-len(paths) // size) or 1]:
        try:
            texts.append(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, OSError):
            continue
    return texts


def main() -> int:
    parser = options_of(__doc__, 200, "texts")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--suffix", default=".py", help="of the names of the texts [.py]")
    options = parser.parse_args()
    texts = texts_in(options.folder, options.suffix, options.size)
    if not texts:
        parser.error(f"no text with the suffix {options.suffix!r} in {str(options.folder)!r}")
    expected = Counter(word for text in texts for word in WORD.findall(text))
    print(f"{len(texts)} texts, {expected.total()} words, {len(expected)} of them different")
    wrong = [name for name, count in CONTENDERS.items() if count(texts, options.threads) != expected]
    print(", ".join(f"{word} {number}" for word, number in expected.most_common(5)))
    ways = {name: lambda n, count=count: count(texts, n) for name, count in CONTENDERS.items()}
    found = rates(ways, expected.total(), (1, options.threads), options.rounds)
    show("Counting words", "words", found, options.figure)
    for name in wrong:
        print(f"{name}: counted wrong", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
