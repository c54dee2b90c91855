# ruff: noqa: T201  (a script prints)
"""Count the words of a tree of texts by several threads, in a typed map, beside collections.Counter.

    python asv_bench/count_words.py [--threads 2] [--suffix .py] [FOLDER]

Without a FOLDER the texts are the sources of the standard library. A word is known by its hash, a 64-bit
integer; each thread has its share of the files and adds the hashes of one file at a time, ``add_many``.
Exit status 1 unless the map and a Counter, which counts the same hashes in one thread, agree on every word.
"""

from __future__ import annotations

import argparse
import re
import sys
import sysconfig
from array import array
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from intermodal import int64, open_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WORD = re.compile(r"\w+")


def texts_in(folder: Path, suffix: str) -> list[str]:
    """Return the texts of the files of a folder and those below it; what is no text is passed over."""
    texts = []
    for path in sorted(folder.rglob(f"*{suffix}")):
        try:
            texts.append(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, OSError):
            continue
    return texts


def hashes_of(text: str) -> array[int]:
    """Return the hash of each word of a text."""
    return array("q", map(hash, WORD.findall(text)))


def count(batches: Sequence[array[int]], threads: int) -> Any:
    """Return a typed map: hash -> how often it is in the batches, which the threads share."""
    m = open_map("swiss", key_type=int64, value_type=int64)

    def add(share: Iterator[array[int]]) -> None:
        for batch in share:
            m.add_many(batch)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(add, [iter(batches[first::threads]) for first in range(threads)]))
    return m


def count_in_python(batches: Sequence[array[int]]) -> Counter[int]:
    """Return the same, in one thread."""
    counter: Counter[int] = Counter()
    for batch in batches:
        counter.update(batch)
    return counter


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--suffix", default=".py")
    options = parser.parse_args()
    texts = texts_in(options.folder, options.suffix)
    batches = [hashes_of(text) for text in texts]
    total = sum(map(len, batches))
    begun = perf_counter()
    expected = count_in_python(batches)
    between = perf_counter()
    m = count(batches, options.threads)
    ended = perf_counter()
    print(f"{len(texts)} files, {total} words, {len(m)} of them different")
    print(f"Counter.update: {(between - begun) * 1e9 / max(total, 1):.1f} ns a word")
    print(f"add_many, {options.threads} threads: {(ended - between) * 1e9 / max(total, 1):.1f} ns a word")
    names = {hash(word): word for text in texts for word in WORD.findall(text)}
    frequent = sorted(m.items(), key=lambda entry: -entry[1])[:5]
    print(", ".join(f"{names[key]} {number}" for key, number in frequent))
    return int(m != expected)


if __name__ == "__main__":
    sys.exit(main())
