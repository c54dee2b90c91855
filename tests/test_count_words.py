"""The example of typed maps: words counted by several threads, and by collections.Counter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "asv_bench" / "count_words.py"


@pytest.mark.parametrize("threads", [1, 3])
def test_words_counted_by_threads_are_those_that_a_counter_counts(tmp_path, threads):
    """Every one of them; what is no text is passed over."""
    (tmp_path / "below").mkdir()
    for number in range(20):
        text = "\n".join(f"def function_{each}(): return {each % (number + 1)}" for each in range(30))
        (tmp_path / "below" / f"module{number}.py").write_text(text)
    (tmp_path / "no_text.py").write_bytes(b"\xff\xfe\xfd")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--threads", str(threads), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=dict(os.environ),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 files, 2400 words, 52 of them different\n"), done.stdout
    assert done.stdout.splitlines()[-1].startswith(("def 600", "return 600"))
